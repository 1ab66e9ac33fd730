"""Test what cannot be compared or swept, and failures meanwhile: one sentence, no half files."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh import environment

import polycera as pc
import polycera_cli
from polycera.errors import InputError, InUse, PolyceraError
from polycera.experiments.compare_separate import compare_separate
from polycera.experiments.compare_weightings import compare_weightings
from polycera.runs import folder, manifest, results
from polycera.runs.timing import TIMING
from polycera.storage import atomic
from polycera.tabular import recipe
from polycera.tabular.loss_weights import with_weights

pytestmark = pytest.mark.nobackend

QUICK: dict[str, Any] = {
    "network": {"width": 4, "depth": 1, "members": 1, "bins": 0},
    "training": {"max_steps": 5, "batch_size": 20},
}


def columns(rows: int = 60) -> dict[str, Any]:
    a, b = np.random.default_rng(0).normal(size=(2, rows))
    return {"a": a, "b": b, "price": a - b, "left": a + 2 * b}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pc.fit(
        columns(), ["price", "left"], out=tmp_path_factory.mktemp("faults") / "run", **QUICK
    ).path


def untrained(*_: Any, **__: Any) -> Any:
    raise AssertionError("nothing should be trained")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "train", untrained)


# -- what cannot be compared -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"tasks": ["prise"]}, r"Unknown task to compare: 'prise'; did you mean 'price'"),
        ({"tasks": []}, r"No task to compare"),
        ({"source": None}, r"was started with a data frame: pass it again, as source="),
        ({"source": "gone.csv"}, r"gone\.csv"),
        (
            {"source": columns(59)},
            r"The table given is not the one with which the run .* was started",
        ),
        (
            {"source": {**columns(), "left": columns()["left"] + 1e-3}},
            r"The table given is not the one",
        ),
        (
            {"seeds": 0},
            r"Expected seeds= to be a number of seeds, 1 or more, or a list of different seeds, "
            r"got 0",
        ),
        ({"seeds": [1, 1]}, r"got \[1, 1\]"),
        ({"seeds": [-1]}, r"got \[-1\]"),
        ({"seeds": 2.5}, r"got 2\.5"),
        ({"seeds": "12"}, r"got '12'"),
        ({"processes": 0}, r"Expected processes= to be a whole number, 1 or more, got 0"),
        ({"processes": "two"}, r"got 'two'"),
        ({"confidence": 1.0}, r"Expected confidence= to lie between 0 and 1, got 1\.0"),
        ({"confidence": "95%"}, r"Expected confidence= to lie between 0 and 1, got '95%'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_asked_wrongly(
    options: dict[str, Any], sentence: str, run: Path, no_training: None
) -> None:
    before = sorted(os.listdir(run))
    with pytest.raises(InputError, match=sentence) as said:
        compare_separate(run, **{"source": columns(), **options})
    assert str(said.value).endswith(".")
    assert sorted(os.listdir(run)) == before


def test_one_task_and_no_rows_held_out(tmp_path: Path) -> None:
    one = pc.fit(columns(), ["price"], out=tmp_path / "one", **QUICK)
    with pytest.raises(
        InputError, match=r"The run has one task, 'price': its network is a separate one already"
    ):
        compare_separate(one, columns())
    bare = pc.fit(
        columns(), ["price", "left"], out=tmp_path / "bare", validation=0.0, test=0.0, **QUICK
    )
    with pytest.raises(InputError, match=r"has neither validation nor test rows"):
        compare_separate(bare, columns())
    with pytest.raises(InputError, match="There is no run folder"):
        compare_separate(tmp_path / "none")


def test_no_validation_is_no_obstacle_and_is_said_where_it_is_all_there_is(tmp_path: Path) -> None:
    test = pc.fit(columns(), ["price", "left"], out=tmp_path / "test", validation=0.0, **QUICK)
    found = compare_separate(test, columns(), seeds=1, write=False)
    assert found.part == "test"
    assert "one seed cannot show whether that is chance" in found.verdict
    assert [gain.low for gain in found.tasks.values()] == [None, None]
    assert test.comparison is None
    only = pc.fit(columns(), ["price", "left"], out=tmp_path / "only", test=0.0, **QUICK)
    found = compare_separate(only, columns(), seeds=1, write=False)
    assert "early stopping used these rows" in found.verdict


def test_a_run_that_has_not_ended_or_is_being_trained(
    run: Path, tmp_path: Path, no_training: None
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in (folder.SPEC, folder.SCHEMA, TIMING):
        (begun / name).write_bytes((run / name).read_bytes())
    manifest.add(begun, [folder.SPEC, folder.SCHEMA])
    with pytest.raises(
        InputError,
        match=r"has not ended, so there is nothing to compare with yet; .* polycera resume",
    ):
        compare_separate(begun, columns())
    hold = (
        "import sys, time; from pathlib import Path; from polycera.storage import lock\n"
        "with lock.acquired(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(100)"
    )
    command = [sys.executable, "-c", hold, str(run / folder.CHECKPOINTS)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InUse, match="Another process is training in"):
            compare_separate(run, columns())
        other.kill()
    atomic.discard(run / folder.CHECKPOINTS)


def test_a_folder_that_takes_no_file_is_found_out_before_training(
    run: Path, no_training: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, *parts: bytes) -> None:
        raise PolyceraError(f"Cannot write '{path}': Read-only file system.")

    monkeypatch.setattr(atomic, "write", refused)
    with pytest.raises(PolyceraError, match="Read-only file system"):
        compare_separate(run, columns())


# -- what may happen to a worker -------------------------------------------------------------------


def fail(shared: str, job: str) -> str:
    """In a process of its own."""
    if job == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if job == "wrong":
        raise InputError("the network of 'price' came apart.")
    if job == "odd":
        raise ZeroDivisionError("by\nzero")
    time.sleep({"slow": 1000.0, "late": 0.2}.get(job, 0.0))
    return shared + job


WORK = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from faults.test_compare_faults import fail
from polycera.experiments import process_pool
import multiprocessing
for jobs in sys.argv[1:]:
    try:
        print(process_pool.run(fail, "did ", jobs.split(), 2))
    except BaseException as error:
        print(type(error).__name__, str(error))
    print(len(multiprocessing.active_children()))
"""


def test_a_worker_fails_in_a_sentence_and_takes_the_others_with_it() -> None:
    said = {
        "late a b": "['did late', 'did a', 'did b']",
        "a wrong slow": "InputError Training wrong failed: the network of 'price' came apart.",
        "slow odd": "PolyceraError Training odd failed: ZeroDivisionError: by zero.",
        "slow killed": (
            "PolyceraError A process that trained networks ended unexpectedly (exit code -9)"
        ),
    }
    command = [sys.executable, "-c", WORK, *said]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=400)
    assert "Traceback" not in done.stderr, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * len(said), lines
    assert lines[1::2] == ["0"] * len(said)
    for line, expected in zip(lines[::2], said.values(), strict=True):
        assert line.startswith(expected)


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_worker_is_left_when_the_process_ends(ends: signal.Signals, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        WORK.replace("process_pool.run", "print(1, flush=True) or process_pool.run"),
        "slow slow",
    ]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "1\n"
        workers = _wait_for(
            lambda: [pid for pid in _children(parent.pid) if b"spawn_main" in _words(pid)], 2
        )
        time.sleep(1)
        begun = time.perf_counter()
        parent.send_signal(ends)
        said = parent.stdout.read()
        assert said == ("KeyboardInterrupt \n0\n" if ends == signal.SIGINT else "")
    while any(Path(f"/proc/{pid}").exists() and b"spawn_main" in _words(pid) for pid in workers):
        assert time.perf_counter() - begun < 15, "workers are left"
        time.sleep(0.1)


def _wait_for(look: Callable[[], list[int]], count: int) -> list[int]:
    for _ in range(2000):
        if len(found := look()) == count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{count} processes did not start")


def _children(parent: int) -> list[int]:
    return [
        int(pid)
        for task in Path(f"/proc/{parent}/task").iterdir()
        for pid in (task / "children").read_text().split()
    ]


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_an_error_in_this_process_names_the_network(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def apart(*_: Any, **__: Any) -> Any:
        raise PolyceraError("Training diverged.")

    monkeypatch.setattr(recipe, "train", apart)
    with pytest.raises(
        PolyceraError, match=r"^Training the network of 'price', 'left' with seed 0 failed: "
    ):
        compare_separate(run, columns(), processes=1)
    assert results.COMPARISON not in os.listdir(run)


# -- weightings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"targets": ["price"]}, r"Weights matter between two tasks or more"),
        (
            {"loss_weights": [{"prise": 1.0}]},
            r"Unknown task in the weights: 'prise'; did you mean 'price'",
        ),
        ({"loss_weights": {"price": 1.0}}, r"Expected loss_weights= to be a list of dicts"),
        (
            {"loss_weights": ["price"]},
            r"Expected the weights to be a dict of task to number, got 'price'",
        ),
        ({"loss_weights": []}, r"No weights to try"),
        (
            {"loss_weights": [{"price": -1.0}]},
            r"Expected the weight of 'price' to be a finite number, 0 or more, got -1\.0",
        ),
        (
            {"loss_weights": [{"price": 10**400}]},
            r"Expected the weight of 'price' to be a finite number, 0 or more, got 1000",
        ),
        ({"loss_weights": [{"price": 0.0, "left": 0}]}, r"are all 0, so nothing would be learned"),
        ({"loss_weights": [{"price": 2.0}, {"price": 2.0, "left": 1}]}, r"are given twice"),
        (
            {"targets": ["price"], "loss_weights": [{"price/mse": 1.0}, {"price/mae": 1.0}]},
            r"name it in each of the weights",
        ),
        ({"loss_weights": [{"prise/mse": 1.0}]}, r"Unknown task in the weights: 'prise/mse'"),
        (
            {"network": {"landmarks": 9}},
            r"loss weights do not affect kernel ridge: leave landmarks out",
        ),
        ({"training": "dwa"}, r"Expected training= to be a dict of options, got 'dwa'"),
        ({"training": {"weighting": "dwa"}}, r"the weighting 'dwa' changes them while training"),
        ({"seed": 3}, r"compare_weightings sets seed for each training itself; leave seed= out"),
        ({"seeds": 0}, r"Expected seeds="),
        ({"processes": -1}, r"Expected processes="),
        ({"targets": [f"t{i}" for i in range(40)]}, r"For 40 tasks name the weights to try"),
        ({"source": None}, r"No table: pass a path"),
        ({"targets": ["price", "nothing"]}, r"nothing"),
        ({"targets": ["pri*", "left"], "loss_weights": [{"prise": 1.0}]}, r"did you mean 'price'"),
        ({"targets": ["zz*"]}, r"Unknown column 'zz\*'"),
        ({"kinds": {"r*": "count"}}, r"Unknown target 'r\*'"),
        ({"targets": ["p*", "left"], "kinds": {"l*": "cuont"}}, r"Unknown kind 'cuont'"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_swept_wrongly(
    asked: dict[str, Any], sentence: str, tmp_path: Path, no_training: None
) -> None:
    given = {"source": columns(), "targets": ["price", "left"], **asked}
    with pytest.raises(InputError, match=sentence):
        compare_weightings(out=tmp_path / "swept" / "here", **given)
    assert os.listdir(tmp_path) == []


def test_targets_that_can_be_read_once(tmp_path: Path) -> None:
    found = compare_weightings(
        columns(), iter(["price", "left"]), [{"price": 2.0}], out=tmp_path, **QUICK
    )  # type: ignore[arg-type]
    assert [*found.points[0].tasks] == ["price", "left"]


def test_a_term_that_no_loss_has_and_terms_that_all_weigh_nothing() -> None:
    price = pc.Regression("price", loss={"mse": 1.0, "mae": 1.0})
    with pytest.raises(InputError, match=r"Unknown loss 'mzz'"):
        with_weights([price], {"price/mzz": 1.0})
    with pytest.raises(InputError, match=r"loss terms of task 'price' all have weight 0"):
        with_weights([price], {"price/mse": 0.0, "price/mean_absolute_error": 0.0})
    with pytest.raises(InputError, match=r"Unknown target 'left/mse'"):
        with_weights([price], {"left/mse": 1.0})


def test_a_folder_holds_one_comparison(tmp_path: Path) -> None:
    weights = [{"price": 2.0}]
    found = compare_weightings(columns(), ["price", "left"], weights, out=tmp_path, **QUICK)
    with pytest.raises(
        InputError,
        match=r"holds a comparison of weightings with another table, other targets",
    ):
        compare_weightings(columns(), ["price", "left"], weights, out=tmp_path, test=0.2, **QUICK)
    with pytest.raises(
        InputError, match=r"was trained on another table than the others in its folder"
    ):
        compare_weightings(
            columns(61), ["price", "left"], [*weights, {"left": 2.0}], out=tmp_path, **QUICK
        )
    for call in (lambda: found.best({"prise": 1.0}), lambda: found.picture("price", "prise")):
        with pytest.raises(InputError, match=r"Unknown task of the comparison: 'prise'"):
            call()
    with pytest.raises(InputError, match="finite, 0 or more, and one above 0"):
        found.best({"price": 0.0})
    for weight in ("much", math.nan, 10**400):
        with pytest.raises(
            InputError, match="the weight of 'price' to be a finite number, 0 or more"
        ):
            found.best({"price": weight, "left": 1.0})  # type: ignore[dict-item]


# -- the command line ------------------------------------------------------------------------------


def cli(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = columns()
    table["[red]<b>&, x=1"] = table.pop("left")
    lines = [
        ",".join(f'"{name}"' for name in table),
        *(",".join(map(str, row)) for row in zip(*table.values(), strict=True)),
    ]
    (tmp_path / "t.csv").write_text("\n".join(lines))
    monkeypatch.chdir(tmp_path)
    hostile = "[red]<b>&, x=1"
    targets = ("-t", "price", "-t", hostile)
    assert (
        cli(
            "compare-weightings",
            "t.csv",
            *targets,
            "--max-steps",
            5,
            "--out",
            "s",
            "--loss-weights",
            f"price=2,{hostile}=3",
        )
        == 0
    )
    said = capsys.readouterr().out
    assert "[red]<b>&, x=1" in said
    assert "validation rows" in said
    run = next(path for path in (tmp_path / "s").iterdir() if path.is_dir())
    assert (
        cli("compare-weightings", run, "--out", "again", "--loss-weights", "price=2", "--json") == 0
    )
    assert '"in_pareto_set": true' in capsys.readouterr().out
    assert cli("compare-weightings", run, "--out", "again", "-t", "price") == 2
    assert "A run has its own spec" in capsys.readouterr().err
    assert cli("compare-separate", run, "--seeds", "1") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "[red]<b>&, x=1" in said
    assert "Undecided on the test rows" in said
    assert cli("compare-separate", run, "--seeds", "1", "--task", "price", "--json") == 0
    assert '"delta_m": [' in capsys.readouterr().out
    assert cli("compare-separate", run, "--seeds", "0") == 2
    (tmp_path / "t.csv").rename(tmp_path / "moved.csv")
    assert cli("compare-separate", run) == 2
    assert "t.csv" in capsys.readouterr().err
    assert cli("compare-separate", run, "moved.csv", "--seeds", "1", "--task", "price") == 0
