"""Balancing: the Gramian of the tasks' gradients [m, m] -> weights [m]; one published method a file.

state = method.init(m) state, weights = method.update(state, Seen(gramian, present, preference,
losses, noise))
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
"""The base of a method of one's own."""

METHODS: dict[str, type[BalancingMethod]] = {
    method.name: method
    for method in (
        *(Mean, MGDA, PCGrad, GradVac, CAGrad, IMTLG, NashMTL, AlignedMTL),
        *(UPGrad, DualProj, FairGrad, SDMGrad, MoCo, ConFIG, PIVRG, GradDrop),
    )
}
"""Every method by its name."""

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
    """The names of all methods."""
    return list(METHODS)


def get(method: str | Mapping[str, Any] | BalancingMethod) -> BalancingMethod:
    """Return a method by its name, by what `to_config` gave, or as it is. Case does not matter, nor `-` for `_`.

    Raises:
        UnknownName: for a name that no method has.
        InputError: for what is neither; for a class of the user's own that is not registered with
            Keras here.
    """
    return (
        method if isinstance(method, BalancingMethod) else find(METHODS, method, "balancing method")
    )
