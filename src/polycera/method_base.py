"""Define what weighting and balancing methods share.

A method has a published paper, a name and hyperparameters that do not change. It is a frozen
dataclass. What it remembers from step to step is not in it but in a state of arrays: `init` makes
the state, and `update` of the method's own package returns the next one.

A user's own method is a subclass of `polycera.balancing.Method` or `polycera.weighting.Method`,
registered with Keras: a saved model or run holds the registered name and never code.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from polycera import registered
from polycera.errors import InputError, UnknownName, listing, shorten
from polycera.typing import Tensor

State: TypeAlias = dict[str, Tensor]
"""Maps names to the arrays that a method carries from step to step."""


class Paper(NamedTuple):
    """Describes where a method was published."""

    authors: str
    year: int
    arxiv: str


NAMES = {
    "weighting": (
        *("equal", "schedule", "rlw", "uncertainty", "imtl_l", "uw_so", "log", "gls"),
        *("stch", "dwa", "famo", "go4align", "gradnorm", "excess_mtl"),
    ),
    "balancing": (
        *("mean", "mgda", "pcgrad", "gradvac", "cagrad", "imtl_g", "nash_mtl", "aligned_mtl"),
        *("upgrad", "dualproj", "fairgrad", "sdmgrad", "moco", "config", "pivrg", "graddrop"),
    ),
}
"""Lists the built-in methods of each kind.

A wrong name is found here without importing the packages of the methods, which need Keras.
"""


@dataclass(frozen=True)
class MethodBase(ABC):
    """Hold the hyperparameters of a published method, each with a default.

    A hyperparameter is a field of a dataclass. It is a float, an int, a bool or a text, as its
    default is. A default of None makes it a mapping from task names to numbers. Values are checked
    when a method is made, so that every method that exists can be used.

    Attributes:
        room: what the method does, as error messages begin: "Balancing", "Weighting".
        name: what the user writes; of a user's class that gives none, the name of the class.
        title: its usual name.
        paper: where it was published.
        year: when it was published.
        sees: the fields of `StepGradients` or `StepLosses` that it uses.
        cost: how its work grows with the number of tasks m.
        when: one line for the table of methods.
        preferring: True where the user's preference has a meaning in the method; the others ignore
            it.
    """

    room: ClassVar[str]
    name: ClassVar[str]
    title: ClassVar[str]
    paper: ClassVar[Paper]
    year: ClassVar[int]
    sees: ClassVar[tuple[str, ...]]
    cost: ClassVar[str]
    when: ClassVar[str]
    preferring: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "paper" in vars(cls):
            cls.year = cls.paper.year
        if "name" not in vars(cls):  # with the parent's name, the parent would be loaded instead
            cls.name = cls.__name__

    def __post_init__(self) -> None:
        self._check_made()
        for field in fields(self):
            kind = KINDS.get(type(field.default))
            if kind is None:
                raise InputError(
                    f"{self.room} {self.name!r} has the hyperparameter {field.name!r} without a "
                    "default that is a number, True or False, a text or None: give it one."
                )
            value = getattr(self, field.name)
            self.check(field.name, kind.fits(value), kind.called)
            # `object.__setattr__`, because the dataclass is frozen. Plain Python values, because
            # NumPy's cannot be written as JSON.
            object.__setattr__(self, field.name, kind.plain(value))
        self.limits()

    def _check_made(self) -> None:
        """Raise an error for a subclass that is no dataclass: its fields would be ignored."""
        annotated = [
            name
            for name, annotation in vars(type(self)).get("__annotations__", {}).items()
            if "ClassVar" not in str(annotation)
        ]
        if annotated and "__dataclass_fields__" not in vars(type(self)):
            raise InputError(
                f"{self.room} {self.name!r} has hyperparameters ({listing(annotated)}) but is no "
                "dataclass: put @dataclass(frozen=True) above the class."
            )

    def limits(self) -> None:  # noqa: B027
        """Raise an error for hyperparameters that are out of range, by one `check` for each."""

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        """Return the state before the first step of m tasks; {} for methods without memory."""
        return {}

    def to_config(self) -> dict[str, Any]:
        """Return name and hyperparameters as plain JSON values.

        Raises:
            InputError: for a user's class that is not registered with Keras, so that it could not
                be found again.
        """
        return {"name": self.written_name(), **asdict(self)}

    def get_config(self) -> dict[str, Any]:
        """Return what `to_config` returns.

        Keras registers only classes that have a method of this name.
        """
        return self.to_config()

    def written_name(self) -> str:
        """Return the name that is written to a file.

        It is the built-in name, or the name under which a user's class is registered with Keras.
        """
        if not registered.is_own(type(self)):
            return self.name
        return registered.name_of(type(self), f"{self.room} {self.name!r}")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Return the method that `to_config` described.

        Raises:
            UnknownName: for a hyperparameter that the method does not have.
        """
        values = {key: value for key, value in config.items() if key != "name"}
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                raise UnknownName(f"hyperparameter of {cls.name}", key, known)
        return cls(**values)

    def check(self, what: str, good: bool, expected: str) -> None:
        """Raise an error for a hyperparameter that is out of range.

        Raises:
            InputError: where `good` is false.
        """
        if not good:
            value = getattr(self, what)
            raise InputError(f"{self.room} {self.name!r} got {what}={value!r}: give {expected}.")


M = TypeVar("M", bound=MethodBase)


def find(methods: Mapping[str, type[M]], method: str | Mapping[str, Any], what: str) -> M:
    """Return a method by its name, or by the mapping that `to_config` returned.

    Case does not matter, and `-` counts as `_`.

    Args:
        methods: the methods of one package by name.
        method: the name, or a mapping with `name` and hyperparameters.
        what: the kind of method, for the message.

    Raises:
        UnknownName: for a name that no method has, with the nearest known name.
        InputError: for something that is no name; for a registered name under which nothing is
            registered here.
    """
    given: Any = method  # whatever a user passes
    if not isinstance(given, str | Mapping):
        what_came = (
            f"the class {given.__name__}"
            if isinstance(given, type)
            else f"a {type(given).__name__}"
        )
        raise InputError(
            f"A {what} is given by its name or as an instance such as Mean(), got {what_came}."
        )
    config = dict(method) if isinstance(method, Mapping) else {"name": method}
    # Keras's registered names have the form `package>Class`; built-in names have no `>`.
    if ">" in str(config.get("name")):
        return _registered(methods, config, what)
    name = str(config.get("name")).lower().replace("-", "_")
    if name not in methods:
        raise UnknownName(what, config.get("name"), methods)
    return methods[name].from_config(config)


def _registered(methods: Mapping[str, type[M]], config: Mapping[str, Any], what: str) -> M:
    """Return a method that the user registered with Keras; nothing is imported for it."""
    registered_class = registered.find(config["name"], what)
    room = next(iter(methods.values())).room
    if not (
        isinstance(registered_class, type)
        and issubclass(registered_class, MethodBase)
        and getattr(registered_class, "room", None) == room
    ):
        raise InputError(
            f"{shorten(repr(config['name']))} is registered with Keras, but it is no {what}."
        )
    return registered_class.from_config(config)  # type: ignore[return-value]


class Kind(NamedTuple):
    """Describes a type of hyperparameter.

    Attributes:
        fits: checks a value.
        called: what to give, for the error message.
        plain: makes a plain Python value.
    """

    fits: Callable[[Any], bool]
    called: str
    plain: Callable[[Any], Any]


def whole(value: object) -> bool:
    """Return whether a value is an integer of Python or NumPy, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def finite(value: object) -> bool:
    """Return whether a value is a finite number of Python or NumPy, and not a truth value."""
    return whole(value) or (isinstance(value, float | np.floating) and bool(np.isfinite(value)))


def by_task(value: object) -> bool:
    """Return whether a value is None, or a mapping from task names to finite numbers."""
    if not isinstance(value, Mapping):
        return value is None
    return all(isinstance(name, str) and finite(number) for name, number in value.items())


KINDS = {
    float: Kind(finite, "a finite number", float),
    int: Kind(whole, "a whole number", int),
    bool: Kind(lambda value: isinstance(value, bool | np.bool_), "True or False", bool),
    str: Kind(lambda value: isinstance(value, str), "a text", str),
    type(None): Kind(
        by_task,
        "a mapping from task names to finite numbers",
        lambda value: (
            None if value is None else {name: float(number) for name, number in value.items()}
        ),
    ),
}
"""Maps the type of a hyperparameter's default to the values that it may have."""
