"""Train the columns of benchmarks/tables.py on a set's training rows and predict its test rows.

A contender is a function of a case, a seed, a number of threads (-1: as many as it takes by itself)
and whether the run is a quick one; it returns what predicts the test rows: numbers, or
probabilities of class 1 [n, m]. Nothing in here knows the name of a set. Libraries are used with
their defaults where nothing else is said.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from _sets import Case

Predict = Callable[[], np.ndarray]
Contender = Callable[[Case, int, int, bool], Predict]

BATCH = 32
"""Of the plain networks; the default of Keras."""
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""C of the logistic regression."""
HELD_OUT = 0.15
"""Share of the training rows with which some contenders stop or choose; `pc.fit` takes the same."""


def linear(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """Ridge with the penalty by leave-one-out for each target; logistic regression for labels.

    The C of the logistic regression is chosen for each label by the log loss on 15 %.
    """
    from sklearn.linear_model import RidgeCV

    x, x_test = standard(case)
    if case.regression:
        return each(case, lambda: RidgeCV(alphas=np.logspace(-2, 6, 17)), x, x_test)
    return each(case, lambda: Logistic(PENALTIES[1:3] if quick else PENALTIES, seed), x, x_test)


def forest(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """500 trees for all targets together, or for each target by itself where labels are missing.

    A forest does not accept missing labels.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    kind = RandomForestRegressor if case.regression else RandomForestClassifier
    options = {"n_estimators": 20 if quick else 500, "n_jobs": threads, "random_state": seed}
    x, x_test = case.x
    if np.isnan(case.y[0]).any():
        return each(case, lambda: kind(**options), x, x_test)
    y, units = scaled(case)
    model = kind(**options).fit(x, y if y.shape[1] > 1 else y[:, 0])
    return lambda: units(
        probabilities(model, x_test) if not case.regression else matrix(model.predict(x_test))
    )


def histogram(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """scikit-learn's, for each target: 300 rounds, 100 for a label, all of them."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingRegressor if case.regression else HistGradientBoostingClassifier
    rounds = 10 if quick else 300 if case.regression else 100
    return each(
        case, lambda: kind(max_iter=rounds, early_stopping=False, random_state=seed), *case.x
    )


def lightgbm(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """LightGBM with its defaults (100 rounds, 31 leaves), for each target."""
    import lightgbm

    kind = lightgbm.LGBMRegressor if case.regression else lightgbm.LGBMClassifier
    options = {
        "n_estimators": 10 if quick else 100,
        "n_jobs": threads,
        "random_state": seed,
        "verbose": -1,
    }
    return each(case, lambda: kind(**options), *case.x)


def catboost(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """CatBoost with its defaults (1000 rounds, depth 6) for all targets together.

    Each target is trained by itself where some labels are missing.
    """
    import catboost

    options: dict[str, Any] = {
        "random_seed": seed,
        "thread_count": threads,
        "allow_writing_files": False,
    }
    options |= {"verbose": False, "iterations": 20 if quick else 1000}
    kind = catboost.CatBoostRegressor if case.regression else catboost.CatBoostClassifier
    (y, units), (x, x_test) = scaled(case), case.x
    varied = (y != y[:1]).any(0)
    if np.isnan(y).any() or varied.sum() < 2:
        return each(case, lambda: kind(**options), x, x_test)
    model = kind(loss_function="MultiRMSE" if case.regression else "MultiLogloss", **options).fit(
        x, y[:, varied]
    )
    answer = model.predict if case.regression else model.predict_proba
    return lambda: units(filled(answer(x_test), varied, y))


def separate(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """The network of `together`, one for each target, on the rows whose label is known."""
    x, x_test = standard(case)
    y, units = scaled(case)
    network = Network(x.shape[1], 1, case.regression, seed, quick)
    weights = []
    for j in range(y.shape[1]):
        known = np.isfinite(y[:, j])
        weights.append(network.fit(x[known], y[known, j : j + 1], 1000 * seed + j))
    return lambda: units(np.hstack([network.predict(own, x_test) for own in weights]))


def together(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """One network for all targets, the loss over the known labels only."""
    x, x_test = standard(case)
    y, units = scaled(case)
    network = Network(x.shape[1], y.shape[1], case.regression, seed, quick)
    weights = network.fit(x, y, seed)
    return lambda: units(network.predict(weights, x_test))


def polycera(case: Case, seed: int, threads: int, quick: bool) -> Predict:
    """`pc.fit` on the table with the kinds of its targets and no other options.

    There is no test part, because the test rows are here.
    """
    import polycera as pc

    place = tempfile.TemporaryDirectory()
    training = {"training": {"max_steps": 50}} if quick else {}
    run = pc.fit(
        case.train,
        case.kinds,
        test=0,
        seed=seed,
        out=f"{place.name}/run",
        progress=False,
        **training,
    )

    def predict() -> np.ndarray:
        with place:
            found = run.predict(case.test.drop(case.targets))
        return np.column_stack(
            [found[answer(name, case.kinds[name], found)] for name in case.targets]
        )

    return predict


COLUMNS: dict[str, Contender] = {
    "polycera": polycera,
    "linear": linear,
    "forest": forest,
    "histogram": histogram,
    "lightgbm": lightgbm,
    "catboost": catboost,
    "separate": separate,
    "together": together,
}
OURS = "polycera"
SEEDED = {"polycera", "separate", "together"}
"""Those that are trained once for each seed; the others take seed 0."""


# -- what they share -------------------------------------------------------------------------------


def standard(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Features of both parts by the training rows' mean and deviation."""
    x, x_test = case.x
    middle, spread = x.mean(0), x.std(0)
    return tuple(
        ((part - middle) / np.where(spread > 0, spread, 1)).astype("float32")
        for part in (x, x_test)
    )  # type: ignore[return-value]


def scaled(case: Case) -> tuple[np.ndarray, Callable[[np.ndarray], np.ndarray]]:
    """Return training labels and the way back; targets are standardised, so that none dominates."""
    y = case.y[0]
    if not case.regression:
        return y, lambda said: said
    middle, spread = np.nanmean(y, 0), np.nanstd(y, 0)
    spread = np.where(spread > 0, spread, 1)
    return (y - middle) / spread, lambda said: said * spread + middle


def each(case: Case, make: Callable[[], Any], x: np.ndarray, x_test: np.ndarray) -> Predict:
    """A model for each target, on the rows whose label is known."""
    models = [_one(make, x, labels) for labels in case.y[0].T]
    return lambda: np.column_stack([_said(model, x_test) for model in models])


def _one(make: Callable[[], Any], x: np.ndarray, labels: np.ndarray) -> Any:
    known = np.isfinite(labels)
    if len(np.unique(labels[known])) < 2:
        return float(labels[known][0]) if known.any() else 0.0
    return make().fit(x[known], labels[known])


def _said(model: Any, x: np.ndarray) -> np.ndarray:
    if isinstance(model, float):
        return np.full(len(x), model)
    return model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)


def probabilities(model: Any, x: np.ndarray) -> np.ndarray:
    """Of class 1 of each label [n, m], also where the training rows show one class only."""
    found, classes = model.predict_proba(x), model.classes_
    found, classes = ([found], [classes]) if isinstance(found, np.ndarray) else (found, classes)
    return np.column_stack(
        [share[:, own == 1].sum(1) for share, own in zip(found, classes, strict=True)]
    )


def matrix(values: np.ndarray) -> np.ndarray:
    return values if values.ndim == 2 else values[:, None]


def filled(said: np.ndarray, varied: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return answers [n, m] from a model of the varying targets; others have one constant value."""
    found = np.repeat(y[:1], len(said), 0)
    found[:, varied] = matrix(said)
    return found


def answer(name: str, kind: str, found: dict[str, np.ndarray]) -> str:
    """The column of `run.predict` that holds a target's number, or its probability of class 1."""
    if kind == "regression":
        return name
    named = [f"{name}={positive} probability" for positive in ("1", "1.0", "True", "true", "yes")]
    return next(column for column in named if column in found)


class Logistic:
    """Choose the C of a logistic regression by log loss on validation rows; fit it to all rows."""

    def __init__(self, penalties: tuple[float, ...], seed: int) -> None:
        self.penalties, self.seed = penalties, seed

    def fit(self, x: np.ndarray, y: np.ndarray) -> Any:
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import log_loss
        from sklearn.model_selection import train_test_split

        enough = min(np.bincount(y.astype(int))) > 1  # of each class one row on either side
        parts = (
            (x, x, y, y)
            if not enough
            else train_test_split(x, y, test_size=HELD_OUT, random_state=0, stratify=y)
        )
        chosen, lowest = self.penalties[0], np.inf
        for penalty in self.penalties if enough else ():
            model = LogisticRegression(C=penalty, max_iter=200).fit(parts[0], parts[2])
            loss = log_loss(parts[3], model.predict_proba(parts[1])[:, 1], labels=[0, 1])
            if loss >= lowest:
                break  # the loss falls, then rises
            chosen, lowest = penalty, loss
        return LogisticRegression(C=chosen, max_iter=200).fit(x, y)


class Network:
    """Two layers of 512 and 256, ReLU; Adam 1e-3, batches of `BATCH`; the best epoch by the loss on
    15 % of the rows, until 20 epochs bring none better. Compiled once, for as many trainings as one
    likes."""

    def __init__(self, width: int, outputs: int, regression: bool, seed: int, quick: bool) -> None:
        import keras

        begin(seed)
        self.shape, self.epochs = (width, outputs, regression), 3 if quick else 1000
        self.model = self.made()
        self.model.compile(keras.optimizers.Adam(1e-3), loss=masked(regression))
        self.model.optimizer.build(self.model.trainable_variables)
        self.fresh = [
            keras.ops.convert_to_numpy(variable).copy()
            for variable in self.model.optimizer.variables
        ]

    def made(self) -> Any:
        import keras

        width, outputs, regression = self.shape
        layers = [keras.layers.Dense(units, activation="relu") for units in (512, 256)]
        last = keras.layers.Dense(outputs, activation=None if regression else "sigmoid")
        return keras.Sequential([keras.Input((width,)), *layers, last])

    def fit(self, x: np.ndarray, y: np.ndarray, seed: int) -> list[np.ndarray]:
        """The weights after a training from the start."""
        import keras

        begin(seed)
        self.model.set_weights(self.made().get_weights())
        for variable, value in zip(self.model.optimizer.variables, self.fresh, strict=True):
            variable.assign(value)
        order, held = (
            np.random.default_rng(seed).permutation(len(x)),
            max(1, round(len(x) * HELD_OUT)),
        )
        parts = [(x[rows], y[rows].astype("float32")) for rows in (order[held:], order[:held])]
        patience = keras.callbacks.EarlyStopping("val_loss", patience=20, restore_best_weights=True)
        options = {
            "batch_size": BATCH,
            "epochs": self.epochs,
            "validation_batch_size": 1024,
            "verbose": 0,
        }
        self.model.fit(*parts[0], validation_data=parts[1], callbacks=[patience], **options)
        return self.model.get_weights()

    def predict(self, weights: list[np.ndarray], x: np.ndarray) -> np.ndarray:
        self.model.set_weights(weights)
        return np.asarray(self.model.predict(x, batch_size=1024, verbose=0), "float64")


def begin(seed: int) -> None:
    """Seed Keras's randomness; on JAX without its own function, which would load TensorFlow."""
    import keras

    if keras.backend.backend() == "jax":
        random.seed(seed)
        np.random.seed(seed)
    else:
        keras.utils.set_random_seed(seed)


def masked(regression: bool) -> Callable[[Any, Any], Any]:
    """The squared error or the cross-entropy of each row, over the labels that are known."""

    def loss(truth: Any, said: Any) -> Any:
        from keras import ops

        known = ops.logical_not(ops.isnan(truth))
        truth = ops.where(known, truth, 0.0)
        if regression:
            costs = ops.square(truth - said)
        else:
            said = ops.clip(said, 1e-7, 1 - 1e-7)
            costs = -truth * ops.log(said) - (1 - truth) * ops.log(1 - said)
        return ops.mean(ops.where(known, costs, 0.0), axis=-1)

    return loss
