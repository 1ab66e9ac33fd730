"""Test interrupted runs of `pc.fit`: both ways to resume give the same files, byte for byte.

The two ways are `pc.resume` and `polycera resume`.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
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
from fresh import environment

import polycera as pc
import polycera_cli
from polycera.errors import InputError, Interrupted, Terminated, shorten
from polycera.runs import Network, Training, manifest, to_yaml
from polycera.runs.timing import TIMING
from polycera.tabular import recipe, train_run

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
    return {
        "a": a.tolist(),
        "b": b.tolist(),
        "price": (a - b).round(3).tolist(),
        "churn": churn.tolist(),
    }


def fit(source: Any, out: Path, options: dict[str, Any] = OPTIONS) -> pc.Run:
    return pc.fit(
        source,
        ["price", "churn"],
        out=out,
        checkpoint_every="20 batches",
        progress=False,
        **options,
    )


def files(run: Path) -> dict[str, bytes]:
    """All bytes of a run, but for what depends on the clock."""
    found = {
        str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file()
    }
    found.pop(TIMING)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, and the runs of it that nothing happened to: from the file and from columns."""
    place = tmp_path_factory.mktemp("made")
    table = columns()
    lines = [
        ",".join(table),
        *(",".join(map(str, row)) for row in zip(*table.values(), strict=True)),
    ]
    (place / "table.csv").write_text("\n".join(lines) + "\n")
    fit(place / "table.csv", place / "whole")
    fit(table, place / "whole-of-columns")
    return place


@pytest.fixture
def cut(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Begin a run and end it in its second epoch, or when only its files are left to write."""

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
                patched.setattr(train_run, "_write", at_the_end)
            else:
                patched.setattr(recipe, "_watching", lambda *given: [*watching(*given), Cut()])
            with pytest.raises(ZeroDivisionError):
                fit(source, tmp_path / "run", options)
        return tmp_path / "run"

    return begin


@pytest.mark.parametrize(
    "late", [False, True], ids=["in an epoch", "before its files were written"]
)
def test_a_run_goes_on_to_the_same_files(late: bool, made: Path, cut: Callable[..., Path]) -> None:
    run = cut(made / "table.csv", late)
    with pytest.raises(
        InputError, match=r"has not ended, so it has no metrics\.json yet; .* polycera resume"
    ):
        pc.load(run).metrics  # noqa: B018
    done = pc.resume(run, checkpoint_every="20 batches", progress=False)
    assert files(run) == files(made / "whole")
    assert done.metrics["part"] == "test"
    assert not (run / "checkpoints").exists()


@pytest.mark.parametrize(
    "late", [False, True], ids=["in an epoch", "before its files were written"]
)
def test_a_run_with_folds_goes_on_to_the_same_files(
    late: bool, made: Path, cut: Callable[..., Path]
) -> None:
    whole = made / "whole-with-folds"
    if not whole.exists():
        assert fit(made / "table.csv", whole, FOLDS).spec.network.folds == 5
    run = cut(made / "table.csv", late, FOLDS)
    pc.resume(run, checkpoint_every="20 batches", progress=False)
    assert files(run) == files(whole)


def test_signals_in_the_final_phase_lose_nothing(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A training shorter than the checkpoint interval, ended repeatedly while it writes files."""
    run, source, write = tmp_path / "run", made / "table.csv", train_run._write

    def ended(number: int) -> Callable[..., None]:
        def late(begun: pc.Run, *given: Any) -> None:
            write(begun, *given)
            (run / manifest.MANIFEST).write_bytes(before)  # only the manifest was not written yet
            os.kill(os.getpid(), number)
            pytest.fail("nobody listened")

        return late

    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)):
        with monkeypatch.context() as patched, pytest.raises((Interrupted, Terminated)) as caught:
            begin = train_run.train_network
            before = b""

            def trained(*given: Any, begin: Any = begin) -> Any:
                nonlocal before
                before = (run / manifest.MANIFEST).read_bytes()
                return begin(*given)

            patched.setattr(train_run, "train_network", trained)
            patched.setattr(train_run, "_write", ended(number))
            pc.fit(source, ["price", "churn"], out=run, resume=True, progress=False, **OPTIONS)
        assert str(caught.value) == f"Interrupted; to resume, polycera resume {shorten(run)}."
        assert getattr(caught.value, "code", 130) == code
        assert len(list((run / "checkpoints").iterdir())) == 1
    # as a kill leaves them
    for name in (".12.model.safetensors", "epochs/.12.34.000001.safetensors"):
        (run / name).write_bytes(b"half")
    pc.resume(run, progress=False)
    assert files(run) == files(made / "whole")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    # killed between the manifest and the last breath
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "000009-00000000.safetensors").write_bytes(b"")
    assert [finding.file for finding in pc.verify(run).findings] == [
        "checkpoints/000009-00000000.safetensors"
    ]
    assert not pc.resume(run).path.joinpath("checkpoints").exists()
    assert pc.verify(run).whole


def test_the_same_call_again_after_anything(made: Path, cut: Callable[..., Path]) -> None:
    """A cut-off run goes on, an ended one is returned, another spec or table is refused by name."""
    source, run = made / "table.csv", cut(made / "table.csv")
    again: dict[str, Any] = {"out": run, "resume": True, "progress": False, **OPTIONS}
    left, said = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}, []
    with pytest.raises(
        InputError, match=r"started with other inputs: seed was 0 and is 1\. Give the same"
    ):
        pc.fit(source, ["price", "churn"], seed=1, **again)
    changed = columns()
    changed["a"][3] += 0.001
    with pytest.raises(InputError, match=r"the values in the table differ\. Give the same"):
        pc.fit(changed, ["price", "churn"], **again)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == left
    pc.fit(source, ["price", "churn"], say=said.append, **again)
    assert files(run) == files(made / "whole")
    assert said[0] == f"The run {str(run)!r} was interrupted; it is resumed."
    assert pc.fit(source, ["price", "churn"], say=said.append, **again).metrics["part"] == "test"
    assert said[-1] == f"The run {str(run)!r} has ended; there is nothing to resume."
    assert files(run) == files(made / "whole")


def test_a_folder_without_a_run_is_begun(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty one, and one with what is left of a training killed before it wrote anything."""
    monkeypatch.setattr(train_run, "train_run", lambda run, *_, **__: run)
    for left in ([], ["checkpoints/lock", ".12.spec.yaml", "epochs/.12.000001.safetensors"]):
        run = tmp_path / f"run{len(left)}"
        run.mkdir()
        for name in left:
            (run / name).parent.mkdir(exist_ok=True)
            (run / name).write_bytes(b"")
        begun = pc.fit(made / "table.csv", ["price", "churn"], out=run, resume=True, **OPTIONS)
        assert sorted(path.name for path in run.iterdir()) == [
            "data.json",
            "manifest.json",
            "rows.safetensors",
            "schema.json",
            "spec.yaml",
            "timing.json",
        ]
        assert begun.spec.tasks


def test_a_kept_epoch_of_another_run_is_refused(made: Path, tmp_path: Path) -> None:
    """By `pick` and by `verify`; in a run of an older version it is said that nobody can tell."""
    run = shutil.copytree(made / "whole", tmp_path / "run")
    own, foreign = (
        sorted((place / "epochs").iterdir()) for place in (run, made / "whole-of-columns")
    )
    assert pc.verify(run).whole
    assert sorted(pc.load(run).epochs, key=lambda one: one.epoch) == pc.load(run).epochs
    kept = {one.epoch for one in pc.load(run).epochs}
    genuine = own[0].read_bytes()
    shutil.copy(foreign[0], own[0])
    with pytest.warns(UserWarning, match=r"The kept epoch .* was kept by another run"):
        assert {one.epoch for one in pc.load(run).epochs} == kept - {int(own[0].stem)}
    assert [finding.file for finding in pc.verify(run).findings] == [f"epochs/{own[0].name}"]
    own[0].unlink()
    with pytest.warns(UserWarning, match=rf"The kept epoch 'epochs/{own[0].name}' is missing"):
        assert {one.epoch for one in pc.load(run).epochs} == kept - {int(own[0].stem)}
    (run / "epochs" / "009999.safetensors").write_bytes(genuine)
    with pytest.warns(UserWarning, match="009999.*it holds epoch|is missing"):
        pc.load(run).epochs  # noqa: B018
    assert [finding.file for finding in pc.verify(run).findings] == [
        f"epochs/{own[0].name}",
        "epochs/009999.safetensors",
    ]


def test_a_run_of_an_older_version_is_read_with_a_word(made: Path, tmp_path: Path) -> None:
    run = shutil.copytree(made / "whole", tmp_path / "run")
    listed = msgspec.json.decode((run / "manifest.json").read_bytes())
    listed["files"] = {
        name: own for name, own in listed["files"].items() if not name.startswith("epochs/")
    }
    listed["sha256"] = hashlib.sha256(
        msgspec.json.encode(listed["files"], order="sorted")
    ).hexdigest()
    del listed["version"]
    (run / "manifest.json").write_bytes(msgspec.json.format(msgspec.json.encode(listed), indent=1))
    with pytest.warns(UserWarning, match="written by an older version of polycera"):
        assert pc.load(run).epochs
    seen = pc.verify(run)
    assert seen.whole
    assert len(seen.unchecked) == len(list((run / "epochs").iterdir()))


def test_verify_and_the_commands_notice_every_damaged_file(
    made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = shutil.copytree(made / "whole", tmp_path / "run")

    def line(*arguments: Any) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main([*map(str, arguments)])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), err if arguments[0] != "verify" else out

    assert line("verify", run) == (
        0,
        f"{run}: {len(pc.verify(run).files)} files, all as they were written.\n",
    )
    used = {
        "evaluate": ["metrics.json"],
        "describe-network": ["sharing.json"],
        "report": [],
        "pick": [],
    }
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name, content = path.relative_to(run).as_posix(), path.read_bytes()
        path.write_bytes(bytes([*content[:-9], content[-9] ^ 1, *content[-8:]]))
        code, said = line("verify", run, "--json")
        assert code == 1
        assert [found["file"] for found in json.loads(said)["findings"]] == [name]
        for command in ("evaluate", "describe-network"):
            code, said = line(command, run)
            assert path.name in said, (command, name)
            assert code == (name in ("manifest.json", "spec.yaml", "schema.json", *used[command]))
        path.write_bytes(content)
    for name in ("predictions.csv", "model.safetensors"):
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:-1])
        page = pc.report(run, tmp_path / "page.html").read_text()
        assert f"{name}" in page
        assert "is damaged or was changed" in page
        assert name in line("pick", run, "--score-weight", "price=1")[1]
        (run / name).write_bytes(content)
    for name in ("predictions.csv", "spec.yaml", "manifest.json"):
        content = (run / name).read_bytes()
        (run / name).unlink()
        ending = " Its training has not ended." if name == "manifest.json" else ""
        assert line("verify", run) == (
            1,
            f"The file {name!r} is missing from {shorten(run)!r}.\n"
            f"{run}: 1 finding, {len(pc.verify(run).files)} files "
            f"as they were written.{ending}\n",
        )
        (run / name).write_bytes(content)
    (run / "notes.txt").write_text("mine")
    assert [str(finding) for finding in pc.verify(run).findings] == [
        f"'notes.txt' in {shorten(run)!r} is no file of this run: the manifest does not name it."
    ]


def test_a_run_of_columns_takes_them_again(made: Path, cut: Callable[..., Path]) -> None:
    run = cut(columns())
    with pytest.raises(
        InputError, match="was started with a data frame: pass it again, as source="
    ):
        pc.resume(run)
    pc.resume(run, columns(), progress=False)
    assert files(run) == files(made / "whole-of-columns")


@pytest.mark.parametrize("column", ["a", "price"])
def test_a_changed_table_is_refused(column: str, made: Path, cut: Callable[..., Path]) -> None:
    run, changed = cut(columns()), columns()
    changed[column] = [value + 0.001 for value in changed[column]]
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(
        InputError, match=r"is not the one with which the run|were saved with other rows"
    ):
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
    assert found.metrics["part"] == "test"


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


def test_the_command_line_killed_terminated_and_brought_to_its_end(
    made: Path, tmp_path: Path
) -> None:
    """A longer training than the others, to be ended in time; its result is computed first."""
    spec, run, every = (
        tmp_path / "spec.yaml",
        tmp_path / "run",
        ["--checkpoint-every", "20 batches"],
    )
    longer, network = Training(max_steps=3000, batch_size=16), Network(**FOLDS["network"])
    asked = msgspec.structs.replace(pc.load(made / "whole").spec, training=longer, network=network)
    spec.write_bytes(to_yaml(asked))
    pc.fit(spec=spec, out=tmp_path / "whole", progress=False)
    begin = [*PROGRAM, "fit", "--spec", str(spec), "--out", str(run), *every]
    assert ended(begin, signal.SIGKILL, run)[0] == -signal.SIGKILL
    for number, expected in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        code, said = ended([*PROGRAM, "resume", str(run), *every], number, run)
        assert code == expected, said
        assert f"to resume, polycera resume {run}." in said
        assert len(said.strip().splitlines()) == 1
        assert said.startswith("polycera: Interrupted in epoch ")
    done = subprocess.run(
        [*PROGRAM, "resume", str(run)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert f"Run:  {run}" in done.stdout
    assert files(run) == files(tmp_path / "whole")
