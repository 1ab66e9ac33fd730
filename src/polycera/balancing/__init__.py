"""Collect the gradient balancing methods: Gramian of the tasks' gradients [m, m] -> weights [m].

Each published method has a file of its own. All of them are used in the same way:

    state = method.init(m)
    state, weights = method.update(
        state, StepGradients(gramian, present, preference, losses, noise)
    )
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera.balancing.aligned_mtl import AlignedMTL
from polycera.balancing.cagrad import CAGrad
from polycera.balancing.config import ConFIG
from polycera.balancing.dualproj import DualProj
from polycera.balancing.fairgrad import FairGrad
from polycera.balancing.graddrop import GradDrop
from polycera.balancing.gradvac import GradVac
from polycera.balancing.imtl_g import IMTLG
from polycera.balancing.mean import Mean
from polycera.balancing.method import BalancingMethod, Paper, StepGradients
from polycera.balancing.mgda import MGDA
from polycera.balancing.moco import MoCo
from polycera.balancing.nash_mtl import NashMTL
from polycera.balancing.pcgrad import PCGrad
from polycera.balancing.pivrg import PIVRG
from polycera.balancing.sdmgrad import SDMGrad
from polycera.balancing.upgrad import UPGrad
from polycera.method_base import find

Method = BalancingMethod
"""Name the base class that a user's own balancing method subclasses."""

METHODS: dict[str, type[BalancingMethod]] = {
    method.name: method
    for method in (
        *(Mean, MGDA, PCGrad, GradVac, CAGrad, IMTLG, NashMTL, AlignedMTL),
        *(UPGrad, DualProj, FairGrad, SDMGrad, MoCo, ConFIG, PIVRG, GradDrop),
    )
}
"""Map the name of each built-in method to its class."""

__all__ = [
    "METHODS",
    "BalancingMethod",
    "Method",
    "Paper",
    "StepGradients",
    "get",
    "names",
    *sorted(c.__name__ for c in METHODS.values()),
]


def names() -> list[str]:
    """Return the names of all built-in methods."""
    return list(METHODS)


def get(method: str | Mapping[str, Any] | BalancingMethod) -> BalancingMethod:
    """Return the balancing method that is given by its name, its configuration or an instance.

    A configuration is what `to_config` returns. Upper and lower case are the same in a name, and
    so are `-` and `_`.

    Raises:
        UnknownName: for a name that no method has.
        InputError: for a value that is neither a name, a configuration nor an instance; for a class
            of the user's own that is not registered with Keras in this process.
    """
    return (
        method if isinstance(method, BalancingMethod) else find(METHODS, method, "balancing method")
    )
