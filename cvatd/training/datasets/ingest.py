"""From a URL to a checked data set in a run's folder."""

import errno
import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cvatd.core.urlguard import UrlGuard
from cvatd.training.datasets import datayaml, labels
from cvatd.training.datasets.archive import Archive, open_archive
from cvatd.training.datasets.cache import MANIFEST, Cache, link_tree, remove_tree, write_synced
from cvatd.training.datasets.errors import DatasetError, listed
from cvatd.training.datasets.fetch import Fetcher, url_key
from cvatd.training.datasets.images import Checked, UnusableImage, check_image
from cvatd.training.datasets.layout import Item, Layout, find_layout
from cvatd.training.datasets.limits import DatasetLimits
from cvatd.training.datasets.progress import Progress, Stage

CHECK_THREADS = min(4, os.cpu_count() or 1)  # Pillow decodes outside Python's lock
CHECK_BATCH = 64  # images between two looks at should_stop

Task = Literal["detect", "segment"]


@dataclass(frozen=True)
class Dataset:
    sha256: str  # of the zip
    names: list[str]
    train: int  # images
    val: int
    task: Task  # "segment" when every label is a polygon, else "detect"
    data_yaml: Path
    warnings: list[str]
    cached: bool  # nothing had to be unpacked


@dataclass(frozen=True)
class _Labels:
    """What all label files say together."""

    top_class: int = -1
    boxes: int = 0
    polygons: int = 0
    train: int = 0  # objects in the train split
    empty: int = 0  # objects without area, left out

    def plus(self, rows: Sequence[labels.Row], in_train: bool, empty: int) -> "_Labels":
        polygons = sum(row.is_polygon for row in rows)
        return _Labels(
            max([self.top_class, *(row.cls for row in rows)]),
            self.boxes + len(rows) - polygons,
            self.polygons + polygons,
            self.train + (len(rows) if in_train else 0),
            self.empty + empty,
        )


def ingest(
    url: str,
    job_data: Path,
    limits: DatasetLimits,
    guard: UrlGuard,
    cache_dir: Path,
    report: Callable[[Stage], None],
    should_stop: Callable[[], bool],
) -> Dataset:
    """Make `job_data` hold the checked data set of `url`, with a data.yaml of our own; what it held is replaced.

    Raises DatasetError (what and where), UrlRefused, IngestStopped.
    """
    progress = Progress(report, should_stop)
    try:
        cache = Cache(cache_dir, limits.cache_bytes)
        fetcher = Fetcher(cache_dir / "downloads", limits, guard, progress)
        with cache.lock(url_key(url), progress.pause_point):
            return _ingest(url, job_data, limits, cache, fetcher, progress)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DatasetError("dataset_disk_full", "this host's disk is full; free some space and try again") from error


def _ingest(
    url: str, job_data: Path, limits: DatasetLimits, cache: Cache, fetcher: Fetcher, progress: Progress
) -> Dataset:
    last = fetcher.last_sha256(url)
    with cache.tree(last) if last else nullcontext() as tree:
        fetched = fetcher.fetch(url, known=tree is not None)
        if tree and fetched.zip is None:
            return _link(tree, job_data, fetched.sha256, True, progress)
    assert fetched.zip is not None
    try:
        with cache.tree(fetched.sha256) as tree:
            cached = tree is not None
            if tree:
                dataset = _link(tree, job_data, fetched.sha256, True, progress)
        if not cached:
            with cache.builder() as folder:
                manifest = _build(fetched.zip, folder, limits, progress)
                # Linked before it is published: from then on the cache may drop it.
                dataset = _link_files(folder, manifest, job_data, fetched.sha256, False, progress)
                cache.publish(folder, fetched.sha256, manifest)
        fetcher.remember(url, fetched.sha256)
    finally:
        fetcher.forget_zip(url)
    return dataset


def _link(tree: Path, job_data: Path, sha256: str, cached: bool, progress: Progress) -> Dataset:
    manifest = json.loads((tree / MANIFEST).read_bytes())
    return _link_files(tree, manifest, job_data, sha256, cached, progress)


def _link_files(
    tree: Path, manifest: dict[str, Any], job_data: Path, sha256: str, cached: bool, progress: Progress
) -> Dataset:
    total = 2 * (manifest["train"] + manifest["val"])
    beside = job_data.with_name(f".{job_data.name}.new")
    remove_tree(beside)
    try:
        link_tree(tree, beside, lambda done: progress.at("link", done, total, "files"))
        text = datayaml.our_data_yaml(job_data.absolute(), manifest["names"])
        write_synced(beside / "data.yaml", text.encode())
        remove_tree(job_data)
        beside.rename(job_data)
    finally:
        remove_tree(beside)
    return Dataset(
        sha256,
        manifest["names"],
        manifest["train"],
        manifest["val"],
        manifest["task"],
        job_data.absolute() / "data.yaml",
        manifest["warnings"],
        cached,
    )


def _build(packed: Path, folder: Path, limits: DatasetLimits, progress: Progress) -> dict[str, Any]:
    """Unpack and check into `folder`; returns what its manifest says."""
    with open_archive(packed, limits) as archive:
        layout = find_layout(list(archive.members))
        names = _given_names(archive, layout)
        for kind in ("images", "labels"):
            for split in ("train", "val"):
                (folder / kind / split).mkdir(parents=True)
        chosen = [(item.image, _image_path(folder, item)) for item in layout.items]
        total = sum(archive.members[name].file_size for name, _ in chosen)
        archive.unpack(chosen, limits, lambda done: progress.at("unpack", done, total, "bytes"))
        found = _write_labels(archive, layout.items, folder, names, progress)
    checked = _check_images(layout.items, folder, limits, progress)
    items, overlap = _without_overlap(layout.items, checked, folder)
    background = sum(item.label is None for item in items)
    warnings = [*layout.warnings, *overlap]
    if background:
        warnings.append(f"{background} of {len(items)} images have no label file and count as background")
    if found.empty:
        warnings.append(f"{found.empty} objects without width or height were left out")
    if found.boxes and found.polygons:
        _polygons_to_boxes(items, folder)
        warnings.append("the labels mix boxes and polygons: the polygons became boxes")
    train = sum(item.split == "train" for item in items)
    return {
        "names": names or datayaml.default_names(found.top_class + 1),
        "train": train,
        "val": len(items) - train,
        "task": "segment" if found.polygons and not found.boxes else "detect",
        "warnings": warnings,
    }


def _given_names(archive: Archive, layout: Layout) -> list[str] | None:
    names = None
    if where := layout.data_yaml:
        names = datayaml.read_data_yaml(archive.read(where, datayaml.MAX_BYTES), where).names
    if names is None and (where := layout.classes_txt):
        names = datayaml.read_classes_txt(archive.read(where, datayaml.MAX_BYTES), where)
    return names


def _write_labels(
    archive: Archive, items: Sequence[Item], folder: Path, names: list[str] | None, progress: Progress
) -> _Labels:
    """Check every label file and write it anew. Raises DatasetError naming file and line."""
    found = _Labels()
    problems: list[str] = []
    kinds: set[labels.Kind] = set()
    for item in items:
        progress.pause_point()
        if item.label is None:
            continue
        data = archive.read(item.label, labels.MAX_BYTES)
        rows, wrong = labels.parse_labels(data, len(names) if names else None)
        problems += [f"{item.label}:{problem.line}: {problem.words}" for problem in wrong]
        kinds.update(problem.kind for problem in wrong)
        kept = [row for row in rows if row.has_area()]
        found = found.plus(kept, item.split == "train", len(rows) - len(kept))
        _write(_label_path(folder, item), labels.format_labels(kept))
    if problems:
        code = "dataset_class_range" if kinds == {"class"} else "dataset_label"
        raise DatasetError(code, f"{len(problems)} lines of the labels are wrong:\n{listed(problems)}")
    if not found.train:
        raise DatasetError(
            "dataset_no_labels",
            "no train image has a label. Labels lie in labels/train, named as their image with the ending .txt",
        )
    return found


def _polygons_to_boxes(items: Sequence[Item], folder: Path) -> None:
    """Ultralytics drops images whose labels mix both, or reads boxes as polygons of two points."""
    for item in items:
        if item.label is not None:
            path = _label_path(folder, item)
            rows, _ = labels.parse_labels(path.read_bytes())
            _write(path, labels.format_labels(row.as_box() for row in rows))


def _check_images(items: Sequence[Item], folder: Path, limits: DatasetLimits, progress: Progress) -> list[Checked]:
    """Decode all images side by side. Raises DatasetError naming those that cannot be used."""

    def check(item: Item) -> Checked | str:
        path = _image_path(folder, item)
        try:
            checked = check_image(path, item.image.rpartition(".")[2], limits.max_image_pixels)
        except UnusableImage as error:
            return f"{item.image}: {error}"
        path.rename(_image_path(folder, item, checked.suffix))
        return checked

    results: list[Checked | str] = []
    with ThreadPoolExecutor(CHECK_THREADS) as pool:
        for start in range(0, len(items), CHECK_BATCH):
            progress.at("check", start, len(items), "files")
            results += pool.map(check, items[start : start + CHECK_BATCH])
    if bad := [result for result in results if isinstance(result, str)]:
        raise DatasetError("dataset_image", f"{len(bad)} images cannot be used:\n{listed(bad)}")
    return [result for result in results if isinstance(result, Checked)]


def _without_overlap(items: Sequence[Item], checked: Sequence[Checked], folder: Path) -> tuple[list[Item], list[str]]:
    """Images that are in train and in val, byte for byte, leave train: a test on what was learnt shows nothing."""
    in_val = {c.sha256 for item, c in zip(items, checked, strict=True) if item.split == "val"}
    kept, twice = [], []
    for item, c in zip(items, checked, strict=True):
        if item.split == "val" or c.sha256 not in in_val:
            kept.append(item)
            continue
        twice.append(item.image)
        _image_path(folder, item, c.suffix).unlink()
        _label_path(folder, item).unlink(missing_ok=True)
    if not any(item.split == "train" for item in kept):
        raise DatasetError("dataset_overlap", "every train image is in val too; the splits must differ")
    if not twice:
        return kept, []
    return kept, [f"{len(twice)} images are in train and in val; they were left out of train:\n{listed(twice)}"]


def _image_path(folder: Path, item: Item, suffix: str | None = None) -> Path:
    """Without a suffix: the name while unchecked."""
    return folder / "images" / item.split / f"{item.stem}.{suffix or 'unchecked'}"


def _label_path(folder: Path, item: Item) -> Path:
    return folder / "labels" / item.split / f"{item.stem}.txt"


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
