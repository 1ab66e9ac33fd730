"""Say metrics, comparisons and cautions in plain sentences."""

from __future__ import annotations

from polycera.runs.findings import Baseline, MetricFacts

NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "map": "mean average precision",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1": "F1",
    "macro_f1": "mean F1",
    "micro_f1": "F1 of all labels",
    "log_loss": "log loss",
    "brier": "Brier score",
    "rmse": "RMSE",
    "mae": "mean absolute error",
    "mse": "mean squared error",
    "r2": "R2",
    "deviance": "mean deviance",
    "pinball": "pinball loss",
    "kappa": "weighted kappa",
    "subset_accuracy": "share of rows with all labels right",
    "hamming": "share of wrong labels",
}
"""Metric -> its name in a sentence; another one is written as it is."""

SHARES = {"auc", "accuracy", "precision", "recall", "balanced_accuracy", "subset_accuracy"}
"""Metrics that are said as so many of 100."""


def metric_name(metric: str) -> str:
    """Return the name of a metric in a sentence."""
    return NAMES.get(metric, metric.replace("_", " "))


def figure(value: float | None, metric: str = "") -> str:
    """Return a number as people write it: shares with two decimals, others with three digits.

    Examples:
        >>> figure(0.8412, "auc"), figure(1234.56), figure(0.000123), figure(None)
        ('0.84', '1,235', '0.000123', 'not defined')
    """
    if value is None:
        return "not defined"
    if metric in SHARES or metric in ("f1", "r2", "average_precision", "coverage"):
        return f"{value:.2f}"
    text = f"{value:.3g}"
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else text


def headline(
    task: str, kind: str, metric: MetricFacts | None, classes: tuple[str, str] | None, rows: int
) -> str:
    """Return the quality of a task in one sentence.

    Args:
        task, kind: the task.
        metric: its headline metric; None where nothing was measured.
        classes: negative and positive class of a binary task, as they may be shown; or None.
        rows: reported rows with a label.

    Examples:
        >>> auc = MetricFacts("auc", "max", 0.84, 0.5, 1.0, 0.68, 0.81, 0.87, "bootstrap")
        >>> print(headline("churn", "binary", auc, ("No", "Yes"), 900))
        churn: of 100 pairs of a Yes and a No, 84 are ranked right (AUC 0.84, 95 % interval 0.81 to
        0.87); guessing gives 0.50.
    """
    if metric is None or metric.value is None:
        return f"{task}: not measured, because none of the {rows:,} rows allows it."
    name, value = metric.name, metric.value
    numbers = f"{metric_name(name)} {figure(value, name)}"
    if metric.low is not None and metric.high is not None:
        numbers += f", 95 % interval {figure(metric.low, name)} to {figure(metric.high, name)}"
    elif metric.interval is None:
        numbers += ", too few rows for an interval"
    guess = f"; guessing gives {figure(metric.trivial, name)}"
    if metric.trivial is None:
        guess = ""
    return f"{task}: {_said(kind, name, value, classes)} ({numbers}){guess}."


def _said(kind: str, metric: str, value: float, classes: tuple[str, str] | None) -> str:
    """Return what a metric means, in words."""
    of_hundred = f"{100 * value:.0f}"
    negative, positive = classes or ("no", "yes")
    if metric == "auc" and kind == "binary":
        return f"of 100 pairs of a {positive} and a {negative}, {of_hundred} are ranked right"
    if metric == "auc":
        return f"of 100 pairs of a hit and a miss, {of_hundred} are ranked right"
    if metric == "accuracy":
        what = "labels" if kind == "multilabel" else "rows"
        return f"{of_hundred} of 100 {what} are predicted right"
    if metric == "precision":
        return f"of 100 rows that are predicted {positive}, {of_hundred} are"
    if metric == "recall":
        return f"of 100 rows that are {positive}, {of_hundred} are found"
    if metric == "mae" and kind == "ordinal":
        return f"off by {figure(value)} levels on average"
    if metric == "mae":
        return f"off by {figure(value)} on average"
    if metric == "rmse":
        return f"typically off by {figure(value)}"
    if metric == "r2":
        return f"{of_hundred} % of the variation is explained"
    if metric == "coverage":
        return f"{of_hundred} of 100 values lie between the outermost quantiles"
    return f"{metric_name(metric)} is {figure(value, metric)}"


def verdict(task: str, found: list[Baseline]) -> str | None:
    """Return how a task compares with the models that people know; None without one.

    Args:
        task: its name.
        found: the baselines.
    """
    known = [one for one in found if one.difference is not None]
    if not known:
        return None
    best = min(known, key=lambda one: one.difference or 0.0)
    differs = f"by {figure(abs(best.difference or 0.0))} in {metric_name(best.metric)}"
    interval = ""
    if best.low is not None and best.high is not None:
        low, high = sorted((best.low, best.high))
        interval = f" (95 % interval of the difference {figure(low)} to {figure(high)})"
    if best.better == "baseline":
        return f"{task}: polycera is worse than {best.model}, {differs}{interval}."
    if best.better == "neither":
        side = "better" if (best.difference or 0.0) > 0 else "worse"
        return (
            f"{task}: polycera is not clearly better than {best.model}: {side} {differs}{interval}."
        )
    count = "both baselines" if len(known) > 1 else best.model
    return f"{task}: polycera is better than {count}, than {best.model} {differs}{interval}."
