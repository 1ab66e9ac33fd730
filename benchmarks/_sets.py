"""Describe the public tables of benchmarks/tables.py: their targets and their test rows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

FOLDS = {"enb": (10, 4), "atp1d": (10, 5), "jura": (10, 4), "scm20d": (5, 1)}
"""Set -> number of folds of the shuffled rows, and how many of these (the first) are tested."""
OTHER_FOLDS = (10, 4)
PUBLISHED = "__split__"
QUICK_ROWS, QUICK_TARGETS = 200, 3


@dataclass(frozen=True)
class Case:
    """A set, divided.

    Attributes:
        kinds: target -> regression or binary, the same for all.
        train, test: frames of features and targets, and nothing else; missing labels are null.
    """

    kinds: dict[str, str]
    train: Any
    test: Any

    @property
    def targets(self) -> list[str]:
        return list(self.kinds)

    @property
    def regression(self) -> bool:
        return "regression" in self.kinds.values()

    @cached_property
    def x(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features of training and test rows as numbers [n, p], for models without tables.

        A category becomes a column for each class in the training rows, a gap in a number the
        training rows' median.
        """
        pairs = [
            _numbers(self.train[name], self.test[name])
            for name in self.train.columns
            if name not in self.kinds
        ]
        return tuple(
            np.column_stack([pair[part] for pair in pairs]).astype("float32") for part in (0, 1)
        )  # type: ignore[return-value]

    @cached_property
    def y(self) -> tuple[np.ndarray, np.ndarray]:
        """Labels of the training and of the test rows [n, m], a missing one NaN."""
        frames = (self.train, self.test)
        return tuple(frame.select(self.targets).to_numpy().astype("float64") for frame in frames)  # type: ignore[return-value]


def about(data: Path, name: str) -> dict[str, Any]:
    """What a set's meta.json says."""
    return json.loads((data / name / "meta.json").read_text(encoding="utf-8"))


def folds(data: Path, name: str) -> int:
    """How many divisions of a set are tested: one where a split is published."""
    meta = about(data, name)
    return 1 if _published(meta) else _divisions(meta, name)[1]


def case(data: Path, name: str, fold: int, quick: bool = False) -> Case:
    """A set, divided as its protocol says."""
    import polars

    meta, frame = about(data, name), polars.read_parquet(data / name / "data.parquet")
    kinds = dict(meta["targets"])
    if not set(kinds.values()) <= {"regression", "binary"} or len(set(kinds.values())) > 1:
        raise SystemExit(
            f"{name} asks for {sorted(set(kinds.values()))}; sets all regression or all binary "
            "are expected."
        )
    train, test = _rows(meta, name, frame, fold)
    if quick:
        train, test = train[:QUICK_ROWS], test[:QUICK_ROWS]
        kinds = dict(list(kinds.items())[:QUICK_TARGETS])
    aside = {PUBLISHED, *meta.get("ignore", ()), *meta["targets"]} - set(kinds)
    frame = frame.drop(aside, strict=False)
    return Case(kinds, frame[train], frame[test])


def _published(meta: dict[str, Any]) -> bool:
    return bool(meta.get("split"))


def _divisions(meta: dict[str, Any], name: str) -> tuple[int, int]:
    """Into how many folds rows are cut, and how many of these are tested."""
    cut, tested = meta.get("folds") or FOLDS.get(name, OTHER_FOLDS)
    return cut, tested


def _rows(meta: dict[str, Any], name: str, frame: Any, fold: int) -> tuple[np.ndarray, np.ndarray]:
    if _published(meta):
        held = (frame[PUBLISHED] == "test").to_numpy()
        return np.flatnonzero(~held), np.flatnonzero(held)
    from sklearn.model_selection import KFold

    parts = KFold(_divisions(meta, name)[0], shuffle=True, random_state=0).split(
        np.arange(len(frame))
    )
    return list(parts)[fold]


def _numbers(train: Any, test: Any) -> tuple[np.ndarray, np.ndarray]:
    """A column's numbers in the training and the test rows [n, columns]."""
    if train.dtype.is_numeric() or train.dtype.to_python() is bool:
        both = [part.cast(float).to_numpy() for part in (train, test)]
        middle = np.nanmedian(both[0]) if np.isfinite(both[0]).any() else 0.0
        return tuple(np.where(np.isnan(part), middle, part)[:, None] for part in both)  # type: ignore[return-value]
    levels = sorted(train.drop_nulls().unique().to_list())
    both = [part.to_numpy()[:, None] == np.array(levels, object) for part in (train, test)]
    return tuple(both)  # type: ignore[return-value]
