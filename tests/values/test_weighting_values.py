"""Test weightings against TorchJD, derivatives of the papers' objectives, float64 algorithms."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from losses import made, named, path, run, step, weights
from small import once

from polycera.weighting import WeightingMethod, get

TOLERANCE = 1e-4

# A method is one text for all backends, and for each size a graph of its own.
each_size = pytest.mark.parametrize(
    "m", [5, pytest.param(2, marks=once), pytest.param(40, marks=once)]
)
each_kind = pytest.mark.parametrize("kind", ["plain", "falling", "apart"])


@pytest.fixture(scope="module")
def torchjd() -> Any:
    """TorchJD's scalarizers."""
    pytest.importorskip("torchjd.scalarization", reason="TorchJD, a reference, is not installed")
    import torchjd.scalarization

    return torchjd.scalarization


def tensor(array: Any) -> Any:
    import torch

    return torch.tensor(np.asarray(array, "float64"))


def theirs(scalarizer: Any, losses: np.ndarray) -> np.ndarray:
    """The derivative of what TorchJD's scalarizer makes of the losses, [m]."""
    values = tensor(losses).requires_grad_(True)
    scalarizer(values).backward()
    return values.grad.numpy()


def apart(ours: np.ndarray, expected: Any) -> float:
    """The largest relative difference."""
    return float(np.max(np.abs(ours / np.asarray(expected) - 1)))


def softmax(x: np.ndarray) -> np.ndarray:
    return np.exp(x - x.max()) / np.exp(x - x.max()).sum()


# -- TorchJD ---------------------------------------------------------------------------------------


@each_size
@each_kind
def test_gls_is_torchjds(torchjd: Any, kind: str, m: int) -> None:
    losses = path(kind, m, 1)[0]
    assert (
        apart(weights(get("gls"), losses), m * theirs(torchjd.GeometricMean(), losses)) < TOLERANCE
    )


@each_size
@pytest.mark.parametrize("mu", [0.05, pytest.param(1.0, marks=once)])
def test_plain_stch_is_torchjds(torchjd: Any, m: int, mu: float) -> None:
    method = get({"name": "stch", "form": "plain", "mu": mu})
    losses, preference = path("plain", m, 1)[0], np.random.default_rng(m).uniform(0.5, 1.5, m)
    assert apart(weights(method, losses), m**2 * theirs(torchjd.STCH(mu), losses)) < TOLERANCE
    preference /= preference.mean()
    reference = theirs(torchjd.STCH(mu, weights=tensor(preference / m)), losses)
    assert apart(weights(method, losses, preference=preference), m**2 * reference) < TOLERANCE


@pytest.mark.parametrize(("name", "half"), [("uncertainty", 2), ("imtl_l", 1)])
@each_kind
def test_learned_scales_take_torchjds_steps(torchjd: Any, kind: str, name: str, half: int) -> None:
    """Plain gradient steps of both; TorchJD's UW is half of ours, so its steps must be doubled."""
    import torch

    m, losses = 5, path(kind, 5, 12)
    if kind == "apart":
        losses = np.clip(losses, 1e-6, 5)  # beyond a derivative of 10 ours is cut
    reference = {"uncertainty": torchjd.UW, "imtl_l": torchjd.IMTLL}[name](m).double()
    optimizer = torch.optim.SGD(reference.parameters(), lr=0.05 * half)
    _, ours = run(made(name, named(m), rate=0.05), losses)
    for k in range(12):
        optimizer.zero_grad()
        assert apart(ours[k], half * theirs(reference, losses[k])) < TOLERANCE
        optimizer.step()


@each_size
@each_kind
def test_dwa_is_torchjds_with_a_window_for_an_epoch(torchjd: Any, kind: str, m: int) -> None:
    losses, reference = path(kind, m, 12), torchjd.DWA(temperature=1.5)
    _, ours = run(made("dwa", named(m), window=3, temperature=1.5), losses)
    for k in range(12):
        assert apart(ours[k], theirs(reference, losses[k])) < TOLERANCE
        if k % 3 == 2:
            reference.step()
    assert np.ptp(ours[:6]) < 1e-6 < np.ptp(ours[6:])


@each_size
def test_rlw_is_torchjds_with_the_same_numbers(
    torchjd: Any, m: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = np.random.default_rng(m).random(m)
    drawn = [NormalDist().inv_cdf(u) for u in noise]
    monkeypatch.setattr("torch.randn", lambda *_, **__: tensor(drawn))
    assert (
        apart(
            weights(get("rlw"), np.ones(m), noise=noise), m * theirs(torchjd.Random(), np.ones(m))
        )
        < TOLERANCE
    )


@each_size
@each_kind
def test_famo_is_torchjds_where_the_next_batch_is_the_same(torchjd: Any, kind: str, m: int) -> None:
    """What TorchJD is told after a step is what we see in the next."""
    losses, method = path(kind, m, 10), get("famo")
    reference = torchjd.FAMO(m).double()
    _, ours = run(method, losses)
    for k in range(10):
        if k:
            reference.update(tensor(losses[k]))
        expected = m * theirs(reference, losses[k])
        # theirs adds 1e-8 to a loss
        assert apart(ours[k], expected) < (TOLERANCE if kind != "apart" else 0.05)


# -- what papers minimise --------------------------------------------------------------------------

MINIMISED: dict[str, tuple[WeightingMethod, Callable[[np.ndarray], float], float]] = {
    "gls": (get("gls"), lambda x: np.prod(x) ** (1 / 5), 5),
    "log": (get("log"), lambda x: np.log(x).sum(), 1),
    "uncertainty": (get("uncertainty"), lambda x: (np.exp(-0.0) * x + 0.0).sum(), 1),
    "stch plain": (
        get({"name": "stch", "form": "plain", "mu": 0.2}),
        lambda x: 0.2 * np.log(np.exp(x / 5 / 0.2).sum()),
        25,
    ),
}


@pytest.mark.parametrize("name", MINIMISED)
def test_weights_are_derivatives(name: str) -> None:
    """By central differences in float64."""
    method, f, c = MINIMISED[name]
    for seed in range(3):
        x = path("plain", 5, 1, seed)[0]
        slope = [(f(x + h) - f(x - h)) / 2e-6 for h in 1e-6 * np.eye(5)]
        assert apart(weights(method, x), c * np.array(slope)) < TOLERANCE


@pytest.mark.parametrize("mu", [0.1, pytest.param(1.0, marks=once)])
def test_stch_in_logs_is_the_derivative_of_the_authors_code(mu: float) -> None:
    """mu log sum exp(log(L / n) / mu), n the mean of the first losses; two of them here."""
    losses, method = path("falling", 5, 4), get({"name": "stch", "mu": mu, "warmup": 2})
    state, ours = run(method, losses)
    for k in range(4):
        nadir = losses[: min(k + 1, 2)].mean(axis=0)

        def f(x: np.ndarray, nadir: np.ndarray = nadir) -> float:
            return 5 * mu * np.log(np.exp(np.log(x / nadir) / mu).sum())

        slope = [(f(losses[k] + h) - f(losses[k] - h)) / 2e-6 for h in 1e-6 * np.eye(5)]
        assert apart(ours[k], slope) < 2e-4
    assert apart(state["nadir"], losses[:2].mean(axis=0)) < TOLERANCE
    preferred = np.array([1.8, 0.2, 1.0, 1.0, 1.0])
    _, ours = run(method, losses[:1], preference=preferred)
    assert apart(ours[0], 5 * softmax(np.log(preferred) / mu) / losses[0]) < TOLERANCE


# -- algorithms, written out -----------------------------------------------------------------------


def test_uw_so_by_hand() -> None:
    losses = path("plain", 5, 1)[0]
    for temperature in (0.5, 1.0, 20.0):
        ours = weights(get({"name": "uw_so", "temperature": temperature}), losses)
        assert apart(ours, 5 * softmax(1 / losses / temperature)) < TOLERANCE


def test_dirichlet_weights_are_shares_of_exponential_variables() -> None:
    noise = np.random.default_rng(0).random(5)
    ours = weights(get({"name": "rlw", "distribution": "dirichlet"}), np.ones(5), noise=noise)
    assert apart(ours, 5 * np.log(noise) / np.log(noise).sum()) < TOLERANCE


@pytest.mark.parametrize(
    ("shape", "parts"),
    [
        ("linear", [0, 0.25, 0.5, 0.75, 1, 1]),
        ("cosine", [0, (1 - np.sqrt(0.5)) / 2, 0.5, (1 + np.sqrt(0.5)) / 2, 1, 1]),
        ("step", [0, 0, 0, 0, 1, 1]),
    ],
)
def test_schedules_by_hand(shape: str, parts: list[float]) -> None:
    names = ["b", "a", "c"]
    method = get({"name": "schedule", "to": {"a": 0.0, "b": 3.0}, "steps": 4, "shape": shape}).bind(
        names
    )
    state, ours = run(method, np.ones((6, 3)))
    assert ours == pytest.approx(np.array([[1 + 2 * p, 1 - p, 1] for p in parts]), abs=1e-6)
    assert state["step"] == 4
    _, late = run(method, np.ones((2, 3)), {"step": np.float32(2), "to": state["to"]})
    assert late == pytest.approx(ours[2:4])


def famo(losses: np.ndarray, rate: float = 0.025, decay: float = 1e-3) -> np.ndarray:
    """Algorithm 2, with the losses of the next step for those after the network's step."""
    n, m = losses.shape
    w, first, second, result = np.zeros(m), np.zeros(m), np.zeros(m), []
    for k in range(n):
        if k:
            z = softmax(w)
            d = (np.diag(z) - np.outer(z, z)) @ (
                np.log(losses[k - 1]) - np.log(losses[k])
            ) + decay * w
            first, second = 0.9 * first + 0.1 * d, 0.999 * second + 0.001 * d**2
            w = w - rate * (first / (1 - 0.9**k)) / (np.sqrt(second / (1 - 0.999**k)) + 1e-8)
        share = softmax(w) / losses[k]
        result.append(m * share / share.sum())
    return np.array(result)


@each_size
@each_kind
def test_famo_by_algorithm(kind: str, m: int) -> None:
    losses = path(kind, m, 12)
    assert apart(run(get("famo"), losses)[1], famo(losses)) < 2e-4
    _, ours = run(get({"name": "famo", "rate": 0.1, "decay": 0.5}), losses)
    assert apart(ours, famo(losses, 0.1, 0.5)) < 2e-4


def gradnorm(losses: np.ndarray, slopes: np.ndarray, alpha: float, rate: float) -> np.ndarray:
    """Algorithm 1, with derivatives by log weights over the mean norm."""
    w, result = np.ones(losses.shape[1]), []
    for k in range(len(losses)):
        if k:
            norms, left = w * slopes[k - 1], losses[k - 1] / losses[0]
            target = norms.mean() * (left / left.mean()) ** alpha
            w = w * np.exp(-rate * np.sign(norms - target) * norms / norms.mean())
            w = w / w.mean()
        result.append(w)
    return np.array(result)


@each_size
@pytest.mark.parametrize(
    "alpha", [1.5, pytest.param(0.0, marks=once), pytest.param(0.12, marks=once)]
)
def test_gradnorm_by_algorithm(m: int, alpha: float) -> None:
    losses = path("falling", m, 12)
    slopes = 10.0 ** np.random.default_rng(m).uniform(-1, 1, (12, m))
    method = get({"name": "gradnorm", "alpha": alpha, "rate": 0.1})
    assert (
        apart(run(method, losses, slopes=slopes)[1], gradnorm(losses, slopes, alpha, 0.1))
        < TOLERANCE
    )


def test_gradnorms_step_is_the_slope_of_its_objective() -> None:
    """sum_t |G_t - target_t|, targets constant, by log weights and central differences."""
    losses, slopes = path("falling", 5, 3), 10.0 ** np.random.default_rng(0).uniform(-1, 1, 5)
    method = get({"name": "gradnorm", "rate": 1e-2})
    state, said = run(method, losses[:2], slopes=slopes)
    log, norms, left = np.log(said[1]), said[1] * slopes, losses[1] / losses[0]
    target = norms.mean() * (left / left.mean()) ** 1.5

    def objective(x: np.ndarray) -> float:
        return float(np.abs(np.exp(x) * slopes - target).sum())

    slope = np.array([(objective(log + h) - objective(log - h)) / 2e-6 for h in 1e-6 * np.eye(5)])
    expected = np.exp(log - 1e-2 * slope / norms.mean())
    _, ours = step(method, state, losses[2], weights=said[1], norms=said[1] * slopes)
    assert apart(ours, expected / expected.mean()) < TOLERANCE


def excess(slopes: np.ndarray, rate: float) -> np.ndarray:
    """Algorithm 1 with one parameter a task, whose gradient is the norm."""
    n, m = slopes.shape
    w, squares, first, result = np.ones(m), np.zeros(m), None, [np.ones(m)]
    for k in range(n - 1):
        squares = squares + slopes[k] ** 2
        risk = slopes[k] ** 2 / np.sqrt(squares)
        if first is None:
            first = risk
        else:
            w = w * np.exp(rate * risk / first)
            w = w / w.mean()
        result.append(w)
    return np.array(result)


@each_size
@pytest.mark.parametrize("rate", [0.1, pytest.param(0.01, marks=once)])
def test_excess_mtl_by_algorithm(m: int, rate: float) -> None:
    slopes = 10.0 ** np.random.default_rng(m).uniform(-0.5, 0.5, (12, m))
    _, ours = run(get({"name": "excess_mtl", "rate": rate}), np.ones((12, m)), slopes=slopes)
    assert apart(ours, excess(slopes, rate)) < TOLERANCE


def best_groups(values: np.ndarray, groups: int) -> np.ndarray:
    """The means of the best of all ways to put values into groups."""
    best, result = np.inf, values
    for ids in product(range(groups), repeat=len(values)):
        means = np.array(
            [values[np.array(ids) == g].mean() if g in ids else 0.0 for g in range(groups)]
        )
        spread = ((values - means[list(ids)]) ** 2).sum()
        if spread < best:
            best, result = spread, means[list(ids)]
    return result


@pytest.mark.parametrize("groups", [1, 2, 3])
def test_go4align_by_algorithm_and_all_groupings(groups: int) -> None:
    method = get({"name": "go4align", "groups": groups, "rate": 0.1})
    for seed in range(3):
        losses, q = path("falling", 6, 6, seed), np.full(6, 1 / 6)
        _, ours = run(method, losses)
        for k in range(6):
            q = q * np.exp(-0.1 * losses[k])
            q = q / q.sum()
            assert apart(ours[k], best_groups(q * losses[k].sum() / losses[k], groups)) < 2e-4


def test_as_many_groups_as_tasks_or_more_change_nothing() -> None:
    losses = path("plain", 5, 1)[0]
    q = softmax(-1e-4 * losses)
    for groups in (5, 9):
        ours = weights(get({"name": "go4align", "groups": groups}), losses)
        assert apart(ours, q * losses.sum() / losses) < TOLERANCE


# -- losses that papers do not think of ------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.0, -0.4, 1e-12])
@pytest.mark.parametrize("name", ["log", "gls", "uw_so", "stch", "famo"])
def test_a_loss_of_nothing_counts_as_a_thousandth_of_what_is_usual(name: str, bad: float) -> None:
    losses = np.array([[2.0, 1.0], [2.0, bad]])
    method = made(name, named(2))
    usual = 1 + 0.01 * (abs(bad) - 1)
    state, ours = run(method, losses)
    assert state["usual"] == pytest.approx([2.0, usual])
    replaced = losses.copy()
    replaced[1, 1] = 1e-3 * usual
    assert ours == pytest.approx(run(method, replaced)[1], rel=1e-3)


def test_norms_wait_for_a_task_that_was_away() -> None:
    """GradNorm and ExcessMTL do not change a task whose gradient was unknown in the step before."""
    losses, slopes = path("falling", 3, 5), path("plain", 3, 5)
    present = np.ones((5, 3))
    present[2, 2] = 0
    for name in ("gradnorm", "excess_mtl"):
        method, state, said, norms, logs = get(name), None, np.ones(3), np.zeros(3), []
        for k in range(5):
            state, said = step(
                method, state, losses[k], present=present[k], weights=said, norms=norms
            )
            norms = said * slopes[k]
            logs.append(state["log"])
        assert logs[2][2] == logs[1][2] == logs[3][2] != logs[4][2]
        assert (logs[2][:2] != logs[1][:2]).all() and np.sum(logs[4]) == pytest.approx(0, abs=1e-6)
