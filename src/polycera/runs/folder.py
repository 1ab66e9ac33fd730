"""A run folder: what a training left, enough to predict, to repeat and to report, read without Keras."""

from __future__ import annotations

import csv
import re
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from polycera.errors import InputError, shorten
from polycera.runs import kept_epochs, manifest, results, schemas
from polycera.runs.kept_epochs import KeptEpoch
from polycera.runs.spec import Spec, spec_from
from polycera.storage import paths, safe_read
from polycera.storage.arrays import Damaged, StoredArrays

SPEC, SCHEMA, VERSIONS = "spec.yaml", "schema.json", "versions.json"
MODEL, METRICS, HISTORY, PREDICTIONS = (
    "model.safetensors",
    "metrics.json",
    "history.csv",
    "predictions.csv",
)
GRADIENTS, ROWS = "gradients.safetensors", "rows.safetensors"
CHECKPOINTS, EPOCHS = "checkpoints", "epochs"

Form = TypeVar("Form", bound=msgspec.Struct)


class Folder:
    """The files of a run, read when they are asked for and held against the manifest.

    Args:
        path: of the folder.

    Raises:
        InputError: where there is no run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = paths.checked(path, "The run folder")
        if not self.path.is_dir():
            raise InputError(f"There is no run folder {shorten(path)!r}.")
        there = {file.name for file in paths.listed(self.path)}
        absent = [name for name in (SPEC, SCHEMA, manifest.MANIFEST) if name not in there]
        if absent:
            raise InputError(
                f"The folder {shorten(path)!r} is no run: it lacks {', '.join(absent)}."
            )
        for name in (CHECKPOINTS, EPOCHS):
            safe_read.own_folder(self.path / name)

    @property
    def finished(self) -> bool:
        """Whether the training ran to its end."""
        return MODEL in manifest.entries(self.path)

    @cached_property
    def spec(self) -> Spec:
        """What it takes to repeat it."""
        return spec_from(self._content(SPEC), self.path / SPEC)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """`columns`: each column's role with its reason; `encoder`: how features are made of them."""
        return self._json(SCHEMA, schemas.TableSchema)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """`test` and `validation`: task -> metric -> value, trivial value, ideal, skill; and what it cost."""
        return self._json(METRICS, schemas.Metrics)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Of Python, Keras, the backend and polycera."""
        return self._json(VERSIONS, dict[str, str])

    @cached_property
    def history(self) -> list[dict[str, float]]:
        """One dict an epoch."""
        try:
            return schemas.history(self._content(HISTORY, schemas.LONG))
        except (ValueError, csv.Error) as error:
            raise Damaged(self.path / HISTORY, shorten(error)) from None

    @property
    def weights(self) -> StoredArrays:
        """The network's weights by name."""
        self._check_finished(MODEL)
        found = StoredArrays(self.path / MODEL)
        manifest.check(self.path, MODEL)
        return found

    @property
    def epochs(self) -> list[KeptEpoch]:
        """The epochs that no other beats on every task, as far as they were kept."""
        found = kept_epochs.read(self.path / EPOCHS, self._check_kept)
        sealed = manifest.manifest(self.path)
        names = [name for name in sealed.files if name.startswith(f"{EPOCHS}/")]
        if lost := [
            name
            for name in names
            if name not in {paths.within(self.path, one.path) for one in found}
        ]:
            there = {
                paths.within(self.path, file) for file in kept_epochs.files(self.path / EPOCHS)
            }
            # of the others a warning was given
            for name in [name for name in lost if name not in there]:
                warnings.warn(
                    f"The kept epoch {name!r} is missing from {shorten(self.path)!r}.", stacklevel=3
                )
        if found and self.finished and sealed.version == 1:
            warnings.warn(
                f"The run {shorten(self.path)!r} was written by an older version of polycera, whose manifest does not "
                "name the kept epochs: whether they belong to this run is not checked.",
                stacklevel=3,
            )
        return found

    def _check_kept(self, one: KeptEpoch) -> None:
        """Refuse a kept epoch of another run, and one that is not as the manifest says."""
        sealed, name = manifest.manifest(self.path), paths.within(self.path, one.path)
        if one.run is not None and one.run != manifest.identity(self.path):
            raise Damaged(one.path, "it was kept by another run")
        if name in sealed.files:
            manifest.check(self.path, name)
        elif self.finished and sealed.version > 1:
            raise Damaged(one.path, "the manifest of the run does not name it")

    @cached_property
    def sharing(self) -> results.Sharing | None:
        """Which layers serve which tasks, and what that costs; None where it was not written."""
        return self._found(results.SHARING, results.Sharing)

    @cached_property
    def quality(self) -> results.Quality | None:
        """How good the answers on the held-out rows are, task by task; None where it was not written."""
        return self._found(results.QUALITY, results.Quality)

    @cached_property
    def importance(self) -> results.Importance | None:
        """What each input column is worth to each task; None where it was not written."""
        return self._found(results.IMPORTANCE, results.Importance)

    @cached_property
    def thresholds(self) -> results.Thresholds | None:
        """From which probability on a label is said; None where no task has labels, or it was not written."""
        return self._found(results.THRESHOLDS, results.Thresholds)

    @cached_property
    def comparison(self) -> results.Comparison | None:
        """The network against separate ones; None where nobody has compared them."""
        return self._found(results.COMPARISON, results.Comparison)

    @cached_property
    def gradients(self) -> StoredArrays | None:
        """What the training saw of the tasks' gradients, see `polycera.callbacks.gradients`; None where nothing."""
        if GRADIENTS not in manifest.entries(self.path):
            return None
        manifest.check(self.path, GRADIENTS)
        return StoredArrays(self.path / GRADIENTS)

    def _found(self, name: str, form: type[Form]) -> Form | None:
        """A file that a run may have, in its form."""
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
                f"The run {shorten(self.path)!r} has not ended, so it has no {name} yet; "
                f"to go on with it: polycera resume {shorten(self.path)}."
            )

    def _json(self, name: str, form: Any) -> dict[str, Any]:
        text = self._content(name)
        try:
            return schemas.checked(safe_read.json(text), form)
        except ValueError as error:  # of msgspec, and of a text that is no UTF-8
            raise Damaged(self.path / name, shorten(error, 200)) from None


def next_name(parent: Path, stem: str) -> Path:
    """`parent/stem-1`, or the first number that is free."""
    safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip(".-")[:60] or "run"
    taken = {path.name for path in parent.glob(f"{safe}-*")} if parent.is_dir() else set()
    number = 1
    while f"{safe}-{number}" in taken:
        number += 1
    return parent / f"{safe}-{number}"
