"""Every metric of every kind against scikit-learn: exact at evaluation, close while training."""

from __future__ import annotations

import warnings
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.dummy import DummyClassifier, DummyRegressor
from small import raw_of, straight

import polycera as pc
from polycera.tasks import numpy_ops
from polycera.tasks.metrics import numbers, ranking
from polycera.tasks.metrics.binary import MultilabelTally

_BINARY = ("auc", "average_precision", "accuracy", "f1", "log_loss")
_ONE = ("precision", "recall", "balanced_accuracy", "brier", "mae", "mse", "rmse")
KINDS = {
    "reg": ("rmse", "mae", "r2", "mse"),
    "raw": ("mae", "rmse", "r2", "mse"),
    "bin": (*_BINARY, *_ONE),
    "rare": (*_BINARY, *_ONE),
    "cls": (
        *(
            "accuracy",
            "macro_f1",
            "log_loss",
            "macro_precision",
            "macro_recall",
            "balanced_accuracy",
            "auc",
            "brier",
        ),
        *("mse", "mae"),
    ),
    "lab": (
        *(
            "map",
            "macro_f1",
            "micro_f1",
            "hamming",
            "subset_accuracy",
            "ranking_loss",
            "accuracy",
            "auc",
            "log_loss",
        ),
        *(
            "macro_precision",
            "micro_precision",
            "macro_recall",
            "micro_recall",
            "brier",
            "mae",
            "mse",
            "rmse",
        ),
    ),
    "ord": ("mae", "kappa", "accuracy", "mse", "rmse", "macro_f1", "balanced_accuracy"),
    "cnt": ("deviance", "mae", "rmse", "mse", "r2"),
    "qua": ("pinball", "coverage", "mae"),
    "part": ("rmse", "mae", "mse", "brier", "r2", "log_loss"),
    "parts": ("rmse", "mae", "mse", "brier", "r2", "log_loss"),
    "votes": ("log_loss", "accuracy", "brier", "mae", "mse", "rmse"),
}
SEVERAL = ("lab", "parts", "votes")
QUANTILES = (0.1, 0.5, 0.8)
EVERY = [(task, metric) for task, own in KINDS.items() for metric in own]
BY_HISTOGRAM = ("auc", "average_precision", "map")


def tasks() -> list[Any]:
    return [
        pc.Regression("reg", metrics=KINDS["reg"]),
        pc.Regression("raw", standardize=False, metrics=KINDS["raw"]),
        pc.Binary("bin", classes=("no", "yes"), metrics=KINDS["bin"]),
        pc.Binary("rare", metrics=KINDS["rare"]),
        pc.Multiclass("cls", ["a", "b", "c", "d"], metrics=KINDS["cls"]),
        pc.Multilabel("lab", 5, metrics=KINDS["lab"]),
        pc.Ordinal("ord", 4, metrics=KINDS["ord"]),
        pc.Count("cnt", metrics=KINDS["cnt"]),
        pc.Quantile("qua", quantiles=QUANTILES, metrics=KINDS["qua"]),
        pc.Proportion("part", metrics=KINDS["part"]),
        pc.Multilabel("parts", 3, soft=True, metrics=KINDS["parts"]),
        pc.Multiclass("votes", 3, soft=True, metrics=KINDS["votes"]),
    ]


def some(n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Features with many ties, and labels that depend on them, a fifth of which is missing."""
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(0, 1.5, (n, pc.tasks.Layout.of(tasks()).units)), 1).astype("float32")
    noise = rng.normal(size=(n, 8))
    y: dict[str, np.ndarray] = {
        "reg": 40.0 + 7.0 * (x[:, 0] + noise[:, 0]),
        "raw": x[:, 1] + 0.5 * noise[:, 1],
        "bin": np.where(x[:, 2] + 2 * noise[:, 2] > 0.3, "yes", "no").astype(object),
        "rare": (x[:, 3] + noise[:, 3] > 3.6).astype("float64"),
        "cls": np.array(["a", "b", "c", "d"], object)[(x[:, 4:8] + noise[:, 4:8] * 2).argmax(1)],
        "lab": (x[:, 8:13] + rng.normal(0, 2, (n, 5)) > 0.5).astype("float64"),
        "ord": np.digitize(x[:, 13] + noise[:, 4], [-1.0, 0.4, 2.0]).astype("float64"),
        "cnt": rng.poisson(np.exp(0.3 * x[:, 16])).astype("float64"),
        "qua": -3.0 + 2.5 * noise[:, 5],
    }
    for values in y.values():
        values[rng.random(values.shape) < 0.2] = np.nan if values.dtype.kind == "f" else None
    logits = x[:, -7:] + rng.normal(size=(n, 7))
    y |= {
        "part": numpy_ops.sigmoid(logits[:, 0]).round(1),
        "parts": numpy_ops.sigmoid(logits[:, 1:4]).round(2),
    }
    for values in (y["part"], y["parts"]):
        values[rng.random(values.shape) < 0.2] = np.nan
    y["votes"] = numpy_ops.softmax(logits[:, 4:])
    y["votes"][rng.random(n) < 0.2] = np.nan
    return x, y


def reference(model: pc.Model, x: np.ndarray, y: dict[str, np.ndarray]) -> dict[str, float]:
    """The same metrics by scikit-learn, from the model's raw outputs and the labels there are."""
    raw = raw_of(model, x)
    columns = model.layout.raw_columns
    found: dict[str, float] = {}
    units = model.units
    for i, (name, task) in enumerate(model.tasks.items()):
        encoded = task.encode(y[name])
        own = raw[:, columns[name]]
        known = (
            ~np.isnan(encoded).any(axis=1)
            if name not in ("lab", "parts")
            else np.ones(len(encoded), bool)
        )
        answers = task.link(own, numpy_ops)[known] * units.scale[i] + units.location[i]
        found |= {
            f"{name}/{m}": v
            for m, v in by_sklearn(task.measured_as, encoded[known], own[known], answers).items()
        }
    return found


def by_sklearn(kind: str, y: np.ndarray, raw: np.ndarray, p: np.ndarray) -> dict[str, float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {
            name: float(of())
            for name, of in SKLEARN[kind](SimpleNamespace(y=y, raw=raw, p=p)).items()
        }


def _of_numbers(d: Any) -> dict[str, Any]:
    return {
        "rmse": lambda: sk.root_mean_squared_error(d.y, d.p),
        "mae": lambda: sk.mean_absolute_error(d.y, d.p),
        "r2": lambda: sk.r2_score(d.y, d.p),
        "mse": lambda: sk.mean_squared_error(d.y, d.p),
        "deviance": lambda: (
            sk.mean_poisson_deviance(d.y, d.p) if d.y.min() >= 0 < d.p.min() else np.nan
        ),
    }


def _of_yes_no(d: Any) -> dict[str, Any]:
    said = d.raw > 0
    return {
        "auc": lambda: sk.roc_auc_score(d.y, d.raw),
        "average_precision": lambda: sk.average_precision_score(d.y, d.raw),
        "accuracy": lambda: sk.accuracy_score(d.y, said),
        "f1": lambda: sk.f1_score(d.y, said),
        "log_loss": lambda: sk.log_loss(d.y, np.hstack([1 - d.p, d.p]), labels=[0, 1]),
        "precision": lambda: sk.precision_score(d.y, said, zero_division=np.nan),
        "recall": lambda: sk.recall_score(d.y, said, zero_division=np.nan),
        "balanced_accuracy": lambda: (
            sk.balanced_accuracy_score(d.y, said) if len(np.unique(d.y)) > 1 else np.nan
        ),
        "brier": lambda: sk.brier_score_loss(d.y, d.p[:, 0]),
        **_distances(d.y, d.p),
    }


def _distances(y: np.ndarray, p: np.ndarray) -> dict[str, Any]:
    return {
        "mae": lambda: sk.mean_absolute_error(y, p),
        "mse": lambda: sk.mean_squared_error(y, p),
        "rmse": lambda: sk.mean_squared_error(y, p) ** 0.5,
    }


def _of_classes(d: Any) -> dict[str, Any]:
    said = d.p.argmax(1)
    return {
        "accuracy": lambda: sk.accuracy_score(d.y, said),
        "macro_f1": lambda: sk.f1_score(d.y, said, average="macro"),
        "log_loss": lambda: sk.log_loss(d.y, d.p, labels=range(d.p.shape[1])),
        "macro_precision": lambda: sk.precision_score(d.y, said, average="macro", zero_division=0),
        "macro_recall": lambda: sk.recall_score(d.y, said, average="macro", zero_division=0),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(d.y, said),
        "auc": lambda: sk.roc_auc_score(
            d.y[:, 0], d.p, multi_class="ovr", labels=range(d.p.shape[1])
        ),
        "brier": lambda: ((d.p - (d.y == np.arange(d.p.shape[1]))) ** 2).sum(1).mean(),
        **_distances(d.y == np.arange(d.p.shape[1]), d.p),
    }


def _of_levels(d: Any) -> dict[str, Any]:
    said = (np.cumsum(d.p, 1)[:, :-1] < 0.5).sum(1)
    return {
        "mae": lambda: sk.mean_absolute_error(d.y, said),
        "kappa": lambda: sk.cohen_kappa_score(
            d.y[:, 0], said, weights="quadratic", labels=range(d.p.shape[1])
        ),
        "accuracy": lambda: sk.accuracy_score(d.y, said),
        "mse": lambda: sk.mean_squared_error(d.y, said),
        "rmse": lambda: sk.root_mean_squared_error(d.y, said),
        "macro_f1": lambda: sk.f1_score(d.y, said, average="macro"),
        "balanced_accuracy": lambda: sk.balanced_accuracy_score(d.y, said),
    }


def _of_quantiles(d: Any) -> dict[str, Any]:
    inside = (d.p[:, :1] <= d.y) & (d.y <= d.p[:, -1:])
    each = [
        lambda q=q, i=i: sk.mean_pinball_loss(d.y[:, 0], d.p[:, i], alpha=q)
        for i, q in enumerate(QUANTILES)
    ]
    return {
        "pinball": lambda: np.mean([of() for of in each]),
        "coverage": lambda: inside.mean(),
        "mae": lambda: sk.mean_absolute_error(d.y, d.p[:, 1:2]),
    }


def _of_parts(d: Any) -> dict[str, Any]:
    """Each label over the rows that have it."""
    known = ~np.isnan(d.y)
    columns = [(d.y[k, j], d.p[k, j]) for j, k in enumerate(known.T)]
    y, p = d.y[known], np.clip(d.p[known], 1e-9, 1 - 1e-9)
    return _distances(y, p) | {
        "brier": lambda: sk.mean_squared_error(y, p),
        "r2": lambda: np.mean([sk.r2_score(*column) for column in columns]),
        "log_loss": lambda: -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)),
    }


def _of_votes(d: Any) -> dict[str, Any]:
    return _distances(d.y, d.p) | {
        "brier": lambda: ((d.y - d.p) ** 2).sum(1).mean(),
        "accuracy": lambda: sk.accuracy_score(d.y.argmax(1), d.p.argmax(1)),
        "log_loss": lambda: -(d.y * np.log(d.p)).sum(1).mean(),
    }


def _of_labels(d: Any) -> dict[str, Any]:
    """By label over the rows that have it, then by row over its labels: scikit-learn can't."""
    known = ~np.isnan(d.y)
    said = d.raw > 0
    each = [(d.y[k, j], said[k, j], d.raw[k, j]) for j, k in enumerate(known.T)]
    rows = [(d.y[i, k], said[i, k], d.raw[i, k]) for i, k in enumerate(known) if k.any()]
    return {
        "map": lambda: np.nanmean(
            [sk.average_precision_score(y, z) if y.any() else np.nan for y, _, z in each]
        ),
        "macro_f1": lambda: np.nanmean(
            [sk.f1_score(y, s, zero_division=np.nan) for y, s, _ in each]
        ),
        "micro_f1": lambda: sk.f1_score(d.y[known], said[known]),
        "hamming": lambda: sk.hamming_loss(d.y[known], said[known]),
        "subset_accuracy": lambda: np.mean([(y == s).all() for y, s, _ in rows]),
        "ranking_loss": lambda: np.mean(
            [sk.label_ranking_loss(y[None], z[None]) if len(y) > 1 else 0.0 for y, _, z in rows]
        ),
        "accuracy": lambda: sk.accuracy_score(d.y[known], said[known]),
        "auc": lambda: np.nanmean([sk.roc_auc_score(y, z) for y, _, z in each]),
        "log_loss": lambda: sk.log_loss(d.y[known], d.p[known]),
        "macro_precision": lambda: np.mean(
            [sk.precision_score(y, s, zero_division=0) for y, s, _ in each]
        ),
        "micro_precision": lambda: sk.precision_score(
            d.y[known], said[known], zero_division=np.nan
        ),
        "macro_recall": lambda: np.mean(
            [sk.recall_score(y, s, zero_division=0) for y, s, _ in each]
        ),
        "micro_recall": lambda: sk.recall_score(d.y[known], said[known]),
        "brier": lambda: sk.brier_score_loss(d.y[known], d.p[known]),
        **_distances(d.y[known], d.p[known]),
    }


SKLEARN = {
    "regression": _of_numbers,
    "count": _of_numbers,
    "binary": _of_yes_no,
    "multiclass": _of_classes,
    "multilabel": _of_labels,
    "ordinal": _of_levels,
    "quantile": _of_quantiles,
    "proportion": _of_parts,
    "soft multilabel": _of_parts,
    "soft multiclass": _of_votes,
}


@pytest.fixture(scope="module")
def seen() -> SimpleNamespace:
    """One model of all kinds, trained at a learning rate of 0, so every log is on equal outputs."""
    keras.utils.set_random_seed(0)
    model = straight(tasks())
    x, y = some(600, 0)
    vx, vy = some(333, 1)
    history = model.fit(
        x, y, batch_size=100, validation_data=(vx, vy), verbose=0, shuffle=False
    ).history
    validated = model.scores
    exact = model.evaluate(vx, vy, batch_size=100, verbose=0)
    return SimpleNamespace(
        model=model,
        train=y,
        validation=vy,
        streamed={name: values[-1] for name, values in history.items()},
        exact=exact,
        exact_scores=model.scores,
        validated=validated,
        trained_reference=reference(model, x, y),
        reference=reference(model, vx, vy),
    )


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_evaluate_agrees_with_sklearn(seen: SimpleNamespace, task: str, metric: str) -> None:
    name = f"{task}/{metric}"
    assert seen.exact[name] == pytest.approx(seen.reference[name], rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_logs_agree_with_sklearn(seen: SimpleNamespace, task: str, metric: str) -> None:
    name = f"{task}/{metric}"
    close = {"abs": 5e-3} if metric in BY_HISTOGRAM else {"rel": 1e-5, "abs": 1e-5}
    assert seen.streamed[f"val_{name}"] == pytest.approx(seen.reference[name], **close)
    assert seen.streamed[name] == pytest.approx(seen.trained_reference[name], **close)


def trivial_reference(seen: SimpleNamespace, name: str) -> dict[str, float]:
    """What scikit-learn's dummies, fitted to training labels, reach on the validation labels."""
    task = seen.model.tasks[name]
    train, y = (task.encode(part[name]) for part in (seen.train, seen.validation))
    if name in SEVERAL:
        shares = np.nanmean(train, axis=0)
        raw = np.tile(np.log(shares / (1 - shares)), (len(y), 1))
        known = ~np.isnan(y).all(axis=1)
        found = by_sklearn(task.measured_as, y[known], raw[known], numpy_ops.sigmoid(raw)[known])
        return found | {"micro_precision": float(np.nanmean(y))} if name == "lab" else found
    train, y = train[~np.isnan(train[:, 0])], y[~np.isnan(y[:, 0])]
    nothing, rows = np.zeros((len(train), 1)), np.zeros((len(y), 1))
    if task.kind in ("regression", "count", "proportion"):
        p = DummyRegressor(strategy="mean").fit(nothing, train).predict(rows).reshape(-1, 1)
        return by_sklearn(task.kind, y, p, p)
    if task.kind == "quantile":
        each = [np.quantile(train, q) for q in QUANTILES]
        return by_sklearn("quantile", y, y, np.tile(each, (len(y), 1)))
    p = DummyClassifier(strategy="prior").fit(nothing, train[:, 0]).predict_proba(rows)
    if task.kind == "binary":
        return by_sklearn("binary", y, p[:, 1:] - 0.5, p[:, 1:]) | {"precision": float(y.mean())}
    return by_sklearn(task.kind, y, p, p)


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_trivial_values_are_those_of_sklearns_dummies(
    seen: SimpleNamespace, task: str, metric: str
) -> None:
    expected = trivial_reference(seen, task)[metric]
    assert seen.exact_scores[task][metric].trivial == pytest.approx(
        expected, rel=1e-5, abs=1e-6, nan_ok=True
    )
    assert seen.validated[task][metric].trivial == pytest.approx(
        expected, rel=1e-4, abs=1e-5, nan_ok=True
    )


@pytest.mark.parametrize(("task", "metric"), EVERY)
def test_skill_is_0_for_the_trivial_and_1_for_the_ideal(
    seen: SimpleNamespace, task: str, metric: str
) -> None:
    score = seen.exact_scores[task][metric]
    same, best = (
        score.__class__(**{**vars(score), "value": score.trivial}),
        {**vars(score), "value": score.ideal},
    )
    assert same.skill == pytest.approx(0.0)
    assert score.__class__(**best).skill == pytest.approx(1.0)
    better = score.value > score.trivial
    if score.direction != "target":
        assert (score.skill > 0) == (better if score.direction == "max" else not better)


UNDEFINED = ("reg/r2", "rare/auc", "rare/average_precision", "rare/f1", "lab/map", "lab/macro_f1")


def alike(n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    rng = np.random.default_rng(3)
    y = {
        "reg": rng.normal(7, 2, n),
        "rare": rng.integers(0, 2, n),
        "cls": np.array(list("abcd"), object)[rng.integers(0, 4, n)],
        "lab": rng.integers(0, 2, (n, 5)).astype("float64"),
        "ord": rng.integers(0, 4, n),
    }
    return rng.normal(size=(n, 14)).astype("float32"), y


@pytest.fixture(scope="module")
def adapted() -> pc.Model:
    model = straight([pc.Regression("reg", metrics=KINDS["reg"]), *tasks()[3:7]])
    model.adapt(alike(60)[1])
    return model


@pytest.mark.parametrize("exact", [True, False], ids=["evaluate", "validation"])
@pytest.mark.parametrize("n", [20, 1], ids="{} rows".format)
def test_undefined_is_nan_never_0_or_1(adapted: pc.Model, n: int, exact: bool) -> None:
    """One value or one class only: what compares has no answer, what does not has one."""
    x, y = alike(n)
    y |= {
        "reg": np.full(n, 4.2),
        "rare": np.zeros(n),
        "lab": np.zeros((n, 5)),
        "ord": np.full(n, 3),
    }
    columns = adapted.layout.raw_columns
    x[:, columns["ord"]] = 9.0  # answers the highest level on every row
    x[:, columns["rare"]] = x[:, columns["lab"]] = -9.0
    if exact:
        logs = adapted.evaluate(x, y, verbose=0)
    else:
        history = adapted.fit(x, y, validation_data=(x, y), verbose=0).history
        logs = {
            name.removeprefix("val_"): values[-1]
            for name, values in history.items()
            if "val_" in name
        }
    assert {
        name: logs[name] for name in (*UNDEFINED, "ord/kappa") if not np.isnan(logs[name])
    } == {}
    assert logs["rare/accuracy"] == logs["lab/subset_accuracy"] == logs["ord/accuracy"] == 1.0
    assert np.isfinite(
        [logs[name] for name in ("reg/rmse", "rare/log_loss", "lab/hamming", "cls/accuracy")]
    ).all()


def test_a_task_without_a_label_measures_nan(adapted: pc.Model) -> None:
    x, y = alike(20)
    logs = adapted.evaluate(x, y | {"rare": None, "reg": np.full(20, np.nan)}, verbose=0)
    own = {name: value for name, value in logs.items() if name.split("/")[0] in ("rare", "reg")}
    assert all(np.isnan(value) for value in own.values()), own
    assert np.isfinite(logs["loss"])


def test_answered_quantiles_never_cross(seen: SimpleNamespace) -> None:
    x, _ = some(50, 2)
    answered = seen.model.predict(x, verbose=0)["qua"]
    assert (np.diff(answered, axis=1) >= 0).all()


@pytest.mark.nobackend
def test_a_logit_of_zero_is_a_no_while_training_too() -> None:
    """The positive class is predicted above one half only; a network of zeros gives one half."""
    y, raw, counted = (
        np.array(v, "float64").reshape(-1, 1, 1) for v in ([1, 0, 0], [0.0, 0.0, 0.0], [1, 1, 1])
    )
    bins = ranking.histogram(y, raw, counted, numpy_ops)
    half = ranking.BINS // 2
    assert bins[0, 0, half : ranking.BINS].sum() == 0
    assert bins[0, 0, ranking.BINS + half :].sum() == 0


SCORES = {
    "around 0": (0.001, 0.01, lambda rng, y: rng.normal(y * 1.5, 1.0)),
    "narrow": (0.001, 0.01, lambda rng, y: rng.normal(y * 0.3, 0.2)),
    "wide": (0.001, 0.01, lambda rng, y: rng.normal(y * 8, 6.0)),
    "far from 0": (0.005, 0.025, lambda rng, y: rng.normal(-8 + 1.5 * y, 1.0)),
    "narrow and far": (0.05, 0.15, lambda rng, y: rng.normal(-8 + 0.6 * y, 0.3)),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("share", [0.5, 0.02], ids=["even", "rare"])
@pytest.mark.parametrize("scores", SCORES)
def test_streamed_ranking_is_as_close_as_its_docstring_says(scores: str, share: float) -> None:
    near_auc, near_precision, draw = SCORES[scores]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        y = (rng.random(20_000) < share).astype("float64")
        raw = draw(rng, y)
        shaped = [a.reshape(-1, 1, 1) for a in (y, raw, np.ones_like(y))]
        negative, positive = np.split(ranking.histogram(*shaped, numpy_ops)[0, 0], 2)
        assert ranking.auc(positive, negative) == pytest.approx(
            sk.roc_auc_score(y, raw), abs=near_auc
        )
        precision = ranking.average_precision(positive, negative)
        assert precision == pytest.approx(sk.average_precision_score(y, raw), abs=near_precision)


@pytest.mark.nobackend
def test_counts_of_zero_at_a_huge_rate_have_a_finite_deviance() -> None:
    """In float32, as on a device, where 1e-30 / e^30 is 0 and 0 log 0 would be NaN."""
    y, rate = np.zeros((1, 1, 1), "float32"), np.full((1, 1, 1), np.exp(30.0), "float32")
    with np.errstate(all="raise"):
        assert np.isfinite(numbers._deviance(y, rate, np))


@pytest.mark.nobackend
def test_tied_labels_count_as_misordered() -> None:
    """As scikit-learn has it: a label that holds must stand above, not beside."""
    rng = np.random.default_rng(0)
    y, raw = (
        rng.integers(0, 2, (40, 4)).astype("float64"),
        rng.integers(-1, 2, (40, 4)).astype("float64"),
    )
    shaped = [a[:, None, :] for a in (y, raw)]
    needs = {"bins", "rows", "misordered"}
    sums = MultilabelTally().exact(
        tasks()[5], *shaped, np.zeros((1, 4)), np.ones((40, 1, 4)), needs
    )
    assert sums["misordered"] / sums["rows"] == pytest.approx(sk.label_ranking_loss(y, raw))
