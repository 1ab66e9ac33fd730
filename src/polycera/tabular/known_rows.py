"""Store a fingerprint of each row of a run, to recognise the rows in later tables.

A fingerprint has 64 bits. Eight bytes a row are enough to distinguish rows: among a million rows,
two different ones share a number with a probability of 3e-8. A row is recognised by its features,
as the network sees them; its labels may be missing.
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
    """Write the fingerprints of all rows of a table, and the part of each row."""
    part = np.zeros(prepared.table.rows, "uint8")
    row_fingerprints = np.zeros(prepared.table.rows, "uint64")
    for code, (name, indices) in enumerate(prepared.named_parts.items()):
        part[indices] = code
        row_fingerprints[indices] = prepared.fingerprints[name]
    arrays.write(path, {"row": row_fingerprints, "part": part})


def notice(run: Folder, features: np.ndarray, called: str) -> str | None:
    """Return a sentence where the network was trained or validated on some of these rows.

    It is None where it was not, and where the run does not know its rows. Rows that occur more than
    once in the training table are not counted, because they are ambiguous.

    Args:
        run: the run that may know its rows.
        features: [n, width], as the run encodes them.
        called: the name of the rows.
    """
    if folder.ROWS not in manifest.entries(run.path):
        return None
    manifest.check(run.path, folder.ROWS)
    stored = StoredArrays(run.path / folder.ROWS).arrays
    stored_rows, part = stored["row"], stored["part"]
    rows = fingerprints(features)
    same = len(rows) == len(stored_rows) and bool((rows == stored_rows).all())
    # The training table itself: each row is in its known part, copies included.
    counts = np.bincount(part, minlength=3) if same else _count_by_part(rows, stored_rows, part)
    trained_on = counts[0] + counts[1]
    if not trained_on:
        return None
    if _folds_of(run) > 1:
        counted_rows = [f"{trained_on} trained and validated it, in folds"]
    else:
        # With a time the members go on with the validation rows.
        later = " and trained it later" if run.spec.data.parts.time is not None else ""
        counted_rows = [f"{counts[0]} trained it", f"{counts[1]} validated it{later}"]
    counted_rows += [f"{counts[2]} are its test rows"] if counts[2] else []
    lead = (
        f"The run was trained on {called}: of its {len(rows)} rows"
        if same
        else f"Of the {len(rows)} rows of {called}"
    )
    known, trained_rows = int((part == 0).sum()), run.metrics.get("rows", {}).get("train", 0)
    if _folds_of(run) == 1 and known < trained_rows:
        lead = f"The run knows {known} of its {trained_rows} training rows. {lead}"
    return (
        f"{lead}, {', '.join(counted_rows)}. Metrics on rows that the network was trained on are "
        "too optimistic; run.metrics has those of rows it was not trained on."
    )


def _folds_of(run: Folder) -> int:
    """Return the number of folds of a run."""
    return run.spec.network.folds or 1


def _count_by_part(rows: np.ndarray, stored_rows: np.ndarray, part: np.ndarray) -> np.ndarray:
    """Return how many of these rows are rows of each part, [3]."""
    numbers, first, times = np.unique(stored_rows, return_index=True, return_counts=True)
    unique, positions = times == 1, np.searchsorted(numbers, rows).clip(max=len(numbers) - 1)
    # Fingerprints that occur more than once in the training table are ambiguous and do not count.
    hit = (numbers[positions] == rows) & unique[positions]
    return np.bincount(part[first[positions[hit]]], minlength=3)
