"""Who shares what, on networks whose answer is known by construction."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from fresh import python
from keras import layers, ops

import polycera as pc
import polycera_cli
from polycera.drawing.described import described
from polycera.interpretation import step_times
from polycera.interpretation.describe_network import NetworkDescription, describe_network
from polycera.interpretation.separate_models import separate
from polycera.interpretation.sharing import sharing
from polycera.interpretation.sharing_verdict import WeightShare, verdict
from polycera.runs import Network, Training
from polycera.runs.results import Amount, Sharing
from polycera.tabular import recipe

pytestmark = pytest.mark.nobackend


def trunk() -> keras.Model:
    x = keras.Input((48,))
    h = layers.Dense(32)(layers.Dense(32)(x))
    return keras.Model(x, {"price": layers.Dense(1)(h), "sold": layers.Dense(1)(h)})


def towers(number: int = 2) -> keras.Model:
    x = keras.Input((4,))
    return keras.Model(x, {f"t{i}": layers.Dense(1)(layers.Dense(8)(x)) for i in range(number)})


def merged() -> keras.Model:
    """A sequence and a few numbers; two tasks see both, one the sequence alone."""
    sequence, numbers = keras.Input((12, 5)), keras.Input((3,))
    read = layers.LSTM(8, name="lstm")(sequence)
    both = layers.Concatenate()([read, layers.Dense(4, name="branch")(numbers)])
    h = layers.Dropout(0.1)(layers.Dense(6, name="merged")(both))
    heads = {
        "price": layers.Dense(1)(h),
        "sold": layers.Dense(1)(h),
        "topic": layers.Dense(3)(read),
    }
    return keras.Model([sequence, numbers], heads)


def siamese() -> keras.Model:
    x, z = keras.Input((3,)), keras.Input((3,))
    encoder = layers.Dense(4, name="encoder")
    return keras.Model([x, z], {"a": layers.Dense(1)(encoder(x)), "b": layers.Dense(1)(encoder(z))})


def nested() -> keras.Model:
    inner_x = keras.Input((4,))
    inner = keras.Model(inner_x, layers.Dense(6, name="dense")(inner_x), name="backbone")
    x = keras.Input((4,))
    h = layers.Dense(5, name="dense")(inner(x))
    return keras.Model(x, [layers.Dense(1, name="a")(h), layers.Dense(2, name="b")(inner(x))])


def again() -> keras.Model:
    """A layer that is called on what came of it."""
    x = keras.Input((4,))
    loop, between = layers.Dense(4, name="loop"), layers.Dense(4, name="between")
    return keras.Model(x, {"a": layers.Dense(1, name="a")(loop(between(loop(x))))})


def fused(**options: Any) -> pc.Model:
    x = keras.Input((7,))
    tasks = [pc.Binary("churn"), pc.Regression("spend"), pc.Multiclass("kind", classes=3)]
    return pc.Model(x, pc.layers.Heads(tasks)(layers.Dense(5)(x)), **options)


def two_heads() -> pc.Model:
    x = keras.Input((7,))
    h = layers.Dense(5)(x)
    one = pc.layers.Heads([pc.Binary("churn"), pc.Binary("left")])(h)
    return pc.Model(
        x, [one, pc.layers.Heads([pc.Regression("spend")], use_bias=False)(layers.Dense(4)(h))]
    )


def adopted(**options: Any) -> pc.Model:
    return pc.adopt(trunk(), [pc.Regression("sold"), pc.Regression("price")], **options)


def tabular(**training: Any) -> pc.Model:
    """The network of a table: two members of 4 units, bins for one column, five landmarks.

    The binned column is the first of three.
    """
    tasks = [pc.Binary("churn"), pc.Regression("spend"), pc.Multiclass("kind", classes=3)]
    network = Network(width=4, depth=2, members=2, bins=6, numbers=1, landmarks=5)
    return recipe.build(3, tasks, network, Training(**training), 0)


def deep() -> keras.Model:
    return keras.Sequential(
        [keras.Input((4,)), layers.Dense(3), layers.BatchNormalization(), layers.Dense(1)]
    )


MODELS: list[Callable[[], Any]] = [
    *(trunk, towers, merged, siamese, nested, again, fused, two_heads, adopted, deep, tabular),
    lambda: fused(balancing="pcgrad", weighting="uncertainty"),
    lambda: adopted(balancing="pcgrad"),
    *(lambda: tabular(balancing="pcgrad"), lambda: fused().named(), lambda: tabular().named()),
]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_every_weight_is_counted_once(make: Callable[[], Any]) -> None:
    model = make()
    found = sharing(model)
    assert found.parameters.total == found.joint.parameters == model.count_params()
    names = [layer.name for layer in found.layers]
    assert len(set(names)) == len(names)
    for place, layer in enumerate(found.layers):
        assert set(layer.inputs) <= set(names[:place])
    assert msgspec.json.decode(msgspec.json.encode(found), type=Sharing) == found


@pytest.mark.parametrize("make", MODELS[:-3], ids=lambda make: make.__name__)
def test_separate_networks_cost_what_they_cost_when_they_are_built(make: Callable[[], Any]) -> None:
    model = make()
    found = sharing(model)
    alone = [sharing(separate(model, task)[0]) for task in found.tasks]
    assert [each.tasks for each in alone] == [[task] for task in found.tasks]
    serving = [each.parameters.total - each.parameters.none for each in alone]
    assert sum(serving) == found.separate.parameters


def test_a_full_trunk() -> None:
    found = sharing(trunk())
    assert found.verdict == (
        "This is one network: 2,624 of 2,690 weights serve both tasks and receive the sum of both "
        "gradients."
    )
    assert found.parameters == Amount(all=2624, some=0, one=66)
    assert found.separate.parameters == 2690 + 2624


def test_two_towers() -> None:
    found = sharing(towers())
    assert found.verdict == "These are two networks in one object: nothing is shared."
    assert found.parameters == Amount(all=0, some=0, one=2 * (40 + 9))
    assert found.joint == found.separate
    assert (
        sharing(towers(3)).verdict == "These are three networks in one object: nothing is shared."
    )
    assert sharing(towers(12)).verdict == "These are 12 networks in one object: nothing is shared."


def test_a_sequence_with_a_merged_branch() -> None:
    found = sharing(merged())
    lstm, branch, both, topic = 4 * (13 * 8 + 8), 3 * 4 + 4, 12 * 6 + 6, 8 * 3 + 3
    assert found.parameters == Amount(all=lstm, some=branch + both, one=7 + 7 + topic)
    assert found.verdict == (
        "This is one network: 448 of 583 weights serve all three tasks and receive the sum of "
        "their gradients; "
        "94 serve two of them."
    )
    by_name = {layer.name: layer for layer in found.layers}
    assert by_name["lstm"].tasks == [0, 1, 2] and by_name["branch"].tasks == [0, 1]
    assert by_name["merged"].shape == [6] and by_name["lstm"].inputs == [found.layers[0].name]
    assert found.separate.parameters == 3 * lstm + 2 * (branch + both) + 7 + 7 + topic


def test_a_layer_called_twice_serves_whom_both_calls_serve() -> None:
    found = sharing(siamese())
    assert found.parameters == Amount(all=16, some=0, one=10)
    assert found.verdict.startswith("This is one network: 16 of 26 weights serve both tasks")


def test_models_within_a_model_are_taken_apart() -> None:
    found = sharing(nested())
    assert [layer.name for layer in found.layers][1:] == ["dense", "dense (2)", "a", "b"]
    assert found.parameters == Amount(all=30, some=0, one=35 + 6 + 14)


def test_of_fused_heads_each_task_owns_its_columns() -> None:
    found = sharing(fused())
    units = 1 + 1 + 3
    own = units * (5 + 1) + units + 2 * 3  # kernel and bias; prior; location and scale
    # whether fitted; task weights
    assert found.parameters == Amount(all=40, some=0, one=own, none=1 + 3)
    assert found.verdict == (
        f"This is one network: 40 of {40 + own} weights serve all three tasks and receive the sum "
        "of their gradients."
    )
    part = sharing(fused(), ["spend", "churn"])
    assert part.tasks == ["churn", "spend"] and part.parameters.one == 2 * (6 + 1 + 2)


def test_of_members_landmarks_and_their_blend_each_task_owns_its_columns() -> None:
    found = sharing(tabular())
    units, embedding, entering = 1 + 1 + 3, 6 + 1, 3 + 8
    # the members' bins and hidden layers
    taught = 2 * (embedding * 8 + (entering + 1) * 4 + (4 + 1) * 4)
    kept = 2 * 6 + 5 * 3 + 2  # edges and widths of bins; landmarks, rate and power
    own = units * 2 * (4 + 1) + units + 2 * 3  # heads, as of `fused`
    own += (5 + 1) * units + 3 * units  # coefficients and offset; share, scale and shift
    assert found.parameters == Amount(all=taught + kept, some=0, one=own, none=1 + 3)
    assert found.verdict == (
        f"This is one network: {taught + kept} of {taught + kept + own} weights serve all three "
        f"tasks, and {taught} of "
        "these receive the sum of their gradients."
    )
    assert all(layer.tasks == [0, 1, 2] for layer in found.layers)


def test_what_balancing_does_is_said() -> None:
    model = adopted(balancing="pcgrad")
    assert sharing(model).verdict.endswith(
        "serve both tasks and receive both gradients as balancing combines them."
    )
    assert sharing(adopted(weighting="gradnorm")).verdict.endswith(
        "receive the sum of both gradients."
    )


def test_a_frozen_trunk_and_a_stopped_gradient() -> None:
    model = trunk()
    for layer in model.layers[1:3]:
        layer.trainable = False
    assert sharing(model).verdict == (
        "These are two networks in one object: 2,624 of 2,690 weights serve both tasks, "
        "and none of these learns from both."
    )
    model.layers[2].trainable = True
    assert sharing(model).verdict == (
        "This is one network: 2,624 of 2,690 weights serve both tasks, "
        "and 1,056 of these receive the sum of both gradients."
    )
    x = keras.Input((4,))
    h = layers.Dense(8)(x)
    stopped = {"a": layers.Dense(1)(h), "b": layers.Dense(1)(ops.stop_gradient(h))}
    assert "none of these learns from both" in sharing(keras.Model(x, stopped)).verdict


A, B, C, D = 1, 2, 4, 8


@pytest.mark.parametrize(
    ("masks", "tasks", "said"),
    [
        ([A], 1, "This is a network of one task: all 10 weights serve it."),
        ([], 2, "This network has no weights: there is nothing to share."),
        (
            [A | B, B | C, A],
            3,
            (
                "This is one network, though no weight serves all three tasks: 20 of 30 weights "
                "serve two of them."
            ),
        ),
        (
            [A | B, C],
            3,
            "These are two networks in one object, for two tasks and one alone: 10 of 20 weights "
            "serve two tasks or "
            "more.",
        ),
        (
            [A | B | C | D, A | B | C, D],
            4,
            "This is one network: 10 of 30 weights serve all four tasks and receive the sum of "
            "their gradients; "
            "10 serve two or more of them.",
        ),
        (
            [A | B, C | D],
            4,
            "These are two networks in one object, for two tasks and two tasks: 20 of 20 weights "
            "serve two tasks or "
            "more.",
        ),
        (
            [2**200 - 1],
            200,
            (
                "This is one network: 10 of 10 weights serve all 200 tasks and receive the sum of "
                "their gradients."
            ),
        ),
    ],
)
def test_the_wording(masks: list[int], tasks: int, said: str) -> None:
    assert verdict([WeightShare(10, mask, mask) for mask in masks], tasks) == said


HOSTILE = ["<script>alert(1)</script>", "a" * 300, "\x1b[31mred\u202e", "[bold]x[/bold]"]


def test_a_description_shows_names_as_text() -> None:
    x = keras.Input((4,))
    tasks = [pc.Binary(name) for name in HOSTILE]
    found = describe_network(
        pc.Model(x, [pc.layers.Heads([task])(layers.Dense(3)(x)) for task in tasks])
    )
    text = str(found)
    assert "\x1b" not in text and "\u202e" not in text and "[bold]x[/bold]" in text
    assert max(map(len, text.splitlines())) <= 110
    page = found._repr_html_()
    assert "<script>" not in page and "&lt;script&gt;" in page and page.count("<svg") == 1
    assert msgspec.json.decode(found.to_json(), type=Sharing) == found.sharing


def test_two_hundred_tasks_are_described_on_one_screen() -> None:
    x = keras.Input((4,))
    model = pc.Model(
        x, pc.layers.Heads([pc.Binary(f"label {i}") for i in range(200)])(layers.Dense(8)(x))
    )
    found = describe_network(model)
    assert (
        found.verdict.startswith("This is one network: 40 of") and "all 200 tasks" in found.verdict
    )
    assert len(str(found).splitlines()) < 20 and "all 200" in str(found)
    assert len(found.picture().page()) < 200_000


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_times, "STEPS", 3)
    monkeypatch.setattr(step_times, "REPEATS", 2)


@pytest.mark.parametrize("make", [towers, fused, tabular], ids=lambda make: make.__name__)
def test_time_is_measured_on_copies(make: Callable[[], Any]) -> None:
    model = make()
    before = [np.array(weight) for weight in model.get_weights()]
    found = describe_network(model, measure=True).sharing
    for cost in (found.joint, found.separate):
        assert cost.step is not None and 0 < cost.step < 10
        assert cost.predict is not None and 0 < cost.predict < cost.step * 32
    assert "A training step of 32 rows takes" in str(NetworkDescription(found))
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    table = {
        "one": x[:, 0],
        "two": x[:, 1],
        "a": x[:, 0] + x[:, 1],
        "b": np.where(x[:, 0] > 0, "yes", "no"),
    }
    few = {"training": {"max_steps": 20}, "network": {"width": 8, "members": 5}}
    return pc.fit(table, ["a", "b"], out=tmp_path_factory.mktemp("runs") / "r", **few)


def test_a_run_says_who_shares_what(run: pc.Run) -> None:
    assert run.sharing is not None
    assert run.sharing == sharing(run.model)
    assert run.sharing.parameters.total == run.metrics["parameters"] == run.model.count_params()


def test_the_command_reads_the_run_without_keras(run: pc.Run, tmp_path: Path) -> None:
    code = (
        "import sys, polycera_cli\n"
        f"try: polycera_cli.main(['describe', {str(run.path)!r}, '-o', "
        f"{str(tmp_path / 'p.svg')!r}])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'keras' not in sys.modules\n"
    )
    said = python(code)
    assert run.sharing is not None
    shown = described(run.sharing, 140)
    assert said.startswith(shown) and "Picture: " in said
    assert (tmp_path / "p.svg").read_text(encoding="utf-8").startswith("<svg")


def test_the_command_speaks_json(run: pc.Run, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["describe-network", str(run.path), "--json"],
        ["describe-network", str(run.path), "--json", "--measure"],
    ):
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(arguments)
        assert not ended.value.code
        found = json.loads(capsys.readouterr().out)
        assert run.sharing is not None and found["verdict"] == run.sharing.verdict
        assert (found["joint"]["step"] is not None) == ("--measure" in arguments)
