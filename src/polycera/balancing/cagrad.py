"""Compute CAGrad: the step near the mean gradient that is best for the worst-off task."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import BalancingMethod, Paper, Rows, State, StepGradients
from polycera.balancing.solvers import (
    EPSILON,
    Guess,
    flip_until_right,
    is_wrong,
    nonnegative,
    several_on_support,
)
from polycera.typing import Tensor

HOLD = 1e-5
"""Strength of the proximal term on the multipliers.

It is just large enough to make the step unique and independent of the order of the tasks.
"""

HALVINGS = 20
"""Maximum number of bisections of the level, where the search on supports does not converge."""


@dataclass(frozen=True)
class CAGrad(BalancingMethod):
    """Take the step in a ball around the mean gradient from which the worst-off task gains most.

    Liu et al. 2021, arXiv:2110.14048, eq. 2 and algorithm 1: with the mean gradient g, maximise
    min_i g_i . d over |d - g| <= c |g|. The solution is d = g + (c |g| / |g_w|) g_w with w on the
    simplex minimising g_w . g + c |g| |g_w|. c = 0 is the mean; with c < 1 the mean loss still
    falls; a large c tends to MGDA.

    Scale: changes with each task's scale; long gradients determine the mean, short ones are the
        worst-off.

    Where we differ: instead of w we compute the level t that all tasks reach, and the multipliers
        of the tasks that just reach it. A few linear systems give both exactly. A task without a
        gradient gains nothing from any step. It is left out of the worst case, where the paper's
        text leaves the step undefined and TorchJD gives none. The step is not divided by 1 + c^2,
        as in some of the authors' scripts. Where gradients depend on each other linearly, the
        shortest multipliers are taken.

    Attributes:
        c: the radius of the ball as a multiple of the norm of the mean gradient, at least 0.

    Examples:
        >>> import numpy as np
        >>> from polycera.balancing import StepGradients, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("cagrad").update({}, StepGradients(gramian, ones, ones, ones, ones))
        >>> [round(float(w), 2) for w in weights]
        [1.89, 1.0]
    """

    name = "cagrad"
    title = "CAGrad"
    paper = Paper("Liu et al.", 2021, "2110.14048")
    cost = "O(m^3), 2 to 8 solves"
    when = "a compromise between the mean and MGDA that you can set"

    c: float = 0.4

    def limits(self) -> None:
        self.check("c", self.c >= 0, "a number of at least 0; below 1 the mean loss still falls")

    def weigh(self, state: State, gradients: StepGradients, rows: Rows) -> tuple[State, Tensor]:
        if self.c == 0:
            return state, gradients.present
        mean = rows.norms * rows.share  # as coefficients of unit vectors
        toward = (mean[None, :] @ rows.cosines)[0]
        radius2 = self.c**2 * ops.relu(ops.sum(mean * toward))
        # Where gradients are linearly dependent, many z give the same step, and rounding would
        # choose among them. So a proximal term holds z, first at 0 and then at the first solution.
        # The second pass removes the bias of the first (proximal point method).
        z = reached(rows, toward, radius2, ops.zeros_like(toward), rows.active)
        z = reached(rows, toward, radius2, z, ops.cast(z > 0, "float32"))
        # This is radius2 unless the search was cut off; then z is scaled back into the ball.
        square = ops.sum(z * (z[None, :] @ rows.cosines)[0])
        z = z * ops.sqrt(radius2 / (ops.maximum(square, radius2) + 1e-35))
        return state, 1.0 + rows.count * z / rows.lengths


def reached(rows: Rows, toward: Tensor, radius2: Tensor, centre: Tensor, support: Tensor) -> Tensor:
    """Return the multipliers z [m] of the highest level that all tasks reach within the ball.

    Args:
        rows: the angles and lengths of the gradients.
        toward: [m] the gain of each task along the mean gradient, for unit gradients.
        radius2: [] the squared radius of the ball.
        centre: [m] the point at which the proximal term holds z.
        support: [m] an initial guess: 1.0 where z is positive, else 0.0.
    """
    damped = rows.cosines + HOLD * ops.eye(centre.shape[0], dtype="float32")
    pulled = toward - HOLD * centre
    right = ops.stack([rows.inverse, pulled])
    size = ops.abs(toward)

    def level_on(support: Tensor) -> tuple[Tensor, Tensor]:
        """Return the level at which the step on this support leaves the ball, and z there."""
        solved = several_on_support(damped, support, right)
        # z is linear in the level: z = level * up - down.
        up, down = solved[:1], solved[1:]
        a = ops.sum(up * rows.inverse, axis=-1, keepdims=True) + 1e-35
        b = ops.sum(up * toward, axis=-1, keepdims=True)
        c = ops.sum(down * (toward + HOLD * centre), axis=-1, keepdims=True) + HOLD * ops.sum(
            centre * centre
        )
        # The larger root of the quadratic equation |step|^2 = radius2 in the level.
        level = (b + ops.sqrt(ops.relu(b * b - a * (c - radius2)))) / a
        return level, level * up - down

    def step(guess: Guess) -> tuple[Tensor, Tensor]:
        level, z = level_on(guess.support)
        target = level * rows.inverse
        gradient = z @ damped + pulled - target
        return z, rows.active * is_wrong(guess.support, z, gradient, size + ops.abs(target))

    def beyond(z: Tensor) -> Tensor:
        """Return 1.0 where z is outside the ball, so that its support reaches no level.

        Outside means by more than rounding.
        """
        offset = z - centre
        square = ops.sum(z * (z @ rows.cosines)) + HOLD * ops.sum(offset * offset)
        rounding = 10 * EPSILON * ops.sum(ops.abs(z)) ** 2
        return ops.cast(square > 1.01 * radius2 + rounding, "float32")

    def checked(z: Tensor) -> Tensor:
        """Return 1.0 at each wrong entry of z, or at all entries where z is outside the ball."""
        _, wrong = step(Guess(ops.cast(z > 0, "float32"), z, centre[:1, None], z))
        return ops.maximum(wrong, beyond(z))

    def unsettled(z: Tensor, wrong: Tensor, low: Tensor, high: Tensor) -> Tensor:
        return ops.any(wrong > 0.5)

    def halve(z: Tensor, wrong: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, ...]:
        level, _ = level_on(ops.cast(z > 0, "float32"))
        middle = 0.5 * (low + high)
        # Take the level of the support where it lies between the bounds. Otherwise bisect.
        level = ops.where(ops.logical_and(level > low, level < high), level, middle)
        z = nonnegative(
            damped, level * rows.inverse - pulled, rows.active, ops.cast(z > 0, "float32"), True
        )
        inside = beyond(z) < 0.5
        low, high = ops.where(inside, level, low), ops.where(inside, high, level)
        return z, checked(z), low, high

    z = ops.relu(flip_until_right(step, support[None]))
    # The level changes with the support, so the search above may cycle. With a fixed level it
    # cannot. So bisect the level where an entry is still wrong.
    shortest = rows.inverse + (1.0 - rows.active)
    low = ops.min(ops.where(rows.active > 0, toward / shortest, 1e30), keepdims=True)[None]
    high = ops.min(
        ops.where(rows.active > 0, (toward + ops.sqrt(radius2)) / shortest, 1e30), keepdims=True
    )[None]
    return ops.while_loop(
        unsettled, halve, (z, checked(z), low, high), maximum_iterations=HALVINGS
    )[0][0]
