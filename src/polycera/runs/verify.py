"""Look at a whole run: every file as it was written, none missing, none from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import msgspec

from polycera.errors import InputError, PolyceraError, shorten
from polycera.runs import kept_epochs, manifest
from polycera.runs.checkpoints import NAME as CHECKPOINT
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
from polycera.storage import arrays, lock, paths

REPORT = "report.html"
"""A page that `polycera report` makes of a run; it may be made anew or removed, so it stands in no manifest."""

KEPT = re.compile(rf"{EPOCHS}/{kept_epochs.NAME.pattern}")

HALF = re.compile(r"(.*/)?\.\d+\.[^/]*")
"""A file that was being written when its process was killed."""


class Finding(msgspec.Struct):
    """One thing that is not as it should be.

    Attributes:
        file: path within the run.
        sentence: what is wrong with it.
    """

    file: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


class Verified(msgspec.Struct):
    """What was seen of a run.

    Attributes:
        run: its folder.
        ended: whether its training has ended.
        files: those that were read and are as they were written.
        findings: one for each that is not; empty where all is well.
        unchecked: one sentence for each thing that cannot be checked, in runs of older versions.
    """

    run: str
    ended: bool
    files: list[str]
    findings: list[Finding]
    unchecked: list[str]

    @property
    def whole(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


def verify(path: str | Path) -> Verified:
    """Check a whole run: every file against the manifest, nothing missing, nothing from elsewhere.

    Nothing is written, and no network is built. Of a training that has not ended the files so far
    are checked, and its checkpoints, each of which carries a checksum of its own.

    Args:
        path: of the run's folder.

    Returns:
        what was seen: `findings` has one sentence for each fault, `whole` says whether there is
            none.

    Raises:
        InputError: where there is no run.

    Examples:
        >>> import polycera as pc
        >>> pc.verify("runs/customers-1").findings                          # doctest: +SKIP
        []
    """
    run = paths.checked(path, "The run folder")
    if not run.is_dir():
        raise InputError(f"There is no run folder {shorten(path)!r}.")
    there = paths.all_within(run)
    if not {manifest.MANIFEST, SPEC, SCHEMA, MODEL} & set(there):
        raise InputError(f"The folder {shorten(path)!r} is no run: it holds none of a run's files.")
    seen = Verified(str(path), False, [], [], [])
    if manifest.MANIFEST not in there:
        _found(
            seen,
            manifest.MANIFEST,
            f"The file {manifest.MANIFEST!r} is missing from {shorten(run)!r}.",
        )
        return seen
    try:
        listed = manifest.manifest(run)
        identity = manifest.identity(run)
    except PolyceraError as error:
        _found(seen, manifest.MANIFEST, str(error))
        return seen
    seen.ended = MODEL in listed.files
    for name in listed.files:
        if name in there:
            _note(seen, name, lambda name=name: manifest.check(run, name))  # type: ignore[misc]
        else:
            _found(seen, name, f"The file {shorten(name)!r} is missing from {shorten(run)!r}.")
    if seen.ended:
        for name in {METRICS, HISTORY, VERSIONS} - listed.files.keys():
            _found(seen, name, f"The manifest of {shorten(run)!r} does not name {name!r}.")
    for name in [name for name in there if name not in {*listed.files, manifest.MANIFEST, REPORT}]:
        _extra(seen, run, name, listed.version, identity)
    for name in [name for name in listed.files if KEPT.fullmatch(name) and name in seen.files]:
        _note(seen, name, lambda name=name: _check_owner(run / name, identity))  # type: ignore[misc]
    seen.files = sorted(set(seen.files))
    return seen


def _found(seen: Verified, name: str, sentence: str) -> None:
    seen.findings.append(Finding(name, " ".join(sentence.split())))


def _note(seen: Verified, name: str, check: Callable[[], None]) -> None:
    """Do a check of a file, and note what it says."""
    try:
        check()
        seen.files.append(name)
    except (PolyceraError, msgspec.ValidationError) as error:
        _found(seen, name, str(error))
        seen.files = [other for other in seen.files if other != name]


def _extra(seen: Verified, folder: Path, name: str, version: int, identity: str) -> None:
    """What is there and stands in no manifest."""
    inside, _, last = name.rpartition("/")
    if HALF.fullmatch(name):
        where = f"The file {shorten(name)!r} in {shorten(folder)!r} is half a file"
        _found(
            seen,
            name,
            f"{where} of a process that was killed; polycera resume {shorten(folder)} removes it.",
        )
    elif inside == CHECKPOINTS and not seen.ended:
        if CHECKPOINT.fullmatch(last):
            _note(seen, name, lambda: _check_owner(folder / name, identity))
        elif last not in (lock.LOCK, ""):
            _say_foreign(seen, folder, name)
    elif inside == EPOCHS and kept_epochs.NAME.fullmatch(last) and not seen.ended:
        _note(seen, name, lambda: _check_owner(folder / name, identity))
    elif inside == EPOCHS and kept_epochs.NAME.fullmatch(last) and version == 1:
        _note(seen, name, lambda: _check_owner(folder / name, identity))
        seen.unchecked.append(
            f"The manifest is of an older version and does not name {shorten(name)!r}: whether it belongs to this run "
            "is not checked."
        )
    elif name.rstrip("/") in (CHECKPOINTS, EPOCHS) and name.endswith("/"):
        pass  # an empty folder of our own
    elif inside == CHECKPOINTS:
        where = f"The file {shorten(name)!r} in {shorten(folder)!r} is left from the training"
        _found(seen, name, f"{where}; polycera resume {shorten(folder)} removes it.")
    else:
        _say_foreign(seen, folder, name)


def _say_foreign(seen: Verified, folder: Path, name: str) -> None:
    sentence = f"{shorten(name)!r} in {shorten(folder)!r} is no file of this run"
    _found(seen, name, f"{sentence}: the manifest does not name it.")


def _check_owner(path: Path, identity: str) -> None:
    """Read a kept epoch or a checkpoint, and hold it against the run that it lies in."""
    notes = arrays.StoredArrays(path).notes
    owner = notes.get("run") if isinstance(notes, dict) else None
    if owner is not None and owner != identity:
        raise arrays.Damaged(path, "it belongs to another run")
    if (
        "epoch" in path.parts[-2]
        and isinstance(notes, dict)
        and notes.get("epoch") != int(path.stem)
    ):
        raise arrays.Damaged(path, f"it holds epoch {notes.get('epoch')}")
