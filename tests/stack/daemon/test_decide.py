"""What the daemon does: the cases, and the laws that hold for each sequence of them."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from cvatd.stack.daemon.decide import MENDING, Action, Decision, History, Policy, Seen, Sight, decide

POLICY = Policy()
NOW = 10_000.0
WELL = Seen("cvat-db", "running", 0.0, well=True)
DEAD = Seen("cvat-db", "exited", 0.0, words="ended by itself with status 137")


def one(seen: Seen, sight: Sight | None = None, history: History | None = None, now: float = NOW) -> Decision:
    sight = replace(sight or Sight(up=True), containers=(*(sight.containers if sight else ()), seen))
    return decide({seen.name: history} if history else {}, sight, now, POLICY)


def verbs(decision: Decision) -> list[str]:
    return [action.verb for action in decision.actions]


def test_what_is_well_is_left_alone() -> None:
    decision = one(WELL)
    assert (decision.actions, decision.says) == ([], {})


def test_what_died_is_started() -> None:
    assert one(DEAD).actions == [Action("start", "cvat-db", "ended by itself with status 137")]


def test_what_is_unwell_is_restarted() -> None:
    decision = one(replace(WELL, well=False, words="no answer"))
    assert decision.actions == [Action("restart", "cvat-db", "unhealthy: no answer")]


def test_it_waits_for_podman_to_tell_all_of_an_end() -> None:
    assert one(replace(DEAD, since=NOW - POLICY.settle_s / 2)).actions == []
    assert one(replace(DEAD, since=NOW - POLICY.settle_s / 2, ended_by="stopped by hand")).actions == []


def test_what_a_person_ended_is_recorded_and_stays_so() -> None:
    decision = one(replace(DEAD, ended_by="killed by hand"))
    assert decision.actions == [Action("record_stopped", "cvat-db", "killed by hand")]
    stopped = Sight(up=True, stopped=frozenset({"cvat-db"}))
    assert one(DEAD, stopped).actions == []
    assert one(DEAD, stopped).says == {"cvat-db": "stopped by hand"}


def test_what_a_person_removed_is_recorded() -> None:
    assert verbs(one(replace(DEAD, state="absent", ended_by="removed by hand"))) == ["record_stopped"]


def test_what_a_person_started_again_is_wanted_again() -> None:
    assert verbs(one(WELL, Sight(up=True, stopped=frozenset({"cvat-db"})))) == ["record_wanted"]


def test_others_states_are_only_told() -> None:
    for state, word in (("absent", "cvatd up"), ("created", "cvatd up"), ("paused", "podman unpause cvat-db")):
        decision = one(replace(DEAD, state=state))
        assert decision.actions == []
        assert word in decision.says["cvat-db"]


def test_nothing_while_another_command_is_at_work() -> None:
    given_up = History(tuple(NOW - 1 for _ in range(10)), 10, None, True)
    decision = one(DEAD, Sight(up=True, held=True), given_up)
    assert decision.actions == []
    assert decision.histories == {}  # what was given up gets a fresh chance


def test_nothing_when_the_stack_is_to_be_down() -> None:
    assert one(DEAD, Sight(up=False)).actions == []
    assert one(replace(WELL, well=False), Sight(up=False)).actions == []


def test_it_waits_for_what_it_needs() -> None:
    server = Seen("cvat-server", "exited", 0.0, needs=("cvat-db", "cvat-redis"))
    for need in (DEAD, replace(WELL, well=None), replace(WELL, well=False)):
        decision = decide({}, Sight(up=True, containers=(need, server)), NOW, POLICY)
        assert "cvat-server" not in [action.container for action in decision.actions]
        assert "waits for cvat-db" in decision.says["cvat-server"]
    decision = decide({}, Sight(up=True, containers=(WELL, server)), NOW, POLICY)
    assert [action.container for action in decision.actions] == ["cvat-server"]


def test_what_waits_for_init_waits_for_the_one_that_runs() -> None:
    server = Seen("cvat-server", "exited", 0.0, waits_for_init=True)
    assert one(server, Sight(up=True, initialising=True)).actions == []
    assert verbs(one(server)) == ["start"]


def test_after_a_restart_of_the_host_all_come_back_in_order() -> None:
    stack = (DEAD, Seen("cvat-ui", "exited", 0.0), Seen("cvat-server", "exited", 0.0, needs=("cvat-db",)))
    first = decide({}, Sight(up=True, containers=stack), NOW, POLICY)
    assert [action.container for action in first.actions] == ["cvat-db", "cvat-ui"]
    then = decide(first.histories, Sight(up=True, containers=(WELL, *stack[2:])), NOW + 5, POLICY)
    assert [action.container for action in then.actions] == ["cvat-server"]


def test_given_up_is_said_with_what_to_do() -> None:
    history = History(tuple(NOW - 100 + at for at in range(POLICY.ceiling)), POLICY.ceiling)
    decision = one(DEAD, history=history)
    assert decision.actions == []
    assert decision.histories["cvat-db"].given_up
    assert decision.says["cvat-db"] == (
        "given up after 10 restarts within 1 h 0 min: ended by itself with status 137. `cvatd restart` tries again"
    )
    owned = one(replace(DEAD, unit=UNIT, unit_state="failed"), history=history)
    assert owned.says["cvat-db"].endswith(f"`systemctl restart {UNIT}` tries again")


def test_given_up_stays_so_until_it_was_well_for_long() -> None:
    given_up = History((), 10, None, True)
    assert one(DEAD, history=given_up).actions == []
    later = one(WELL, history=given_up).histories["cvat-db"]
    assert later.given_up
    assert not one(WELL, history=later, now=NOW + POLICY.well_s).histories["cvat-db"].given_up


def test_a_good_time_makes_the_pauses_short_again() -> None:
    history = one(WELL, history=History((NOW - 5,), 7)).histories["cvat-db"]
    assert history.level == 7
    assert one(WELL, history=history, now=NOW + POLICY.well_s).histories["cvat-db"].level == 0


UNIT = "podman-cvat-db.service"


def test_under_systemd_only_systemd_is_asked() -> None:
    owned = replace(DEAD, unit=UNIT, unit_state="failed")
    assert one(owned, Sight(up=False)).actions == [Action("start", "cvat-db", f"its unit {UNIT} failed", UNIT)]
    unwell = replace(WELL, well=False, unit=UNIT, unit_state="active")
    assert one(unwell).actions == [Action("restart", "cvat-db", "unhealthy", UNIT)]


def test_what_systemd_does_itself_is_its_own_matter() -> None:
    for state in ("inactive", "activating", "deactivating", "reloading", ""):
        ended = replace(DEAD, unit=UNIT, unit_state=state, ended_by="stopped by hand")
        assert one(ended).actions == []
        assert one(replace(ended, state="absent")).actions == []


def test_an_active_unit_gets_time_to_notice() -> None:
    ended = replace(DEAD, unit=UNIT, unit_state="active", since=NOW - 5)
    assert one(ended).actions == []
    assert verbs(one(ended, now=NOW + POLICY.systemd_s)) == ["restart"]
    gone = replace(ended, state="absent")
    assert one(gone).actions == []
    assert verbs(one(gone, now=NOW + POLICY.systemd_s)) == ["restart"]


NAMES = ("a", "b", "c")
STATES = ("running", "exited", "stopped", "absent", "created", "paused", "stopping")
ENDS = (None, None, "stopped by hand")
UNITS = (None, None, UNIT)


@st.composite
def sights(draw: st.DrawFn, free: bool = False) -> Sight:
    """`free`: nothing but time hinders a mending."""
    containers = tuple(
        Seen(
            name,
            draw(st.sampled_from(("running", "exited") if free else STATES)),
            since=draw(st.floats(0, 5000)) if not free else 0.0,
            well=draw(st.sampled_from((True, False, None))),
            needs=draw(st.sampled_from(((), ("a",)))) if name != "a" and not free else (),
            waits_for_init=draw(st.booleans()) and not free,
            ended_by=None if free else draw(st.sampled_from(ENDS)),
            unit=None if free else draw(st.sampled_from(UNITS)),
            unit_state=draw(st.sampled_from(("active", "failed", "inactive", ""))),
        )
        for name in NAMES
    )
    stopped = frozenset() if free else frozenset(draw(st.sets(st.sampled_from(NAMES))))
    rare = st.integers(0, 9).map(lambda number: number == 0)
    return Sight(
        free or draw(st.booleans()), stopped, not free and draw(rare), not free and draw(st.booleans()), containers
    )


STEPS = st.lists(st.tuples(st.floats(0.1, 400), sights()), max_size=60)
FREE_STEPS = st.lists(st.tuples(st.floats(0.1, 400), sights(free=True)), max_size=60)
SMALL = Policy(ceiling=3, window_s=1000, well_s=300)


def run(steps: list[tuple[float, Sight]], policy: Policy) -> list[tuple[float, Sight, Decision]]:
    histories: dict[str, History] = {}
    now, done = NOW, []
    for gap_s, sight in steps:
        now += gap_s
        decision = decide(histories, sight, now, policy)
        histories = decision.histories
        done.append((now, sight, decision))
    return done


@given(FREE_STEPS)
def test_never_above_the_ceiling(steps: list[tuple[float, Sight]]) -> None:
    acts = [(now, action.container) for now, _, made in run(steps, SMALL) for action in made.actions]
    for now, name in acts:
        within = [at for at, other in acts if other == name and 0 <= now - at < SMALL.window_s]
        assert len(within) <= SMALL.ceiling


@given(STEPS)
def test_never_against_a_persons_wish(steps: list[tuple[float, Sight]]) -> None:
    for _, sight, decision in run(steps, SMALL):
        for action in decision.actions:
            seen = next(seen for seen in sight.containers if seen.name == action.container)
            assert not sight.held
            if seen.unit is not None:
                assert action.unit == seen.unit
                assert action.verb in MENDING
                assert seen.unit_state in {"active", "failed"}
            elif action.verb in MENDING:
                assert sight.up
                assert seen.name not in sight.stopped
                assert not (seen.ended_by and seen.state != "running")
                assert seen.state in {"running", "exited", "stopped"}
                assert not (seen.state == "running" and seen.well is not False)


@given(STEPS)
def test_one_act_a_container_and_a_reason_for_each(steps: list[tuple[float, Sight]]) -> None:
    for _, _, decision in run(steps, SMALL):
        names = [action.container for action in decision.actions]
        assert len(names) == len(set(names))
        assert all(action.reason for action in decision.actions)


@given(st.integers(1, 40))
def test_pauses_grow_and_are_bounded(level: int) -> None:
    assert POLICY.pause_s(level) <= POLICY.pause_s(level + 1) <= POLICY.longest_pause_s
    assert POLICY.pause_s(level) >= POLICY.first_pause_s


@given(st.floats(0.2, 20))
@settings(max_examples=20)
def test_one_that_dies_at_once_is_started_after_growing_pauses(step_s: float) -> None:
    steps = [(step_s, Sight(up=True, containers=(DEAD,)))] * 400
    moments = [now for now, _, decision in run(steps, POLICY) if decision.actions]
    gaps = [later - sooner for sooner, later in pairwise(moments)]
    for place, gap in enumerate(gaps):
        assert gap >= POLICY.pause_s(place + 1) - 1e-6
