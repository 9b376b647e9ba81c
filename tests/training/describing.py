"""A trainer's description as 8.4 gives it, short: what the checks of `config` are tested against."""

from typing import Any

from cvatd.training.description import Description

OTHERS = (
    *("task", "mode", "model", "data", "cfg", "project", "name", "exist_ok", "resume", "device", "tracker"),
    *("source", "distill_model", "save", "save_period", "pretrained", "format", "conf", "show", "split"),
)
ARGUMENTS: dict[str, tuple[str, Any]] = {
    "epochs": ("int", 100),
    "batch": ("float", 16),
    "imgsz": ("any", 640),
    "time": ("float", None),
    "patience": ("int", 100),
    "workers": ("int", 8),
    "nbs": ("int", 64),
    "seed": ("int", 0),
    "lr0": ("fraction", 0.01),
    "mosaic": ("fraction", 1.0),
    "fraction": ("fraction", 1.0),
    "degrees": ("float", 0.0),
    "scale": ("float", 0.5),
    "plots": ("bool", True),
    "val": ("bool", True),
    "single_cls": ("bool", False),
    "cache": ("any", False),
    "amp": ("any", True),
    "freeze": ("any", None),
    "classes": ("any", None),
    "optimizer": ("string", "auto"),
    **dict.fromkeys(OTHERS, ("any", None)),
}

DESCRIPTION = Description.model_validate(
    {
        "ultralytics_version": "8.4.190",
        "torch_version": "2.15.0",
        "python_version": "3.11.7",
        "device": "cpu",
        "devices": ["cpu"],
        "arguments": {name: {"type": kind, "default": default} for name, (kind, default) in ARGUMENTS.items()},
        "models": {"scratch": ["yolov8n.yaml"], "pretrained": ["yolov8n"]},
    }
)
