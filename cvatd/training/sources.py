"""May this data set be fetched at all? Asked when a run is submitted; the download itself checks again at each hop."""

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from cvatd.core.errors import CvatdError
from cvatd.core.urlguard import UrlGuard


def check_source(url: str, guard: UrlGuard, file_roots: Sequence[Path]) -> None:
    """Raises CvatdError "url_refused" in words."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        guard.check(url)
        return
    path = Path(unquote(parts.path)).resolve() if "\x00" not in unquote(parts.path) else Path()
    if parts.netloc or not any(path.is_relative_to(root.resolve()) for root in file_roots):
        allowed = ", ".join(map(str, file_roots)) or "none"
        raise CvatdError(
            "url_refused", f"{url[:200]} does not lie below a folder from which data sets are taken ({allowed})."
        )
