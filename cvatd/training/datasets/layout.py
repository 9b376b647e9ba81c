"""Finds images, labels and splits among the names in a zip. Pure.

Understood, at the top or in any one folder below it: images/train + labels/train (and val), train/images +
train/labels (and valid), and images + labels without a split. Without a val split, one is made.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from cvatd.training.datasets.errors import DatasetError, listed

Split = Literal["train", "val"]

IMAGE_SUFFIXES = frozenset(
    {"jpg", "jpeg", "jpe", "jfif", "png", "bmp", "webp", "tif", "tiff"}
    | {"gif", "mpo", "avif", "jp2", "ppm", "pgm", "heic", "heif", "dng"}
)
SPLIT_NAMES: dict[str, Split | None] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": None,  # not used for training
}
MAX_STEM_BYTES = 200  # file systems allow 255, ending included
VAL_SHARE = 0.2  # of the images, when the zip has no val split
EXPECTED = "Expected images/train, images/val, labels/train and labels/val (see the README)."


@dataclass(frozen=True)
class Item:
    """One image of the data set. `stem` is unique in its split and names image and label in the result."""

    split: Split
    stem: str
    image: str  # member of the zip
    label: str | None  # member of the zip; None: background


@dataclass(frozen=True)
class Layout:
    items: list[Item]
    data_yaml: str | None
    classes_txt: str | None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Place:
    """Where an image lies: the folder above `images`, its split if it has one, the rest of its path."""

    root: tuple[str, ...]
    split: str | None
    rest: tuple[str, ...]
    image: str
    label: str  # where its label would be


def find_layout(members: Sequence[str]) -> Layout:
    """Raises DatasetError `dataset_no_images` or `dataset_layout`."""
    visible = [m for m in members if not is_junk(m)]
    images = [m for m in visible if _suffix(m) in IMAGE_SUFFIXES]
    if not images:
        raise DatasetError(
            "dataset_no_images", f"the zip holds {len(visible):,} files, but no image among them. {EXPECTED}"
        )
    places = [place for m in images if (place := _place(m))]
    if not places:
        raise DatasetError(
            "dataset_layout",
            f"the zip holds images, but none below a folder named images, e.g. {images[0]}. {EXPECTED}",
        )
    root = _only_root(places)
    by_name = {m.casefold(): m for m in visible}
    used, warnings = _used(places)
    if len(places) < len(images):
        warnings.append(f"{len(images) - len(places)} images lie in no folder named images and are not used")
    items = [_item(place, split, by_name) for place, split in used]
    _refuse_same_stem(items)
    if orphans := _orphan_labels(visible, items, root):
        warnings.append(f"{len(orphans)} label files have no image and are not used, e.g. {orphans[0]}")
    return Layout(
        sorted(items, key=lambda item: (item.split, item.stem)),
        _first(by_name, root, ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")),
        _first(by_name, root, ("classes.txt", "labels/classes.txt", "obj.names")),
        warnings,
    )


def is_junk(member: str) -> bool:
    """What operating systems leave in zips: __MACOSX, .DS_Store, ._a.jpg, Thumbs.db."""
    parts = member.split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts) or parts[-1] == "Thumbs.db"


def _suffix(member: str) -> str:
    stem, _, suffix = member.rpartition("/")[2].rpartition(".")
    return suffix.lower() if stem else ""


def _place(member: str) -> _Place | None:
    parts = tuple(member.split("/"))
    folders = parts[:-1]
    at = next((i for i, part in enumerate(folders) if part.lower() == "images"), None)
    if at is None:
        return None
    label = "/".join((*parts[:at], "labels", *parts[at + 1 :])).rpartition(".")[0] + ".txt"
    if at + 1 < len(folders) and parts[at + 1].lower() in SPLIT_NAMES:
        return _Place(parts[:at], parts[at + 1].lower(), parts[at + 2 :], member, label)
    if at > 0 and parts[at - 1].lower() in SPLIT_NAMES:
        return _Place(parts[: at - 1], parts[at - 1].lower(), parts[at + 1 :], member, label)
    return _Place(parts[:at], None, parts[at + 1 :], member, label)


def _only_root(places: Iterable[_Place]) -> tuple[str, ...]:
    roots = sorted({place.root for place in places})
    if len(roots) > 1:
        shown = listed(["/".join(root) or "(the top)" for root in roots])
        raise DatasetError("dataset_layout", f"the zip holds several data sets; keep one. Found in:\n{shown}")
    return roots[0]


def _used(places: Sequence[_Place]) -> tuple[list[tuple[_Place, Split]], list[str]]:
    """Every place that is trained or validated on, and what is to be said about the rest."""
    by_split: dict[str | None, list[_Place]] = {"train": [], "val": [], "test": [], None: []}
    for place in places:
        by_split[SPLIT_NAMES[place.split] or "test" if place.split else None].append(place)
    train, val, test, unsplit = by_split["train"], by_split["val"], by_split["test"], by_split[None]
    warnings = []
    if test:
        warnings.append(f"{len(test)} images of the test split are not used")
    if train or val:
        if unsplit:
            warnings.append(f"{len(unsplit)} images lie outside train and val and are not used")
        if not train:
            raise DatasetError("dataset_no_images", f"there are val images, but no train images. {EXPECTED}")
    else:
        train = unsplit
        if not train:
            raise DatasetError("dataset_no_images", f"there are test images only. {EXPECTED}")
    if not val:
        train, val = _carve_val(train)
        warnings.append(f"the zip has no val split: {len(val)} of its images, chosen by name, became one")
    return [(p, "train") for p in train] + [(p, "val") for p in val], warnings


def _carve_val(places: Sequence[_Place]) -> tuple[list[_Place], list[_Place]]:
    """Always the same choice for the same names; one image more moves few others."""
    if len(places) < 2:
        raise DatasetError(
            "dataset_no_images", "the zip holds one image; training needs one to learn from and one to check"
        )
    ranked = sorted(places, key=lambda p: hashlib.sha256("/".join(p.rest).encode()).digest())
    count = max(1, round(len(ranked) * VAL_SHARE))
    return ranked[count:], ranked[:count]


def _item(place: _Place, split: Split, by_name: dict[str, str]) -> Item:
    # Folders below the split are folded into the name: a folder named `images` there would mislead the trainer.
    stem = "__".join(place.rest).rpartition(".")[0]
    if len(stem.encode()) > MAX_STEM_BYTES:
        short = stem.encode()[: MAX_STEM_BYTES // 2].decode(errors="ignore")
        stem = f"{short}-{hashlib.sha256(stem.encode()).hexdigest()[:16]}"
    return Item(split, stem, place.image, by_name.get(place.label.casefold()))


def _refuse_same_stem(items: Sequence[Item]) -> None:
    counts = Counter((item.split, item.stem.casefold()) for item in items)
    same = sorted(item.image for item in items if counts[item.split, item.stem.casefold()] > 1)
    if same:
        raise DatasetError(
            "dataset_layout",
            f"these images differ in nothing but their ending, so one label would mean several; "
            f"rename them:\n{listed(same)}",
        )


def _orphan_labels(members: Sequence[str], items: Sequence[Item], root: tuple[str, ...]) -> list[str]:
    taken = {item.label for item in items}
    return [
        m
        for m in members
        if m not in taken
        and m.lower().endswith(".txt")
        and not m.lower().endswith("classes.txt")
        and "labels" in (folders := [part.lower() for part in m.split("/")[len(root) : -1]])
        and "test" not in folders
    ]


def _first(by_name: dict[str, str], root: tuple[str, ...], names: Sequence[str]) -> str | None:
    return next((m for n in names if (m := by_name.get("/".join((*root, n)).casefold()))), None)
