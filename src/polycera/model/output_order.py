"""Lists in the order of a model's outputs, as stock Keras takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polycera.errors import InputError, shorten
from polycera.typing import TaskName


def by_output(
    values: Any, order: Sequence[TaskName] | None, tasks: Sequence[TaskName], what: str
) -> Any:
    """Return a list with one part for each output as a dict; anything else as it is.

    Args:
        values: targets or weights of rows.
        order: the tasks in the order of a model's list of outputs; None where its outputs are no
            list.
        tasks: their names, as a dict would have them.
        what: that is given, as errors call it.

    Raises:
        InputError: with the dict to write instead, where outputs go by name; for more or fewer
            parts than outputs.
    """
    if not isinstance(values, list | tuple) or not values:
        return values
    if not all(_is_part(part) for part in values):
        if what != "sample_weight" and len(tasks) == 1:  # the labels of a single task
            raise InputError(
                f"{what} goes by name, got a {type(values).__name__} of labels: write {{{shorten(tasks[0], 40)!r}: y}}."
            )
        return values
    if order is not None and len(values) == len(order):
        return dict(zip(order, values, strict=True))
    names = list(order or tasks)
    call = "y" if what == "validation_data" else what
    shown = ", ".join(f"{shorten(name, 40)!r}: {call}[{i}]" for i, name in enumerate(names))
    count = f" of {len(values)}" if len(values) != len(names) else ""
    raise InputError(
        f"{what} goes by name, got a {type(values).__name__}{count} for the task{'s' if len(names) > 1 else ''}: write "
        f"{{{shorten(shown, 300)}}}."
    )


def _is_part(part: Any) -> bool:
    """Whether a part of a list is what one output gets, and not a single label."""
    return isinstance(part, list | tuple) or len(getattr(part, "shape", ())) > 0
