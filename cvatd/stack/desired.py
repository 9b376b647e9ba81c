"""What this host should run: the rendered stack, with marks of the files that containers see at their start only."""

import hashlib
from pathlib import Path

from cvatd.core.errors import CvatdError
from cvatd.core.settings import StackSettings
from cvatd.stack import layout, releases, render, secret_files, versions
from cvatd.stack.limits import Parent
from cvatd.stack.spec import Container, Stack


def desired(settings: StackSettings, parent: Parent) -> Stack:
    """The stack, each container with `made_with`: a change of these makes it anew, as one of its declaration does."""
    stack = render.render(settings)
    conf = hashlib.sha256(layout.proxy_configuration(settings).encode()).hexdigest()[:16]
    containers = [
        container.model_copy(update={"made_with": _made_with(container, settings, parent, conf)})
        for container in stack.containers
    ]
    return stack.model_copy(update={"containers": containers})


def check_data(settings: StackSettings, stack: Stack) -> None:
    """Refuse to start images on data that they cannot read. Raises CvatdError "data_version"."""
    belongs = versions.data_version(settings)
    if belongs and releases.parse(belongs) > releases.parse(stack.version):
        raise CvatdError(
            "data_version",
            f"The data in {settings.data_dir} belong to CVAT {belongs} and the images are of {stack.version}: an older "
            f"CVAT cannot read them. Set stack.version to {belongs}, or restore a backup made with {stack.version}.",
        )
    major, wanted = versions.postgres_major(settings), releases.find(stack.version).postgres_major
    if settings.database is None and major is not None and major != wanted:
        raise CvatdError(
            "data_version",
            f"{settings.data_dir / 'postgres'} was made by PostgreSQL {major} and CVAT {stack.version} runs "
            f"PostgreSQL {wanted}. Dump it with the old image and restore it into an empty folder.",
        )


def _made_with(container: Container, settings: StackSettings, parent: Parent, conf: str) -> dict[str, str]:
    marks = {"cgroup parent": parent.argument}
    if any(mount.source == str(settings.data_dir / layout.NGINX_CONF) for mount in container.mounts):
        marks["nginx.conf"] = conf
    if any(mount.source == str(secret_files.django_key_file(settings).parent) for mount in container.mounts):
        marks["django-key"] = _mark(secret_files.django_key_file(settings))
    for secret in container.secrets:
        marks[secret] = _mark(secret_files.path(settings, secret))
    return marks


def _mark(path: Path) -> str:
    """Tells one secret from the next without telling what it is."""
    try:
        return str(path.stat().st_mtime_ns)
    except (FileNotFoundError, NotADirectoryError):
        return ""
