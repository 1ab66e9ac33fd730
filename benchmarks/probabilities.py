"""Test the default network's probabilities: log loss against logistic regression and a forest.

    python benchmarks/probabilities.py                               # every set, three folds:
    minutes on two cores python benchmarks/probabilities.py --sets wine,blobs-0.24 --folds 5
    python benchmarks/probabilities.py --penguins penguins.csv        # else from `pip install
    palmerpenguins`

Small tables on which classes lie far apart, where a model can be too sure, and tables on which they
overlap. Every contender runs with its defaults: `pc.PolyceraClassifier()`, scikit-learn's
`LogisticRegression()` on standardised columns, and `RandomForestClassifier()`. A table is divided
by stratified folds, shuffled with seed 0.

`worse by` is our mean log loss less that of the better of the two, and in brackets the standard
error of this difference over the folds. A set passes where the difference is at most one standard
error. The log loss is scikit-learn's, which takes a probability of 0 for 2e-16; `lowest` is the
lowest probability that we gave to a true class. Nothing in the package knows these tables by name.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedKFold
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import polycera as pc

SPREADS = (0.12, 0.24, 0.5, 1.0, 2.0)
"""Deviation of the blobs, whose centres are 1.4 apart: from three islands to one cloud."""

ROWS = 150
"""In a table of blobs."""

MEASURED = ("polycera", "logistic", "forest")


def blobs(spread: float, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Return rows [n, 2] around centres on a line, and their classes [n]."""
    rng = np.random.default_rng(0)
    y = np.arange(ROWS) % classes
    x = np.stack([y, -y], axis=1) + spread * rng.normal(size=(ROWS, 2))
    return x, y


def labels() -> tuple[np.ndarray, np.ndarray]:
    """Return rows [n, 4] and three labels [n, 3], each of which a plane nearly divides."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2 * ROWS, 4))
    scores = x @ rng.normal(size=(4, 3))
    return x, (scores + 0.1 * rng.normal(size=scores.shape) > 0).astype(int)


def penguins(file: Path | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the four measures [n, 4] of the penguins without gaps, and their species [n]."""
    import pandas

    if file is None:
        from palmerpenguins import load_penguins

        table = load_penguins()
    else:
        table = pandas.read_csv(file)
    columns = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    table = table.dropna(subset=columns)
    return table[columns].to_numpy("float64"), table["species"].to_numpy(str)


def sets(file: Path | None) -> dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]]:
    """Return the sets by name; penguins only where they are there."""
    found: dict[str, Any] = {
        "wine": lambda: load_wine(return_X_y=True),
        "iris": lambda: load_iris(return_X_y=True),
        "digits": lambda: load_digits(return_X_y=True),
        "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
        "labels": labels,
    }
    for spread in SPREADS:
        found[f"blobs-{spread:g}"] = lambda spread=spread: blobs(spread)
    for spread in SPREADS[:3]:
        found[f"two-blobs-{spread:g}"] = lambda spread=spread: blobs(spread, classes=2)
    if file is not None or find_spec("palmerpenguins"):
        found["penguins"] = lambda: penguins(file)
    return found


def contender(name: str, several: bool) -> Any:
    """Return a classifier with its defaults."""
    if name == "polycera":
        return pc.PolyceraClassifier(random_state=0)
    if name == "forest":
        return RandomForestClassifier(random_state=0)
    linear = LogisticRegression()
    return make_pipeline(StandardScaler(), MultiOutputClassifier(linear) if several else linear)


def probabilities(model: Any, x: np.ndarray, several: bool) -> np.ndarray:
    """Return [n, classes], or [n, labels] of yes."""
    said = model.predict_proba(x)
    if several and isinstance(said, list):
        return np.stack([label[:, 1] for label in said], axis=1)
    return np.asarray(said)


def measured(truth: np.ndarray, said: np.ndarray, classes: np.ndarray) -> tuple[float, float]:
    """Return the mean log loss over labels, and the lowest probability of a true value."""
    said = said.astype("float64")
    if truth.ndim == 2:
        parts = zip(truth.T, said.T, strict=True)
        loss = np.mean([log_loss(y, np.stack([1 - p, p], 1), labels=[0, 1]) for y, p in parts])
        return float(loss), float(np.where(truth == 1, said, 1 - said).min())
    own = said[np.arange(len(truth)), np.searchsorted(classes, truth)]
    # float32's sums are not 1 to the last digit, which scikit-learn would warn of
    return float(log_loss(truth, said / said.sum(1, keepdims=True), labels=classes)), float(
        own.min()
    )


def of_set(x: np.ndarray, y: np.ndarray, folds: int) -> dict[str, list[list[float]]]:
    """Return contender -> [log loss, lowest probability] for each fold."""
    several = y.ndim == 2
    strata = y @ (2 ** np.arange(y.shape[1])) if several else y
    division = StratifiedKFold(folds, shuffle=True, random_state=0)
    found: dict[str, list[list[float]]] = {name: [] for name in MEASURED}
    for train, test in division.split(x, strata):
        for name in MEASURED:
            model = contender(name, several).fit(x[train], y[train])
            said = probabilities(model, x[test], several)
            found[name].append(list(measured(y[test], said, np.unique(y))))
    return found


def line(name: str, found: dict[str, list[list[float]]]) -> str:
    """Return a row of the table."""
    losses = {each: np.array([loss for loss, _ in found[each]]) for each in MEASURED}
    better = min(("logistic", "forest"), key=lambda each: losses[each].mean())
    apart = losses["polycera"] - losses[better]
    error = apart.std(ddof=1) / np.sqrt(len(apart))
    passes = "yes" if apart.mean() <= error else "no"
    lowest = min(low for _, low in found["polycera"])
    means = " | ".join(f"{losses[each].mean():.3f}" for each in MEASURED)
    return f"| {name} | {means} | {apart.mean():+.3f} ({error:.3f}) | {passes} | {lowest:.0e} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", help="names with commas between them; default: all")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument(
        "--penguins", type=Path, help="the table of the Palmer penguins as a CSV file"
    )
    parser.add_argument("--out", type=Path, help="a file for every log loss, as JSON")
    asked = parser.parse_args()
    known = sets(asked.penguins)
    names = asked.sets.split(",") if asked.sets else list(known)
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no set {', '.join(unknown)}; there are {', '.join(known)}")
    if "penguins" not in known:
        print("Left out: penguins (pip install palmerpenguins, or --penguins FILE).")
    print("| set | polycera | logistic | forest | worse by | at most one error | lowest |")
    print("|---|---|---|---|---|---|---|")
    cells = {}
    for name in names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cells[name] = of_set(*known[name](), asked.folds)
        print(line(name, cells[name]), flush=True)
        if asked.out is not None:
            asked.out.write_text(json.dumps(cells, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
