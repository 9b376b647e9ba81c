"""Podman, the kernel, the network, the port, the clock. Pure."""

from cvatd.core import words
from cvatd.stack.doctor.check import Check, Finding, Unknown
from cvatd.stack.doctor.evidence import Evidence, Unseen, known
from cvatd.stack.doctor.mends import make_network

FULL_PERCENT = 90.0
NEARLY_FULL_PERCENT = 85.0
MANY_LEFT_OVER = 40
FUTURE_S = 120.0


def podman(seen: Evidence) -> Finding | None:
    if not isinstance(seen.host, Unseen):
        return None
    sentence, _, rest = seen.host.why.partition(". ")
    command = rest or "systemctl restart podman.socket"
    return Finding(f"Podman cannot be asked: {sentence.rstrip('.')}.", command)


def network(seen: Evidence) -> Finding | None:
    if known(seen.has_network):
        return None
    here = [name for name in seen.stack.names if name in known(seen.found)]
    if not here and not seen.wishes.up:
        return None  # `down` takes it away
    return Finding(
        f"The network {seen.stack.network} is not there.",
        "cvatd doctor --fix network, then cvatd up",
        [f"declared in it: {', '.join(here)}"] if here else [],
    )


def names(seen: Evidence) -> Finding | None:
    unresolved = known(seen.inside).unresolved
    if not unresolved:
        return None
    return Finding(
        f"{len(unresolved)} names of the stack are not known inside of cvat-server: its name server does not answer "
        "or a container has left the network.",
        "cvatd restart",
        [f"{name}: {said}" for name, said in sorted(unresolved.items())],
    )


def port(seen: Evidence) -> Finding | None:
    holder = known(seen.port_holder)
    if holder is None:
        return None
    return Finding(
        f"Port {seen.settings.port} of {seen.settings.host}, which CVAT needs, is taken by {holder}.",
        f"ss -ltnp 'sport = :{seen.settings.port}', then end that program, or set another stack.port",
    )


def disk(seen: Evidence) -> Finding | None:
    files = known(seen.files)
    if files.disk is None:
        raise Unknown(f"{seen.settings.data_dir} is not there")
    percent = files.disk.used_percent
    if percent <= NEARLY_FULL_PERCENT:
        return None
    full = percent > FULL_PERCENT
    what = "CVAT locks people out" if full else f"CVAT locks people out above {FULL_PERCENT:.0f} %"
    return Finding(
        f"The disk of {seen.settings.data_dir} is {percent:.0f} % full: {what}.",
        f"free space: podman image prune; du -xh --max-depth=3 {seen.settings.data_dir} | sort -h | tail",
        [f"{words.size(files.disk.free)} free of {words.size(files.disk.total)}"],
        urgent=full,
    )


def overcommit(seen: Evidence) -> Finding | None:
    value = known(seen.kernel).overcommit_memory
    if value == 1:
        return None
    return Finding(
        "vm.overcommit_memory is not 1: Redis may fail to save its data when memory is short.",
        "sysctl vm.overcommit_memory=1 (and in /etc/sysctl.d, so that it stays)",
        [f"vm.overcommit_memory = {value}"],
        urgent=False,
    )


def left_over(seen: Evidence) -> Finding | None:
    count = known(seen.kernel).left_over
    if count < MANY_LEFT_OVER:
        return None
    return Finding(
        f"Podman keeps {count} processes of commands that have ended; they count against the limits of the slice.",
        "set exit_command_delay = 10 below [engine] in /etc/containers/containers.conf",
        [f"{count} conmon processes without a command"],
        urgent=False,
    )


def clock(seen: Evidence) -> Finding | None:
    ahead_s = known(seen.files).newest_state_at - seen.now
    if ahead_s < FUTURE_S:
        return None
    return Finding(
        f"The clock of this host went back: files of the stack are from {words.duration(ahead_s)} in the future. "
        "Sessions, heartbeats and time-outs go by it.",
        "timedatectl set-ntp true; timedatectl status",
        [f"newest file in {seen.settings.data_dir / 'state'}: {ahead_s:.0f} s ahead"],
    )


CHECKS = [
    Check(
        "podman",
        "Podman does not answer, may not be asked by this user, or is older than 4.3",
        "start its socket, use sudo, or update it (the finding says which)",
        podman,
    ),
    Check("network", "the network of the containers is missing", "`cvatd doctor --fix network`", network, make_network),
    Check("names", "containers do not find each other by name", "`cvatd restart`", names),
    Check("port", "another program has CVAT's port", "end it, or set another `stack.port`", port),
    Check("disk", "the disk is above 85 %, or above 90 % and CVAT locks people out", "free space", disk),
    Check(
        "overcommit",
        "`vm.overcommit_memory` is not 1, which Redis needs",
        "`sysctl vm.overcommit_memory=1`",
        overcommit,
    ),
    Check(
        "left-over",
        "Podman keeps processes of ended commands in the slice",
        "`exit_command_delay = 10` in containers.conf",
        left_over,
    ),
    Check("clock", "the host's clock went back behind the stack's own files", "`timedatectl set-ntp true`", clock),
]
