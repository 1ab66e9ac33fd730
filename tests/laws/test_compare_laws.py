"""Test what holds of every comparison: equal rows, first weights and numbers.

The numbers do not depend on the processes.
"""

from __future__ import annotations

import itertools
import math
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python
from hypothesis import given
from hypothesis import strategies as st

import polycera as pc
from polycera.experiments import affinity, jobs
from polycera.experiments.confidence_interval import interval
from polycera.experiments.gains import better, difference, relative
from polycera.experiments.weightings import checked, design, folder_of
from polycera.model import Score
from polycera.runs import Folder, folder, manifest, results
from polycera.tabular import prepare, recipe

TARGETS = ["price", "churn", "few"]
OPTIONS: dict[str, Any] = {
    "network": {"width": 6, "depth": 1, "members": 5, "bins": 4, "landmarks": 20},
    "training": {"max_steps": 60, "batch_size": 20},
}
ALONE: dict[str, Any] = OPTIONS | {"network": OPTIONS["network"] | {"landmarks": 0}}
"""Without kernel ridge, as `compare_weightings` trains."""


# Comparisons are trainings, and those are tested on every backend: here it is which rows,
# seeds and weights they are given.
pytestmark = pytest.mark.nobackend


def columns(rows: int = 90) -> dict[str, Any]:
    """Three targets: one has classes, so that its own split would differ, and one has gaps."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, rows))
    few = np.where(np.arange(rows) % 3 > 0, a * b, np.nan)
    return {"a": a, "b": b, "price": a - b, "churn": np.where(b > 0.5, "yes", "no"), "few": few}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    place = tmp_path_factory.mktemp("compared") / "run"
    training = OPTIONS["training"] | {"balancing": "mean"}
    joint = {"price": 1.0, "churn/auc": 2.0}
    return pc.fit(
        columns(), TARGETS, out=place, score_weights=joint, **ALONE | {"training": training}
    )


class Seen:
    """What each training was given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[dict[str, Any]] = []
        before = recipe.train

        def train(
            model: Any,
            train: Any,
            validation: Any,
            plan: Any,
            training: Any,
            callbacks: Any,
            seed: int,
            **rest: Any,
        ) -> Any:
            first = {
                w.path: keras.ops.convert_to_numpy(w)
                for w in model.trainable_variables
                if "hidden" in w.path
            }
            call = {
                "tasks": tuple(model.tasks),
                "train": train,
                "validation": validation,
                "plan": plan,
                "seed": seed,
            }
            call |= rest
            self.calls.append(call | {"training": training, "first": first, "model": model})
            return before(model, train, validation, plan, training, callbacks, seed, **rest)

        monkeypatch.setattr(recipe, "train", train)


def test_joint_and_separate_networks_see_the_same_rows_and_start_alike(
    run: pc.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = pc.load(run.path)
    prepared = prepare.prepared_again(begun, columns())
    seen = Seen(monkeypatch)
    pc.diagnostics.compare_separate(begun, columns(), seeds=2, processes=1, write=False)
    assert sorted((len(call["tasks"]), call["seed"]) for call in seen.calls) == [(1, 0)] * 3 + [
        (1, 1000)
    ] * 3 + [
        (3, 0),
        (3, 1000),
    ]
    joint = {call["seed"]: call for call in seen.calls if len(call["tasks"]) == 3}
    for call in seen.calls:
        beside = joint[call["seed"]]
        for part, rows in (
            ("train", prepared.parts.train),
            ("validation", prepared.parts.validation),
        ):
            features, targets = prepared.encoded_rows(rows)
            assert np.array_equal(call[part][0], features)
            assert tuple(call[part][1]) == call["tasks"]
            for name, labels in call[part][1].items():
                assert np.array_equal(labels, targets[name], equal_nan=True)
        assert call["plan"] == beside["plan"]
        assert all(
            np.array_equal(value, beside["first"][path]) for path, value in call["first"].items()
        )
        assert call["first"].keys() == beside["first"].keys() != set()
    assert any(
        not np.array_equal(joint[0]["first"][path], joint[1000]["first"][path])
        for path in joint[0]["first"]
    )
    alone = {call["tasks"][0]: call["training"] for call in seen.calls if len(call["tasks"]) == 1}
    assert {(one.weighting, one.balancing) for one in alone.values()} == {(None, None)}
    assert [dict(alone[name].score_weights) for name in TARGETS] == [
        {"price": 1.0},
        {"churn/auc": 2.0},
        {},
    ]
    assert all(task.weight == 1 for call in seen.calls for task in call["model"].tasks.values())
    assert joint[0]["training"] == begun.spec.training


@pytest.mark.parametrize("test", [0.15, 0.0])
def test_folds_are_those_of_the_run_where_none_of_them_is_the_yardstick(
    test: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a run with folds: its first joint network is that of the run.

    Without test rows, no member has seen them.
    """
    begun = pc.fit(columns(), TARGETS, out=tmp_path / "run", test=test, **ALONE)
    assert begun.spec.network.folds == 5
    seen = Seen(monkeypatch)
    found = pc.diagnostics.compare_separate(
        begun, columns(), seeds=1, tasks=["price", "few"], processes=1, write=False
    )
    parts = prepare.prepared_again(begun, columns()).parts
    for call in seen.calls:
        if test:
            assert (
                call["fold_mask"].shape == (len(call["train"][0]), 5)
                and call["validation"] is None
                and call["refit"]
            )
            assert np.array_equal(call["fold_mask"], seen.calls[0]["fold_mask"])
        else:
            assert call["fold_mask"] is None and not call["refit"]
            assert len(call["train"][0]) == len(parts.train) and len(call["validation"][0]) == len(
                parts.validation
            )
    if test:
        for task, gain in found.tasks.items():
            assert gain.joint[0] == pytest.approx(
                begun.metrics["test"][task][gain.metric]["value"], rel=1e-5
            )


def test_tasks_of_weight_0_are_trained_where_they_are_by_themselves(run: pc.Run) -> None:
    problem = jobs.problem_of(run, columns())
    problem = replace(
        problem, tasks=[task | {"weight": float(task["name"] == "churn")} for task in problem.tasks]
    )
    pairs = (["price", "few"], ["price", "churn"], ["price", "churn", "few"])
    found = [
        {name: task.weight for name, task in problem.build(names, 0).tasks.items()}
        for names in pairs
    ]
    own = {"price": 0.0, "churn": 1.0, "few": 0.0}
    assert found == [{"price": 1.0, "few": 1.0}, {"price": 0.0, "churn": 1.0}, own]


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
import polycera as pc
from laws.test_compare_laws import columns
found = pc.diagnostics.compare_separate(
    {run!r}, columns(), seeds=1, tasks=['price', 'few'], affinity=True, processes=2
)
print(found.joint_seconds[0] > 0)
"""


def test_the_result_does_not_depend_on_the_processes(run: pc.Run) -> None:
    """A script without `if __name__ == "__main__"`, which no worker may rerun, writes results."""
    here = pc.diagnostics.compare_separate(
        run, columns(), seeds=1, tasks=["price", "few"], affinity=True, processes=1
    )
    written = pc.load(run.path).comparison
    assert written is not None
    assert manifest.page(written) == manifest.page(here)
    for task, gain in here.tasks.items():  # the first seed is the run's own
        assert gain.joint[0] == pytest.approx(
            run.metrics["test"][task][gain.metric]["value"], rel=1e-6
        )
    assert list(here.tasks) == ["price", "few"]
    assert here.joint.parameters == run.model.count_params()
    said = python(SCRIPT.format(here=str(Path(__file__).parents[1]), run=str(run.path)))
    beside = Folder(run.path).comparison
    assert said.split() == ["True"]
    assert beside is not None
    assert beside.tasks == here.tasks
    assert (beside.delta_m, beside.affinity) == (here.delta_m, here.affinity)
    assert set(os.listdir(run.path)) >= {results.COMPARISON, folder.MODEL}
    assert not (run.path / folder.CHECKPOINTS).exists()  # the lock leaves nothing
    assert len(os.listdir(run.path.parent)) == 1  # and no training a folder of its own


# -- weightings ------------------------------------------------------------------------------------

TRIED = [{"price": 2.0, "churn": 1.0}, {"churn": 4.0}]


def test_a_weighting_is_what_fit_does_with_these_weights_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cut off in the second training; the same call keeps the first and trains the second.

    The first stays the same to the byte.
    """
    before = recipe.train
    left = [True]

    def once(*args: Any, **rest: Any) -> Any:
        if not left:
            raise ZeroDivisionError("cut off")
        left.pop()
        return before(*args, **rest)

    def compare_all() -> Any:
        return pc.diagnostics.compare_weightings(
            columns(), TARGETS, TRIED, out=tmp_path / "swept", processes=1, **given
        )

    given = OPTIONS | {
        "network": {name: n for name, n in OPTIONS["network"].items() if name != "landmarks"}
    }
    monkeypatch.setattr(recipe, "train", once)
    with pytest.raises(
        pc.PolyceraError,
        match=r"^Training 'price=1,churn=4,few=1' failed: ZeroDivisionError: cut off\.",
    ):
        compare_all()
    monkeypatch.setattr(recipe, "train", before)
    first = tmp_path / "swept" / "price=2,churn=1,few=1"
    kept = {path.name: path.read_bytes() for path in first.iterdir() if path.is_file()}
    found = compare_all()
    assert kept == {path.name: path.read_bytes() for path in first.iterdir() if path.is_file()}
    assert [point.runs for point in found.points] == [
        ["price=2,churn=1,few=1"],
        ["price=1,churn=4,few=1"],
    ]
    plain = pc.fit(columns(), TARGETS, loss_weights={"churn": 4.0}, out=tmp_path / "plain", **ALONE)
    swept = pc.load(tmp_path / "swept" / "price=1,churn=4,few=1")
    assert (swept.path / folder.MODEL).read_bytes() == (plain.path / folder.MODEL).read_bytes()
    point = found.points[1]
    assert found.part == "validation"
    assert (
        point.tasks["churn"].skill
        == swept.metrics["validation"]["churn"][point.tasks["churn"].metric]["skill"]
    )
    assert point.test["price"].value == swept.metrics["test"]["price"]["rmse"]["value"]
    best = found.best({"churn": 1.0})
    assert best.metrics["validation"]["churn"]["auc"]["skill"] == max(
        p.tasks["churn"].skill for p in found.points
    )
    assert 1 <= len(found.pareto_set) <= 2
    picture = found.picture("price", "churn").page()
    assert "skill of price" in picture
    assert "skill of churn" in picture


def test_weights_are_seen_where_kernel_ridge_would_answer_alone(tmp_path: Path) -> None:
    """A sum of two columns: the network is measured alone, in both comparisons; both say so."""
    a, b = np.random.default_rng(0).normal(size=(2, 90))
    table, quick = {"a": a, "b": b, "up": a + b, "down": a - b}, {"max_steps": 40, "batch_size": 20}
    small, said = {"width": 6, "depth": 1, "members": 5, "bins": 0}, []
    weights = [{"up": 100.0, "down": 0.01}, {"up": 0.01, "down": 100.0}]
    found = pc.compare_weightings(
        table,
        ["up", "down"],
        weights,
        out=tmp_path / "s",
        processes=1,
        network=small,
        training=quick,
        say=said.append,
    )
    one, other = ([reached.skill for reached in point.tasks.values()] for point in found.points)
    assert one != other and not found.all_alike
    assert one[0] > other[0] and one[1] < other[1]
    assert [sentence for sentence in said if "kernel ridge" in sentence] == [found.judged]
    assert found.to_config()["judged"] == found.judged
    run = pc.fit(table, ["up", "down"], out=tmp_path / "run", network=small, training=quick)
    assert run.spec.network.landmarks
    compared = pc.compare_separate(run, table, seeds=2, processes=1, write=False)
    assert compared.network_alone and "Only the networks are compared" in compared.verdict
    for gain in compared.tasks.values():
        assert gain.joint[0] != gain.joint[1] and gain.separate[0] != gain.separate[1]


def test_weightings_of_the_loss_terms_of_one_task(tmp_path: Path) -> None:
    """By a task that has them, by names alone, and from the spec of a run: the same trainings."""
    table = {name: values for name, values in columns().items() if name in ("a", "b", "price")}
    quick = {
        "training": {"max_steps": 10, "batch_size": 20},
        "network": {"width": 4, "depth": 1, "members": 1},
    }
    tried = [{"price/mse": 0.8, "price/mae": 0.2}, {"price/mse": 0.0, "price/mae": 1.0}]
    price = pc.Regression("price", loss={"mse": 1.0, "mae": 1.0})
    found = pc.compare_weightings(table, [price], tried, out=tmp_path / "one", processes=1, **quick)
    assert [point.loss_weights for point in found.points] == tried
    named = pc.compare_weightings(
        table, ["price"], tried, out=tmp_path / "two", processes=1, **quick
    )
    assert [point.tasks for point in named.points] == [point.tasks for point in found.points]
    first = found.best({"price": 1.0})
    terms = [
        {term["loss"]: term["weight"] for term in run.spec.tasks[0]["loss"]} for run in (first,)
    ]
    assert terms[0] in [{"mse": 0.8, "mae": 0.2}, {"mse": 0.0, "mae": 1.0}]
    again = pc.compare_weightings(
        table, spec=first.spec, loss_weights=tried[1:], out=tmp_path / "three", processes=1
    )
    assert again.points[0].tasks == found.points[1].tasks
    assert found.points[0].tasks != found.points[1].tasks


# -- without a network -----------------------------------------------------------------------------

NAMES = st.text(min_size=1, max_size=60)
NUMBERS = st.floats(0, 1e6, allow_nan=False)


@given(st.dictionaries(NAMES, NUMBERS, min_size=2, max_size=5), st.data())
def test_a_folder_has_a_safe_name_of_its_own(
    weights: dict[str, float], data: st.DataObject
) -> None:
    name = folder_of(weights)
    assert re.fullmatch(r"[A-Za-z0-9_=,][A-Za-z0-9_.=,-]{0,99}", name), name
    assert folder_of(dict(weights)) == name
    other = weights | {next(iter(weights)): data.draw(NUMBERS)}
    assert (folder_of(other) == name) == (other == weights)
    assert folder_of(weights, 7) not in (name, folder_of(weights, 8))


def test_weights_that_look_alike_have_folders_of_their_own() -> None:
    alike = [
        [{"a b": 2.0, "c": 1.0}, {"a-b": 2.0, "c": 1.0}, {"a/b": 2.0, "c": 1.0}],
        [{"a": 1.0000001, "b": 2.0}, {"a": 1.0, "b": 2.0}],
        [{"a": 1.0, "b": 2.0, "c": 3.0}, {"a=1,b": 2.0, "c": 3.0}],
        [{"a" * 300: 1.0, "b": 2.0}, {"a" * 300: 1.0, "b": 3.0}],
    ]
    for group in alike:
        assert len({folder_of(weights) for weights in group}) == len(group)


@given(st.integers(2, 12))
def test_the_default_weights_are_different_and_whole(tasks: int) -> None:
    own = {f"t{i}": 3.0 for i in range(tasks)}
    found = design(own)
    assert checked(found, own) == found
    assert len(found) == (5 if tasks == 2 else 1 + 2 * tasks)
    assert found[0] == dict.fromkeys(own, 1.0)


@given(st.floats(-1e6, 1e6), st.integers(2, 9), st.floats(0.5, 0.99))
def test_an_interval_without_a_width_names_nobody(
    value: float, seeds: int, confidence: float
) -> None:
    found = interval([value] * seeds, confidence)
    assert better(found.low, found.high) == "neither"


SCORES = st.builds(
    Score,
    value=st.floats(0.01, 100),
    trivial=st.just(0.5),
    ideal=st.sampled_from([0.0, 1.0, 0.9]),
    direction=st.sampled_from(["max", "min", "target"]),
)


@given(SCORES, st.floats(0.01, 100), st.floats(0.1, 10))
def test_gains_turn_round_with_the_networks_and_do_not_know_the_unit(
    one: Score, value: float, unit: float
) -> None:
    other = Score(value, one.trivial, one.ideal, one.direction)
    gained, lost = difference(one, other), difference(other, one)
    assert gained is not None
    assert lost == -gained
    scaled = [Score(s.value * unit, s.trivial, s.ideal * unit, s.direction) for s in (one, other)]
    before, after = relative(one, other), relative(*scaled)
    assert before == after is None or math.isclose(before, after, rel_tol=1e-6, abs_tol=1e-6)  # type: ignore[arg-type]


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=8), st.floats(-10, 10), st.floats(0.5, 0.98)
)
def test_an_interval_moves_with_its_values_and_grows_with_confidence(
    values: list[float], shift: float, confidence: float
) -> None:
    mean, low, high = interval(values, confidence)
    assert low is not None and high is not None and mean is not None
    assert low <= mean <= high
    assert interval([value + shift for value in values], confidence) == pytest.approx(
        (mean + shift, low + shift, high + shift), abs=1e-6
    )
    wider = interval(values, (1 + confidence) / 2)
    assert wider.low is not None and wider.low <= low


def test_partitions_are_all_of_them_and_hold_each_task_once() -> None:
    for tasks, bell in enumerate([1, 1, 2, 5, 15, 52, 203, 877, 4140]):
        found = list(affinity.partitions(tasks))
        assert len(found) == bell == len({tuple(sorted(map(tuple, groups))) for groups in found})
        assert all(sorted(itertools.chain(*groups)) == list(range(tasks)) for groups in found)


@given(st.integers(0, 10**6), st.integers(2, 7))
def test_groups_are_the_best_there_are_and_merging_is_never_worse_than_none(
    seed: int, tasks: int
) -> None:
    gain = np.random.default_rng(seed).normal(size=(tasks, tasks))
    np.fill_diagonal(gain, 0.0)
    best = max(affinity.total(groups, gain) for groups in affinity.partitions(tasks))
    merged = affinity._merged(gain)
    assert affinity.total(affinity.grouped(gain), gain) == pytest.approx(best)
    assert -1e-9 <= affinity.total(merged, gain) <= best + 1e-9
    assert sorted(itertools.chain(*merged)) == list(range(tasks))
    raised = affinity._raised([[0], [1]], gain[:2, :2])[0, 1]
    assert raised == pytest.approx(gain[0, 1] + gain[1, 0])
