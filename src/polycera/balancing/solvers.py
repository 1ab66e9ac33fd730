"""Solve small problems over the tasks inside a training step, in batches, to float32 precision.

Everything is written in `keras.ops`.

The main solver is for a quadratic programme over z >= 0. It guesses which entries are positive,
solves the linear system on those, and flips every entry that came out with the wrong sign, until
none is wrong (Kunisch & Rendl 2003). That takes 2 to 6 rounds as a rule and ends at the exact
solution, where a gradient method would end near it. Where the search cycles, remedies follow: see
`flip_until_right`.

Linear systems of few tasks are solved by LU and not by Cholesky: TensorFlow and PyTorch raise where
rounding has made a Gramian slightly indefinite, and a training must not end because of that.
Systems of many tasks are solved by conjugate gradients, which are faster there and start from the
solution of the last round.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from keras import ops

from polycera.typing import Tensor

ROUNDS = 100
"""Maximum number of rounds. A result after that is near a solution, or is cut off at 0."""
PATIENCE = 4.0
"""Number of rounds without progress before the next remedy is tried."""
EPSILON = 1.2e-7
"""Unit in the last place of 1 in float32."""
MANY = 64
"""Number of tasks from which a system is solved by conjugate gradients.

A round then costs a few products with the matrix.
"""
MANY_AT_ONCE = 24
"""Number of tasks from which conjugate gradients are used where each task has its own system."""

REACH = 70.0
"""Limit of a fair weight, as a multiple of the largest weight for orthogonal gradients: see `fair`.

With 70, rounding moves the step by less than 1e-3 of the longest gradient; well-conditioned
gradients need 40 at most in our tests.
"""
STEEP = 16
"""Exponent with which the wall at `REACH` rises."""

REGULAR = 1e-5
"""Regularisation of the cosines' diagonal from which rounding leaves no pivot at 0."""


class Guess(NamedTuple):
    """Hold the starting point of a round, for each of k problems.

    Attributes:
        support: [k, m] 1.0 where z may be other than 0.
        z: [k, m] the solution of the round before.
        hold: [k, 1] the strength of the proximal term hold |z - centre|^2 / 2 in the objective.
        centre: [k, m] the point at which the proximal term holds z.
    """

    support: Tensor
    z: Tensor
    hold: Tensor
    centre: Tensor


Step = Callable[[Guess], tuple[Tensor, Tensor]]
"""Map a guess to the solution on its support [k, m], and 1.0 at each wrong entry [k, m]."""


def nudge(m: int) -> float:
    """Return the addition to a diagonal of ones with which rounding leaves no pivot at 0.

    It is enough for any number of equal rows.
    """
    return 1e-6 * max(1.0, m / 16)


def on_support(
    matrix: Tensor,
    support: Tensor,
    right: Tensor,
    hold: Tensor | float = 0.0,
    regular: bool = False,
) -> Tensor:
    """Solve (`matrix` + `hold`) z = `right` on each support; z is 0 elsewhere.

    A small number is added to the diagonal of a matrix that is not `regular`. Then the solution is
    refined once, which removes the effect of the addition.

    Args:
        matrix: [m, m] symmetric.
        support: [k, m] 1.0 where z may be other than 0.
        right: [k, m, r] the right sides.
        hold: a number or [k, 1], added to the diagonal.
        regular: whether rounding leaves no pivot of the matrix at 0.

    Returns:
        z [k, m, r].
    """
    m = support.shape[-1]
    nudged = 0.0 if regular else nudge(m)
    eye = ops.eye(m, dtype="float32")
    # Entries outside the support get the equation z = 0.
    system = (
        matrix * (support[:, :, None] * support[:, None, :])
        + eye * (1.0 + nudged + hold - support)[:, None, :]
    )
    right = support[:, :, None] * right
    z = ops.solve(system, right)
    return z if regular else z + ops.solve(system, right - (system @ z - nudged * z))


def on_support_by_products(matrix: Tensor, guess: Guess, right: Tensor) -> Tensor:
    """Solve the system of `on_support` for one right side each by conjugate gradients.

    Hestenes & Stiefel 1952, starting from the solution in the guess. The preconditioner is the
    diagonal, which is 1 unless tasks are regularised differently.

    Args:
        matrix: [m, m] symmetric.
        guess: the supports, the starting points and the strength of the proximal term.
        right: [k, m] the right sides.

    Returns:
        z [k, m].
    """

    def dot(a: Tensor, b: Tensor) -> Tensor:
        # The addition keeps quotients finite in problems that are solved already.
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
    # Of squares: a residual of 3e-7 of the right side, about the precision of float32.
    enough = 1e-13 * dot(right, right * shrink)
    z = guess.support * guess.z
    residual = guess.support * right - times(z)
    downhill = residual * shrink
    loop = (z, residual, downhill, dot(residual, downhill))
    return ops.while_loop(again, body, loop, maximum_iterations=100)[0]


def several_on_support(matrix: Tensor, support: Tensor, right: Tensor) -> Tensor:
    """Solve for several right sides on one support, by the method that is faster.

    Args:
        matrix: [m, m] symmetric.
        support: [1, m] 1.0 where the solution may be other than 0.
        right: [r, m] the right sides.

    Returns:
        The solutions [r, m].
    """
    if matrix.shape[0] < MANY:
        return ops.transpose(on_support(matrix, support, ops.transpose(right)[None])[0])
    zeros = ops.zeros_like(right)
    return on_support_by_products(matrix, Guess(support + zeros, zeros, zeros[:, :1], zeros), right)


def flip_until_right(step: Step, support: Tensor, hold: float = 0.0) -> Tensor:
    """Search the support [k, m] at which no entry is wrong.

    A problem without progress gets a proximal term of strength `hold` at its present solution,
    which makes its system well-conditioned. Whenever no entry is wrong, the centre of the term
    moves to the new solution, until the solution stays the same (Rockafellar's proximal point
    method, 1976). Without progress even then, entries are flipped one at a time.

    Args:
        step: maps a guess to the solution on its support [k, m], and 1.0 where an entry belongs on
            the other side.
        support: [k, m] where to start; 1.0 is in, 0.0 is out.
        hold: the strength of the proximal term. It has no effect on steps that do not use it.

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
        # Always the same entry of all wrong ones: single flips in a fixed order do not cycle.
        last = ops.cast(ranked >= ops.max(ranked, axis=-1, keepdims=True), "float32")
        single = ops.cast(left < -PATIENCE, "float32")
        flips = wrong * (1.0 - single + single * last)
        support = guess.support + flips * (1.0 - 2.0 * guess.support)
        holding = ops.cast(left < 0.5, "float32")
        # Move the centre where nothing was wrong, and in the round in which holding begins.
        recentred = ops.maximum(
            1.0 - ops.max(wrong, axis=-1, keepdims=True), ops.cast(guess.hold <= 0, "float32")
        )
        centre = recentred * ops.relu(guess.z) + (1.0 - recentred) * guess.centre
        began = holding * ops.cast(guess.hold <= 0, "float32")
        guess = Guess(support, guess.z, hold * holding, centre)
        z, wrong = step(guess)
        number = ops.sum(wrong, axis=-1, keepdims=True)
        size = ops.sum(ops.abs(z), axis=-1, keepdims=True)
        moved = ops.cast(
            guess.hold * ops.sum(ops.abs(z - centre), axis=-1, keepdims=True) > 1e-7 * size,
            "float32",
        )
        # Progress is a new minimum of wrong entries; the round in which holding begins counts too.
        better = ops.maximum(ops.cast(number < best, "float32"), began)
        # Holding changes the problem, so the count of wrong entries before it is no standard.
        best = began * number + (1.0 - began) * ops.minimum(number, best)
        without_progress = ops.cast(number > 0.5, "float32") * (1.0 - better)
        return Guess(support, z, guess.hold, centre), wrong, best, left - without_progress, moved

    zeros = ops.zeros_like(support)
    column = ops.sum(zeros, axis=-1, keepdims=True)
    guess = Guess(support, zeros, column, zeros)
    z, wrong = step(guess)
    best = ops.sum(wrong, axis=-1, keepdims=True)
    loop = (Guess(support, z, column, zeros), wrong, best, column + PATIENCE, column)
    return ops.while_loop(again, body, loop, maximum_iterations=ROUNDS)[0].z


def is_wrong(support: Tensor, z: Tensor, gradient: Tensor, size: Tensor) -> Tensor:
    """Return 1.0 where z is negative inside the support or its gradient outside of it [k, m].

    Negative means by more than rounding.
    """
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
        support: [k, m] a guess where z is positive; by default all entries that are free.
        regular: whether the diagonal of the matrix is regularised, so that it is invertible in
            spite of rounding.

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
    """Return the eigenvalues, the eigenvectors, and which eigenvalues are more than rounding.

    Args:
        matrix: [m, m] symmetric.

    Returns:
        The eigenvalues [m] in rising order, the eigenvectors [m, m] as columns, and 1.0 where an
        eigenvalue is more than rounding, else 0.0 [m].
    """
    values, vectors = ops.eigh(matrix)
    return (
        values,
        vectors,
        ops.cast(values > max(matrix.shape[0], 8) * EPSILON * values[-1], "float32"),
    )


def divided(values: Tensor, vectors: Tensor, usable: Tensor, right: Tensor) -> Tensor:
    """Return the pseudo-inverse of a matrix times `right` [m].

    Args:
        values, vectors, usable: what `eigen` returns for the matrix.
        right: [m] the right side.
    """
    # An eigenvalue that does not count is replaced by 1, so that the division is safe.
    along = (right[None, :] @ vectors) * (usable / (usable * values + (1.0 - usable)))
    return (along @ ops.transpose(vectors))[0]


def pseudo_inverse(matrix: Tensor, right: Tensor) -> Tensor:
    """Return the shortest least-squares solution of `matrix` [m, m] x = `right` [m]."""
    return divided(*eigen(matrix), right)


def divide(matrix: Tensor, right: Tensor, active: Tensor) -> tuple[Tensor, Tensor]:
    """Return what `pseudo_inverse` gives, and whether the matrix is invertible.

    Many tasks are tried by LU first, which takes a fifth of the time. If the matrix were near to
    singular, the solution for a second, arbitrary right side would be large.

    Args:
        matrix: [m, m] positive semi-definite.
        right: [m] the right side.
        active: [m] 1.0 for the rows that count; the others are 0.

    Returns:
        The solution [m], and whether the matrix is invertible on the active rows [].
    """
    m = matrix.shape[0]

    def surely() -> tuple[Tensor, Tensor]:
        values, vectors, usable = eigen(matrix)
        return divided(values, vectors, usable, right), ops.sum(usable) > ops.sum(active) - 0.5

    if m < MANY:
        return surely()
    sides = ops.stack([right, ops.cos(ops.arange(m, dtype="float32"))], axis=-1)
    system = matrix + (1.0 + nudge(m) - active) * ops.eye(m, dtype="float32")
    solutions = active[:, None] * ops.solve(system, active[:, None] * sides)
    invertible = ops.max(ops.abs(solutions)) < 1e3
    # Always true, but a tensor: both branches of `cond` must return the same types.
    return ops.cond(invertible, lambda: (solutions[:, 0], ops.max(active) > -1.0), surely)


def on_simplex(point: Tensor, free: Tensor) -> Tensor:
    """Return the nearest point [m] on the simplex whose entries that are not free are 0.

    Duchi et al. 2008: the number that is subtracted from every entry is the largest, over k, of
    (sum of the k largest entries - 1) / k.

    Args:
        point: [m] the point to project.
        free: [m] 1.0 where an entry may be positive, else 0.0.
    """
    m = point.shape[0]
    # Entries that are not free come last in falling order, and never give the largest excess.
    falling = ops.flip(ops.sort(ops.where(free > 0, point, -1e30)))
    excess = (ops.cumsum(falling) - 1.0) / ops.arange(1, m + 1, dtype="float32")
    return ops.relu(point - ops.max(excess)) * free


def fair(cosines: Tensor, gain: Tensor, alpha: float, active: Tensor) -> Tensor:
    """Solve C x = `gain` * x^(-1 / alpha) for x > 0 where active, with x bounded by `REACH`.

    The solution minimises x'Cx / 2 less the tasks' utility. Where gradients cancel out it does not
    exist: x grows without bound along directions that leave x'Cx at 0, and rounding decides. So the
    convex function has one more term, a wall that rises from about half of `REACH` times the
    solution for C = 1. Below that, the term is smaller than rounding. Near it, the solution is
    unique and does not depend on the order of the tasks.

    The method is Newton's on a convex function, in the logarithm of x, starting from the best
    multiple of the solution for C = 1.

    Args:
        cosines: [m, m] positive semi-definite with a diagonal of 1.
        gain: [m] positive.
        alpha: positive.
        active: [m] 1.0 where x is to be computed; it is 0 elsewhere.

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
        # Scaled so that the Hessian's diagonal part is 1: no eigenvalue of the system is below 1.
        system = eye + scale[:, None] * safer * scale[None, :]
        slope = (utility - wall - x * (matrix @ x[:, None])[:, 0]) / root
        change = active * ops.solve(system, slope[:, None])[:, 0] / root
        # A step of at most 1 in the logarithm: far from the solution Newton's step overshoots.
        change = change / (1.0 + ops.relu(ops.max(ops.abs(change)) - 1.0))
        # The bound keeps the wall within 2**STEEP times its height.
        return ops.minimum(x * ops.exp(change), 2.0 * farthest), change

    slope = ops.sum(active * gain * alone**power)
    steep = ops.sum(active * alone * (safer @ (active * alone)[:, None])[:, 0])
    # Rounding can make it negative; a root of it is taken below.
    steep = ops.maximum(steep, 1e-6 * ops.sum(active * alone * alone))
    x = alone * ((slope + 1e-35) / (steep + 1e-35)) ** (alpha / (alpha + 1.0))
    loop = (ops.minimum(x, farthest), active)
    return active * ops.while_loop(again, body, loop, maximum_iterations=ROUNDS)[0]
