"""Accept lists in the order of a model's outputs, as stock Keras does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polycera.errors import InputError, shorten
from polycera.typing import TaskName


def by_output(
    values: Any, order: Sequence[TaskName] | None, tasks: Sequence[TaskName], what: str
) -> Any:
    """Return a list with one part for each output as a dict, and anything else unchanged.

    Args:
        values: targets or sample weights.
        order: the tasks in the order of a model's list of outputs; None if its outputs are no list.
        tasks: their names, as a dict would have them.
        what: the name of `values` in messages.

    Raises:
        InputError: with the dict to write instead, if outputs go by name; for more or fewer parts
            than outputs.
    """
    if not isinstance(values, list | tuple) or not values:
        return values
    if not all(_is_column(part) for part in values):
        if what != "sample_weight" and len(tasks) == 1:  # the labels of a single task
            raise InputError(
                f"{what} must be given by name, got a {type(values).__name__} of labels: write "
                f"{{{shorten(tasks[0], 40)!r}: y}}."
            )
        return values
    if order is not None and len(values) == len(order):
        return dict(zip(order, values, strict=True))
    names = list(order or tasks)
    call = "y" if what == "validation_data" else what
    shown = ", ".join(f"{shorten(name, 40)!r}: {call}[{i}]" for i, name in enumerate(names))
    count = f" of {len(values)}" if len(values) != len(names) else ""
    raise InputError(
        f"{what} must be given by name, got a {type(values).__name__}{count} for the "
        f"task{'s' if len(names) > 1 else ''}: write {{{shorten(shown, 300)}}}."
    )


def _is_column(part: Any) -> bool:
    """Return whether a part of a list is an array for one output, and not a single label."""
    return isinstance(part, list | tuple) or len(getattr(part, "shape", ())) > 0
