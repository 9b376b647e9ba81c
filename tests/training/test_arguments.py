import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cvatd.training.arguments import ConfigRefused, check_config
from tests.training.describing import ARGUMENTS, DESCRIPTION

OF_THE_HOST = [
    *("task", "mode", "model", "data", "cfg", "project", "name", "save_dir", "exist_ok", "resume", "device", "tracker"),
    *("source", "augmentations", "distill_model", "save", "save_period", "pretrained"),
]
NAMES = [*ARGUMENTS, *OF_THE_HOST, "batch_size", "img_size", "learning_rate", "nonsense"]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=200),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


WRONG: dict[str, tuple[object, ...]] = {
    "epochs": (0, -1, 10_001, True, 1.0, "3", None),
    "batch_size": (0, -5, -1, 0.5, True, "16", None),
    "batch": (0, -5, 1.5, 0.0, math.nan, math.inf, False),
    "img_size": (31, 4097, 320.0, [320, 320], True),
    "learning_rate": (0, -0.1, 1.1, math.nan, math.inf, -math.inf, True, "0.1"),
    "optimizer": ("sgd; rm", "LBFGS", "x" * 1000, 3, None),
    "plots": (0, 1, "true", None),
    "mosaic": (-0.1, 1.01, True),
    "fraction": (0, 2),
    "freeze": ("../x", [-1], [1.5], ["a"], {}),
    "cache": ("disk", 1, "/etc/passwd"),
    "amp": ("bf17", 1),
    "scale": ("wide", True, [0.5, 2]),
}


def refused(**config: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigRefused) as caught:
        check_config(config, DESCRIPTION)
    return caught.value.errors


def accepted(**config: Any) -> dict[str, Any]:
    return check_config(config, DESCRIPTION)


def test_the_seeds_names_become_those_of_ultralytics() -> None:
    assert accepted(epochs=5, batch_size=8, img_size=320, learning_rate=0.02) == {
        "epochs": 5,
        "batch": 8,
        "imgsz": 320,
        "lr0": 0.02,
        "optimizer": "SGD",  # "auto" would ignore the rate
    }


def test_a_rate_leaves_the_optimizer_that_was_named() -> None:
    assert accepted(optimizer="AdamW", lr0=0.003)["optimizer"] == "AdamW"
    assert accepted(optimizer="auto", lr0=0.003)["optimizer"] == "auto"
    assert accepted(epochs=3) == {"epochs": 3}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_wrong_value_is_refused_by_its_field(name: str, value: object) -> None:
    [(field, words)] = refused(**{name: value})
    assert field == f"config.{name}"
    assert len(words) < 300


@pytest.mark.parametrize(
    ("name", "value"), [("batch", -1), ("batch", 0.6), ("batch", 1), ("freeze", [0, 3]), ("cache", "ram")]
)
def test_what_ultralytics_offers_is_accepted(name: str, value: object) -> None:
    assert accepted(**{name: value}) == {name: value}


@pytest.mark.parametrize("name", OF_THE_HOST)
def test_what_reaches_files_code_or_the_host_is_refused_with_its_reason(name: str) -> None:
    [(field, words)] = refused(**{name: "x"})
    assert field == f"config.{name}"
    assert "is not for callers: " in words


@pytest.mark.parametrize("name", ["format", "conf", "show", "split"])
def test_arguments_of_prediction_and_export_are_refused(name: str) -> None:
    assert refused(**{name: True}) == [(f"config.{name}", "is not an argument of training")]


def test_every_fault_is_named_at_once() -> None:
    fields = [field for field, _ in refused(epochs=0, batch_size=-5, nonsense=1, project="/etc")]
    assert fields == ["config.epochs", "config.batch_size", "config.nonsense", "config.project"]


def test_both_names_of_one_argument_are_refused() -> None:
    [(field, words)] = refused(batch_size=4, batch=8)
    assert field == "config.batch_size"
    assert "config.batch" in words


def test_a_number_too_long_to_be_written_is_refused() -> None:
    assert refused(lr0=10**5000, freeze=[[10**5000]], optimizer=[10**5000])


@given(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=20), JSON_VALUES, max_size=6))
def test_any_json_is_accepted_with_the_right_types_or_refused_in_words(config: dict[str, Any]) -> None:
    try:
        found = check_config(config, DESCRIPTION)
    except ConfigRefused as refusal:
        named = {field for field, _ in refusal.errors}
        assert named
        assert named <= {f"config.{name[:100]}" for name in config}
        return
    assert not set(found) & set(OF_THE_HOST)
    for name, value in found.items():
        assert name in DESCRIPTION.arguments
        kind = DESCRIPTION.arguments[name].type
        if kind == "bool":
            assert isinstance(value, bool)
        elif kind == "int":
            assert type(value) is int
        elif kind in {"float", "fraction"} and value is not None:
            assert type(value) in {int, float}
            assert math.isfinite(value)
