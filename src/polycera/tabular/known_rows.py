"""Which rows of a table a run has met before: a number of 64 bits for each row, kept beside what it trained on.

Eight bytes a row are enough to tell rows apart: of a million rows, two different ones share a
number with a probability of 3e-8. A row is known by its features, as the network sees them; its
labels may be missing.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from polycera.runs import Folder, folder, manifest
from polycera.storage import arrays
from polycera.storage.arrays import StoredArrays
from polycera.tabular.fingerprints import fingerprints
from polycera.tabular.prepare import PreparedTable


def write(path: Path, prepared: PreparedTable) -> None:
    """Write the numbers of all rows of a table, and the part that each row belongs to."""
    part = np.zeros(prepared.table.rows, "uint8")
    found = np.zeros(prepared.table.rows, "uint64")
    for code, (name, own) in enumerate(prepared.named_parts.items()):
        part[own] = code
        found[own] = prepared.fingerprints[name]
    arrays.write(path, {"row": found, "part": part})


def notice(run: Folder, features: np.ndarray, called: str) -> str | None:
    """Return a sentence where the network learned from some of these rows; None where it did not, or cannot be known.

    A row that is not the only one of its kind in the table of the training tells nothing, and is
    not counted.

    Args:
        run: that knows its rows.
        features: [n, width], as the run encodes them.
        called: what the rows are called.
    """
    if folder.ROWS not in manifest.entries(run.path):
        return None
    manifest.check(run.path, folder.ROWS)
    stored = StoredArrays(run.path / folder.ROWS).arrays
    known, part = stored["row"], stored["part"]
    own = fingerprints(features)
    same = len(own) == len(known) and bool((own == known).all())
    counts = np.bincount(part, minlength=3) if same else _met(own, known, part)
    learned = counts[0] + counts[1]
    if not learned:
        return None
    if (run.spec.network.folds or 1) > 1:
        told = [f"{learned} trained and validated it, in folds"]
    else:
        told = [f"{counts[0]} trained it", f"{counts[1]} validated it"]
    told += [f"{counts[2]} are its test rows"] if counts[2] else []
    lead = (
        f"The run began with {called}: of its {len(own)} rows"
        if same
        else f"Of the {len(own)} rows of {called}"
    )
    return (
        f"{lead}, {', '.join(told)}. What is measured on rows that the network learned from is too good; run.metrics "
        "has the figures of rows that were held out."
    )


def _met(own: np.ndarray, known: np.ndarray, part: np.ndarray) -> np.ndarray:
    """How many of these rows are rows of each part, [3]."""
    numbers, first, times = np.unique(known, return_index=True, return_counts=True)
    alone, place = times == 1, np.searchsorted(numbers, own).clip(max=len(numbers) - 1)
    hit = (numbers[place] == own) & alone[place]
    return np.bincount(part[first[place[hit]]], minlength=3)
