"""What a user asks for about how tasks share a trunk: a weighting of their losses, a balancing of their gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from polycera import balancing as balancings
from polycera import weighting as weightings
from polycera.errors import InputError, UnknownName, listing
from polycera.layers.balance import ActiveBalancing, preferences
from polycera.method_base import MethodBase
from polycera.typing import TaskName

ENGINES = ("features", "parameters")
"""What is balanced: gradients at the fork, or with respect to the weights that are shared."""


@dataclass(frozen=True)
class MultitaskOptions:
    """How tasks share.

    Attributes:
        weighting: losses -> weights of whole losses, or None.
        balance: Gramian -> weights of gradients in what is shared, or None.
        gradients: one of `ENGINES`.
        preference: the user's weight of each task in the weighting, where it knows preferences,
            [tasks].
        seed: of all that is drawn at random.
    """

    weighting: weightings.WeightingMethod | None = None
    balance: ActiveBalancing | None = None
    gradients: str = "features"
    preference: tuple[float, ...] | None = None
    seed: int = 0

    @classmethod
    def of(
        cls,
        names: Sequence[TaskName],
        weighting: Any = None,
        balancing: Any = None,
        preference: Mapping[TaskName, float] | None = None,
        gradients: str = "features",
        every: int = 1,
        seed: int = 0,
    ) -> Self:
        """From what a user writes.

        A weighting that looks at the gradients' norms has them measured, by a balancing that leaves
        them as they are.

        Raises:
            UnknownName, InputError: see `Balance.of`; for an engine that there is not; for what
                would have no effect.
        """
        if gradients not in ENGINES:
            raise UnknownName("value of gradients=", gradients, ENGINES)
        _check_room("weighting", weighting, weightings.METHODS, balancings.METHODS)
        _check_room("balancing", balancing, balancings.METHODS, weightings.METHODS)
        method = None if weighting is None else weightings.get(weighting).bind(tuple(names))
        if method is not None and len(names) < 2:
            raise InputError(
                f"Weighting {method.name!r} needs two or more tasks, got {names[0]!r} alone."
            )
        if balancing is None and (every != 1 or gradients != ENGINES[0]):
            given = f"every={every!r}" if every != 1 else f"gradients={gradients!r}"
            raise InputError(
                f"{given} is part of a balancing: pass balancing=... too, or leave it out."
            )
        if balancing is None and method is not None and "norms" in method.sees:
            balancing = "mean"
        balance = (
            None
            if balancing is None
            else ActiveBalancing.of(names, balancing, seed=seed, every=every)
        )
        knowing: list[MethodBase] = [method] if method is not None else []
        knowing += [balance.method] if balance is not None else []
        preferred = None
        if preference:
            if not any(m.preferring for m in knowing):
                asked = listing([m.name for m in knowing]) if knowing else "no method"
                raise InputError(
                    f"A preference needs a weighting or balancing that knows preferences, got {asked}; "
                    "set task weights, or take another method."
                )
            preferred = preferences(names, preference)
        if balance is not None and balance.method.preferring and preferred:
            balance = replace(balance, preference=preferred)
        return cls(method, balance, gradients, preferred, seed)

    def to_config(self) -> dict[str, Any]:
        """As plain JSON values: the keyword arguments that give it back, but for the preference."""
        return {
            "balancing": self.balance and self.balance.method.to_config(),
            "every": 1 if self.balance is None else self.balance.every,
            "weighting": self.weighting and self.weighting.to_config(),
            "gradients": self.gradients,
            "seed": self.seed,
        }


def _check_room(what: str, asked: Any, known: Mapping[str, Any], others: Mapping[str, Any]) -> None:
    """Say so where a name belongs to the other argument."""
    name = str(asked).lower().replace("-", "_")
    if name in others and name not in known:
        other = "balancing" if what == "weighting" else "weighting"
        raise InputError(f"{name!r} is a {other}, not a {what}: pass {other}={name!r}.")
