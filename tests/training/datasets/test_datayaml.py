from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.datasets.datayaml import our_data_yaml, read_classes_txt, read_data_yaml
from cvatd.training.datasets.errors import DatasetError


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("names: [cat, dog]", ["cat", "dog"]),
        ("names: {0: cat, 2: dog}", ["cat", "class_1", "dog"]),
        ("names: [1, 'a\\nb']", ["1", "a\\nb"]),
        ("nc: 2", ["class_0", "class_1"]),
        ("path: x", None),
        ("", None),
    ],
)
def test_names(text: str, names: list[str] | None) -> None:
    assert read_data_yaml(text.encode(), "data.yaml").names == names


@pytest.mark.parametrize(
    "text",
    ["names: [", "names: {a: b}", "names: [[1]]", "names: []", "- a", "names: {99999999: x}", "nc: -1", "nc: true",
     "a: &x [1]\nnames: [*x, *x]", "names: !!python/name:os.system", "a: {{}: 1}", "a: 2001-99-99", "[" * 5000],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(DatasetError) as caught:
        read_data_yaml(text.encode(), "top/data.yaml")
    assert caught.value.code == "dataset_yaml"
    assert caught.value.message.startswith("top/data.yaml: ")


@given(st.one_of(st.binary(), st.text("nams: []{}-&*!|>#'\"\n0a,?%@").map(str.encode)))
def test_law_any_bytes_give_names_or_a_dataset_error(data: bytes) -> None:
    try:
        names = read_data_yaml(data, "data.yaml").names
    except DatasetError:
        return
    assert names is None or all(isinstance(name, str) and name for name in names)


@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1))
def test_law_our_file_says_exactly_what_is_meant(names: list[str]) -> None:
    text = our_data_yaml(Path("/runs/1: x/data"), names)
    assert yaml.safe_load(text) == {
        "path": "/runs/1: x/data",
        "train": "images/train",
        "val": "images/val",
        "names": dict(enumerate(names)),
    }


def test_classes_txt() -> None:
    assert read_classes_txt(b"cat\r\ndog\n\n", "classes.txt") == ["cat", "dog"]
    assert read_classes_txt(b"\n", "classes.txt") is None
