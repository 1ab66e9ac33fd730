"""A run of `pc.fit` that is cut off: `pc.resume` and `polycera resume` bring it to the same files, byte for byte."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import msgspec
import numpy as np
import pytest
from small import environment

import polycera as pc
import polycera_cli
from polycera.errors import InputError
from polycera.runs import Network, Training, to_yaml
from polycera.runs.arrays import Stored
from polycera.runs.folder import GRADIENTS
from polycera.training import finish, recipe

pytestmark = pytest.mark.nobackend

ROWS = 90
OPTIONS: dict[str, Any] = {
    "training": {"max_steps": 400, "batch_size": 16, "balancing": "gradvac"},
    "network": {"width": 8, "members": 2, "bins": 4, "landmarks": 20},
}
FOLDS: dict[str, Any] = {
    "training": {"max_steps": 400, "batch_size": 16},
    "network": {"width": 8, "members": 5, "bins": 4, "landmarks": 20},
}


def columns() -> dict[str, list[Any]]:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS)).round(3)
    churn = np.where(b + rng.normal(size=ROWS) > 0, "yes", "no")
    return {"a": a.tolist(), "b": b.tolist(), "price": (a - b).round(3).tolist(), "churn": churn.tolist()}


def fit(source: Any, out: Path, options: dict[str, Any] = OPTIONS) -> pc.Run:
    return pc.fit(source, ["price", "churn"], out=out, checkpoint_every="20 batches", progress=False, **options)


def files(run: Path) -> dict[str, Any]:
    """All bytes of a run, but for the seconds that it took, and what follows from them.

    These are digests, and what a probe saw of the gradients: the clock says after which epochs it looks.
    """
    found: dict[str, Any] = {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()}
    timed = {"metrics.json"}
    if GRADIENTS not in found or Stored(run / GRADIENTS).notes["source"] == "probe":
        found.pop(GRADIENTS, None)
        timed.add(GRADIENTS)
    metrics, manifest = json.loads(found["metrics.json"]), json.loads(found["manifest.json"])
    metrics.pop("seconds")
    found["metrics.json"] = metrics
    found["manifest.json"] = sorted(set(manifest["files"]) - timed)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and the runs of it that nothing happened to: from the file and from columns."""
    place = tmp_path_factory.mktemp("made")
    table = columns()
    lines = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    (place / "table.csv").write_text("\n".join(lines) + "\n")
    fit(place / "table.csv", place / "whole")
    fit(table, place / "whole-of-columns")
    return place


@pytest.fixture
def cut(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Begins a run and ends it in the middle of its second epoch, or when only its files are left to be written."""

    class Cut(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            if batch == 70 and self.model.optimizer.iterations > 100:
                raise ZeroDivisionError

    def at_the_end(*_: Any) -> None:
        raise ZeroDivisionError

    def begin(source: Any, late: bool = False, options: dict[str, Any] = OPTIONS) -> Path:
        with monkeypatch.context() as patched:
            watching = recipe._watching
            if late:
                patched.setattr(finish, "_write", at_the_end)
            else:
                patched.setattr(recipe, "_watching", lambda *given: [*watching(*given), Cut()])
            with pytest.raises(ZeroDivisionError):
                fit(source, tmp_path / "run", options)
        return tmp_path / "run"

    return begin


@pytest.mark.parametrize("late", [False, True], ids=["in an epoch", "before its files were written"])
def test_a_run_goes_on_to_the_same_files(late: bool, made: Path, cut: Callable[..., Path]) -> None:
    run = cut(made / "table.csv", late)
    with pytest.raises(InputError, match=r"has not ended, so it has no metrics\.json yet; .* polycera resume"):
        pc.load(run).metrics  # noqa: B018
    done = pc.resume(run, checkpoint_every="20 batches", progress=False)
    assert files(run) == files(made / "whole")
    assert done.metrics["held_out"] == "test"
    assert not (run / "checkpoints").exists()


@pytest.mark.parametrize("late", [False, True], ids=["in an epoch", "before its files were written"])
def test_a_run_with_folds_goes_on_to_the_same_files(late: bool, made: Path, cut: Callable[..., Path]) -> None:
    whole = made / "whole-with-folds"
    if not whole.exists():
        assert fit(made / "table.csv", whole, FOLDS).spec.network.folds == 5
    run = cut(made / "table.csv", late, FOLDS)
    pc.resume(run, checkpoint_every="20 batches", progress=False)
    assert files(run) == files(whole)


def test_a_run_of_columns_takes_them_again(made: Path, cut: Callable[..., Path]) -> None:
    run = cut(columns())
    with pytest.raises(InputError, match="began with a data frame: pass it again, as source="):
        pc.resume(run)
    pc.resume(run, columns(), progress=False)
    assert files(run) == files(made / "whole-of-columns")


@pytest.mark.parametrize("column", ["a", "price"])
def test_a_changed_table_is_refused(column: str, made: Path, cut: Callable[..., Path]) -> None:
    run, changed = cut(columns()), columns()
    changed[column] = [value + 0.001 for value in changed[column]]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(InputError, match=r"is not the one with which the run|were made with other rows"):
        pc.resume(run, changed, progress=False)
    del changed[column]
    with pytest.raises(InputError, match=column):
        pc.resume(run, changed, progress=False)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_a_run_that_has_ended_is_left_alone(made: Path) -> None:
    before, said = files(made / "whole"), []
    found = pc.resume(made / "whole", say=said.append)
    assert files(made / "whole") == before
    assert said == [f"The run {str(made / 'whole')!r} has ended; there is nothing to resume."]
    assert found.metrics["held_out"] == "test"


def test_a_full_disk_is_one_sentence_and_exit_code_1(
    made: Path, cut: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    run = cut(made / "table.csv")
    before = {path: path.read_bytes() for path in run.rglob("*.safetensors")}
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, hard))
    try:
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(["resume", str(run), "--checkpoint-every", "1 batch"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert ended.value.code == 1
    said = capsys.readouterr().err.strip()
    assert said.startswith("polycera: Cannot write '")
    assert said.endswith("File too large.")
    assert "\n" not in said
    assert {path: path.read_bytes() for path in run.rglob("*.safetensors")} == before
    pc.resume(run, progress=False)
    assert files(run) == files(made / "whole")


PROGRAM = [sys.executable, "-m", "polycera_cli"]


def newest(run: Path) -> str:
    return max((path.name for path in run.glob("checkpoints/[0-9]*")), default="")


def ended(command: list[str], number: int, run: Path) -> tuple[int, str]:
    """What a process returns and says that is sent a signal once there is a new checkpoint."""
    before, limit = newest(run), time.monotonic() + 120
    with subprocess.Popen(command, env=environment(), stdout=-1, stderr=-1, text=True) as process:
        while newest(run) <= before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < limit
            time.sleep(0.002)
        process.send_signal(number)
        _, said = process.communicate(timeout=120)
    return process.returncode, said


def test_the_command_line_killed_terminated_and_brought_to_its_end(made: Path, tmp_path: Path) -> None:
    """A longer training than the others, so that it can be ended in time; what it would come to is seen first."""
    spec, run, every = tmp_path / "spec.yaml", tmp_path / "run", ["--checkpoint-every", "20 batches"]
    longer, network = Training(max_steps=3000, batch_size=16), Network(**FOLDS["network"])
    asked = msgspec.structs.replace(pc.load(made / "whole").spec, training=longer, network=network)
    spec.write_bytes(to_yaml(asked))
    pc.fit(spec=spec, out=tmp_path / "whole", progress=False)
    begin = [*PROGRAM, "fit", "--spec", str(spec), "--out", str(run), *every]
    assert ended(begin, signal.SIGKILL, run)[0] == -signal.SIGKILL
    for number, expected in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        code, said = ended([*PROGRAM, "resume", str(run), *every], number, run)
        assert code == expected, said
        assert f"to go on, polycera resume {run}." in said
        assert len(said.strip().splitlines()) == 1
        assert said.startswith("polycera: Interrupted in epoch ")
    done = subprocess.run(
        [*PROGRAM, "resume", str(run)], env=environment(), capture_output=True, text=True, timeout=200
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Run:  {run}" in done.stdout
    assert files(run) == files(tmp_path / "whole")
