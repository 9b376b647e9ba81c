"""Who ended a container, from sequences of events as Podman 4.3 really sends them."""

from hypothesis import given
from hypothesis import strategies as st

from cvatd.stack.daemon.ends import KILLED, REMOVED, STOPPED, TOLD, Notice, Span, by_hand, forget_old, of_use

NAME = "cvat-ui"


def notices(*actions: str, gap_s: float = 0.2, begin: float = 100.0) -> list[Notice]:
    return [Notice(begin + gap_s * place, NAME, action) for place, action in enumerate(actions)]


def test_podman_stop_cleans_up_twice() -> None:
    assert by_hand(notices("start", "died", "cleanup", "cleanup"), []) == STOPPED


def test_a_stop_that_is_told_is_one() -> None:
    assert by_hand(notices("start", "stop", "died", "cleanup"), []) == STOPPED


def test_podman_kill() -> None:
    assert by_hand(notices("start", "kill", "died", "cleanup"), []) == KILLED


def test_a_signal_that_ends_nothing_is_no_end() -> None:
    assert by_hand(notices("start", "kill"), []) is None
    assert by_hand([*notices("start", "kill"), Notice(900.0, NAME, "died"), Notice(900.3, NAME, "cleanup")], []) is None


def test_removed() -> None:
    assert by_hand(notices("start", "died", "remove"), []) == REMOVED
    assert by_hand(notices("remove"), []) == REMOVED


def test_a_death_of_its_own_cleans_up_once() -> None:
    assert by_hand(notices("start", "died", "cleanup"), []) is None
    assert by_hand(notices("start", "died"), []) is None


def test_podman_restart_is_no_stop() -> None:
    assert by_hand(notices("start", "restart", "died", "cleanup", "init", "start"), []) is None


def test_what_was_before_its_last_start_does_not_count() -> None:
    assert by_hand(notices("start", "died", "cleanup", "cleanup", "start"), []) is None
    assert by_hand(notices("start", "died", "cleanup", "cleanup", "start", "died", "cleanup"), []) is None


def test_what_cvatd_did_itself_is_nobodys_wish() -> None:
    stopped = notices("start", "died", "cleanup", "cleanup")
    assert by_hand(stopped, [Span(100.1, 101)]) is None
    assert by_hand(stopped, [Span(100.1, 101, NAME)]) is None
    assert by_hand(stopped, [Span(100.1, 101, "cvat-db")]) == STOPPED
    assert by_hand(stopped, [Span(200, 300)]) == STOPPED


def test_containers_that_are_gone_are_forgotten_with_their_earlier_lives() -> None:
    told = {NAME: notices("start", "died", "remove", "create"), "extra": notices("start", "died", "remove")}
    assert of_use(told, {NAME, "cvat-db"}) == {NAME: told[NAME][-1:]}


ACTIONS = st.lists(st.tuples(st.floats(0, 1000), st.sampled_from(TOLD)), max_size=12)


@given(ACTIONS)
def test_order_of_arrival_does_not_matter_and_forgetting_changes_nothing(told: list[tuple[float, str]]) -> None:
    # Two at the same moment have no order.
    some = [Notice(at, NAME, action) for at, action in dict(told).items()]
    assert by_hand(some, []) == by_hand(list(reversed(some)), []) == by_hand(forget_old(some), [])


@given(ACTIONS)
def test_no_end_without_a_trace_of_one(told: list[tuple[float, str]]) -> None:
    some = [Notice(at, NAME, action) for at, action in told if action not in {"kill", "stop", "remove", "cleanup"}]
    assert by_hand(some, []) is None
