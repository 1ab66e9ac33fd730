"""Write and read `timing.json`: all that a run says of the clock and of the machine.

Every other file of a run depends on its data, its spec and its seed alone. So the manifest does not
name this file, and two equal trainings have equal manifests. The file has a checksum of its own and
the identity of its run, as a checkpoint has.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import Damaged, PolyceraError, shorten
from polycera.runs import manifest
from polycera.storage import atomic, safe_read

TIMING = "timing.json"
"""Name of the file in a run."""

SIZE = 2**20
"""Most bytes of the file: a comparison adds two numbers a seed."""


class ComparisonSeconds(msgspec.Struct):
    """Holds the training time of a comparison with separate networks, in seconds for each seed.

    Attributes:
        joint: of the joint network.
        separate: of all separate networks together.
    """

    joint: list[float]
    separate: list[float]


class Timing(msgspec.Struct, omit_defaults=True):
    """Holds `timing.json`.

    Attributes:
        versions: versions of Python, Keras, the backend and polycera when the training began.
        run: identity of the run; None in what is read of a run of an older version.
        command: the command line, where the training was begun by the command `polycera`.
        source_changed: when the file of the table was last changed, in UTC; None for a table in
            memory.
        seconds: duration of the training; None until it has ended.
        comparison: None where no separate networks were trained.
    """

    versions: dict[str, str]
    run: str | None = None
    command: str | None = None
    source_changed: str | None = None
    seconds: float | None = None
    comparison: ComparisonSeconds | None = None


class _Stored(msgspec.Struct):
    """Holds the file as it is on the disk: the values, and their checksum."""

    timing: Timing
    sha256: str


def changed_at(source: Any) -> str | None:
    """Return when a file was last changed, in UTC to the second; None for anything else."""
    if not isinstance(source, str | Path):
        return None
    try:
        return datetime.fromtimestamp(Path(source).stat().st_mtime, UTC).isoformat(" ", "seconds")
    except (OSError, ValueError, OverflowError):  # removed since it was read, or a strange clock
        return None


def write(folder: Path, timing: Timing) -> None:
    """Write the file.

    Raises:
        PolyceraError: where the disk refuses it.
    """
    atomic.write(folder / TIMING, _text(timing))


def rewrite(folder: Path, before: Timing, **changes: Any) -> None:
    """Write the file of a run from what is known already and what is new.

    Args:
        folder: the run; the file gets its identity.
        before: what is known.
        changes: attribute -> new value.

    Raises:
        PolyceraError: where the disk refuses it, or the manifest of the run was changed.
    """
    write(folder, msgspec.structs.replace(before, run=manifest.identity(folder), **changes))


def read(folder: Path, identity: str) -> Timing:
    """Return the content of the file.

    Args:
        folder: the run.
        identity: the identity of the run, which the file must have too.

    Raises:
        PolyceraError: where it cannot be read, was changed, or belongs to another run.
    """
    path = folder / TIMING
    text = safe_read.content(path, SIZE)
    try:
        timing = msgspec.convert(safe_read.json(text), _Stored).timing
    except (PolyceraError, ValueError, RecursionError) as error:
        raise Damaged(path, shorten(error, 200)) from None
    # The whole text is compared: a change that leaves the values as they are is still a change.
    if text != _text(timing):
        raise Damaged(path, "its checksum is another")
    if timing.run != identity:
        raise Damaged(path, "it belongs to another run")
    return timing


def _text(timing: Timing) -> bytes:
    """Return the content of the file as indented JSON."""
    digest = hashlib.sha256(msgspec.json.encode(timing)).hexdigest()
    return msgspec.json.format(msgspec.json.encode(_Stored(timing, digest)), indent=1)
