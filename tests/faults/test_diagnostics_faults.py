"""What cannot be described or compared: one sentence each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import polycera as pc
import polycera_cli
from polycera.interpretation.cka import MinibatchCKA, cka, cka_unbiased
from polycera.interpretation.describe_network import describe_network
from polycera.interpretation.linear_probe import probe, probes
from polycera.interpretation.representations import representations
from polycera.interpretation.sharing import sharing
from polycera.interpretation.similarity import similarity

pytestmark = pytest.mark.nobackend


class Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(2)

    def call(self, x: Any) -> Any:
        return {"a": self.dense(x), "b": self.dense(x)}


def model(shape: tuple[int | None, ...] = (4,), dtype: str = "float32") -> keras.Model:
    x = keras.Input(shape, dtype=dtype, name="tokens")
    h = keras.layers.Embedding(9, 3)(x) if dtype != "float32" else x
    h = keras.layers.GlobalAveragePooling1D()(h) if len(h.shape) == 3 else h
    h = keras.layers.Dense(3, name="trunk")(h)
    return keras.Model(x, {"a": keras.layers.Dense(1)(h), "b": keras.layers.Dense(1)(h)})


def called() -> keras.Model:
    made = Subclassed()
    made(np.ones((2, 3), "float32"))
    return made


def nested_outputs() -> keras.Model:
    x = keras.Input((4,))
    both = [keras.layers.Dense(1)(x), keras.layers.Dense(1)(x)]
    return keras.Model(x, {"a": both, "b": keras.layers.Dense(1)(x)})


def twins() -> keras.Model:
    x = keras.Input((4,))
    layer = keras.layers.Dense(1, name="same")
    return keras.Model(x, [layer(x), layer(keras.layers.Dense(4)(x))])


X = np.random.default_rng(0).normal(size=(30, 4)).astype("float32")


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda: describe_network(called()), "The layers of Subclassed .* cannot be inspected"),
        (lambda: describe_network(Subclassed()), "not a subclassed one"),
        (
            lambda: describe_network(keras.Sequential([keras.layers.Dense(1)])),
            "begins with keras.Input",
        ),
        (lambda: describe_network("runs/r"), "Expected a keras.Model, got str"),
        (lambda: describe_network(nested_outputs()), "'a' holds several tensors"),
        (lambda: describe_network(twins()), "Two outputs of one name"),
        (lambda: sharing(model(), ["a", "c"]), "Unknown task 'c'.* known: 'a', 'b'"),
        (
            lambda: describe_network(model((None, 4)), measure=True),
            r"'tokens' takes shape \[None, 4\].* give rows",
        ),
        (
            lambda: describe_network(model(), [X, X], measure=True),
            "are 2 arrays; the model takes 1",
        ),
        (lambda: describe_network(model(), X[:0], measure=True), "rows to measure with"),
        (lambda: cka(X, X[:9]), "of 30 and 9 rows"),
        (lambda: cka(X[:1], X[:1]), "needs 2 rows or more, got 1 in the first"),
        (lambda: cka(X[:, 0], X), r"got shape \[30\]"),
        (
            lambda: cka(X, np.where(X > 2, np.nan, X) * np.inf),
            "infinite numbers in the second representation",
        ),
        (lambda: cka_unbiased(X[:3], X[:3]), "needs 4 rows or more, got 3"),
        (lambda: MinibatchCKA().value, "call update"),
        (
            lambda: representations(model(), X, ["trnk"]),
            "Unknown layer 'trnk'; did you mean 'trunk'",
        ),
        (lambda: representations(called(), X), "The layers of Subclassed cannot be inspected"),
        (lambda: similarity(model(), model(), X, x_b=X[:5]), "the same rows, got 5 and 30"),
        (lambda: similarity(model(), model(), X[:3]), "needs 4 rows or more, got 3"),
        (
            lambda: similarity(model(), model(), np.zeros((5000, 4), "float32"), unbiased=False),
            "at most 4,096",
        ),
        (
            lambda: probe(X, X[:9, 0], pc.Regression("y")),
            r"shape \[30, 4\], and there are 9 labels",
        ),
        (lambda: probe(X * np.nan, X[:, 0], pc.Regression("y")), "NaN or infinite"),
        (
            lambda: probe(X, X > 0, pc.Multilabel("y", labels=4)),
            "probe for each of its labels",
        ),
        (lambda: probes(model(), X, {"a": X[:, 0]}), "name the tasks to probe for"),
        (
            lambda: probes(model(), X, {"a": X[:, 0]}, [pc.Regression("b")]),
            "Unknown labels for task 'b'",
        ),
    ],
)
def test_one_sentence(act: Any, said: str) -> None:
    with pytest.raises(pc.InputError, match=said) as caught:
        act()
    assert len(str(caught.value)) < 400 and "\n" not in str(caught.value)


def test_rows_that_are_given_are_measured_with() -> None:
    rows = np.random.default_rng(0).integers(0, 9, (10, 6))
    found = describe_network(model((None,), "int32"), rows, measure=True)
    assert found.sharing.joint.step and found.sharing.separate.predict
    # an embedding, a mean and dense layers do not care for the length
    assert "not known of" not in str(found)


def test_codes_are_made_up_for_an_embedding() -> None:
    assert describe_network(model((6,), "int32"), measure=True).sharing.joint.step


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["nowhere"], "There is no run folder 'nowhere'."), (["."], "is no run: it lacks spec.yaml")],
)
def test_the_command_says_what_is_no_run(
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main(["describe-network", *arguments])
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_a_sharing_json_that_was_changed_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, small = {"x": X[:, 0], "a": X[:, 1], "b": X[:, 2]}, {"width": 8, "members": 1}
    run = pc.fit(table, ["a", "b"], out=tmp_path / "r", training={"max_steps": 2}, network=small)
    place = run.path / "sharing.json"
    place.write_bytes(place.read_bytes().replace(b'"tasks"', b'"tusks"', 1))
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main(["describe-network", str(run.path)])
    assert ended.value.code and "sharing.json" in capsys.readouterr().err
