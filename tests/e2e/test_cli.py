"""The terminal face against a whole service."""

import json
import os
import subprocess
import sys

import pytest

from tests.e2e.conftest import Dev

pytestmark = pytest.mark.e2e
SMALL = ["--base-model", "yolov8n.yaml", "--img-size", "64", "--batch-size", "4", "--set", "plots=false"]


def cvatd(dev: Dev, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CVATD_URL": dev.url, "CVATD_CONFIG": str(dev.folder / "settings.json")}
    command = [sys.executable, "-m", "cvatd.cli.main", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=120)


def test_submit_watch_show_list(dev: Dev) -> None:
    submitted = cvatd(dev, "train", "submit", f"{dev.files}/shapes.zip", *SMALL, "--epochs", "2", "--json")
    assert submitted.returncode == 0, submitted.stderr
    number = str(json.loads(submitted.stdout)["id"])
    watched = cvatd(dev, "train", "watch", number)
    assert watched.returncode == 0, watched.stderr
    lines = watched.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["data", "started", "epoch", "epoch", "finishing", "completed"]
    kinds = [json.loads(line)["type"] for line in cvatd(dev, "train", "watch", number, "--json").stdout.splitlines()]
    assert kinds[0] == "accepted"
    assert kinds[-1] == "end"
    assert "best.pt" in cvatd(dev, "train", "show", number).stdout
    shown = json.loads(cvatd(dev, "train", "show", number, "--json").stdout)
    assert shown["state"] == "completed"
    assert {"best.pt", "results.csv"} <= {file["name"] for file in shown["artifacts"]}
    heads, first, *_ = cvatd(dev, "train", "list", "--limit", "5").stdout.splitlines()
    assert heads.split("\t")[:4] == ["run", "model", "base", "state"]
    assert first.split("\t")[0] == number


def test_cancel_and_resume(dev: Dev) -> None:
    number = str(dev.submit("cli-cancel", epochs=50))
    dev.wait_for_epoch(int(number), 2)
    assert json.loads(cvatd(dev, "train", "cancel", number, "--json").stdout)["state"] == "cancelling"
    watched = cvatd(dev, "train", "watch", number)
    assert watched.returncode == 1
    assert "cancelled" in watched.stderr
    assert "queued" in cvatd(dev, "train", "resume", number).stdout
    cvatd(dev, "train", "cancel", number)
    dev.wait_for_end(int(number), "cancelled")
    assert "training_failed" in cvatd(dev, "deliveries", "list", "--run", number).stdout


def test_refusals_are_sentences(dev: Dev) -> None:
    wrong = cvatd(dev, "train", "submit", f"{dev.files}/shapes.zip", *SMALL, "--epochs", "0", "--set", "foo=1")
    assert wrong.returncode == 2
    assert "config.epochs" in wrong.stderr
    assert "config.foo" in wrong.stderr
    unknown = cvatd(dev, "train", "show", "99999")
    assert unknown.returncode == 1
    assert "no run 99999" in unknown.stderr


def test_tokens_are_made_on_the_host(dev: Dev) -> None:
    made = json.loads(cvatd(dev, "token", "create", "laptop", "--json").stdout)
    assert made["token"].startswith("cvatd_")
    listed = json.loads(cvatd(dev, "token", "list", "--json").stdout)["tokens"]
    assert [token["name"] for token in listed] == ["laptop"]
    assert cvatd(dev, "token", "revoke", listed[0]["id"]).returncode == 0
    assert "revoked" in cvatd(dev, "token", "list").stdout
