"""What holds for every weighting, or for those whose papers say so, whatever the losses."""

from __future__ import annotations

import doctest
import json
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from losses import KINDS, made, named, path, run, seen_of, step, update_of, weights
from small import examples, value_and_gradient

from polycera.errors import InputError, UnknownName
from polycera.weighting import METHODS, Paper, StepLosses, WeightingMethod, get, names

M = 5
N = 4
NAMES = named(M)

each_method = pytest.mark.parametrize("name", names())
seeds = st.integers(0, 10_000)
kinds = st.sampled_from(KINDS)
few = examples(8)
many = examples(25)


def of(*chosen: str) -> Any:
    """Parametrise over these methods."""
    return pytest.mark.parametrize("name", chosen)


def scene(kind: str, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """N steps of M tasks: losses, and the other parts of what is seen, each [N, M]."""
    rng = np.random.default_rng(seed)
    preference = rng.uniform(0.5, 1.5, M)
    parts = {
        "preference": np.tile(preference / preference.mean(), (N, 1)),
        "noise": rng.random((N, M)),
    }
    return path(kind, M, N, seed), parts | {"slopes": 10.0 ** rng.uniform(-2, 2, (N, M))}


def near(ours: np.ndarray, expected: np.ndarray, tolerance: float = 1e-4) -> bool:
    return bool(
        np.allclose(
            ours, expected, rtol=tolerance, atol=tolerance * 1e-2 * np.abs(expected).max(initial=0)
        )
    )


# -- all methods -----------------------------------------------------------------------------------


@each_method
@given(kind=kinds, seed=seeds)
@few
def test_the_order_of_the_tasks_does_not_matter(name: str, kind: str, seed: int) -> None:
    (losses, parts), order = scene(kind, seed), np.random.default_rng(seed).permutation(M)
    _, expected = run(made(name, NAMES), losses, **parts)
    turned = {part: values[:, order] for part, values in parts.items()}
    _, ours = run(made(name, [NAMES[k] for k in order]), losses[:, order], **turned)
    assert near(ours, expected[:, order])


@pytest.mark.nobackend
@each_method
@given(kind=kinds, seed=seeds)
@few
def test_absent_tasks_take_no_part(name: str, kind: str, seed: int) -> None:
    """Weight 0 for them, the others' weights as if alone; the state of the absent ones stays."""
    (losses, parts), here = (
        scene(kind, seed),
        np.sort(np.random.default_rng(seed).permutation(M)[:3]),
    )
    present = np.isin(np.arange(M), here).astype(float)
    alone = {part: values[:, here] for part, values in parts.items()}
    # A preference has mean 1 over those that it is given for.
    alone["preference"] = alone["preference"] / alone["preference"].mean(axis=1, keepdims=True)
    state, expected = run(made(name, [NAMES[k] for k in here]), losses[:, here], **alone)
    method = made(name, NAMES)
    with_absent, ours = run(method, losses, present=present, **parts)
    assert (ours[:, present == 0] == 0).all()
    assert near(ours[:, here], expected)
    for key, value in method.init(M).items():
        if value.ndim == 0:
            assert with_absent[key] == state[key]
        else:
            assert (with_absent[key][present == 0] == value[present == 0]).all()
            assert near(with_absent[key][here], state[key])


@each_method
@given(seed=seeds)
@few
def test_tasks_come_and_go(name: str, seed: int) -> None:
    """A task's state does not change in a step in which it is absent, and only then."""
    losses, parts = scene("falling", seed)
    method, rng = made(name, NAMES), np.random.default_rng(seed)
    state, said, norms = method.init(M), np.ones(M), np.zeros(M)
    for k in range(N):
        present = (rng.random(M) < 0.6).astype(float)
        before = state
        state, said = step(method, state, losses[k], present=present, weights=said, norms=norms)
        norms = said * parts["slopes"][k]
        assert ((said > 0) == (present > 0)).all() or name == "schedule"
        for key, value in state.items():
            assert value.ndim == 0 or (value[present == 0] == before[key][present == 0]).all(), key


@each_method
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf], ids=str)
def test_a_task_whose_loss_is_not_finite_is_absent_in_that_step(name: str, bad: float) -> None:
    losses, parts = scene("falling", 0)
    broken, present = losses.copy(), np.ones((N, M))
    broken[1, 2], present[1, 2] = bad, 0
    state, ours = run(made(name, NAMES), broken, **parts)
    expected_state, expected = run(made(name, NAMES), losses, present=present, **parts)
    assert (ours == expected).all() and ours[1, 2] == 0
    assert all((value == expected_state[key]).all() for key, value in state.items())


ODD = [0.0, 1e-30, 1e-10, 1.0, 1e10, 1e30, 3e38, -1.0, -1e30, np.nan, np.inf, -np.inf]


@each_method
@given(
    losses=st.lists(st.lists(st.sampled_from(ODD), min_size=M, max_size=M), min_size=3, max_size=3),
    norms=st.lists(st.sampled_from(ODD), min_size=M, max_size=M),
    present=st.lists(st.sampled_from([0.0, 1.0]), min_size=M, max_size=M),
)
@many
def test_weights_are_finite_whatever_comes(
    name: str, losses: Any, norms: Any, present: Any
) -> None:
    method, state, said = made(name, NAMES), None, np.ones(M)
    for k in range(3):
        state, said = step(method, state, losses[k], norms=norms, weights=said, present=present)
        assert np.isfinite(said).all() and (said >= 0).all() and (said <= 1.0001e30).all()
        assert all(np.isfinite(value).all() for value in state.values())
    state, said = step(method, state, losses[0], present=np.zeros(M))
    assert (said == 0).all()


@each_method
def test_a_bad_step_leaves_no_lasting_trace(name: str) -> None:
    """One loss of 1e30 among good ones: some thousand steps later all is as if it had not been."""
    if name in ("dwa", "stch", "gradnorm"):
        pytest.skip("remembers windows or first losses, whatever they were")
    losses = path("plain", M, 12)
    bad = losses.copy()
    bad[6, 1] = 1e30
    state, _ = run(made(name, NAMES), bad)
    again, _ = run(made(name, NAMES), losses)
    ours, expected = (run(made(name, NAMES), losses[8:10], each)[1][-1] for each in (state, again))
    assert np.abs(np.log(ours / expected)).max() < (0.5 if name != "go4align" else 12)


@each_method
def test_the_same_losses_of_1_have_weights_of_1(name: str) -> None:
    """Convention of the room: where nothing is to weight, the total is the plain sum."""
    if name == "rlw":
        pytest.skip("weights are random")
    given = {"shape": "step", "steps": 100} if name == "schedule" else {}
    _, ours = run(made(name, NAMES, **given), np.ones((N, M)))
    assert ours == pytest.approx(np.ones((N, M)), rel=1e-5)


@each_method
@given(seed=seeds)
@few
def test_what_a_method_does_not_see_does_not_matter(name: str, seed: int) -> None:
    losses, parts = scene("falling", seed)
    other, others = scene("plain", seed + 1)
    method = made(name, NAMES)
    everything = {
        "losses": losses,
        "norms": parts["slopes"],
        "weights": parts["preference"],
        **parts,
    }
    del everything["slopes"]
    rest = {"losses": other, "norms": others["slopes"], "weights": others["preference"], **others}
    mixed = {
        part: values if part in method.sees else rest[part] for part, values in everything.items()
    }
    state = second = None
    for k in range(N):
        state, expected = step(
            method, state, **{part: values[k] for part, values in everything.items()}
        )
        second, ours = step(method, second, **{part: values[k] for part, values in mixed.items()})
        assert (ours == expected).all()


@each_method
def test_weights_are_constants_to_the_gradient(name: str) -> None:
    """The total loss has the derivatives of the room's convention, through weights and state."""
    method = made(name, NAMES)
    state, said = run(method, path("falling", M), slopes=np.arange(1.0, 6))
    kept = {key: ops.convert_to_tensor(value) for key, value in state.items()}
    losses = path("plain", M, 1)[0]
    other = seen_of(losses, weights=said[-1])

    def total(given: Any) -> Any:
        following, w = method.update(kept, other._replace(losses=given))
        return ops.sum(w * given) + sum(ops.sum(part) for part in following.values())

    _, gradient = value_and_gradient(total)(losses.astype("float32"))
    assert gradient == pytest.approx(step(method, state, losses, weights=said[-1])[1], rel=1e-5)


@each_method
def test_the_state_resumes_exactly(name: str) -> None:
    """Carried as one vector of float32, as a model keeps it."""
    losses, parts = scene("falling", 3)
    method = made(name, NAMES)
    state = through = method.init(M)
    said, norms = np.ones(M), np.zeros(M)
    tensors = {key: ops.convert_to_tensor(value) for key, value in state.items()}
    for k in range(N):
        noise = parts["noise"][k]
        tensors, w = update_of(method)(
            tensors, seen_of(losses[k], weights=said, norms=norms, noise=noise)
        )
        loaded = {key: ops.convert_to_tensor(value) for key, value in through.items()}
        loaded, v = update_of(method)(
            loaded, seen_of(losses[k], weights=said, norms=norms, noise=noise)
        )
        assert (ops.convert_to_numpy(w) == ops.convert_to_numpy(v)).all()
        vector = np.concatenate(
            [np.ravel(ops.convert_to_numpy(loaded[key])) for key in sorted(state)] or [np.zeros(0)]
        )
        through, start = {}, 0
        for key in sorted(state):
            size = state[key].size
            through[key] = np.frombuffer(vector[start : start + size].tobytes(), "float32").reshape(
                state[key].shape
            )
            start += size
        said = ops.convert_to_numpy(w).astype("float64")
        norms = said * parts["slopes"][k]


@each_method
def test_state_keeps_its_names_and_shapes(name: str) -> None:
    method = made(name, NAMES)
    state = method.init(M)
    after, w = step(method, None, np.ones(M))
    assert w.shape == (M,) and after.keys() == state.keys()
    for key, value in state.items():
        assert (
            isinstance(value, np.ndarray)
            and value.dtype == np.float32
            and after[key].dtype == np.float32
        )
        assert after[key].shape == value.shape and value.shape[:1] in ((), (M,)), key


@of("equal", "gls", "dwa")
def test_half_precision_is_welcome(name: str) -> None:
    method = made(name, NAMES)
    seen = StepLosses(
        *(ops.cast(part, "float16") for part in seen_of(np.arange(1.0, M + 1), norms=np.zeros(M)))
    )
    _, ours = method.update(method.init(M), seen)
    expected = weights(
        method, np.arange(1.0, M + 1), norms=np.zeros(M), noise=ops.convert_to_numpy(seen.noise)
    )
    assert ops.convert_to_numpy(ours) == pytest.approx(expected, rel=1e-5)
    assert ops.convert_to_numpy(ours).dtype == np.float32


# -- names and hyperparameters ---------------------------------------------------------------------


@pytest.mark.nobackend
@each_method
def test_a_method_written_down_is_the_same_method(name: str) -> None:
    method = made(name, NAMES)
    config = json.loads(json.dumps(method.to_config()))
    assert get(config) == method and get(method) is method and hash(get(config)) == hash(method)
    assert get(config).to_config() == method.to_config()
    assert (
        get(method.title.lower()).name == name
        if name != "excess_mtl"
        else method.title == "ExcessMTL"
    )
    with pytest.raises(UnknownName, match="hyperparameter"):
        get({**config, "no such": 1})


@pytest.mark.nobackend
@each_method
def test_the_table_of_methods_is_complete(name: str) -> None:
    kind = METHODS[name]
    assert kind.name == name and kind.room == "Weighting"
    assert isinstance(kind.paper, Paper) and kind.paper.authors and 1990 < kind.year < 2030
    assert kind.title and kind.cost and kind.when and set(kind.sees) <= set(StepLosses._fields)
    assert ("preference" in kind.sees) == kind.preferring


@pytest.mark.nobackend
def test_an_unknown_method_is_named_with_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match="Unknown weighting method 'uncertanty'; did you mean 'uncertainty'"
    ):
        get("uncertanty")
    with pytest.raises(UnknownName, match="Unknown weighting method 'None'"):
        get({"rate": 1.0})
    assert get("IMTL-L") == get("imtl_l")


@pytest.mark.nobackend
@pytest.mark.parametrize(
    "config",
    [
        {"name": "schedule", "to": {"price": -1}},
        {"name": "schedule", "to": {"price": "much"}},
        {"name": "schedule", "to": {"price": float("nan")}},
        {"name": "schedule", "to": [1, 2]},
        {"name": "schedule", "steps": 0},
        {"name": "schedule", "steps": 1.5},
        {"name": "schedule", "shape": "sigmoid"},
        {"name": "uncertainty", "rate": 0},
        {"name": "uncertainty", "rate": True},
        {"name": "imtl_l", "rate": 2},
        {"name": "uw_so", "temperature": 0},
        {"name": "dwa", "window": 0},
        {"name": "dwa", "temperature": -1},
        {"name": "rlw", "distribution": "cauchy"},
        {"name": "famo", "rate": 0},
        {"name": "famo", "decay": -1},
        {"name": "stch", "mu": 0},
        {"name": "stch", "form": "square"},
        {"name": "stch", "warmup": 0},
        {"name": "gradnorm", "alpha": -1},
        {"name": "gradnorm", "rate": "fast"},
        {"name": "excess_mtl", "rate": float("inf")},
        {"name": "go4align", "groups": 0},
        {"name": "go4align", "rate": -1},
    ],
    ids=str,
)
def test_hyperparameters_out_of_range_are_refused(config: dict[str, Any]) -> None:
    """In one sentence: which method, what came, what to give."""
    name, what = config["name"], list(config)[1]
    with pytest.raises(InputError, match=rf"^Weighting '{name}' got {what}=.*: give .*\.$"):
        get(config)


@pytest.mark.nobackend
def test_a_schedule_knows_its_tasks_by_name() -> None:
    method = get({"name": "schedule", "to": {"price": 0.5}})
    with pytest.raises(UnknownName, match="did you mean 'prices'"):
        method.bind(["volume", "prices"])
    with pytest.raises(InputError, match=r"bind\(names\) first"):
        method.init(2)
    bound = method.bind(["volume", "price"])
    assert bound == method and bound.to_config() == method.to_config()
    assert (
        bound.init(2)["to"].tolist() == [1.0, 0.5]
        and method.bind(["price", "volume"]).init(2)["to"][0] == 0.5
    )
    with pytest.raises(InputError, match="has to start with 3"):
        bound.init(3)
    with pytest.raises(InputError, match="to=None: give a mapping"):
        get("schedule").bind(["volume", "price"])
    assert get("log").bind(["volume"]) is not None


@pytest.mark.nobackend
def test_hyperparameters_are_the_methods_own() -> None:
    given = {"price": 1}
    method = get({"name": "schedule", "to": given})
    given["price"] = 7
    assert method.to_config()["to"] == {"price": 1.0}
    assert isinstance(get({"name": "dwa", "window": np.int64(3)}).to_config()["window"], int)


# -- what papers promise ---------------------------------------------------------------------------


@of("gls", "log", "stch", "famo")
@given(kind=kinds, seed=seeds)
@few
def test_the_step_does_not_see_a_losss_scale(name: str, kind: str, seed: int) -> None:
    """Weight x loss is equal but for a factor shared by all tasks, when each loss is rescaled."""
    losses, parts = scene(kind, seed)
    scale = (10.0 ** np.random.default_rng(seed).uniform(-3, 3, M)).astype("float32")
    _, plain = run(made(name, NAMES), losses, **parts)
    _, other = run(made(name, NAMES), losses * scale, **parts)
    one, two = plain * losses, other * losses * scale
    if name in ("gls", "famo"):
        one, two = one / one.sum(axis=1, keepdims=True), two / two.sum(axis=1, keepdims=True)
    assert near(two, one, 1e-3)


@of("dwa", "gradnorm", "excess_mtl")
@given(kind=kinds, seed=seeds)
@few
def test_weights_do_not_see_a_losss_scale(name: str, kind: str, seed: int) -> None:
    """Nor that of its gradient; in GradNorm, of all gradients together."""
    losses, parts = scene(kind, seed)
    scale = (10.0 ** np.random.default_rng(seed).uniform(-3, 3, M)).astype("float32")
    slopes = 100.0 if name == "gradnorm" else scale
    _, plain = run(made(name, NAMES), losses, **parts)
    _, other = run(
        made(name, NAMES), losses * scale, **(parts | {"slopes": parts["slopes"] * slopes})
    )
    assert near(other, plain, 1e-3)


@of("log", "gls")
@given(kind=kinds, seed=seeds)
@few
def test_weighted_losses_are_all_alike(name: str, kind: str, seed: int) -> None:
    losses, _ = scene(kind, seed)
    product = run(made(name, NAMES), losses)[1] * losses
    expected = 1.0 if name == "log" else np.exp(np.log(losses).mean(axis=1, keepdims=True))
    assert near(product, np.broadcast_to(expected, (N, M)))


@of("uncertainty", "imtl_l")
def test_weighted_losses_that_stand_still_come_to_1(name: str) -> None:
    losses = np.tile([1e-3, 0.1, 1.0, 20.0, 1e4], (200, 1))
    _, ours = run(made(name, NAMES, rate=0.1), losses)
    assert (ours[0] == 1).all()
    assert ours[-1] * losses[-1] == pytest.approx(np.ones(M), rel=1e-3)


@given(kind=kinds, seed=seeds)
@few
def test_uncertainty_and_imtl_l_have_the_same_weights(kind: str, seed: int) -> None:
    losses, _ = scene(kind, seed)
    assert near(
        run(made("uncertainty", NAMES), losses)[1], run(made("imtl_l", NAMES), losses)[1], 1e-6
    )


@of("rlw", "uw_so", "dwa", "gradnorm", "excess_mtl")
@given(kind=st.sampled_from(["plain", "falling", "still"]), seed=seeds)
@few
def test_weights_have_mean_1(name: str, kind: str, seed: int) -> None:
    losses, parts = scene(kind, seed)
    assert run(made(name, NAMES), losses, **parts)[1].mean(axis=1) == pytest.approx(
        np.ones(N), rel=1e-5
    )


@given(seed=seeds)
@few
def test_famo_steps_along_a_mean_of_gradients(seed: int) -> None:
    losses, _ = scene("falling", seed)
    assert run(made("famo", NAMES), losses)[1].mean(axis=1) == pytest.approx(np.ones(N), rel=1e-5)


def test_random_weights_have_the_mean_and_the_spread_that_were_asked_for() -> None:
    noise = np.random.default_rng(0).random((400, M))
    for distribution, spread in (("normal", None), ("dirichlet", np.sqrt((M - 1) / (M + 1)))):
        _, drawn = run(
            made("rlw", NAMES, distribution=distribution), np.ones((400, M)), noise=noise
        )
        assert drawn.mean(axis=0) == pytest.approx(np.ones(M), abs=0.2) and (drawn > 0).all()
        if spread:
            assert drawn.std(axis=0) == pytest.approx(np.full(M, spread), rel=0.15)


@given(seed=seeds)
@few
def test_a_small_mu_serves_the_worst_task_alone(seed: int) -> None:
    losses = scene("plain", seed)[0][:1]
    ours = run(made("stch", NAMES, form="plain", mu=1e-4), losses)[1][0]
    assert ours.argmax() == losses[0].argmax()
    ours = run(made("stch", NAMES, form="plain", mu=1e4), losses)[1][0]
    assert ours == pytest.approx(np.ones(M), rel=1e-3)


def test_excess_mtl_leaves_a_noisy_task_alone() -> None:
    """Its loss is large and constant, its gradients near 0: the weight goes to the other task.

    The other task is the one that still learns.
    """
    slopes = np.array([[1.0, 1.0]] + [[1.0, 0.01]] * 20)
    losses = np.tile([0.1, 9.0], (21, 1))
    _, ours = run(made("excess_mtl", named(2)), losses, slopes=slopes)
    assert ours[-1, 0] > 1 > ours[-1, 1]


def test_gradnorm_brings_norms_together() -> None:
    slopes = np.array([0.1, 1.0, 3.0, 10.0, 30.0])
    _, ours = run(made("gradnorm", NAMES, rate=0.05), np.ones((400, M)), slopes=slopes)
    norms = ours[-1] * slopes
    assert norms == pytest.approx(np.full(M, norms.mean()), rel=0.1)


@pytest.mark.nobackend
@pytest.mark.parametrize("name", names())
def test_the_examples_run(name: str) -> None:
    found = doctest.testmod(sys.modules[METHODS[name].__module__])
    assert found.attempted > 1 and found.failed == 0


@pytest.mark.nobackend
def test_the_example_of_the_room_runs() -> None:
    found = doctest.testmod(sys.modules[WeightingMethod.__module__])
    assert found.attempted > 1 and found.failed == 0
