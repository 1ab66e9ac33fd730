"""Compute permutation importance: the skill that each task loses when a column is shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from polycera.errors import InputError
from polycera.model import scores
from polycera.model.model import Model
from polycera.model.predicting import raw_outputs
from polycera.model.targets import encode, pack
from polycera.runs.results import Drops, Importance, Numbers
from polycera.typing import Array, TaskName

REPEATS = 3
"""Shuffles of each column."""
ROWS = 2048
"""Rows that are used at most."""

FEW = 256
"""The timing sample has this many rows; more rows are used in multiples of it."""

BATCH = 4096
"""The network predicts this many rows at once: those of several shuffled copies."""

CELLS = 2**22
"""Shuffled copies in memory together have at most this many features.

This bounds the copies to 16 MB, unless one copy alone is larger.
"""

SMALL = 2**22
"""Nothing is timed where all shuffled copies have at most this many features, or outputs.

Two runs of a small table then have equal files, however fast the machine is.
"""

COLUMNS = 200
"""Columns that are shown at most."""
NUMBERS = 40_000
"""Columns times tasks at most."""

SAFE = 0.7
"""The plan uses this share of the remaining time.

The cost of a copy is measured only once, and later copies may take longer.
"""


def importance(
    model: Model,
    features: Array,
    sources: Sequence[str],
    targets: Mapping[TaskName, Any],
    part: str,
    *,
    repeats: int = REPEATS,
    rows: int = ROWS,
    seed: int = 0,
    seconds: float = np.inf,
) -> Importance | None:
    """Return the skill that each task loses when one column is shuffled among the rows.

    A shuffled column carries no information about its row. All features that are made of one column
    move together. A shuffled copy of the rows passes the network once and is scored for all tasks.
    In one repeat every column is shuffled by the same permutation. A column that is constant over
    the rows is not tried: its importance is 0.

    Papers: Breiman, "Random Forests", 2001; Fisher, Rudin, Dominici, 2019, arXiv:1801.01489. Where
    we differ: they take the loss, as a ratio or a difference; we take the skill of the task's
    headline metric, which is on one scale for all tasks. As in the papers, two columns with the
    same information replace each other, and both look unimportant.

    Args:
        model: a trained model.
        features: encoded features, [n, width].
        sources: the column that each feature is made of, [width].
        targets: task -> labels in the user's own scale and classes; None for a task without labels.
        part: name of the part of the table that the rows come from.
        repeats: shuffles of each column.
        rows: number of rows to draw, where there are more.
        seed: seed of the draw and of the shuffles.
        seconds: time limit, applied only where there is much to compute. A few copies are timed
            first. Where the time is too short for one shuffle of each column, None is returned;
            where it runs out later, the result holds the repeats that were completed.

    Returns:
        the importance, columns that matter most to any task first; None where the time is too short
        or there are fewer than two rows.

    Raises:
        InputError: for fewer repeats or rows than 1.
    """
    if repeats < 1 or rows < 1:
        raise InputError(f"Importance needs 1 repeat and 1 row or more, got {repeats} and {rows}.")
    row_indices = np.random.default_rng(seed).permutation(len(features))[: max(rows, 2)]
    if len(row_indices) < 2:
        return None
    encoded = encode(model.layout, targets)
    drawn_labels = {name: labels[row_indices] for name, labels in encoded.items()}
    all_rows = Shuffling(
        model, features[row_indices], pack(model.layout, drawn_labels, model.units), list(sources)
    )
    # A small job has no deadline, so that its result does not depend on the clock.
    deadline = np.inf if all_rows.work * repeats <= SMALL else perf_counter() + seconds
    affordable = all_rows if deadline == np.inf else all_rows.within(deadline, repeats)
    if affordable is None:
        return None
    losses = list(affordable.lost(repeats, seed, deadline))
    return _importance(affordable, np.array(losses), part) if losses else None


@dataclass(frozen=True)
class Shuffling:
    """Hold rows whose columns are shuffled, with the model that is scored on them.

    Attributes:
        model: the model that predicts.
        x: features, [n, width].
        y: packed labels, [n, width of all targets].
        sources: the column that each feature is made of, [width].
    """

    model: Model
    x: Array
    y: Array
    sources: list[str]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Return column -> indices of its features."""
        names = np.array(self.sources, dtype=object)
        return {name: np.flatnonzero(names == name) for name in dict.fromkeys(self.sources)}

    @property
    def tried(self) -> dict[str, np.ndarray]:
        """Return the columns that vary among the rows, as column -> indices of its features."""
        varies = (self.x != self.x[:1]).any(axis=0)
        return {name: indices for name, indices in self.columns.items() if varies[indices].any()}

    @property
    def work(self) -> int:
        """Return the features, or outputs if more, of one shuffle of each column."""
        return len(self.tried) * len(self.x) * max(self.x.shape[1], self.model.layout.units)

    @property
    def at_once(self) -> int:
        """Return how many copies of the rows make a batch."""
        return max(1, BATCH // len(self.x))

    def skills(self, copies: Array) -> Array:
        """Return the headline skills [copies, tasks] on copies of the rows [copies, n, width]."""
        raw = raw_outputs(self.model, copies.reshape(-1, copies.shape[-1]))
        scaling, counted = self.model.units, np.ones((len(self.x), 1), bool)
        raw_by_copy = raw.reshape(len(copies), len(self.x), -1)
        copy_scores = [
            scores.exact(self.model._objective, self.y, outputs, counted, scaling)
            for outputs in raw_by_copy
        ]
        tasks = self.model.layout.tasks.values()
        return np.array(
            [[by_task[task.name][task.headline].skill for task in tasks] for by_task in copy_scores]
        )

    def copies(self, columns: Sequence[np.ndarray], order: np.ndarray) -> Array:
        """Return the rows once per column, that column in the given order, [columns, n, width]."""
        shuffled = np.repeat(self.x[None], len(columns), axis=0)
        for copy, indices in zip(shuffled, columns, strict=True):
            copy[:, indices] = self.x[np.ix_(order, indices)]
        return shuffled

    def lost(self, repeats: int, seed: int, end: float) -> Iterator[Array]:
        """Yield per repeat the skill lost by each tried column, [columns, tasks], until `end`."""
        # `seed` alone draws the rows, so the shuffles take a stream of their own.
        columns, random = list(self.tried.values()), np.random.default_rng([seed, 1])
        intact_skills, step = self.skills(self.x[None])[0], self.step
        for _ in range(repeats):
            # The empty first block keeps the shape right where no column is tried.
            order, losses = random.permutation(len(self.x)), [np.zeros((0, len(intact_skills)))]
            for start in range(0, len(columns), step):
                if perf_counter() > end:
                    return
                losses.append(
                    intact_skills - self.skills(self.copies(columns[start : start + step], order))
                )
            yield np.concatenate(losses)

    @property
    def step(self) -> int:
        """Return how many copies to make at a time: whole batches, as many as memory allows."""
        return self.at_once * max(1, CELLS // (self.x.size * self.at_once))

    def first(self, rows: int) -> Shuffling:
        """Return the same with the first rows only."""
        return Shuffling(self.model, self.x[:rows], self.y[:rows], self.sources)

    def within(self, end: float, repeats: int) -> Shuffling | None:
        """Return as many of the rows as the time allows.

        None where the time is too short for one shuffle of each column on the smallest sample.
        """
        timing_rows = self.first(FEW)
        # The first call of a network compiles it, so it is not timed.
        timing_rows.skills(timing_rows.x[None])
        columns = list(self.tried.values())
        # One batch of copies is timed and scaled up to all columns.
        sample = columns[: timing_rows.at_once]
        started = perf_counter()
        timing_rows.skills(timing_rows.copies(sample, np.arange(len(timing_rows.x))))
        seconds_a_repeat = (perf_counter() - started) / max(len(sample), 1) * max(len(columns), 1)
        left = SAFE * (end - perf_counter())
        if left < seconds_a_repeat:
            return None
        multiples = int(min(left / seconds_a_repeat / repeats, len(self.x) // len(timing_rows.x)))
        return self.first(len(timing_rows.x) * max(multiples, 1))


def _importance(probe: Shuffling, lost: Array, part: str) -> Importance:
    """Return the importance from the lost skills [repeats, tried columns, tasks]."""
    names, tasks = list(probe.columns), list(probe.model.layout.tasks.values())
    all_losses = np.zeros((len(lost), len(names), len(tasks)))
    tried = probe.tried
    # Columns that were not tried keep a loss of 0.
    all_losses[:, [i for i, name in enumerate(names) if name in tried]] = lost
    # A task without any defined skill has no importance, not one of 0, for the untried columns too.
    all_losses[:, :, np.isnan(lost).all(axis=(0, 1)) if lost.size else []] = np.nan
    mean = all_losses.mean(axis=0)
    deviation = (
        all_losses.std(axis=0, ddof=1) if len(all_losses) > 1 else np.full_like(mean, np.nan)
    )
    largest_loss = np.where(np.isnan(mean), -np.inf, mean).max(axis=1)
    shown = np.argsort(-largest_loss, kind="stable")[: min(COLUMNS, max(1, NUMBERS // len(tasks)))]
    drops = {
        task.name: Drops(task.headline, _numbers(mean[shown, i]), _numbers(deviation[shown, i]))
        for i, task in enumerate(tasks)
    }
    columns = [names[i] for i in shown]
    return Importance(
        part, len(probe.x), len(all_losses), columns, len(names) - len(columns), drops
    )


def _numbers(values: Array) -> Numbers:
    """Return the values as a list, with None for what is not finite, as in JSON."""
    return [value if np.isfinite(value) else None for value in values.tolist()]
