"""Test a training step: losses weighted, gradients balanced, bad batches skipped, on any device."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python
from keras import ops
from small import compiled, from_numpy, once

import polycera as pc
from polycera import balancing, weighting
from polycera.layers.balance import ActiveBalancing

N, BATCH, FEATURES = 24, 8, 3
STEPS = N // BATCH
PLAIN: dict[str, Any] = dict(batch_size=BATCH, shuffle=False, verbose=0)
COLUMNS = ("price", "sold", "colour")
SCHEDULE = {"name": "schedule", "to": {"price": 0.25, "colour": 3.0}, "steps": 4}


@keras.saving.register_keras_serializable(package="tests")
def apart(y: Any, p: Any) -> Any:
    return ops.abs(p["price"] - p["sold"])[:, 0]


@keras.saving.register_keras_serializable(package="tests")
def brittle(y: Any, p: Any) -> Any:
    """Squares; NaN, and with NaN for a gradient, where the label is above 100."""
    return ops.square(y - p) * ops.where(y > 100.0, float("nan"), 1.0)


def tasks(price: Any = None, joint: bool = False, **sold: Any) -> list[Any]:
    """Two terms, several units, weights; and a term that nobody owns."""
    first = pc.Regression(
        "price", loss=price or {"mse": 0.7, "mae": 0.3}, weight=0.5, standardize=False
    )
    own = [first, pc.Binary("sold", **sold), pc.Multiclass("colour", 3, weight=2.0)]
    return [*own, *([pc.Joint(apart, ["price", "sold"], weight=0.3)] if joint else [])]


def table(n: int = N, seed: int = 0, holes: bool = True) -> tuple[np.ndarray, dict[str, Any]]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, FEATURES)).astype("float32")
    y: dict[str, Any] = {
        "price": x[:, 0] - x[:, 1] + 0.1 * rng.normal(size=n),
        "sold": (x[:, 1] > 0.2).astype("float64"),
        "colour": (x + rng.normal(size=(n, 3))).argmax(axis=1).astype("float64"),
    }
    if holes:
        for name in COLUMNS:
            y[name][rng.random(n) < 0.3] = np.nan
    return x, y


def part(
    data: tuple[np.ndarray, dict[str, Any]], *batches: int
) -> tuple[np.ndarray, dict[str, Any]]:
    """The rows of these batches."""
    x, y = data
    rows = np.concatenate([np.arange(i * BATCH, (i + 1) * BATCH) for i in batches])
    return x[rows], {name: values[rows] for name, values in y.items()}


def network(
    made: list[Any] | None = None, optimizer: Any = None, shared: Any = None, **heads: Any
) -> pc.Model:
    """A trunk of one small layer, and heads; the same weights and label values on every call."""
    inputs = keras.Input((FEATURES,))
    hidden = keras.layers.Dense(4, activation="tanh", name="trunk")(inputs)
    model = pc.Model(inputs, pc.layers.Heads(made or tasks(), **heads)(hidden), **(shared or {}))
    model.compile(optimizer or keras.optimizers.SGD(0.1))
    from_numpy(model)
    model.adapt(table()[1])
    return model


def learned(model: pc.Model) -> list[np.ndarray]:
    return [
        ops.convert_to_numpy(v).copy()
        for v in model.trainable_variables
        if not v.overwrite_with_gradient
    ]


def learn(model: pc.Model, values: list[np.ndarray]) -> None:
    own = [v for v in model.trainable_variables if not v.overwrite_with_gradient]
    for variable, value in zip(own, values, strict=True):
        variable.assign(value)


def state(model: pc.Model) -> np.ndarray:
    return ops.convert_to_numpy(model.heads[0].carrying.state).copy()


def step(model: pc.Model, batch: tuple[np.ndarray, dict[str, Any]]) -> dict[str, float]:
    """One step by itself, and its logs."""
    model.reset_metrics()
    model.train_on_batch(*batch)
    found = model.get_metrics_result()
    return {"loss": found["loss"], **found["tasks"]}


def close(
    ones: list[np.ndarray], others: list[np.ndarray], rtol: float = 1e-5, atol: float = 1e-6
) -> None:
    for one, other in zip(ones, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=atol)


# -- weighting -------------------------------------------------------------------------------------


def by_hand(
    model: pc.Model, logs: dict[str, float], prefix: str = "", weighted: bool = True
) -> float:
    """The loss from what is logged beside it."""
    total = logs.get(f"{prefix}regularization", 0.0)
    for name, task in model.tasks.items():
        named = {
            f"{term.name}_loss" if term.name in task.metrics else term.name: term.weight
            for term in task.terms
        }
        own = sum(factor * logs[f"{prefix}{name}/{term}"] for term, factor in named.items())
        total += own * (logs[f"{name}/weight"] if weighted else task.weight)
    return total + sum(
        joint.weight * logs[f"{prefix}{joint.name}"] for joint in model.layout.joints
    )


@pytest.mark.parametrize(
    "method",
    [SCHEDULE, "gradnorm", *(pytest.param(name, marks=once) for name in ("uncertainty", "rlw"))],
    ids=str,
)
def test_the_logged_loss_is_the_weighted_sum_of_what_is_logged(method: Any, tmp_path: Path) -> None:
    """Epoch by epoch; validation uses the tasks' own weights; and a saved model simply goes on."""
    if method == "uncertainty":
        method = {"name": "uncertainty", "rate": 0.3}
    model = network(tasks(joint=True), weighting=method, kernel_regularizer="l2")
    options = PLAIN | {"validation_data": table(16, 1)}
    history = model.fit(*table(), epochs=2, **options).history
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    further = [m.fit(*table(), epochs=2, **options).history for m in (model, again)]
    for name, values in further[0].items():
        assert further[1][name] == pytest.approx(values, rel=1e-5, nan_ok=True), name
    for epoch in range(2):
        logs = {name: values[epoch] for name, values in history.items()}
        assert logs["loss"] == pytest.approx(by_hand(model, logs), rel=2e-6)
        assert logs["val_loss"] == pytest.approx(
            by_hand(model, logs, "val_", weighted=False), rel=2e-6
        )
        weights = [logs[f"{name}/weight"] / model.tasks[name].weight for name in COLUMNS]
        assert np.isfinite(weights).all() and min(weights) > 0
        assert max(weights) - min(weights) > 0.02
    if method == "rlw":
        assert abs(np.diff([history[f"{name}/weight"] for name in COLUMNS])).max() > 0.2, (
            "drawn anew"
        )
    if isinstance(method, dict) and method["name"] == "schedule":
        weights = [further[0][f"{name}/weight"][-1] / model.tasks[name].weight for name in COLUMNS]
        assert weights == pytest.approx([0.25, 1, 3], rel=1e-6)


def test_a_weighting_is_what_is_minimised() -> None:
    """A constant one trains like task-weight factors; a joint term is of no task, and stays."""
    constant = {
        "name": "schedule",
        "to": {"price": 0.25, "colour": 3.0},
        "steps": 1,
        "shape": "step",
    }
    weighted = network(tasks(joint=True), weighting=constant)
    made = [
        t.replace(weight=t.weight * {"price": 0.25, "colour": 3.0}.get(t.name, 1.0))
        for t in tasks()
    ]
    plain = network([*made, tasks(joint=True)[-1]])
    step(weighted, part(table(), 0))  # its weights are 1 in the first step only
    learn(weighted, learned(plain))
    histories = [m.fit(*table(), epochs=2, **PLAIN).history for m in (weighted, plain)]
    assert histories[0]["loss"] == pytest.approx(histories[1]["loss"], rel=1e-5)
    close(learned(weighted), learned(plain))


@dataclass(frozen=True)
class Echo(weighting.WeightingMethod):
    """Says what it is shown."""

    name = "echo"
    title = "Echo"
    paper = weighting.Paper("Nobody", 2026, "2601.00000")
    sees = ("norms", "present", "losses")
    when = "tests"

    def weigh(self, state: Any, seen: Any) -> Any:
        return state, 1.0 + seen.norms + 10 * seen.losses


@pytest.mark.parametrize("whole", [False, True], ids=["fork", "engine"])
def test_a_weighting_is_shown_losses_and_norms(whole: bool) -> None:
    """The losses of the step itself, the norms of the one before."""
    model = network(shared={"weighting": Echo()}) if whole else network(weighting=Echo())
    norms = np.zeros(3)
    for i in range(STEPS):
        logs = step(model, part(table(), i))
        prices = 0.7 * logs["price/mse"] + 0.3 * logs["price/mae"]
        losses = np.array([prices, logs["sold/bce"], logs["colour/cross_entropy"]])
        said = [logs[f"{name}/weight"] / model.tasks[name].weight for name in COLUMNS]
        assert said == pytest.approx(1 + norms + 10 * losses, rel=1e-5)
        before = model.task_weighting.regions[0].before()
        norms = np.sqrt(np.diag(ops.convert_to_numpy(before["gramian"])))
        assert (norms > 0).all()


@pytest.mark.nobackend
def test_what_cannot_be_is_one_sentence() -> None:
    with pytest.raises(pc.InputError, match="leave one of them out"):
        network(weighting="dwa", shared={"weighting": "dwa"})
    with pytest.raises(pc.InputError, match="leave one of them out"):
        network(balancing="upgrad", shared={"balancing": "upgrad"})
    for given in (
        {"weighting": "dwa"},
        {"weighting": "gradnorm"},
        {"balancing": "upgrad", "gradients": "parameters"},
    ):
        inputs = keras.Input((FEATURES,))
        hidden = keras.layers.Dense(4)(inputs)
        several = [
            pc.layers.Heads(tasks()[:2], **given)(hidden),
            pc.layers.Heads(tasks()[2:])(hidden),
        ]
        with pytest.raises(pc.InputError, match=r"2 layers of Heads.*pc\.Model"):
            pc.Model(inputs, several)
    for given, meant in (
        ({"weighting": "uncertanty"}, "uncertainty"),
        ({"balancing": "upgrat"}, "upgrad"),
    ):
        for where in (given, {"shared": given}):
            with pytest.raises(pc.InputError, match=f"did you mean '{meant}'"):
                network(**where)
    with pytest.raises(pc.InputError, match=r"schedule.*did you mean 'price'"):
        network(weighting=SCHEDULE | {"to": {"prise": 2.0}})
    with pytest.raises(pc.InputError, match="two or more tasks"):
        network(tasks()[:1], weighting="dwa")


# -- steps whose loss is not finite ----------------------------------------------------------------


def spoilt(name: str, label: float) -> tuple[np.ndarray, dict[str, Any]]:
    """Three batches, the middle one with a row that is too much for its task."""
    x, y = table(holes=False)
    y[name][BATCH + 3] = label
    return x, y


@pytest.mark.parametrize(
    ("loss", "label", "term", "heads"),
    [
        ({"mse": 0.7, "mae": 0.3}, 1e30, "price/mse", {}),
        (brittle, 777.0, "price/brittle", {"balancing": "upgrad"}),
        (
            brittle,
            777.0,
            "price/brittle",
            {"balancing": {"name": "gradvac"}, "weighting": SCHEDULE},
        ),
    ],
    ids=["inf", "nan and a fork", "nan, a fork and a weighting"],
)
def test_a_step_that_is_not_finite_teaches_nothing(
    loss: Any, label: float, term: str, heads: Any
) -> None:
    model, other = (network(tasks(loss), **heads) for _ in range(2))
    bad = spoilt("price", label)
    with pytest.warns(UserWarning, match=rf"1 of 3 steps were skipped.*{term} \(1\)"):
        history = model.fit(*bad, **PLAIN).history
    expected = other.fit(*part(bad, 0, 2), **PLAIN).history
    assert history["skipped_steps"] == [1.0] and expected["skipped_steps"] == [0.0]
    assert all(np.isfinite(values).all() for values in learned(model))
    if "weighting" in heads:  # the schedule goes on
        return
    close(learned(model), learned(other))
    for name, values in expected.items():
        if name != "skipped_steps":
            assert history[name] == pytest.approx(values, rel=1e-5), name
    before = learned(model)
    x, y = part(bad, 1)
    with pytest.warns(UserWarning, match="1 of 1 steps"):
        history = model.fit(x, y, **PLAIN).history
    assert np.isnan(history["loss"][0])
    assert history["skipped_steps"] == [1.0]
    close(learned(model), before, rtol=0, atol=0)
    assert np.isfinite(model.fit(*table(), **PLAIN).history["loss"][0])


STATEFUL = ("gradvac", "moco")


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=() if name in STATEFUL else once) for name in balancing.names()],
)
def test_what_a_balancing_remembers_survives_a_bad_step(name: str) -> None:
    """No gradient and an infinite loss: a step in which no task takes part."""
    balance = ActiveBalancing.of(["a", "b", "c"], name)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4, 3, 5)).astype("float32")
    rows[2] = 0.0
    losses = np.ones((4, 3), "float32")
    losses[2, 0] = np.inf
    take = compiled(
        lambda carried, gramian, losses: balance.step(carried, lambda: gramian, losses)[1]
    )
    carried = ops.convert_to_tensor(balance.start())
    for g, loss in zip(rows, losses, strict=True):
        carried = take(carried, ops.convert_to_tensor(g @ g.T), ops.convert_to_tensor(loss))
        assert np.isfinite(ops.convert_to_numpy(carried)).all()
    weights = balance.read(ops.convert_to_numpy(carried))["weights"]
    assert (weights > 0).any()


# -- a learning rate of a task's own ---------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["SGD", pytest.param("Adam", marks=once)])
def test_a_task_has_a_learning_rate_of_its_own(optimizer: str, tmp_path: Path) -> None:
    """The head moves by a tenth; trunk and other heads are unaffected in the first step."""
    starts, ends, models = [], [], []
    for rate in (1.0, 0.1):
        model = network(
            tasks(learning_rate=rate),
            getattr(keras.optimizers, optimizer)(0.05),
            balancing="upgrad",
        )
        heads = model.heads[0]
        if rate != 1.0:  # the same weights as they act
            heads.kernel.assign(ops.divide(heads.kernel, heads.rates))
            heads.bias.assign(ops.divide(heads.bias, heads.rates))
        starts.append([ops.convert_to_numpy(w).copy() for w in heads._weights()])
        model.fit(*part(table(), 0), **PLAIN)
        ends.append([ops.convert_to_numpy(w).copy() for w in heads._weights()])
        models.append(model)
    close(starts[0], starts[1])
    column = models[0].layout.raw_columns["sold"]
    for start, plain, slow in zip(starts[0], *ends, strict=True):
        expected = plain - start
        expected[..., column] *= 0.1
        assert np.abs(expected).max() > 1e-3
        np.testing.assert_allclose(slow - start, expected, rtol=1e-3, atol=1e-6)
    close(*(m.get_layer("trunk").get_weights() for m in models))
    close(*(list(m.heads[0].balanced()) for m in models), rtol=1e-4)
    if optimizer == "Adam":
        return
    slow = models[1]
    slow.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert again.tasks["sold"].learning_rate == 0.1
    x = table()[0]
    np.testing.assert_array_equal(ops.convert_to_numpy(again(x)), ops.convert_to_numpy(slow(x)))
    after = [m.fit(*table(), **PLAIN).history["loss"] for m in (slow, again)]
    assert after[0] == pytest.approx(after[1], rel=1e-6)


@pytest.mark.nobackend
def test_a_learning_rate_that_makes_no_sense() -> None:
    for rate in (0, -1.0, float("nan"), float("inf"), "fast"):
        with pytest.raises(pc.InputError, match="learning"):
            pc.Binary("sold", learning_rate=rate)
    with pytest.raises(pc.InputError, match="kernel_regularizer"):
        pc.layers.Heads(tasks(learning_rate=0.5), kernel_regularizer="l2")
    slow = pc.Binary("sold", learning_rate=0.5)
    assert pc.tasks.task_from_config(slow.to_config()) == slow == slow.replace()
    assert slow != pc.Binary("sold")


# -- accumulated gradients, kept weights -----------------------------------------------------------


def test_accumulated_gradients_move_what_is_carried_once_an_update() -> None:
    """The last of three steps counts; validation, or a fit that ends between, has no effect."""
    data = table(6 * BATCH)
    single, several = (network(balancing="gradvac") for _ in range(2))
    start = state(single)
    for _ in range(2):  # an optimizer that is given up between two updates leaves nothing behind
        several.compile(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3))
        several.fit(*part(data, 0, 1), validation_data=table(BATCH, 1), **PLAIN)
    close([state(several)], [start], atol=0)
    several.fit(*part(data, 2, 3), validation_data=table(BATCH, 1), **PLAIN)
    single.fit(*part(data, 2), **PLAIN)
    close([state(several)], [state(single)])
    learn(single, learned(several))
    several.fit(*part(data, 4, 5), **PLAIN)
    single.fit(*part(data, 5), **PLAIN)
    close([state(several)], [state(single)])
    assert (np.array(several.heads[0].balanced()[0]) < 0).any(), (
        "gradients in conflict: negative numbers survive"
    )


def test_accumulation_and_loss_scaling_are_refused() -> None:
    inner = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model = network(optimizer=keras.optimizers.LossScaleOptimizer(inner), balancing="upgrad")
    with pytest.raises(pc.InputError, match="mixed_bfloat16"):
        model.fit(*table(), **PLAIN)


def test_weights_are_kept_for_some_steps() -> None:
    data = table(6 * BATCH)
    found = []
    for every in (1, 3):
        model = network(optimizer=keras.optimizers.SGD(0.0), balancing="upgrad", every=every)
        weights = []
        for i in range(6):
            step(model, part(data, i))
            weights.append(model.heads[0].balanced()[1])
        found.append(np.array(weights))
    anew, kept = found
    assert np.abs(np.diff(anew, axis=0)).max(axis=1).min() > 1e-4
    np.testing.assert_allclose(kept, anew[[0, 0, 0, 3, 3, 3]], rtol=1e-5)
    x, y = part(data, 0)
    step(model, (x, y | {"sold": np.full(BATCH, np.nan)}))
    weights = model.heads[0].balanced()[1]
    assert weights[1] == kept[-1][1] and weights[0] != kept[-1][0], "who comes back is not left out"


# -- precision, compilation ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def usual() -> tuple[dict[str, list[float]], list[Any]]:
    return told(network(balancing="upgrad", weighting="gls"))


def told(model: pc.Model) -> tuple[dict[str, list[float]], list[Any]]:
    return model.fit(*table(), epochs=3, **PLAIN).history, model.gradients


@pytest.mark.parametrize(("policy", "to"), [("mixed_float16", 0.01), ("mixed_bfloat16", 0.05)])
def test_half_precision_is_float32_to_its_digits(policy: str, to: float, usual: Any) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = network(balancing="upgrad", weighting="gls")
    finally:
        keras.config.set_dtype_policy(before)
    assert hasattr(model.optimizer, "inner_optimizer") == (policy == "mixed_float16")
    history, seen = told(model)
    assert history["loss"] == pytest.approx(usual[0]["loss"], rel=to)
    for one, other in zip(seen[0][1:4], usual[1][0][1:4], strict=True):
        np.testing.assert_allclose(one, other, rtol=2 * to, atol=2 * to)


def test_several_steps_at_once_and_compiled(usual: Any, backend: str) -> None:
    if backend == "torch":
        pytest.skip("Keras has neither on torch")
    for options in ({"steps_per_execution": 2}, {"jit_compile": True}):
        if backend == "jax" and "jit_compile" in options:
            continue  # as always there
        model = network(balancing="upgrad", weighting="gls")
        model.compile(keras.optimizers.SGD(0.1), **options)
        history, seen = told(model)
        assert history["loss"] == pytest.approx(usual[0]["loss"], rel=1e-5)
        close(list(seen[0][1:5]), list(usual[1][0][1:5]), rtol=1e-4)


# -- several devices -------------------------------------------------------------------------------


def stories() -> dict[str, Any]:
    """Losses, and what was seen of the gradients, for all ways to balance and weight."""
    ways: dict[str, dict[str, Any]] = {
        "fork": {"balancing": "upgrad", "weighting": "gradnorm"},
        "features": {"shared": {"balancing": "upgrad", "weighting": "uncertainty"}},
        "parameters": {"shared": {"balancing": "upgrad", "gradients": "parameters"}},
    }
    found = {}
    for name, options in ways.items():
        model = network(tasks(joint=True), **options)
        history = model.fit(*spoilt("price", 1e30), epochs=2, **PLAIN).history
        seen = [np.asarray(values).tolist() for values in model.gradients[0][1:5]]
        found[name] = [history["skipped_steps"], history["loss"], *seen]
    return found


TOLD = "import json\nfrom test_steps_laws import stories\nprint(json.dumps(stories()))\n"
FOUR_DEVICES = """
import keras
keras.distribution.set_distribution(keras.distribution.DataParallel())
assert len(keras.distribution.list_devices()) == 4
"""
TWO_REPLICAS = """
import json
import tensorflow as tf
from test_steps_laws import stories
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    story = stories()
print(json.dumps(story))
"""


@pytest.mark.filterwarnings("ignore:1 of 3 steps were skipped")
def test_several_devices_are_one(backend: str) -> None:
    if backend == "torch":
        pytest.skip("torch's data parallelism arrives with Keras 3.16")
    here = str(Path(__file__).parent)
    if backend == "jax":
        code, flags = FOUR_DEVICES + TOLD, {"XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    else:
        code, flags = TWO_REPLICAS, {}
    many = json.loads(
        python(f"import sys\nsys.path.insert(0, {here!r})\n{code}", **flags).splitlines()[-1]
    )
    for name, story in stories().items():
        for one, other in zip(many[name], story, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5, err_msg=name)


# -- what an epoch saw -----------------------------------------------------------------------------


def test_an_epoch_logs_the_means_over_its_steps() -> None:
    model, single = (network(balancing="upgrad") for _ in range(2))
    for _ in range(2):
        model.fit(*table(), **PLAIN)
        seen = []
        for i in range(STEPS):
            step(single, part(table(), i))
            gramian, weights = single.heads[0].balanced()
            norms = np.sqrt(np.diag(gramian))
            cosines = gramian / np.outer(norms, norms)
            seen.append((weights, norms, cosines, cosines < -1e-6))
        (found,) = model.gradients
        assert found.tasks == COLUMNS
        for ours, expected in zip(found[1:5], zip(*seen, strict=True), strict=True):
            np.testing.assert_allclose(ours, np.mean(expected, axis=0), rtol=1e-4, atol=1e-6)
