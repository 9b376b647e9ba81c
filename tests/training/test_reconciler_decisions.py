"""When a lease is void."""

from cvatd.training.reconciler import DEAD_AFTER_S, STUCK_AFTER_S, TakeBack, judge_lease


def test_a_dead_worker_has_no_lock_and_no_beat() -> None:
    assert judge_lease(DEAD_AFTER_S + 0.1, lock_pid=None) == TakeBack()


def test_a_free_lock_alone_means_little() -> None:
    """PostgreSQL frees every lock when it restarts."""
    assert judge_lease(0.3, lock_pid=None) is None


def test_a_late_beat_alone_means_little() -> None:
    assert judge_lease(DEAD_AFTER_S + 1, lock_pid=7) is None


def test_a_worker_that_hangs_loses_its_lock() -> None:
    assert judge_lease(STUCK_AFTER_S + 1, lock_pid=7) == TakeBack(terminate=7)


def test_a_dead_worker_is_noticed_within_two_seconds() -> None:
    from cvatd.training.keeper import RECONCILE_S

    assert DEAD_AFTER_S + 2 * RECONCILE_S < 2
