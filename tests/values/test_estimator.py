"""Test the scikit-learn face against scikit-learn's checks, its conventions, and `pc.fit`."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
from fresh import python
from scipy import sparse
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import polycera as pc
from polycera.estimators.feature_table import DENSE
from polycera.model import predicting

SMALL: dict[str, Any] = dict(width=16, depth=1, max_steps=50, learning_rate=0.03, random_state=0)
STEPS = 5
"""Of a fit that a check of conventions makes: it looks at what is raised, kept and returned."""

REPEATED = (
    "the losses, metrics and least squares of a row of weight 2 are those of two rows, but other "
    "numbers of rows are drawn into other batches and parts"
)
EXPECTED: dict[str, str] = {
    "check_sample_weight_equivalence_on_dense_data": REPEATED,
    "check_sample_weight_equivalence_on_sparse_data": REPEATED,
}
"""Checks of scikit-learn that are expected to fail, with the reason of each."""

ESSENTIAL = {
    "check_classifiers_train",
    "check_fit_idempotent",
    "check_methods_subset_invariance",
    "check_regressors_train",
}
"""What depends on a backend's numbers. The others look at conventions, over 100 fits, and run where
a fit compiles nothing."""


def checks() -> Iterator[Any]:
    for estimator in (pc.PolyceraRegressor(**SMALL), pc.PolyceraClassifier(**SMALL)):
        for own, check in estimator_checks_generator(estimator):
            assert isinstance(check, partial)
            name = check.func.__name__
            if name not in ESSENTIAL:
                own = clone(own).set_params(max_steps=STEPS)
            if keras.backend.backend() == "torch" or (
                name in ESSENTIAL and len(check.keywords) == 0
            ):
                reason = EXPECTED.get(name)
                marks = [pytest.mark.xfail(reason=reason)] if reason else []
                yield pytest.param(own, check, id=f"{type(own).__name__}-{name}", marks=marks)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check"), list(checks()))
def test_scikit_learns_own_checks_pass(estimator: Any, check: Any) -> None:
    check(estimator)


def made_up(rows: int = 160) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Columns of five kinds with gaps, and y of five kinds, two of them with missing labels."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(
        {
            "size": rng.normal(size=rows),
            "town": rng.choice(["Oslo", "Bergen", "Tromsø"], rows),
            "grade": pd.Categorical(rng.choice(["a", "b"], rows)),
            "new": rng.random(rows) > 0.5,
            "seen": pd.date_range("2020-01-01", periods=rows),
            "visits": rng.integers(0, 9, rows),
        },
        index=np.arange(1000, 1000 + rows),
    )
    y = pd.DataFrame(
        {
            "delay": X["visits"] + rng.normal(size=rows),
            "churn": np.where(X["visits"] > 4, "yes", "no").astype(object),
            "calm": (X["size"] > 0).astype(int),
            "spend": 100 + 40 * (X["town"] == "Oslo") + 5 * X["size"],
            "calls": rng.poisson(1 + X["visits"]),
            "sad": (X["town"] == "Bergen").astype(int),
        }
    )
    X.iloc[3, 0], X.iloc[5, 1] = np.nan, None
    y.iloc[::5, 3], y.iloc[::7, 1] = np.nan, None
    return X, y


TASKS = {
    "calls": "count",
    "delay": pc.Quantile("delay"),
    "moods": pc.Multilabel("moods", labels=["calm", "sad"]),
}


@pytest.fixture(scope="module")
def mixed() -> pc.PolyceraEstimator:
    return pc.PolyceraEstimator(TASKS, **SMALL | {"max_steps": 200}).fit(*made_up())


def test_answers_are_the_columns_of_y_in_its_order_with_the_index_of_x(
    mixed: pc.PolyceraEstimator,
) -> None:
    X, y = made_up()
    said = mixed.predict(X)
    assert isinstance(said, pd.DataFrame)
    assert list(said.columns) == list(y.columns)
    assert said.index.equals(X.index)
    assert said.notna().all(axis=None)
    assert (said["churn"] == y["churn"])[y["churn"].notna()].mean() > 0.9
    assert (said["sad"] == y["sad"]).mean() > 0.9  # which the category alone tells
    known = y["spend"].notna()
    assert np.corrcoef(said["spend"][known], y["spend"][known])[0, 1] > 0.9


def test_probabilities_go_by_the_name_of_the_task(mixed: pc.PolyceraEstimator) -> None:
    X, _ = made_up()
    shares, said = mixed.predict_proba(X), mixed.predict(X)
    assert {name: own.shape for name, own in shares.items()} == {
        "churn": (len(X), 2),
        "moods": (len(X), 2),
    }
    np.testing.assert_allclose(shares["churn"].sum(axis=1), 1.0)
    assert mixed.classes_["churn"].tolist() == ["no", "yes"]
    cut = mixed.learned_.thresholds["churn"][0]  # chosen by F1, as pc.fit does
    np.testing.assert_array_equal(
        said["churn"], np.where(shares["churn"][:, 1] >= cut, "yes", "no")
    )
    strict = pickle.loads(pickle.dumps(mixed))
    strict.learned_.thresholds = {"churn": np.sort(shares["churn"][:, 1])[-3:-2]}
    assert (strict.predict(X)["churn"] == "yes").sum() == 3
    quantiles = mixed.predict_quantiles(X)
    assert list(quantiles) == ["delay"]
    np.testing.assert_array_equal(quantiles["delay"][:, 1], said["delay"])


@pytest.mark.filterwarnings("ignore:The run began with the table given")
def test_the_same_seed_gives_what_pc_fit_gives(tmp_path: Path) -> None:
    X, y = made_up()
    table = pd.concat([X, y], axis=1)
    run = pc.fit(
        table,
        [
            {name: TASKS[name]} if name in TASKS else name
            for name in ("delay", "churn", "spend", "calls")
        ]
        + [TASKS["moods"]],
        test=0,
        seed=0,
        columns={"size": "number", "visits": "number"},
        network={"width": 16, "depth": 1},
        training={"max_steps": 50, "learning_rate": 0.03},
        out=tmp_path / "run",
    )
    again = pc.PolyceraEstimator(TASKS, **SMALL).fit(
        X, y[["delay", "churn", "spend", "calls", "calm", "sad"]]
    )
    theirs, ours = run.predict(X), again.predict(X)
    for name in ("delay", "spend", "calls"):  # in one process, but for batches of other sizes
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        again.predict_proba(X)["churn"][:, 1], theirs["churn=yes probability"], atol=1e-5
    )
    scores = run.evaluate(table)
    heads = {
        "delay": "pinball",
        "churn": "auc",
        "spend": "rmse",
        "calls": "deviance",
        "moods": "map",
    }
    skills = [scores[task][metric].skill for task, metric in heads.items()]
    assert again.score(X, y) == pytest.approx(np.mean(skills), abs=1e-4)


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "kind", ["polars", "dict", "matrix", "column", "list", "one column of a matrix"]
)
@pytest.mark.filterwarnings("ignore:Column 'size' has 1 missing value")
def test_answers_come_as_y_came(kind: str) -> None:
    X, y = made_up(60)
    y = y[["calm", "calls"]].astype(float)
    given = {
        "polars": pl.from_pandas(y),
        "dict": {name: y[name].to_list() for name in y},
        "matrix": y.to_numpy(),
        "column": y["calls"].to_numpy(),
        "list": y["calls"].to_list(),
        "one column of a matrix": y[["calls"]].to_numpy(),
    }[kind]
    said = pc.PolyceraEstimator(**SMALL).fit(X, given).predict(X)
    if kind == "polars":
        assert isinstance(said, pl.DataFrame) and said.columns == ["calm", "calls"]
    elif kind == "dict":
        assert {name: own.shape for name, own in said.items()} == {"calm": (60,), "calls": (60,)}
    else:
        assert isinstance(said, np.ndarray) and said.shape == np.shape(given)


def numbers(rows: int = 90, outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    X = rng.normal(size=(rows, 4))
    return X, X @ rng.normal(size=(4, outputs)) * 10.0 + 3.0


@pytest.mark.nobackend
def test_several_numbers_from_one_network() -> None:
    X, y = numbers()
    regressor = pc.PolyceraRegressor(**SMALL | {"max_steps": 200}).fit(X, y)
    said = regressor.predict(X)
    assert said.shape == y.shape and regressor.n_outputs_ == 2
    assert regressor.score(X, y) > 0.95
    assert set(regressor.history_) >= {"loss", "val_joint", "y0/mse", "y1/mse"}
    np.random.seed(123)
    state = np.random.get_state()[1].copy()
    regressor.fit(X, y)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # others draw from it


@pytest.mark.nobackend
def test_predictions_in_several_batches_are_those_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = numbers(300)
    regressor = pc.PolyceraRegressor(**SMALL).fit(X, y)
    whole = regressor.predict(X)
    monkeypatch.setattr(predicting, "PREDICTED", 128)
    # The last rows of a batch may be rounded otherwise, which the sum over landmarks makes larger.
    np.testing.assert_allclose(regressor.predict(X), whole, rtol=0, atol=1e-3 * y.std())


@pytest.mark.nobackend
def test_outputs_and_weights_go_by_the_names_of_y() -> None:
    X, y = numbers()
    frame = pd.DataFrame(y, columns=["heat", "cold"])
    tilted = pc.PolyceraRegressor(**SMALL, loss_weights={"heat": 100.0}).fit(X, frame)
    logs = {name: values[-1] for name, values in tilted.history_.items()}
    assert logs["loss"] == pytest.approx(100.0 * logs["heat/mse"] + logs["cold/mse"], rel=1e-5)
    named = pd.DataFrame(X, columns=["y0", "y1", "c", "d"])
    twice = pc.PolyceraRegressor(**SMALL).fit(named, y)  # a name of X as well
    assert [task.name for task in twice.learned_.tasks] == ["y0 (target)", "y1 (target)"]


@pytest.mark.nobackend
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_many_labels_have_the_shapes_of_scikit_learns_network() -> None:
    X, y = numbers(outputs=3)
    labels = (y > 8).astype(int)
    theirs = MLPClassifier(max_iter=5).fit(X, labels)
    ours = pc.PolyceraClassifier(**SMALL).fit(X, labels)
    for method in ("predict", "predict_proba"):
        assert getattr(ours, method)(X).shape == getattr(theirs, method)(X).shape
    np.testing.assert_array_equal(ours.classes_, theirs.classes_)
    np.testing.assert_array_equal(ours.predict(X), ours.predict_proba(X) > 0.5)
    assert ours.predict(X).dtype == labels.dtype
    assert ours.score(X, labels) == pytest.approx((ours.predict(X) == labels).all(axis=1).mean())
    np.testing.assert_array_equal(
        pc.PolyceraClassifier(**SMALL).fit(X, sparse.csr_matrix(labels)).predict(X), ours.predict(X)
    )


@pytest.mark.nobackend
@pytest.mark.filterwarnings("ignore:Task 'y2'")
def test_several_columns_of_classes_have_the_shapes_of_scikit_learns_forest() -> None:
    X, y = numbers(outputs=3)
    colour = np.array(["blue", "green", "red"])[np.digitize(y[:, 0], [-2.0, 8.0])]
    classes = np.stack(
        [np.where(y[:, 1] > 3, "up", "down"), colour, np.full(len(X), "same")], axis=1
    )
    theirs = RandomForestClassifier(n_estimators=2).fit(X, classes)
    ours = pc.PolyceraClassifier(**SMALL | {"max_steps": 200}).fit(X, classes)
    for one, other in zip(ours.classes_, theirs.classes_, strict=True):
        np.testing.assert_array_equal(one, other)
    shares = ours.predict_proba(X)
    assert [own.shape for own in shares] == [own.shape for own in theirs.predict_proba(X)]
    said = ours.predict(X)
    for i, own in enumerate(shares):
        np.testing.assert_allclose(own.sum(axis=1), 1.0, atol=1e-6)
        np.testing.assert_array_equal(said[:, i], ours.classes_[i][own.argmax(axis=1)])
    assert ours.score(X, classes) == (said == classes).all(axis=1).mean() > 0.7
    assert ours.score(X, classes, sample_weight=(said == classes).all(axis=1)) == 1.0
    kinds = pd.DataFrame(
        {"way": classes[:, 0].astype(object), "level": np.digitize(y[:, 0], [-2.0, 8.0])}
    )
    first = pc.PolyceraClassifier(**SMALL).fit(X, kinds).predict(X)[0]
    assert [type(value) for value in first] == [str, int]


@pytest.mark.nobackend
def test_a_threshold_is_chosen_where_one_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 3))
    y = np.where(rng.random(600) < 1 / (1 + np.exp(2.0 - X[:, 0])), "leaves", "stays")
    plain = pc.PolyceraClassifier(**SMALL).fit(X, y)
    asked = pc.PolyceraClassifier(**SMALL, threshold="f1").fit(X, y)
    np.testing.assert_array_equal(plain.predict_proba(X), asked.predict_proba(X))
    cut = asked.learned_.thresholds["y"][0]
    assert cut != 0.5 and not plain.learned_.thresholds
    at = asked.predict_proba(X)[:, 1] >= cut
    np.testing.assert_array_equal(asked.predict(X), np.where(at, "stays", "leaves"))
    np.testing.assert_array_equal(
        plain.predict(X), plain.classes_[plain.predict_proba(X).argmax(axis=1)]
    )


@pytest.mark.nobackend
def test_a_pickle_is_plain_and_opens_in_another_process_on_another_backend(
    mixed: pc.PolyceraEstimator, tmp_path: Path
) -> None:
    X, _ = made_up()
    names = {
        argument
        for _, argument, _ in pickletools.genops(pickle.dumps(mixed))
        if isinstance(argument, str)
    }
    assert not [
        name
        for name in names
        if name.split(".")[0] in ("keras", "jax", "jaxlib", "torch", "tensorflow")
    ]
    joblib.dump(mixed, tmp_path / "mixed.joblib")
    X.to_pickle(tmp_path / "X.pickle")
    code = (
        "import joblib, pandas as pd\n"
        f"mixed = joblib.load({str(tmp_path / 'mixed.joblib')!r})\n"
        f"print(mixed.predict(pd.read_pickle({str(tmp_path / 'X.pickle')!r}))['spend'].to_list())"
    )
    there = np.array(eval(python(code, KERAS_BACKEND="torch").splitlines()[-1]))
    np.testing.assert_allclose(there, mixed.predict(X)["spend"], rtol=1e-5)
    # without a network built in between
    twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(mixed))))
    pd.testing.assert_frame_equal(twice.predict(X), mixed.predict(X))


@pytest.mark.nobackend
@pytest.mark.filterwarnings("ignore:Column '(size|town)' has 1 (missing value|row with cat)")
def test_it_goes_through_pipelines_searches_and_folds() -> None:
    X, y = numbers(80)
    pipe = make_pipeline(StandardScaler(), pc.PolyceraRegressor(**SMALL))
    search = GridSearchCV(pipe, {"polyceraregressor__width": np.array([2, 16])}, cv=2).fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all() and scores.max() == search.best_score_
    assert search.best_params_["polyceraregressor__width"] == (2, 16)[int(scores.argmax())]
    assert search.best_estimator_.predict(X).shape == y.shape
    X, y = made_up(100)  # a frame of several kinds with missing labels is divided by rows
    scores = cross_validate(
        pc.PolyceraEstimator(**SMALL), X, y[["churn", "spend"]], cv=2, error_score="raise"
    )
    assert (scores["test_score"] > 0.2).all()
    asked = pc.PolyceraEstimator(TASKS, score_weights={"churn": 1.0}, threshold="none", **SMALL)
    assert clone(asked).get_params() == asked.get_params()


@pytest.mark.nobackend
def test_x_of_every_form_teaches_the_same() -> None:
    X, y = numbers(60, 1)
    X = np.where(X > 0, X, 0.0)
    said = pc.PolyceraRegressor(**SMALL).fit(X, y[:, 0]).predict(X)
    for form in (
        sparse.csr_matrix,
        sparse.csc_array,
        np.asfortranarray,
        np.ndarray.tolist,
        pd.DataFrame,
    ):
        given = form(X)
        np.testing.assert_array_equal(
            pc.PolyceraRegressor(**SMALL).fit(given, y[:, 0]).predict(given), said
        )
    assert DENSE >= 10_000 * 1_000  # of 159 labels from 1836 words of 7395 texts, say


@pytest.mark.nobackend
def test_matrices_of_objects_are_read_by_column() -> None:
    rng = np.random.default_rng(0)
    town, size = rng.choice(["Oslo", "Bergen"], 60), rng.normal(size=60)
    y = np.where(town == "Oslo", 10.0, 0.0) + size
    for X in (
        np.array([town, size], dtype=object).T,
        [[a, float(b)] for a, b in zip(town, size, strict=True)],
    ):
        regressor = pc.PolyceraRegressor(**SMALL | {"max_steps": 200}).fit(X, y)
        assert regressor.score(X, y) > 0.95
        assert regressor.learned_.encoder.feature_names[0] == "x1" and regressor.n_features_in_ == 2
