"""The stack as data: what stack.json may say, and what a container is once all names are filled in.

stack.json is read by the Nix modules too, so that both sides declare the same containers.
"""

import json
from functools import cache
from importlib.resources import files
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

INIT_CONTAINER = "cvat-init"
STACK_LABEL = "cvatd.stack"
SPEC_LABEL = "cvatd.spec"
SECRETS_TARGET = "/run/secrets"


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Mount(Model):
    """In stack.json `source` is a path below the data folder or a @parameter@; filled in, it is absolute."""

    source: str
    target: str
    read_only: bool = False


class Publish(Model):
    """A port of the host that leads to one of the container."""

    host: str
    host_port: int | str
    port: int


class Health(Model):
    """How to ask whether a container does its work. Status 0 is yes.

    `inside` names another container to ask from, for images that have no program to ask with.
    """

    exec: list[str]
    inside: str | None = Field(default=None, alias="in")
    interval_s: float = 10
    timeout_s: float = 5
    retries: int = 3
    start_s: float = 60


class Owner(Model):
    """Of a folder or file on the host; numbers, since the names inside of containers mean nothing outside."""

    uid: int
    gid: int
    mode: Annotated[str, Field(pattern=r"^0[0-7]{3}$")]
    why: str = ""

    @property
    def bits(self) -> int:
        return int(self.mode, 8)


class Declared(Model):
    """A container as stack.json has it, with @parameters@."""

    image: str = "server"
    backend: bool = False
    command: list[str] = []
    environment: dict[str, str] = {}
    secrets: list[str] = []
    mounts: list[Mount] = []
    aliases: list[str] = []
    publish: list[Publish] = []
    needs: list[str] = []
    health: Health | None = None
    initialised: bool = Field(default=False, description="Holds itself back until CVAT's migrations are done.")
    init: bool = Field(default=False, description="Run below an init that reaps children.")
    stop_s: float = 10
    stop_signal: str | None = None


class StackFile(Model):
    """stack.json."""

    network: str
    folders: dict[str, Owner]
    secrets: dict[str, Owner]
    backend: Declared
    containers: dict[str, Declared]
    worker: Declared
    workers: dict[str, list[str]]
    dns_options: list[str] = Field(description="Of every container's resolver: the name server loses questions.")


class Container(Model):
    """A container with nothing left to fill in: what Podman is told, and what a change is measured against."""

    name: str
    image: str
    command: list[str]
    environment: dict[str, str]
    secrets: list[str]
    mounts: list[Mount]
    aliases: list[str]
    publish: list[Publish]
    needs: list[str]
    health: Health | None
    initialised: bool
    init: bool
    stop_s: float
    stop_signal: str | None
    memory_max: int | None = None
    queues: list[str] = Field(default=[], description="That this container's workers serve.")
    processes: int = 1
    dns_options: list[str] = []
    made_with: dict[str, str] = Field(default={}, description="Marks of files that are read at the start only.")


class Stack(Model):
    """All containers of one CVAT in the order of their needs."""

    version: str
    network: str
    containers: list[Container]
    warnings: list[str]

    def container(self, name: str) -> Container:
        """Raises KeyError for a name that the stack does not have."""
        for container in self.containers:
            if container.name == name:
                return container
        raise KeyError(name)

    @property
    def names(self) -> list[str]:
        return [container.name for container in self.containers]


@cache
def stack_file() -> StackFile:
    return StackFile.model_validate(json.loads(files("cvatd.stack").joinpath("stack.json").read_text()))
