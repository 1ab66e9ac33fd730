"""Check a whole run: every file as it was written, none missing, none from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from polycera.errors import Damaged, InputError, PolyceraError, shorten
from polycera.runs import kept_epochs, manifest, timing
from polycera.runs.checkpoints import NAME as CHECKPOINT
from polycera.runs.findings import REPORT as REPORT_JSON
from polycera.runs.folder import (
    CHECKPOINTS,
    EPOCHS,
    HISTORY,
    METRICS,
    MODEL,
    SCHEMA,
    SPEC,
    VERSIONS,
)
from polycera.runs.timing import TIMING
from polycera.storage import arrays, lock, paths

REPORT = "report.html"
"""The page that `polycera report` makes of a run; it may change, so it is not in the manifest."""

KEPT_EPOCH = re.compile(rf"{EPOCHS}/{kept_epochs.NAME.pattern}")
"""Paths of kept epochs within a run."""

HALF = re.compile(r"(.*/)?\.\d+\.[^/]*")
"""Names of temporary files of a process that was killed while writing."""


class Finding(msgspec.Struct):
    """Describes one fault of a run.

    Attributes:
        file: path within the run.
        sentence: what is wrong with it.
    """

    file: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Verified(msgspec.Struct):
    """Holds the result of checking a run.

    Attributes:
        run: its folder.
        ended: whether its training has ended.
        files: files that were read and are as they were written.
        findings: one for each fault; empty where there is none.
        unchecked: one sentence for each thing that cannot be checked, in runs of older versions.
    """

    run: str
    ended: bool
    files: list[str]
    findings: list[Finding]
    unchecked: list[str]

    @property
    def whole(self) -> bool:
        """Return whether there are no findings."""
        return not self.findings


def verify(path: str | Path) -> Verified:
    """Check a whole run: every file against the manifest, nothing missing, nothing from elsewhere.

    Nothing is written and no network is built. If the training has not ended, the files so far are
    checked, and the checkpoints, each of which has a checksum of its own.

    Args:
        path: path of the run's folder.

    Returns:
        The result: `findings` has one sentence for each fault, `whole` says whether there are none.

    Raises:
        InputError: where the folder does not exist or is not a run.

    Examples:
        >>> import polycera as pc
        >>> pc.verify("runs/customers-1").findings  # doctest: +SKIP
        []
    """
    run = paths.checked(path, "The run folder")
    if not run.is_dir():
        raise InputError(f"There is no run folder {shorten(path)!r}.")
    present = paths.all_within(run)
    if not {manifest.MANIFEST, SPEC, SCHEMA, MODEL} & set(present):
        raise InputError(f"The folder {shorten(path)!r} is no run: it holds none of a run's files.")
    result = Verified(str(path), False, [], [], [])
    if manifest.MANIFEST not in present:
        _add_finding(
            result,
            manifest.MANIFEST,
            f"The file {manifest.MANIFEST!r} is missing from {shorten(run)!r}.",
        )
        return result
    try:
        entries = manifest.manifest(run)
        identity = manifest.identity(run)
    except PolyceraError as error:
        _add_finding(result, manifest.MANIFEST, str(error))
        return result
    result.ended = MODEL in entries.files
    for name in entries.files:
        if name in present:
            _note(result, name, lambda name=name: manifest.check(run, name))  # type: ignore[misc]
        else:
            _add_finding(
                result, name, f"The file {shorten(name)!r} is missing from {shorten(run)!r}."
            )
    if result.ended:
        for name in {METRICS, HISTORY} - entries.files.keys():
            _add_finding(result, name, f"The manifest of {shorten(run)!r} does not name {name!r}.")
    if TIMING in present:
        _note(result, TIMING, lambda: timing.read(run, identity))
    elif VERSIONS not in entries.files:  # a run of an older version has no such file
        _add_finding(result, TIMING, f"The file {TIMING!r} is missing from {shorten(run)!r}.")
    known = {*entries.files, manifest.MANIFEST, REPORT, REPORT_JSON, TIMING}
    for name in [name for name in present if name not in known]:
        _extra(result, run, name, entries.version, identity)
    for name in [
        name for name in entries.files if KEPT_EPOCH.fullmatch(name) and name in result.files
    ]:
        _note(result, name, lambda name=name: _check_owner(run / name, identity))  # type: ignore[misc]
    result.files = sorted(set(result.files))
    return result


def _add_finding(result: Verified, name: str, sentence: str) -> None:
    """Add a finding, with its sentence on one line."""
    result.findings.append(Finding(name, " ".join(sentence.split())))


def _note(result: Verified, name: str, check: Callable[[], object]) -> None:
    """Run the check of a file, and record whether it passes or what is wrong."""
    try:
        check()
        result.files.append(name)
    except (PolyceraError, msgspec.ValidationError) as error:
        _add_finding(result, name, str(error))
        # An earlier check of the same file may have passed.
        result.files = [other for other in result.files if other != name]


def _extra(result: Verified, folder: Path, name: str, version: int, identity: str) -> None:
    """Check a file that is present but not in the manifest."""
    inside, _, last = name.rpartition("/")
    if HALF.fullmatch(name):
        start = f"The file {shorten(name)!r} in {shorten(folder)!r} is half a file"
        _add_finding(
            result,
            name,
            f"{start} of a process that was killed; polycera resume {shorten(folder)} removes it.",
        )
    elif inside == CHECKPOINTS and not result.ended:
        if CHECKPOINT.fullmatch(last):
            _note(result, name, lambda: _check_owner(folder / name, identity))
        elif last not in (lock.LOCK, ""):
            _say_foreign(result, folder, name)
    elif inside == EPOCHS and kept_epochs.NAME.fullmatch(last) and not result.ended:
        _note(result, name, lambda: _check_owner(folder / name, identity))
    elif inside == EPOCHS and kept_epochs.NAME.fullmatch(last) and version == 1:
        _note(result, name, lambda: _check_owner(folder / name, identity))
        result.unchecked.append(
            f"The manifest is of an older version and does not name {shorten(name)!r}: "
            "whether it belongs to this run is not checked."
        )
    elif name.rstrip("/") in (CHECKPOINTS, EPOCHS) and name.endswith("/"):
        pass  # one of the run's own folders, and empty
    elif inside == CHECKPOINTS:
        start = f"The file {shorten(name)!r} in {shorten(folder)!r} is left from the training"
        _add_finding(result, name, f"{start}; polycera resume {shorten(folder)} removes it.")
    else:
        _say_foreign(result, folder, name)


def _say_foreign(result: Verified, folder: Path, name: str) -> None:
    """Add a finding for a file that does not belong to the run."""
    sentence = f"{shorten(name)!r} in {shorten(folder)!r} is no file of this run"
    _add_finding(result, name, f"{sentence}: the manifest does not name it.")


def _check_owner(path: Path, identity: str) -> None:
    """Read a kept epoch or a checkpoint, and raise where it belongs to another run or epoch."""
    notes = arrays.StoredArrays(path).notes
    owner = notes.get("run") if isinstance(notes, dict) else None
    if owner is not None and owner != identity:
        raise Damaged(path, "it belongs to another run")
    if (
        "epoch" in path.parts[-2]
        and isinstance(notes, dict)
        and notes.get("epoch") != int(path.stem)
    ):
        raise Damaged(path, f"it holds epoch {notes.get('epoch')}")
