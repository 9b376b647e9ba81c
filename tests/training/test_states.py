"""The table of states: every run can reach an end, and no end is left but on request."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.states import (
    CLAIMABLE,
    ENDED,
    TRANSITIONS,
    WORKED_ON,
    Event,
    State,
    TransitionRefused,
    next_state,
    sources,
)


@given(st.lists(st.sampled_from(Event)))
def test_any_sequence_of_events_stays_in_the_table(events: list[Event]) -> None:
    state = State.QUEUED
    for event in events:
        with contextlib.suppress(TransitionRefused):
            state = next_state(state, event)
    assert state in State


def test_cancel_works_in_every_state() -> None:
    assert set(sources(Event.CANCEL)) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_state_leads_to_an_end(state: State) -> None:
    reached, frontier = {state}, {state}
    while frontier:
        frontier = {to for (source, _), to in TRANSITIONS.items() if source in frontier} - reached
        reached |= frontier
    assert reached & ENDED


@pytest.mark.parametrize("state", sorted(WORKED_ON | {State.CANCELLING}))
def test_losing_the_worker_leaves_a_state_that_another_may_claim(state: State) -> None:
    assert next_state(state, Event.LOSE) in CLAIMABLE


def test_an_end_is_left_by_resume_alone() -> None:
    for (source, event), target in TRANSITIONS.items():
        if source in ENDED and target != source:
            assert event is Event.RESUME


def test_a_completed_run_is_not_resumed() -> None:
    with pytest.raises(TransitionRefused, match="completed"):
        next_state(State.COMPLETED, Event.RESUME)
