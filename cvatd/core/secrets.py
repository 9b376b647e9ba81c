"""Tokens and keys: random, stored hashed or in files that their owner alone may read."""

import base64
import hashlib
import hmac
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path

from cvatd.core.errors import CvatdError

TOKEN_PREFIX = "cvatd"  # noqa: S105 - makes a leaked token easy to find, and is no secret
SECRET_BYTES = 32
KEY_BYTES = 32


@dataclass(frozen=True)
class Token:
    """An API token: `cvatd_<id>_<secret>`; the store keeps the id and a hash of the secret."""

    id: str
    secret: str

    def __str__(self) -> str:
        return f"{TOKEN_PREFIX}_{self.id}_{self.secret}"


def new_token() -> Token:
    return Token(secrets.token_hex(6), secrets.token_urlsafe(SECRET_BYTES))


def parse_token(text: str) -> Token | None:
    prefix, _, rest = text.partition("_")
    identity, _, secret = rest.partition("_")
    return Token(identity, secret) if prefix == TOKEN_PREFIX and identity and secret else None


def hash_secret(secret: str) -> str:
    """SHA-256 is enough where the secret has 256 random bits: there is no list to try."""
    return hashlib.sha256(secret.encode()).hexdigest()


def load_or_make_key(path: Path) -> str:
    """The signing key `whsec_...` of this instance; made once, readable by its owner alone."""
    try:
        key = path.read_text().strip()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write("whsec_" + base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(temporary, path)  # never replaces the key of one who was faster
        except FileExistsError:
            pass
        finally:
            temporary.unlink()
        key = path.read_text().strip()
    try:
        length = len(base64.b64decode(key.removeprefix("whsec_"), validate=True))
    except ValueError:
        length = 0
    if not key.startswith("whsec_") or not 24 <= length <= 64:
        raise CvatdError("signing_key", f"{path} must hold `whsec_` and the base64 of 24 to 64 random bytes.")
    return key


def sign_path(key: str, path: str, expires: int) -> str:
    """The signature that lets the bearer of a link fetch `path` until `expires` (Unix seconds)."""
    return hmac.new(key.encode(), f"{expires}\n{path}".encode(), hashlib.sha256).hexdigest()


def check_signed_path(key: str, path: str, expires: str, signature: str) -> bool:
    if not expires.isdecimal() or len(expires) > 12 or int(expires) < time.time():
        return False
    return hmac.compare_digest(sign_path(key, path, int(expires)), signature)
