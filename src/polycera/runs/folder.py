"""A run folder: what a training left, enough to predict, to repeat and to report, read without Keras."""

from __future__ import annotations

import csv
import re
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import InputError, shorten
from polycera.runs.spec import Spec, read_spec

SPEC, SCHEMA, MODEL = "spec.yaml", "schema.json", "model.keras"
METRICS, HISTORY, VERSIONS, PREDICTIONS = "metrics.json", "history.csv", "versions.json", "predictions.csv"
GRADIENTS = "gradients.npz"


class Folder:
    """The files of a run, read when they are asked for.

    Args:
        path: of the folder.

    Raises:
        InputError: where there is no run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_dir():
            raise InputError(f"There is no run folder {shorten(path)!r}.")
        if absent := [name for name in (SPEC, SCHEMA, MODEL) if not (self.path / name).is_file()]:
            raise InputError(f"The folder {shorten(path)!r} is no run: it lacks {', '.join(absent)}.")

    @cached_property
    def spec(self) -> Spec:
        """What it takes to repeat it."""
        return read_spec(self.path / SPEC)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """`columns`: each column's role with its reason; `encoder`: how features are made of them."""
        return self._json(SCHEMA)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`test` and `validation`: task -> metric -> value, trivial value, ideal, skill; and what it cost."""
        return self._json(METRICS)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Of Python, Keras, the backend and polycera."""
        return self._json(VERSIONS)

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One dict an epoch."""
        with open(self.path / HISTORY, newline="", encoding="utf-8") as file:
            return [{k: float(v or "nan") for k, v in row.items()} for row in csv.DictReader(file)]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            return msgspec.json.decode((self.path / name).read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            raise InputError(f"The run {shorten(self.path)!r} has no readable {name}: {error}.") from None


def next_name(parent: Path, stem: str) -> Path:
    """`parent/stem-1`, or the first number that is free."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip(".-")[:60] or "run"
    taken = {path.name for path in parent.glob(f"{safe}-*")} if parent.is_dir() else set()
    number = 1
    while f"{safe}-{number}" in taken:
        number += 1
    return parent / f"{safe}-{number}"
