"""Checks a request's `config` against what the installed Ultralytics accepts. Pure; every fault is named at once."""

import math
from collections.abc import Mapping
from typing import Any

from cvatd.core.errors import CvatdError
from cvatd.training.description import Description

# The seed's names and Ultralytics' own.
SYNONYMS = {"batch_size": "batch", "img_size": "imgsz", "learning_rate": "lr0"}
LONGEST_TEXT = 100
MOST_CLASSES = 10_000
BOUNDS: dict[str, tuple[float, float]] = {
    "epochs": (1, 10_000),
    "imgsz": (32, 4096),  # pixels
    "workers": (0, 64),
    "patience": (0, 10_000),
    "nbs": (1, 65_536),
    "seed": (0, 2**31 - 1),
    "mask_ratio": (1, 32),
    "close_mosaic": (0, 10_000),
    "time": (0.001, 1000),  # hours
    "max_det": (1, 100_000),
    "scale": (0, 1),
    "erasing": (0, 1),
}
OPTIMIZERS = ("SGD", "MuSGD", "Adam", "Adamax", "AdamW", "NAdam", "RAdam", "RMSProp", "auto")
CHOICES: dict[str, tuple[object, ...]] = {
    "optimizer": OPTIMIZERS,
    "auto_augment": ("randaugment", "autoaugment", "augmix"),
    "copy_paste_mode": ("flip", "mixup"),
    "cache": (True, False, "ram"),
    "compile": (True, False),
    "amp": (True, False),
}
FILES = "it reaches the file system of this host; the service decides it"
REFUSED = {
    **dict.fromkeys(("data", "cfg", "project", "name", "save_dir", "exist_ok", "save", "save_period"), FILES),
    **dict.fromkeys(("source", "tracker", "save_json", "save_txt", "save_crop", "save_frames", "visualize"), FILES),
    "model": "the model is named by base_model",
    "pretrained": "whether weights are pretrained is said by base_model (yolov8n or yolov8n.yaml)",
    "distill_model": FILES,
    "resume": "a run is resumed by POST /runs/{id}/resume",
    "task": "it follows from the labels",
    "mode": "this service trains",
    "device": "the host's settings name the device",
    "augmentations": "it takes code",
    "profile": "it slows every epoch down and tells nobody",
}
# Arguments of prediction, tracking and export, which mean nothing to a training.
FOREIGN = frozenset(
    (
        "vid_stride",
        "stream_buffer",
        "augment",
        "agnostic_nms",
        "retina_masks",
        "embed",
        "show",
        "save_conf",
        "show_labels",
        "show_conf",
        "show_boxes",
        "line_width",
        "format",
        "keras",
        "optimize",
        "int8",
        "quantize",
        "dynamic",
        "simplify",
        "opset",
        "workspace",
        "nms",
        "half",
        "dnn",
        "split",
        "conf",
    )
)


class ConfigRefused(CvatdError):
    """`errors` holds (field, words) for each value that is wrong."""

    def __init__(self, errors: list[tuple[str, str]]) -> None:
        words = "; ".join(f"{field} {text}" for field, text in errors[:10])
        super().__init__("config", f"The config cannot be used: {words}.")
        self.errors = errors


class _Wrong(Exception):
    """Words about one value."""


def check_config(config: Mapping[str, Any], description: Description) -> dict[str, Any]:
    """Ultralytics' arguments for this config. Raises ConfigRefused."""
    accepted: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for given, value in config.items():
        field = f"config.{given[:LONGEST_TEXT]}"
        name = SYNONYMS.get(given, given)
        if name != given and name in config:
            errors.append((field, f"and config.{name} are the same: give one of them"))
            continue
        try:
            accepted[name] = _check(given, name, value, description)
        except _Wrong as wrong:
            errors.append((field, str(wrong)))
    if errors:
        raise ConfigRefused(errors)
    if "lr0" in accepted and "optimizer" not in accepted:
        # Ultralytics' "auto" chooses a rate of its own and ignores the caller's; lr0's default of 0.01 is SGD's.
        accepted["optimizer"] = "SGD"
    return accepted


def _check(given: str, name: str, value: Any, description: Description) -> Any:
    if name in REFUSED:
        raise _Wrong(f"is not for callers: {REFUSED[name]}")
    argument = description.arguments.get(name)
    if argument is None:
        raise _Wrong(f"is no argument of Ultralytics {description.ultralytics_version}")
    if name in FOREIGN:
        raise _Wrong("is not an argument of training")
    if value is None and argument.default is None:
        return None
    if name == "batch":
        return _check_batch(given, value)
    if name in CHOICES:
        return _check_choice(name, value)
    if name in {"classes", "freeze"}:
        return _check_indices(value)
    kind = "int" if name == "imgsz" else argument.type
    return _check_type(name, kind, value)


def _check_batch(given: str, value: Any) -> int | float:
    if given == "batch_size" or isinstance(value, int):
        whole = _whole(value)
        if given == "batch" and whole == -1:
            return -1  # as many as fit into the GPU
        return int(_bounded(whole, 1, 65_536))
    share = _number(value)
    if not 0 < share < 1:
        raise _Wrong(
            f"must be a count of images, -1, or a share of the GPU's memory between 0 and 1 (it is {_show(value)})"
        )
    return share


def _check_choice(name: str, value: Any) -> Any:
    for choice in CHOICES[name]:
        if type(choice) is type(value) and choice == value:
            return value
    raise _Wrong(f"must be one of {', '.join(map(str, CHOICES[name]))} (it is {_show(value)})")


def _check_indices(value: Any) -> Any:
    if isinstance(value, list) and len(value) <= MOST_CLASSES:
        return [int(_bounded(_whole(entry), 0, MOST_CLASSES)) for entry in value]
    return int(_bounded(_whole(value), 0, MOST_CLASSES))


def _check_type(name: str, kind: str, value: Any) -> Any:
    low, high = BOUNDS.get(name, (-1e6, 1e6))
    match kind:
        case "bool":
            if not isinstance(value, bool):
                raise _Wrong(f"must be true or false (it is {_show(value)})")
            return value
        case "int":
            return int(_bounded(_whole(value), max(low, 0), high))
        case "fraction":
            share = _bounded(_number(value), 0, 1)
            if name in {"lr0", "fraction"} and share == 0:
                raise _Wrong("must be above 0 (it is 0)")
            return share
        case "float":
            return _bounded(_number(value), low, high)
    if isinstance(value, bool) or (isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isidentifier()):
        return value
    return _bounded(_number(value), low, high)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise _Wrong(f"must be a whole number (it is {_show(value)})")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _Wrong(f"must be a number (it is {_show(value)})")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Wrong("must be a finite number")
    return number


def _bounded(value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise _Wrong(f"must be from {low:g} to {high:g} (it is {_show(value)})")
    return value


def _show(value: Any) -> str:
    """A value for a message: not longer than a message."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return "a very large number"
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits inside a list; a list a thousand deep
        return f"a {type(value).__name__} that cannot be shown"
    return text if len(text) <= LONGEST_TEXT else text[:LONGEST_TEXT] + "…"
