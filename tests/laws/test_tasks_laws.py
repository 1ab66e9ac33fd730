"""Test any tasks, labels, masks and weights: nothing is lost, reordered, or taught by a gap."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from keras import ops
from small import compiled, dense, examples, loss_of, unscaled, value_and_gradient

import polycera as pc
from polycera.model.objective import Objective
from polycera.tasks import Layout, numpy_ops, task_from_config
from polycera.tasks.metrics import TALLIES

ROWS = 6
CLASSES = ("low", "mid", "high")
nobackend = pytest.mark.nobackend

# -- tasks -----------------------------------------------------------------------------------------

names = st.text(min_size=1, max_size=12)
weights = st.floats(0, 10, width=32)
smoothing = st.sampled_from([0.0, 0.1, 0.5])
labels = st.one_of(
    st.lists(st.text(max_size=5), min_size=2, max_size=5, unique=True),
    st.lists(st.integers(-5, 5), min_size=2, max_size=5, unique=True),
)


def metrics(kind: str) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(sorted(TALLIES[kind].metrics)), min_size=1, unique=True)


SOFT = {"soft multilabel": "multilabel", "soft multiclass": "multiclass"}
"""Kinds whose labels are soft, as they are measured -> their kind."""


def losses(kind: str) -> st.SearchStrategy[Any]:
    extra = {"regression": ["huber", "mean_squared_logarithmic_error"], "binary": ["hinge"]}.get(
        kind, []
    )
    known = [*pc.tasks.terms.LOSSES[SOFT.get(kind, kind)], *extra]
    return st.dictionaries(st.sampled_from(known), weights, min_size=1) | st.sampled_from(known)


OWN = {
    "regression": {"standardize": st.booleans()},
    "binary": {
        "classes": labels.map(lambda c: c[:2]),
        "pos_weight": weights,
        "label_smoothing": smoothing,
    },
    "multiclass": {"classes": labels | st.integers(2, 5), "label_smoothing": smoothing},
    "multilabel": {
        "labels": st.integers(1, 4),
        "pos_weight": weights,
        "label_smoothing": smoothing,
    },
    "ordinal": {"classes": labels | st.integers(2, 5)},
    "count": {},
    "proportion": {},
    "soft multilabel": {"labels": st.integers(1, 4), "pos_weight": weights, "soft": st.just(True)},
    "soft multiclass": {
        "classes": labels | st.integers(2, 5),
        "label_smoothing": smoothing,
        "soft": st.just(True),
    },
    "quantile": {
        "quantiles": st.sampled_from([(0.5,), (0.1, 0.9), (0.05, 0.5, 0.6)]),
        "standardize": st.booleans(),
    },
}
KINDS = sorted(OWN)


@st.composite
def any_task(draw: Any, kind: str | None = None, name: str | None = None) -> Any:
    kind = kind or draw(st.sampled_from(KINDS))
    options = {option: draw(values) for option, values in OWN[kind].items()}
    options |= {"weight": draw(weights), "loss": draw(losses(kind)), "metrics": draw(metrics(kind))}
    options["learning_rate"] = draw(st.sampled_from([1.0, 0.1, 3.0]))
    try:
        return pc.tasks.kind_of(SOFT.get(kind, kind))(
            draw(names) if name is None else name, **options
        )
    except pc.InputError as error:
        # an option of the default loss without that loss is refused, by design
        assume("is an option of the loss" not in str(error))
        raise


@nobackend
@given(any_task())
def test_a_task_written_down_is_the_same_task(task: Any) -> None:
    import json

    config = json.loads(json.dumps(task.to_config()))
    again = task_from_config(config)
    assert again == task
    assert again.to_config() == task.to_config()
    assert type(again) is type(task)
    assert again.signature == task.signature
    assert [(t.name, t.weight) for t in again.terms] == [(t.name, t.weight) for t in task.terms]


@nobackend
@given(any_task(), st.floats(0, 5))
def test_replace_changes_one_thing(task: Any, weight: float) -> None:
    changed = task.replace(weight=weight)
    assert changed.weight == weight
    assert changed.replace(weight=task.weight) == task


# -- labels ----------------------------------------------------------------------------------------

MISSING = {"None": None, "NaN": float("nan"), "NA": pd.NA, "NaT": pd.NaT}
HOLDERS = {
    "list": list,
    "array": lambda values: np.array([*values, None], object)[:-1],
    "series": lambda values: pd.Series(values, dtype=object),
    "column": lambda values: np.array([*values, None], object)[:-1, None],
}


@nobackend
@pytest.mark.parametrize("kind", ["binary", "multiclass", "ordinal"])
@given(data=st.data())
def test_classes_come_back_as_they_went_in(kind: str, data: Any) -> None:
    """Text, numbers and booleans; a missing label is missing, in whatever way it is said."""
    classes = data.draw(labels.map(lambda c: c[:2] if kind == "binary" else c))
    task = pc.tasks.kind_of(kind)("t", classes=classes)
    said = data.draw(
        st.lists(st.sampled_from([*classes, *MISSING.values()]), min_size=1, max_size=12)
    )
    hold = HOLDERS[data.draw(st.sampled_from(sorted(HOLDERS)))]
    encoded = task.encode(hold(said))
    assert encoded.shape == (len(said), 1)
    known = np.array([any(value is c for c in classes) for value in said])
    np.testing.assert_array_equal(~np.isnan(encoded[:, 0]), known)
    answered = task.answer(perfect(task, encoded[known]))
    assert list(answered) == [value for value, there in zip(said, known, strict=True) if there]


def perfect(task: Any, encoded: np.ndarray) -> np.ndarray:
    """The predictions of someone who knows the labels."""
    return np.asarray(task.as_prediction(encoded, numpy_ops), "float64")


numbers = hnp.arrays("float64", st.integers(1, 9), elements=st.floats(-1e6, 1e6) | st.just(np.nan))


@nobackend
@pytest.mark.parametrize("kind", ["regression", "count", "quantile"])
@given(values=numbers)
def test_numbers_come_back_as_they_went_in(kind: str, values: np.ndarray) -> None:
    values = np.abs(values) if kind == "count" else values
    task = pc.tasks.kind_of(kind)("t")
    for held in (
        values,
        values[:, None],
        list(values),
        pd.Series(values),
        np.ma.masked_invalid(values),
    ):
        np.testing.assert_array_equal(task.encode(held)[:, 0], values)
    as_nullable = task.encode(pd.array(values, dtype="Float64"))
    np.testing.assert_array_equal(as_nullable[:, 0], values)
    known = values[~np.isnan(values)]
    np.testing.assert_array_equal(task.answer(perfect(task, known[:, None])), known)


@nobackend
@given(numbers)
def test_units_are_put_back(values: np.ndarray) -> None:
    """Standardised labels have mean 0, deviation 1 if they vary, and return to float32 accuracy."""
    task = pc.Regression("t")
    known = values[~np.isnan(values)]
    # which float32 does not hold, and which is refused
    if not len(known) or 0 < np.abs(known).max() < 1e-43:
        return
    location, scale = task.moments(values[:, None])
    standard = (known - location) / scale
    np.testing.assert_allclose(standard * scale + location, known, rtol=1e-12, atol=1e-9)
    if known.std() > max(1e-3 * np.abs(known).max(), 1e-30):
        assert standard.mean() == pytest.approx(0, abs=1e-3)
        assert standard.std() == pytest.approx(1, rel=1e-5)


@nobackend
@given(hnp.arrays("float64", (4, 3), elements=st.sampled_from([0.0, 1.0, np.nan])))
def test_labels_of_a_row_come_back_as_they_went_in(values: np.ndarray) -> None:
    task = pc.Multilabel("t", ["a", "b", "c"])
    frame = pd.DataFrame(values, columns=["a", "b", "c"])
    masked, nested = (
        np.ma.masked_invalid(values),
        [[None if math.isnan(v) else v for v in row] for row in values],
    )
    for held in (values, frame, masked, nested, frame.astype("Int64")):
        np.testing.assert_array_equal(task.encode(held), values)
    known = np.nan_to_num(values)
    np.testing.assert_array_equal(task.answer(known), known)


@nobackend
def test_numbers_in_any_dress_are_one_label() -> None:
    task = pc.Binary("t", classes=(0, 1))
    for held in (
        [False, True],
        np.array([False, True]),
        [0.0, 1.0],
        np.array([0, 1], "uint8"),
        ["0", "1"],
    ):
        if isinstance(held[0], str):
            with pytest.raises(pc.InputError, match="'0'"):
                task.encode(held)
        else:
            assert task.encode(held).ravel().tolist() == [0.0, 1.0]
    assert task.encode(np.ma.array([0, 1], mask=[True, False])).ravel().tolist()[1] == 1.0
    assert task.encode(pd.array([True, pd.NA], dtype="boolean")).ravel()[0] == 1.0
    assert pc.Multiclass("t", CLASSES).encode(pd.Categorical(["mid", None])).ravel()[0] == 1.0


@nobackend
@given(any_task(), st.data())
def test_one_hot_is_the_label(task: Any, data: Any) -> None:
    if task.kind not in ("multiclass", "ordinal"):
        return
    size = len(task.known_classes())
    index = data.draw(hnp.arrays("int64", 5, elements=st.integers(0, size - 1)))
    expected = np.eye(size)[index] if getattr(task, "soft", False) else index[:, None]
    np.testing.assert_array_equal(task.encode(np.eye(size)[index]), expected)


# -- layouts ---------------------------------------------------------------------------------------

several = st.lists(any_task(), min_size=1, max_size=6, unique_by=lambda t: t.name).filter(
    lambda tasks: not {f"val_{t.name}" for t in tasks} & {t.name for t in tasks}
)


@nobackend
@given(several)
def test_every_column_belongs_to_one_task(tasks: list[Any]) -> None:
    layout = Layout.of(tasks)
    assert set(layout.tasks) == {t.name for t in tasks}
    for columns, size, each in (
        (layout.raw_columns, layout.units, "units"),
        (layout.target_columns, layout.width, "width"),
    ):
        owned = [column for own in columns.values() for column in range(own.start, own.stop)]
        assert sorted(owned) == list(range(size))
        assert all(
            own.stop - own.start == getattr(layout.tasks[name], each)
            for name, own in columns.items()
        )
    raw = np.arange(layout.units, dtype=float)[None]
    for group in layout.groups:
        assert len({t.signature for t in group.tasks}) == 1
        for i, task in enumerate(group.tasks):
            np.testing.assert_array_equal(
                group.raw(raw, numpy_ops)[0, i], raw[0, layout.raw_columns[task.name]]
            )


# -- losses ----------------------------------------------------------------------------------------


def distance(y: Any, p: Any) -> Any:
    """A user's loss with an infinite derivative where it is 0."""
    return ops.sqrt(ops.sum(ops.abs(y - p), axis=-1))


def apart(y: Any, p: Any) -> Any:
    """A joint loss with an infinite derivative where it is 0."""
    return ops.sqrt(ops.abs(y["number"] - p["number"]) + ops.abs(y["yes"] - p["yes"]))[:, 0]


def pool(weight: Any) -> list[Any]:
    """Tasks of all kinds, some of them neighbours of one signature with different losses."""
    return [
        pc.Regression("number", loss={"mse": 0.5, "mae": 2.0}, weight=weight(0)),
        pc.Regression("far", loss=[("huber", 0.3), (distance, 0.7)], weight=weight(1)),
        pc.Binary("yes", loss={"bce": 1.0, "hinge": 0.2}, pos_weight=3.0, weight=weight(2)),
        pc.Binary("sure", label_smoothing=0.2, weight=weight(3)),
        pc.Multiclass(
            "class", CLASSES, loss=[("cross_entropy", 1.0), (distance, 0.1)], weight=weight(4)
        ),
        pc.Multilabel("tags", 3, loss=[("bce", 1.0), (distance, 0.5)], weight=weight(5)),
        pc.Ordinal("level", 3, weight=weight(6)),
        pc.Count("visits", weight=weight(7)),
        pc.Quantile("delay", weight=weight(8)),
        pc.Joint(apart, ["number", "yes"], weight=weight(9)),
    ]


POOL = pool(lambda i: 1.0 + 0.1 * i)
LAYOUT = Layout.of(POOL)
VALUES = {"binary": 2, "multilabel": 2, "multiclass": 3, "ordinal": 3, "count": 5}


def encoded(rng: np.random.Generator, task: Any, rows: int = ROWS) -> np.ndarray:
    if task.kind in VALUES:
        return rng.integers(0, VALUES[task.kind], (rows, task.width)).astype("float32")
    return rng.normal(size=(rows, 1)).astype("float32")


@st.composite
def batches(draw: Any, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels with holes, raw outputs, weights with zeros: of the pool, in its packed order."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    y = np.concatenate([encoded(rng, task, rows) for task in LAYOUT.tasks.values()], axis=1)
    y[rng.random(y.shape) < draw(st.sampled_from([0.0, 0.3, 0.9]))] = np.nan
    raw = rng.normal(0, 2, (rows, LAYOUT.units)).astype("float32")
    weight = rng.uniform(0.1, 3, (rows, len(LAYOUT.tasks))).astype("float32")
    weight[rng.random(weight.shape) < draw(st.sampled_from([0.0, 0.4]))] = 0.0
    return y, raw, weight


class Measured:
    """An objective, compiled once a shape."""

    def __init__(self, tasks: list[Any]) -> None:
        self.objective = Objective(Layout.of(tasks))
        kept = unscaled(self.objective.layout)
        self.step = compiled(lambda y, raw, weight: self._step(y, raw, weight, kept))
        self.gradient = value_and_gradient(
            lambda raw, y, weight: loss_of(self.objective, y, raw, weight, kept)
        )

    def _step(self, *batch: Any) -> Any:
        means = self.objective.means(self.objective(*batch))
        return self.objective.loss(means), means

    def __call__(self, y: Any, raw: Any, weight: Any) -> tuple[float, dict[str, float]]:
        """The loss, and every term: its mean over the rows that count."""
        loss, means = self.step(*map(ops.convert_to_tensor, (y, raw, weight)))
        terms = np.asarray(ops.convert_to_numpy(means), "float64")
        return float(loss), dict(zip(self.objective.names, terms.tolist(), strict=True))


WHOLE = Measured(POOL)


def columns(name: str) -> slice:
    return LAYOUT.target_columns[name]


def gone(y: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Labels that take no part, [rows, width]."""
    by_column = np.repeat(weight, [t.width for t in LAYOUT.tasks.values()], axis=1)
    return np.isnan(y) | (by_column == 0)


few = examples(6)


@few
@given(batches())
def test_the_loss_is_the_weighted_sum_of_what_is_logged(batch: Any) -> None:
    loss, terms = WHOLE(*batch)
    assert set(terms) == {
        f"{t.name}/{logged(t, s)}" for t in LAYOUT.tasks.values() for s in t.terms
    } | {"apart"}
    by_hand = sum(
        t.weight * s.weight * terms[f"{t.name}/{logged(t, s)}"]
        for t in LAYOUT.tasks.values()
        for s in t.terms
    )
    assert loss == pytest.approx(by_hand + LAYOUT.joints[0].weight * terms["apart"], rel=2e-6)


def logged(task: Any, term: Any) -> str:
    return f"{term.name}_loss" if term.name in task.metrics else term.name


@pytest.mark.nobackend
@settings(max_examples=2)
@given(batches(), st.permutations(POOL))
def test_the_order_of_tasks_changes_no_loss(batch: Any, order: list[Any]) -> None:
    y, raw, weight = batch
    layout = Layout.of(order)
    places = list(LAYOUT.tasks)
    y_there = np.concatenate([y[:, LAYOUT.target_columns[n]] for n in layout.tasks], axis=1)
    raw_there = np.concatenate([raw[:, LAYOUT.raw_columns[n]] for n in layout.tasks], axis=1)
    weight_there = np.stack([weight[:, places.index(n)] for n in layout.tasks], axis=1)
    loss, terms = WHOLE(y, raw, weight)
    loss_there, terms_there = Measured(order)(y_there, raw_there, weight_there)
    assert loss_there == pytest.approx(loss, rel=2e-6)
    assert terms_there == pytest.approx(terms, rel=2e-6, abs=1e-7)


@few
@given(batches())
def test_what_is_missing_teaches_nothing(batch: Any) -> None:
    """The gradient is exactly 0 where there is no label or no weight, and finite everywhere."""
    y, raw, weight = batch
    gradient = WHOLE.gradient(raw, y, weight)[1]
    assert np.isfinite(gradient).all()
    absent = gone(y, weight)
    for name, task in LAYOUT.tasks.items():
        own, holes = gradient[:, LAYOUT.raw_columns[name]], absent[:, columns(name)]
        there = own[holes] if task.kind == "multilabel" else own[holes[:, 0]]
        np.testing.assert_array_equal(there, np.zeros_like(there))
        if not holes.any():
            assert np.abs(own).max() > 0


@few
@given(batches(), st.sampled_from([7.0, -1e30, 3e38]))
def test_what_is_missing_costs_nothing(batch: Any, other: float) -> None:
    """For any label of weight 0, and any output of the network there, the loss is the same bits."""
    y, raw, weight = batch
    absent = gone(y, weight)
    other_y, other_raw = np.where(absent & ~np.isnan(y), 1.0, y).astype("float32"), raw.copy()
    for name, task in LAYOUT.tasks.items():
        holes = (
            absent[:, columns(name)]
            if task.kind == "multilabel"
            else absent[:, columns(name)][:, :1]
        )
        own = other_raw[:, LAYOUT.raw_columns[name]]
        own[...] = np.where(np.broadcast_to(holes, own.shape), np.float32(other), own)
    assert WHOLE(other_y, other_raw, weight) == WHOLE(y, raw, weight)


@few
@given(batches())
def test_zero_error_has_a_gradient_even_under_a_root(batch: Any) -> None:
    """All labels missing and raw outputs 0: sqrt has infinite slope there, 0 x infinity is NaN."""
    y, raw, weight = (
        np.full_like(batch[0], np.nan),
        np.zeros_like(batch[1]),
        np.zeros_like(batch[2]),
    )
    for labels_, weights_ in ((y, batch[2]), (np.zeros_like(y), weight), (y, weight)):
        loss, gradient = WHOLE.gradient(raw, labels_, weights_)
        assert loss == 0.0
        np.testing.assert_array_equal(gradient, np.zeros_like(gradient))


@few
@given(batches())
def test_a_task_is_measured_on_its_labelled_rows_alone(batch: Any) -> None:
    """A term is the mean of what each row that has a label costs by itself."""
    y, raw, weight = batch
    terms = WHOLE(y, raw, weight)[1]
    absent = gone(y, weight)
    row_by_row = [WHOLE(*(a[i : i + 1] for a in batch))[1] for i in range(ROWS)]
    for name in LAYOUT.tasks:
        rows = np.flatnonzero(~absent[:, columns(name)].all(axis=1))
        for term in [t for t in terms if t.startswith(f"{name}/")]:
            alone = [row_by_row[i][term] for i in rows]
            assert terms[term] == pytest.approx(
                np.mean(alone) if alone else 0.0, rel=1e-5, abs=1e-7
            )
    both = np.flatnonzero(~(absent[:, columns("number")] | absent[:, columns("yes")])[:, 0])
    assert terms["apart"] == pytest.approx(
        np.mean([row_by_row[i]["apart"] for i in both]) if len(both) else 0.0
    )


@few
@given(batches(), st.booleans())
def test_rows_of_weight_0_are_no_rows(batch: Any, common: bool) -> None:
    """Padding like in the last batch on several devices; one weight for all tasks, or one each."""
    y, raw, weight = batch
    weight = np.maximum(weight, 0.1)[:, :1] if common else weight
    padded = [
        np.concatenate([a, np.full((3, a.shape[1]), fill, "float32")])
        for a, fill in ((y, 1), (raw, 9), (weight, 0))
    ]
    loss, terms = WHOLE(*padded)
    expected_loss, expected = WHOLE(y, raw, weight)
    assert loss == pytest.approx(expected_loss, rel=2e-6)
    assert terms == pytest.approx(expected, rel=2e-6, abs=1e-7)


# -- training --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> pc.Model:
    """All tasks of the pool on a small trunk with a regulariser; trained at learning rate 0."""
    trained = dense(
        pool(lambda i: 1.0 + 0.1 * i), optimizer=keras.optimizers.SGD(0.0), kernel_regularizer="l2"
    )
    trained.adapt(some(np.random.default_rng(0), 20)[1])
    return trained


def some(rng: np.random.Generator, rows: int) -> tuple[np.ndarray, dict[str, Any], dict[str, Any]]:
    """Features, labels by name with holes, weights by name with zeros."""
    y: dict[str, Any] = {}
    for name, task in LAYOUT.tasks.items():
        own = encoded(rng, task, rows).astype("float64")
        own[rng.random(own.shape) < 0.3] = np.nan
        y[name] = own if task.width > 1 else own[:, 0]
    y["class"] = np.array([None if np.isnan(v) else CLASSES[int(v)] for v in y["class"]], object)
    weight = {name: rng.integers(0, 3, rows).astype("float64") for name in LAYOUT.tasks}
    return rng.normal(size=(rows, 3)).astype("float32"), y, weight


def sum_of_terms(logs: dict[str, float], prefix: str = "") -> float:
    total = 0.0 if prefix is None else logs[f"{prefix}regularization"]
    for task in LAYOUT.tasks.values():
        total += sum(
            task.weight * t.weight * np.nan_to_num(logs[f"{prefix}{task.name}/{logged(task, t)}"])
            for t in task.terms
        )
    return total + LAYOUT.joints[0].weight * np.nan_to_num(logs[f"{prefix}apart"])


@settings(max_examples=3)
@given(st.integers(0, 2**32 - 1))
def test_logs_add_up_in_training_validation_and_evaluation(model: pc.Model, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y, weight = some(rng, 20)
    vx, vy, vweight = some(rng, 20)
    history = model.fit(
        x,
        y,
        sample_weight=weight,
        validation_data=(vx, vy, vweight),
        batch_size=10,
        epochs=1,
        verbose=0,
    ).history
    logs = {name: values[-1] for name, values in history.items()}
    measured = model.evaluate(vx, vy, sample_weight=vweight, batch_size=10, verbose=0)
    assert logs["regularization"] > 0
    assert logs["loss"] == pytest.approx(sum_of_terms(logs), rel=1e-6)
    assert logs["val_loss"] == pytest.approx(sum_of_terms(logs, "val_"), rel=1e-6)
    assert measured["loss"] == pytest.approx(sum_of_terms(measured), rel=1e-6)
    assert {f"val_{name}" for name in measured} == {
        name for name in logs if name.startswith("val_")
    }
    for name, value in measured.items():
        near = 0.2 if name.split("/")[-1] in ("auc", "map") else 1e-5  # of few rows by histogram
        assert logs[f"val_{name}"] == pytest.approx(value, rel=near, abs=near, nan_ok=True), name


@settings(max_examples=2)
@given(st.integers(0, 2**32 - 1))
def test_evaluation_does_not_depend_on_batches_or_padding(model: pc.Model, seed: int) -> None:
    x, y, weight = some(np.random.default_rng(seed), 20)
    whole = model.evaluate(x, y, sample_weight=weight, batch_size=20, verbose=0)
    parts = model.evaluate(x, y, sample_weight=weight, batch_size=10, verbose=0)
    assert parts == pytest.approx(whole, rel=1e-5, abs=1e-6, nan_ok=True)
    more_x, more_y, _ = some(np.random.default_rng(seed + 1), 10)
    more_y = {n: np.concatenate([y[n], more_y[n]]) for n in y}
    more_weight = {n: np.concatenate([w, np.zeros(10)]) for n, w in weight.items()}
    more = model.evaluate(
        np.concatenate([x, more_x * 100]),
        more_y,
        sample_weight=more_weight,
        batch_size=10,
        verbose=0,
    )
    assert more == pytest.approx(whole, rel=1e-5, abs=1e-6, nan_ok=True)
