"""Test sample weights, groups, scorers and folds of the estimators, as scikit-learn uses them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.model_selection import GridSearchCV, cross_validate

import polycera as pc
from polycera.errors import InputError, UnknownName

pytestmark = [pytest.mark.nobackend, pytest.mark.filterwarnings("ignore::UserWarning")]

SHORT: dict[str, Any] = dict(width=8, depth=1, max_steps=10, random_state=0)
ROWS = 120
RNG = np.random.default_rng(0)
X = RNG.normal(size=(ROWS, 3))
Y = {
    "churn": np.where(X[:, 0] + RNG.normal(size=ROWS) > 0.7, "yes", "no").astype(object),
    "loss": np.where(RNG.random(ROWS) < 0.2, np.nan, X[:, 1] * 3 + RNG.normal(size=ROWS)),
}
Y["churn"][::9] = None
WEIGHTS = RNG.integers(1, 4, ROWS).astype(float)


@pytest.fixture(scope="module")
def fitted() -> pc.PolyceraEstimator:
    estimator = pc.PolyceraEstimator(**SHORT, class_weight={"churn": "balanced"})
    return estimator.fit(X, Y, sample_weight=WEIGHTS, groups=np.arange(ROWS) // 3)


def test_fit_takes_weights_groups_and_class_weights(fitted: pc.PolyceraEstimator) -> None:
    assert fitted.learned_.spec.data.sample_weight == "sample_weight"
    assert fitted.learned_.spec.data.parts.groups == "groups"
    assert fitted.learned_.encoder.columns == ["x0", "x1", "x2"]
    assert fitted.tasks_[0].class_weight[1] > 1  # type: ignore[attr-defined]
    by_task = pc.PolyceraEstimator(**SHORT).fit(X, Y, sample_weight={"loss": WEIGHTS})
    assert by_task.learned_.spec.data.sample_weight == {"loss": "sample_weight of loss"}
    classifier = pc.PolyceraClassifier(**SHORT, class_weight={"yes": 3})
    classifier.fit(X, np.where(X[:, 0] > 0, "yes", "no"))
    assert classifier.learned_.tasks[0].class_weight == (1.0, 3.0)  # type: ignore[attr-defined]
    with pytest.raises(UnknownName, match="output in sample_weight: 'lss'"):
        pc.PolyceraEstimator(**SHORT).fit(X, Y, sample_weight={"lss": WEIGHTS})
    with pytest.raises(InputError, match=r"sample_weight is -1 in row 0"):
        pc.PolyceraEstimator(**SHORT).fit(X, Y, sample_weight=-WEIGHTS / WEIGHTS[0])


def test_scores_count_rows_by_their_weights(fitted: pc.PolyceraEstimator) -> None:
    twice = np.repeat(np.arange(ROWS), WEIGHTS.astype(int))
    repeated = {name: values[twice] for name, values in Y.items()}
    assert fitted.score(X, Y, sample_weight=WEIGHTS) == pytest.approx(
        fitted.score(X[twice], repeated)
    )
    for task, metric in ("churn", "auc"), ("churn", "f1"), ("loss", "rmse"), ("loss", "mae"):
        score = pc.scorer(task, metric)
        assert score(fitted, X, Y, sample_weight=WEIGHTS) == pytest.approx(
            score(fitted, X[twice], repeated)
        )
        assert score(fitted, X, Y) != pytest.approx(score(fitted, X, Y, sample_weight=WEIGHTS))


def test_a_scorer_is_one_metric_of_one_task_and_higher_is_better(
    fitted: pc.PolyceraEstimator,
) -> None:
    known = ~np.isnan(Y["loss"])
    errors = fitted.predict(X)["loss"][known] - Y["loss"][known]
    assert pc.scorer("loss", "mae")(fitted, X, Y) == pytest.approx(-np.abs(errors).mean(), rel=1e-5)
    labelled = Y["churn"] != None  # noqa: E711
    right = fitted.predict(X)["churn"][labelled] == Y["churn"][labelled]
    assert pc.scorer("churn", "accuracy")(fitted, X, Y) == pytest.approx(right.mean())
    assert repr(pc.scorer("churn", "auc")) == "scorer('churn', 'auc')"
    with pytest.raises(UnknownName, match="metric 'aux'"):
        pc.scorer("churn", "aux")
    with pytest.raises(UnknownName, match="task 'chrn'"):
        pc.scorer("chrn", "auc")(fitted, X, Y)
    with pytest.raises(InputError, match=r"pc\.scorer scores a PolyceraEstimator"):
        pc.scorer("churn", "auc")(pc.PolyceraRegressor(), X, Y)


def test_scikit_learn_routes_weights_and_groups_to_fit_and_score() -> None:
    import pandas as pd

    y = pd.DataFrame(Y)
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = pc.PolyceraEstimator(**SHORT).set_fit_request(sample_weight=True)
        auc = pc.scorer("churn", "auc").set_score_request(sample_weight=True)
        search = GridSearchCV(
            estimator,
            {"depth": [1]},
            cv=pc.MultiStratifiedKFold(2),
            scoring={"auc": auc, "rmse": pc.scorer("loss", "rmse")},
            refit="auc",
            error_score="raise",
        ).fit(X, y, sample_weight=WEIGHTS)
        assert search.best_estimator_.learned_.spec.data.sample_weight == "sample_weight"
        assert (search.cv_results_["mean_test_rmse"] < 0).all()
        asked = pc.PolyceraEstimator().set_fit_request(groups=True)
        assert asked.get_metadata_routing().fit.requests["groups"] is True
    scores = cross_validate(
        pc.PolyceraEstimator(**SHORT),
        X,
        y,
        cv=pc.MultiStratifiedKFold(2),
        scoring=pc.scorer("churn", "auc"),
        error_score="raise",
    )
    assert np.isfinite(scores["test_score"]).all()


@pytest.mark.parametrize("grouped", [False, True])
def test_folds_have_the_shares_of_all_targets_and_of_their_gaps(grouped: bool) -> None:
    rng = np.random.default_rng(0)
    y = {
        "rare": rng.random(400) < 0.05,
        "kind": rng.choice(list("abcd"), 400, p=[0.6, 0.25, 0.1, 0.05]).astype(object),
        "price": np.where(rng.random(400) < 0.1, np.nan, rng.lognormal(size=400)),
    }
    y["kind"][rng.random(400) < 0.2] = None
    groups = rng.integers(0, 130, 400) if grouped else None
    for shuffle in (False, True):
        splitter = pc.MultiStratifiedKFold(5, shuffle=shuffle, random_state=0 if shuffle else None)
        parts = list(splitter.split(X=None, y=y, groups=groups))
        again = list(splitter.split(X=None, y=y, groups=groups))
        assert all((a[1] == b[1]).all() for a, b in zip(parts, again, strict=True))
        tested = np.concatenate([test for _, test in parts])
        assert sorted(tested.tolist()) == list(range(400))
        room = 4 if grouped else 1
        high = np.quantile(y["price"][~np.isnan(y["price"])], 0.8)
        for stratum in (y["rare"], y["kind"] == "d", np.isnan(y["price"]), y["price"] > high):
            counts = [int(stratum[test].sum()) for _, test in parts]
            assert max(counts) - min(counts) <= 2 * room, counts
        for train, test in parts:
            assert not set(train) & set(test)
            if groups is not None:
                assert not set(groups[train]) & set(groups[test])


def test_folds_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="n_splits is 1"):
        pc.MultiStratifiedKFold(1)
    with pytest.raises(InputError, match="no effect without shuffle"):
        pc.MultiStratifiedKFold(3, random_state=0)
    with pytest.raises(InputError, match="2 groups cannot be divided into 3 folds"):
        next(pc.MultiStratifiedKFold(3).split(X, Y, np.arange(ROWS) % 2))
