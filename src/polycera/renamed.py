"""Accept the old names of functions, classes, methods and arguments for one version, and say so.

Every use of an old name gives a FutureWarning that names the new one. Old names of commands and
options are in `polycera_cli.old_words`, old keys of files in `polycera.runs.old_keys`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from polycera.errors import InputError

P = ParamSpec("P")
R = TypeVar("R")

UNTIL = "0.2"
"""The first version that does not know the old names."""

NAMES: dict[str, dict[str, str]] = {
    "polycera": {
        "compare": "compare_separate",
        "describe": "describe_network",
        "sweep": "compare_weightings",
    },
    "polycera.diagnostics": {
        "Comparison": "SeparateComparison",
        "Description": "NetworkDescription",
        "Sweep": "WeightingComparison",
        "compare": "compare_separate",
        "describe": "describe_network",
        "sweep": "compare_weightings",
    },
}
"""Module -> old name -> new name."""

ARGUMENTS: dict[str, dict[str, str]] = {}
"""Function -> old argument -> new argument; `arguments` fills it in as modules are imported."""

METHODS: dict[str, str] = {}
"""Old method -> new method, with their class; `method` fills it in as modules are imported."""


def sentence(old: str, new: str) -> str:
    """Return what is said where an old name is used.

    Examples:
        >>> sentence("pc.compare", "pc.compare_separate")
        'pc.compare is now pc.compare_separate; the old name is accepted until version 0.2.'
    """
    return f"{old} is now {new}; the old name is accepted until version {UNTIL}."


def warn(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name is an old one.

    Args:
        old, new: the names, as the user writes them.
        stacklevel: frames from here to the user's line.
    """
    warnings.warn(sentence(old, new), FutureWarning, stacklevel=stacklevel)


def name_of(module: str, name: str) -> str | None:
    """Return the new name for an old public name of a module, with a warning; None for others."""
    new = NAMES.get(module, {}).get(name)
    if new is not None:
        prefix = module.replace("polycera", "pc", 1)
        # from here: this function, the module's `__getattr__`, the user's line
        warn(f"{prefix}.{name}", f"{prefix}.{new}", stacklevel=4)
    return new


def arguments(**new_names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Return a decorator by which a function takes keyword arguments under their old names too.

    The signature that `inspect` shows has the new names alone.

    Args:
        new_names: old name -> new name.

    Examples:
        >>> @arguments(weights="loss_weights")
        ... def fit(loss_weights=None): ...
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        owner = function.__qualname__.removesuffix(".__init__")
        ARGUMENTS[f"{function.__module__}.{function.__qualname__}"] = dict(new_names)

        @functools.wraps(function)
        def renaming(*args: P.args, **kwargs: P.kwargs) -> R:
            if not new_names.keys().isdisjoint(kwargs):
                kwargs = _with_new_names(owner, kwargs, new_names)  # type: ignore[assignment]
            return function(*args, **kwargs)

        return renaming

    return decorate


def _with_new_names(
    owner: str, given: Mapping[str, Any], new_names: Mapping[str, str]
) -> dict[str, Any]:
    """Return keyword arguments under their new names, with a warning for each old name.

    Raises:
        InputError: where an argument comes under both names.
    """
    renamed = dict(given)
    for old, new in new_names.items():
        if old not in renamed:
            continue
        if new in renamed:
            raise InputError(f"{owner} got {old}= and {new}=, which are one argument: pass {new}=.")
        # from here: this function, the decorated function, the user's line
        warn(f"{owner}({old}=)", f"{new}=", stacklevel=4)
        renamed[new] = renamed.pop(old)
    return renamed


def method(old: str, function: Callable[P, R]) -> Callable[P, R]:
    """Return a method under its old name, which warns and calls the new one.

    Args:
        old: the old name.
        function: the method, in the body of its class.

    Examples:
        >>> class Model:
        ...     def predict_labels(self, x): ...
        ...
        ...     answer = method("answer", predict_labels)
    """
    owner, _, new = function.__qualname__.rpartition(".")
    METHODS[f"{function.__module__}.{owner}.{old}"] = new

    @functools.wraps(function)
    def renaming(*args: P.args, **kwargs: P.kwargs) -> R:
        warn(f"{owner}.{old}", f"{owner}.{new}")
        return function(*args, **kwargs)

    renaming.__doc__ = f"Call `{new}`, which is the new name of this method."
    return renaming
