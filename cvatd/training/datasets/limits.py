"""What a data set may cost this host."""

from dataclasses import dataclass
from pathlib import Path

MIB = 1024**2
GIB = 1024**3


@dataclass(frozen=True)
class DatasetLimits:
    max_download_bytes: int = 20 * GIB
    download_timeout_s: float = 6 * 3600.0  # the whole download, retries included
    stall_timeout_s: float = 30.0  # without a byte, and for connecting
    max_unpacked_bytes: int = 40 * GIB  # real bytes, counted while unpacking
    max_files: int = 500_000  # members of the zip
    max_ratio: float = 200.0  # unpacked : packed, of the whole zip
    max_image_pixels: int = 80_000_000  # width x height of one image
    file_roots: tuple[Path, ...] = ()  # file:// URLs are allowed below these folders alone
    cache_bytes: int = 50 * GIB  # checked data sets kept for the next run
