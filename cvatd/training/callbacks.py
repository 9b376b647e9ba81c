"""What a caller is told of its run: the seed's four messages, and how a model travels in the last of them."""

import base64
import json
import time
from typing import Any
from urllib.parse import quote

from cvatd.core import outbox
from cvatd.core.database import Connection
from cvatd.core.secrets import sign_path
from cvatd.core.settings import Settings
from cvatd.training import store
from cvatd.training.jobs import Artifact, Callback, Run

MODEL = "best.pt"
LINK_LASTS_S = 7 * 24 * 3600


def render(settings: Settings, key: str, connection: Connection, row: dict[str, Any]) -> outbox.Message | None:
    """The message of an outbox row; the model is read now, so that the store holds no copy of it."""
    run = store.get(connection, row["job"])
    if run.callback_url is None:
        return None
    data = dict(row["data"])
    if row["type"] == Callback.COMPLETED:
        model = next((a for a in store.artifacts(connection, run.id) if a.name == MODEL), None)
        data |= describe_model(settings, key, run, model) if model else {}
    body = json.dumps({"job_id": run.job_id, "type": row["type"], "data": data}, ensure_ascii=False)
    return outbox.Message(run.callback_url, run.callback_token, body)


def describe_model(settings: Settings, key: str, run: Run, model: Artifact) -> dict[str, Any]:
    """Always hash and size (bytes) and a link; up to the limit the weights themselves as base64."""
    described = {
        "model_filename": f"{run.model_name or run.job_id}.pt",
        "model_sha256": model.sha256,
        "model_size": model.size,
        "model_url": signed_url(settings, key, run.id, model.name),
    }
    file = settings.runs_dir / str(run.id) / model.path
    if model.size <= settings.trainer.max_inline_model_bytes and file.is_file():
        described["model_base64"] = base64.b64encode(file.read_bytes()).decode()
    return described


def signed_url(settings: Settings, key: str, run_id: int, artifact: str) -> str:
    """A link that fetches one file without a token, for a week."""
    path = f"/runs/{run_id}/artifacts/{quote(artifact)}"
    expires = int(time.time()) + LINK_LASTS_S
    return f"{settings.base_url}{path}?expires={expires}&signature={sign_path(key, path, expires)}"
