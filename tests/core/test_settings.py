"""Settings: one file, the environment above it, faults in words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cvatd.cli.main import app, exit_status
from cvatd.core.errors import CvatdError
from cvatd.core.settings import load_settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "settings.json"
    made.write_text("{}")
    monkeypatch.setenv("CVATD_CONFIG", str(made))
    monkeypatch.delenv("PORT", raising=False)
    return made


def test_the_environment_stands_above_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(json.dumps({"port": 1111, "dataset": {"max_files": 5, "max_ratio": 7}}))
    assert load_settings().port == 1111
    monkeypatch.setenv("CVATD_DATASET__MAX_FILES", "6")
    settings = load_settings()
    assert (settings.dataset.max_files, settings.dataset.max_ratio) == (6, 7)


def test_port_as_hosting_platforms_set_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().port == 5000
    monkeypatch.setenv("PORT", "8080")
    assert load_settings().port == 8080
    monkeypatch.setenv("CVATD_PORT", "9090")
    assert load_settings().port == 9090


FAULTS = {
    '{"port": "many"}': "port",
    '{"prot": 1}': "prot: there is no such setting",
    '{"dataset": {"max_files": 0}}': "dataset.max_files",
    '{"public_url": "example.com"}': "http://",
    "{": "cannot be read",
    "[1]": "cannot be read",
}


@pytest.mark.parametrize(("text", "words"), FAULTS.items())
def test_faults_are_named(file: Path, text: str, words: str) -> None:
    file.write_text(text)
    with pytest.raises(CvatdError) as refused:
        load_settings()
    assert words in refused.value.message
    assert refused.value.code == "settings"


def test_config_check_says_what_is_wrong_and_exits_2(file: Path) -> None:
    assert CliRunner().invoke(app, ["config", "check"]).exit_code == 0
    file.write_text('{"port": 0, "prot": 1}')
    result = CliRunner().invoke(app, ["config", "check"])
    assert isinstance(result.exception, CvatdError)
    assert "port" in result.exception.message
    assert "prot" in result.exception.message
    assert exit_status(result.exception.code) == 2


def test_a_named_file_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVATD_CONFIG", "/nonexistent.json")
    with pytest.raises(CvatdError, match="no such file"):
        load_settings()
