"""Compute permutation importance: the skill that each task loses when a column is shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from polycera.errors import InputError
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
"""Fewest rows that are used where not all may be; the number is a multiple of it."""

BATCH = 4096
"""The network predicts this many rows at once: those of several shuffled copies."""

CELLS = 2**22
"""Shuffled copies in memory together have at most this many features.

This bounds the copies to 16 MB, unless one copy alone is larger.
"""

COLUMNS = 200
"""Columns that are shown at most."""
NUMBERS = 40_000
"""Columns times tasks at most."""


def importance(
    model: Model,
    features: Array,
    sources: Sequence[str],
    targets: Mapping[TaskName, Any],
    part: str,
    *,
    raw: Array | None = None,
    repeats: int = REPEATS,
    rows: int = ROWS,
    seed: int = 0,
    passes: int | None = None,
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
        raw: raw outputs [n, output columns] of the model for these rows, where they are known: the
            rows then do not pass the network as they are.
        repeats: shuffles of each column.
        rows: number of rows to draw, where there are more.
        seed: seed of the draw and of the shuffles.
        passes: most rows that may pass the network, those of all shuffled copies together; None for
            no limit. Fewer rows are used where all would exceed it, then fewer repeats; None is
            returned where one shuffle of each column on few rows would.

    Returns:
        the importance, columns that matter most to any task first; None where it would take too
        many passes or there are fewer than two rows.

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
        model,
        features[row_indices],
        pack(model.layout, drawn_labels, model.units),
        list(sources),
        None if raw is None else raw[row_indices],
    )
    size = Size(len(row_indices), repeats)
    if passes is not None:
        size = affordable(len(row_indices), repeats, len(all_rows.tried), passes)
    if not size.repeats:
        return None
    used = all_rows.first(size.rows)
    return _importance(used, np.array(list(used.lost(size.repeats, seed))), part)


class Size(NamedTuple):
    """Holds how many rows are used, and how often each column is shuffled among them."""

    rows: int
    repeats: int


def affordable(rows: int, repeats: int, columns: int, passes: int) -> Size:
    """Return the rows and repeats for which no more than `passes` rows pass the network.

    Rows are saved first, since each task's skill is a mean over them, then repeats. There are no
    repeats where one is too many.

    Examples:
        >>> affordable(2048, 3, 10, 100_000)
        Size(rows=2048, repeats=3)
        >>> affordable(2048, 3, 10, 20_000), affordable(2048, 3, 10, 6_000)
        (Size(rows=512, repeats=3), Size(rows=256, repeats=2))
    """
    if rows * repeats * columns <= passes:
        return Size(rows, repeats)
    rows = min(rows, max(FEW, passes // (repeats * columns) // FEW * FEW))
    return Size(rows, min(repeats, passes // (rows * columns)))


@dataclass(frozen=True)
class Shuffling:
    """Hold rows whose columns are shuffled, with the model that is scored on them.

    Attributes:
        model: the model that predicts.
        x: features, [n, width].
        y: packed labels, [n, width of all targets].
        sources: the column that each feature is made of, [width].
        raw: raw outputs of the model for the rows as they are, where they are known.
    """

    model: Model
    x: Array
    y: Array
    sources: list[str]
    raw: Array | None = None

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
    def at_once(self) -> int:
        """Return how many copies of the rows make a batch."""
        return max(1, BATCH // len(self.x))

    def skills(self, copies: Array) -> Array:
        """Return the headline skills [copies, tasks] on copies of the rows [copies, n, width]."""
        return self.skills_of(raw_outputs(self.model, copies.reshape(-1, copies.shape[-1])))

    def skills_of(self, raw: Array) -> Array:
        """Return the headline skills [copies, tasks] of raw outputs [copies x n, columns]."""
        raw_by_copy = raw.reshape(-1, len(self.x), raw.shape[-1])
        copy_scores = [self.model.scores_of(self.y, outputs) for outputs in raw_by_copy]
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

    def lost(self, repeats: int, seed: int) -> Iterator[Array]:
        """Yield per repeat the skill lost by each tried column, [columns, tasks]."""
        # `seed` alone draws the rows, so the shuffles take a stream of their own.
        columns, random = list(self.tried.values()), np.random.default_rng([seed, 1])
        intact = raw_outputs(self.model, self.x) if self.raw is None else self.raw
        intact_skills, step = self.skills_of(intact)[0], self.step
        for _ in range(repeats):
            # The empty first block keeps the shape right where no column is tried.
            order, losses = random.permutation(len(self.x)), [np.zeros((0, len(intact_skills)))]
            for start in range(0, len(columns), step):
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
        raw = None if self.raw is None else self.raw[:rows]
        return Shuffling(self.model, self.x[:rows], self.y[:rows], self.sources, raw)


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
