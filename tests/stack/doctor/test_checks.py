"""Each check finds what it is for, says it with evidence and a command, and finds nothing where all is well. Pure."""

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cvatd.core.errors import CvatdError
from cvatd.core.settings import LimitSettings, SuperuserSettings
from cvatd.stack.disk_usage import Size
from cvatd.stack.doctor.check import Check, Finding, Unknown
from cvatd.stack.doctor.evidence import Details, Evidence, Inside, Kernel, Rules, Sizes, Unseen
from cvatd.stack.doctor.examine import Mended, examine, mend
from cvatd.stack.doctor.registry import CHECKS, choose
from cvatd.stack.facts import DatabaseFacts, Facts, Queue, RedisFacts
from cvatd.stack.layout import Wrong
from cvatd.stack.limits import Stray
from cvatd.stack.readiness import InitState
from cvatd.stack.spec import Owner
from cvatd.stack.status_model import DiskStatus
from cvatd.stack.wishes import Wishes
from tests.stack.doctor.good import (
    DATA,
    DATABASE,
    FOUND,
    GB,
    HTTP,
    NOW,
    REDIS,
    SERVER_ID,
    STACK,
    USAGE,
    found,
    good,
    with_facts,
    with_files,
    with_found,
    with_lines,
    with_settings,
)

NAMES = [check.name for check in CHECKS]
STRAY = Stray("cvat-ui", 4711, "/machine.slice/x")
OLD = "docker.io/cvat/server:v2.21.0"
FULL = DiskStatus(total=100 * GB, free=4 * GB, used_percent=95.6)
NEARLY = DiskStatus(total=100 * GB, free=12 * GB, used_percent=87.0)
WRONG_OWNER = Wrong(DATA / "data", Owner(uid=1000, gid=1000, mode="0750"), 0, 0, 0o755)
DOWN = {name: found(name, state="exited") for name in STACK.names}


def exited(name: str, code: int = 1) -> Any:
    return found(name, state="exited", exit_code=code, exited_at=NOW - 300)


def redis(**changes: Any) -> Evidence:
    return with_facts(redis=replace(REDIS, **changes))


# (check, evidence of the fault, what its finding must show)
CASES: list[tuple[str, Evidence, list[str]]] = [
    ("podman", good(host=Unseen("There is no Podman socket at /x. Start it: systemctl …")), ["no Podman socket"]),
    ("podman", good(host=Unseen("Podman 3.4 is too old: 4.3 or newer is needed.")), ["too old"]),
    ("network", good(has_network=False), ["cvat-network", "--fix network"]),
    ("names", good(inside=Inside({"cvat-db": "Name or service not known"})), ["cvat-db: Name or service"]),
    ("port", good(port_holder="nginx (process 12)"), ["8093", "nginx (process 12)"]),
    ("disk", with_files(disk=FULL), ["96 %", "4.3 GB free"]),
    ("disk", with_files(disk=NEARLY), ["87 %", "above 90 %"]),
    ("overcommit", good(kernel=Kernel(overcommit_memory=0)), ["vm.overcommit_memory = 0", "sysctl"]),
    ("left-over", good(kernel=Kernel(left_over=60)), ["60", "exit_command_delay"]),
    ("clock", with_files(newest_state_at=NOW + 7200), ["2 h 0 min"]),
    ("folders", with_files(missing=[DATA / "logs"]), ["/srv/cvat/logs", "--fix folders"]),
    ("ownership", with_files(wrong=[WRONG_OWNER]), ["belongs to 0:0", "1000:1000", "--fix ownership"]),
    ("writable", good(inside=Inside(unwritable=["/home/django/data"])), ["/home/django/data"]),
    ("secret-modes", with_files(wide={DATA / "secrets": 0o755}), ["mode 0755", "--fix secret-modes"]),
    ("secrets", with_files(lost_secrets=["superuser-password"]), ["rotate superuser", "superuser-password"]),
    ("rotation", with_files(changing_secrets=["postgres-password"]), ["rotate database", "postgres-password.new"]),
    ("cache", good(sizes=Sizes(cache=Size(30 * 10**9, whole=False))), ["at least 30 GB", "cron_export"]),
    ("cache", good(sizes=Sizes(stale_exports=7, oldest_export_at=NOW - 5 * 86400)), ["7 exports", "5 d 0 h"]),
    ("kvrocks", good(sizes=Sizes(kvrocks=Size(40 * 10**9))), ["40 GB", "kvrocks"]),
    ("logs", good(sizes=Sizes(logs=Size(3 * 10**9))), ["3.0 GB"]),
    ("postgres-major", with_files(postgres_major=13), ["version 13", "version 15", "PG_VERSION"]),
    ("data-version", with_files(data_version="99.0.0"), ["99.0.0", STACK.version]),
    (
        "share",
        good(settings=with_settings(share=Path("/srv/pictures")).settings, inside=Inside(share_fault="Permission")),
        ["/srv/pictures: Permission", "chmod"],
    ),
    ("images", good(image_ids={"docker.io/cvat/ui:v2.80.0": None}), ["docker.io/cvat/ui:v2.80.0"]),
    (
        "release",
        with_found(found("cvat-worker-low", image=OLD)),
        ["cvat-worker-low runs docker.io/cvat/server:v2.21.0"],
    ),
    ("replaced", with_found(found("cvat-ui", image_id="7" * 64)), ["cvat-ui runs 7777"]),
    ("command", with_found(found("cvat-worker-low", image=OLD)), ["run worker quality_reports", "does not understand"]),
    (
        "command",
        with_lines("cvat-worker-low", "Error: could not find config file supervisord/worker.export.conf"),
        ["could not find config file"],
    ),
    ("down", good(found=DOWN), ["though it should", "cvatd up"]),
    ("down", good(found={}, wishes=Wishes(up=False)), ["nobody asked for it"]),
    ("running", with_found(exited("cvat-opa", 2)), ["cvat-opa is exited (status 2)", "all is well"]),
    ("running", with_found(without=("cvat-ui",)), ["cvat-ui is not there"]),
    (
        "stopped",
        with_found(exited("cvat-ui", 0), wishes=Wishes(True, frozenset({"cvat-ui"}))),
        ["by hand", "cvatd restart cvat-ui"],
    ),
    ("paused", with_found(found("cvat-db", state="paused")), ["cvat-db", "unpause"]),
    ("unhealthy", with_facts(http=replace(HTTP, ui_status=502)), ["cvat-ui: its pages answer with 502"]),
    ("restarts", good(details={"cvat-ui": Details(restarts=5)}), ["cvat-ui was restarted 5 times"]),
    ("restarts", good(restarts={"cvat-opa": 4}), ["cvat-opa was restarted 4 times"]),
    (
        "stale",
        with_found(
            found("cvat-ui", spec=STACK.container("cvat-ui").model_copy(update={"stop_s": 99}).model_dump_json())
        ),
        ["cvat-ui: stop_s"],
    ),
    ("foreign", with_found(found("cvat-redis", ours=False, image="docker.io/redis:3")), ["cvat-redis runs docker.io"]),
    ("undeclared", with_found(found("mailer")), ["mailer"]),
    (
        "init-failed",
        with_found(exited("cvat-init", 3), lines={"cvat-init": ["no such column"]}),
        ["status 3", "no such"],
    ),
    ("container-logs", good(details={"cvat-ui": Details(log_bytes=10**9)}), ["cvat-ui: 1.0 GB"]),
    ("limits", good(usage=replace(USAGE, memory_max=None)), ["no limit, declared 4.0 GB", "--fix limits"]),
    ("limits", good(usage=replace(USAGE, cpu_percent=None)), ["none, declared 100 %"]),
    ("strays", good(strays=[STRAY] * 7), ["process 4711 of cvat-ui", "/machine.slice/x", "and 2 more"]),
    ("pressure", good(usage=replace(USAGE, memory=4 * GB - 5)), ["100 %", "memory_max"]),
    ("pressure", good(usage=replace(USAGE, under_pressure=True)), ["25 %"]),
    ("oom-kills", good(usage=replace(USAGE, oom_kills=3)), ["3 kills"]),
    (
        "oom-kills",
        with_found(exited("cvat-server", 137), details={"cvat-server": Details(oom_killed=True)}),
        ["\ncvat-server ended with status 137"],
    ),
    (
        "oom-kills",
        with_found(exited("cvat-server", 137), usage=replace(USAGE, oom_kills=1)),
        ["cvat-server ended with status 137: for that, or by somebody's hand"],
    ),
    (
        "idle-budget",
        with_settings(limits=LimitSettings(memory_high=GB, memory_max=GB)),
        ["memory_max is 1.0 GB", "idle it takes"],
    ),
    (
        "database",
        with_facts(database=DatabaseFacts(fault="refused", words="password authentication failed")),
        ["password authentication failed", "rotate database"],
    ),
    ("database", with_facts(database=DatabaseFacts(fault="no_database", words="does not exist")), ["does not exist"]),
    ("migrations", with_facts(database=replace(DATABASE, migrations=None)), ["empty", "cvatd init"]),
    (
        "migrations",
        good(init=InitState("unmigrated", "3 migrations are not applied (a, b, c)")),
        ["3 migrations", "cvatd init"],
    ),
    ("superuser", with_facts(database=replace(DATABASE, superusers={"eve": "x"})), ["'admin'", "eve"]),
    (
        "initial-password",
        with_settings(superuser=SuperuserSettings(initial_password="admin")),
        ["'admin'", "rotate superuser"],
    ),
    ("opa", good(rules=Rules(False, False, "connection refused")), ["connection refused"]),
    (
        "bundle",
        with_lines("cvat-opa", "Bundle load failed: no such host", rules=Rules(True, False, "500")),
        ["no such host"],
    ),
    ("health", with_facts(http=replace(HTTP, status=500, checks={"DiskUsage": "97 %"})), ["500", "DiskUsage: 97 %"]),
    (
        "origin",
        with_lines(
            "cvat-server", "Forbidden (Origin checking failed - https://a.b does not match any trusted origins.)"
        ),
        ["https://a.b", "X-Forwarded-Proto"],
    ),
    (
        "origin",
        with_lines("cvat-proxy", "Origin refused: https://a.b, while CVAT was told http://a.b"),
        ["https://a.b, while CVAT was told http://a.b"],
    ),
    ("workers", redis(workers=REDIS.workers[1:]), ["0 of 1 workers of cvat-worker-default", "2 wait in import"]),
    (
        "workers",
        redis(workers=[replace(worker, gone=worker.hostname == "cvat-worker-low") for worker in REDIS.workers]),
        ["0 of 1 workers of cvat-worker-low listen to consensus"],
    ),
    (
        "heartbeats",
        redis(workers=[*REDIS.workers, replace(REDIS.workers[0], silent_s=500.0)]),
        ["cvat-worker-default", "8 min 20 s"],
    ),
    (
        "heartbeats",
        redis(workers=[*REDIS.workers, replace(REDIS.workers[0], hostname="a; b", silent_s=500.0)]),
        ["a worker of a; b", "\ncvatd restart\n"],
    ),
    ("failed", redis(queues={"export": Queue(0, 0, 4)}), ["4 requests", "export: 4 failed", "cvat-worker-default"]),
    (
        "work-horse",
        with_lines("cvat-worker-default", "Work-horse was terminated unexpectedly (waitpid returned 9)"),
        ["waitpid returned 9"],
    ),
    ("redis-emptied", redis(mark=""), ["emptied", "--fix redis-emptied"]),
    ("redis-saves", redis(info={"rdb_last_bgsave_status": "err"}), ["rdb_last_bgsave_status is err"]),
    (
        "redis-damaged",
        good(
            found=FOUND | {"cvat-redis": exited("cvat-redis")},
            facts=Facts({}, DATABASE, RedisFacts(fault="cvat-redis does not run"), HTTP),
            lines={"cvat-redis": ["Bad file format reading the append only file appendonly.aof.1.incr.aof"]},
        ),
        ["Bad file format", "redis-check-aof"],
    ),
]


def judge(name: str, seen: Evidence) -> Finding | None:
    return choose([name])[0].judge(seen)


@pytest.mark.parametrize(("name", "seen", "shown"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)])
def test_each_fault_is_found(name: str, seen: Evidence, shown: list[str]) -> None:
    finding = judge(name, seen)
    assert finding is not None
    text = "\n".join([finding.words, finding.command, *finding.evidence])
    assert [words for words in shown if words not in text] == [], text
    assert finding.words.endswith(".")
    assert "\n" not in finding.words
    assert finding.command


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_found_where_all_is_well(name: str) -> None:
    assert judge(name, good()) is None


def test_a_difference_that_holds_a_password_is_not_shown() -> None:
    declared = STACK.container("cvat-ui")
    before = declared.model_copy(update={"environment": declared.environment | {"DSN": "user=a correct-horse"}})
    finding = judge("stale", with_found(found("cvat-ui", spec=before.model_dump_json()), passwords=["correct-horse"]))
    assert finding is not None
    assert finding.evidence == ["cvat-ui: environment.DSN changed"]


def test_no_check_lacks_a_case() -> None:
    assert {case[0] for case in CASES} == set(NAMES)
    assert len(set(NAMES)) == len(NAMES)


def test_what_could_not_be_seen_is_never_good() -> None:
    nothing = Unseen("away")
    kept = {"settings", "stack", "now", "wishes", "initial_mark", "restarts", "passwords"}
    parts = {field.name for field in fields(Evidence)} - kept
    sharing = with_settings(share=Path("/srv/pictures")).settings
    blind = replace(good(), **dict.fromkeys(parts, nothing), settings=sharing)
    report = examine(CHECKS, blind)
    assert [check.name for check, _ in report.wrong] == ["podman"]
    # The one that needs nothing but the settings.
    assert report.good == ["idle-budget"]
    assert set(report.unknown) == set(NAMES) - {"podman", "idle-budget"}
    assert set(report.unknown.values()) == {"away"}


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("running", with_found(exited("cvat-ui"), wishes=Wishes(True, frozenset({"cvat-ui"})))),
        ("running", good(found=DOWN)),
        ("running", with_found(found("cvat-db", state="paused"))),
        ("network", good(has_network=False, found={}, wishes=Wishes(up=False))),
        ("foreign", with_found(found("cvat-ui", ours=False, systemd_unit="podman-cvat-ui.service"))),
        ("stopped", good(wishes=Wishes(True, frozenset({"cvat-ui"})))),
        ("undeclared", with_found(found("cvat-init"))),
        ("init-failed", with_found(found("cvat-init"))),
        ("postgres-major", with_files(postgres_major=None)),
        ("data-version", with_files(data_version="2.21.0")),
        ("redis-emptied", good(initial_mark={}, facts=replace(good().facts, redis=replace(REDIS, mark="")))),  # type: ignore[type-var]
        ("redis-damaged", with_lines("cvat-redis", "Bad file format reading the append only file")),
        ("share", good(inside=Inside(share_fault="no such file"))),
        ("limits", good(usage=replace(USAGE, memory_max=4 * GB - 4096))),
        ("release", with_found(found("cvat-ui", image="docker.io/mine/ui:v1.0.0"))),
        ("replaced", with_found(found("cvat-ui", image_id=SERVER_ID))),
        ("bundle", good(rules=Rules(False, False, "away"))),
        ("migrations", good(init=InitState("unmigrated", "there is no superuser 'admin'"))),
    ],
)
def test_what_is_meant_so_or_told_elsewhere_is_not_found(name: str, seen: Evidence) -> None:
    assert judge(name, seen) is None


def test_all_of_an_undisturbed_stack_is_good() -> None:
    report = examine(CHECKS, good())
    assert (report.wrong, report.unknown) == ([], {})
    assert report.good == NAMES


def test_urgent_findings_come_first_and_a_broken_check_hides_none() -> None:
    def broken(_: Evidence) -> Finding | None:
        raise KeyError("x")

    checks = [
        Check("late", "", "", lambda _: Finding("b.", "c", urgent=False)),
        Check("broken", "", "", broken),
        Check("first", "", "", lambda _: Finding("a.", "c")),
    ]
    report = examine(checks, good())
    assert [check.name for check, _ in report.wrong] == ["first", "late"]
    assert "itself broke: KeyError" in report.unknown["broken"]


def test_mending_goes_on_after_a_failure() -> None:
    done = []

    def fix(check: Check) -> None:
        if check.name == "folders":
            raise CvatdError("data_dir", "read-only file system")
        done.append(check.name)

    seen = with_files(missing=[DATA / "logs"], wrong=[WRONG_OWNER], disk=FULL)
    mended = mend(examine(CHECKS, seen), fix)
    assert done == ["ownership"]  # a full disk is nobody's to mend but a person's
    assert [(one.check, one.fault) for one in mended] == [("folders", "read-only file system"), ("ownership", "")]
    assert isinstance(mended[0], Mended)


def test_names_are_checked() -> None:
    assert [check.name for check in choose(["disk", "podman"])] == ["disk", "podman"]
    with pytest.raises(CvatdError, match="no check 'dsik'"):
        choose(["dsik"])


def test_unknown_is_what_it_says() -> None:
    with pytest.raises(Unknown, match="nobody"):
        judge("disk", good(files=Unseen("nobody looked")))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("cvatd up", "systemctl restart cvat.service"),
        ("cvatd plan, then cvatd up", "systemctl restart cvat.service"),
        ("cvatd down && cvatd up (made anew: cvat-ui)", "systemctl restart cvat.service (made anew: cvat-ui)"),
        ("cvatd restart", "systemctl restart cvat.service"),
        (
            "cvatd logs cvat-ui; cvatd restart cvat-ui cvat-db",
            "cvatd logs cvat-ui; systemctl restart podman-cvat-ui.service podman-cvat-db.service",
        ),
        (
            "cvatd doctor --fix network, then cvatd up",
            "cvatd doctor --fix network, then systemctl restart cvat.service",
        ),
        ("cvatd init", "cvatd init"),
    ],
)
def test_under_systemd_the_commands_are_systemctl(command: str, told: str) -> None:
    check = Check("x", "", "", lambda _: Finding("a.", command))
    assert examine([check], with_settings(manager="systemd")).wrong[0][1].command == told
    assert examine([check], good()).wrong[0][1].command == command
