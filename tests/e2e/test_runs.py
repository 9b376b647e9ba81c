"""Runs through a whole `cvatd dev`: the way there, and every way it can be broken."""

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
import redis

from tests.e2e.conftest import Dev, kill

pytestmark = pytest.mark.e2e


def test_from_post_to_model(dev: Dev) -> None:
    number = dev.submit("whole", epochs=2, config={"epochs": 2, "img_size": 64, "batch_size": 4})
    run = dev.wait_for_end(number)
    dev.wait_for_last_callback("whole")
    assert dev.receiver.types("whole") == ["started", "progress", "progress", "completed"]
    data = dev.receiver.messages["whole"][-1]["data"]
    model = base64.b64decode(data["model_base64"])
    assert hashlib.sha256(model).hexdigest() == data["model_sha256"]
    assert len(model) == data["model_size"]
    assert dev.http.get(data["model_url"]).content == model
    assert run["dataset"]["names"] == ["class_0", "class_1"]
    names = {file["name"] for file in dev.http.get(f"/runs/{number}/artifacts").json()["artifacts"]}
    assert {"best.pt", "last.pt", "results.csv", "results.png", "val_batch0_pred.jpg", "trainer.log"} <= names
    kinds = [kind for kind, _ in dev.events(number)]
    assert kinds == ["accepted", "dataset", "started", "epoch", "epoch", "finishing", "completed"]
    left = {entry.name for entry in (dev.folder / "runs" / str(number)).iterdir()}
    assert not left & {"data", "checkpoints"}, "what nobody needs is cleared away"


def test_kill_9_of_the_worker_in_epoch_3_of_10(dev: Dev) -> None:
    """Nothing is done by hand: another worker finds the trainer alive and goes on with it."""
    number = dev.submit("kill-worker", epochs=10)
    dev.wait_for_epoch(number, 3)
    trainer = dev.trainer_pid(number)
    kill(dev.pid("worker"))
    run = dev.wait_for_end(number)
    assert run["attempt"] == 2
    assert dev.trainer_pid(number) == trainer, "the training itself was not disturbed"
    assert dev.epochs(number) == list(range(1, 11))
    dev.wait_for_last_callback("kill-worker")
    assert dev.receiver.epochs("kill-worker") == list(range(1, 11))
    assert dev.receiver.types("kill-worker").count("started") == 1


def test_kill_9_of_worker_and_trainer_in_epoch_3_of_10(dev: Dev) -> None:
    """Resumes from the last checkpoint."""
    number = dev.submit("kill-both", epochs=10)
    dev.wait_for_epoch(number, 3)
    # An epoch is told before its checkpoint is written, so that none goes unreported.
    checkpoint = dev.folder / "runs" / str(number) / "checkpoints" / "epoch-00002.pt"
    dev.wait(lambda: checkpoint.exists() or dev.run(number)["epoch"] > 2, 20, "the checkpoint of epoch 2")
    trainer = dev.trainer_pid(number)
    kill(dev.pid("worker"))
    kill(trainer)
    run = dev.wait_for_end(number)
    assert run["attempt"] == 2
    starts = [data for kind, data in dev.events(number) if kind == "started"]
    assert [start["resumed"] for start in starts] == [False, True]
    assert starts[1]["epoch"] >= 3, "no finished epoch is lost"
    assert dev.epochs(number) == list(range(1, 11))
    dev.wait_for_last_callback("kill-both")
    assert dev.receiver.epochs("kill-both") == list(range(1, 11))


def test_flushall_with_runs_queued(dev: Dev) -> None:
    numbers = [dev.submit(f"flush-{n}", epochs=1) for n in range(4)]
    dev.wait(lambda: dev.run(numbers[0])["state"] != "queued", 20, "the first to start")
    redis.Redis(unix_socket_path=str(dev.folder / "run" / "redis.sock")).flushall()
    for number in numbers:
        dev.wait_for_end(number)


def test_kill_9_of_redis_and_of_the_web_face(dev: Dev) -> None:
    number = dev.submit("kill-others", epochs=4)
    waiting = dev.submit("kill-others-2", epochs=1)
    dev.wait_for_epoch(number, 2)
    kill(dev.pid("web"))
    redis_pid = redis.Redis(unix_socket_path=str(dev.folder / "run" / "redis.sock")).info()["process_id"]
    kill(int(str(redis_pid)))
    dev.wait(dev.healthy, 20, "the web face to be back")
    assert dev.wait_for_end(number)["attempt"] == 1, "the worker was not disturbed"
    dev.wait_for_end(waiting)
    assert dev.epochs(number) == [1, 2, 3, 4]


def test_kill_9_of_postgres(dev: Dev) -> None:
    number = dev.submit("kill-postgres", epochs=6)
    dev.wait_for_epoch(number, 3)
    kill(int((dev.folder / "postgres" / "postmaster.pid").read_text().split()[0]))
    dev.wait(dev.healthy, 30, "PostgreSQL to be back")
    dev.wait_for_end(number)
    assert dev.epochs(number) == [1, 2, 3, 4, 5, 6]


def test_cancel_in_training_then_resume(dev: Dev) -> None:
    number = dev.submit("cancel", epochs=12)
    dev.wait_for_epoch(number, 3)
    trainer = dev.trainer_pid(number)
    assert dev.http.post(f"/runs/{number}/cancel").json()["state"] == "cancelling"
    dev.wait_for_end(number, "cancelled")
    assert not Path(f"/proc/{trainer}").exists()
    dev.wait_for_last_callback("cancel")
    assert dev.receiver.messages["cancel"][-1]["data"]["code"] == "cancelled"
    assert dev.http.post(f"/runs/{number}/resume").json()["state"] == "queued"
    dev.wait_for_end(number)
    assert dev.epochs(number) == list(range(1, 13))
    starts = [data["resumed"] for kind, data in dev.events(number) if kind == "started"]
    assert starts == [False, True]


def test_the_second_run_on_a_data_set_takes_it_from_the_cache(dev: Dev) -> None:
    first, second = dev.submit("cache-1", epochs=1), dev.submit("cache-2", epochs=1)
    dev.wait_for_end(first)
    assert dev.wait_for_end(second)["dataset"]["cached"] is True


def bad_zip(dev: Dev, name: str, members: dict[str, bytes]) -> str:
    folder = dev.folder.parent / "files"
    with zipfile.ZipFile(folder / name, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return name


def test_a_bad_label_is_named_with_file_and_line(dev: Dev) -> None:
    with zipfile.ZipFile(dev.folder.parent / "files" / "shapes.zip") as good:
        members = {name: good.read(name) for name in good.namelist()}
    members["labels/train/shape-003.txt"] = b"0 0.5 0.5 0.1 0.1\n0 1.5 0.5 0.1 0.1\n"
    number = dev.submit("bad-label", dataset=bad_zip(dev, "bad-label.zip", members))
    run = dev.wait_for_end(number, "failed")
    assert "labels/train/shape-003.txt" in run["error_message"]
    assert "2" in run["error_message"]
    dev.wait_for_last_callback("bad-label")
    assert dev.receiver.messages["bad-label"][-1]["data"]["error"] == run["error_message"]
    assert not (dev.folder / "runs" / str(number) / "data").exists()


BAD = {
    "gone.zip": "404",
    "not-a.zip": "zip",
    "empty.zip": "image",
    "up.zip": "..",
}


@pytest.mark.parametrize(("name", "word"), BAD.items())
def test_bad_data_sets_fail_in_words(dev: Dev, name: str, word: str) -> None:
    bad_zip(dev, "empty.zip", {"readme.txt": b"nothing"})
    bad_zip(dev, "up.zip", {"../../evil.txt": b"x", "images/train/a.jpg": b"x"})
    (dev.folder.parent / "files" / "not-a.zip").write_bytes(b"MZ" + os.urandom(2000))
    run = dev.wait_for_end(dev.submit(name, dataset=name), "failed")
    assert word in run["error_message"]
    assert not list(dev.folder.parent.rglob("evil.txt"))


def test_weights_that_cannot_be_had_are_never_replaced_by_a_blank_model(dev: Dev) -> None:
    run = dev.wait_for_end(dev.submit("weights", base_model="yolov8n"), "failed")
    assert run["error_code"] == "weights"
    assert "yolov8n.yaml" in run["error_message"]


def test_stopped_in_training_and_started_again(dev: Dev) -> None:
    """Ctrl-C ends all and leaves nothing; the next start finds its data and goes on."""
    number = dev.submit("restart", epochs=12)
    dev.wait_for_epoch(number, 3)
    trainer = dev.trainer_pid(number)
    assert dev.stop() == 0
    assert not Path(f"/proc/{trainer}").exists()
    assert not [pid for pid in Path("/proc").glob("[0-9]*/cmdline") if str(dev.folder).encode() in _read(pid)]
    dev.start()
    dev.wait_for_end(number)
    assert dev.epochs(number) == list(range(1, 13))
    out = (dev.folder / "out.txt").read_text()
    order = [out.index(f"stopping {name}") for name in ("worker", "web", "redis", "postgres")]
    assert order == sorted(order)


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
