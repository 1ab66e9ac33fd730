"""Read a run folder without Keras: all that predicting, repeating and reporting need."""

from __future__ import annotations

import csv
import re
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from polycera import renamed
from polycera.errors import Damaged, InputError, shorten
from polycera.runs import kept_epochs, manifest, mirror, old_keys, results, schemas, timing
from polycera.runs.kept_epochs import KeptEpoch
from polycera.runs.spec import Spec, spec_from
from polycera.runs.table_counts import DATA, TableCounts
from polycera.runs.timing import TIMING, Timing
from polycera.storage import paths, safe_read
from polycera.storage.arrays import StoredArrays

SPEC = "spec.yaml"
"""What is needed to repeat the training."""
SCHEMA = "schema.json"
"""Roles of the columns, and the encoder."""
VERSIONS = "versions.json"
"""Versions of the libraries in runs of older versions; `timing.json` has them now."""
MODEL = "model.safetensors"
"""The network's weights."""
METRICS = "metrics.json"
"""Scores of each task."""
HISTORY = "history.csv"
"""One row an epoch."""
PREDICTIONS = "predictions.csv"
"""Predictions for rows that the network did not learn from."""
GRADIENTS = "gradients.safetensors"
"""Gradient statistics of the training."""
ROWS = "rows.safetensors"
"""A fingerprint of each row and its part."""
CHECKPOINTS = "checkpoints"
"""Folder of the checkpoints."""
EPOCHS = "epochs"
"""Folder of the kept epochs."""

Form = TypeVar("Form", bound=msgspec.Struct)


class Folder:
    """Read the files of a run lazily, and check each against the manifest.

    Args:
        path: path of the folder, or the address of a run in a remote store, which is copied here.

    Raises:
        InputError: where the folder does not exist or is not a run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = paths.checked(mirror.run_folder(path), "The run folder")
        if not self.path.is_dir():
            raise InputError(f"There is no run folder {shorten(path)!r}.")
        names = {file.name for file in paths.listed(self.path)}
        missing = [name for name in (SPEC, SCHEMA, manifest.MANIFEST) if name not in names]
        if missing:
            raise InputError(
                f"The folder {shorten(path)!r} is no run: it lacks {', '.join(missing)}."
            )
        # Files are written and removed in these folders, so neither may be a link to elsewhere.
        for name in (CHECKPOINTS, EPOCHS):
            safe_read.own_folder(self.path / name)

    @property
    def address(self) -> str:
        """Return where the run is: its folder, or its address in a remote store."""
        return mirror.shown(self.path)

    @property
    def finished(self) -> bool:
        """Return whether the training has ended."""
        return MODEL in manifest.entries(self.path)

    @cached_property
    def spec(self) -> Spec:
        """Return the spec, which holds everything needed to repeat the training."""
        return spec_from(self._content(SPEC), self.path / SPEC)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Return the schema of the table.

        `columns`: each column's role with its reason; `encoder`: how features are computed from the
        columns.
        """
        return self._json(SCHEMA, schemas.TableSchema)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Return the scores of each part of the rows, and the size of the training.

        `test` and `validation`: task -> metric -> value, trivial value, ideal, skill. `part` names
        the rows by which the run is judged: `test`, where there are any.
        """
        values = self._json(METRICS, schemas.Metrics, old_keys.METRICS)
        new_keys = {old: new for (old,), new in old_keys.METRICS.items()}
        return renamed.Keys(values, new_keys, "metrics")

    @cached_property
    def timing(self) -> Timing:
        """Return what depends on the clock and the machine: seconds, versions, the command.

        Of a run of an older version these are the versions alone.
        """
        older = VERSIONS in manifest.entries(self.path)
        if older and not (self.path / TIMING).exists():
            return Timing(self._json(VERSIONS, dict[str, str]))
        return timing.read(self.path, manifest.identity(self.path))

    @property
    def versions(self) -> dict[str, str]:
        """Return the versions of Python, Keras, the backend and polycera."""
        return self.timing.versions

    @property
    def seconds(self) -> float | None:
        """Return the duration of the training; None where it has not ended."""
        seconds = self.timing.seconds
        if seconds is None and self.finished:
            seconds = self.metrics.get("seconds")  # a run of an older version has it there
        return float(seconds) if isinstance(seconds, int | float) else None

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """Return the history of the training as one dict an epoch."""
        try:
            return schemas.history(self._content(HISTORY, schemas.LONG))
        except (ValueError, csv.Error) as error:
            raise Damaged(self.path / HISTORY, shorten(error)) from None

    @property
    def weights(self) -> StoredArrays:
        """Return the network's weights by name."""
        self._check_finished(MODEL)
        stored = StoredArrays(self.path / MODEL)
        manifest.check(self.path, MODEL)
        return stored

    @property
    def epochs(self) -> list[KeptEpoch]:
        """Return the kept epochs (the Pareto set); warn about missing and damaged ones."""
        epochs = kept_epochs.read(self.path / EPOCHS, self._check_epoch)
        listed = manifest.manifest(self.path)
        names = [name for name in listed.files if name.startswith(f"{EPOCHS}/")]
        if lost := [
            name
            for name in names
            if name not in {paths.within(self.path, epoch.path) for epoch in epochs}
        ]:
            present = {
                paths.within(self.path, file) for file in kept_epochs.files(self.path / EPOCHS)
            }
            # For files that are present, `kept_epochs.read` has already warned.
            for name in [name for name in lost if name not in present]:
                warnings.warn(
                    f"The kept epoch {name!r} is missing from {shorten(self.path)!r}.", stacklevel=3
                )
        if epochs and self.finished and listed.version == 1:
            warnings.warn(
                f"The run {shorten(self.path)!r} was written by an older version of polycera, "
                "whose manifest does not "
                "name the kept epochs: whether they belong to this run is not checked.",
                stacklevel=3,
            )
        return epochs

    def _check_epoch(self, epoch: KeptEpoch) -> None:
        """Refuse a kept epoch that is from another run or does not match the manifest."""
        listed, name = manifest.manifest(self.path), paths.within(self.path, epoch.path)
        if epoch.run is not None and epoch.run != manifest.identity(self.path):
            raise Damaged(epoch.path, "it was kept by another run")
        if name in listed.files:
            manifest.check(self.path, name)
        # A run that has not ended lists its epochs only at the end; version 1 never listed them.
        elif self.finished and listed.version > 1:
            raise Damaged(epoch.path, "the manifest of the run does not name it")

    @cached_property
    def sharing(self) -> results.Sharing | None:
        """Return which layers serve which tasks, with their cost; None where it was not written."""
        return self._optional(results.SHARING, results.Sharing)

    @cached_property
    def quality(self) -> results.Quality | None:
        """Return how good the predictions are, task by task; None where it was not written."""
        return self._optional(results.QUALITY, results.Quality)

    @cached_property
    def importance(self) -> results.Importance | None:
        """Return each input column's importance for each task; None where it was not written."""
        return self._optional(results.IMPORTANCE, results.Importance)

    @cached_property
    def thresholds(self) -> results.Thresholds | None:
        """Return the decision thresholds of each task's labels.

        None where no task has labels, or where the file was not written.
        """
        return self._optional(results.THRESHOLDS, results.Thresholds)

    @cached_property
    def table_counts(self) -> TableCounts | None:
        """Return what was counted in the table; None for an older run or a table beyond memory."""
        return self._optional(DATA, TableCounts)

    @cached_property
    def comparison(self) -> results.SeparateComparison | None:
        """Return the comparison with separate networks; None where none was made."""
        comparison = self._optional(results.COMPARISON, results.SeparateComparison)
        # The file of an older version has the seconds itself.
        if comparison is not None and not comparison.joint_seconds:
            seconds = self.timing.comparison
            if seconds is not None:
                comparison.joint_seconds = seconds.joint
                comparison.separate_seconds = seconds.separate
        return comparison

    @cached_property
    def gradients(self) -> StoredArrays | None:
        """Return the gradient statistics of the training; None where none were recorded.

        See `polycera.callbacks.gradients`.
        """
        if GRADIENTS not in manifest.entries(self.path):
            return None
        manifest.check(self.path, GRADIENTS)
        return StoredArrays(self.path / GRADIENTS)

    def _optional(self, name: str, form: type[Form]) -> Form | None:
        """Return an optional file of the run in its form; None where the run does not have it."""
        if name not in manifest.entries(self.path):
            return None
        try:
            return msgspec.convert(safe_read.json(manifest.content(self.path, name)), form)
        except ValueError as error:
            raise Damaged(self.path / name, shorten(error, 200)) from None

    def _content(self, name: str, limit: int = safe_read.SIZE) -> bytes:
        self._check_finished(name)
        return manifest.content(self.path, name, limit)

    def _check_finished(self, name: str) -> None:
        if name not in (SPEC, SCHEMA, VERSIONS) and not self.finished:
            raise InputError(
                f"The run {shorten(self.path)!r} has not ended, so it has no {name} yet; to "
                f"resume it: polycera resume {shorten(self.path)}."
            )

    def _json(self, name: str, form: Any, keys: old_keys.Keys | None = None) -> dict[str, Any]:
        text = self._content(name)
        try:
            return schemas.checked(old_keys.renewed(safe_read.json(text), keys or {}), form)
        except ValueError as error:  # msgspec's errors, and text that is not UTF-8
            raise Damaged(self.path / name, shorten(error, 200)) from None


def next_name(parent: Path, stem: str) -> Path:
    """Return `parent/stem-N` with the lowest number N that is free."""
    safe_stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip(".-")[:60] or "run"
    taken = {path.name for path in parent.glob(f"{safe_stem}-*")} if parent.is_dir() else set()
    number = 1
    while f"{safe_stem}-{number}" in taken:
        number += 1
    return parent / f"{safe_stem}-{number}"
