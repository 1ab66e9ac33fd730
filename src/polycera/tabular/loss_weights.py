"""Set loss weights by name: of a task, `price`, or of one of its loss terms, `price/mae`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from polycera.data.name_patterns import is_pattern, spread
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks import Task
from polycera.tasks.terms import ALIASES


def with_weights(tasks: Iterable[Task], weights: Mapping[str, float]) -> list[Task]:
    """Return the tasks with these loss weights; tasks and terms that are not named keep theirs.

    Args:
        tasks: as they are.
        weights: task, or pattern of tasks -> factor of its whole loss, or `task/term` -> factor of
            a term within the task. A term that the task lacks is added to it, where its name is
            that of a loss for the task's kind.

    Raises:
        UnknownName: for an unknown task, or a term that is not the name of a loss.
        InputError: for a weight that is not a finite number of 0 or more; for a task whose terms
            all have weight 0.

    Examples:
        >>> import polycera as pc
        >>> price = pc.Regression("price", loss={"mse": 0.8, "mae": 0.2})
        >>> [
        ...     (term.name, term.weight)
        ...     for term in with_weights([price], {"price/mae": 0.5})[0].terms
        ... ]
        [('mse', 0.8), ('mae', 0.5)]
    """
    weighted = {task.name: task for task in tasks}
    terms: dict[str, dict[str, float]] = {}
    for name, value in _spread(weights, list(weighted)).items():
        task, term = parted(name, weighted)
        if term is None:
            weighted[task] = weighted[task].replace(weight=value)
        else:
            terms.setdefault(task, {})[term] = value
    for task, term_weights in terms.items():
        weighted[task] = _with_terms(weighted[task], term_weights)
    return list(weighted.values())


def _spread(weights: Mapping[str, float], names: list[str]) -> dict[str, float]:
    """Return weights by name, with the tasks that patterns mean; an exact name goes before."""
    patterns = {
        name: value
        for name, value in weights.items()
        if name not in names and is_pattern(name) and name.rpartition("/")[0] not in names
    }
    by_pattern = spread(patterns, names, "target")
    return by_pattern | {name: value for name, value in weights.items() if name not in patterns}


def weight_of(name: str, tasks: Iterable[Task]) -> float | None:
    """Return the present weight of a task or `task/term`; None for a term that the task lacks.

    Raises:
        UnknownName: for an unknown task.
    """
    tasks_by_name = {task.name: task for task in tasks}
    task, term = parted(name, tasks_by_name)
    if term is None:
        return tasks_by_name[task].weight
    return next(
        (loss_term.weight for loss_term in tasks_by_name[task].terms if _is(loss_term, term)), None
    )


def parted(name: str, tasks: Iterable[str], what: str = "target") -> tuple[str, str | None]:
    """Return a name as task and term; the term is None where the name is that of a task.

    Args:
        name: of a task, or `task/term`.
        tasks: the known names.
        what: what the name is, for the error.

    Raises:
        UnknownName: where neither the name nor its part before the last slash is a task.
    """
    names = list(tasks)
    if name in names:
        return name, None
    task, slash, term = str(name).rpartition("/")
    if slash and term and task in names:
        return task, term
    raise UnknownName(what, name, names)


def _with_terms(task: Task, weights: Mapping[str, float]) -> Task:
    """Return a task with these weights of its loss terms; unknown terms are added to it.

    Raises:
        InputError: where all terms have weight 0.
    """
    losses: list[tuple[Any, float]] = []
    remaining = dict(weights)
    for term in task.terms:
        given_name = next((name for name in remaining if _is(term, name)), None)
        losses.append((term.loss, term.weight if given_name is None else remaining.pop(given_name)))
    changed = task.replace(loss=[*losses, *remaining.items()])
    if not sum(term.weight for term in changed.terms) > 0:
        raise InputError(
            f"The loss terms of task {shorten(task.name)!r} all have weight 0, so nothing would be "
            "learned of it; raise one of them."
        )
    return changed


def _is(term: Any, name: str) -> bool:
    """Return whether this is the name of a term, or an alias of its loss."""
    return name == term.name or ALIASES.get(name, name) == term.loss
