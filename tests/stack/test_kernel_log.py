"""Whom the kernel killed, out of lines as it writes them."""

import time

import pytest

from cvatd.stack import kernel_log
from cvatd.stack.kernel_log import Kill, kills_in, names

ID = "abc6afe6023477419d6c1703595849c7e0354d5044b7b497023f62b719db918b"
OTHER = "89da984223c26e99571c8e2174ef3c0fc862f1029f2b3ad1dfc20573fdc9b608"
LOG = [
    b"4,37578,12401527887,-;python3 invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0\n",
    # Who asked for memory (cpuset) is not who had to go (task_memcg).
    f"6,37659,12401500000,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=libpod-{OTHER},mems_allowed=0,"
    f"oom_memcg=/cvat,task_memcg=/cvat/libpod-{ID},task=python3,pid=5638,uid=1000\n".encode(),
    b"3,37660,12401528131,-;Memory cgroup out of memory: Killed process 5638 (python3) total-vm:165752kB, UID:1000\n",
]


def test_the_log_names_the_one_that_had_to_go() -> None:
    seen = kills_in(LOG, boot_at=1000.0)
    assert seen == [Kill(13401.5, f"/cvat/libpod-{ID}")]
    assert names(seen, ID, since=13000.0)
    assert not names(seen, OTHER, since=13000.0)
    assert not names(seen, ID, since=13500.0)  # an earlier life of the same container


def test_a_log_that_may_not_be_read_names_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_log, "KMSG", "/dev/none")
    assert kernel_log.kills() == []


def test_the_log_of_this_machine_is_read_to_its_end() -> None:
    assert all(kill.at <= time.time() + kernel_log.CLOCKS_APART_S for kill in kernel_log.kills())
