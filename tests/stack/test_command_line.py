"""The arguments that Podman's own program is called with."""

import pytest

from cvatd.core.errors import CvatdError
from cvatd.stack import command_line


def test_a_terminal_is_asked_for_only_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/podman")
    piped = command_line.exec_command("unix:///x.sock", "cvat-db", ["psql"], tty=False)
    assert piped == ["/usr/bin/podman", "--url", "unix:///x.sock", "exec", "--interactive", "cvat-db", "psql"]
    assert "--tty" in command_line.exec_command("unix:///x.sock", "cvat-db", ["psql"], tty=True)


def test_without_podmans_program_the_words_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(CvatdError, match="PATH"):
        command_line.exec_command("unix:///x.sock", "cvat-db", ["psql"], tty=False)
