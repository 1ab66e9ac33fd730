"""Test bad input to the scikit-learn face: one clear sentence each, scikit-learn's where it can."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.model_selection import KFold, cross_val_score

import polycera as pc
from polycera.data import split
from polycera.errors import PolyceraError, UnknownName
from polycera.estimators import feature_table

pytestmark = pytest.mark.nobackend

SMALL: dict[str, Any] = dict(width=4, depth=1, max_steps=20, random_state=0)
ROWS = 40
X = np.random.default_rng(0).normal(size=(ROWS, 2))
FRAME = pd.DataFrame(X, columns=["size", "age"])
NUMBER = X[:, 0] * 10
CLASS = np.where(X[:, 1] > 0, "yes", "no")
MIXED = pd.DataFrame({"loss": NUMBER, "churn": CLASS})


def regressor(x: Any = X, y: Any = NUMBER, **options: Any) -> Any:
    return pc.PolyceraRegressor(**SMALL | options).fit(x, y)


def classifier(x: Any = X, y: Any = CLASS, **options: Any) -> Any:
    return pc.PolyceraClassifier(**SMALL | options).fit(x, y)


def mixed(x: Any = X, y: Any = MIXED, **options: Any) -> Any:
    return pc.PolyceraEstimator(**SMALL | options).fit(x, y)


def with_nan(y: Any) -> Any:
    found = np.array(y, dtype=object if np.asarray(y).dtype.kind in "UO" else float)
    found[3] = np.nan
    return found


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # X
    "one dimension": (
        lambda: regressor(X[:, 0]),
        ValueError,
        "Expected 2D array, got 1D array instead",
    ),
    "no rows": (
        lambda: regressor(X[:0], NUMBER[:0]),
        ValueError,
        r"Found array with 0 sample\(s\)",
    ),
    "no rows in a frame": (
        lambda: regressor(FRAME[:0], NUMBER[:0]),
        pc.InputError,
        "The data frame has 0 rows",
    ),
    "no columns": (lambda: regressor(X[:, :0]), ValueError, r"Found array with 0 feature\(s\)"),
    "no columns in a frame": (
        lambda: regressor(FRAME[[]]),
        pc.InputError,
        "The table has no column",
    ),
    "one row": (
        lambda: regressor(X[:1], NUMBER[:1]),
        ValueError,
        r"1 sample\(s\).* minimum of 2 is required",
    ),
    "one row of a frame": (
        lambda: regressor(FRAME[:1], NUMBER[:1]),
        pc.InputError,
        "X has 1 sample; PolyceraRegressor needs 2, one to train on and one to validate on.",
    ),
    "infinite": (
        lambda: regressor(np.where(X > 1, np.inf, X)),
        ValueError,
        "Input X contains infinity",
    ),
    "infinite in a frame": (
        lambda: regressor(FRAME.assign(age=np.inf)),
        pc.InputError,
        "Column 'age' holds an infinite number in row 0",
    ),
    "complex": (lambda: regressor(X * 1j), ValueError, "Complex data not supported"),
    "a dict": (
        lambda: regressor({"a": [1, 2]}, [1, 2]),
        ValueError,
        "Expected 2D array, got scalar array",
    ),
    "lists in cells": (
        lambda: regressor(np.array([[1, [2]]] * ROWS, dtype=object)),
        pc.InputError,
        "Column 'x1' holds a list in row 0; one number, text, boolean or date is expected",
    ),
    "nothing to learn from": (
        lambda: regressor(np.array([["a", "b"]] * ROWS, dtype=object)),
        pc.InputError,
        "No column is left to learn from; these were left out: 'x0', 'x1'.",
    ),
    "a number that is none": (
        lambda: regressor(FRAME.assign(age="old"), columns={"age": "number"}),
        pc.InputError,
        "Column 'age' is expected to hold a number in each row, and row 0 holds 'old'",
    ),
    "rows of y": (
        lambda: regressor(X, NUMBER[1:]),
        ValueError,
        r"inconsistent numbers of samples: \[40, 39\]",
    ),
    "rows of a column": (
        lambda: mixed(X, {"a": NUMBER, "b": NUMBER[1:]}),
        pc.InputError,
        "Column 'b' has 39 rows and column 'a' has 40",
    ),
    # y
    "no y": (
        lambda: regressor(X, None),
        ValueError,
        "requires y to be passed, but the target y is None",
    ),
    "no mixed y": (
        lambda: mixed(X, None),
        ValueError,
        "requires y to be passed, but the target y is None",
    ),
    "y missing": (
        lambda: regressor(X, with_nan(NUMBER)),
        pc.InputError,
        "Input y contains NaN, the first in row 3: leave those rows out, or use "
        "PolyceraEstimator, which accepts missing labels.",
    ),
    "class missing": (
        lambda: classifier(X, with_nan(CLASS)),
        pc.InputError,
        "Input y contains NaN, the first in row 3",
    ),
    "y infinite": (lambda: regressor(X, NUMBER / 0.0), ValueError, "Input y contains infinity"),
    "mixed y infinite": (
        lambda: mixed(X, NUMBER / 0.0),
        pc.InputError,
        "The task 'y' has an infinite label in row",
    ),
    "y text": (lambda: regressor(X, CLASS), ValueError, "could not convert string to float: "),
    "y a dict": (
        lambda: classifier(X, {"y": CLASS}),
        pc.InputError,
        "y is a dict; an array or a frame is expected. PolyceraEstimator accepts dicts.",
    ),
    "y three-dimensional": (
        lambda: mixed(X, np.zeros((ROWS, 2, 2))),
        pc.InputError,
        r"y has shape [40, 2, 2]; [n] or [n, outputs] is expected.",
    ),
    "numbers as classes": (
        lambda: classifier(X, NUMBER),
        ValueError,
        "Unknown label type: continuous",
    ),
    "no label of a task": (
        lambda: mixed(X, MIXED.assign(loss=np.nan)),
        pc.InputError,
        "The task 'loss' has no label at all: all 40 rows are missing.",
    ),
    "a name twice": (
        lambda: mixed(FRAME, MIXED.rename(columns={"loss": "age"})),
        pc.InputError,
        "X and y both have the columns 'age': leave them out of X, or rename them.",
    ),
    # parameters
    "width": (
        lambda: regressor(width=0),
        pc.InputError,
        "The option network.width is 0, which is not valid",
    ),
    "validation": (
        lambda: regressor(validation=1.0),
        pc.InputError,
        "The option data.parts.validation is 1.0",
    ),
    "max_steps": (
        lambda: regressor(max_steps="many"),
        pc.InputError,
        "The option training.max_steps is 'many'",
    ),
    "threshold": (
        lambda: classifier(threshold="f7"),
        pc.InputError,
        "The option training.threshold is 'f7'",
    ),
    "random_state": (lambda: regressor(random_state="x"), ValueError, "'x' cannot be used to seed"),
    "weights": (
        lambda: mixed(loss_weights={"los": 2.0}),
        UnknownName,
        "Unknown output in loss_weights: 'los'; did you mean 'loss'? known: 'loss', 'churn'.",
    ),
    "columns": (
        lambda: regressor(FRAME, columns={"siz": "category"}),
        UnknownName,
        "Unknown column 'siz'; did you",
    ),
    "joint": (
        lambda: mixed(score_weights={"lost": 1.0}),
        UnknownName,
        "Unknown task in the joint score: 'lost'; did you",
    ),
    "balancing": (
        lambda: mixed(balancing="pcgrat"),
        UnknownName,
        "'pcgrat'; did you mean 'pcgrad'?",
    ),
    "tasks": (
        lambda: mixed(tasks={"chum": "binary"}),
        UnknownName,
        "Unknown column of y in tasks: 'chum'; did you mean 'churn'? known: 'loss', 'churn'.",
    ),
    "tasks of text": (
        lambda: mixed(tasks="binary"),
        pc.InputError,
        "tasks holds 'binary'; tasks, or a dict of name to kind or task, are expected.",
    ),
    "tasks twice": (
        lambda: mixed(tasks=[pc.Regression("loss"), pc.Count("loss")]),
        pc.InputError,
        "tasks names one twice: 'loss', 'loss'.",
    ),
    "a kind": (lambda: mixed(tasks={"loss": "number"}), UnknownName, "Unknown kind 'number'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_learned_from(name: str) -> None:
    act, error, words = REFUSED[name]
    with pytest.raises(error) as caught, np.errstate(all="ignore"):
        act()
    said = str(caught.value)
    assert words in said or re.search(words, said), said
    if isinstance(caught.value, PolyceraError):
        assert "\n" not in said and len(said) < 300


@pytest.fixture(scope="module")
def fitted() -> Any:
    return regressor(FRAME)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (FRAME[["size"]], "Feature names seen at fit time, yet now missing"),
        (FRAME.rename(columns={"age": "years"}), "Feature names unseen at fit time"),
        (FRAME[["age", "size"]], "Feature names must be in the same order as they were in fit"),
        (X[:, :1], "X has 1 features, but PolyceraRegressor is expecting 2 features as input"),
        (X[:0], "Found array with 0 sample(s)"),
        (
            FRAME.assign(age="old"),
            "Column 'age' is expected to hold a number in each row, and row 0 holds 'old'",
        ),
    ],
    ids=["missing", "another", "order", "number", "no rows", "text"],
)
@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_what_cannot_be_answered(fitted: Any, asked: Any, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        fitted.predict(asked)


def test_what_was_not_fitted_says_so() -> None:
    for make in (pc.PolyceraRegressor, pc.PolyceraClassifier, pc.PolyceraEstimator):
        for ask in (
            lambda one: one.predict(X),
            lambda one: one.history_,
            lambda one: one.score(X, NUMBER),
        ):
            with pytest.raises(NotFittedError, match="not fitted yet"):
                ask(make())
    broken = pc.PolyceraRegressor(**SMALL)
    with pytest.raises(pc.InputError):
        broken.fit(X, with_nan(NUMBER))  # the columns of X are known by then
    with pytest.raises(NotFittedError):
        broken.predict(X)


def test_scores_of_columns_that_were_not_learned() -> None:
    learned = mixed()
    assert np.isfinite(learned.score(X, MIXED[["loss"]]))  # some of them are enough
    with pytest.raises(UnknownName, match="Unknown column of y: 'lost'; did you mean 'loss'"):
        learned.score(X, MIXED.rename(columns={"loss": "lost"}))
    with pytest.raises(pc.InputError, match="y has 1 columns without a name, but 2 were learned"):
        learned.score(X, NUMBER)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        learned.score(X, MIXED[1:])
    unnamed = mixed(X, np.stack([NUMBER, X[:, 1]], axis=1))
    assert np.isfinite(unnamed.score(X, np.stack([NUMBER, X[:, 1]], axis=1)))
    # of X as well: another than the column of that name
    named = mixed(FRAME, pd.Series(NUMBER, name="age"))
    assert np.isfinite(named.score(FRAME, pd.Series(NUMBER, name="age")))


def test_a_column_of_y_is_one_output_and_is_said_to_be() -> None:
    for y in (NUMBER[:, None], pd.DataFrame({"loss": NUMBER}), [[float(v)] for v in NUMBER]):
        with pytest.warns(
            DataConversionWarning, match="A column-vector y was passed when a 1d array was expected"
        ):
            learned = regressor(X, y)
        assert learned.predict(X).shape == (ROWS,)
        np.testing.assert_array_equal(learned.predict(X), regressor(X, list(NUMBER)).predict(X))
    with pytest.warns(DataConversionWarning):
        assert classifier(X, CLASS[:, None]).predict(X).shape == (ROWS,)


def test_a_sparse_x_is_made_dense_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_table, "DENSE", ROWS * 2)
    learned = regressor(sparse.csr_matrix(X))
    monkeypatch.setattr(feature_table, "DENSE", ROWS * 2 - 1)
    sentence = (
        "The sparse X has 40 x 2 cells, and up to 79 are made dense: give fewer rows at a time, "
        "or fewer columns "
        "(sklearn.feature_selection, sklearn.decomposition.TruncatedSVD)."
    )
    for act in (
        lambda: regressor(sparse.csc_array(X)),
        lambda: learned.predict(sparse.csr_matrix(X)),
    ):
        with pytest.raises(pc.InputError, match=re.escape(sentence)):
            act()
    with pytest.raises(pc.InputError, match="The sparse y has 40 x 2 cells"):
        classifier(X, sparse.csr_matrix((X > 0).astype(int)))


def test_folds_without_a_class_or_without_a_label() -> None:
    y = np.repeat(["a", "b", "c"], [18, 18, 4])
    first = classifier(X[:36], y[:36])  # the third is only in the rows that are asked later
    assert set(first.predict(X)) <= {"a", "b"} and first.predict_proba(X).shape == (ROWS, 2)
    late = pd.DataFrame(
        {"loss": NUMBER, "churn": np.where(np.arange(ROWS) < 20, CLASS.astype(object), None)}
    )
    assert np.isfinite(mixed(X[10:], late[10:]).score(X, late))
    with pytest.warns(match="The task 'churn' has no label at all: all 20 rows are missing"):
        scores = cross_val_score(pc.PolyceraEstimator(**SMALL), X, late, cv=KFold(2))
    assert np.isnan(scores).tolist() == [True, False]  # its first fold trains on the rows without


def test_a_class_that_only_the_validation_rows_have_is_a_class() -> None:
    y = CLASS.astype(object)
    y[7] = "perhaps"
    seed = next(
        seed
        for seed in range(100)
        if 7 in split(ROWS, seed=seed, validation=0.15, test=0.0).validation
    )
    learned = classifier(X, y, random_state=seed)
    assert learned.classes_.tolist() == ["no", "perhaps", "yes"]
    shares = learned.predict_proba(X)
    # nothing taught it, and it has a place all the same
    assert shares.shape == (ROWS, 3) and (shares > 0).all()


def test_strange_rows_are_told_and_answered() -> None:
    town = np.array(["Oslo", "Bergen"])[(X[:, 0] > 0).astype(int)]
    learned = regressor(FRAME.assign(town=town))
    strange = FRAME.assign(town="Tromsø", age=np.nan)
    with (
        pytest.warns(UserWarning, match="categories that were not in training"),
        pytest.warns(match="'age' has 40 mis"),
    ):
        assert np.isfinite(learned.predict(strange)).all()
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        regressor(FRAME).predict(X)
    with pytest.warns(
        UserWarning,
        match=r"'size' is nearly a copy of the target 'y'.*leave it out of X: \['size'\]\.",
    ):
        regressor(FRAME, NUMBER)
