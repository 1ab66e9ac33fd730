"""Compute 95 % intervals of every metric by drawing the rows again, for all tasks at once.

A draw takes as many rows as there are, or as many groups of rows, with replacement; what it takes
is one weight a row. Metrics are functions of weighted sums over rows, so all draws are one product
of matrices; metrics of rank sort the scores once and add up the weights in that order. (Efron and
Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.) The percentiles are taken a
little further out than 2.5 and 97.5, as few rows need: Hesterberg, "What Teachers Should Know
About the Bootstrap", 2015, arXiv:1411.5279, section 5.3.

Metrics that are a share of rows have Wilson's interval in its place (`metric_error`), which holds
near 0 and 1. No interval has width 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from polycera.evaluation import metric_error
from polycera.evaluation.metric_error import RawRows, values_of_copies, wilson
from polycera.tasks import Group, numpy_ops
from polycera.tasks.metrics import TALLIES, Metric, Tallies, Tally
from polycera.typing import Array, TaskName

DRAWS = 200
"""Draws of the rows."""
LEVEL = 0.95
"""Share of the draws within an interval."""
CELLS = 2**23
"""Most numbers in an array at a time: limits the memory."""
MOST = 2**29
"""Draws times rows times labels above which the jackknife replaces the draws.

They agree for so many rows, and the draws would take minutes.
"""
DEFINED = 0.5
"""Share of the draws in which a metric must be defined."""

Key = tuple[TaskName, str]
"""Task and metric."""


@dataclass(frozen=True)
class Interval:
    """Holds a 95 % interval.

    Attributes:
        low, high: its bounds; None where there are too few rows.
        method: `bootstrap`, `wilson` or `jackknife`; None without bounds.
    """

    low: float | None
    high: float | None
    method: Literal["bootstrap", "wilson", "jackknife"] | None


NONE = Interval(None, None, None)
"""No interval."""


def row_draws(
    rows: int, groups: Array | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Array:
    """Return how often each draw takes each row, [draws, rows].

    Args:
        rows: number of rows.
        groups: code of each row's group from 0, [rows]; the groups are drawn as wholes. None: each
            row is its own group.
        draws: number of draws.
        seed: of the draws.
    """
    units = rows if groups is None else int(groups.max(initial=-1)) + 1
    taken = np.random.default_rng(seed).integers(0, max(units, 1), (draws, units))
    return counts_of(taken, units) if groups is None else counts_of(taken, units)[:, groups]


def counts_of(taken: NDArray[np.int64], units: int) -> Array:
    """Return how often each draw takes each unit [draws, units] from the indices that it takes."""
    places = (taken + units * np.arange(len(taken))[:, None]).ravel()
    counts = np.bincount(places, minlength=len(taken) * units)
    return counts.reshape(len(taken), units).astype("float64")


def drawn_values(
    views: Sequence[RawRows], draws: Array, weights: Mapping[TaskName, Array] | None = None
) -> dict[Key, Array]:
    """Return every metric of every task in each draw, [draws] each; NaN where undefined.

    Args:
        views: the rows, once or several times: a later view replaces the metrics that it has.
        draws: how often each draw takes each row, [draws, rows].
        weights: task -> sample weights [rows]; None where all rows count the same.
    """
    values: dict[Key, Array] = {}
    for rows in views:
        for group in rows.layout.groups:
            for keys, part in _of_group(rows, group, draws, weights):
                values |= dict(zip(keys, part.T, strict=True))
    return values


def intervals(
    views: Sequence[RawRows],
    *,
    groups: Array | None = None,
    weights: Mapping[TaskName, Array] | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> dict[Key, Interval]:
    """Return the 95 % interval of every metric of every task.

    There is none below 20 labelled rows, or 5 rows of a second class, but for shares of rows.

    Args:
        views, weights: as for `drawn_values`.
        groups: as for `row_draws`.
        draws: number of draws.
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    rows = len(views[0].y)
    if not rows:
        return {}
    measured: dict[Key, tuple[metric_error.Measured, int]] = {}
    for view in views:
        measured |= metric_error.measured(view, np.arange(rows), random)
    units = rows if groups is None else int(groups.max()) + 1
    many = too_many(rows, views, draws)
    values = (
        {}
        if many
        else drawn_values(views, row_draws(rows, groups, draws=draws, seed=seed), weights)
    )
    bounded = _bounded(views)
    found: dict[Key, Interval] = {}
    for key, (of_tasks, i) in measured.items():
        share = None
        if of_tasks.low is not None and of_tasks.high is not None:
            share = _interval(float(of_tasks.low[i]), float(of_tasks.high[i]), "wilson")
        plain = groups is None and weights is None
        if share is not None and plain:
            found[key] = share
            continue
        if not of_tasks.enough[i]:
            found[key] = NONE
            continue
        labelled = int(of_tasks.rows[i])
        value, ideal = float(of_tasks.value[i]), float(of_tasks.ideal[i])
        if many:
            half = 1.96 * float(of_tasks.error[i])
            interval = _interval(value - half, value + half, "jackknife")
        else:
            low, high = percentiles(values[key], min(units, labelled))
            interval = _interval(low, high, "bootstrap")
        if interval is NONE and key in bounded and value == ideal:
            # Every draw is perfect: what so many rows without an error still allow.
            low_share, _ = wilson(np.array([1.0]), np.array([min(units, bounded[key])]))
            edge = float(low_share[0]) if ideal == 1 else 1 - float(low_share[0])
            interval = _interval(min(edge, ideal), max(edge, ideal), "wilson")
        found[key] = share if interval is NONE and share is not None else interval
    return found


def too_many(rows: int, views: Sequence[RawRows], draws: int = DRAWS) -> bool:
    """Return whether so many rows are too many to be drawn."""
    return draws * rows * sum(view.y.shape[1] for view in views) > MOST


def percentiles(values: Array, units: int) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of drawn values [draws]; NaN where undefined.

    Args:
        values: the metric in each draw, NaN where it is undefined.
        units: number of rows, or of groups, that were drawn from.

    Examples:
        >>> import numpy as np
        >>> low, high = percentiles(np.random.default_rng(0).normal(size=100_000), 10**6)
        >>> round(low, 1), round(high, 1)
        (-2.0, 2.0)
    """
    defined = values[np.isfinite(values)]
    if len(defined) < max(DEFINED * len(values), 1) or units < 2:
        return np.nan, np.nan
    # SciPy is slow to import.
    from scipy.special import ndtr, stdtrit

    # Draws spread a little less than other samples would, and have lighter tails.
    wide = np.sqrt(units / (units - 1)) * float(stdtrit(units - 1, 0.5 + LEVEL / 2))
    tail = float(ndtr(-wide))
    # Of 199 draws the 5th has 2.5 % below it: `weibull` counts like that, the default does not.
    low, high = np.quantile(defined, [tail, 1 - tail], method="weibull")
    return float(low), float(high)


def paired(one: Array, other: Array, sign: float, units: int) -> tuple[float | None, float | None]:
    """Return the 95 % interval of a difference of two metrics from the same draws.

    Args:
        one, other: the metric of both in each draw, [draws].
        sign: 1 or -1, by which the difference is multiplied.
        units: number of rows, or of groups.
    """
    interval = _interval(*percentiles(sign * (one - other), units), "bootstrap")
    return interval.low, interval.high


def _interval(
    low: float, high: float, method: Literal["bootstrap", "wilson", "jackknife"]
) -> Interval:
    """Return an interval; `NONE` for bounds that are not finite, or that are one number."""
    if not (np.isfinite(low) and np.isfinite(high)) or low == high:
        return NONE
    return Interval(low, high, method)


def _bounded(views: Sequence[RawRows]) -> dict[Key, int]:
    """Return the metrics from 0 to 1, each with the rows that a perfect value rests on.

    These are the labelled rows, and for metrics that compare classes the rows of the rarer class.
    """
    names = {"auc", "average_precision", "balanced_accuracy", "map", "hamming", "coverage"}
    found: dict[Key, int] = {}
    for view in views:
        for name, task in view.layout.tasks.items():
            labels = view.y[:, view.layout.target_columns[name]]
            known = ~np.isnan(labels)
            rows = int(known.any(axis=1).sum())
            if task.measured_as in ("binary", "multilabel"):
                ones = int(np.nansum(labels))
                rows = min(ones, int(known.sum()) - ones)
            for metric in task.metrics:
                if metric in names or metric.startswith(("macro_", "micro_", "f1", "precision")):
                    found[name, metric] = rows
    return found


def _of_group(
    rows: RawRows, group: Group, draws: Array, weights: Mapping[TaskName, Array] | None
) -> Iterator[tuple[list[Key], Array]]:
    """Yield keys, and the values of their metrics [draws, keys], for the tasks of one group."""
    task, k = group.task, len(group.tasks)
    tally = TALLIES[task.measured_as]
    y, raw = group.target(rows.y, numpy_ops), group.raw(rows.raw, numpy_ops)
    prior = rows.prior[group.raw_start : group.raw_start + k * task.units]
    prior = prior.reshape(k, task.units).astype("float64")
    scale = rows.scale[group.first : group.first + k]
    known = ~np.isnan(y)
    counted = known.astype("float64")
    if weights is not None:
        counted *= np.stack([weights[one.name] for one in group.tasks], axis=1)[..., None]
    y = np.where(known, y, 0.0).astype("float64")
    raw = np.where(known.any(axis=-1)[..., None], raw, 0.0).astype("float64")
    names = dict.fromkeys(name for one in group.tasks for name in one.metrics)
    metrics = [tally.metrics[name] for name in names]
    ranked = [metric for metric in metrics if "bins" in metric.needs]
    others = [metric for metric in metrics if "bins" not in metric.needs]
    constants = tally.constants(task, prior)
    needs = {need for metric in metrics for need in metric.needs} - {"bins"}
    sums = _drawn_sums(tally, task, y, raw, prior, counted, needs, draws) if needs else {}
    for metric in others:
        values = values_of_copies(tally, metric, sums, constants, len(draws), k)
        yield from _named(group, metric, values * _factor(metric, task.kind, scale))
    if not ranked:
        return
    labels, logits, rank_counts = tally.ranked(task, y, raw, counted, numpy_ops)
    found = {metric.name: np.empty((len(draws), k)) for metric in ranked}
    # One task at a time, since the counts by score of all of them would fill the memory.
    for i in range(k):
        own = {name: value[:, i : i + 1] for name, value in sums.items()}
        own_constants = {name: value[i : i + 1] for name, value in constants.items()}
        y_of, logits_of, counts_of_task = (
            np.asarray(array)[:, i] for array in (labels, logits, rank_counts)
        )
        for part, counts in _ranked_counts(y_of, logits_of, counts_of_task, draws):
            here = {name: value[part] for name, value in own.items()} | counts
            size = len(counts["positive"])
            for metric in ranked:
                values = values_of_copies(tally, metric, here, own_constants, size, 1)
                found[metric.name][part, i] = values[:, 0]
    for metric in ranked:
        factor = _factor(metric, task.kind, scale)
        yield from _named(group, metric, found[metric.name] * factor)


def _factor(metric: Metric, kind: str, scale: Array) -> Array:
    """Return what undoes the target scaling in a metric, [k]; a count's rates are never scaled."""
    return scale**metric.scaled if kind != "count" else np.ones_like(scale)


def _named(group: Group, metric: Metric, values: Array) -> Iterator[tuple[list[Key], Array]]:
    """Yield the values of the tasks that have this metric."""
    has = [i for i, task in enumerate(group.tasks) if metric.name in task.metrics]
    yield [(group.tasks[i].name, metric.name) for i in has], values[:, has]


def _drawn_sums(
    tally: Tally,
    task: object,
    y: Array,
    raw: Array,
    prior: Array,
    counted: Array,
    needs: set[str],
    draws: Array,
) -> Tallies:
    """Return the sums of each draw, name -> [draws, k, *shape].

    Args:
        tally, task: the formulas.
        y, raw, counted: of the rows, [n, k, ...].
        prior: of the trivial predictors, [k, units].
        needs: names of the sums; none of them are counts by score.
        draws: [draws, n].
    """
    n, k = y.shape[:2]
    sizes = tally.sizes(task)
    size = k * sum(int(np.prod(sizes[name])) for name in sizes if name in needs)
    step = max(1, CELLS // max(size, 1))
    total: Tallies = {}
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        many = part.stop - part.start
        # Each row is as a set of k tasks of one row to the formulas, which add up over rows.
        flat = [array[part].reshape(1, many * k, -1) for array in (y, raw, counted)]
        priors = np.broadcast_to(prior, (many, *prior.shape)).reshape(many * k, -1)
        of_rows = tally.batch(task, flat[0], flat[1], priors, flat[2], needs, numpy_ops)
        for name, values in of_rows.items():
            shape = np.asarray(values).shape[1:]
            product = draws[:, part] @ np.asarray(values, "float64").reshape(many, -1)
            total[name] = total.get(name, 0.0) + product.reshape(len(draws), k, *shape)
    return total


def _ranked_counts(
    y: Array, logits: Array, counted: Array, draws: Array
) -> Iterator[tuple[slice, Tallies]]:
    """Yield some draws with the weights of positives and negatives by ascending score.

    Args:
        y, logits, counted: labels of 0 and 1, scores and weights of the rows, [n, e] each.
        draws: [draws, n].

    Yields:
        which draws, and name -> [draws, 1, e, ...] as the metrics of rank take them.
    """
    n, e = y.shape
    order = np.argsort(logits, axis=0)
    ranked = np.take_along_axis(logits, order, 0)
    starts = [np.flatnonzero(np.r_[True, ranked[1:, j] != ranked[:-1, j]]) for j in range(e)]
    scores = max(len(start) for start in starts)
    positive, negative = counted * y, counted * (1 - y)
    above = logits > 0
    step = max(1, CELLS // max(n * e, 1))
    for first in range(0, len(draws), step):
        part = slice(first, first + step)
        taken = draws[part]
        by_score = np.zeros((2, len(taken), 1, e, scores))
        for j, start in enumerate(starts):
            in_order = taken[:, order[:, j]]
            for side, weight in zip(by_score, (positive, negative), strict=True):
                weighted = in_order * weight[order[:, j], j]
                # Equal scores are tied: their weights are added up.
                side[:, 0, j, : len(start)] = np.add.reduceat(weighted, start, axis=1)
        yield (
            part,
            {
                "positive_bins": by_score[0],
                "negative_bins": by_score[1],
                "positive": (taken @ positive)[:, None],
                "negative": (taken @ negative)[:, None],
                "true_positive": (taken @ (positive * above))[:, None],
                "false_positive": (taken @ (negative * above))[:, None],
            },
        )
