"""Save and load a training's checkpoints, one file each; the last two are always on disk."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polycera.errors import Damaged, PolyceraError, shorten
from polycera.runs import schemas
from polycera.storage import arrays, atomic
from polycera.storage.arrays import StoredArrays

NAME = re.compile(r"\d{6}-\d{8}\.safetensors")
"""Names of checkpoint files: the epoch, a dash, the next batch."""
KEPT = 2
"""Checkpoints that stay on disk: the newest, and the one before in case the newest is damaged."""


class Checkpoints:
    """Write the state of a training into a folder and find it again.

    Args:
        folder: where the checkpoints are; created with the first one.

    Attributes:
        unreadable: one sentence for each checkpoint that was damaged and therefore skipped.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: list[str] = []
        self._good: list[Path] = []

    def save(
        self, epoch: int, batch: int, values: Mapping[str, np.ndarray], notes: Mapping[str, Any]
    ) -> Path:
        """Write a checkpoint and remove older ones, except the one before it.

        Args:
            epoch: the current epoch.
            batch: the next batch within this epoch.
            values: arrays by name.
            notes: any plain state.

        Returns:
            The path of the checkpoint.

        Raises:
            PolyceraError: where the disk refuses it; earlier checkpoints are untouched.
        """
        atomic.make_folder(self.folder)
        path = self.folder / f"{epoch:06d}-{batch:08d}{arrays.SUFFIX}"
        arrays.write(path, values, {**notes, "epoch": epoch, "batch": batch})
        # Only files that this process wrote or read whole count: a damaged file on disk must not
        # push a good one out.
        self._good = [*(good for good in self._good if good != path), path]
        for old in self._good[:-KEPT]:
            atomic.remove(old)
        self._good = self._good[-KEPT:]
        return path

    def newest(self) -> StoredArrays | None:
        """Return the newest checkpoint that is whole; warn about each damaged one that is skipped.

        None where no checkpoint can be read.
        """
        self.unreadable = []
        for path in reversed(self.all()):
            try:
                stored = StoredArrays(path)
                # The notes are read lazily. Read them here, so that a fault in them counts as
                # damage of this checkpoint.
                _check(path, stored.notes)
            except PolyceraError as error:
                self.unreadable.append(str(error))
                warnings.warn(
                    f"{error} The checkpoint before it is used; without one, training starts from "
                    "the beginning.",
                    stacklevel=2,
                )
                continue
            self._good = [path]
            return stored
        return None

    def all(self) -> list[Path]:
        """Return the checkpoint files, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if NAME.fullmatch(path.name))

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if nothing else is in it."""
        atomic.sweep(self.folder)
        for path in self.all():
            atomic.remove(path)
        atomic.remove(self.folder)


def _check(path: Path, notes: Any) -> None:
    """Check that the notes have the right form and agree with the file name."""
    try:
        schemas.checked(notes, schemas.CheckpointNotes)
        if path.stem != f"{notes['epoch']:06d}-{notes['batch']:08d}":
            raise ValueError(f"it is of epoch {notes['epoch']}, batch {notes['batch']}")
    except (TypeError, ValueError) as error:  # TypeError: a key is not text
        raise Damaged(path, shorten(error)) from None
