import io
import zipfile
from pathlib import Path

from PIL import Image

from cvatd.training.shapes import draw_shapes


def drawn(folder: Path, name: str, seed: int) -> Path:
    file = folder / name
    draw_shapes(file, train=6, val=3, size=96, seed=seed)
    return file


def test_the_same_seed_draws_the_same_bytes_and_another_one_does_not(tmp_path: Path) -> None:
    first, again, other = (drawn(tmp_path, str(n), seed).read_bytes() for n, seed in enumerate((1, 1, 2)))
    assert first == again
    assert first != other


def test_each_image_has_its_labels_and_nothing_else_is_in_it(tmp_path: Path) -> None:
    with zipfile.ZipFile(drawn(tmp_path, "d.zip", 1)) as archive:
        names = archive.namelist()
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
    images = {name.removeprefix("images/").rpartition(".")[0] for name in names if name.startswith("images/")}
    labels = {name.removeprefix("labels/").rpartition(".")[0] for name in names if name.startswith("labels/")}
    assert images == labels
    assert len(names) == 2 * len(images)
    assert sum(name.startswith("train/") for name in images) == 6
    assert sum(name.startswith("val/") for name in images) == 3


def test_a_box_lies_where_the_shape_is_drawn(tmp_path: Path) -> None:
    with zipfile.ZipFile(drawn(tmp_path, "d.zip", 3)) as archive:
        kinds = set()
        for name in [name for name in archive.namelist() if name.endswith(".txt")]:
            picture = Image.open(io.BytesIO(archive.read(name.replace("labels", "images").replace("txt", "jpg"))))
            lines = archive.read(name).decode().splitlines()
            assert 1 <= len(lines) <= 3
            for line in lines:
                kind, x, y, width, height = map(float, line.split())
                assert 0 <= x - width / 2 < x + width / 2 <= 1
                assert 0 <= y - height / 2 < y + height / 2 <= 1
                pixel = picture.getpixel((int(x * picture.width), int(y * picture.height)))
                assert isinstance(pixel, tuple)
                red, _, blue = pixel
                assert (red > blue) == (kind == 0)
                kinds.add(kind)
        assert kinds == {0, 1}
