"""A shell script stands for the trainer's Python: it says what it was told to, and counts how often it was asked."""

import json
from pathlib import Path

import pytest

from cvatd.core.errors import CvatdError
from cvatd.training.description import load_description
from tests.training.describing import DESCRIPTION


class Python:
    def __init__(self, folder: Path) -> None:
        self.path = folder / "env" / "bin" / "python"
        self.packages = folder / "env" / "lib" / "python3.11" / "site-packages"
        self.packages.mkdir(parents=True)
        self.path.parent.mkdir(parents=True)
        self._count = folder / "asked"
        self.says("echo noise; cat " + str(folder / "answer"))
        (folder / "answer").write_text(json.dumps(DESCRIPTION.model_dump()) + "\n")

    def says(self, command: str) -> None:
        self.path.write_text(f"#!/bin/sh\necho x >> {self._count}\n{command}\n")
        self.path.chmod(0o755)

    @property
    def asked(self) -> int:
        return len(self._count.read_text().split()) if self._count.exists() else 0


@pytest.fixture
def python(tmp_path: Path) -> Python:
    return Python(tmp_path)


def test_it_is_asked_once(python: Python, tmp_path: Path) -> None:
    cache = tmp_path / "trainer.json"
    assert load_description(python.path, cache) == DESCRIPTION
    assert load_description(python.path, cache) == DESCRIPTION
    assert python.asked == 1


def test_it_is_asked_again_when_its_packages_change(python: Python, tmp_path: Path) -> None:
    cache = tmp_path / "trainer.json"
    load_description(python.path, cache)
    (python.packages / "ultralytics-9.0.0.dist-info").mkdir()
    load_description(python.path, cache)
    assert python.asked == 2


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"key": null}'])
def test_a_broken_cache_is_made_anew(python: Python, tmp_path: Path, content: str) -> None:
    cache = tmp_path / "trainer.json"
    cache.write_text(content)
    assert load_description(python.path, cache) == DESCRIPTION


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("echo \"ModuleNotFoundError: No module named 'ultralytics'\" >&2; exit 1", "No module named 'ultralytics'"),
        ("exit 3", "no working Ultralytics"),
        ("echo no json", "no json"),
        ("true", "nothing"),
    ],
)
def test_an_unusable_python_is_named_in_words(python: Python, tmp_path: Path, command: str, words: str) -> None:
    python.says(command)
    with pytest.raises(CvatdError, match=words) as caught:
        load_description(python.path, tmp_path / "trainer.json")
    assert caught.value.code == "trainer_unusable"
    assert str(python.path) in caught.value.message
    assert not (tmp_path / "trainer.json").exists()


def test_a_missing_python_is_named_in_words(tmp_path: Path) -> None:
    with pytest.raises(CvatdError, match="cannot be run") as caught:
        load_description(tmp_path / "none" / "bin" / "python", tmp_path / "trainer.json")
    assert caught.value.code == "trainer_unusable"
