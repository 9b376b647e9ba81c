"""The zip reader against bytes of any kind."""

import io
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.datasets.archive import open_archive
from cvatd.training.datasets.errors import DatasetError
from cvatd.training.datasets.limits import DatasetLimits

from .conftest import good_files, zipped

LIMITS = DatasetLimits(max_unpacked_bytes=10**6, max_files=100)
GOOD = zipped(good_files())
part = st.sampled_from(["..", ".", "", "a", "A", "b", "a.jpg", "C:", "\\", "\0", "é", "e\u0301", "x" * 300])
names = st.lists(part, min_size=1, max_size=4).map("/".join)


class AnyName(zipfile.ZipInfo):
    """Lets zipfile write names that it would stumble over."""

    def is_dir(self) -> bool:
        return False


def unpack_all(data: bytes) -> list[str]:
    """Unpacks what passes, and proves that nothing is outside."""
    with tempfile.TemporaryDirectory() as top:
        file, inside = Path(top) / "in.zip", Path(top) / "out"
        inside.mkdir()
        file.write_bytes(data)
        try:
            with open_archive(file, LIMITS) as archive:
                chosen = []
                for name in archive.members:
                    path = inside / name
                    path.parent.mkdir(parents=True, exist_ok=True)
                    chosen.append((name, path))
                archive.unpack(chosen, LIMITS, lambda done: None)
                found = list(archive.members)
        except DatasetError:
            found = []
        assert sorted(path.name for path in Path(top).iterdir()) == ["in.zip", "out"]
        assert not any(path.is_symlink() for path in inside.rglob("*"))
        return found


@given(st.binary())
def test_law_any_bytes(data: bytes) -> None:
    unpack_all(data)


@given(st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), max_size=8), st.integers(0, len(GOOD)))
def test_law_mutated_zips(changes: list[tuple[int, int]], cut: int) -> None:
    data = bytearray(GOOD)
    for at, value in changes:
        data[at] = value
    unpack_all(bytes(data))
    unpack_all(bytes(data[:cut]))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(st.lists(names, max_size=6), st.data())
def test_law_any_names(chosen: list[str], data: st.DataObject) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in chosen:
            info = AnyName("x")
            info.filename = info.orig_filename = name
            info.external_attr = data.draw(st.sampled_from([0, 0o100644 << 16, 0o120777 << 16, 0o20666 << 16]))
            archive.writestr(info, b"data")
    unpack_all(out.getvalue())


def test_a_good_zip_passes() -> None:
    assert sorted(unpack_all(GOOD)) == sorted(good_files())


def refusal(tmp_path: Path, data: bytes, limits: DatasetLimits = LIMITS) -> DatasetError:
    path = tmp_path / "in.zip"
    path.write_bytes(data)
    with pytest.raises(DatasetError) as caught, open_archive(path, limits):
        pass
    return caught.value


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    "pair", [("a/b.jpg", "a/b.jpg"), ("a/b.jpg", "A/B.jpg"), ("a/./b.jpg", "a/b.jpg"), ("a", "a/b")]
)
def test_duplicates(tmp_path: Path, pair: tuple[str, str]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name in pair:
            archive.writestr(name, b"x")
    assert refusal(tmp_path, out.getvalue()).code == "dataset_path"


def test_too_many_members(tmp_path: Path) -> None:
    many = zipped({f"{i}.txt": b"" for i in range(101)})
    assert refusal(tmp_path, many).code == "dataset_too_large"


def test_encrypted_and_rare_methods(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refusal(tmp_path, bytes(data)).message
    assert "rare method" in refusal(tmp_path, zipped({"a.jpg": b"x"}, zipfile.ZIP_LZMA)).message


def test_overlapping_entries(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.jpg": b"x" * 500, "b.jpg": b"y" * 500}, zipfile.ZIP_STORED))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = (10).to_bytes(4, "little")
    error = refusal(tmp_path, bytes(data))
    assert (error.code, "overlap" in error.message) == ("dataset_bomb", True)
