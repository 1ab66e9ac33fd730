"""Small problems over the tasks, solved inside the step: in `keras.ops`, a batch at once, to float32 precision.

The work-horse is a quadratic programme over z >= 0. It is solved by guessing which entries are
positive, solving the linear system on those, and flipping every entry that came out with the wrong
sign, until none does (Kunisch & Rendl 2003). That takes 2 to 6 rounds as a rule and ends at the
exact solution, where a gradient method would end near it. Where it goes in circles, remedies
follow: see `flip_until_right`.

Linear systems of few tasks are solved by LU and not by Cholesky: TensorFlow and PyTorch raise where
rounding has made a Gramian slightly indefinite, and a training must not end over that. Those of
many tasks are solved by conjugate gradients, which are faster there and start from the last round's
solution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from polycera.typing import Tensor

ROUNDS = 100
"""Rounds at most. What is left then is within rounding of a solution, or cut off at 0."""
PATIENCE = 4.0
"""Rounds without progress before the next remedy is tried."""
EPSILON = 1.2e-7
"""One unit in the last place of 1 in float32."""
MANY = 64
"""From so many tasks on, a system is solved by conjugate gradients: a round costs a few products with the matrix."""
MANY_AT_ONCE = 24
"""The same where each task has a system of its own."""

REACH = 70.0
"""How many times the largest weight for orthogonal gradients a fair weight may be: see `fair`. With
70, rounding moves the step by less than 1e-3 of the longest gradient; well-conditioned gradients
need 40 at most in our tests."""
STEEP = 16
"""The power by which the wall at `REACH` rises."""

REGULAR = 1e-5
"""From so much on the diagonal of cosines on, rounding leaves no pivot at 0."""


class Guess(NamedTuple):
    """What a round starts from, for each of k problems.

    Attributes:
        support: [k, m] 1.0 where z may be other than 0.
        z: [k, m] the solution of the round before.
        hold: [k, 1] how strongly z is held at `centre`: adds hold |z - centre|^2 / 2 to the
            objective.
        centre: [k, m].
    """

    support: Tensor
    z: Tensor
    hold: Tensor
    centre: Tensor


Step = Callable[[Guess], tuple[Tensor, Tensor]]


def nudge(m: int) -> float:
    """What is added to a diagonal of ones, so that rounding leaves no pivot at 0, however many rows are equal."""
    return 1e-6 * max(1.0, m / 16)


def on_support(
    matrix: Tensor,
    support: Tensor,
    right: Tensor,
    hold: Tensor | float = 0.0,
    regular: bool = False,
) -> Tensor:
    """Solve (`matrix` + `hold`) z = `right` on each support, z = 0 elsewhere: [m, m], [k, m], [k, m, r] -> [k, m, r].

    A matrix that is not `regular` is nudged, and the solution refined once, which takes out what
    the nudge did.
    """
    m = support.shape[-1]
    nudged = 0.0 if regular else nudge(m)
    eye = ops.eye(m, dtype="float32")
    system = (
        matrix * (support[:, :, None] * support[:, None, :])
        + eye * (1.0 + nudged + hold - support)[:, None, :]
    )
    right = support[:, :, None] * right
    z = ops.solve(system, right)
    return z if regular else z + ops.solve(system, right - (system @ z - nudged * z))


def on_support_by_products(matrix: Tensor, guess: Guess, right: Tensor) -> Tensor:
    """The same for one right side each, [k, m], by conjugate gradients (Hestenes & Stiefel 1952) from a guess.

    Preconditioned by the diagonal, which is 1 unless tasks are regularised differently.
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        return ops.sum(a * b, axis=-1, keepdims=True) + 1e-35

    def times(z: Tensor) -> Tensor:
        return guess.support * (z @ matrix + guess.hold * z)

    def again(z: Tensor, residual: Tensor, along: Tensor, size: Tensor) -> Tensor:
        return ops.any(size > enough)

    def body(z: Tensor, residual: Tensor, along: Tensor, size: Tensor) -> tuple[Tensor, ...]:
        product = times(along)
        length = size / dot(along, product)
        z, residual = z + length * along, residual - length * product
        downhill = residual * shrink
        new = dot(residual, downhill)
        return z, residual, downhill + (new / size) * along, new

    shrink = 1.0 / (ops.diagonal(matrix) + 1e-35 + guess.hold)
    enough = 1e-13 * dot(right, right * shrink)
    z = guess.support * guess.z
    residual = guess.support * right - times(z)
    downhill = residual * shrink
    loop = (z, residual, downhill, dot(residual, downhill))
    return ops.while_loop(again, body, loop, maximum_iterations=100)[0]


def several_on_support(matrix: Tensor, support: Tensor, right: Tensor) -> Tensor:
    """Solve for several right sides on one support, by whichever way is faster: [m, m], [1, m], [r, m] -> [r, m]."""
    if matrix.shape[0] < MANY:
        return ops.transpose(on_support(matrix, support, ops.transpose(right)[None])[0])
    zeros = ops.zeros_like(right)
    return on_support_by_products(matrix, Guess(support + zeros, zeros, zeros[:, :1], zeros), right)


def flip_until_right(step: Step, support: Tensor, hold: float = 0.0) -> Tensor:
    """Find the support [k, m] at which no entry is wrong.

    A problem without progress is held at where it is, by `hold`, which makes its system
    well-conditioned; whenever no entry is wrong it is held anew, until it stays where it is
    (Rockafellar's proximal point method, 1976). Without progress even so, entries are flipped one
    at a time.

    Args:
        step: a guess -> the solution on its support [k, m], and 1.0 where an entry belongs on the
            other side.
        support: where to start; 1.0 is in, 0.0 is out.
        hold: how strongly to hold. Steps that do not look at it are not held.

    Returns:
        The solution [k, m] of the last round.
    """
    order = ops.arange(1, support.shape[-1] + 1, dtype="float32")

    def again(guess: Guess, wrong: Tensor, best: Tensor, left: Tensor, moved: Tensor) -> Tensor:
        return ops.any(ops.max(wrong, axis=-1, keepdims=True) + moved > 0.5)

    def body(
        guess: Guess, wrong: Tensor, best: Tensor, left: Tensor, moved: Tensor
    ) -> tuple[Any, ...]:
        ranked = order * wrong
        last = ops.cast(ranked >= ops.max(ranked, axis=-1, keepdims=True), "float32")
        single = ops.cast(left < -PATIENCE, "float32")
        flips = wrong * (1.0 - single + single * last)
        support = guess.support + flips * (1.0 - 2.0 * guess.support)
        holding = ops.cast(left < 0.5, "float32")
        # Held anew where nothing was wrong, or from the round on in which holding begins.
        anew = ops.maximum(
            1.0 - ops.max(wrong, axis=-1, keepdims=True), ops.cast(guess.hold <= 0, "float32")
        )
        centre = anew * ops.relu(guess.z) + (1.0 - anew) * guess.centre
        began = holding * ops.cast(guess.hold <= 0, "float32")
        guess = Guess(support, guess.z, hold * holding, centre)
        z, wrong = step(guess)
        number = ops.sum(wrong, axis=-1, keepdims=True)
        size = ops.sum(ops.abs(z), axis=-1, keepdims=True)
        moved = ops.cast(
            guess.hold * ops.sum(ops.abs(z - centre), axis=-1, keepdims=True) > 1e-7 * size,
            "float32",
        )
        better = ops.maximum(ops.cast(number < best, "float32"), began)
        best = began * number + (1.0 - began) * ops.minimum(number, best)
        fewer = ops.cast(number > 0.5, "float32") * (1.0 - better)
        return Guess(support, z, guess.hold, centre), wrong, best, left - fewer, moved

    zeros = ops.zeros_like(support)
    column = ops.sum(zeros, axis=-1, keepdims=True)
    guess = Guess(support, zeros, column, zeros)
    z, wrong = step(guess)
    best = ops.sum(wrong, axis=-1, keepdims=True)
    loop = (Guess(support, z, column, zeros), wrong, best, column + PATIENCE, column)
    return ops.while_loop(again, body, loop, maximum_iterations=ROUNDS)[0].z


def is_wrong(support: Tensor, z: Tensor, gradient: Tensor, size: Tensor) -> Tensor:
    """1.0 where z is negative inside the support or its gradient is negative outside, by more than rounding [k, m]."""
    rounding = 4 * EPSILON * (ops.sum(ops.abs(z), axis=-1, keepdims=True) + size)
    return ops.cast(support * z + (1.0 - support) * gradient < -rounding, "float32")


def nonnegative(
    matrix: Tensor,
    linear: Tensor,
    free: Tensor,
    support: Tensor | None = None,
    regular: bool = False,
) -> Tensor:
    """Minimise z' `matrix` z / 2 - `linear`' z over z >= 0, for each row of `linear`.

    Args:
        matrix: [m, m] positive semi-definite, with a diagonal of 1 or more where free.
        linear: [k, m] one problem a row.
        free: [m] 1.0 where z may be positive, 0.0 where it stays 0.
        support: [k, m] a guess where z is positive; all that are free if left out.
        regular: whether the matrix is invertible whatever is rounded, because its diagonal is
            regularised.

    Returns:
        z [k, m].
    """
    k, m = linear.shape
    size = ops.abs(linear)

    def step(guess: Guess) -> tuple[Tensor, Tensor]:
        right = linear + guess.hold * guess.centre
        if m < (MANY if k == 1 else MANY_AT_ONCE):
            z = on_support(matrix, guess.support, right[:, :, None], guess.hold, regular)[:, :, 0]
        else:
            z = on_support_by_products(matrix, guess, right)
        return z, free * is_wrong(guess.support, z, z @ matrix + guess.hold * z - right, size)

    start = free + ops.zeros_like(linear) if support is None else support
    return ops.relu(flip_until_right(step, start, hold=1e-4 * m))


def eigen(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues [m] in rising order, eigenvectors [m, m], and 1.0 where an eigenvalue is more than rounding [m]."""
    values, vectors = ops.eigh(matrix)
    return (
        values,
        vectors,
        ops.cast(values > max(matrix.shape[0], 8) * EPSILON * values[-1], "float32"),
    )


def divided(values: Tensor, vectors: Tensor, kept: Tensor, right: Tensor) -> Tensor:
    """`right` [m] divided by a matrix, given its eigenvalues, eigenvectors, and which of them count."""
    along = (right[None, :] @ vectors) * (kept / (kept * values + (1.0 - kept)))
    return (along @ ops.transpose(vectors))[0]


def pseudo_inverse(matrix: Tensor, right: Tensor) -> Tensor:
    """The shortest least-squares solution of `matrix` x = `right`: [m, m], [m] -> [m]."""
    return divided(*eigen(matrix), right)


def divide(matrix: Tensor, right: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """As `pseudo_inverse`, and whether the matrix is invertible on what is active ([m], []).

    Many tasks are tried by LU first, which takes a fifth of the time. Its answer for a second,
    arbitrary right side would be large if the matrix were near to singular.
    """
    m = matrix.shape[0]

    def surely() -> tuple[Tensor, Tensor]:
        values, vectors, kept = eigen(matrix)
        return divided(values, vectors, kept, right), ops.sum(kept) > ops.sum(active) - 0.5

    if m < MANY:
        return surely()
    sides = ops.stack([right, ops.cos(ops.arange(m, dtype="float32"))], axis=-1)
    system = matrix + (1.0 + nudge(m) - active) * ops.eye(m, dtype="float32")
    quick = active[:, None] * ops.solve(system, active[:, None] * sides)
    good = ops.max(ops.abs(quick)) < 1e3
    return ops.cond(good, lambda: (quick[:, 0], ops.max(active) > -1.0), surely)


def on_simplex(point: Tensor, free: Tensor) -> Tensor:
    """The nearest point [m] that adds up to 1, is nowhere negative, and 0 where not free (Duchi et al. 2008).

    What is taken off every entry is the largest, over k, of the mean by which the k largest add up
    to more than 1.
    """
    m = point.shape[0]
    falling = ops.flip(ops.sort(ops.where(free > 0, point, -1e30)))
    excess = (ops.cumsum(falling) - 1.0) / ops.arange(1, m + 1, dtype="float32")
    return ops.relu(point - ops.max(excess)) * free


def fair(cosines: Tensor, gain: Tensor, alpha: float, active: Tensor) -> Tensor:
    """Solve C x = `gain` * x^(-1 / alpha) for x > 0 where active, with x kept within `REACH`.

    The solution minimises x'Cx / 2 less the tasks' utility. Where gradients cancel out it does not
    exist: x grows without bound along directions that leave x'Cx at 0, and rounding decides. So the
        convex function has one term
    more, a wall that rises from about half of `REACH` times the solution for C = 1: below, the term
    is nothing beside rounding; near it, the solution is unique and does not see the order of the
    tasks.

    Newton's method on a convex function, in the logarithm of x, from the best multiple of the
    solution for C = 1.

    Args:
        cosines: [m, m] positive semi-definite with a diagonal of 1.
        gain: [m] positive.
        alpha: positive.
        active: [m] 1.0 where x is wanted; it is 0 elsewhere.

    Returns:
        x [m].
    """
    eye = ops.eye(active.shape[0], dtype="float32")
    matrix = cosines + EPSILON * eye
    safer = cosines + nudge(active.shape[0]) * eye
    power = 1.0 - 1.0 / alpha
    alone = gain ** (alpha / (alpha + 1.0))  # the solution where gradients are orthogonal
    farthest = REACH * ops.max(active * alone)
    height = ops.max(active * gain * alone**power)

    def again(x: Tensor, change: Tensor) -> Tensor:
        return ops.max(ops.abs(change)) > 3e-5

    def body(x: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        utility = gain * x**power
        wall = height * (x / farthest) ** STEEP
        root = ops.sqrt(utility / alpha + STEEP * wall)
        scale = x / root
        system = eye + scale[:, None] * safer * scale[None, :]
        slope = (utility - wall - x * (matrix @ x[:, None])[:, 0]) / root
        change = active * ops.solve(system, slope[:, None])[:, 0] / root
        change = change / (1.0 + ops.relu(ops.max(ops.abs(change)) - 1.0))
        return ops.minimum(x * ops.exp(change), 2.0 * farthest), change

    slope = ops.sum(active * gain * alone**power)
    steep = ops.sum(active * alone * (safer @ (active * alone)[:, None])[:, 0])
    # rounding can make it negative
    steep = ops.maximum(steep, 1e-6 * ops.sum(active * alone * alone))
    x = alone * ((slope + 1e-35) / (steep + 1e-35)) ** (alpha / (alpha + 1.0))
    loop = (ops.minimum(x, farthest), active)
    return active * ops.while_loop(again, body, loop, maximum_iterations=ROUNDS)[0]
