import pytest

from cvatd.training.datasets.errors import DatasetError
from cvatd.training.datasets.layout import find_layout


def splits(members: list[str]) -> dict[str, tuple[str, str | None]]:
    return {f"{i.split}/{i.stem}": (i.image, i.label) for i in find_layout(members).items}


@pytest.mark.parametrize(
    "members",
    [
        ["images/train/a.jpg", "labels/train/a.txt", "images/val/b.JPG", "labels/val/b.txt"],
        ["top/images/train/a.jpg", "top/labels/train/a.txt", "top/images/val/b.png", "top/labels/val/b.txt"],
        ["train/images/a.jpg", "train/labels/a.txt", "valid/images/b.jpg", "valid/labels/b.txt"],
        ["x/y/Train/Images/a.jpg", "x/y/Train/Labels/a.txt", "x/y/valid/images/b.jpg", "x/y/valid/labels/b.txt"],
    ],
)
def test_known_layouts(members: list[str]) -> None:
    assert splits(members) == {"train/a": (members[0], members[1]), "val/b": (members[2], members[3])}


@pytest.mark.parametrize("folder", ["images/", "images/train/"])
def test_a_missing_val_split_is_made_always_the_same(folder: str) -> None:
    members = [f"{folder}{i}.jpg" for i in range(10)]
    layout = find_layout(members)
    assert sum(item.split == "val" for item in layout.items) == 2
    assert find_layout(members[::-1]).items == layout.items
    assert "no val split" in layout.warnings[0]


def test_two_images_give_one_of_each() -> None:
    assert [i.split for i in find_layout(["images/a.jpg", "images/b.jpg"]).items] == ["train", "val"]


@pytest.mark.parametrize(
    ("members", "code"),
    [
        (["images/a.jpg"], "dataset_no_images"),
        (["images/val/a.jpg"], "dataset_no_images"),
        (["images/test/a.jpg"], "dataset_no_images"),
        (["readme.txt", "images/train/jpg"], "dataset_no_images"),
        (["pictures/a.jpg"], "dataset_layout"),
        (["one/images/a.jpg", "two/images/a.jpg"], "dataset_layout"),
        (["images/train/a.jpg", "images/train/a.png", "images/val/b.jpg"], "dataset_layout"),
    ],
)
def test_refused(members: list[str], code: str) -> None:
    with pytest.raises(DatasetError) as caught:
        find_layout(members)
    assert caught.value.code == code


def test_folders_below_a_split_are_folded_and_long_names_cut() -> None:
    deep = "images/train/images/" + "x" * 150 + "/" + "y" * 150 + ".jpg"
    first, second, _ = find_layout(["images/train/s/images/a.jpg", deep, "images/val/b.jpg"]).items
    assert {len(first.stem) < 201, len(second.stem) < 201} == {True}
    assert "s__images__a" in {first.stem, second.stem}


def test_names_and_orphans_are_found() -> None:
    layout = find_layout(["a/images/1.jpg", "a/images/2.jpg", "a/labels/3.txt", "a/classes.txt", "a/data.yaml"])
    assert (layout.data_yaml, layout.classes_txt) == ("a/data.yaml", "a/classes.txt")
    assert any("1 label files have no image" in warning for warning in layout.warnings)
