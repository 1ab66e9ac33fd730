"""Read class weights, and turn them into a factor of the loss of each label.

A class weight multiplies the loss of the rows of a class, whichever loss terms the task has. It
changes what is learned and not what is measured: metrics count every row as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks.terms import factor
from polycera.typing import Array, Tensor

if TYPE_CHECKING:
    from polycera.tasks.layout import Group

BALANCED = "balanced"
"""Class weights that make all classes count the same: rows / (classes x rows of the class)."""


def of_classes(name: str, given: Any, classes: Sequence[Any] | None) -> Any:
    """Return the class weights of a task with classes, checked.

    Args:
        name: name of the task.
        given: None, "balanced", {label: weight}, or a weight for each class. A label that is not
            named has weight 1.
        classes: the classes; None where they are not known yet.

    Returns:
        None, "balanced", or a weight for each class as a tuple. A dict is returned unchanged while
        the classes are not known.

    Raises:
        UnknownName: for a label that is none of the classes.
        InputError: for anything else that is no such weight.
    """
    if given is None or _is_balanced(name, given):
        return given
    if isinstance(given, Mapping):
        if classes is None:
            return dict(given)
        weights = [1.0] * len(classes)
        for label, value in given.items():
            weights[_position(name, label, classes)] = _weight(name, label, value)
    else:
        values = _values(name, given, None if classes is None else len(classes), "class")
        weights = [_weight(name, i, value) for i, value in enumerate(values)]
    _check_positive(name, weights)
    return tuple(weights)


def of_labels(name: str, given: Any, labels: Sequence[str]) -> Any:
    """Return the class weights of a multilabel task, checked.

    Args:
        name: name of the task.
        given: None, "balanced", or {label: weight}, or a weight for each label. A weight is that
            of the rows that have the label, or a pair: of rows without it, of rows with it.
        labels: names of the labels; empty where they are not known yet.

    Returns:
        None, "balanced", or a pair (weight of 0, weight of 1) for each label, as a tuple.

    Raises:
        UnknownName, InputError: as `of_classes`.
    """
    if given is None or _is_balanced(name, given):
        return given
    if isinstance(given, Mapping):
        if not labels:
            return dict(given)
        pairs = [(1.0, 1.0)] * len(labels)
        for label, value in given.items():
            pairs[_position(name, label, labels)] = _pair(name, label, value)
    else:
        values = _values(name, given, len(labels) or None, "label")
        pairs = [_pair(name, i, value) for i, value in enumerate(values)]
    _check_positive(name, [weight for pair in pairs for weight in pair])
    return tuple(pairs)


def config(weights: Any) -> dict[str, Any]:
    """Return checked class weights as an entry of a task's configuration; empty without any."""
    if weights is None:
        return {}
    if isinstance(weights, tuple):
        weights = [list(pair) if isinstance(pair, tuple) else pair for pair in weights]
    return {"class_weight": weights}


def balanced(encoded: Array, classes: int, weights: Array | None = None) -> Array:
    """Return balanced class weights, [classes]: rows / (classes x rows of the class).

    That is how scikit-learn computes them (King and Zeng 2001). Missing labels are left out. A
    class without a row has weight 1.

    Args:
        encoded: index of the class, [n]; NaN where missing.
        classes: their number.
        weights: sample weights [n], which count as numbers of rows; None counts each row once.

    Examples:
        >>> import numpy as np
        >>> balanced(np.array([0.0, 0, 0, 1, np.nan]), 2).round(3).tolist()
        [0.667, 2.0]
    """
    known = ~np.isnan(encoded)
    counted = None if weights is None else weights[known]
    counts = np.bincount(encoded[known].astype("int64"), counted, minlength=classes)
    return np.where(counts > 0, counts.sum() / (classes * np.where(counts > 0, counts, 1.0)), 1.0)


def factors(group: Group, y: Tensor, prior: Tensor, xp: Any) -> Tensor | None:
    """Return the factor of each label's loss, [n, k, width]; None where no task has class weights.

    Args:
        group: the k tasks.
        y: labels [n, k, width], 0 where missing.
        prior: raw outputs of the trivial predictors of all tasks, [columns]. They hold the shares
            of the classes, from which "balanced" weights follow.
        xp: `keras.ops` or `polycera.tasks.numpy_ops`.
    """
    given = [getattr(task, "class_weight", None) for task in group.tasks]
    if all(weights is None for weights in given):
        return None
    task = group.task
    binary_labels = task.kind in ("binary", "multilabel")
    # For labels a pair (weight of 0, weight of 1) each, [k, labels, 2]; else [k, 1, classes].
    shape = (task.units, 2) if binary_labels else (1, task.as_prediction(y, xp).shape[-1])
    declared = np.ones((len(given), *shape), "float32")
    for i, weights in enumerate(given):
        if weights is not None and weights != BALANCED:
            declared[i] = np.asarray(weights, "float32").reshape(shape)
    by_class = declared
    is_balanced = np.array([weights == BALANCED for weights in given])
    if is_balanced.any():
        by_class = xp.where(
            is_balanced[:, None, None], _from_prior(group, prior, binary_labels, xp), declared
        )
    if binary_labels:
        negative = xp.multiply(by_class[..., 0], 1.0 - y)
        return xp.add(negative, xp.multiply(by_class[..., 1], y))
    shares = task.as_prediction(y, xp)
    return xp.sum(xp.multiply(shares, by_class[:, 0]), axis=-1)[..., None]


def _from_prior(group: Group, prior: Tensor, binary_labels: bool, xp: Any) -> Tensor:
    """Return balanced weights from the shares of the classes, in the shape of `factors`."""
    task, k = group.task, len(group.tasks)
    start = group.raw_start
    raw = xp.reshape(prior[start : start + k * task.units], (k, task.units))
    shares = task.link(raw, xp)
    if binary_labels:
        return xp.stack([0.5 / (1.0 - shares), 0.5 / shares], axis=-1)
    return (1.0 / (shares.shape[-1] * shares))[:, None]


def _is_balanced(name: str, given: Any) -> bool:
    """Return whether this is the word "balanced"; raise for another word."""
    if not isinstance(given, str):
        return False
    if given != BALANCED:
        raise InputError(
            f"class_weight of task {shorten(name)!r} is {shorten(repr(given))}; known: 'balanced', "
            "a dict of label to weight."
        )
    return True


def _position(name: str, label: Any, classes: Sequence[Any]) -> int:
    """Return the position of a label; a number may be written as text, as on a command line."""
    if label in classes:
        return list(classes).index(label)
    texts = [str(known) for known in classes]
    if str(label) in texts:
        return texts.index(str(label))
    raise UnknownName(f"label in class_weight of task {shorten(name)!r}:", str(label), texts)


def _values(name: str, given: Any, count: int | None, what: str) -> list[Any]:
    """Return weights that come without labels, one for each class."""
    if not isinstance(given, Sequence | np.ndarray):
        raise InputError(
            f"class_weight of task {shorten(name)!r} is {shorten(repr(given))}; known: 'balanced', "
            "a dict of label to weight."
        )
    values = list(given)
    if count is not None and len(values) != count:
        raise InputError(
            f"class_weight of task {shorten(name)!r} has {len(values)} weights; one for each "
            f"{what} is expected: {count}."
        )
    return values


def _weight(name: str, label: Any, value: Any) -> float:
    """Return a weight as a float, or raise InputError."""
    return factor(value, f"class_weight of {shorten(str(label))!r} in task {shorten(name)!r}")


def _pair(name: str, label: Any, value: Any) -> tuple[float, float]:
    """Return the weights of 0 and of 1 of a label."""
    if isinstance(value, Mapping):
        weights = {str(key): weight for key, weight in value.items()}
        if unknown := [key for key in weights if key not in ("0", "1")]:
            raise UnknownName(f"value of label {shorten(str(label))!r}", unknown[0], ("0", "1"))
        value = (weights.get("0", 1.0), weights.get("1", 1.0))
    if isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and len(value) == 2:
        return _weight(name, label, value[0]), _weight(name, label, value[1])
    return 1.0, _weight(name, label, value)


def _check_positive(name: str, weights: Sequence[float]) -> None:
    """Raise InputError where all weights are 0: nothing would be learned."""
    if not sum(weights) > 0:
        raise InputError(
            f"class_weight of task {shorten(name)!r} is 0 for all classes, so nothing would be "
            "learned of it; raise one of them."
        )
