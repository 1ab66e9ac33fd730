"""Weighting: the tasks' losses [m] -> weights [m] of whole losses; one published method a file.

state = method.init(m) state, weights = method.update(state, Seen(losses, present, norms,
preference, noise, weights))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera.method_base import find
from polycera.weighting.dwa import DWA
from polycera.weighting.equal import Equal
from polycera.weighting.excess_mtl import ExcessMTL
from polycera.weighting.famo import FAMO
from polycera.weighting.gls import GLS
from polycera.weighting.go4align import GO4Align
from polycera.weighting.gradnorm import GradNorm
from polycera.weighting.imtl_l import IMTLL
from polycera.weighting.log import Log
from polycera.weighting.method import Paper, StepLosses, WeightingMethod
from polycera.weighting.rlw import RLW
from polycera.weighting.schedule import Schedule
from polycera.weighting.stch import STCH
from polycera.weighting.uncertainty import Uncertainty
from polycera.weighting.uw_so import UWSO

Method = WeightingMethod
"""The base of a method of one's own."""

METHODS: dict[str, type[WeightingMethod]] = {
    method.name: method
    for method in (
        *(Equal, Schedule, RLW, Uncertainty, IMTLL, UWSO, Log, GLS),
        *(STCH, DWA, FAMO, GO4Align, GradNorm, ExcessMTL),
    )
}
"""Every method by its name."""

__all__ = [
    "METHODS",
    "WeightingMethod",
    "Method",
    "Paper",
    "StepLosses",
    "get",
    "names",
    *sorted(c.__name__ for c in METHODS.values()),
]


def names() -> list[str]:
    """The names of all methods."""
    return list(METHODS)


def get(method: str | Mapping[str, Any] | WeightingMethod) -> WeightingMethod:
    """Return a method by its name, by what `to_config` gave, or as it is. Case does not matter, nor `-` for `_`.

    Raises:
        UnknownName: for a name that no method has.
        InputError: for what is neither; for a class of the user's own that is not registered with
            Keras here.
    """
    return (
        method if isinstance(method, WeightingMethod) else find(METHODS, method, "weighting method")
    )
