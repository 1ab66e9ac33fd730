"""Test which threshold rule holds on other rows, with calibration: ten rules, six public tables.

    python benchmarks/thresholds.py                     # some minutes on one core
    python benchmarks/thresholds.py --quick             # one small table: whether everything runs
    python benchmarks/thresholds.py --out thresholds.md

Raw outputs are those of a logistic regression (barely regularised, so too sure of itself) and of
extremely randomised trees (too unsure), for rows that did not train them: two folds. Rules choose
on part A, 50 to 1,000 rows drawn anew each time, and are measured on all others. Seeds are fixed.
Scores are means over labels, then over draws.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.ensemble import ExtraTreesClassifier

import polycera as pc
from polycera import evaluation
from polycera.evaluation.logit_scaling import losses, platt, sigmoid
from polycera.evaluation.threshold_search import scored
from polycera.typing import Array

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DRAWS = {"emotions": 10, "yeast": 10, "scene": 10, "sider": 6, "tox21": 6, "bibtex": 2}
SIZES, CALIBRATED = (50, 100, 200, 500, 1000), (50, 200, 1000)
RESAMPLES, NEAR = 20, 0.002

Rule = Callable[[Array, Array, str], Array]


# -- rules: labels [n, labels], probabilities [n, labels], metric -> thresholds [labels] -----------


def half(y: Array, p: Array, metric: str) -> Array:
    return np.full(y.shape[1], 0.5)


def best(y: Array, p: Array, metric: str) -> Array:
    return evaluation.search_thresholds(y, p, metric).value


LAST: list[tuple[Array, str, Array]] = []
"""What three rules ask for, of the rows asked for last."""


def resampled(y: Array, p: Array, metric: str) -> Array:
    if not (LAST and LAST[0][0] is y and LAST[0][1] == metric):
        rows = np.random.default_rng(0).integers(0, len(y), (RESAMPLES, len(y)))
        LAST[:] = [
            (
                y,
                metric,
                np.stack([evaluation.search_thresholds(y[i], p[i], metric).value for i in rows]),
            )
        ]
    return LAST[0][2]


def smooth(y: Array, p: Array, metric: str) -> Array:
    """The step from no to yes is a slope, as wide as the logits of so many ones ask."""
    known, z = np.isfinite(y), logit(p)
    ones, lowest = np.where(known, y, 0.0), z.min(0)
    positives, negatives = ones.sum(0), known.sum(0) - ones.sum(0)
    width = (0.5 * z.std(0) * np.maximum(positives, 1) ** -0.2).clip(1e-6)
    at = lowest + np.linspace(0, 1, 60)[:, None] * (z.max(0) - lowest)
    scores = np.stack(
        [
            formula(metric, ones, known * sigmoid((z - one) / width), positives, negatives)
            for one in at
        ]
    )
    return sigmoid(np.take_along_axis(at, np.nan_to_num(scores, nan=-1.0).argmax(0)[None], 0)[0])


def pooled(y: Array, p: Array, metric: str) -> Array:
    at = sigmoid(np.linspace(-5, 3, 81))
    scores = [np.nanmean(scored(y, p, np.full(y.shape[1], one), metric).reached) for one in at]
    return np.full(y.shape[1], at[int(np.nanargmax(scores))])


def shrunk(y: Array, p: Array, metric: str) -> Array:
    ones = np.nansum(y, 0)
    rarer = np.minimum(ones, np.isfinite(y).sum(0) - ones)
    weight = rarer / (rarer + 20)
    own = logit(resampled(y, p, metric)).clip(-7, 7).mean(0)
    return sigmoid(weight * own + (1 - weight) * logit(pooled(y, p, metric)))


def lipton(y: Array, p: Array, metric: str) -> Array:
    """Return the best thresholds: half of the optimal F1; for the others the base rate or 1/2.

    The share of ones, and one half, are best for calibrated probabilities.
    """
    if metric == "f1":
        return np.nan_to_num(evaluation.search_thresholds(y, p).reached, nan=1.0) / 2
    return np.nanmean(y, axis=0) if metric == "balanced_accuracy" else half(y, p, metric)


def expected(y: Array, p: Array, metric: str) -> Array:
    return evaluation.search_thresholds(np.where(np.isfinite(y), p, np.nan), p, metric).value


def alone(y: Array, p: Array, metric: str) -> Array:
    z = logit(p)
    a, b = platt(y, z, strength=(1.0, 1.0))
    return evaluation.search_thresholds(
        np.where(np.isfinite(y), sigmoid(a * z + b), np.nan), p, metric
    ).value


def ours(y: Array, p: Array, metric: str) -> Array:
    return evaluation.smoothed_thresholds(y, p, metric).value


RULES: dict[str, Rule] = {
    "one half": half,
    "best on part A (`cuts`)": best,
    "mean over 20 resamples": lambda y, p, metric: resampled(y, p, metric).mean(0),
    "median over 20 resamples": lambda y, p, metric: np.median(resampled(y, p, metric), axis=0),
    "best of a smoothed metric": smooth,
    "one threshold for all labels": pooled,
    "resamples, shrunk to that one": shrunk,
    "half of the optimal F1": lipton,
    "expected, probabilities as they are": expected,
    "expected, each label calibrated": alone,
    "**`steady`**": ours,
}


# -- rows ------------------------------------------------------------------------------------------


def table(name: str) -> tuple[Array, Array]:
    about = json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))
    rows, targets = pd.read_parquet(DATA / name / "data.parquet"), list(about["targets"])
    aside = {*targets, *about.get("ignore", ())}
    x = rows[[column for column in rows if column not in aside and not column.startswith("__")]]
    return x.to_numpy("float32"), rows[targets].to_numpy("float64")


def raw_outputs(name: str) -> tuple[Array, dict[str, Array]]:
    """Labels [n, labels]; model -> logits [n, labels], of rows that did not train it."""
    x, y = table(name)
    fold = np.random.default_rng(0).permutation(len(x)) % 2
    found = {model: np.zeros(y.shape) for model in MODELS}
    for part in range(2):
        for model, train in MODELS.items():
            found[model][fold == part] = train(x[fold != part], y[fold != part], x[fold == part])
    return y, found


def logistic(x: Array, y: Array, new: Array, steps: int = 80) -> Array:
    """All labels at once, by Nesterov's accelerated gradient; missing labels are left out."""
    mean, spread = x.mean(0), x.std(0)
    x, new = ((each - mean)[:, spread > 0] / spread[spread > 0] for each in (x, new))
    known = np.isfinite(y)
    t, k, rows = (
        np.where(known, y, 0).astype("float32"),
        known.astype("float32"),
        np.maximum(known.sum(0), 1),
    )
    v = np.ones(x.shape[1], "float32")
    for _ in range(10):
        v = x.T @ (x @ v)
        v /= np.linalg.norm(v)
    step = 4.0 / np.linalg.norm(x @ v) ** 2
    w = ahead = np.zeros((x.shape[1], y.shape[1]), "float32")
    b = logit((t.sum(0) + 0.5) / (rows + 1)).astype("float32")
    for i in range(steps):
        wrong = k * (sigmoid(x @ ahead + b) - t)
        after = ahead - np.float32(step) * (x.T @ wrong)
        b = b - 2 * wrong.sum(0) / rows
        ahead, w = after + np.float32(i / (i + 3)) * (after - w), after
    return new @ w + b


def trees(x: Array, y: Array, new: Array, count: int = 25) -> Array:
    columns = [slice(None)] if np.isfinite(y).all() else [[i] for i in range(y.shape[1])]
    found = []
    for own in columns:
        known = np.isfinite(y[:, own]).all(1)
        model = ExtraTreesClassifier(count, min_samples_leaf=2, random_state=0, n_jobs=1)
        answers = model.fit(x[known], y[known][:, own].squeeze()).predict_proba(new)
        found += [each[:, 1] if each.shape[1] > 1 else 0 * each[:, 0] for each in listed(answers)]
    return logit(np.stack(found, axis=1).clip(0.002, 0.998))


MODELS = {"logistic": logistic, "trees": trees}


def listed(answers: Array | list[Array]) -> list[Array]:
    return answers if isinstance(answers, list) else [answers]


def logit(p: Array) -> Array:
    p = np.clip(p, 1e-9, 1 - 1e-9)
    return np.log(p) - np.log1p(-p)


def formula(metric: str, ones: Array, yes: Array, positives: Array, negatives: Array) -> Array:
    true = (ones * yes).sum(0)
    return evaluation.METRICS[metric]((true, yes.sum(0) - true, positives, negatives))


# -- what is measured ------------------------------------------------------------------------------


class Where(NamedTuple):
    name: str
    model: str
    rows: int
    metric: str


def parts(y: Array, rows: int, draw: int) -> tuple[Array, Array]:
    order = np.random.default_rng([draw, rows]).permutation(len(y))
    return order[:rows], order[rows:]


def of_rules(name: str, y: Array, raw: dict[str, Array], draws: int) -> dict[Where, Array]:
    """Mean over labels of the metric on part B, for each draw and rule: [draws, rules]."""
    found = {}
    for model, z in raw.items():
        p = sigmoid(z)
        for rows in (size for size in SIZES if size <= 0.6 * len(y)):
            for metric in evaluation.METRICS:
                scores = np.zeros((draws, len(RULES)))
                for draw in range(draws):
                    a, b = parts(y, rows, draw)
                    own, share = y[a], p[a]
                    for i, rule in enumerate(RULES.values()):
                        at = rule(own, share, metric)
                        scores[draw, i] = np.nanmean(scored(y[b], p[b], at, metric).reached)
                found[Where(name, model, rows, metric)] = scores
    return found


def of_calibration(name: str, y: Array, raw: dict[str, Array], draws: int) -> list[str]:
    layout = pc.tasks.Layout.of([pc.Multilabel("labels", labels=y.shape[1])])
    lines = []
    for model, z in raw.items():
        for rows in (size for size in CALIBRATED if size <= 0.6 * len(y)):
            each = []
            for draw in range(draws):
                a, b = parts(y, rows, draw)
                found = evaluation.calibration(layout, {"labels": y[a]}, z[a])
                own = platt(y[a], z[a], strength=(1e-3, 1e-3))
                changed = ((found.scale != 1) | (found.shift != 0)).mean()
                after = [z[b], found.applied(z[b]), own[0] * z[b] + own[1]]
                each.append(
                    [
                        changed,
                        *(loss(y[b], one) for one in after),
                        *(ece(y[b], one) for one in after[:2]),
                    ]
                )
            n = np.mean(each, axis=0)
            numbers = " | ".join(f"{value:.3f}" for value in n[1:])
            lines.append(f"| {name} | {model} | {rows} | {n[0]:.0%} | {numbers} |")
    return lines


def loss(y: Array, z: Array) -> float:
    return float(losses(y, z).sum() / np.isfinite(y).sum())


def ece(y: Array, z: Array) -> float:
    each = [
        evaluation.reliability(truth, p).ece for truth, p in zip(y.T, sigmoid(z).T, strict=True)
    ]
    return float(np.mean([one for one in each if one is not None]))


# -- tables ----------------------------------------------------------------------------------------


def rules_table(found: dict[Where, Array], metric: str) -> str:
    means = np.stack([scores.mean(0) for where, scores in found.items() if where.metric == metric])
    behind, sizes = (
        means.max(1, keepdims=True) - means,
        [where.rows for where in found if where.metric == metric],
    )
    shown = sorted(set(sizes))
    lines = [
        f"#### {metric}: {len(means)} cells (table, model, rows of part A)",
        "",
        (
            f"| rule | {' | '.join(f'A = {size}' for size in shown)} | mean | behind the best | "
            "at most | below one half |"
        ),
        "|---" * (len(shown) + 5) + "|",
    ]
    for i in np.argsort(-means.mean(0)):
        by = [means[[size == one for one in sizes], i].mean() for size in shown]
        below = (means[:, i] < means[:, 0] - NEAR).sum()
        numbers = " | ".join(
            f"{value:.3f}" for value in (*by, means[:, i].mean(), behind[:, i].mean())
        )
        lines.append(f"| {list(RULES)[i]} | {numbers} | {behind[:, i].max():.3f} | {below} |")
    return "\n".join([*lines, ""])


def tables_table(found: dict[Where, Array]) -> str:
    lines = [
        "#### Table by table, over models and sizes: one half / best on part A / `steady`",
        "",
        f"| table | {' | '.join(evaluation.METRICS)} |",
        "|---" * (len(evaluation.METRICS) + 1) + "|",
    ]
    shown = [0, 1, len(RULES) - 1]
    for name in dict.fromkeys(where.name for where in found):
        cells = []
        for metric in evaluation.METRICS:
            own = [
                scores.mean(0)[shown]
                for where, scores in found.items()
                if (where.name, where.metric) == (name, metric)
            ]
            cells.append(" / ".join(f"{value:.3f}" for value in np.mean(own, axis=0)))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


CALIBRATION = """#### Calibration, measured on part B

| table | model | A | units changed | log loss | calibrated | Platt, always | ECE | calibrated |
|---|---|---|---|---|---|---|---|---|"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tables", nargs="+", default=list(DRAWS), help="folders of the shared data"
    )
    parser.add_argument("--quick", action="store_true", help="emotions, one draw")
    parser.add_argument("--out", type=Path, default=None, help="a .md file")
    options = parser.parse_args()
    started, found, lines = time.perf_counter(), {}, []
    for name in ["emotions"] if options.quick else options.tables:
        draws = 1 if options.quick else DRAWS[name]
        y, raw = raw_outputs(name)
        found |= of_rules(name, y, raw, draws)
        lines += of_calibration(name, y, raw, draws)
    pages = [*(rules_table(found, metric) for metric in evaluation.METRICS), tables_table(found)]
    pages += ["\n".join([CALIBRATION, *lines, ""]), f"{time.perf_counter() - started:.0f} s"]
    print("\n".join(pages))
    if options.out is not None:
        options.out.write_text("\n".join(pages), encoding="utf-8")


if __name__ == "__main__":
    main()
