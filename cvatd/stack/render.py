"""From settings and a release's facts to containers with nothing left to fill in. Pure."""

import re
from collections.abc import Iterable, Mapping

from cvatd.core.errors import CvatdError
from cvatd.core.settings import ExtraContainer, StackSettings, WorkerSettings
from cvatd.stack import releases
from cvatd.stack.releases import Release
from cvatd.stack.spec import (
    INIT_CONTAINER,
    Container,
    Declared,
    Mount,
    Publish,
    Stack,
    StackFile,
    stack_file,
)

PARAMETER = re.compile(r"@([a-z_]+)@")
MB = 1 << 20
DATABASE_CONTAINER = "cvat-db"

Parameters = Mapping[str, str | list[str]]


def render(settings: StackSettings, declared: StackFile | None = None) -> Stack:
    """The stack that the settings ask for.

    Raises CvatdError "spec" or "release" that names the setting and the way out.
    """
    declared = declared or stack_file()
    release = releases.find(choose_version(settings))
    images = {kind: qualify(image) for kind, image in (release.images | settings.images).items()}
    workers = choose_workers(settings, release, declared)
    parameters = _parameters(settings, release)
    external = settings.database is not None
    containers = [
        _fill(name, container, declared, parameters, images, settings)
        for name, container in declared.containers.items()
        if not (external and name == DATABASE_CONTAINER)
    ]
    containers += _workers(workers, release, declared, parameters, images, settings)
    containers += [_extra(name, extra) for name, extra in settings.extra_containers.items()]
    if external:
        containers = [_without(container, DATABASE_CONTAINER) for container in containers]
    containers = [_finished(container, settings, declared) for container in containers]
    _check_names(containers, settings)
    return Stack(
        version=release.version,
        network=declared.network,
        containers=in_order(containers),
        warnings=_warnings(settings, release, containers),
    )


def choose_version(settings: StackSettings) -> str:
    """The release that is asked for: by name, by the server image's tag, or the newest known."""
    image = settings.images.get("server")
    tagged = releases.version_of_image(image) if image else None
    if settings.version and tagged and releases.parse(settings.version) != releases.parse(tagged):
        raise CvatdError(
            "spec",
            f"stack.version is {settings.version} and the tag of stack.images.server is {image}. "
            "Commands and image must be of one release: change one of the two.",
        )
    if image and not tagged and not settings.version:
        raise CvatdError(
            "spec", f"The tag of stack.images.server ({image}) names no release. Set stack.version to what it is."
        )
    return settings.version or tagged or releases.newest()


def choose_workers(
    settings: StackSettings, release: Release, declared: StackFile | None = None
) -> dict[str, WorkerSettings]:
    """Workers by name; every queue of the release is served by exactly one."""
    standard = {
        name: WorkerSettings(queues=[queue for queue in queues if queue in release.queues])
        for name, queues in (declared or stack_file()).workers.items()
        if set(queues) & set(release.queues)
    }
    workers = settings.workers if settings.workers is not None else standard
    served: dict[str, str] = {}
    for name, worker in workers.items():
        for queue in worker.queues:
            if queue not in release.queues:
                raise CvatdError(
                    "spec",
                    f"stack.workers.{name}.queues: CVAT {release.version} has no queue {queue!r}. "
                    f"It has {', '.join(release.queues)}.",
                )
            if served.get(queue) == name:
                raise CvatdError("spec", f"stack.workers.{name}.queues names {queue!r} twice.")
            if queue in served:
                raise CvatdError("spec", f"The queue {queue!r} is served by stack.workers.{served[queue]} and .{name}.")
            served[queue] = name
    missing = [queue for queue in release.queues if queue not in served]
    if missing:
        raise CvatdError(
            "spec", f"stack.workers: no worker serves {', '.join(missing)}; work put there would wait for ever."
        )
    return workers


def qualify(image: str) -> str:
    """The full name of an image: Podman would ask a person which registry a short name means."""
    host, slash, _ = image.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        return image
    return f"docker.io/{image}" if slash else f"docker.io/library/{image}"


def in_order(containers: Iterable[Container]) -> list[Container]:
    """Sorted so that each comes after what it needs; raises CvatdError "spec" on a circle or an unknown name."""
    waiting = {container.name: container for container in containers}
    for container in waiting.values():
        for need in container.needs:
            if need not in waiting:
                raise CvatdError("spec", f"{container.name} needs {need!r}, and there is no such container.")
    sorted_: list[Container] = []
    while waiting:
        free = [container for container in waiting.values() if not any(need in waiting for need in container.needs)]
        if not free:
            raise CvatdError("spec", f"These containers need each other in a circle: {', '.join(sorted(waiting))}.")
        sorted_ += free
        for container in free:
            del waiting[container.name]
    return sorted_


def idle_bytes(release: Release, workers: Iterable[WorkerSettings], server_processes: int) -> int:
    """What the stack occupies when nobody uses it."""
    idle = release.idle_mb
    processes = sum(worker.processes for worker in workers)
    return (idle.server * server_processes + idle.worker * processes + idle.scheduler + idle.rest) * MB


def _parameters(settings: StackSettings, release: Release) -> Parameters:
    database = settings.database
    return {
        "base_url": settings.public_url or f"http://{_in_url(settings.host)}:{settings.port}",
        "database_host": database.host if database else DATABASE_CONTAINER,
        "database_name": database.name if database else "cvat",
        "database_port": str(database.port) if database else "5432",
        "database_user": database.user if database else "root",
        "host": settings.host,
        "opa_flags": release.opa_flags,
        "port": str(settings.port),
        "server_processes": str(settings.server_processes),
        "share": str(settings.share or ""),
        "ui_port": str(release.ui_port),
    }


def _fill(
    name: str,
    declared: Declared,
    file: StackFile,
    parameters: Parameters,
    images: Mapping[str, str],
    settings: StackSettings,
) -> Container:
    base = file.backend if declared.backend else Declared(image=declared.image)
    environment = base.environment | declared.environment
    health = declared.health
    return Container(
        name=name,
        image=images[base.image],
        command=fill_list(declared.command, parameters),
        environment={key: fill(value, parameters) for key, value in environment.items()}
        | (settings.environment if declared.backend else {}),
        secrets=[*base.secrets, *declared.secrets],
        mounts=[
            mount.model_copy(update={"source": source})
            for mount in (*base.mounts, *declared.mounts)
            if (source := _source(fill(mount.source, parameters), settings))
        ],
        aliases=declared.aliases,
        publish=[
            Publish(
                host=fill(publish.host, parameters),
                host_port=int(fill(str(publish.host_port), parameters)),
                port=publish.port,
            )
            for publish in declared.publish
        ],
        needs=declared.needs,
        health=health.model_copy(update={"exec": fill_list(health.exec, parameters)}) if health else None,
        initialised=declared.initialised,
        init=declared.init,
        stop_s=declared.stop_s,
        stop_signal=declared.stop_signal,
    )


def _workers(
    workers: Mapping[str, WorkerSettings],
    release: Release,
    file: StackFile,
    parameters: Parameters,
    images: Mapping[str, str],
    settings: StackSettings,
) -> list[Container]:
    containers = []
    for name, command, worker in _one_each(workers, release) if release.grammar == "one" else _shared(workers):
        filled = _fill(name, file.worker, file, parameters, images, settings)
        changes = {
            "command": command,
            "environment": filled.environment | {"NUMPROCS": str(worker.processes)},
            "queues": worker.queues,
            "processes": worker.processes,
            "memory_max": worker.memory_max,
        }
        containers.append(filled.model_copy(update=changes))
    return containers


Served = tuple[str, list[str], WorkerSettings]


def _shared(workers: Mapping[str, WorkerSettings]) -> list[Served]:
    """(container, command, worker): each worker's container serves all of its queues."""
    return [(f"cvat-worker-{name}", ["run", "worker", *worker.queues], worker) for name, worker in workers.items()]


def _one_each(workers: Mapping[str, WorkerSettings], release: Release) -> list[Served]:
    """As `_shared` for old releases: a container for each configuration that the image has."""
    served: dict[str, WorkerSettings] = {}
    for worker in workers.values():
        for queue in worker.queues:
            config = release.names.get(queue, f"worker.{queue}")
            first = served.get(config)
            queues = [*first.queues, queue] if first else [queue]
            processes = max(worker.processes, first.processes if first else 1)
            served[config] = worker.model_copy(update={"queues": queues, "processes": processes})
    return [
        (f"cvat-worker-{config.removeprefix('worker.').replace('_', '-')}", ["run", config], worker)
        for config, worker in served.items()
    ]


def _extra(name: str, extra: ExtraContainer) -> Container:
    mounts = []
    for text in extra.mounts:
        source, target, *mode = text.split(":")
        mounts.append(Mount(source=source, target=target, read_only=mode == ["ro"]))
    return Container(
        name=name,
        image=qualify(extra.image),
        command=extra.command,
        environment=extra.environment,
        secrets=[],
        mounts=mounts,
        aliases=extra.aliases,
        publish=[],
        needs=extra.needs,
        health=None,
        initialised=False,
        init=False,
        stop_s=10,
        stop_signal=None,
        memory_max=extra.memory_max,
    )


def _without(container: Container, need: str) -> Container:
    return container.model_copy(update={"needs": [name for name in container.needs if name != need]})


def _finished(container: Container, settings: StackSettings, declared: StackFile) -> Container:
    """With what every container has alike."""
    limit = settings.memory_max.get(container.name, container.memory_max)
    return container.model_copy(update={"memory_max": limit, "dns_options": declared.dns_options})


def _check_names(containers: list[Container], settings: StackSettings) -> None:
    names = [container.name for container in containers]
    if INIT_CONTAINER in names:
        raise CvatdError("spec", f"stack.extra_containers: {INIT_CONTAINER} is what `cvatd init` works in.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CvatdError("spec", f"Two containers would be called {', '.join(twice)}: give one another name.")
    unknown = sorted(set(settings.memory_max) - set(names))
    if unknown:
        raise CvatdError("spec", f"stack.memory_max: there is no container {', '.join(unknown)}.")


def _warnings(settings: StackSettings, release: Release, containers: list[Container]) -> list[str]:
    warnings = []
    ui = releases.version_of_image(settings.images.get("ui", ""))
    if ui and ui != release.version:
        warnings.append(
            f"stack.images.ui is of {ui} and the server of {release.version}: they are made for each other."
        )
    if not release.checked:
        warnings.append(f"The facts of CVAT {release.version} are inferred, not read ({release.evidence}).")
    workers = [
        WorkerSettings(queues=container.queues, processes=container.processes)
        for container in containers
        if container.queues
    ]
    idle = idle_bytes(release, workers, settings.server_processes)
    if idle > settings.limits.memory_max:
        warnings.append(
            f"stack.limits.memory_max is {settings.limits.memory_max // MB} MB, and CVAT {release.version} with "
            f"{len(workers)} workers occupies about {idle // MB} MB when nobody uses it."
        )
    if settings.superuser.initial_password is not None:
        warnings.append("stack.superuser.initial_password stands in the settings, readable by others: change it.")
    return warnings


def _in_url(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def _source(source: str, settings: StackSettings) -> str:
    return source if source.startswith("/") or not source else str(settings.data_dir / source)


def fill(text: str, parameters: Parameters) -> str:
    """`text` with each @name@ replaced. Raises CvatdError "spec" for a name that there is not."""

    def value(match: re.Match[str]) -> str:
        found = parameters.get(match[1])
        if not isinstance(found, str):
            raise CvatdError("spec", f"stack.json: there is no parameter @{match[1]}@.")
        return found

    return PARAMETER.sub(value, text)


def fill_list(texts: Iterable[str], parameters: Parameters) -> list[str]:
    """As `fill`, and an item that is nothing but a parameter with several values becomes so many items."""
    filled: list[str] = []
    for text in texts:
        whole = PARAMETER.fullmatch(text)
        several = parameters.get(whole[1]) if whole else None
        filled += several if isinstance(several, list) else [fill(text, parameters)]
    return filled
