"""Combine the tasks' gradients where linear heads meet their trunk: the fork.

The forward pass is the heads' matrix product. Linear heads on one trunk need no gradient for each
task. With raw outputs `z = h W` and cotangents `D = dloss/dz` (a row for each sample, one or more
output columns for each task), task i's gradient at the trunk is `D_i W_i'`. So the Gramian of all
tasks is `G = (D'D) * (W'W)`, element by element and added up over each pair of tasks' columns.
Nothing of size tasks x rows x features is ever computed. A method turns G into weights, and one
combined cotangent `(D * w) W'` flows into the trunk: one backward pass, whatever the number of
tasks. The heads themselves learn from their own losses, as always.

A method that works element by element gets, at each feature of each row, the sum of the tasks'
positive gradients and that of the negative ones. For tasks with one output column these are
`(|D| |W|' + D W') / 2` and `(|D| |W|' - D W') / 2`: two products, and again nothing of size tasks x
rows x features. Only tasks with several columns need each task's own gradient.
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
    """Combine the gradients of fused linear heads on their way into the trunk.

    Attributes:
        layout: the tasks.
        balance: the balancing method applied to them.
    """

    layout: Layout
    balance: ActiveBalancing

    def __call__(
        self, features: Tensor, kernel: Tensor, state: Tensor, losses: Tensor, last: Tensor
    ) -> Raw:
        """Return `features` [n, d] times `kernel` [d, units], with the method's backward pass.

        The gradient of `state` is its next value: an optimizer overwrites the variable behind it
        with this gradient. `losses` and `last` are as in `ActiveBalancing.step`.
        """
        product = with_backward(lambda h, w, *_: ops.matmul(h, w), self._backward)
        return product(features, kernel, state, losses, last)

    def _backward(self, inputs: tuple[Tensor, ...], cotangent: Tensor) -> tuple[Any, ...]:
        """Return a cotangent for each input of the forward pass."""
        # `losses` and `last` are inputs only so that the backward pass can read them: gradient 0.
        features, kernel, state, losses, last = inputs

        def gramian() -> Tensor:
            # Sums over rows lose too much in half precision.
            return self._gramian(ops.cast(cotangent, "float32"), ops.cast(kernel, "float32"))

        weights, following = self.balance.step(state, gramian, losses, last)
        if self.balance.method.elementwise:
            h, d, w = (ops.cast(part, "float32") for part in (features, cotangent, kernel))
            combined = ops.cast(
                self._elementwise(h, d, w, self.balance.read(state)["noise"][0]), cotangent.dtype
            )
        else:
            # Each output column gets its task's weight; one product then serves all tasks.
            weighted = cotangent * ops.cast(ops.take(weights, self.layout.owner), cotangent.dtype)
            combined = ops.matmul(weighted, ops.transpose(kernel))
        return (
            combined,
            # The heads learn from their own losses: their kernel gets the cotangent unweighted.
            ops.matmul(ops.transpose(features), cotangent),
            following,
            ops.zeros_like(losses),
            ops.zeros_like(last),
        )

    def _elementwise(
        self, features: Tensor, cotangent: Tensor, kernel: Tensor, noise: Tensor
    ) -> Tensor:
        """Return the gradient for the trunk, [n, d], of a method that works by element."""
        method: Any = self.balance.method
        columns = kernel.shape[0]
        if method.over == "batch":
            # Over a batch, the paper adds up each gradient times the sign of its feature; see
            # `GradDrop`.
            by_column = ops.matmul(ops.transpose(ops.sign(features)), cotangent) * kernel
            by_task = sum_over_replicas(ops.matmul(by_column, self._belongs))
            passing = method.passing(by_task, ops.transpose(scattered(1, columns, noise)))
            return ops.matmul(
                cotangent, ops.transpose(kernel * ops.matmul(passing, self._belongs.T))
            )
        # The positive gradients add up to (sum of |g| + sum of g) / 2, the negative ones to
        # (sum of |g| - sum of g) / 2.
        total = ops.matmul(cotangent, ops.transpose(kernel))
        sizes = self._sizes(cotangent, kernel)
        uniform = scattered(ops.shape(total)[0], columns, noise)
        return method.combine(0.5 * (sizes + total), 0.5 * (sizes - total), uniform)

    def _sizes(self, cotangent: Tensor, kernel: Tensor) -> Tensor:
        """Return the sum of the absolute values of the tasks' gradients, [n, d]."""
        # Tasks with one output column: each gradient is one product, so that |d w| = |d| |w|.
        single = np.flatnonzero(np.bincount(self.layout.owner)[self.layout.owner] == 1)
        sizes = ops.zeros(())
        if len(single):
            cotangents, kernels = (
                ops.take(ops.abs(part), single, axis=-1) for part in (cotangent, kernel)
            )
            sizes = ops.matmul(cotangents, ops.transpose(kernels))
        for group in self.layout.groups:
            if group.task.units > 1:
                task_gradients = ops.einsum(
                    "nku,dku->knd", group.raw(cotangent, ops), group.raw(kernel, ops)
                )
                sizes = sizes + ops.sum(ops.abs(task_gradients), axis=0)
        return sizes

    @cached_property
    def _belongs(self) -> np.ndarray:
        """Return 1.0 where an output column belongs to a task, [units, m]."""
        return (self.layout.owner[:, None] == np.arange(self.balance.tasks)).astype("float32")

    def _gramian(self, cotangent: Tensor, kernel: Tensor) -> Tensor:
        """Return the Gramian of the tasks' gradients, [m, m], of the global batch."""
        products = ops.matmul(ops.transpose(cotangent), cotangent) * ops.matmul(
            ops.transpose(kernel), kernel
        )
        # Add up the products of each pair of tasks; with a column a task there is one.
        if self.layout.units > self.balance.tasks:
            products = ops.matmul(self._belongs.T, ops.matmul(products, self._belongs))
        return sum_over_replicas(products)
