"""The checkpoints of a training in one folder: each a file, the one before it kept until the next is safe."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from polycera.errors import PolyceraError, shorten
from polycera.runs import schemas
from polycera.storage import arrays, atomic
from polycera.storage.arrays import Damaged, StoredArrays

NAME = re.compile(r"\d{6}-\d{8}\.safetensors")
KEPT = 2


class Checkpoints:
    """Where a training puts its state, and finds it again.

    Args:
        folder: made with the first checkpoint.

    Attributes:
        unreadable: one sentence for each checkpoint that was damaged and not used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable: list[str] = []
        self._good: list[Path] = []

    def save(
        self, epoch: int, batch: int, values: Mapping[str, np.ndarray], notes: Mapping[str, Any]
    ) -> Path:
        """Write a checkpoint, and let go of all but this one and the one before.

        Args:
            epoch: that the training is in.
            batch: of it, that comes next.
            values: arrays by name.
            notes: any plain state.

        Raises:
            PolyceraError: where the disk does not take it; those before are untouched.
        """
        atomic.make_folder(self.folder)
        path = self.folder / f"{epoch:06d}-{batch:08d}{arrays.SUFFIX}"
        arrays.write(path, values, {**notes, "epoch": epoch, "batch": batch})
        self._good = [*(good for good in self._good if good != path), path]
        for old in self._good[:-KEPT]:
            atomic.remove(old)
        self._good = self._good[-KEPT:]
        return path

    def newest(self) -> StoredArrays | None:
        """The newest checkpoint that is whole; what is damaged is passed over, and said in a warning."""
        self.unreadable = []
        for path in reversed(self.all()):
            try:
                stored = StoredArrays(path)
                # read now, so that what is wrong with them counts as damage too
                _check(path, stored.notes)
            except PolyceraError as error:
                self.unreadable.append(str(error))
                warnings.warn(
                    f"{error} The checkpoint before it is used, or the beginning.", stacklevel=2
                )
                continue
            self._good = [path]
            return stored
        return None

    def all(self) -> list[Path]:
        """The files in their order."""
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if NAME.fullmatch(path.name))

    def clear(self) -> None:
        """Take all of them away, and the folder where nothing else is in it."""
        atomic.sweep(self.folder)
        for path in self.all():
            atomic.remove(path)
        atomic.remove(self.folder)


def _check(path: Path, notes: Any) -> None:
    """Hold notes against their form, and against the name of their file."""
    try:
        schemas.checked(notes, schemas.CheckpointNotes)
        if path.stem != f"{notes['epoch']:06d}-{notes['batch']:08d}":
            raise ValueError(f"it is of epoch {notes['epoch']}, batch {notes['batch']}")
    except (TypeError, ValueError) as error:  # TypeError: a key that is no text
        raise Damaged(path, shorten(error)) from None
