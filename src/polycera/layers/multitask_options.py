"""Check and hold a user's options for training tasks together.

These are a weighting of the tasks' losses and a balancing of their gradients.
"""

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
"""Lists what can be balanced: gradients at the heads' input features, or at shared weights."""


@dataclass(frozen=True)
class MultitaskOptions:
    """Holds the options for training tasks together.

    Attributes:
        weighting: losses -> weights of whole losses, or None.
        balance: Gramian -> weights of gradients in shared layers, or None.
        gradients: one of `ENGINES`.
        preference: the user's weight of each task in the weighting, where the method uses
            preferences, [tasks].
        seed: of everything that is drawn at random.
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
        """Make the options from a user's arguments.

        A weighting that uses the gradients' norms needs them measured. Without a balancing, "mean"
        is added, which measures them and leaves the gradients unchanged.

        Raises:
            UnknownName, InputError: see `ActiveBalancing.of`; for an unknown value of `gradients`;
                for options that would have no effect.
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
            # Balancing measures the norms; the mean leaves the gradients as they are.
            balancing = "mean"
        balance = (
            None
            if balancing is None
            else ActiveBalancing.of(names, balancing, seed=seed, every=every)
        )
        methods: list[MethodBase] = [method] if method is not None else []
        methods += [balance.method] if balance is not None else []
        preferred = None
        if preference:
            if not any(m.preferring for m in methods):
                method_names = listing([m.name for m in methods]) if methods else "no method"
                raise InputError(
                    "A preference needs a weighting or balancing that supports preferences, got "
                    f"{method_names}; set task weights, or take another method."
                )
            preferred = preferences(names, preference)
        if balance is not None and balance.method.preferring and preferred:
            balance = replace(balance, preference=preferred)
        return cls(method, balance, gradients, preferred, seed)

    def to_config(self) -> dict[str, Any]:
        """Return the keyword arguments that give the options back, without the preference.

        They are plain JSON values.
        """
        return {
            "balancing": self.balance and self.balance.method.to_config(),
            "every": 1 if self.balance is None else self.balance.every,
            "weighting": self.weighting and self.weighting.to_config(),
            "gradients": self.gradients,
            "seed": self.seed,
        }


def _check_room(
    argument: str, method: Any, methods: Mapping[str, Any], others: Mapping[str, Any]
) -> None:
    """Raise an error if a method's name belongs to the other argument."""
    name = str(method).lower().replace("-", "_")
    if name in others and name not in methods:
        other = "balancing" if argument == "weighting" else "weighting"
        raise InputError(f"{name!r} is a {other}, not a {argument}: pass {other}={name!r}.")
