"""What a caller may ask for: the seed's POST /train, typed and bounded."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=r"^[^\x00-\x20\x7f]+$")]


class TrainRequest(BaseModel):
    """A training to be done. Further keys of `config` are Ultralytics' own training arguments, by their own names."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "job_id": "6f1c2a9e-parking-lot",
                    "callback_url": "https://api.example.com/webhook",
                    "callback_token": "a-token-of-your-own",
                    "dataset_url": "https://files.example.com/dataset.zip",
                    "base_model": "yolov8n",
                    "model_name": "parking-lot",
                    "config": {"epochs": 100, "batch_size": 16, "img_size": 640, "learning_rate": 0.01},
                }
            ]
        },
    )

    job_id: Name = Field(
        description="Your own name for the training. The same name with the same body is the same run."
    )
    callback_url: Url | None = Field(default=None, description="Receives the callbacks, by POST.")
    callback_token: Annotated[str, StringConstraints(max_length=4096, pattern=r"^[\x21-\x7e]*$")] | None = Field(
        default=None, description="Sent with each callback as `Authorization: Bearer`."
    )
    dataset_url: Url = Field(description="A zip of images/{train,val} and labels/{train,val} in YOLO's format.")
    base_model: Name = Field(
        default="yolov8n", description="`yolov8n`: from pretrained weights; `yolov8n.yaml`: from scratch."
    )
    model_name: Name | None = Field(default=None, description="What the model is called in pages and file names.")
    config: dict[str, Any] = Field(
        default={},
        max_length=200,
        description="epochs (count), batch_size (images), img_size (pixels, the longer side), learning_rate (initial), "
        "and any training argument of Ultralytics by its own name.",
        examples=[{"epochs": 100, "batch_size": 16, "img_size": 640, "learning_rate": 0.01}],
    )

    def fingerprint(self) -> str:
        """SHA-256 over all that was asked for: tells a repeated request from another of the same name."""
        text = json.dumps(self.model_dump(), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
