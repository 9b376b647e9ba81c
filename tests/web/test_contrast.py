"""The tokens of the style sheet can be read: 7:1 for text, 4.5:1 for all else, in light and dark."""

import re
from pathlib import Path

import pytest

import cvatd.web

CSS = (Path(cvatd.web.__file__).parent / "static" / "app.css").read_text()
BLOCKS = re.findall(r"(:root[^{]*)\{([^}]*)\}", CSS)


def tokens(block: str) -> dict[str, str]:
    return dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("block", [block for _, block in BLOCKS], ids=[name.strip() for name, _ in BLOCKS])
def test_contrast(block: str) -> None:
    colours = tokens(block)
    for ground in ("ground", "surface"):
        assert contrast(colours["text"], colours[ground]) >= 7
        for name in ("muted", "accent", "good", "warn", "bad", "info"):
            assert contrast(colours[name], colours[ground]) >= 4.5, (name, ground)


def test_the_switch_and_the_system_give_the_same_dark() -> None:
    assert len(BLOCKS) == 3
    assert tokens(BLOCKS[1][1]) == tokens(BLOCKS[2][1])
