"""Whether a run that is there is the one that is asked for, so that the same command can be given again."""

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
"""Differences that are named, at most."""


def check_same(begun: Folder, plan: Spec, prepared: PreparedTable) -> None:
    """Hold a run against what is asked for now; where the table lies does not matter, what is in it does.

    Args:
        begun: the run.
        plan: the completed spec of what is asked for.
        prepared: its table.

    Raises:
        InputError: where they differ, naming what does.
    """
    asked = spec_from(to_yaml(plan), "asked for")  # as it would come back from its file
    # another seed draws other parts, so the checksum of the rows says something of the table under
    # one spec only
    differing = [*_different(_values(begun.spec), _values(asked))] or _other_table(begun, prepared)
    if differing:
        more = f", and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        raise InputError(
            f"The run {shorten(begun.path)!r} was begun with something else: {', '.join(differing[:SHOWN])}{more}. "
            "Give what was given then, or choose another --out."
        )


def _values(spec: Spec) -> dict[str, Any]:
    """A spec as plain values, the tasks by name, without the place of the table."""
    found: dict[str, Any] = msgspec.to_builtins(spec)
    found["data"].pop("source", None)
    found["tasks"] = {str(task.get("name")): task for task in found["tasks"]}
    return found


def _different(old: Any, new: Any, place: str = "") -> Iterator[str]:
    """What differs, each with both values."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name in [*old, *(name for name in new if name not in old)]:
            where = f"{place}.{name}" if place else name
            if name not in new:
                yield f"{shorten(where)} is missing now"
            elif name not in old:
                yield f"{shorten(where)} is new"
            else:
                yield from _different(old[name], new[name], where)
    elif old != new:
        yield f"{shorten(place)} was {shorten(repr(old), 40)} and is {shorten(repr(new), 40)}"


def _other_table(begun: Folder, prepared: PreparedTable) -> list[str]:
    """Say that the table is another one; of columns that came or went the spec says it."""
    if begun.schema["rows"] == prepared.digest:
        return []
    return ["the values in the table are others"]


def holds_nothing(place: Path) -> bool:
    """Whether a folder holds nothing but what a training leaves that was killed before it wrote its spec."""
    ours = (f"{folder.CHECKPOINTS}/{lock.LOCK}", f"{folder.CHECKPOINTS}/", f"{folder.EPOCHS}/")
    return place.is_dir() and all(
        name in ours or atomic.is_half(Path(name)) or name.startswith(".unfinished-")
        for name in paths.all_within(place)
    )


def how_to_go_on(place: Path) -> str:
    """What to say beside the refusal of a folder that is there; empty where it is no run that was cut off."""
    try:
        if manifest.entries(place) and folder.MODEL not in manifest.entries(place):
            return (
                "; it is a training that has not ended: to go on with it, --resume or "
                f"polycera resume {shorten(place)}"
            )
    except PolyceraError:
        pass
    return ""
