"""Compute every metric on some rows with its standard error and interval, for many tasks at once.

A metric is a function of sums over rows, so its error comes from leaving out blocks of rows: the
rows are dealt into random blocks, each block's sums are computed once, and the metric is computed
from all sums without those of one block, for all blocks and tasks at once (the delete-a-group
jackknife; Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 11). With fewer
rows than blocks it is the usual jackknife. Metrics of rank are computed exactly; for their error
alone, the scores are sorted into bins of about equal counts.

Metrics that are a share of rows, such as accuracy, have an interval in closed form, which holds
near 0 and 1 and for few rows too: Wilson, "Probable inference, the law of succession, and
statistical inference", 1927.

Rows may have sample weights. A row of weight 0 takes no part. Intervals then count the rows by
Kish's effective number, the squared sum of the weights over the sum of their squares ("Survey
Sampling", 1965): a few heavy rows tell less than as many rows of equal weight.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from polycera.tasks import Group, Layout, numpy_ops
from polycera.tasks.metrics import TALLIES, Metric, Tallies, Tally
from polycera.tasks.metrics.metric import divide
from polycera.tasks.metrics.ranking import BINS
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

Indices = NDArray[np.int64]
"""Indices of rows."""

BLOCKS = 50
"""Most blocks of rows: more give a steadier error, and cost as much more memory."""
FEWEST_BLOCKS = 10
"""Blocks that are made of enough rows in any case."""
SUMS = 2**24
"""Most numbers in the sums of all blocks of a group of tasks at a time: limits the memory."""
CELLS = 2**22
"""Most labels at a time, over rows and tasks: limits the memory."""
SAMPLE = 2048
"""Rows whose scores decide the edges of the bins for metrics of rank."""

FEW_ROWS = 20
"""Rows with a label below which there is neither an interval nor a test."""
FEW_OF_CLASS = 5
"""The same for rows of the second most frequent class: metrics that compare classes need both."""

CONFIDENCE = 0.975
"""Share of the distribution below the upper end of a 95 % interval."""
WILSON_Z = 1.959963984540054
"""The normal distribution's quantile at `CONFIDENCE`."""


def _jaccard(t: Tallies) -> tuple[Array, Array]:
    return t["true_positive"], t["positive"] + t["false_positive"]


SHARES: Mapping[tuple[str, str], Callable[[Tallies], tuple[Array, Array]]] = {
    ("binary", "accuracy"): lambda t: (
        t["true_positive"] + t["negative"] - t["false_positive"],
        t["positive"] + t["negative"],
    ),
    ("binary", "precision"): lambda t: (
        t["true_positive"],
        t["true_positive"] + t["false_positive"],
    ),
    ("binary", "recall"): lambda t: (t["true_positive"], t["positive"]),
    ("binary", "f1"): _jaccard,
    ("multiclass", "accuracy"): lambda t: _on_diagonal(t),
    ("ordinal", "accuracy"): lambda t: _on_diagonal(t),
    ("soft multiclass", "accuracy"): lambda t: (t["right"], t["labels"]),
    ("multilabel", "subset_accuracy"): lambda t: (t["all_right"], t["rows"]),
    ("quantile", "coverage"): lambda t: (t["inside"], t["rows"]),
}
"""Kind and metric -> successes and trials, for metrics that are a share of trials.

F1 is 2 J / (1 + J) of the share J of right ones among all rows that are positive or predicted so.
"""


def _on_diagonal(t: Tallies) -> tuple[Array, Array]:
    return np.trace(t["confusion"], axis1=-2, axis2=-1), t["confusion"].sum((-2, -1))


@dataclass(frozen=True)
class Measured:
    """Holds one metric of k tasks on some rows.

    Attributes:
        value: [k], in the user's units; NaN where undefined.
        error: its standard error, [k]; NaN where undefined.
        low, high: Wilson's interval where the metric is a share of rows, [k] each, else None.
        ideal: the value of a perfect predictor, [k].
        freedom: degrees of freedom of the error, [k].
        rows: rows with a label and a weight above 0, [k].
        effective: their effective number: the number of rows where all count the same, [k].
        weight: the sum of their weights, [k].
        enough: where there are rows, and rows of a second class, for an interval, [k].
    """

    value: Array
    error: Array
    low: Array | None
    high: Array | None
    ideal: Array
    freedom: Indices
    rows: Indices
    effective: Array
    weight: Array
    enough: NDArray[np.bool_]


@dataclass(frozen=True)
class RawRows:
    """Holds labels and raw outputs of the rows that are measured.

    Attributes:
        layout: the tasks.
        y: packed labels [n, width], NaN where missing.
        raw: raw outputs [n, output columns].
        prior: raw outputs of the trivial predictors, [output columns].
        scale: of the targets, [tasks].
        weights: sample weights [n, tasks]; None where all rows count the same.
    """

    layout: Layout
    y: Array
    raw: Array
    prior: Array
    scale: Array
    weights: Array | None = None


@np.errstate(over="ignore", invalid="ignore")  # numbers near the limit of float64 have no error
def measured(
    rows: RawRows, indices: Indices, random: np.random.Generator
) -> dict[tuple[TaskName, str], tuple[Measured, int]]:
    """Return every metric of every task on some of the rows.

    Args:
        rows: all rows.
        indices: the rows that are measured.
        random: deals them into blocks.

    Returns:
        task and metric -> the metric of several tasks, and the position of this one among them.
    """
    indices = random.permutation(indices)
    y, raw = rows.y[indices], rows.raw[indices]
    weights = None if rows.weights is None else rows.weights[indices]
    found: dict[tuple[TaskName, str], tuple[Measured, int]] = {}
    for group in rows.layout.groups:
        task = group.task
        labels, outputs = group.target(y, numpy_ops), group.raw(raw, numpy_ops)
        prior = rows.prior[group.raw_start : group.raw_start + len(group.tasks) * task.units]
        priors = prior.reshape(len(group.tasks), task.units).astype("float64")
        scales = rows.scale[group.first : group.first + len(group.tasks)]
        # Some tasks at a time, so that memory does not grow with rows times tasks.
        step = max(1, CELLS // max(len(indices) * max(task.units, task.width), 1))
        for start in range(0, len(group.tasks), step):
            part = slice(start, start + step)
            tasks = group.tasks[part]
            names = dict.fromkeys(name for one in tasks for name in one.metrics)
            by_metric = _of_tasks(
                group,
                list(names),
                labels[:, part],
                outputs[:, part],
                priors[part],
                scales[part],
                None if weights is None else group.per_task(weights)[:, part],
            )
            for i, one in enumerate(tasks):
                for name in one.metrics:
                    found[one.name, name] = (by_metric[name], i)
    return found


def _of_tasks(
    group: Group,
    names: list[str],
    y: Array,
    raw: Array,
    prior: Array,
    scale: Array,
    weights: Array | None,
) -> dict[str, Measured]:
    """Return these metrics for k tasks of a group on rows that are in random order.

    Args:
        group: its formulas are used.
        names: of the metrics.
        y: labels [n, k, width], NaN where missing.
        raw: raw outputs [n, k, units].
        prior: of the trivial predictors [k, units].
        scale: of the targets, [k].
        weights: sample weights [n, k], or None.
    """
    task, k = group.task, y.shape[1]
    tally = TALLIES[task.measured_as]
    metrics = [tally.metrics[name] for name in names]
    needs = {need for metric in metrics for need in metric.needs}
    weights = np.ones(y.shape[:2]) if weights is None else weights
    known = np.atleast_1d(~np.isnan(y)) & (weights > 0)[..., None]
    labelled = np.atleast_2d(known.any(axis=-1))
    rows = labelled.sum(axis=0)
    weight = (weights * labelled).sum(axis=0)
    effective = divide(weight**2, (weights**2 * labelled).sum(axis=0))
    y, raw = np.where(known, y, 0.0).astype("float64"), np.where(labelled[..., None], raw, 0.0)
    counted = known * weights[..., None]
    constants = tally.constants(task, prior)
    exact = tally.exact(task, y, raw, prior, counted, needs) | constants
    blocks = _sums_of_blocks(tally, task, y, raw, prior, counted, needs)
    left_out = {name: sums.sum(0) - sums for name, sums in blocks.items()}
    count = len(next(iter(left_out.values())))
    enough = (effective >= FEW_ROWS) & _has_classes(group, y, known)
    freedom = np.maximum(np.minimum(rows, count) - 1, 1)
    # The sums of the squared weights of the same rows, for the effective numbers of trials.
    shares = [metric for metric in metrics if (task.measured_as, metric.name) in SHARES]
    needed = {need for metric in shares for need in metric.needs}
    squares = tally.exact(task, y, raw, prior, counted**2, needed) if shares else {}
    found = {}
    for metric in metrics:
        # Squares scale with the square of the deviation; a count's outputs are rates, never scaled.
        factor = scale**metric.scaled if task.kind != "count" else np.ones(k)
        low, high = _wilson(task.measured_as, metric.name, exact, squares)
        best = metric.ideal_for(task) if metric.best is None else metric.best(exact)
        found[metric.name] = Measured(
            np.asarray(metric.value(exact), "float64") * factor,
            _jackknife(tally, metric, left_out, constants, count, k) * factor,
            low,
            high,
            np.broadcast_to(np.asarray(best, "float64"), (k,)),
            freedom,
            rows,
            effective,
            weight,
            enough,
        )
    return found


def _has_classes(group: Group, y: Array, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether the labels of each task have a second class in enough rows, [k].

    Tasks without hard classes always have.
    """
    task = group.task
    if task.measured_as in ("binary", "multilabel"):
        ones = (known & (y > 0.5)).sum(0)
        return np.asarray((np.minimum(ones, known.sum(0) - ones) >= FEW_OF_CLASS).any(-1))
    if isinstance(task, ClassTask) and task.measured_as in ("multiclass", "ordinal"):
        k, classes = y.shape[1], len(task.known_classes())
        codes = y[..., 0].astype("int64") + classes * np.arange(k)
        counts = np.bincount(codes[known[..., 0]], minlength=k * classes).reshape(k, classes)
        return np.asarray(np.sort(counts, axis=-1)[:, -2] >= FEW_OF_CLASS)
    return np.ones(y.shape[1], bool)


def _sums_of_blocks(
    tally: Tally, task: object, y: Array, raw: Array, prior: Array, counted: Array, needs: set[str]
) -> Tallies:
    """Return the sums of each block of rows, name -> [blocks, k, *shape]."""
    n, k = y.shape[:2]
    size = sum(int(np.prod(shape)) for name, shape in tally.sizes(task).items() if name in needs)
    most = int(np.clip(SUMS // max(k * size, 1), FEWEST_BLOCKS, BLOCKS))
    edges = np.linspace(0, n, min(most, max(n, 1)) + 1).astype(int)
    blocks = [slice(a, b) for a, b in itertools.pairwise(edges)]
    others = needs - {"bins"}
    parts = [
        tally.batch(task, y[rows], raw[rows], prior, counted[rows], others, numpy_ops)
        for rows in blocks
    ]
    sums = {name: np.stack([np.asarray(part[name], float) for part in parts]) for name in parts[0]}
    if "bins" in needs:
        sums["bins"] = _histograms(*tally.ranked(task, y, raw, counted, numpy_ops), blocks)
    return sums


def _histograms(y: Array, logits: Array, counted: Array, blocks: list[slice]) -> Array:
    """Return counts by label and bin of each block, [blocks, k, e, 2 * BINS], negatives first.

    The bins hold about equal counts on either side of a logit of 0: a histogram of fixed bins has
    no resolution where all logits are near each other, as those of a rare label are.

    Args:
        y, logits, counted: [n, k, e] each.
        blocks: of rows.
    """
    n, k, e = logits.shape
    half = BINS // 2
    scores = logits.reshape(n, k * e)
    # The rows are in random order already, so the first ones are a sample.
    sample = np.sort(scores[:SAMPLE], axis=0)
    places = np.linspace(0, len(sample) - 1, 2 * half).astype(int)
    edges = sample[places] if len(sample) else np.zeros((2 * half, k * e))
    bins = np.empty((n, k * e), "int64")
    for column in range(k * e):
        positive = scores[:, column] > 0
        cuts = edges[:, column]
        below, above = _cuts(cuts[cuts <= 0], half), _cuts(cuts[cuts > 0], half)
        bins[:, column] = np.where(
            positive,
            half + np.searchsorted(above, scores[:, column]),
            np.searchsorted(below, scores[:, column]),
        )
    index = bins + BINS * y.reshape(n, k * e).astype("int64") + 2 * BINS * np.arange(k * e)
    weight = np.broadcast_to(counted, logits.shape).reshape(n, k * e)
    size = k * e * 2 * BINS
    counts = [np.bincount(index[rows].ravel(), weight[rows].ravel(), size) for rows in blocks]
    return np.stack(counts).reshape(len(blocks), k, e, 2 * BINS).astype("float64")


def _cuts(values: Array, bins: int) -> Array:
    """Return at most `bins` - 1 of these sorted values, evenly chosen."""
    values = np.unique(values[~np.isnan(values)])
    if len(values) < bins:
        return values
    return np.asarray(values[np.linspace(0, len(values) - 1, bins - 1).astype(int)])


def _jackknife(
    tally: Tally, metric: Metric, left_out: Tallies, constants: Tallies, blocks: int, k: int
) -> Array:
    """Return the standard error of a metric of k tasks from its values without each block, [k].

    Args:
        tally, metric: the formulas.
        left_out: sums without each block, name -> [blocks, k, *shape].
        constants: of the trivial predictors, name -> [k, *shape].
        blocks, k: numbers of blocks and of tasks.
    """
    values = values_of_copies(tally, metric, left_out, constants, blocks, k)
    defined = np.isfinite(values)
    mean = divide(np.where(defined, values, 0.0).sum(0), defined.sum(0))
    squares = np.where(defined, (values - mean) ** 2, 0.0).sum(0)
    count = defined.sum(0)
    return np.sqrt(np.where(count > 1, squares * (count - 1) / np.maximum(count, 1), np.nan))


def values_of_copies(
    tally: Tally, metric: Metric, sums: Tallies, constants: Tallies, copies: int, k: int
) -> Array:
    """Return a metric of k tasks for several copies of their sums, [copies, k].

    Args:
        tally, metric: the formulas.
        sums: name -> [copies, k, *shape].
        constants: of the trivial predictors, name -> [k, *shape].
        copies, k: numbers of copies and of tasks.
    """
    # Each copy is as a further set of k tasks to the formulas, whose first axis holds tasks.
    flat = {name: value.reshape(copies * k, *value.shape[2:]) for name, value in sums.items()}
    if "bins" in flat:
        flat = tally.read(flat)
    for name, value in constants.items():
        repeated = np.broadcast_to(value, (copies, *value.shape))
        flat[name] = repeated.reshape(copies * k, *value.shape[1:])
    return np.asarray(metric.value(flat), "float64").reshape(copies, k)


def _wilson(
    kind: str, metric: str, t: Tallies, squares: Tallies
) -> tuple[Array, Array] | tuple[None, None]:
    """Return Wilson's interval of a metric that is a share of rows; None for another metric.

    Args:
        kind, metric: of the task.
        t: sums of the rows by their weights.
        squares: the same sums by the squares of the weights.
    """
    share = SHARES.get((kind, metric))
    if share is None:
        return None, None
    successes, trials = (np.asarray(values, "float64") for values in share(t))
    squared = np.asarray(share(squares)[1], "float64")
    if kind == "binary":  # one label a task
        successes, trials, squared = successes[..., 0], trials[..., 0], squared[..., 0]
    low, high = wilson(divide(successes, trials), divide(trials**2, squared))
    if metric == "f1":
        return 2 * low / (1 + low), 2 * high / (1 + high)
    return low, high


def wilson(share: Array, trials: Array) -> tuple[Array, Array]:
    """Return Wilson's 95 % interval of shares of trials, [k] each; NaN without a trial.

    Args:
        share: successes divided by trials, [k].
        trials: numbers of trials, [k]; need not be whole.
    """
    z, m = WILSON_Z, np.where(trials > 0, trials, np.nan)
    middle = (share + z**2 / (2 * m)) / (1 + z**2 / m)
    half = z * np.sqrt(share * (1 - share) / m + z**2 / (4 * m**2)) / (1 + z**2 / m)
    low, high = middle - half, middle + half
    # `middle - half` is not exactly 0 or 1 at the ends.
    return np.where(share == 0, 0.0, low), np.where(share == 1, 1.0, high)
