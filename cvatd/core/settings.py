"""Everything an operator may set: one typed model, read from one JSON file and the environment.

The file is named by `CVATD_CONFIG`, else `.cvatd/settings.json` below the working folder (what `cvatd dev`
writes), else `/etc/cvatd/settings.json`. A variable `CVATD_DATASET__MAX_FILES=10` overrides one key of it.
"""

import contextlib
import ipaddress
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cvatd.core.errors import CvatdError

DEV_FILE = Path(".cvatd/settings.json")
SYSTEM_FILE = Path("/etc/cvatd/settings.json")
SOCKET_PATH_BYTES = 100  # the kernel takes 107, and the daemon makes it under a longer name first

Bytes = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
Port = Annotated[int, Field(ge=1, le=65535)]
Image = Annotated[str, Field(pattern=r"^[a-z0-9][a-zA-Z0-9_.:/@-]*\Z")]


def plain_url(value: str | None) -> str | None:
    """Without a slash at its end."""
    if value is not None and not value.startswith(("http://", "https://")):
        raise ValueError("must begin with http:// or https://")
    return value.rstrip("/") if value else value


class Section(BaseModel):
    # Python's own patterns (\Z is their end of the text): each of Rust's costs megabytes in every process.
    model_config = ConfigDict(extra="forbid", regex_engine="python-re")


class UrlSettings(Section):
    """Which addresses outside the global internet the service may connect to."""

    allow: list[str] = Field(
        default=[], description="Host names or networks (CIDR), such as the tailnet's 100.64.0.0/10."
    )


class DatasetSettings(Section):
    """Bounds on what a data set may cost this host."""

    max_download_bytes: Bytes = 20 << 30
    download_timeout_s: Seconds = 3600
    stall_timeout_s: Seconds = 30
    max_unpacked_bytes: Bytes = 60 << 30
    max_files: Annotated[int, Field(ge=1)] = 1_000_000
    max_ratio: Annotated[float, Field(ge=1)] = 100
    max_image_pixels: Annotated[int, Field(ge=100)] = 100_000_000
    file_roots: list[Path] = Field(default=[], description="Folders below which file:// data sets may lie.")
    cache_bytes: Bytes = Field(default=100 << 30, description="Oldest data sets leave the cache above this.")


class TrainerSettings(Section):
    """The separate Python that has torch and Ultralytics."""

    python: Path = Path(sys.executable)
    device: str = Field(default="auto", description="auto, cpu, cuda:0, ...")
    offline: bool = Field(default=True, description="Never fetch pretrained weights over the network.")
    weights_url: str = "https://github.com/ultralytics/assets/releases/download/v8.4.0/{name}.pt"
    max_inline_model_bytes: Bytes = Field(
        default=32 << 20, description="Larger models reach the callback as a signed URL, not as base64."
    )


class DatabaseSettings(Section):
    """A PostgreSQL outside of the stack for CVAT; the stack then runs none of its own."""

    host: str = Field(description="As the containers and this host reach it.")
    port: Port = 5432
    name: str = "cvat"
    user: str = "cvat"
    password_file: Path = Field(description="Holds the password, readable by root alone.")


class SuperuserSettings(Section):
    """CVAT's first administrator, made by `cvatd init`."""

    username: Annotated[str, Field(pattern=r"^[\w.@+-]{1,150}\Z")] = "admin"
    email: Annotated[str, Field(pattern=r"^[^@\s]+@[^@\s]+\Z")] = "admin@localhost"
    initial_password: Annotated[str, Field(pattern=r"^\S([^\n]*\S)?\Z")] | None = Field(
        default=None, description="Known to all who read the settings; a random one is made when not given."
    )
    password_file: Path | None = Field(
        default=None, description="Holds the password to make it with, readable by root alone; above initial_password."
    )


class LimitSettings(Section):
    """What the whole stack may use of this host."""

    cpu_percent: Annotated[int, Field(ge=10)] = Field(default=100, description="100 is one processor.")
    memory_high: Bytes = Field(default=1800 << 20, description="Above this the kernel slows the stack down.")
    memory_max: Bytes = Field(default=2048 << 20, description="Above this the kernel kills.")

    @model_validator(mode="after")
    def _in_order(self) -> "LimitSettings":
        if self.memory_high > self.memory_max:
            raise ValueError("memory_high is above memory_max: it would never be reached")
        return self


class WorkerSettings(Section):
    """One container of CVAT's background workers."""

    queues: Annotated[list[str], Field(min_length=1)]
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    memory_max: Bytes | None = None


class ExtraContainer(Section):
    """A container of the user's own beside CVAT's, in the same network and slice."""

    image: Image
    command: list[str] = []
    environment: dict[str, str] = {}
    aliases: list[str] = []
    mounts: list[Annotated[str, Field(pattern=r"^/[^:]*:/[^:]*(:ro)?\Z")]] = Field(
        default=[], description="`/host:/container` or `/host:/container:ro`."
    )
    needs: list[str] = []
    memory_max: Bytes | None = None


class StackSettings(Section):
    """CVAT's containers."""

    manager: Literal["cvatd", "systemd"] = Field(
        default="cvatd", description="Who starts and stops the containers; `systemd` where the host declares units."
    )
    data_dir: Path = Path("/var/lib/cvat")
    version: Annotated[str, Field(pattern=r"^v?\d+\.\d+\.\d+\Z")] | None = Field(
        default=None, description="CVAT's release; that of images.server's tag, else the newest known."
    )
    images: dict[Literal["server", "ui", "postgres", "redis", "kvrocks", "opa", "nginx"], Image] = Field(
        default={}, description="Images other than the release's own."
    )
    host: str = "127.0.0.1"
    port: Port = Field(default=8093, description="Of the proxy in front of CVAT.")
    public_url: str | None = Field(default=None, description="How people reach CVAT, for links in its mails.")
    superuser: SuperuserSettings = SuperuserSettings()
    limits: LimitSettings = LimitSettings()
    slice: Annotated[str, Field(pattern=r"^[a-z0-9_]+(-[a-z0-9_]+)*\Z")] = "cvat"
    server_processes: Annotated[int, Field(ge=1, le=64)] = 1
    workers: dict[Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*\Z")], WorkerSettings] | None = Field(
        default=None, description="By name; the three of the standard stack when not given."
    )
    memory_max: dict[str, Bytes] = Field(default={}, description="Limits of single containers, by their names.")
    environment: dict[str, str] = Field(default={}, description="Added to the server's and the workers' own.")
    share: Path | None = Field(default=None, description="A folder that CVAT offers as its connected share.")
    database: DatabaseSettings | None = None
    extra_containers: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*\Z")], ExtraContainer] = {}
    podman_url: str | None = Field(
        default=None, description="unix:///... of Podman's API; the usual place of this user when not given."
    )
    pull_timeout_s: Seconds = Field(default=1800, description="For one attempt at one image; three are made.")
    ready_timeout_s: Seconds = 600
    socket: Path = Field(default=Path("/run/cvatd/daemon.sock"), description="Where `cvatd daemon` answers.")

    @field_validator("socket")
    @classmethod
    def _usable_socket(cls, value: Path) -> Path:
        if not value.is_absolute() or len(os.fsencode(value)) > SOCKET_PATH_BYTES:
            raise ValueError(f"must be an absolute path of at most {SOCKET_PATH_BYTES} bytes")
        return value

    @field_validator("data_dir")
    @classmethod
    def _usable_folder(cls, value: Path) -> Path:
        plain = ".." not in value.parts and not any(part in str(value) for part in (":", ",", "\n"))
        if not value.is_absolute() or len(value.parts) < 3 or not plain:
            raise ValueError("must be an absolute path below a folder of the root, without .., a colon or a comma")
        return value

    _public_url = field_validator("public_url")(plain_url)

    @field_validator("share")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_absolute():
            raise ValueError("must be an absolute path")
        return value

    @field_validator("host")
    @classmethod
    def _address(cls, value: str) -> str:
        try:
            return str(ipaddress.ip_address(value))
        except ValueError:
            raise ValueError("must be an address of this host such as 127.0.0.1, since Podman takes no names") from None

    @field_validator("environment")
    @classmethod
    def _no_secret(cls, value: dict[str, str]) -> dict[str, str]:
        if "CVAT_POSTGRES_PASSWORD" in value:
            raise ValueError("CVAT_POSTGRES_PASSWORD would stand beside the password's file, and CVAT takes one only")
        if "NUMPROCS" in value:
            raise ValueError("NUMPROCS is what server_processes and the processes of workers say")
        return value

    @property
    def local_url(self) -> str:
        """Where this host itself reaches the proxy, without a slash at its end."""
        address = ipaddress.ip_address(self.host)
        if address.is_unspecified:
            address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
        return f"http://{address if address.version == 4 else f'[{address}]'}:{self.port}"


class Settings(Section):
    """Settings of every process of cvatd."""

    data_dir: Path = Path("/var/lib/cvatd")
    database_url: str = Field(default="postgresql:///cvatd", description="libpq URL; no password needed on a socket.")
    redis_url: str = "unix:///run/redis-cvatd/redis.sock"
    host: str = "127.0.0.1"
    port: Port = 5000
    public_url: str | None = Field(
        default=None, description="How callers reach this service; used in links that callbacks carry."
    )
    auth: bool = Field(default=True, description="Off only in `cvatd dev`, on loopback.")
    signing_key_file: Path | None = Field(default=None, description="Holds `whsec_` and base64 of 24 to 64 bytes.")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    urls: UrlSettings = UrlSettings()
    dataset: DatasetSettings = DatasetSettings()
    trainer: TrainerSettings = TrainerSettings()
    stack: StackSettings = StackSettings()

    _public_url = field_validator("public_url")(plain_url)

    @property
    def base_url(self) -> str:
        """The outside address, without a slash at its end."""
        return self.public_url or f"http://{self.host}:{self.port}"

    @property
    def runs_dir(self) -> Path:
        return self.data_dir / "runs"

    @property
    def cache_dir(self) -> Path:
        return self.data_dir / "cache"

    @property
    def weights_dir(self) -> Path:
        return self.data_dir / "weights"

    @property
    def trainer_dir(self) -> Path:
        """Ultralytics' and matplotlib's own settings, shared by all runs."""
        return self.data_dir / "trainer"


def settings_file() -> Path | None:
    """The settings file in force, if there is one."""
    named = os.environ.get("CVATD_CONFIG")
    if named:
        return Path(named)
    return next((file for file in (DEV_FILE, SYSTEM_FILE) if file.is_file()), None)


def _of_file(file: Path) -> dict[str, Any]:
    content = json.loads(file.read_text())
    if not isinstance(content, dict):
        raise TypeError("they are not one object of JSON")
    return content


def of_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """`CVATD_STACK__PORT=2` as {"stack": {"port": "2"}}. A list or an object is written as JSON. Pure."""
    found: dict[str, Any] = {}
    for name, value in sorted(environment.items(), key=lambda item: item[0].count("__")):  # the whole before its parts
        prefix, _, rest = name.lower().partition("_")
        path = rest.split("__")
        if prefix != "cvatd" or path[0] not in Settings.model_fields:
            continue
        one: Any = value
        if value.startswith(("[", "{")):
            with contextlib.suppress(ValueError):  # a text may begin so, too
                one = json.loads(value)
        for key in reversed(path):
            one = {key: one}
        found = _over(found, one)
    return found


def _over(below: dict[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Objects are merged key by key; of all else what stands above counts."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        merged[key] = _over(under, value) if isinstance(under, dict) and isinstance(value, dict) else value
    return merged


def load_settings() -> Settings:
    """Read the settings. Raises CvatdError "settings" with every fault in words."""
    file = settings_file()
    if file is not None and not file.is_file():
        raise CvatdError("settings", f"CVATD_CONFIG names {file}, and there is no such file.")
    try:
        content = _of_file(file) if file else {}
        # The seed's PORT is honoured as hosting platforms set it; CVATD_PORT says it more strongly.
        port = {"port": os.environ["PORT"]} if os.environ.get("PORT") else {}
        return Settings.model_validate(_over(_over(content, port), of_environment(os.environ)))
    except ValidationError as error:
        raise CvatdError("settings", describe_faults(error, file)) from None
    except (ValueError, TypeError) as error:
        raise CvatdError("settings", f"The settings in {file or 'the environment'} cannot be read: {error}") from None


def _shown(key: str, value: object) -> str:
    """What stands there, unless it is or may hold a secret."""
    plain = isinstance(value, str | int | float | None) and not any(word in key for word in ("password", "secret"))
    return f" (it is {value!r})" if plain else ""


def describe_faults(error: ValidationError, file: Path | None) -> str:
    """One line a fault: the key, what is wrong with it, and what stands there."""
    lines = []
    for fault in error.errors():
        key = ".".join(str(part) for part in fault["loc"])
        if fault["type"] == "extra_forbidden":
            lines.append(f"  {key}: there is no such setting")
        else:
            lines.append(f"  {key}: {fault['msg'][0].lower()}{fault['msg'][1:]}{_shown(key, fault['input'])}")
    where = f"{file} and the environment" if file else "the environment"
    return f"Settings from {where} are not right:\n" + "\n".join(lines)
