import os
import zipfile
from pathlib import Path

import pytest

from cvatd.training.trainer import checkpoints


def write_weights(file: Path, content: str) -> None:
    """A zip, as torch writes them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", content * 20)
        archive.writestr("archive/data/0", os.urandom(200))


def save(run: Path, epoch: int, best: bool = False) -> None:
    weights = run / "out" / "weights"
    write_weights(weights / "last.pt", f"epoch {epoch}")
    if best:
        write_weights(weights / "best.pt", f"best {epoch}")
    checkpoints.keep_epoch(weights, run / "checkpoints", epoch)


def names(run: Path) -> list[str]:
    return [file.name for file in checkpoints.kept(run / "checkpoints")]


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    for epoch in (1, 2, 3, 10):
        save(tmp_path, epoch)
    assert names(tmp_path) == ["epoch-00010.pt", "epoch-00003.pt"]
    newest = checkpoints.newest_good(tmp_path / "checkpoints", epochs=20)
    assert newest is not None
    assert checkpoints.epoch_of(newest) == 10


def test_a_copy_does_not_change_with_its_source(tmp_path: Path) -> None:
    save(tmp_path, 1)
    (tmp_path / "out" / "weights" / "last.pt").write_bytes(b"")
    newest = checkpoints.newest_good(tmp_path / "checkpoints", epochs=5)
    assert newest is not None
    assert zipfile.ZipFile(newest).read("archive/data.pkl") == b"epoch 1" * 20


def test_cut_at_any_byte_the_older_one_serves(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2)
    newest = tmp_path / "checkpoints" / "epoch-00002.pt"
    whole = newest.read_bytes()
    for length in range(len(whole)):
        newest.write_bytes(whole[:length])
        good = checkpoints.newest_good(tmp_path / "checkpoints", epochs=5)
        assert good is not None, length
        assert checkpoints.epoch_of(good) == 1, length


def test_a_flipped_byte_in_the_weights_is_noticed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    file = tmp_path / "checkpoints" / "epoch-00001.pt"
    content = bytearray(file.read_bytes())
    content[content.index(b"epoch 1") + 3] ^= 1
    file.write_bytes(content)
    assert checkpoints.newest_good(tmp_path / "checkpoints", epochs=5) is None


def test_after_the_last_epoch_the_one_before_serves(tmp_path: Path) -> None:
    save(tmp_path, 4)
    save(tmp_path, 5)
    good = checkpoints.newest_good(tmp_path / "checkpoints", epochs=5)
    assert good is not None
    assert checkpoints.epoch_of(good) == 4


def test_nothing_kept_is_nothing_to_resume(tmp_path: Path) -> None:
    assert checkpoints.newest_good(tmp_path / "checkpoints", epochs=5) is None


def test_restore_brings_back_the_best_of_its_time(tmp_path: Path) -> None:
    save(tmp_path, 1, best=True)
    save(tmp_path, 2)
    weights = tmp_path / "out" / "weights"
    for file in weights.iterdir():
        file.write_bytes(b"cut in the middle")
    good = checkpoints.newest_good(tmp_path / "checkpoints", epochs=5)
    assert good is not None
    last = checkpoints.restore(good, weights)
    assert zipfile.ZipFile(last).read("archive/data.pkl") == b"epoch 2" * 20
    assert zipfile.ZipFile(weights / "best.pt").read("archive/data.pkl") == b"best 1" * 20


def test_a_copy_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path, 1)
    write_weights(tmp_path / "out" / "weights" / "last.pt", "epoch 2")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.keep_epoch(tmp_path / "out" / "weights", tmp_path / "checkpoints", 2)
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["epoch-00001.pt"]


def test_only_what_is_cut_is_dropped(tmp_path: Path) -> None:
    save(tmp_path, 1, best=True)
    weights = tmp_path / "out" / "weights"
    (weights / "last.pt").write_bytes((weights / "last.pt").read_bytes()[:-30])
    checkpoints.drop_broken(weights)
    assert [file.name for file in weights.iterdir()] == ["best.pt"]


def test_rows_of_epochs_that_are_done_again_are_dropped(tmp_path: Path) -> None:
    file = tmp_path / "results.csv"
    checkpoints.trim_csv(file, 2)  # none there: nothing to do
    file.write_text("epoch,time\n1,0.5\n2,0.9\n3,1.4\n3,")
    checkpoints.trim_csv(file, 2)
    assert file.read_text() == "epoch,time\n1,0.5\n2,0.9\n"
    assert list(tmp_path.iterdir()) == [file]
