"""Test that validation is honest: what nothing explains is not predicted, of whatever kind.

In these tables the features give a row's group away, and the targets are noise that the rows of a
group share. So an answer that learned from the group, from a copy of the row or from its future is
nearly perfect, and an honest one is no better than the trivial predictor.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
from polycera.tabular import recipe

pytestmark = pytest.mark.nobackend

GROUPS, EACH = 48, 5
QUICK: dict[str, Any] = {
    "network": {"width": 24, "members": 5},
    "training": {"max_steps": 250, "batch_size": 64},
}
ERROR = 0.45
"""Three standard errors of 2 AUC - 1 with 24 groups of each class; a leak is above 0.8."""


def shared_noise(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """One target of each kind for each group, which no feature explains."""
    z = rng.normal(size=(count, 3))
    return {
        "price": z[:, 0],
        "gaps": z[:, 1],
        "share": 1 / (1 + np.exp(-z[:, 2])),
        "sick": np.where(rng.permutation(count) % 2, "yes", "no"),
        "colour": np.array(["red", "green", "blue"])[rng.permutation(count) % 3],
        "level": rng.permutation(count) % 4,
        "calls": rng.poisson(3.0, count),
        "span": rng.normal(size=count),
        "m1": rng.permutation(count) % 2,
        "m2": rng.permutation(count) % 2,
    }


TARGETS: dict[str, Any] = {
    "price": "regression",
    "gaps": "regression",
    "share": "proportion",
    "sick": "binary",
    "colour": "multiclass",
    "level": "ordinal",
    "calls": "count",
    "span": "quantile",
    "m": pc.Multilabel("m", labels=["m1", "m2"]),
}


def of_groups(seed: int, nearness: float) -> dict[str, Any]:
    """Rows of groups that are nearly the same, or with nearness 0 copies of each other."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(GROUPS), EACH)
    noise = nearness * rng.normal(size=(len(group), 4))
    features = rng.normal(size=(GROUPS, 4))[group] + noise
    table = {f"x{i}": features[:, i] for i in range(4)}
    table |= {name: values[group] for name, values in shared_noise(rng, GROUPS).items()}
    # By group, so that copies stay copies.
    table["gaps"] = np.where((group % 6 == 0), np.nan, table["gaps"])
    order = rng.permutation(len(group))
    return {name: np.asarray(values)[order] for name, values in table.items()} | {
        "who": np.array([f"s{number}" for number in group[order]])
    }


def skills(run: pc.Run) -> dict[str, float]:
    """The skill of each task's headline on validation rows: 0 is the trivial predictor's."""
    part = run.metrics["validation"]
    found = {}
    for name, task in run.model.tasks.items():
        value = part[name][task.headline]["skill"]
        found[name] = np.nan if value is None else value
    return found


@pytest.mark.parametrize(("seed", "nearness"), [(0, 0.02), (1, 0.0)], ids=["groups", "copies"])
def test_what_groups_share_is_not_predicted_from_the_group(
    seed: int, nearness: float, tmp_path: Path
) -> None:
    table = of_groups(seed, nearness)
    if nearness:
        options: dict[str, Any] = {"groups": "who"}
    else:
        options = {"exclude": ["who"]}  # copies of a row are one group, without a word
    run = pc.fit(table, TARGETS, seed=seed, out=tmp_path / "run", say=print, **options, **QUICK)
    assert run.spec.network.landmarks and run.spec.network.folds == 5
    found = skills(run)
    assert len(found) == len(TARGETS)
    assert max(found.values()) < ERROR, found
    assert np.mean(list(found.values())) < 0.1, found


def test_a_walk_is_not_predicted_from_its_future(tmp_path: Path) -> None:
    """Walks that a clock gives away within their past, each with a new course in the last days."""
    rng = np.random.default_rng(0)
    rows = 240
    day = rng.permutation(rows)
    walks = np.cumsum(rng.normal(size=(rows, 6)), axis=0)
    table: dict[str, Any] = {f"w{i}": walks[day, i] for i in range(6)}
    table |= {"clock": day + 0.1 * rng.normal(size=rows), "day": day, "noise": rng.normal(size=240)}
    targets = {f"w{i}": "regression" for i in range(6)}
    run = pc.fit(table, targets, time="day", out=tmp_path / "run", **QUICK)
    assert run.spec.network.landmarks
    assert run.metrics["rows"] == {"train": 168, "validation": 36, "test": 36}
    r2 = [run.metrics["validation"][name]["r2"]["value"] for name in targets]
    assert np.mean(r2) < 0.0, r2


def test_validation_rows_that_are_named_are_those_that_are_measured(tmp_path: Path) -> None:
    """Their truth is measured, and a wholly different one would be measured as well."""
    table = of_groups(2, 0.02)
    number = np.array([int(name[1:]) for name in table["who"]])
    part = np.where(number % 4 == 0, "validation", "train")
    run = pc.fit(
        table | {"part": part},
        TARGETS,
        split="part",
        exclude=["who"],
        out=tmp_path / "run",
        **QUICK,
    )
    assert run.metrics["rows"] == {"train": 180, "validation": 60, "test": 0}
    with (run.path / "predictions.csv").open(newline="", encoding="utf-8") as file:
        measured = [int(row["row"]) for row in csv.DictReader(file)]
    np.testing.assert_array_equal(measured, np.flatnonzero(part == "validation"))
    found = skills(run)
    assert np.nanmean(list(found.values())) < 0.2, found


def test_members_go_on_with_the_validation_rows_after_these_are_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No validation number changes, test answers do; and an interruption there changes nothing."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    table = {"x": x, "day": np.arange(200), "y": x * np.linspace(-1, 1, 200)}
    small = {"network": {"width": 8, "members": 2}, "training": {"max_steps": 100}}

    def train(name: str) -> pc.Run:
        return pc.fit(table, ["y"], time="day", out=tmp_path / name, **small)

    whole = train("whole")
    with monkeypatch.context() as patch:
        patch.setattr(recipe, "learn_from_all", lambda *_: None)
        before = train("before")
    assert whole.metrics["validation"] == before.metrics["validation"]
    assert whole.metrics["test"] != before.metrics["test"]

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(recipe, "learn_from_all", interrupted)
        with pytest.raises(pc.errors.Interrupted):
            train("later")
    later = pc.resume(tmp_path / "later", table)
    for name in ("predictions.csv", "history.csv", "metrics.json"):
        assert (later.path / name).read_bytes() == (whole.path / name).read_bytes(), name
