"""The states of a run and what moves it from one to the next. Pure: no clock, no database."""

from enum import StrEnum

from cvatd.core.errors import CvatdError


class State(StrEnum):
    QUEUED = "queued"  # waits for a worker
    PREPARING = "preparing"  # a worker fetches the data set and the base model
    TRAINING = "training"
    FINISHING = "finishing"  # last validation, plots, packing of the results
    INTERRUPTED = "interrupted"  # its worker went away; waits for another one, which goes on
    CANCELLING = "cancelling"  # somebody cancelled it; a worker ends the trainer
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Event(StrEnum):
    CLAIM = "claim"  # a worker takes it
    TRAIN = "train"  # the trainer runs
    FINISH = "finish"  # the last epoch is done
    COMPLETE = "complete"
    FAIL = "fail"
    CANCEL = "cancel"  # a person or program asks
    STOPPED = "stopped"  # the trainer is gone, as asked
    LOSE = "lose"  # the worker let go of it, or died
    RESUME = "resume"  # a person or program asks


ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
WORKED_ON = frozenset({State.PREPARING, State.TRAINING, State.FINISHING})
# A worker may claim these when nobody holds the lease. A queued run never had a trainer that might still be alive.
CLAIMABLE = frozenset({State.QUEUED, State.INTERRUPTED, State.CANCELLING})

TRANSITIONS: dict[tuple[State, Event], State] = {
    (State.QUEUED, Event.CLAIM): State.PREPARING,
    (State.QUEUED, Event.CANCEL): State.CANCELLED,
    (State.INTERRUPTED, Event.CLAIM): State.PREPARING,
    (State.INTERRUPTED, Event.CANCEL): State.CANCELLING,
    (State.INTERRUPTED, Event.FAIL): State.FAILED,
    (State.PREPARING, Event.TRAIN): State.TRAINING,
    (State.PREPARING, Event.FINISH): State.FINISHING,  # re-attached to a trainer that is that far
    (State.TRAINING, Event.FINISH): State.FINISHING,
    (State.FINISHING, Event.COMPLETE): State.COMPLETED,
    **{(state, Event.FAIL): State.FAILED for state in WORKED_ON},
    **{(state, Event.CANCEL): State.CANCELLING for state in WORKED_ON},
    **{(state, Event.LOSE): State.INTERRUPTED for state in WORKED_ON},
    (State.CANCELLING, Event.CLAIM): State.CANCELLING,
    (State.CANCELLING, Event.LOSE): State.CANCELLING,
    (State.CANCELLING, Event.CANCEL): State.CANCELLING,
    (State.CANCELLING, Event.STOPPED): State.CANCELLED,
    # Cancelling what has ended changes nothing: the caller's wish is fulfilled.
    **{(state, Event.CANCEL): state for state in ENDED},
    (State.FAILED, Event.RESUME): State.QUEUED,
    (State.CANCELLED, Event.RESUME): State.QUEUED,
}


class TransitionRefused(CvatdError):
    def __init__(self, state: State, event: Event) -> None:
        super().__init__("state", f"The run is {state}; it cannot {event} now.")


def next_state(state: State, event: Event) -> State:
    """Where `event` leads from `state`. Raises TransitionRefused where it leads nowhere."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise TransitionRefused(state, event) from None


def sources(event: Event) -> list[str]:
    """The states in which `event` may happen, for a compare-and-set."""
    return [state for state, known in TRANSITIONS if known == event]
