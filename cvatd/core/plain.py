"""Text of others made safe to show on a terminal. Pure.

What a container logs may have been written by anybody who can send it a request: a terminal would obey it.
"""

import re

# Colours are let go without a trace; they move nothing and hide nothing.
COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
# Controls (C0 but tab and newline, DEL, C1), marks that turn the direction of reading, line separators, surrogates.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")


def plain(text: str) -> str:
    """`text` with nothing in it that a terminal obeys; what is dangerous is shown as its number."""
    return UNSAFE.sub(_number, COLOUR.sub("", text.replace("\r\n", "\n")))


def plain_line(text: str) -> str:
    """As `plain`, in one line."""
    return plain(text).replace("\n", "\\n")


def _number(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
