"""Test balancing against TorchJD, closed forms, float64 solutions, and the papers' toy problem."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from gramians import KINDS, apart, cosines, gramian, jacobian, lengths, single, step, weights
from small import once

from polycera.balancing import StepGradients, get, names

# A method is one text for all backends, and of each size a graph of its own: other sizes than 5,
# and other hyperparameters, are compared once.
SIZES = (5, pytest.param(2, marks=once), pytest.param(40, marks=once))
TOLERANCE = 1e-4
EXACT = tuple(kind for kind in KINDS if kind != "apart")  # where float64 references can be trusted

each_size = pytest.mark.parametrize("m", SIZES)
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def torchjd() -> Any:
    """TorchJD's aggregators; its solvers are extras of its own."""
    for needed in ("torchjd", "quadprog", "qpsolvers", "cvxpy", "clarabel", "ecos"):
        pytest.importorskip(
            needed, reason=f"TorchJD as a reference needs {needed}, which is not installed"
        )
    import torchjd.aggregation

    return torchjd.aggregation


def tensor(array: np.ndarray) -> Any:
    import torch

    return torch.tensor(np.asarray(array, "float64"))


def theirs(aggregator: Any, gramian: np.ndarray) -> np.ndarray:
    """TorchJD's weights in float64 [m] for a Gramian over its trace; m times those of a mean."""
    return aggregator.gramian_weighting(tensor(gramian / np.trace(gramian))).numpy() * len(gramian)


# -- weights that have one value -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@each_size
@each_kind
def test_weights_are_torchjds(torchjd: Any, kind: str, m: int, name: str) -> None:
    aggregator = {"upgrad": torchjd.UPGrad, "dualproj": torchjd.DualProj}[name]
    method = get({"name": name, "relative": "trace"})
    for seed in range(3):
        g = gramian(kind, m, seed)
        assert apart(weights(method, g), theirs(aggregator(), g)) < TOLERANCE


@pytest.mark.parametrize("name", ["upgrad", "dualproj"])
@each_size
@each_kind
def test_each_task_is_protected_in_its_own_units(
    torchjd: Any, kind: str, m: int, name: str
) -> None:
    """Regularisation scales with each norm by default: the reference is TorchJD on unit vectors."""
    from torchjd.linalg import QuadprogProjector

    g = gramian(kind, m)
    method, d, norms = get(name), lengths(g), np.sqrt(np.diag(g))
    matrix = tensor(
        cosines(g) + method.regularization * np.diag(np.diag(g) > 0) + np.diag(np.diag(g) == 0)
    )  # type: ignore[attr-defined]
    project = QuadprogProjector(norm_eps=0.0, reg_eps=0.0)
    if name == "upgrad":
        expected = norms @ project(tensor(np.eye(m)), matrix).numpy() / d
    else:
        expected = project(tensor(norms / norms.max()), matrix).numpy() * norms.max() / d
    active = np.diag(g) > 0
    ours = weights(method, g)
    assert apart(ours[active], expected[active], d[active]) < (
        TOLERANCE if kind != "dependent" else 1e-3
    )


@each_size
@each_kind
def test_pcgrad_and_gradvac_are_torchjds_in_one_order(
    torchjd: Any, kind: str, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "idle":
        pytest.skip("TorchJD divides by a norm of 0")
    g, noise = gramian(kind, m), np.random.default_rng(m).random(m)
    order, vaccinated, calls = list(np.argsort(noise)), torchjd.GradVac(eps=0.0), iter(range(10**6))

    # PCGrad asks for all m, GradVac for the others of task 0, 1, ...
    def one_order(n: int, **_: Any) -> Any:
        mine = next(calls) % m
        others = [j for j in range(m) if n == m or j != mine]
        return tensor([others.index(j) for j in order if j in others]).long()

    monkeypatch.setattr("torch.randperm", one_order)
    d = lengths(g)
    assert (
        apart(weights(get("pcgrad"), g, noise=noise), theirs(torchjd.PCGrad(), g) / m, d)
        < TOLERANCE
    )
    # sines of 0 and 1e-4 are alike in float32
    state, tolerance = (None, TOLERANCE if kind != "dependent" else 1e-2)
    for _ in range(3):
        state, ours = step(get("gradvac"), state, g, noise=noise)
        assert apart(ours, theirs(vaccinated, g) / m, d) < tolerance


@each_size
@pytest.mark.parametrize("kind", EXACT)
def test_imtl_g_is_torchjds(torchjd: Any, kind: str, m: int) -> None:
    exact = jacobian(kind, m)
    # of the exact Gramian: float64 must see the rank
    reference = theirs(torchjd.IMTLG(), exact @ exact.T)
    assert apart(weights(get("imtl_g"), exact @ exact.T), reference) < TOLERANCE


@each_size
def test_imtl_g_serves_tasks_twelve_orders_of_magnitude_apart(m: int) -> None:
    g = gramian("apart", m)
    expected = np.linalg.solve(cosines(g), np.ones(m)) / lengths(g)
    assert apart(weights(get("imtl_g"), g), m * expected / expected.sum()) < TOLERANCE


@pytest.mark.parametrize(
    ("scale", "m"),
    [
        ("min", 5),
        *(
            pytest.param(scale, m, marks=once)
            for scale, m in (("min", 2), ("min", 40), ("median", 5), ("rmse", 5))
        ),
    ],
)
@pytest.mark.parametrize("kind", EXACT)
def test_aligned_mtl_is_torchjds(torchjd: Any, kind: str, m: int, scale: str) -> None:
    exact = jacobian(kind, m)
    reference = theirs(torchjd.AlignedMTL(scale_mode=scale), exact @ exact.T)
    assert (
        apart(weights(get({"name": "aligned_mtl", "scale": scale}), exact @ exact.T), reference)
        < TOLERANCE
    )


@each_size
@each_kind
def test_config_is_torchjds(torchjd: Any, kind: str, m: int) -> None:
    j = jacobian(kind, m)
    if kind == "dependent" and m == 2:
        pytest.skip("of two parallel gradients nothing is left to compare")
    assert (
        apart(weights(get("config"), j @ j.T) @ j, torchjd.ConFIG()(tensor(j)).numpy()) < TOLERANCE
    )


@each_size
@each_kind
def test_sdmgrad_takes_torchjds_steps(torchjd: Any, kind: str, m: int) -> None:
    """At a converging learning rate: at the published 10, the steps jump and rounding grows."""
    g, rate = gramian(kind, m), 0.1 / m
    method, reference, state = (
        get({"name": "sdmgrad", "rate": rate}),
        torchjd.SDMGradWeighting(lr=rate),
        None,
    )
    for _ in range(3):
        state, ours = step(method, state, g)
        assert apart(ours, reference(tensor(g / np.trace(g))).numpy() * m) < TOLERANCE


# -- weights that a problem defines: the objective reached -----------------------------------------


@each_size
@each_kind
def test_mgda_is_shorter_than_torchjds_and_stationary(torchjd: Any, kind: str, m: int) -> None:
    g = gramian(kind, m)
    g = g / np.trace(g)
    w, reference = (
        weights(get("mgda"), g) / m,
        theirs(torchjd.MGDA(epsilon=1e-9, max_iters=1000), g) / m,
    )
    assert w.sum() == pytest.approx(1, abs=1e-5) and w.min() >= 0
    assert w @ g @ w <= reference @ g @ reference * (1 + 1e-5) + 1e-8
    # there the minimum is lost in float32's rounding of the Gramian itself
    if kind not in ("dependent", "apart"):
        assert w @ g @ w - (g @ w).min() <= 1e-4 * (w @ g @ w)  # the duality gap


def cagrad_gap(g: np.ndarray, w: np.ndarray, c: float) -> tuple[float, float]:
    """The worst-off task's distance to its best, and the step's beyond its ball; over |mean|^2.

    For any v on the simplex g_v . g_0 + c |g_0| |g_v| bounds from above what the worst-off can gain
    within the ball.
    """
    m, d = len(g), np.sqrt(np.diag(g))
    size = g.sum() / m**2
    off, active = (w - 1) / m, d > 0
    v = np.where(active, np.maximum(off, 0), 0)
    v = v / v.sum() if v.sum() > 0 else active / active.sum()
    bound = v @ g.sum(1) / m + c * np.sqrt(size * max(v @ g @ v, 0))
    return (bound - (g @ w)[active].min() / m) / size, np.sqrt(max(off @ g @ off, 0) / size) - c


@pytest.mark.parametrize(
    ("c", "m"),
    [
        (0.4, 5),
        *(pytest.param(c, m, marks=once) for c, m in ((0.1, 5), (0.4, 2), (0.4, 40), (0.9, 5))),
    ],
)
@each_kind
def test_cagrad_serves_the_worst_off_best(kind: str, m: int, c: float) -> None:
    g = gramian(kind, m)
    gap, outside = cagrad_gap(g, weights(get({"name": "cagrad", "c": c}), g), c)
    assert gap < TOLERANCE and outside < TOLERANCE


@each_size
@pytest.mark.parametrize("kind", ["plain", "aligned", "conflicting", "unequal"])
def test_cagrad_is_torchjds_as_far_as_its_solver_goes(torchjd: Any, kind: str, m: int) -> None:
    g = gramian(kind, m)
    ours, reference = weights(get("cagrad"), g), theirs(torchjd.CAGrad(c=0.4, norm_eps=0.0), g)
    assert apart(ours, reference) < 1e-3
    assert cagrad_gap(g, ours, 0.4)[0] < cagrad_gap(g, reference, 0.4)[0] + 1e-5


def fair(g: np.ndarray, alpha: float, share: Any = 1.0) -> np.ndarray:
    """Newton's method in float64 for C x = q x^(-1/alpha): weights [m] of a scaled Gramian.

    The mean of its diagonal is 1.
    """
    d, c = lengths(g), cosines(g)
    q = d ** (1 / alpha - 1) * np.asarray(share) ** (1 / alpha)
    x = q ** (alpha / (alpha + 1))
    for _ in range(2000):
        utility = q * x ** (1 - 1 / alpha)
        root = np.sqrt(utility / alpha)
        scale = x / root
        change = (
            np.linalg.solve(
                np.eye(len(g)) + scale[:, None] * c * scale, (utility - x * (c @ x)) / root
            )
            / root
        )
        change /= max(1, np.abs(change).max())
        x = x * np.exp(change)
        if np.abs(change).max() < 1e-13:
            break
    return x / d


def utility(g: np.ndarray, w: np.ndarray, alpha: float) -> float:
    """What FairGrad's weights minimise, over w > 0."""
    gain = np.log(w) if alpha == 1 else w ** (1 - 1 / alpha) / (1 - 1 / alpha)
    return float(0.5 * w @ g @ w - gain.sum())


@pytest.mark.parametrize(
    ("alpha", "m"),
    [
        (1.0, 5),
        *(
            pytest.param(alpha, m, marks=once)
            for alpha, m in ((0.5, 5), (1.0, 2), (2.0, 2), (2.0, 5), (2.0, 40), (5.0, 5))
        ),
    ],
)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("dependent", "idle")])
def test_fair_weights_solve_their_equation(torchjd: Any, kind: str, m: int, alpha: float) -> None:
    g = gramian(kind, m)
    g = g / np.diag(g).mean()
    ours, d = weights(get({"name": "fairgrad", "alpha": alpha}), g), lengths(g)
    assert apart(ours, fair(g, alpha), d) < TOLERANCE
    if alpha == 1:
        assert apart(weights(get("nash_mtl"), g), ours, d) < TOLERANCE
    if kind not in ("near", "apart"):
        reference = torchjd.FairGrad(alpha=alpha).gramian_weighting(tensor(g)).numpy()
        assert utility(g, ours, alpha) <= utility(g, reference, alpha) + 1e-5 * m


@pytest.mark.nobackend
@pytest.mark.parametrize("m", [2, 5])
@pytest.mark.parametrize("kind", ["plain", "aligned", "unequal"])
@pytest.mark.filterwarnings("ignore:You are solving a parameterized problem that is not DPP")
def test_nash_mtl_bargains_at_least_as_well_as_torchjds(torchjd: Any, kind: str, m: int) -> None:
    j = jacobian(kind, m)
    g = j @ j.T / np.diag(j @ j.T).mean()
    reference = torchjd.NashMTL(n_tasks=m, max_norm=0.0)(tensor(j)).numpy()
    off = np.linalg.lstsq(j.T, reference, rcond=None)[0]
    off *= np.sqrt(m / (off @ g @ off))  # the scale that the equation asks for
    assert utility(g, weights(get("nash_mtl"), g), 1) <= utility(g, off, 1) + 1e-5 * m


# -- many tasks take another way -------------------------------------------------------------------


def projected(g: np.ndarray, order: np.ndarray) -> np.ndarray:
    """PCGrad as its paper has it, a task and a projection at a time: weights [m]."""
    coefficients = np.eye(len(g))
    for task, mine in enumerate(coefficients):
        for other in order:
            if other != task:
                mine[other] += max(0.0, -(g[other] @ mine) / g[other, other])
    return coefficients.sum(axis=0)


@pytest.mark.parametrize(
    "name",
    [
        "upgrad",
        *(
            pytest.param(name, marks=once)
            for name in ("pcgrad", "dualproj", "imtl_g", "config", "mgda", "cagrad")
        ),
    ],
)
def test_seventy_tasks_get_what_float64_says(name: str) -> None:
    m = 70
    g = gramian("aligned", m)
    ours, d, c = weights(get(name), g), lengths(g), cosines(g)
    if name == "pcgrad":  # the noise left out is 0, 1/m, 2/m, ...
        for kind in KINDS[:5]:
            g = gramian(kind, m)
            assert apart(weights(get(name), g), projected(g, np.arange(m)), lengths(g)) < TOLERANCE
    elif name == "mgda":
        assert ours @ g @ ours / m - (g @ ours).min() <= 1e-3 * (ours @ g @ ours / m)
    elif name == "cagrad":
        assert max(cagrad_gap(g, ours, 0.4)) < 1e-3
    elif name in ("imtl_g", "config"):
        x = np.linalg.solve(c, np.ones(m)) / d
        factor = m / x.sum() if name == "imtl_g" else d.sum() / (x @ g @ x)
        assert apart(ours, x * factor) < TOLERANCE
    else:
        solve_qp = pytest.importorskip("qpsolvers", reason="needs qpsolvers and quadprog").solve_qp
        matrix = c + 1e-4 * np.eye(m)
        starts = np.diag(d) if name == "upgrad" else d[None, :]
        rows = [
            solve_qp(matrix, np.zeros(m), -np.eye(m), -row, solver="quadprog") for row in starts
        ]
        assert apart(ours, np.sum(rows, axis=0) / d) < TOLERANCE


# -- closed forms ----------------------------------------------------------------------------------

PAIRS = [
    np.array([[1.0, c * s], [c * s, s * s]])
    for c in (-0.9, -0.3, 0.0, 0.4, 0.95)
    for s in (0.2, 1.0, 30.0)
]


@pytest.mark.nobackend
@pytest.mark.parametrize("g", PAIRS, ids=lambda g: f"{g[0, 1]:g},{g[1, 1]:g}")
def test_two_tasks_have_closed_forms(g: np.ndarray) -> None:
    a, b, ab = g[0, 0], g[1, 1], g[0, 1]
    first = np.clip((b - ab) / (a + b - 2 * ab), 0, 1)  # Sener & Koltun 2018, theorem 1
    assert weights(get("mgda"), single(g)) == pytest.approx([2 * first, 2 - 2 * first], abs=1e-5)
    # the projections of both on each other's normal
    surgery = [1 + max(0, -ab) / a, 1 + max(0, -ab) / b]
    assert weights(get("pcgrad"), single(g)) == pytest.approx(surgery, rel=1e-5)
    # 1e-4 / (1 - cos^2)
    assert weights(get("upgrad"), single(g)) == pytest.approx(surgery, rel=2e-3)
    cosine = ab / np.sqrt(a * b)
    scale = np.sqrt((a + b) / 2 / (1 + cosine))
    assert weights(get("nash_mtl"), single(g)) == pytest.approx(
        [scale / np.sqrt(a), scale / np.sqrt(b)], rel=1e-4
    )


@pytest.mark.parametrize("name", names())
def test_orthogonal_equal_gradients_are_added_up(name: str) -> None:
    """By convention weights are 1 where nothing is to balance (CAGrad goes c further)."""
    expected = 1.4 if name == "cagrad" else 1.0
    assert weights(get(name), 7.0 * np.eye(5)) == pytest.approx(np.full(5, expected), rel=1e-5)


def test_moco_by_hand() -> None:
    first, second = gramian("plain", 5, 0), gramian("plain", 5, 1)
    state, ours = step(get("moco"), None, first)
    tracked = 0.5 * first
    w = np.full(5, 0.2) - 0.1 * tracked @ np.full(5, 0.2) / np.diag(tracked).mean()
    w = w + (1 - w.sum()) / 5  # no entry reaches 0 here
    assert ours == pytest.approx(5 * w, rel=1e-5)
    _, ours = step(get("moco"), state, second)
    tracked = tracked + 0.5 / np.sqrt(2) * (second - tracked)
    w = w - 0.1 / np.sqrt(2) * tracked @ w / np.diag(tracked).mean()
    assert ours == pytest.approx(5 * (w + (1 - w.sum()) / 5), rel=1e-5)


def test_pivrg_favours_the_task_that_lags_behind() -> None:
    g = gramian("plain", 2)
    g = g / np.diag(g).mean()
    method = get({"name": "pivrg", "memory": 0.0})
    state, ours = step(method, None, g, losses=[4.0, 1.0])
    assert apart(ours, fair(g, 2.0)) < TOLERANCE
    for losses, score in (([2.0, 1.0], [50.0, 100.0]), ([3.9, 1.0], [97.5, 100.0])):
        heat = max((score[1] - score[0]) / np.log(2), 10)
        share = 2 * np.exp(np.array(score) / heat) / np.exp(np.array(score) / heat).sum()
        assert apart(step(method, state, g, losses=losses)[1], fair(g, 2.0, share)) < TOLERANCE
        assert share[1] / share[0] <= 2.0001


# -- the toy problem of Liu 2021 and Navon 2022 ----------------------------------------------------

STARTS = [[-8.5, 7.5], [0.0, 0.0], [9.0, 9.0], [-7.5, -0.5], [9.0, -1.0]]


def train_toy(
    name: str, scale: float = 1.0, steps: int = 25_000, rate: float = 0.004
) -> np.ndarray:
    """Adam from five starts; where each ends [5, 2]. The first loss is multiplied by `scale`."""
    if keras.backend.backend() != "jax":
        pytest.skip("five starts and 25,000 steps in one compiled loop: on JAX only")
    import jax
    import jax.numpy as jnp

    method, ones = get(name), jnp.ones(2)

    def losses(x: Any) -> Any:
        above, below = jnp.maximum(jnp.tanh(x[1] / 2), 0), jnp.maximum(jnp.tanh(-x[1] / 2), 0)
        first = jnp.log(jnp.maximum(jnp.abs(0.5 * (-x[0] - 7) + jnp.tanh(x[1])), 5e-6)) + 6
        second = jnp.log(jnp.maximum(jnp.abs(0.5 * (-x[0] + 3) - jnp.tanh(x[1]) + 2), 5e-6)) + 6
        bowls = [((x[0] + at) ** 2 + 0.1 * (x[1] + 8) ** 2) / 10 - 20 for at in (-7, 7)]
        return jnp.stack(
            [scale * (first * above + bowls[0] * below), second * above + bowls[1] * below]
        )

    def one(start: Any, key: Any) -> Any:
        def train(carried: Any, t: Any) -> tuple[Any, None]:
            x, mean, square, state = carried
            j, noise = jax.jacobian(losses)(x), jax.random.uniform(jax.random.fold_in(key, t), (2,))
            state, w = method.update(state, StepGradients(j @ j.T, ones, ones, losses(x), noise))
            mean, square = 0.9 * mean + 0.1 * (w @ j), 0.999 * square + 0.001 * (w @ j) ** 2
            x = x - rate * (mean / (1 - 0.9**t)) / (jnp.sqrt(square / (1 - 0.999**t)) + 1e-8)
            return (x, mean, square, state), None

        state = {key: jnp.asarray(value) for key, value in method.init(2).items()}
        return jax.lax.scan(
            train, (start, jnp.zeros(2), jnp.zeros(2), state), jnp.arange(1.0, steps + 1)
        )[0][0]

    return np.asarray(
        jax.jit(jax.vmap(one))(jnp.array(STARTS), jax.random.split(jax.random.PRNGKey(0), 5))
    )


def on_the_front(ends: np.ndarray) -> np.ndarray:
    """Which ends are Pareto optimal: near y = -8.4, between the two losses' minima."""
    return (np.abs(ends[:, 1] + 8.35) < 0.25) & (np.abs(ends[:, 0]) < 7.3)


@pytest.mark.nobackend
def test_toy_the_mean_gets_stuck_and_cagrad_finds_the_best_mean_from_everywhere() -> None:
    """Liu 2021, figure 2."""
    assert not on_the_front(train_toy("mean")).all()
    ends = train_toy("cagrad")
    assert on_the_front(ends).all() and np.abs(ends[:, 0]).max() < 0.2


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "name", ["mgda", "pcgrad", "imtl_g", "aligned_mtl", "upgrad", "dualproj", "config"]
)
def test_toy_ends_somewhere_on_the_front(name: str) -> None:
    """Liu 2021, figure 2: methods that may stop at any Pareto optimum do."""
    assert on_the_front(train_toy(name)).all()


@pytest.mark.nobackend
def test_toy_nash_mtl_is_balanced_where_one_loss_is_a_tenth() -> None:
    """Navon 2022, figure 1: all five starts end on the Pareto set; the mean does not, or is stuck.

    The mean ends at the side of the larger loss.
    """
    nash, mean = train_toy("nash_mtl", scale=0.1), train_toy("mean", scale=0.1)
    assert on_the_front(nash).all() and nash[:, 0].min() > -5 and nash[:, 0].max() > 3
    assert not on_the_front(mean).all() and mean[on_the_front(mean), 0].max() < -5.5
