"""The fork between trunk and heads: identity forwards, the tasks' gradients combined backwards.

Linear heads on one trunk need no gradient per task. With raw outputs `z = h W` and cotangents `D =
dloss/dz` (a row a sample, columns a task's units), task i's gradient at the trunk is `D_i W_i'`, so
that the Gramian of all tasks is `G = (D'D) * (W'W)`, element by element and added up over each pair
of tasks' units: nothing of size tasks x rows x features is ever made. A method turns G into
weights, and one combined cotangent `(D * w) W'` goes on into the trunk: one backward pass, whatever
the number of tasks. The heads themselves learn from their own losses, as always.

A method that works element by element gets, at each feature of each row, the sum of the tasks'
positive gradients and that of the negative ones. For tasks of one unit these are `(|D| |W|' + D W')
/ 2` and `(|D| |W|' - D W') / 2`: two products, and again nothing of size tasks x rows x features.
Only those of several units need each task's own gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from keras import ops

from polycera.balancing.graddrop import scattered
from polycera.layers.backend import sum_over_replicas, with_backward
from polycera.layers.balance import ActiveBalancing
from polycera.tasks import Layout
from polycera.typing import Raw, Tensor


@dataclass(frozen=True)
class Fork:
    """How the gradients of fused linear heads meet in the trunk.

    Attributes:
        layout: the tasks.
        balance: the method at work on them.
    """

    layout: Layout
    balance: ActiveBalancing

    def __call__(
        self, features: Tensor, kernel: Tensor, carried: Tensor, losses: Tensor, last: Tensor
    ) -> Raw:
        """`features` [n, d] times `kernel` [d, units], with the backward pass of the method.

        The gradient that `carried` gets is its next value: the variable behind it is one that an
            optimizer overwrites.
        `losses` and `last` are as in `Balance.step`.
        """
        product = with_backward(lambda h, w, *_: ops.matmul(h, w), self._backward)
        return product(features, kernel, carried, losses, last)

    def _backward(self, inputs: tuple[Tensor, ...], cotangent: Tensor) -> tuple[Any, ...]:
        features, kernel, carried, losses, last = inputs

        def gramian() -> Tensor:
            return self._gramian(ops.cast(cotangent, "float32"), ops.cast(kernel, "float32"))

        weights, following = self.balance.step(carried, gramian, losses, last)
        if self.balance.method.elementwise:
            h, d, w = (ops.cast(part, "float32") for part in (features, cotangent, kernel))
            combined = ops.cast(
                self._elementwise(h, d, w, self.balance.read(carried)["noise"][0]), cotangent.dtype
            )
        else:
            weighted = cotangent * ops.cast(ops.take(weights, self.layout.owner), cotangent.dtype)
            combined = ops.matmul(weighted, ops.transpose(kernel))
        return (
            combined,
            ops.matmul(ops.transpose(features), cotangent),
            following,
            ops.zeros_like(losses),
            ops.zeros_like(last),
        )

    def _elementwise(
        self, features: Tensor, cotangent: Tensor, kernel: Tensor, noise: Tensor
    ) -> Tensor:
        """What goes on into the trunk, [n, d], from a method that works element by element."""
        method: Any = self.balance.method
        columns = kernel.shape[0]
        if method.over == "batch":
            toward = ops.matmul(ops.transpose(ops.sign(features)), cotangent) * kernel
            by_task = sum_over_replicas(ops.matmul(toward, self._belongs))
            passing = method.passing(by_task, ops.transpose(scattered(1, columns, noise)))
            return ops.matmul(
                cotangent, ops.transpose(kernel * ops.matmul(passing, self._belongs.T))
            )
        total = ops.matmul(cotangent, ops.transpose(kernel))
        sizes = self._sizes(cotangent, kernel)
        uniform = scattered(ops.shape(total)[0], columns, noise)
        return method.combine(0.5 * (sizes + total), 0.5 * (sizes - total), uniform)

    def _sizes(self, cotangent: Tensor, kernel: Tensor) -> Tensor:
        """The sizes of the tasks' gradients added up, [n, d]."""
        single = np.flatnonzero(np.bincount(self.layout.owner)[self.layout.owner] == 1)
        sizes = ops.zeros(())
        if len(single):
            one, other = (ops.take(ops.abs(part), single, axis=-1) for part in (cotangent, kernel))
            sizes = ops.matmul(one, ops.transpose(other))
        for group in self.layout.groups:
            if group.task.units > 1:
                own = ops.einsum("nku,dku->knd", group.raw(cotangent, ops), group.raw(kernel, ops))
                sizes = sizes + ops.sum(ops.abs(own), axis=0)
        return sizes

    @cached_property
    def _belongs(self) -> np.ndarray:
        """1.0 where a column of the raw outputs is a task's, [units, m]."""
        return (self.layout.owner[:, None] == np.arange(self.balance.tasks)).astype("float32")

    def _gramian(self, cotangent: Tensor, kernel: Tensor) -> Tensor:
        """[m, m], of the global batch."""
        by_unit = ops.matmul(ops.transpose(cotangent), cotangent) * ops.matmul(
            ops.transpose(kernel), kernel
        )
        if self.layout.units > self.balance.tasks:
            by_unit = ops.matmul(self._belongs.T, ops.matmul(by_unit, self._belongs))
        return sum_over_replicas(by_unit)
