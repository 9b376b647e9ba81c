"""Decodes every image once, so that training meets no surprise, and rewrites what Ultralytics would rewrite.

Older Ultralytics repairs files in place, which would poison the hard links of other runs; so what it would touch
or misread (no end marker, several frames, palette, CMYK, formats unknown to it) is written anew here.
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

MIN_SIDE_PX = 10  # Ultralytics ignores smaller images
JPEG_END = b"\xff\xd9"
FORMATS = [
    "JPEG",
    "PNG",
    "BMP",
    "WEBP",
    "TIFF",
    "GIF",
    "AVIF",
    "JPEG2000",
    "PPM",
]  # what Pillow may try; JPEG covers MPO
# Modes that every version of the trainer reads as a person sees them, by format.
KEPT = {"JPEG": ("L", "RGB"), "PNG": ("L", "RGB", "RGBA"), "BMP": ("L", "RGB"), "WEBP": ("RGB", "RGBA")}
SUFFIXES = {"JPEG": ("jpg", "jpeg"), "PNG": ("png",), "BMP": ("bmp",), "WEBP": ("webp",)}
JPEG_QUALITY = 95
DRAFT = 8  # JPEG is checked at an eighth of its size: every byte is still decoded

# Our own limit is checked before anything is decoded, and is told in our own words.
Image.MAX_IMAGE_PIXELS = None


class UnusableImage(Exception):
    """In words, without the file's name."""


@dataclass(frozen=True)
class Checked:
    sha256: str  # of the bytes as they came
    suffix: str  # that the result shall have, such as "jpg"


def check_image(path: Path, suffix: str, max_pixels: int) -> Checked:
    """Decode the image at `path`; rewrite it in place when needed. Raises UnusableImage.

    `suffix` is the ending the image came with. The file is on disk for good (fsync) when this returns.
    """
    sha256 = _sha256(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            written = _check(path, max_pixels)
    except UnusableImage:
        raise
    except UnidentifiedImageError as error:
        raise UnusableImage("this is no image that can be read; use JPEG, PNG, BMP, WebP or TIFF") from error
    except Exception as error:  # Pillow's readers raise nearly anything on damaged files
        raise UnusableImage(f"the image cannot be decoded ({error or type(error).__name__})") from error
    _sync(path)
    suffix = suffix.lower()
    return Checked(sha256, suffix if suffix in SUFFIXES[written] else SUFFIXES[written][0])


def _check(path: Path, max_pixels: int) -> str:
    """The format that the file has in the end."""
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_pixels:
            raise UnusableImage(f"{width} x {height} pixels; at most {max_pixels:,} pixels are decoded here")
        if min(width, height) < MIN_SIDE_PX:
            raise UnusableImage(f"{width} x {height} pixels; each side needs at least {MIN_SIDE_PX}")
        kind = image.format or ""
        if _is_kept(image, path):
            image.draft(None, (width // DRAFT, height // DRAFT))
            image.load()
            return kind
        upright = ImageOps.exif_transpose(image)
        return _rewrite(upright, path, lossy=kind in ("JPEG", "MPO"))


def _is_kept(image: Image.Image, path: Path) -> bool:
    if image.mode not in KEPT.get(image.format or "", ()) or getattr(image, "n_frames", 1) > 1:
        return False
    return image.format != "JPEG" or _tail(path) == JPEG_END


def _rewrite(image: Image.Image, path: Path, lossy: bool) -> str:
    plain = image.convert("RGB")
    plain.info.clear()
    with path.open("wb") as out:
        if lossy:
            plain.save(out, "JPEG", quality=JPEG_QUALITY, subsampling=0)
        else:
            plain.save(out, "PNG", compress_level=1)
    return "JPEG" if lossy else "PNG"


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(-len(JPEG_END), os.SEEK_END)
        return file.read()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
