"""The rows of CVAT's stack: start, no change, commands, memory. On the tests' own Podman and images, so as root.

Cold start is compared with its longest chain of needs alone (database, init, server), and with podman-compose.
"""

import signal
import statistics
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from cvatd.stack import facts, health, readiness, secret_files
from cvatd.stack.runner import Runner
from cvatd.stack.spec import SECRETS_TARGET, Container, Stack
from tests import podman_host
from tests.e2e.cvat.stand import CVATD, Stand, clear
from tests.images import build
from tests.podman_host import PodmanHost

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = ROOT / ".cache" / "compose" / "bin" / "podman-compose"
MANAGE = ROOT / "scripts" / "cvat-manage"
CHAIN = ("cvat-db", "cvat-server")
LINKS = (("cvat-db", "starting", "healthy"), ("init", "working", "done"), ("cvat-server", "starting", "healthy"))
STARTS = 3
ROUNDS = 7
READY_TIMEOUT_S = 120
POLL_S = 0.1
SETTLE_S = 5

Row = tuple[str, str, str]


def rows() -> list[Row]:
    """Empty, with the reason on the terminal, where Podman cannot run."""
    reason = podman_host.missing() or build.missing()
    if reason:
        print(f"the stack is not measured: {reason}")
        return []
    host = PodmanHost()
    host.start()
    try:
        clear(host)
        build.ensure(host)
        return [*_cold_starts(host), *_commands(host)]
    finally:
        clear(host)
        host.stop()


def _cold_starts(host: PodmanHost) -> list[Row]:
    """The three in turn, each on fresh data."""
    times: dict[str, list[float]] = {"chain": [], "ours": [], "compose": []}
    within: list[float] = []
    ways: dict[str, Callable[[Stand], float]] = {"chain": _chain, "ours": lambda stand: _ours(stand, within)}
    if COMPOSE.exists():
        ways["compose"] = _compose
    for number in range(STARTS):
        print(f"cold start of CVAT's stack: round {number + 1} of {STARTS}", flush=True)
        for name, way in ways.items():
            stand = Stand(host)
            try:
                times[name].append(way(stand))
            finally:
                stand.close()
    found = {name: statistics.median(each) for name, each in times.items() if each}
    made = []
    for where, chain in (("run alone", found["chain"]), ("as it ran within", statistics.median(within))):
        words = f"{found['ours'] / chain:.2f}x its longest chain {where}  ({found['ours']:.1f} s against {chain:.1f} s)"
        made.append((f"cold start to ready, median of {STARTS}", words, "<= 1.10x"))
    if "compose" in found:
        ratio = found["ours"] / found["compose"]
        words = f"{ratio:.2f}x podman-compose  ({found['ours']:.1f} s against {found['compose']:.1f} s)"
        made.append(("the same stack by podman-compose", words, "<= 1.00x"))
    return made


def _ours(stand: Stand, within: list[float]) -> float:
    """Into `within` goes what the same chain took in the midst of all else, by what `up` tells."""
    at: dict[tuple[str, str], float] = {}
    began = time.perf_counter()
    process = stand.start("up")
    for line in process.stdout or ():
        name, _, state = line.rstrip("\n").partition("\t")
        at.setdefault((name, state.partition("\t")[0]), time.perf_counter())
    assert process.wait(READY_TIMEOUT_S) == 0
    seconds = time.perf_counter() - began
    within.append(sum(at[link, last] - at[link, first] for link, first, last in LINKS))
    return seconds


def _chain(stand: Stand) -> float:
    """Database, init, server, and nothing beside them: the rest runs before, and workers do not run at all."""
    runner = stand.runner()
    runner.prepare()
    stack = runner.stack()
    stand.podman.ensure_network(stack.network)
    beside = [container for container in stack.containers if container.name not in CHAIN and not container.queues]
    for container in beside:
        runner.make(container)
    for container in beside:  # some are asked from inside of others
        _wait_healthy(runner, container)
    began = time.perf_counter()
    runner.make(stack.container("cvat-db"))
    _wait_healthy(runner, stack.container("cvat-db"))
    runner.initialiser(stack).ensure(lambda words: None)
    runner.make(stack.container("cvat-server"))
    _wait(lambda: facts.http_facts(stand.settings).status == 200)
    return time.perf_counter() - began


def _wait_healthy(runner: Runner, container: Container) -> None:
    _wait(lambda: health.probe(runner.podman, container).well)


def _compose(stand: Stand) -> float:
    """As CVAT's own compose file has it: the server initialises, the rest waits by its own loops."""
    runner = stand.runner()
    runner.prepare()
    stack = runner.stack()
    file = stand.folder / "compose.yml"
    file.write_text(yaml.safe_dump(compose_file(stack, secret_files.folder(stand.settings)), sort_keys=False))
    podman = stand.folder / "podman"
    podman.write_text(f'#!/bin/sh\nexec {" ".join(stand.host.command)} "$@"\n')
    podman.chmod(0o755)
    began = time.perf_counter()
    done = subprocess.run(
        [COMPOSE, "--podman-path", podman, "--in-pod", "false", "-p", "cvat", "-f", file, "up", "--detach"],
        env=stand.host.environment,
        cwd=stand.folder,
        capture_output=True,
        text=True,
        timeout=READY_TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    _wait(lambda: _is_ready(stand, stack))
    return time.perf_counter() - began


def compose_file(stack: Stack, secrets: Path) -> dict[str, object]:
    """The stack's containers in Compose's words."""
    services = {}
    for container in stack.containers:
        mounts = [(mount.source, mount.target, mount.read_only) for mount in container.mounts]
        mounts += [(str(secrets / name), f"{SECRETS_TARGET}/{name}", True) for name in container.secrets]
        command = ["init", *container.command] if container.name == "cvat-server" else container.command
        services[container.name] = {
            "image": container.image,
            "container_name": container.name,
            "hostname": container.name,
            **({"command": [part.replace("$", "$$") for part in command]} if command else {}),
            "environment": {name: value.replace("$", "$$") for name, value in container.environment.items()},
            "volumes": [f"{source}:{target}{':ro' * read_only}" for source, target, read_only in mounts],
            "ports": [f"{p.host}:{p.host_port}:{p.port}" for p in container.publish],
            "networks": {"cvat": {"aliases": container.aliases}},
            "depends_on": container.needs,
            "init": container.init,
            "restart": "always",
        }
    return {"services": services, "networks": {"cvat": {}}}


def _is_ready(stand: Stand, stack: Stack) -> bool:
    seen = facts.http_facts(stand.settings)
    if seen.status != 200 or seen.ui_status != 200:
        return False
    queues = facts.redis_facts(stand.podman, stand.containers())
    return not queues.fault and not readiness.lacking_workers(stack.containers, queues)


def _commands(host: PodmanHost) -> list[Row]:
    stand = Stand(host)
    try:
        stand.cvatd("up", timeout_s=READY_TIMEOUT_S)
        return [_nothing_changed(stand), _status(stand, "without the daemon"), _manage(stand), *_daemon(stand)]
    finally:
        stand.close()


def _nothing_changed(stand: Stand) -> Row:
    print("cvatd up with nothing changed, status, cvat-manage", flush=True)
    before = {name: (found.id, found.started_at) for name, found in stand.containers().items()}
    seconds = _median([CVATD, "up"], stand)
    after = {name: (found.id, found.started_at) for name, found in stand.containers().items()}
    restarts = len(before.items() ^ after.items())
    return ("up with nothing changed, median", f"{seconds:.2f} s, {restarts} restarts", "<= 1 s, 0 restarts")


def _status(stand: Stand, where: str) -> Row:
    return (f"cvatd status {where}, median", f"{1000 * _median([CVATD, 'status'], stand):.0f} ms", "<= 300 ms")


def _manage(stand: Stand) -> Row:
    """In turn with the bare way, so that both see the same machine."""
    host = stand.host
    bare = [*host.command, "exec", "cvat-server", "python3", "manage.py", "version"]
    pairs = [(_time([MANAGE, "version"], stand.env), _time(bare, host.environment)) for _ in range(ROUNDS)]
    more = statistics.median(ours - theirs for ours, theirs in pairs)
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    words = f"{1000 * more:+.0f} ms  ({1000 * ours:.0f} ms against {1000 * theirs:.0f} ms)"
    return ("cvat-manage over bare podman exec", words, "<= +50 ms")


def _daemon(stand: Stand) -> list[Row]:
    """Its memory after a few rounds of watching, and what it spares a status."""
    stand.configure(socket=str(stand.folder / "daemon.sock"))
    process = subprocess.Popen([CVATD, "daemon"], env=stand.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait(lambda: process.poll() is not None or (stand.folder / "daemon.sock").exists())
        time.sleep(SETTLE_S)
        if process.poll() is not None:
            print("the daemon is not measured: it ended")
            return []
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        kilobytes = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
        return [
            ("idle memory of the daemon", f"{kilobytes / 1024:.1f} MB", "<= 80 MB"),
            _status(stand, "beside the daemon"),
        ]
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()


def _median(command: list[str | Path], stand: Stand) -> float:
    return statistics.median(_time(command, stand.env) for _ in range(ROUNDS))


def _time(command: list[str | Path], environment: dict[str, str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, timeout=60)
    seconds = time.perf_counter() - began
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return seconds


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {READY_TIMEOUT_S} s"
        time.sleep(POLL_S)
