"""What a run leaves behind."""

from pathlib import Path

from cvatd.training import results


def test_results_are_named_and_hashed_and_links_are_not_followed(tmp_path: Path) -> None:
    weights = tmp_path / "out" / "weights"
    weights.mkdir(parents=True)
    (weights / "best.pt").write_bytes(b"abc")
    (tmp_path / "out" / "results.png").write_bytes(b"png")
    (tmp_path / "trainer.log").write_text("log")
    (tmp_path / "spec.json").write_text("{}")
    (tmp_path / "out" / "evil.png").symlink_to("/etc/passwd")
    found = {artifact.name: artifact for artifact in results.collect(tmp_path)}
    assert set(found) == {"best.pt", "results.png", "trainer.log"}
    assert found["best.pt"].sha256.startswith("ba7816bf")
    assert found["best.pt"].path == "out/weights/best.pt"
    assert found["results.png"].content_type == "image/png"


def test_checkpoints_stay_while_they_may_serve(tmp_path: Path) -> None:
    for name in ("data", "checkpoints", "out"):
        (tmp_path / name).mkdir()
    results.clear(tmp_path, resumable=True)
    assert {entry.name for entry in tmp_path.iterdir()} == {"checkpoints", "out"}
    results.clear(tmp_path, resumable=False)
    assert {entry.name for entry in tmp_path.iterdir()} == {"out"}


def test_the_log_is_cut_at_a_line(tmp_path: Path) -> None:
    (tmp_path / "trainer.log").write_text("first line\nsecond\nthird\n")
    assert results.tail_of_log(tmp_path, 15) == "second\nthird\n"
    assert results.tail_of_log(tmp_path / "none", 15) == ""
