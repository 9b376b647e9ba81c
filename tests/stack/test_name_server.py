"""Whether the containers' name server still runs."""

from pathlib import Path

from cvatd.stack.name_server import is_gone


def test_it_is_gone_when_its_process_is_or_is_another(tmp_path: Path) -> None:
    pid_file = tmp_path / "aardvark.pid"
    assert not is_gone(pid_file, tmp_path)  # there never was one
    pid_file.write_text("nonsense")
    assert not is_gone(pid_file, tmp_path)
    pid_file.write_text("77\n")
    assert is_gone(pid_file, tmp_path)
    (tmp_path / "77").mkdir()
    (tmp_path / "77" / "cmdline").write_bytes(b"/usr/lib/podman/aardvark-dns\0--config\0/run\0run\0")
    assert not is_gone(pid_file, tmp_path)
    (tmp_path / "77" / "cmdline").write_bytes(b"sleep\0100\0")
    assert is_gone(pid_file, tmp_path)
