"""Every way a trainer can end has its words."""

import pytest

from cvatd.training.outcome import Done, Failed, TryAgain, judge_end
from cvatd.training.tail import TrainerEvent


def last(kind: str, **data: object) -> TrainerEvent:
    return TrainerEvent(kind, data, 1)


def test_finished_counts_whatever_the_exit_status() -> None:
    assert judge_end(last("finished", metrics={"map50": 0.9}), -9) == Done({"map50": 0.9})


def test_a_failure_keeps_its_own_words() -> None:
    assert judge_end(last("failed", code="nan_loss", message="NaN"), 1) == Failed("nan_loss", "NaN")


@pytest.mark.parametrize(("code", "words"), [(-9, "memory"), (-15, "SIGTERM"), (None, "worker was gone"), (-63, "63")])
def test_a_killed_trainer_is_tried_again(code: int | None, words: str) -> None:
    outcome = judge_end(None, code)
    assert isinstance(outcome, TryAgain)
    assert words in outcome.message


def test_an_exit_without_a_word_is_a_failure() -> None:
    outcome = judge_end(None, 3)
    assert isinstance(outcome, Failed)
    assert "status 3" in outcome.message


def test_a_stop_that_nobody_asked_for_goes_on() -> None:
    assert isinstance(judge_end(last("stopped", epoch=2), 75), TryAgain)
