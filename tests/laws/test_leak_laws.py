"""No column of chance is named as a possible leak; a noisy copy of a target of any kind is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import polycera as pc
from polycera.data import Table, infer, leaks, tasks_for

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

KINDS = ("regression", "binary", "multiclass", "count", "ordinal", "multilabel", "proportion")


def target(kind: str, rng: np.random.Generator, rows: int) -> tuple[Any, np.ndarray]:
    """Return a target of a kind, and its values as numbers."""
    if kind == "binary":
        codes = rng.integers(0, 2, rows)
        return pc.Binary("y", classes=["no", "yes"]), codes
    if kind == "multiclass":
        codes = rng.integers(0, 4, rows)
        return pc.Multiclass("y", classes=list("abcd")), codes
    if kind == "ordinal":
        return pc.Ordinal("y", classes=["low", "mid", "high", "top"]), rng.integers(0, 4, rows)
    if kind == "count":
        return pc.Count("y"), rng.poisson(np.exp(rng.normal(1.5, 1.0, rows)))
    if kind == "multilabel":
        return pc.Multilabel("tags", labels=["y", "other"]), rng.integers(0, 2, rows)
    if kind == "proportion":
        return pc.Proportion("y"), rng.random(rows)
    # Heavy tails: most of the variance is in a few rows.
    return pc.Regression("y"), np.exp(rng.normal(0, 1.5, rows))


def labels(task: Any, values: np.ndarray) -> Any:
    """Return the values as the labels of the task."""
    classes = getattr(task, "classes", None)
    return [classes[value] for value in values] if classes else values


def noisy(kind: str, values: np.ndarray, rng: np.random.Generator) -> Any:
    """Return a copy of a target with noise: 2 % of the rows changed, or the ranks shaken."""
    if kind in ("binary", "multiclass", "multilabel", "ordinal"):
        changed = rng.random(len(values)) < 0.02
        codes = np.where(changed, rng.permutation(values), values)
        return [f"level {code}" for code in codes]
    order = np.argsort(np.argsort(values, kind="stable")) / len(values)
    return order + rng.normal(0, 0.03, len(values))


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5)
@given(seed=st.integers(0, 10_000), rows=st.integers(400, 900))
def test_a_noisy_copy_is_named_and_chance_is_not(kind: str, seed: int, rows: int) -> None:
    rng = np.random.default_rng(seed)
    task, values = target(kind, rng, rows)
    copy = noisy(kind, values, rng)
    y = labels(task, values)
    columns = {
        "noise": rng.normal(size=rows),
        "levels": rng.choice(list("pqrstuvw"), rows),
        "permuted": rng.permutation(np.asarray(y, dtype=object)),
        "day": np.datetime64("2024-01-01") + rng.integers(0, 900, rows),
        "copy": copy,
        "other": rng.integers(0, 2, rows),
        "y": y,
    }
    if kind != "multilabel":
        del columns["other"]
    table = Table(columns)
    tasks, _ = tasks_for(table, task)
    found = leaks(table, infer(table, ["y", "other"] if kind == "multilabel" else ["y"]), tasks)
    assert found.pairs == {("copy", "y")}
