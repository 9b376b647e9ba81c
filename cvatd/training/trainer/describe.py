"""What this Python can train with: printed once as JSON, kept by the daemon, so that it need not import torch."""

import json
import platform
import re
from pathlib import Path
from typing import Any

from cvatd.training.trainer.environment import provide_font, switch_integrations_off

# Detection and segmentation: what boxes and outlines can teach.
PLAN = re.compile(r"(yolo(?:v?\d+))([a-z]?)(-seg)?")
PRETRAINED = re.compile(r"yolo(?:v?\d+)[a-z]+(-seg)?")


def describe() -> None:
    provide_font()
    import torch
    import ultralytics

    switch_integrations_off()
    devices = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    print(
        json.dumps(
            {
                "ultralytics_version": ultralytics.__version__,
                "torch_version": torch.__version__,
                "python_version": platform.python_version(),
                "device": "cuda" if devices else "cpu",
                "devices": [*devices, "cpu"],
                "arguments": arguments(),
                "models": {"scratch": plans(), "pretrained": pretrained()},
            }
        )
    )


def arguments() -> dict[str, dict[str, Any]]:
    """Every argument that Ultralytics knows, with its type and default."""
    from ultralytics import cfg

    kinds = {
        "int": cfg.CFG_INT_KEYS,
        "fraction": cfg.CFG_FRACTION_KEYS,
        "float": cfg.CFG_FLOAT_KEYS,
        "bool": cfg.CFG_BOOL_KEYS,
    }

    def kind(name: str, default: object) -> str:
        named = next((kind for kind, names in kinds.items() if name in names), None)
        if named is None and isinstance(default, float):
            return "float"  # not all of them are named in those lists
        return named or ("string" if isinstance(default, str) else "any")

    return {name: {"type": kind(name, default), "default": default} for name, default in cfg.DEFAULT_CFG_DICT.items()}


def plans() -> list[str]:
    """Models to be trained from scratch, as `yolov8n.yaml`."""
    import ultralytics
    import yaml

    names = set()
    for file in (Path(ultralytics.__file__).parent / "cfg" / "models").glob("*/*.yaml"):
        found = PLAN.fullmatch(file.stem)
        if not found:
            continue
        family, size, suffix = found.groups(default="")
        sizes = yaml.safe_load(file.read_text()).get("scales") or {}
        names |= {f"{family}{s}{suffix}.yaml" for s in ([size] if size or not isinstance(sizes, dict) else sizes)}
    return sorted(names)


def pretrained() -> list[str]:
    from ultralytics.utils.downloads import GITHUB_ASSETS_STEMS

    return sorted(name for name in GITHUB_ASSETS_STEMS if PRETRAINED.fullmatch(name))
