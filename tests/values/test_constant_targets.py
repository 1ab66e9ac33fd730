"""Targets with a single value: a constant answer and one warning, by whichever door they come."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import polycera as pc
from polycera.data.infer_task import pair_of_one

pytestmark = pytest.mark.nobackend

ROWS = 48
QUICK: dict[str, Any] = {
    "training": {"max_steps": 6, "batch_size": 16},
    "network": {"width": 4, "depth": 1, "members": 5, "bins": 0},
}


def features() -> dict[str, np.ndarray]:
    a, b = np.random.default_rng(0).normal(size=(2, ROWS))
    return {"a": a, "b": b}


def caught(call: Any) -> tuple[Any, list[str]]:
    """What a call gives, and what it warned of in the words of constant labels."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = call()
    return found, [str(one.message) for one in said if "nothing to learn" in str(one.message)]


@pytest.mark.filterwarnings("ignore:Column '.' has 2 values .* far outside")
def test_every_kind_answers_its_one_value(tmp_path: Path) -> None:
    """Declared by name, by task and inferred; beside one that varies."""
    table = features()
    table |= {
        "word": ["no"] * ROWS,
        "flag": [1] * ROWS,
        "five": [5] * ROWS,
        "class": ["red"] * ROWS,
        "level": [3] * ROWS,
        "count": [2] * ROWS,
        "number": [7.5] * ROWS,
        "guessed": ["yes"] * ROWS,
        "varies": table["a"] > 0,
    }
    kinds = {
        "word": "binary",
        "flag": "binary",
        "class": "multiclass",
        "level": "ordinal",
        "count": "count",
    }
    targets = [kinds, {"number": "regression"}, pc.Binary("five"), "guessed", "varies"]
    run, said = caught(lambda: pc.fit(table, targets, out=tmp_path / "run", **QUICK))
    assert len(said) == 1 and said[0].startswith(
        "8 tasks or labels have a single value in the training part"
    )
    answers = run.predict({"a": [0.0, 9.0, -9.0], "b": [0.0, -9.0, 9.0]})
    for name in ("word", "flag", "five", "class", "level", "guessed"):
        assert answers[name].tolist() == [table[name][0]] * 3, name
    np.testing.assert_allclose(answers["number"], 7.5, rtol=1e-5)
    np.testing.assert_allclose(answers["count"], 2, rtol=1e-5)
    assert run.metrics["test"]["word"]["auc"]["value"] is None


def test_a_rare_label_may_be_missing_from_a_part(tmp_path: Path) -> None:
    """By groups and time one part has one class; of a task's three labels, one never occurs."""
    table = features() | {"when": np.arange(ROWS), "late": np.arange(ROWS) >= ROWS - 4}
    table |= {"x": [0] * ROWS, "y": (table["a"] > 0).astype(int), "z": (table["b"] > 0).astype(int)}
    labels = pc.Multilabel("tags", labels=["x", "y", "z"])
    run, said = caught(
        lambda: pc.fit(table, ["late", labels], time="when", out=tmp_path / "run", **QUICK)
    )
    assert len(said) == 1 and "'late', 'tags=x'" in said[0]
    answers = run.predict(table)
    assert not np.asarray(answers["late"]).any() and not answers["tags=x"].any()
    groups = table | {"home": np.repeat(np.arange(12), 4)}
    del groups["when"]
    run, said = caught(
        lambda: pc.fit(groups, {"late": "binary"}, groups="home", out=tmp_path / "other", **QUICK)
    )
    assert len(said) <= 1 and run.finished


def test_two_hundred_labels_are_one_sentence() -> None:
    tasks = [pc.Binary(f"t{i}") for i in range(200)]
    inputs = keras.Input((2,))
    model = pc.Model(inputs, pc.layers.Heads(tasks)(inputs))
    model.compile("sgd")
    x, y = np.zeros((8, 2), "float32"), {f"t{i}": np.zeros(8) for i in range(200)}
    _, said = caught(lambda: model.adapt(y))
    assert len(said) == 1 and said[0].startswith("200 tasks or labels") and "'t0'" in said[0]
    _, said = caught(lambda: model.fit(x, y, verbose=0))
    assert said == []  # it has been said
    one, said = caught(
        lambda: pc.Model(inputs, pc.layers.Heads([pc.Count("c"), pc.Binary("t")])(inputs))
    )
    _, said = caught(lambda: one.adapt({"c": np.full(8, 3), "t": np.arange(8) % 2}))
    assert len(said) == 1 and said[0].startswith("Task 'c' (count): every label is the same")


def test_an_estimator_of_one_class() -> None:
    x = np.stack(list(features().values()), axis=1)
    model, said = caught(
        lambda: pc.PolyceraClassifier(max_steps=5, width=4, random_state=0).fit(
            x, np.full(ROWS, "no")
        )
    )
    assert len(said) == 1
    assert model.classes_.tolist() == ["no"] and set(model.predict(x)) == {"no"}
    np.testing.assert_array_equal(model.predict_proba(x), np.ones((ROWS, 1)))


@pytest.mark.parametrize("only", ["yes", "no", "red", 0.0, 1.0, 5.0, True, False], ids=repr)
def test_the_other_class_is_another(only: Any) -> None:
    negative, positive = pair_of_one(only)
    assert only in (negative, positive) and negative != positive
