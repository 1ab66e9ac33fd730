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

MEMBERS: dict[str, str] = {}
"""Old method or attribute, with its class -> new one; filled in as modules are imported."""


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
        name = function.__qualname__
        ARGUMENTS[f"{function.__module__}.{name}"] = dict(new_names)

        @functools.wraps(function)
        def renaming(*args: P.args, **kwargs: P.kwargs) -> R:
            if not new_names.keys().isdisjoint(kwargs):
                # the class that the user named may be a subclass of the one that has `__init__`
                owner = type(args[0]).__name__ if name.endswith(".__init__") else name
                kwargs = options(owner, kwargs, new_names, stacklevel=4)  # type: ignore[assignment]
            return function(*args, **kwargs)

        return renaming

    return decorate


def options(
    owner: str, given: Mapping[str, Any], new_names: Mapping[str, str], stacklevel: int = 4
) -> dict[str, Any]:
    """Return named options under their new names, with a warning for each old name.

    Args:
        owner: what takes the options, for the warning.
        given: name -> value.
        new_names: old name -> new name.
        stacklevel: frames from `warn` to the user's line.

    Raises:
        InputError: where an option comes under both names.
    """
    renamed = dict(given)
    for old, new in new_names.items():
        if old not in renamed:
            continue
        if new in renamed:
            raise InputError(f"{owner} got {old}= and {new}=, which are one option: pass {new}=.")
        warn(f"{owner}: {old}=", f"{new}=", stacklevel)
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
    MEMBERS[f"{function.__module__}.{owner}.{old}"] = new

    @functools.wraps(function)
    def renaming(*args: P.args, **kwargs: P.kwargs) -> R:
        warn(f"{owner}.{old}", f"{owner}.{new}")
        return function(*args, **kwargs)

    renaming.__doc__ = f"Call `{new}`, which is the new name of this method."
    return renaming


class Keys(dict[str, Any]):
    """Gives values under their old keys too, with a warning.

    Args:
        values: key -> value.
        new_keys: old key -> new key.
        owner: what holds the keys, for the warning.

    Examples:
        >>> Keys({"part": "test"}, {"held_out": "part"}, "metrics")
        {'part': 'test'}
    """

    def __init__(self, values: Mapping[str, Any], new_keys: Mapping[str, str], owner: str) -> None:
        super().__init__(values)
        self.new_keys, self.owner = new_keys, owner

    def __missing__(self, key: str) -> Any:
        if key not in self.new_keys:
            raise KeyError(key)
        new = self.new_keys[key]
        warn(f"{self.owner}[{key!r}]", f"{self.owner}[{new!r}]")
        return self[new]


class Attribute:
    """Gives an attribute under its old name, with a warning.

    Args:
        new: the new name.

    Examples:
        >>> class Point:
        ...     loss_weights = 1.0
        ...     weights = Attribute("loss_weights")
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, old: str) -> None:
        self.old = old
        MEMBERS[f"{owner.__module__}.{owner.__name__}.{old}"] = self.new

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        self._warn(instance)
        return getattr(instance, self.new)

    def __set__(self, instance: Any, value: Any) -> None:
        self._warn(instance)
        setattr(instance, self.new, value)

    def _warn(self, instance: Any) -> None:
        owner = type(instance).__name__
        # from here: `warn`, this method, `__get__` or `__set__`, the user's line
        warn(f"{owner}.{self.old}", f"{owner}.{self.new}", stacklevel=4)
