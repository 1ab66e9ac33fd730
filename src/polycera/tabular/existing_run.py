"""Check that an existing run is the requested one, so that the same call can be repeated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from polycera.errors import InputError, PolyceraError, shorten
from polycera.runs import Folder, Spec, folder, manifest, to_yaml
from polycera.runs.spec import spec_from
from polycera.storage import atomic, lock, paths
from polycera.tabular.prepare import PreparedTable

SHOWN = 4
"""Maximum number of differences that an error names."""


def check_same(begun: Folder, spec: Spec, prepared: PreparedTable) -> None:
    """Raise an error where a run has another spec or other data than requested now.

    The path of the table may differ; its content must not.

    Args:
        begun: the run.
        spec: the completed spec that is requested now.
        prepared: its table.

    Raises:
        InputError: where they differ, naming the differences.
    """
    requested = spec_from(to_yaml(spec), "asked for")  # as it would be read from its file
    # The checksum of the rows depends on the spec too: another seed draws other parts. So tables
    # are compared only where the specs are equal.
    differing = [*_different(_values(begun.spec), _values(requested))] or _other_table(
        begun, prepared
    )
    if differing:
        more = f", and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise InputError(
            f"The run {shorten(begun.path)!r} was started with other inputs: "
            f"{', '.join(differing[:SHOWN])}{more}. Give the same ones, or choose another --out."
        )


def _values(spec: Spec) -> dict[str, Any]:
    """Return a spec as plain values, with the tasks by name and without the path of the table."""
    values: dict[str, Any] = msgspec.to_builtins(spec)
    values["data"].pop("source", None)
    # UTF-8 was written where nothing was chosen.
    if values["data"].get("encoding") == "utf-8":
        values["data"]["encoding"] = None
    values["tasks"] = {str(task.get("name")): task for task in values["tasks"]}
    return values


def _different(old: Any, new: Any, parent: str = "") -> Iterator[str]:
    """Yield a phrase for each difference, with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            name_path = f"{parent}.{name}" if parent else name
            if name not in new:
                yield f"{shorten(name_path)} is missing now"
            elif name not in old:
                yield f"{shorten(name_path)} is new"
            else:
                yield from _different(old[name], new[name], name_path)
    elif old != new:
        yield f"{shorten(parent)} was {shorten(repr(old), 40)} and is {shorten(repr(new), 40)}"


def _other_table(begun: Folder, prepared: PreparedTable) -> list[str]:
    """Return a phrase where the values of the table differ.

    Columns that were added or removed are differences of the spec.
    """
    if begun.schema["rows"] == prepared.digest:
        return []
    return ["the values in the table differ"]


def holds_nothing(path: Path) -> bool:
    """Return whether a folder has only leftovers of a training that never wrote its spec."""
    expected = (f"{folder.CHECKPOINTS}/{lock.LOCK}", f"{folder.CHECKPOINTS}/", f"{folder.EPOCHS}/")
    return path.is_dir() and all(
        name in expected or atomic.is_half(Path(name)) or name.startswith(".unfinished-")
        for name in paths.all_within(path)
    )


def how_to_resume(path: Path) -> str:
    """Return how to resume the run in a folder, as a hint for the error that it exists.

    It is empty where the folder does not hold an interrupted run.
    """
    try:
        if manifest.entries(path) and folder.MODEL not in manifest.entries(path):
            return (
                "; its training has not ended: to resume it, use --resume or polycera resume "
                f"{shorten(path)}"
            )
    except PolyceraError:
        # A damaged folder: the error about the folder is raised without a hint.
        pass
    return ""
