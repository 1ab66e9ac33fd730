"""Test runs from strangers: every script of attacks/, and genuine runs with changed values.

Nothing gets through.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fresh import environment

pytestmark = pytest.mark.nobackend

ATTACKS = Path(__file__).resolve().parents[2] / "attacks"
SCRIPTS = sorted(
    p.stem for p in ATTACKS.glob("*.py") if p.stem not in ("all", "fuzz") and p.stem[0] != "_"
)
MUTATIONS = 100
BATCH = 50
OWN = pytest.mark.skipif(not hasattr(os, "fork"), reason="each attack gets a forked process")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The genuine runs that all attacks begin with, and attacks/ to import from."""
    folder = tmp_path_factory.mktemp("genuine")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ATTACKS))
        import _run

        _run.make(folder)
        yield folder


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """What one process with all attacks, every twentieth variant of each, prints, by script.

    PyTorch survives forks.
    """
    done = subprocess.run(
        [sys.executable, str(ATTACKS / "all.py"), "--every", "20"],
        env=environment(KERAS_BACKEND="torch"),
        capture_output=True,
        text=True,
        timeout=250,
    )
    parts = done.stdout.split("\n== ")
    assert parts[-1].endswith("got through.\n"), done.stderr[-3000:]
    return dict(part.split("\n", 1) for part in parts[1:])


@OWN
@pytest.mark.parametrize("script", SCRIPTS)
def test_no_attack_gets_through(said: dict[str, str], script: str) -> None:
    """Each was refused in a sentence, or is harmless for a reason, and took less than 128 MB."""
    lines = said[script].splitlines()
    assert lines
    assert [line for line in lines if "GOT THROUGH" in line] == []


@pytest.mark.parametrize("first", range(0, MUTATIONS, BATCH))
def test_values_that_nobody_wrote(made: Path, tmp_path: Path, first: int) -> None:
    """A run with one value changed, and sealed again: one sentence, or answers."""
    import _run
    import fuzz

    faults = []
    for number in range(first, first + BATCH):
        folder = tmp_path / str(number)
        done, wrong, _ = fuzz.one(
            _run.prepared(made, folder, False), random.Random(f"test/{number}")
        )
        faults += [f"{number} {done}: {each}" for each in wrong]
    assert faults == []


REFUSED: list[Any] = ["os>system", "polycera>Heads", "polycera>Model"]


@pytest.mark.parametrize("name", REFUSED)
def test_only_losses_are_taken_from_the_registry(name: str) -> None:
    """Layers and models are registered too, and are no losses."""
    from polycera.errors import UnknownName
    from polycera.tasks import loss_from_config

    config = {
        "module": None,
        "class_name": name.split(">")[1],
        "config": {},
        "registered_name": name,
    }
    with pytest.raises(UnknownName):
        loss_from_config.loss(config, "A loss")


def test_every_loss_of_keras_comes_back() -> None:
    """What is let through is what Keras itself would make."""
    import keras

    from polycera.tasks import loss_from_config

    made = 0
    for name, thing in vars(keras.losses).items():
        if name in loss_from_config.HELPERS or thing is keras.losses.Loss or not callable(thing):
            continue
        loss = thing() if isinstance(thing, type) else thing
        again = loss_from_config.loss(keras.saving.serialize_keras_object(loss), "A loss")
        assert again is loss if loss is thing else again.get_config() == loss.get_config()
        made += 1
    assert made > 30
