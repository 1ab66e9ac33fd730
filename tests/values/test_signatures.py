"""Test that all public arguments are visible to `inspect.signature`, help and type checkers."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import polycera as pc
from polycera.tasks.from_config import KINDS
from polycera.tasks.task import ClassTask, ClassTaskOptions, Task, TaskOptions
from polycera_cli import inspecting, training

pytestmark = pytest.mark.nobackend

COMMON = {"name", "loss", "weight", "metrics", "learning_rate"}


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_shows_its_arguments(name: str) -> None:
    """They are those that it takes: each can be given, and nothing else."""
    kind = KINDS[name]
    found = inspect.signature(kind)
    assert set(found.parameters) >= COMMON
    assert not {"rest", "args", "kwargs"} & set(found.parameters)
    options = {
        name: one.default for name, one in found.parameters.items() if one.default is not one.empty
    }
    made = kind("a", **options)
    assert set(made.to_config()) - {"kind"} <= set(found.parameters)
    with pytest.raises(TypeError, match="wight"):
        kind("a", wight=2.0)  # type: ignore[call-arg]


def test_the_arguments_of_ones_own_kind_are_seen_too() -> None:
    class Mine(pc.Regression):
        kind = "regression"

        def __init__(self, name: str, floor: float = 0.0, **rest: Any) -> None:
            self.floor = floor
            super().__init__(name, **rest)

    found = inspect.signature(Mine).parameters
    assert list(found)[:3] == ["name", "floor", "standardize"]
    assert found["standardize"].kind is inspect.Parameter.KEYWORD_ONLY
    assert Mine("a", 2.0, standardize=False).floor == 2.0


@pytest.mark.parametrize("thing", [getattr(pc.callbacks, name) for name in pc.callbacks.__all__])
def test_a_callback_shows_its_arguments(thing: Any) -> None:
    kinds = {one.kind for one in inspect.signature(thing).parameters.values()}
    assert not kinds & {inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL}


@pytest.mark.parametrize("name", [name for name in pc.ESTIMATORS if name.startswith("Polycera")])
def test_an_estimator_shows_its_arguments(name: str) -> None:
    assert {"width", "learning_rate", "random_state"} <= set(
        inspect.signature(getattr(pc, name)).parameters
    )


def test_the_layers_and_the_model_show_their_arguments() -> None:
    assert {"tasks", "balancing", "weighting", "seed"} <= set(
        inspect.signature(pc.layers.Heads).parameters
    )
    assert {"inputs", "outputs", "balancing"} <= set(inspect.signature(pc.Model).parameters)


def test_what_a_type_checker_reads_is_what_every_kind_takes() -> None:
    """mypy reads the arguments of `**rest` from `TaskOptions`, so they must be those of `Task`."""
    ours = inspect.signature(Task.__init__).parameters
    assert set(TaskOptions.__annotations__) == set(ours) - {"self", "name"}
    for kind in KINDS.values():
        for base in kind.__mro__:
            rest = inspect.signature(vars(base).get("__init__", lambda: None)).parameters.get(
                "rest"
            )
            # What a kind with classes hands on may hold class weights too.
            known = ("Unpack[TaskOptions]", "Unpack[ClassTaskOptions]")
            assert base is object or rest is None or rest.annotation in known
    taken_by_classes = inspect.signature(ClassTask.__init__).parameters
    assert set(ClassTaskOptions.__annotations__) == (
        set(TaskOptions.__annotations__) | set(taken_by_classes)
    ) - {"self", "name", "classes", "rest"}


OF_TRAINING = {
    "metric",
    *("loss_weights", "out", "spec", "score_weights", "threshold", "preset", "network", "training"),
    *("checkpoint_every", "resume", "progress", "say", "class_weight"),
}
"""Arguments of `pc.fit` that say nothing of how the table is read."""
OPTIONS_OF_TRAINING = {
    "metric",
    *("folds", "max_steps", "batch_size", "weighting", "balancing", "gradients", "preference"),
    *("guard", "fast", "loss_weight", "score_weight"),
} | OF_TRAINING
"""Options of `polycera fit` of the same kind."""


def test_inspect_takes_what_fit_takes_about_the_table() -> None:
    fit, seen = (inspect.signature(each).parameters for each in (pc.fit, pc.inspect))
    assert set(seen) == set(fit) - OF_TRAINING
    assert {name: one.default for name, one in seen.items() if name != "source"} == {
        name: one.default for name, one in fit.items() if name in seen and name != "source"
    }


def test_the_command_inspect_takes_the_options_of_fit_about_the_table() -> None:
    fit, seen = (inspect.signature(each).parameters for each in (training.fit, inspecting.inspect))
    assert set(seen) - {"source"} == set(fit) - OPTIONS_OF_TRAINING - {"file", "source"}
    for name, one in seen.items():
        if name != "source":
            assert (one.default, one.annotation) == (fit[name].default, fit[name].annotation), name
