"""Collect the loss weighting methods: the tasks' losses [m] -> weights of whole losses [m].

Each published method has a file of its own. All of them are used in the same way:

    state = method.init(m)
    state, weights = method.update(
        state, StepLosses(losses, present, norms, preference, noise, weights)
    )
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
"""Name the base class that a user's own weighting method subclasses."""

METHODS: dict[str, type[WeightingMethod]] = {
    method.name: method
    for method in (
        *(Equal, Schedule, RLW, Uncertainty, IMTLL, UWSO, Log, GLS),
        *(STCH, DWA, FAMO, GO4Align, GradNorm, ExcessMTL),
    )
}
"""Map the name of each built-in method to its class."""

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
    """Return the names of all built-in methods."""
    return list(METHODS)


def get(method: str | Mapping[str, Any] | WeightingMethod) -> WeightingMethod:
    """Return the weighting method that is given by its name, its configuration or an instance.

    A configuration is what `to_config` returns. Upper and lower case are the same in a name, and
    so are `-` and `_`.

    Raises:
        UnknownName: for a name that no method has.
        InputError: for a value that is neither a name, a configuration nor an instance; for a class
            of the user's own that is not registered with Keras in this process.
    """
    return (
        method if isinstance(method, WeightingMethod) else find(METHODS, method, "weighting method")
    )
