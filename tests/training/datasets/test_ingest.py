"""The whole way, from a URL to a run's folder, and each kind of bad input."""

import io
import os
import stat
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cvatd.core.urlguard import UrlRefused
from cvatd.training.datasets import cache as cache_module
from cvatd.training.datasets.errors import DatasetError, IngestStopped

from .conftest import BOX, Bench, Files, FileServer, good_files, picture, plain_answer, zipped


def refused(bench: Bench, files: Files | bytes, **limits: object) -> DatasetError:
    with pytest.raises(DatasetError) as caught:
        bench.ingest(bench.url(files), **limits)
    assert bench.left_half_done() == []
    return caught.value


def test_a_good_zip(bench: Bench) -> None:
    dataset = bench.ingest(bench.url(good_files()))
    assert (dataset.train, dataset.val, dataset.task, dataset.cached) == (3, 2, "detect", False)
    assert dataset.names == ["class_0"]
    assert dataset.warnings == []
    assert yaml.safe_load(dataset.data_yaml.read_text()) == {
        "path": str(bench.data),
        "train": "images/train",
        "val": "images/val",
        "names": {0: "class_0"},
    }
    assert (bench.data / "images/train/train0.jpg").read_bytes() == good_files()["images/train/train0.jpg"]
    assert (bench.data / "labels/val/val1.txt").exists()
    assert {stage.name for stage in bench.stages} == {"download", "unpack", "check", "link"}
    assert not list((bench.cache / "downloads").glob("*.part"))


def test_the_second_run_links_the_same_files_and_downloads_nothing(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    first = bench.ingest(server.url)
    image = bench.data / "images/train/train0.jpg"
    inode = image.stat().st_ino
    (bench.data / "labels" / "train.cache").write_text("left by an earlier attempt")
    second = bench.ingest(server.url)
    assert server.statuses == [200, 304]
    assert (first.cached, second.cached) == (False, True)
    assert image.stat().st_ino == inode
    assert image.stat().st_nlink == 2
    assert not image.stat().st_mode & stat.S_IWUSR
    assert not (bench.data / "labels" / "train.cache").exists()


def test_the_same_zip_by_another_url_is_cached(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    bench.ingest(server.url)
    assert bench.ingest(server.url + "?token=2").cached


def test_a_changed_zip_is_taken_anew(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    bench.ingest(server.url)
    server.body, server.etag = zipped(good_files(train=4)), '"two"'
    assert bench.ingest(server.url).train == 4


def test_an_unchanged_local_file_is_not_read_again(bench: Bench) -> None:
    url = bench.url(good_files())
    bench.ingest(url)
    bench.stages.clear()
    assert bench.ingest(url).cached
    assert {stage.name for stage in bench.stages} == {"link"}


def test_a_pruned_data_set_is_brought_again(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    bench.ingest(server.url)
    for tree in (bench.cache / "trees").iterdir():
        cache_module.remove_tree(tree)
    assert not bench.ingest(server.url).cached
    assert server.statuses == [200, 200]


def test_no_zip(bench: Bench) -> None:
    assert refused(bench, b"<html>please log in</html>").code == "dataset_not_zip"
    assert refused(bench, b"").code == "dataset_not_zip"
    assert refused(bench, zipped(good_files())[:-40]).code == "dataset_not_zip"


def test_no_images(bench: Bench) -> None:
    assert refused(bench, {"labels/train/a.txt": BOX}).code == "dataset_no_images"
    assert refused(bench, zipped({})).code == "dataset_no_images"


def test_labels_out_of_range_name_file_and_line(bench: Bench) -> None:
    error = refused(bench, good_files() | {"labels/train/train1.txt": BOX + b"0 0.5 1.7 0.1 0.1\n0 1 2\n"})
    assert error.code == "dataset_label"
    assert "labels/train/train1.txt:2: y_center is 1.7" in error.message
    assert "labels/train/train1.txt:3: 3 columns" in error.message


def test_only_ten_problems_are_listed(bench: Bench) -> None:
    error = refused(bench, good_files() | {"labels/train/train1.txt": b"x\n" * 25})
    assert error.message.count("train1.txt:") == 10
    assert "and 15 more" in error.message


def test_class_beyond_names(bench: Bench) -> None:
    error = refused(bench, good_files() | {"data.yaml": b"names: [cat]", "labels/val/val0.txt": b"3 .5 .5 .1 .1"})
    assert error.code == "dataset_class_range"
    assert "labels/val/val0.txt:1: the class is 3" in error.message


@pytest.mark.parametrize("bad", [b"no image", picture()[:-200], picture(size=(9, 30)), b""])
def test_unusable_images_are_named(bench: Bench, bad: bytes) -> None:
    error = refused(bench, good_files() | {"images/train/train1.jpg": bad})
    assert error.code == "dataset_image"
    assert "images/train/train1.jpg: " in error.message


def test_too_many_pixels(bench: Bench) -> None:
    assert "pixels" in refused(bench, good_files(), max_image_pixels=100).message


def bomb(size: int) -> bytes:
    """Zeros, deflated a thousand to one."""
    out = io.BytesIO(zipped(good_files()))
    with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as archive, archive.open("images/train/b.png", "w") as file:
        for _ in range(size // 2**20):
            file.write(bytes(2**20))
    return out.getvalue()


def lying(data: bytes, real: int, claimed: int) -> bytes:
    """The zip with another size in its headers."""
    return data.replace(real.to_bytes(4, "little"), claimed.to_bytes(4, "little"))


def test_a_bomb_is_refused_by_its_table(bench: Bench) -> None:
    assert refused(bench, bomb(64 * 2**20)).code == "dataset_bomb"


def test_ten_gigabytes_declared_in_a_megabyte(bench: Bench) -> None:
    small = bomb(200 * 2**20)
    grown = lying(small, 200 * 2**20, 0xF0000000)
    assert grown != small
    assert refused(bench, grown, max_ratio=1e9, max_unpacked_bytes=2**30).code == "dataset_bomb"


def test_a_bomb_that_lies_about_its_size_is_not_written(bench: Bench) -> None:
    real = 32 * 2**20
    error = refused(bench, lying(bomb(real), real, 1000))
    assert error.code in {"dataset_not_zip", "dataset_bomb"}


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "/evil.jpg", "images/../../evil.jpg", "C:/evil.jpg", "images\\evil.jpg", "images/\x01.jpg"]
)
def test_names_that_lead_out(bench: Bench, name: str) -> None:
    before = sorted(bench.folder.rglob("*evil*"))
    error = refused(bench, good_files() | {name: picture()})
    assert error.code == "dataset_path"
    assert sorted(bench.folder.rglob("*evil*")) == before == []


@pytest.mark.parametrize("mode", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(bench: Bench, mode: int) -> None:
    out = io.BytesIO(zipped(good_files()))
    with zipfile.ZipFile(out, "a") as archive:
        entry = zipfile.ZipInfo("images/train/link.jpg")
        entry.external_attr = (mode | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
    error = refused(bench, out.getvalue())
    assert error.code == "dataset_path"
    assert "images/train/link.jpg" in error.message


def test_download_in_data_yaml_is_never_run(bench: Bench) -> None:
    trap = bench.folder / "ran"
    evil = f"names: [cat]\npath: /etc\ndownload: touch {trap}\nx: 1\n".encode()
    dataset = bench.ingest(bench.url(good_files() | {"data.yaml": evil}))
    assert dataset.names == ["cat"]
    assert not trap.exists()
    assert set(yaml.safe_load(dataset.data_yaml.read_text())) == {"path", "train", "val", "names"}
    everything = [path for path in (*bench.data.rglob("*"), *bench.cache.rglob("*")) if path.is_file()]
    assert not any(b"touch" in path.read_bytes() for path in everything)


def test_python_in_data_yaml_is_never_run(bench: Bench) -> None:
    trap = bench.folder / "ran"
    error = refused(bench, good_files() | {"data.yaml": f"names: !!python/object/apply:os.mkdir [{trap}]".encode()})
    assert error.code == "dataset_yaml"
    assert not trap.exists()


def test_404_in_words(bench: Bench, server: FileServer) -> None:
    server.answers = [plain_answer(404)]
    with pytest.raises(DatasetError, match="404 Not Found") as caught:
        bench.ingest(server.url)
    assert caught.value.code == "dataset_download"


@pytest.mark.parametrize("inside", ["169.254.169.254", "100.64.0.1", "[::1]"])
def test_redirects_inside(bench: Bench, server: FileServer, inside: str) -> None:
    server.answers = [plain_answer(302, Location=f"http://{inside}/data.zip")]
    with pytest.raises(UrlRefused):
        bench.ingest(server.url)
    assert bench.left_half_done() == []


def test_a_stalling_server(bench: Bench, server: FileServer) -> None:
    server.answers = [server.stalls] * 4
    with pytest.raises(DatasetError, match="sent nothing for"):
        bench.ingest(server.url, stall_timeout_s=0.1)


def test_an_endless_download_has_an_end(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    with pytest.raises(DatasetError, match="not complete after"):
        bench.ingest(server.url, download_timeout_s=0.0)
    with pytest.raises(DatasetError) as caught:
        bench.ingest(server.url, max_download_bytes=1000)
    assert caught.value.code == "dataset_too_large"


def test_a_download_that_breaks_off_goes_on_where_it_was(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    server.answers = [server.breaks_off(500)]
    assert bench.ingest(server.url).train == 3
    assert server.statuses == [206]
    assert server.requests[1]["range"] == "bytes=500-"


def test_a_download_that_breaks_off_and_changes_begins_again(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    first = server.breaks_off(500)

    def then_changed(request: object) -> None:
        first(request)  # type: ignore[arg-type]
        server.etag = '"two"'
        server.body = zipped(good_files(train=5))

    server.answers = [then_changed]
    assert bench.ingest(server.url).train == 5
    assert server.statuses == [200]


def test_a_stop_during_download_leaves_a_part_to_go_on_from(bench: Bench, server: FileServer) -> None:
    server.body = zipped(good_files())
    server.answers = [server.breaks_off(500)]
    with pytest.raises(IngestStopped):
        bench.ingest(server.url, should_stop=lambda: any(bench.cache.rglob("*.part")) and len(server.requests) > 0)
    assert bench.left_half_done() == []
    assert bench.ingest(server.url).train == 3


@pytest.mark.parametrize("stage", ["unpack", "check", "link"])
def test_a_stop_leaves_nothing(bench: Bench, stage: str) -> None:
    url = bench.url(good_files())
    with pytest.raises(IngestStopped):
        bench.ingest(url, should_stop=lambda: any(s.name == stage for s in bench.stages))
    assert bench.left_half_done() == []
    assert bench.ingest(url).train == 3


@pytest.mark.parametrize("path", ["/etc/hostname", "in/../../../etc/hostname", "in/link.zip", "in"])
def test_files_outside_the_allowed_folders(bench: Bench, path: str) -> None:
    (bench.folder / "in" / "link.zip").symlink_to("/etc/hostname")
    with pytest.raises(DatasetError) as caught:
        bench.ingest(f"file://{bench.folder / path}")
    assert caught.value.code == "dataset_file_refused"


def test_train_and_val_overlap_leaves_train(bench: Bench) -> None:
    files = good_files() | {"images/val/val0.jpg": good_files()["images/train/train2.jpg"]}
    dataset = bench.ingest(bench.url(files))
    assert (dataset.train, dataset.val) == (2, 2)
    assert "images/train/train2.jpg" in dataset.warnings[0]
    assert not (bench.data / "images/train/train2.jpg").exists()


def test_all_of_train_in_val(bench: Bench) -> None:
    same = {"images/train/a.jpg": picture(), "images/val/a.jpg": picture(), "labels/train/a.txt": BOX}
    assert refused(bench, same).code == "dataset_overlap"


def test_background_is_counted_and_no_label_at_all_refused(bench: Bench) -> None:
    files = good_files()
    del files["labels/train/train0.txt"]
    assert bench.ingest(bench.url(files)).warnings == ["1 of 5 images have no label file and count as background"]
    assert refused_after(bench, {k: v for k, v in files.items() if "labels/train" not in k}) == "dataset_no_labels"


def refused_after(bench: Bench, files: Files) -> str:
    with pytest.raises(DatasetError) as caught:
        bench.ingest(bench.url(files))
    return caught.value.code


POLYGON = b"0 0.1 0.1 0.5 0.1 0.5 0.3\n"


def test_polygons_alone_are_segments(bench: Bench) -> None:
    files = {name: POLYGON if name.endswith(".txt") else data for name, data in good_files().items()}
    assert bench.ingest(bench.url(files)).task == "segment"


def test_polygons_beside_boxes_become_boxes(bench: Bench) -> None:
    dataset = bench.ingest(bench.url(good_files() | {"labels/train/train0.txt": POLYGON}))
    assert dataset.task == "detect"
    cls, x, y, w, h = (bench.data / "labels/train/train0.txt").read_text().split()
    assert (int(cls), float(x), float(w)) == (0, pytest.approx(0.3), pytest.approx(0.4))
    assert (float(y), float(h)) == (pytest.approx(0.2), pytest.approx(0.2))


@pytest.mark.parametrize(
    ("name", "data", "suffix"),
    [
        ("a.gif", picture(9, "GIF"), "png"),
        ("a.png", picture(9, "PNG", mode="P"), "png"),
        ("a.jpg", picture(9, mode="CMYK"), "jpg"),
        ("a.jpg", picture(9) + b"\0\0", "jpg"),
        ("a.tif", picture(9, "TIFF"), "png"),
        ("a.jpg", picture(9, "GIF"), "png"),
    ],
)
def test_what_the_trainer_would_rewrite_is_rewritten(bench: Bench, name: str, data: bytes, suffix: str) -> None:
    bench.ingest(bench.url(good_files() | {f"images/train/{name}": data}))
    path = bench.data / f"images/train/a.{suffix}"
    assert path.read_bytes() != data
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (32, 24))
        assert image.format == {"png": "PNG", "jpg": "JPEG"}[suffix]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_the_bytes_of_ordinary_images_are_kept(bench: Bench, kind: str) -> None:
    data = picture(9, kind)
    bench.ingest(bench.url(good_files() | {f"images/train/a.{kind.lower()}": data}))
    assert (bench.data / f"images/train/a.{kind.lower()}").read_bytes() == data


def test_a_nested_archive_is_left_alone(bench: Bench) -> None:
    bench.ingest(bench.url(good_files() | {"more.zip": zipped(good_files()), "__MACOSX/images/._a.jpg": b"x"}))
    assert not [path for path in bench.data.rglob("*") if path.suffix == ".zip"]


def test_copies_where_links_cannot_be(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot(source: str, target: str) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", cannot)
    bench.ingest(bench.url(good_files()))
    image = bench.data / "images/train/train0.jpg"
    assert image.stat().st_nlink == 1
    assert image.read_bytes() == good_files()["images/train/train0.jpg"]


def test_the_least_used_leaves_the_cache(bench: Bench) -> None:
    bench.ingest(bench.url(good_files()))
    first = {path.name for path in (bench.cache / "trees").iterdir()}
    bench.ingest(bench.url(good_files(train=4)), cache_bytes=1)
    assert {path.name for path in (bench.cache / "trees").iterdir()}.isdisjoint(first)
    assert len(list((bench.cache / "trees").iterdir())) == 1


def test_what_a_crash_left_is_swept(bench: Bench) -> None:
    left = bench.cache / "building" / "dead"
    left.mkdir(parents=True)
    (left / "half.jpg").write_bytes(b"x")
    (bench.data.parent / ".data.new").mkdir()
    bench.ingest(bench.url(good_files()))
    assert not left.exists()
    assert [path.name for path in Path(bench.data.parent).iterdir()] == ["data"]


@pytest.mark.parametrize("same_url", [True, False])
def test_two_at_once_end_with_one_tree(bench: Bench, server: FileServer, same_url: bool) -> None:
    server.body = zipped(good_files())
    second = Bench(bench.folder / "second", bench.limits)
    second.data.parent.mkdir(parents=True)
    bench.cache.mkdir()
    second.cache.symlink_to(bench.cache)
    with ThreadPoolExecutor() as pool:
        url = server.url if same_url else server.url + "?2"
        one, two = pool.submit(bench.ingest, server.url), pool.submit(second.ingest, url)
        assert (one.result().train, two.result().train) == (3, 3)
    assert len(list((bench.cache / "trees").iterdir())) == 1
    assert list((bench.cache / "building").iterdir()) == []
