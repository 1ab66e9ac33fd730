"""Permutation importance: what each task loses when a column of the table is shuffled, for all tasks at once."""

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

REPEATS, ROWS = 3, 2048
"""Shufflings of each column, and rows that are looked at, at most."""

FEW = 256
"""The fewest rows that are looked at, where there are as many; more are a multiple of them."""

BATCH = 4096
"""Rows that the network answers at once: those of several copies."""

CELLS = 2**22
"""Features at a time: bounds the memory of the shuffled copies to 16 MB, where one copy is not larger."""

SMALL = 2**22
"""Features, or outputs, of all shuffled copies that are not timed: two runs of a small table then have equal files."""

COLUMNS, NUMBERS = 200, 40_000
"""Columns that are shown, and columns times tasks, at most."""

SAFE = 0.7
"""Of the time that is left, the share that is planned for: what was measured once may take longer."""


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
    """Skill that each task loses when a column is shuffled among the rows, so that it tells nothing about them.

    All features that are made of one column move together. A shuffled copy of the rows goes once
    through the network and is scored for all tasks. In one repeat every column is shuffled in the
    same way. A column that is the same in all rows is not tried: its importance is 0.

    Papers: Breiman, "Random Forests", 2001; Fisher, Rudin, Dominici, 2019, arXiv:1801.01489. There
        the loss is taken,
    as a ratio or a difference; here the skill of the task's headline metric, which is on one scale
    for all tasks. As there, two columns that say the same stand in for each other, and both look
    unimportant.

    Args:
        model: trained.
        features: [n, width], encoded.
        sources: the column that each feature is made of, [width].
        targets: task -> labels in the user's own units and classes; None for a task without.
        part: what the rows are called.
        repeats: shufflings of each column.
        rows: that are drawn, where there are more.
        seed: of the draw and of the shufflings.
        seconds: that it may take, where there is much to do. A few copies are timed first; where
            the time does not suffice for one shuffling of each column, None is returned; where it
            runs out later, the repeats that were done are.

    Returns:
        the columns that matter most to any task first; None where the time does not suffice or
        there are fewer than two rows.

    Raises:
        InputError: for fewer repeats or rows than 1.
    """
    if repeats < 1 or rows < 1:
        raise InputError(f"Importance needs 1 repeat and 1 row or more, got {repeats} and {rows}.")
    drawn = np.random.default_rng(seed).permutation(len(features))[: max(rows, 2)]
    if len(drawn) < 2:
        return None
    encoded = encode(model.layout, targets)
    chosen = {name: labels[drawn] for name, labels in encoded.items()}
    whole = Shuffling(
        model, features[drawn], pack(model.layout, chosen, model.units), list(sources)
    )
    end = np.inf if whole.work * repeats <= SMALL else perf_counter() + seconds
    probe = whole if end == np.inf else whole.within(end, repeats)
    if probe is None:
        return None
    lost = list(probe.lost(repeats, seed, end))
    return _found(probe, np.array(lost), part) if lost else None


@dataclass(frozen=True)
class Shuffling:
    """Rows whose columns are shuffled.

    Attributes:
        model: that answers for them.
        x: features [n, width].
        y: packed labels [n, width of all targets].
        sources: the column that each feature is made of, [width].
    """

    model: Model
    x: Array
    y: Array
    sources: list[str]

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """Column -> its features, by their place."""
        names = np.array(self.sources, dtype=object)
        return {name: np.flatnonzero(names == name) for name in dict.fromkeys(self.sources)}

    @property
    def tried(self) -> dict[str, np.ndarray]:
        """The columns that are not the same in all rows."""
        varies = (self.x != self.x[:1]).any(axis=0)
        return {name: own for name, own in self.columns.items() if varies[own].any()}

    @property
    def work(self) -> int:
        """Features, or outputs where they are more, of one shuffling of each column."""
        return len(self.tried) * len(self.x) * max(self.x.shape[1], self.model.layout.units)

    @property
    def at_once(self) -> int:
        """Copies of the rows that make a batch."""
        return max(1, BATCH // len(self.x))

    def skills(self, copies: Array) -> Array:
        """Each task's headline skill on copies of the rows [copies, n, width] -> [copies, tasks]."""
        raw = raw_outputs(self.model, copies.reshape(-1, copies.shape[-1]))
        units, counted = self.model.units, np.ones((len(self.x), 1), bool)
        each = raw.reshape(len(copies), len(self.x), -1)
        found = [scores.exact(self.model._objective, self.y, own, counted, units) for own in each]
        tasks = self.model.layout.tasks.values()
        return np.array([[own[task.name][task.headline].skill for task in tasks] for own in found])

    def copies(self, columns: Sequence[np.ndarray], order: np.ndarray) -> Array:
        """The rows once for each column, that column in another order, [columns, n, width]."""
        found = np.repeat(self.x[None], len(columns), axis=0)
        for copy, own in zip(found, columns, strict=True):
            copy[:, own] = self.x[np.ix_(order, own)]
        return found

    def lost(self, repeats: int, seed: int, end: float) -> Iterator[Array]:
        """The skill lost by each column that is tried, [columns, tasks], repeat by repeat while there is time."""
        columns, random = list(self.tried.values()), np.random.default_rng([seed, 1])
        full, step = self.skills(self.x[None])[0], self.step
        for _ in range(repeats):
            order, found = random.permutation(len(self.x)), [np.zeros((0, len(full)))]
            for start in range(0, len(columns), step):
                if perf_counter() > end:
                    return
                found.append(full - self.skills(self.copies(columns[start : start + step], order)))
            yield np.concatenate(found)

    @property
    def step(self) -> int:
        """Copies that are made at a time: whole batches, as many as memory takes."""
        return self.at_once * max(1, CELLS // (self.x.size * self.at_once))

    def first(self, rows: int) -> Shuffling:
        """The same with the first rows only."""
        return Shuffling(self.model, self.x[:rows], self.y[:rows], self.sources)

    def within(self, end: float, repeats: int) -> Shuffling | None:
        """As many of the rows as the time suffices for; None where it does not for one shuffling of each column."""
        few = self.first(FEW)
        few.skills(few.x[None])  # the first call of a network takes longer: it is compiled
        columns = list(self.tried.values())
        sample = columns[: few.at_once]
        begun = perf_counter()
        few.skills(few.copies(sample, np.arange(len(few.x))))
        one = (perf_counter() - begun) / max(len(sample), 1) * max(len(columns), 1)
        left = SAFE * (end - perf_counter())
        if left < one:
            return None
        times = int(min(left / one / repeats, len(self.x) // len(few.x)))
        return self.first(len(few.x) * max(times, 1))


def _found(probe: Shuffling, lost: Array, part: str) -> Importance:
    """Of what was lost, [repeats, columns that were tried, tasks]."""
    names, tasks = list(probe.columns), list(probe.model.layout.tasks.values())
    every = np.zeros((len(lost), len(names), len(tasks)))
    tried = probe.tried
    every[:, [i for i, name in enumerate(names) if name in tried]] = lost
    every[:, :, np.isnan(lost).all(axis=(0, 1)) if lost.size else []] = np.nan
    mean = every.mean(axis=0)
    deviation = every.std(axis=0, ddof=1) if len(every) > 1 else np.full_like(mean, np.nan)
    most = np.where(np.isnan(mean), -np.inf, mean).max(axis=1)
    shown = np.argsort(-most, kind="stable")[: min(COLUMNS, max(1, NUMBERS // len(tasks)))]
    drops = {
        task.name: Drops(task.headline, _numbers(mean[shown, i]), _numbers(deviation[shown, i]))
        for i, task in enumerate(tasks)
    }
    columns = [names[i] for i in shown]
    return Importance(part, len(probe.x), len(every), columns, len(names) - len(columns), drops)


def _numbers(values: Array) -> Numbers:
    return [value if np.isfinite(value) else None for value in values.tolist()]
