"""Takes the class names out of an uploaded data.yaml, and writes our own. Pure.

An uploaded file is never handed on: Ultralytics runs what stands under `download:`.
"""

from dataclasses import dataclass
from pathlib import Path

import yaml

from cvatd.training.datasets.errors import DatasetError
from cvatd.training.datasets.labels import MAX_CLASSES

MAX_BYTES = 1024**2
MAX_NAME_CHARS = 100


@dataclass(frozen=True)
class Given:
    """What an uploaded data.yaml says that we believe. `names` is None when it names no classes."""

    names: list[str] | None = None


def read_data_yaml(data: bytes, where: str) -> Given:
    """Names of the classes. Raises DatasetError (`dataset_yaml`) that says what is wrong in `where`."""
    if len(data) > MAX_BYTES:
        raise _wrong(where, f"it has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        content = _load(data)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise _wrong(where, f"{line}this is not YAML ({error.problem or error.context})") from error
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, RecursionError, AttributeError) as error:
        raise _wrong(where, f"this is not YAML ({type(error).__name__})") from error
    if content is None:
        return Given()
    if not isinstance(content, dict):
        raise _wrong(where, "it must hold keys and values, such as `names: [cat, dog]`")
    names, count = content.get("names"), content.get("nc")
    if names is None:
        return Given(default_names(_count(count, where)) if count is not None else None)
    return Given(_names(names, where))


def read_classes_txt(data: bytes, where: str) -> list[str] | None:
    """The names of a classes.txt, one a line; None when it is empty."""
    if len(data) > MAX_BYTES:
        raise _wrong(where, f"it has {len(data):,} bytes; at most {MAX_BYTES:,} are read")
    try:
        lines = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise _wrong(where, "this is not text (UTF-8)") from error
    names = [line.strip() for line in lines]
    while names and not names[-1]:
        names.pop()
    return _names(names, where) if names else None


def default_names(count: int) -> list[str]:
    return [f"class_{i}" for i in range(count)]


def our_data_yaml(root: Path, names: list[str]) -> str:
    """The file that the trainer reads."""
    content = {"path": str(root), "train": "images/train", "val": "images/val", "names": dict(enumerate(names))}
    return yaml.safe_dump(content, sort_keys=False)


class _PlainLoader(yaml.SafeLoader):
    """Refuses anchors: a kilobyte of nested aliases means a billion values."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not read", mark)
        return super().compose_node(parent, index)


def _load(data: bytes) -> object:
    loader = _PlainLoader(data)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def _names(value: object, where: str) -> list[str]:
    if isinstance(value, dict):
        value = _in_order(value, where)
    if not isinstance(value, list) or not value:
        raise _wrong(where, "`names` must be a list such as [cat, dog], or numbered from 0: {0: cat, 1: dog}")
    if len(value) > MAX_CLASSES:
        raise _wrong(where, f"`names` has {len(value):,} entries; at most {MAX_CLASSES:,} are read")
    return [_name(entry, i, where) for i, entry in enumerate(value)]


def _in_order(numbered: dict[object, object], where: str) -> list[object]:
    for key in numbered:
        if isinstance(key, bool) or not isinstance(key, int) or not 0 <= key < MAX_CLASSES:
            raise _wrong(where, f"`names` has the key {str(key)[:40]!r}; keys are whole numbers from 0 up")
    return [numbered.get(i, f"class_{i}") for i in range(max(numbered, default=-1) + 1)]  # type: ignore[type-var, operator]


def _name(entry: object, index: int, where: str) -> str:
    if not isinstance(entry, str | int | float):
        raise _wrong(where, f"the name of class {index} must be text")
    text = "".join(c for c in str(entry) if c.isprintable()).strip()
    if len(text) > MAX_NAME_CHARS:
        raise _wrong(where, f"the name of class {index} has {len(text):,} characters; at most {MAX_NAME_CHARS}")
    return text or f"class_{index}"


def _count(value: object, where: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CLASSES:
        raise _wrong(where, f"`nc` must be a whole number from 1 to {MAX_CLASSES:,}")
    return value


def _wrong(where: str, words: str) -> DatasetError:
    return DatasetError("dataset_yaml", f"{where}: {words}")
