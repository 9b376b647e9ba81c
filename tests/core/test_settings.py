"""Settings: one file, the environment above it, faults in words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cvatd.cli.main import app, exit_status
from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings, load_settings, of_environment


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


STACK_FAULTS = {
    '{"version": "2.21"}': "stack.version",
    '{"version": "latest"}': "stack.version",
    '{"version": "2.21.0\\n"}': "stack.version",
    '{"images": {"sever": "x"}}': "stack.images.sever",
    '{"images": {"server": ""}}': "stack.images.server",
    '{"images": {"server": "cvat/server v2"}}': "stack.images.server",
    '{"data_dir": "/"}': "stack.data_dir",
    '{"data_dir": "/var"}': "stack.data_dir",
    '{"data_dir": "cvat"}': "stack.data_dir",
    '{"data_dir": "/var/lib/../.."}': "stack.data_dir",
    '{"data_dir": "/var/lib/a:b"}': "stack.data_dir",
    '{"share": "images"}': "stack.share",
    '{"host": "localhost"}': "stack.host",
    '{"host": "127.0.0.1; rm"}': "stack.host",
    '{"port": 0}': "stack.port",
    '{"public_url": "cvat.example.org"}': "stack.public_url",
    '{"slice": "cvat.slice"}': "stack.slice",
    '{"slice": "../cvat"}': "stack.slice",
    '{"workers": {"A b": {"queues": ["import"]}}}': "stack.workers",
    '{"workers": {"a": {"queues": []}}}': "stack.workers.a.queues",
    '{"workers": {"a": {"queues": ["import"], "processes": 0}}}': "stack.workers.a.processes",
    '{"limits": {"memory_high": 3, "memory_max": 2}}': "stack.limits",
    '{"limits": {"cpu_percent": 1}}': "stack.limits.cpu_percent",
    '{"memory_max": {"cvat-db": 0}}': "stack.memory_max.cvat-db",
    '{"superuser": {"username": "a b"}}': "stack.superuser.username",
    '{"superuser": {"email": "admin"}}': "stack.superuser.email",
    '{"superuser": {"initial_password": ""}}': "stack.superuser.initial_password",
    '{"superuser": {"initial_password": "admin\\n"}}': "stack.superuser.initial_password",
    '{"extra_containers": {"../x": {"image": "a"}}}': "stack.extra_containers",
    '{"extra_containers": {"x": {}}}': "stack.extra_containers.x.image",
    '{"extra_containers": {"x": {"image": "a", "mounts": ["relative:/x"]}}}': "stack.extra_containers.x.mounts.0",
    '{"extra_containers": {"x": {"image": "a", "mounts": ["/a:/b:rw"]}}}': "stack.extra_containers.x.mounts.0",
    '{"database": {"host": "db"}}': "stack.database.password_file",
    '{"environment": {"CVAT_POSTGRES_PASSWORD": "x"}}': "stack.environment",
    '{"environment": {"NUMPROCS": "2"}}': "stack.environment",
    '{"ready_timeout_s": 0}': "stack.ready_timeout_s",
    '{"contianers": {}}': "stack.contianers: there is no such setting",
}


@pytest.mark.parametrize(("text", "key"), STACK_FAULTS.items())
def test_faults_of_the_stack_are_named_by_key(file: Path, text: str, key: str) -> None:
    file.write_text(f'{{"stack": {text}}}')
    with pytest.raises(CvatdError) as refused:
        load_settings()
    assert f"  {key}" in refused.value.message


def test_the_standard_stack(file: Path) -> None:
    stack = load_settings().stack
    assert (stack.data_dir, stack.host, stack.port) == (Path("/var/lib/cvat"), "127.0.0.1", 8093)
    assert (stack.superuser.username, stack.superuser.email) == ("admin", "admin@localhost")
    assert (stack.limits.cpu_percent, stack.limits.memory_high, stack.limits.memory_max) == (100, 1800 << 20, 2 << 30)
    assert stack.slice == "cvat"


def test_the_stack_as_the_environment_sets_it(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('{"stack": {"port": 1, "public_url": "https://cvat.example.org/", "host": "::1"}}')
    monkeypatch.setenv("CVATD_STACK__PORT", "2")
    monkeypatch.setenv("CVATD_STACK__LIMITS__CPU_PERCENT", "250")
    monkeypatch.setenv("CVATD_STACK__IMAGES", '{"server": "cvat/server:v2.21.0"}')
    stack = load_settings().stack
    assert (stack.port, stack.limits.cpu_percent, stack.images) == (2, 250, {"server": "cvat/server:v2.21.0"})
    assert (stack.public_url, stack.host) == ("https://cvat.example.org", "::1")


def test_only_what_is_a_setting_is_taken_from_the_environment() -> None:
    environment = {
        "CVATD_CONFIG": "/x.json",
        "CVATD_TOKEN": "t",
        "PATH": "/bin",
        "cvatd_urls__allow": '["10.0.0.0/8"]',
        "CVATD_STACK": '{"port": 1, "host": "::1"}',
        "CVATD_STACK__PORT": "2",
        "CVATD_STACK__SHARE": "[a",
    }
    stack = {"port": "2", "host": "::1", "share": "[a"}
    assert of_environment(environment) == {"urls": {"allow": ["10.0.0.0/8"]}, "stack": stack}
    assert of_environment(dict(reversed(environment.items())))["stack"] == stack


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8093"),
        ("192.0.2.7", "http://192.0.2.7:8093"),
        ("0.0.0.0", "http://127.0.0.1:8093"),
        ("::1", "http://[::1]:8093"),
        ("::", "http://[::1]:8093"),
    ],
)
def test_where_this_host_reaches_the_stack(host: str, url: str) -> None:
    assert StackSettings(host=host).local_url == url


def test_a_secret_in_the_settings_is_not_shown_by_a_fault(file: Path) -> None:
    file.write_text('{"stack": {"superuser": {"initial_password": "hunter2 "}}}')
    with pytest.raises(CvatdError) as refused:
        load_settings()
    assert "stack.superuser.initial_password" in refused.value.message
    assert "hunter2" not in refused.value.message
