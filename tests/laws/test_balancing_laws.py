"""Test what holds for every balancing method, or for those whose papers say so."""

from __future__ import annotations

import doctest
import json
import sys
from functools import cache
from typing import Any

import numpy as np
import pytest
from gramians import (
    KINDS,
    STATIONARY,
    apart,
    cosines,
    gramian,
    jacobian,
    lengths,
    single,
    stationary,
    step,
    weights,
)
from hypothesis import example, given
from hypothesis import strategies as st
from small import examples

from polycera.balancing import METHODS, BalancingMethod, Paper, StepGradients, get, names
from polycera.errors import InputError, UnknownName

M = 5
TIGHT = 1e-3
# SDMGrad's published learning rate makes it jump among corners, where roundings decide: see its
# docstring.
TAME = {"sdmgrad": {"name": "sdmgrad", "rate": 0.05}}

each_method = pytest.mark.parametrize(
    "method", [get(TAME.get(name, name)) for name in names()], ids=lambda m: m.name
)
seeds = st.integers(0, 10_000)
kinds = st.sampled_from(KINDS)
regular = st.sampled_from([kind for kind in KINDS if kind not in ("dependent", "idle", "apart")])
few = examples(10)
many = examples(25)


def of(*chosen: str) -> Any:
    """Parametrise over these methods."""
    return pytest.mark.parametrize("method", [get(name) for name in chosen], ids=lambda m: m.name)


def two_steps(
    method: BalancingMethod, g: list[np.ndarray], parts: list[dict[str, Any]]
) -> tuple[Any, np.ndarray]:
    state, _ = step(method, None, g[0], **parts[0])
    return step(method, state, g[1], **parts[1])


@cache
def scene(kind: str, seed: int) -> tuple[list[np.ndarray], list[dict[str, np.ndarray]]]:
    """Two steps of M tasks: Gramians, and the other parts of what is seen."""
    rng = np.random.default_rng(seed)
    parts = []
    for _ in range(2):
        preference = rng.uniform(0.5, 1.5, M)
        drawn = {"noise": rng.random(M), "losses": rng.uniform(0.5, 2, M)}
        parts.append({"preference": preference / preference.mean(), **drawn})
    return [gramian(kind, M, seed), gramian(kind, M, seed + 1)], parts


# -- all methods -----------------------------------------------------------------------------------


@each_method
@given(kind=regular, seed=seeds)
@few
def test_the_order_of_the_tasks_does_not_matter(
    method: BalancingMethod, kind: str, seed: int
) -> None:
    (g, parts), order = scene(kind, seed), np.random.default_rng(seed).permutation(M)
    _, expected = two_steps(method, g, parts)
    turned = [{name: part[order] for name, part in step_.items()} for step_ in parts]
    _, ours = two_steps(method, [h[np.ix_(order, order)] for h in g], turned)
    assert apart(ours, expected[order], lengths(g[1])[order]) < TIGHT


@each_method
@given(kind=regular, seed=seeds, factor=st.sampled_from([1e-6, 0.03, 20.0, 1e6]))
@few
def test_the_scale_of_all_gradients_does_not_matter(
    method: BalancingMethod, kind: str, seed: int, factor: float
) -> None:
    """So that loss scaling in float16 does not change what is learnt."""
    g, parts = scene(kind, seed)
    _, expected = two_steps(method, g, parts)
    _, ours = two_steps(method, [single(factor**2 * h) for h in g], parts)
    assert apart(ours, expected, lengths(g[1])) < TIGHT


@pytest.mark.nobackend
@each_method
@given(kind=regular, seed=seeds)
@few
def test_absent_tasks_take_no_part(method: BalancingMethod, kind: str, seed: int) -> None:
    """Weight 0 for them, the others' weights as if alone; also where noise is in their rows."""
    (g, parts), here = scene(kind, seed), np.sort(np.random.default_rng(seed).permutation(M)[:3])
    alone = [{name: part[here] for name, part in step_.items()} for step_ in parts]
    state, expected = two_steps(method, [h[np.ix_(here, here)] for h in g], alone)
    present = np.isin(np.arange(M), here).astype(float)
    with_absent, ours = two_steps(method, g, [{**step_, "present": present} for step_ in parts])
    assert (ours[present == 0] == 0).all()
    assert apart(ours[here], expected, lengths(g[1])[here]) < TIGHT
    # weights are kept as parts of a whole, of which absent tasks hold some
    for name in state.keys() - {"weights"}:
        values = with_absent[name]
        mine = values[np.ix_(*[here] * values.ndim)]
        assert np.allclose(mine, state[name], rtol=1e-3, atol=1e-6 * np.abs(state[name]).max())


def degenerate() -> dict[str, np.ndarray]:
    """Gramians that no method was written for."""
    ones, signs = np.ones((M, M)), np.outer([1, -1, 1, -1, 1], [1, -1, 1, -1, 1])
    lame, broken, wild = gramian("plain", M), gramian("plain", M), gramian("plain", M)
    lame[2], lame[:, 2] = 0, 0
    broken[1], broken[:, 1] = np.nan, np.nan
    wild[3, 3], wild[0, 1], wild[1, 0] = np.inf, np.inf, np.inf
    tiny = 1e-30 * gramian("plain", M)
    off = signs * (1 + 2e-7) + np.diag(-2e-7 * np.ones(M))  # cosines beyond 1 by rounding
    some = {
        "zero": 0 * ones,
        "equal": ones,
        "opposite": signs,
        "one idle": lame,
        "NaN": broken,
        "infinite": wild,
    }
    return some | {
        "tiny": tiny,
        "huge": 1e30 * gramian("plain", M),
        "beyond": off,
        "one task": np.diag([0, 0, 3, 0, 0.0]),
    }


@each_method
@pytest.mark.parametrize("name", degenerate())
def test_weights_are_finite_whatever_comes(method: BalancingMethod, name: str) -> None:
    state = None
    for _ in range(3):
        state, ours = step(method, state, degenerate()[name])
        assert np.isfinite(ours).all() and np.abs(ours).max() < 1e9
        assert all(np.isfinite(value).all() for key, value in state.items() if key != "gramian")
    for present in (np.zeros(M), np.array([1.0, 0, 1, 1, 0])):
        _, ours = step(method, None, degenerate()[name], present=present)
        assert np.isfinite(ours).all() and (ours[present == 0] == 0).all()


@each_method
@given(kind=kinds, seed=seeds)
@few
def test_weights_are_finite_for_gradients_of_every_kind(
    method: BalancingMethod, kind: str, seed: int
) -> None:
    g, parts = scene(kind, seed)
    assert np.isfinite(two_steps(method, g, parts)[1]).all()


@each_method
def test_state_keeps_its_names_and_shapes(method: BalancingMethod) -> None:
    state = method.init(M)
    after, w = step(method, None, gramian("plain", M))
    assert w.shape == (M,) and after.keys() == state.keys()
    for name, value in state.items():
        assert value.dtype == np.float32 and after[name].shape == value.shape, name


@pytest.mark.nobackend
@each_method
def test_a_method_written_down_is_the_same_method(method: BalancingMethod) -> None:
    config = json.loads(json.dumps(method.to_config()))
    assert get(config) == method and get(method) is method and hash(get(config)) == hash(method)
    assert get(method.title.lower()) == type(method)() or method.name == "dualproj"
    with pytest.raises(UnknownName, match="hyperparameter"):
        get({**config, "no such": 1})


@pytest.mark.nobackend
@each_method
def test_the_table_of_methods_is_complete(method: BalancingMethod) -> None:
    kind = type(method)
    assert METHODS[method.name] is kind
    assert isinstance(kind.paper, Paper) and kind.paper.authors and 1990 < kind.paper.year < 2030
    assert kind.title and kind.cost and kind.when and set(kind.sees) <= set(StepGradients._fields)
    assert ("preference" in kind.sees) == kind.preferring


@pytest.mark.nobackend
def test_an_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'cagrad'"):
        get("ca_grad")
    assert get("Nash-MTL") == get("nash_mtl")


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "config",
    [
        {"name": "cagrad", "c": -1},
        {"name": "fairgrad", "alpha": 0.01},
        {"name": "gradvac", "beta": 2},
        {"name": "aligned_mtl", "scale": "mean"},
        {"name": "upgrad", "relative": "both"},
        {"name": "dualproj", "regularization": -1e-4},
        {"name": "sdmgrad", "steps": 0},
        {"name": "moco", "gamma": 0},
        {"name": "pivrg", "bound": 1},
        {"name": "cagrad", "c": "much"},
        {"name": "cagrad", "c": float("nan")},
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=list(config)[1]):
        get(config)


def steps_of(
    method: BalancingMethod, kind: str, m: int, rank: int, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The gradients, the step of a method, and its step for the same tasks in another order."""
    rng = np.random.default_rng(seed)
    order, noise = rng.permutation(m), rng.random(m)
    j = stationary(kind, m, 3 * m, rank, seed).astype("float32").astype("float64")
    plain = weights(method, single(j @ j.T), noise=noise) @ j
    turned = weights(method, single(j[order] @ j[order].T), noise=noise[order]) @ j[order]
    return j, plain, turned


@each_method
@given(kind=st.sampled_from(STATIONARY), rank=st.integers(1, M - 1), seed=seeds)
@many
def test_where_gradients_cancel_out_the_step_is_short_and_blind_to_the_order(
    method: BalancingMethod, kind: str, rank: int, seed: int
) -> None:
    """The length is that of all gradients end to end at most, or the limit in the method's file.

    In another order the step is the same to 1e-3.
    """
    j, plain, turned = steps_of(method, kind, M, rank, seed)
    each = np.linalg.norm(j, axis=1)
    room = {
        "cagrad": 1.0 + getattr(method, "c", 0.0),
        "fairgrad": 10.0,
        "pivrg": 10.0,
        "imtl_g": 10.0,
    }.get(method.name, 1.0)
    assert np.linalg.norm(plain) <= room * each.sum() * (1 + 1e-3)
    assert np.linalg.norm(plain - turned) <= TIGHT * max(np.linalg.norm(plain), each.max())


@pytest.mark.nobackend
@pytest.mark.parametrize("kind", STATIONARY)
@pytest.mark.parametrize("rank", [1, 7, 19])
@of("nash_mtl", "fairgrad", "pivrg", "cagrad", "imtl_g")
def test_the_same_holds_for_twenty_tasks(method: BalancingMethod, kind: str, rank: int) -> None:
    j, plain, turned = steps_of(method, kind, 20, rank, rank)
    each = np.linalg.norm(j, axis=1)
    assert np.linalg.norm(plain) <= (10.0 if method.name == "imtl_g" else 1.4) * each.sum() * (
        1 + 1e-3
    )
    assert np.linalg.norm(plain - turned) <= TIGHT * max(np.linalg.norm(plain), each.max())


@pytest.mark.nobackend
@pytest.mark.parametrize("c", [1.0, 2.0])
@given(kind=st.sampled_from(["weak", "passable"]), rank=st.integers(1, M - 1), seed=seeds)
@example(kind="passable", rank=4, seed=0)
@many
def test_cagrad_with_a_ball_that_reaches_zero_harms_no_task(
    c: float, kind: str, rank: int, seed: int
) -> None:
    j, plain, _ = steps_of(get({"name": "cagrad", "c": c}), kind, M, rank, seed)
    longest = np.linalg.norm(j, axis=1).max()
    assert (j @ plain).min() >= -2e-2 * np.linalg.norm(plain) * longest


# -- what papers promise ---------------------------------------------------------------------------


@of("upgrad", "dualproj", "mgda")
@given(kind=kinds, seed=seeds)
@many
def test_no_task_gets_worse(method: BalancingMethod, kind: str, seed: int) -> None:
    """The step's inner product with each unit gradient, against the longest pull there is."""
    g = gramian(kind, M, seed)
    w, d = weights(method, g), lengths(g)
    assert ((g @ w) / d).min() >= -3e-4 * np.abs(w * d).max()


@of("mgda")
@given(kind=kinds, seed=seeds)
@many
def test_mgda_is_stationary(method: BalancingMethod, kind: str, seed: int) -> None:
    """Along the shortest vector no task gains less than its squared length."""
    g = gramian(kind, M, seed)
    w = weights(method, g) / M
    assert w.min() >= 0 and w.sum() == pytest.approx(1, abs=1e-5)
    pull = np.abs(g) @ w
    assert (g @ w - w @ g @ w >= -1e-5 * (pull + w @ np.abs(g) @ w)).all()


@of("upgrad", "dualproj")
@given(kind=regular, seed=seeds)
@many
def test_projections_meet_their_conditions(method: BalancingMethod, kind: str, seed: int) -> None:
    """v >= p, and where v > p the regularised gradient is 0 (DualProj: KKT; UPGrad: v >= p)."""
    g, p = gramian(kind, M, seed), scene(kind, seed)[1][0]["preference"]
    v = weights(method, g, preference=p)
    assert (v >= p * (1 - 1e-6)).all()
    if method.name == "dualproj":
        d = lengths(g)
        slope = (cosines(g) + 1e-4 * np.eye(M)) @ (v * d)
        assert slope.min() > -1e-5 * np.abs(v * d).max()
        assert np.abs(slope * (v - p) * d).max() < 1e-4 * np.abs(v * d).max() ** 2


@of("imtl_g", "config", "nash_mtl")
@given(kind=st.sampled_from(["plain", "aligned", "conflicting"]), seed=seeds)
@many
def test_the_direction_does_not_see_a_tasks_scale(
    method: BalancingMethod, kind: str, seed: int
) -> None:
    j = jacobian(kind, M, seed)
    scale = 10.0 ** np.random.default_rng(seed).uniform(-3, 3, (M, 1))
    one, other = (
        weights(method, single(j @ j.T)) @ j,
        weights(method, single((scale * j) @ (scale * j).T)) @ (scale * j),
    )
    one, other = one / np.linalg.norm(one), other / np.linalg.norm(other)
    # Weights of IMTL-G add up to a number that may be negative; it divides by that number.
    assert (
        min(
            np.linalg.norm(one - other),
            np.linalg.norm(one + other) if method.name == "imtl_g" else 9,
        )
        < TIGHT
    )


@of("imtl_g", "config")
@given(kind=st.sampled_from(["plain", "aligned", "unequal", "near"]), seed=seeds)
@many
def test_projections_on_all_tasks_are_equal(method: BalancingMethod, kind: str, seed: int) -> None:
    g = gramian(kind, M, seed)
    along = (g @ weights(method, g)) / lengths(g)
    assert np.ptp(along) < TIGHT * np.abs(along).max()


@of("mean", "upgrad", "dualproj", "aligned_mtl")
@given(kind=regular, seed=seeds)
@few
def test_weights_grow_with_the_preference(method: BalancingMethod, kind: str, seed: int) -> None:
    g, p = gramian(kind, M, seed), scene(kind, seed)[1][0]["preference"]
    assert apart(weights(method, g, preference=3 * p), 3 * weights(method, g, preference=p)) < 1e-4


@pytest.mark.nobackend
@pytest.mark.parametrize("c", [0.0, 0.4, 3.0])
@given(kind=kinds, seed=seeds)
@example(kind="dependent", seed=3558)  # float32 does not find the best step here
@example(kind="apart", seed=276)
@few
def test_cagrad_stays_in_its_ball_and_the_mean_loss_falls(c: float, kind: str, seed: int) -> None:
    g = gramian(kind, M, seed)
    w = weights(get({"name": "cagrad", "c": c}), g)
    off, mean = w - 1, np.ones(M)
    assert off @ g @ off <= (c + 2e-3) ** 2 * (mean @ g @ mean) + 1e-6 * (off @ np.abs(g) @ off)
    if c < 1:
        assert mean @ g @ w > 0


@given(kind=kinds, seed=seeds)
@many
def test_gradvac_begins_as_pcgrad(kind: str, seed: int) -> None:
    g, parts = scene(kind, seed)
    noise = parts[0]["noise"]
    state, ours = step(get("gradvac"), None, g[0], noise=noise)
    assert apart(ours, weights(get("pcgrad"), g[0], noise=noise), lengths(g[0])) < TIGHT
    assert np.abs(state["cosines"]).max() <= 0.5 + 1e-6


@of("pcgrad", "gradvac")
def test_without_conflict_gradients_are_added_up(method: BalancingMethod) -> None:
    g = np.abs(gramian("plain", M))
    assert weights(method, g) == pytest.approx(np.ones(M))


def test_the_noise_decides_in_which_order_surgery_is_done() -> None:
    g = gramian("conflicting", M)
    drawn = [
        weights(get("pcgrad"), g, noise=np.random.default_rng(k).permutation(M) / M)
        for k in range(4)
    ]
    assert len({tuple(w.round(5)) for w in drawn}) > 1
    assert (
        apart(
            weights(get("pcgrad"), g, noise=np.arange(M)),
            weights(get("pcgrad"), g, noise=np.arange(M) / 9),
        )
        == 0
    )


@pytest.mark.nobackend
@pytest.mark.parametrize("name", names())
def test_the_examples_run(name: str) -> None:
    found = doctest.testmod(sys.modules[METHODS[name].__module__])
    assert found.attempted > 1 and found.failed == 0
