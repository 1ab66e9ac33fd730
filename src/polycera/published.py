"""What a weighting and a balancing method share: a published paper, a frozen set of hyperparameters, a name.

A method is a frozen dataclass. What it remembers from step to step is not in it but in a state of arrays, which
`init` makes and the room's own `update` hands back.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, NamedTuple, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from polycera.errors import InputError, UnknownName
from polycera.shapes import Tensor

State: TypeAlias = dict[str, Tensor]


class Paper(NamedTuple):
    """Where a method was published."""

    authors: str
    year: int
    arxiv: str


@dataclass(frozen=True)
class Published(ABC):
    """A published method: its hyperparameters are the fields of a dataclass, each with a default.

    A field is a float, an int, a bool or a text, as its default is; a default of None makes it a mapping from task
    names to numbers. Values are checked when a method is made, so that a method that exists can be used.

    Attributes:
        room: what the method does, as error messages begin: "Balancing", "Weighting".
        name: what the user writes.
        title: what people call it.
        paper: where it was published.
        year: when.
        sees: the parts of the room's `Seen` that it uses.
        cost: how its work grows with the number of tasks m.
        when: one line for the table of methods.
        preferring: True where the user's preference has a meaning in the method; the others ignore it.
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

    def __post_init__(self) -> None:
        for field in fields(self):
            value, kind = getattr(self, field.name), KINDS[type(field.default)]
            self.check(field.name, kind.fits(value), kind.called)
            object.__setattr__(self, field.name, kind.plain(value))
        self.limits()

    def limits(self) -> None:  # noqa: B027
        """Refuse hyperparameters that make no sense, one `check` each."""

    def init(self, m: int) -> dict[str, NDArray[np.float32]]:
        """The state before the first step of m tasks; {} for methods without memory."""
        return {}

    def to_config(self) -> dict[str, Any]:
        """Name and hyperparameters as plain JSON values."""
        return {"name": self.name, **asdict(self)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """The method that `to_config` described.

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
        """Refuse a hyperparameter that makes no sense.

        Raises:
            InputError: where `good` is false.
        """
        if not good:
            came = getattr(self, what)
            raise InputError(f"{self.room} {self.name!r} got {what}={came!r}: give {expected}.")


M = TypeVar("M", bound=Published)


def find(methods: Mapping[str, type[M]], method: str | Mapping[str, Any], what: str) -> M:
    """A method of a room by its name, or by what `to_config` gave. Case does not matter, nor `-` for `_`.

    Args:
        methods: the room's methods by name.
        method: the name, or a mapping with `name` and hyperparameters.
        what: what the room calls its methods, for the message.

    Raises:
        UnknownName: for a name that no method has, with the nearest that there is.
    """
    config = dict(method) if isinstance(method, Mapping) else {"name": method}
    name = str(config.get("name")).lower().replace("-", "_")
    if name not in methods:
        raise UnknownName(what, config.get("name"), methods)
    return methods[name].from_config(config)


class Kind(NamedTuple):
    """What a hyperparameter may be: a test, a word for the message, and the way to a plain Python value."""

    fits: Callable[[Any], bool]
    called: str
    plain: Callable[[Any], Any]


def whole(value: object) -> bool:
    """An integer of Python or NumPy, and not a truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def finite(value: object) -> bool:
    """A number of Python or NumPy, neither a truth value nor NaN nor infinite."""
    return whole(value) or (isinstance(value, float | np.floating) and bool(np.isfinite(value)))


def by_task(value: object) -> bool:
    """None, or finite numbers by the name of a task."""
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
        lambda value: None if value is None else {name: float(number) for name, number in value.items()},
    ),
}
"""Hyperparameters by the type of their default."""
