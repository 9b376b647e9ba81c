"""The bound on the whole stack, proved by using more than it allows."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from cvatd.core import words
from cvatd.core.settings import ExtraContainer
from cvatd.stack import secret_files
from cvatd.stack.limits import CGROUPS, memory_cgroup
from cvatd.stack.runner import Runner
from tests.e2e.cvat.stand import SLICE, Stand
from tests.e2e.cvat.test_doctor import doctor, text

pytestmark = pytest.mark.e2e
MB = 1 << 20
LIMIT = 256 * MB
TIMEOUT_S = 30.0
IMAGE = "docker.io/cvat/server:v2.80.0"
# Step by step, so that two of them meet at the bound; each alone would stay below it.
GREEDY = "import time\nheld = []\nfor _ in range(18): held.append(bytearray(b'x' * (10 << 20))); time.sleep(0.02)\n"
HOLD = "print('all', flush=True)\ntime.sleep(600)"
BUSY = "while True: pass"
# The first process of a container hears no SIGTERM unless it asks for it.
QUIET = ExtraContainer(image=IMAGE, command=["bash", "-c", "trap 'exit 0' TERM; sleep 600 & wait"])


def program(text: str, **settings: int) -> ExtraContainer:
    return ExtraContainer(image=IMAGE, command=["bash", "-c", 'exec python3 -c "$0"', text], **settings)


def start(stand: Stand, limits: dict[str, int], **extra: ExtraContainer) -> Runner:
    """These containers alone, in the place where `up` puts all of them."""
    stand.configure(limits=limits, extra_containers={name: one.model_dump() for name, one in extra.items()})
    runner = stand.runner()
    runner.prepare()
    stack = runner.stack()
    stand.podman.ensure_network(stack.network)
    for name in extra:
        folder = secret_files.folder(stand.settings)
        stand.podman.create(stack.container(name), stack.network, runner.parent.argument, folder)
    for name in extra:
        stand.podman.start(name)
    return runner


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {TIMEOUT_S} s for {what}"
        time.sleep(0.02)


def peak() -> int:
    """The most that the parent ever held, by the kernel's own account."""
    files = [CGROUPS / "memory" / SLICE / "memory.max_usage_in_bytes", CGROUPS / SLICE / "memory.peak"]
    return next(int(file.read_text()) for file in files if file.exists())


def throttled() -> int:
    files = [CGROUPS / "cpu" / SLICE / "cpu.stat", CGROUPS / SLICE / "cpu.stat"]
    text = next(file.read_text() for file in files if file.exists())
    return int(dict(line.split() for line in text.splitlines())["nr_throttled"])


def parents() -> list[Path]:
    return [*CGROUPS.glob(f"*/{SLICE}"), *CGROUPS.glob(SLICE)]


def test_the_sum_of_all_containers_stays_below_the_memory_limit(stand: Stand) -> None:
    limits = {"cpu_percent": 400, "memory_high": LIMIT, "memory_max": LIMIT}
    runner = start(stand, limits, greedy=program(GREEDY + HOLD), grabbing=program(GREEDY + HOLD))
    names = ("greedy", "grabbing")

    def ended() -> list[str]:
        found = stand.containers()
        return [name for name in names if not found[name].running]

    def settled() -> bool:
        usage = runner.parent.usage()
        assert usage is not None
        assert usage.memory <= LIMIT
        living = [name for name in names if name not in ended()]
        return len(living) == 1 and stand.podman.logs(living[0], 5).strip() == "all"

    wait_until(settled, "one to be killed and the other to have all that it wants")
    (killed,) = ended()
    assert stand.containers()[killed].exit_code == 137
    assert "for want of memory" in runner.explain_end(killed)
    usage = runner.parent.usage()
    assert usage is not None
    assert usage.memory_max == LIMIT
    # The one that lives holds 180 MB: the bound is real, and it is not each container's own.
    assert 180 * MB <= peak() <= LIMIT

    # A bound so close to what it holds that nothing else has room.
    close = usage.memory * 100 // 97
    stand.configure(limits=limits | {"memory_high": close, "memory_max": close})
    stand.runner().prepare()
    pressed = doctor(stand, "pressure")["wrong"]["pressure"]
    assert f"of {words.memory(close)} used (9" in text(pressed)

    # What ends by hand is not laid on the kernel, though it has killed here before.
    (living,) = {*names} - {killed}
    stand.host.run("kill", living)
    assert stand.containers()[living].exit_code == 137
    assert "The kernel killed" not in runner.explain_end(living)


def test_two_busy_containers_share_the_processor_quota(stand: Stand) -> None:
    # Little enough that it is felt also where others keep the processors busy.
    limits = {"cpu_percent": 10, "memory_high": LIMIT, "memory_max": LIMIT}
    runner = start(stand, limits, one=program(BUSY), two=program(BUSY))
    wait_until(lambda: throttled() > 5, "the quota to be felt")
    began, before = time.monotonic(), runner.parent.usage()
    time.sleep(3)
    after, seconds = runner.parent.usage(), time.monotonic() - began
    assert before is not None
    assert after is not None
    assert after.cpu_percent == 10
    # One period of the quota may have been begun before and one may end after.
    assert after.cpu_s - before.cpu_s <= 0.1 * seconds + 0.2
    assert after.cpu_s > before.cpu_s


def test_a_container_has_its_own_limit_below_that_of_all(stand: Stand) -> None:
    limits = {"cpu_percent": 400, "memory_high": 4 * LIMIT, "memory_max": 4 * LIMIT}
    runner = start(stand, limits, greedy=program(GREEDY + HOLD, memory_max=64 * MB), quiet=QUIET)
    wait_until(lambda: not stand.containers()["greedy"].running, "the greedy one to be killed")
    assert stand.containers()["greedy"].exit_code == 137
    assert stand.containers()["quiet"].running
    assert peak() < 4 * LIMIT
    assert "for want of memory" in runner.explain_end("greedy")


def test_changed_limits_hold_without_a_restart(stand: Stand) -> None:
    first = {"cpu_percent": 400, "memory_high": 4 * LIMIT, "memory_max": 4 * LIMIT}
    runner = start(stand, first, quiet=QUIET)
    before = stand.ids()
    second = {"cpu_percent": 70, "memory_high": LIMIT, "memory_max": 2 * LIMIT}
    for limits in (second, first):  # down and up again: memory and swap must change in two different orders
        stand.configure(limits=limits)
        stand.runner().prepare()
        usage = runner.parent.usage()
        assert usage is not None
        assert (usage.cpu_percent, usage.memory_high, usage.memory_max) == tuple(limits.values())
    assert stand.ids() == before


def test_every_process_of_every_container_lies_inside(standing: Stand) -> None:
    runner = standing.runner()
    pids = {name: found.pid for name, found in standing.containers().items() if found.running}
    assert set(pids) == set(runner.stack().names)
    assert runner.parent.strays(pids) == []
    # Read back apart from our own code, process by process; Podman's `exec` puts its processes there too.
    inside = set()
    for name in pids:
        shown = standing.podman.execute(name, ["cat", "/proc/self/cgroup"]) if name != "cvat-opa" else None
        if shown is not None:
            assert f"/{SLICE}/" in memory_cgroup(shown.out), name
        top = standing.host.run("top", name, "hpid").stdout.split()[1:]
        inside |= {int(pid) for pid in top if Path("/proc", pid).exists()}
    assert len(inside) > len(pids)
    for pid in inside:
        assert memory_cgroup(Path(f"/proc/{pid}/cgroup").read_text()).startswith(f"/{SLICE}/"), pid


def test_a_container_outside_is_found(stand: Stand) -> None:
    limits = {"cpu_percent": 400, "memory_high": LIMIT, "memory_max": LIMIT}
    runner = start(stand, limits, inside=program(BUSY))
    stand.host.run("run", "--detach", "--name", "outside", "--network=none", IMAGE, "bash", "-c", "sleep 600 & wait")
    wait_until(lambda: len(stand.host.run("top", "outside", "hpid").stdout.split()) == 3, "its second process")
    pids = {name: found.pid for name, found in stand.containers().items()}
    strays = runner.parent.strays(pids)
    assert {stray.container for stray in strays} == {"outside"}
    assert len(strays) == 2


def test_down_removes_the_parent(stand: Stand) -> None:
    limits = {"cpu_percent": 400, "memory_high": LIMIT, "memory_max": LIMIT}
    runner = start(stand, limits, quiet=QUIET)
    assert parents()
    runner.down(lambda *words: None)
    assert stand.containers() == {}
    assert parents() == []
