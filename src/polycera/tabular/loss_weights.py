"""Weights of losses by name: of a whole task, `price`, or of one of its loss terms, `price/mae`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import Task
from polycera.tasks.terms import ALIASES


def with_weights(tasks: Iterable[Task], weights: Mapping[str, float]) -> list[Task]:
    """Return the tasks with these weights; what is not named keeps its own.

    Args:
        tasks: as they are.
        weights: task -> factor of its whole loss, or `task/term` -> factor of a term within the
            task. A term that the task does not have, but whose name is that of a loss for its kind,
            becomes one of its terms.

    Raises:
        UnknownName: for a task that there is not, or a term that is the name of no loss.
        InputError: for a weight that is no finite number of 0 or more; for a task whose terms all
            weigh nothing.

    Examples:
        >>> import polycera as pc
        >>> price = pc.Regression("price", loss={"mse": 0.8, "mae": 0.2})
        >>> [(term.name, term.weight) for term in with_weights([price], {"price/mae": 0.5})[0].terms]
        [('mse', 0.8), ('mae', 0.5)]
    """
    found = {task.name: task for task in tasks}
    terms: dict[str, dict[str, float]] = {}
    for name, value in weights.items():
        task, term = parted(name, found)
        if term is None:
            found[task] = found[task].replace(weight=value)
        else:
            terms.setdefault(task, {})[term] = value
    for task, own in terms.items():
        found[task] = _with_terms(found[task], own)
    return list(found.values())


def weight_of(name: str, tasks: Iterable[Task]) -> float | None:
    """Return the weight that a task or `task/term` has now; None for a term that its task does not have.

    Raises:
        UnknownName: for a task that there is not.
    """
    known = {task.name: task for task in tasks}
    task, term = parted(name, known)
    if term is None:
        return known[task].weight
    return next((own.weight for own in known[task].terms if _is(own, term)), None)


def parted(name: str, tasks: Iterable[str], what: str = "target") -> tuple[str, str | None]:
    """Return a name as task and term; no term where it is that of a task itself.

    Args:
        name: of a task, or `task/term`.
        tasks: the names there are.
        what: what the name is, for the error.

    Raises:
        UnknownName: where neither it nor what stands before its last slash is a task.
    """
    known = list(tasks)
    if name in known:
        return name, None
    task, slash, term = str(name).rpartition("/")
    if slash and term and task in known:
        return task, term
    raise UnknownName(what, name, known)


def _with_terms(task: Task, weights: Mapping[str, float]) -> Task:
    losses: list[tuple[Any, float]] = []
    left = dict(weights)
    for term in task.terms:
        own = next((name for name in left if _is(term, name)), None)
        losses.append((term.loss, term.weight if own is None else left.pop(own)))
    changed = task.replace(loss=[*losses, *left.items()])
    if not sum(term.weight for term in changed.terms) > 0:
        raise InputError(
            f"The loss terms of task {shorten(task.name)!r} all have weight 0, so nothing would be learned of it; "
            "raise one of them."
        )
    return changed


def _is(term: Any, name: str) -> bool:
    """Whether a term is meant: by its name, or by a name under which its loss is known."""
    return name == term.name or ALIASES.get(name, name) == term.loss
