"""CAGrad: the step near the mean gradient that serves the worst-off task best."""

from __future__ import annotations

from dataclasses import dataclass

from keras import ops

from polycera.balancing.method import Method, Paper, Rows, Seen, State
from polycera.balancing.solvers import Guess, flip_until_right, is_wrong, several_on_support
from polycera.shapes import Tensor


@dataclass(frozen=True)
class CAGrad(Method):
    """Within a ball around the mean gradient, take the step along which the worst-off task gains most.

    Liu et al. 2021, arXiv:2110.14048, eq. 2 and algorithm 1: with the mean gradient g, maximise min_i g_i . d over
    |d - g| <= c |g|; the solution is d = g + (c |g| / |g_w|) g_w with w on the simplex minimising
    g_w . g + c |g| |g_w|. c = 0 is the mean; with c < 1 the mean loss still falls; a large c tends to MGDA.

    Scale: changes with each task's scale; long gradients make the mean, short ones are the worst-off.

    Where we differ: instead of w we look for the level t that all tasks reach and the multipliers of those that just
    reach it, which a few linear systems give exactly. A task without a gradient gains nothing from any step: it is left
    out of the worst case, where the paper's text leaves the step undefined and TorchJD gives none. The step is not
    divided by 1 + c^2, as some of the authors' scripts do.

    Attributes:
        c: the radius of the ball in norms of the mean, at least 0.

    Example:
        >>> import numpy as np
        >>> from polycera.balancing import Seen, get
        >>> gramian, ones = np.diag([1.0, 4.0]).astype("float32"), np.ones(2, "float32")
        >>> _, weights = get("cagrad").update({}, Seen(gramian, ones, ones, ones, ones))
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

    def weigh(self, state: State, seen: Seen, rows: Rows) -> tuple[State, Tensor]:
        if self.c == 0:
            return state, seen.present
        mean = rows.norms * rows.share  # in unit vectors
        toward = (mean[None, :] @ rows.cosines)[0]
        radius2 = self.c**2 * ops.relu(ops.sum(mean * toward))
        right = ops.stack([rows.inverse, toward])

        def step(guess: Guess) -> tuple[Tensor, Tensor]:
            solved = several_on_support(rows.cosines, guess.support, right)
            up, down = solved[:1], solved[1:]
            a = ops.sum(up * rows.inverse, axis=-1, keepdims=True) + 1e-35
            b = ops.sum(up * toward, axis=-1, keepdims=True)
            c = ops.sum(down * toward, axis=-1, keepdims=True)
            level = (b + ops.sqrt(ops.relu(b * b - a * (c - radius2)))) / a
            z = level * up - down
            wanted = level * rows.inverse
            gradient = z @ rows.cosines + toward - wanted
            return z, rows.active * is_wrong(guess.support, z, gradient, ops.abs(toward) + ops.abs(wanted))

        z = ops.relu(flip_until_right(step, rows.active[None]))
        square = ops.sum(z * (z @ rows.cosines))  # is radius2, unless rounding kept the search from ending
        z = z[0] * ops.sqrt(radius2 / (ops.maximum(square, radius2) + 1e-35))
        return state, 1.0 + rows.count * z / rows.lengths
