"""Work side by side: its first failure at once, what hangs is left behind."""

import threading
from concurrent.futures import Future
from queue import SimpleQueue

import pytest

from cvatd.stack.together import begin, finish

TIMEOUT_S = 20


def test_what_was_worked_out_is_handed_over() -> None:
    futures = [begin(pow, 2, n) for n in range(10)]
    finish(futures)
    assert [future.result(TIMEOUT_S) for future in futures] == [2**n for n in range(10)]


def test_nothing_to_do_is_done() -> None:
    finish([])


def test_all_run_at_the_same_time() -> None:
    everybody = threading.Barrier(12)
    futures = [begin(everybody.wait, TIMEOUT_S) for _ in range(12)]
    finish(futures)
    assert sorted(future.result(TIMEOUT_S) for future in futures) == list(range(12))


def test_the_first_failure_is_raised_while_others_still_work() -> None:
    release = threading.Event()
    waiting = begin(release.wait, TIMEOUT_S)
    try:
        with pytest.raises(ZeroDivisionError):
            finish([waiting, begin(divmod, 1, 0)])
        assert not waiting.done()
    finally:
        release.set()
    assert waiting.result(TIMEOUT_S) is True


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, ValueError])
def test_any_end_of_the_work_is_its_futures(kind: type[BaseException]) -> None:
    def end() -> None:
        raise kind("over")

    future: Future[None] = begin(end)
    assert isinstance(future.exception(TIMEOUT_S), kind)
    with pytest.raises(kind):
        finish([future])


def test_what_hangs_does_not_keep_the_process_alive() -> None:
    threads: SimpleQueue[threading.Thread] = SimpleQueue()
    release = threading.Event()

    def hang() -> None:
        threads.put(threading.current_thread())
        release.wait(TIMEOUT_S)

    future = begin(hang)
    try:
        thread = threads.get(timeout=TIMEOUT_S)
        assert thread.daemon
        assert thread.name == "hang"
    finally:
        release.set()
        finish([future])
