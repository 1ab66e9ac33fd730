"""Loads what an attack has made as a stranger's victim would, and says what came of it.

Each variant gets a process of its own, forked from one that has already used a genuine run, so that
what its memory grows by is what the attack took. The artefact of a variant is a copy of that
genuine run with something evil in it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # a process with threads cannot be forked
if "KERAS_BACKEND" not in os.environ and importlib.util.find_spec("torch"):
    os.environ["KERAS_BACKEND"] = "torch"

LIMIT = 128
"""Megabytes that an artefact may make the process grow by before it is refused.

An honest run takes about 70 in a fork, half of it for DuckDB to read the rows.
"""

SECONDS = 30
"""Until a process counts as one that hangs."""

SECRET = "the-secret-of-the-victim"
MADE = "POLYCERA_ATTACKS"
"""Names the folder of genuine runs where somebody has made it before."""


@dataclass(frozen=True)
class Place:
    """Where a variant is at work.

    Attributes:
        run: a copy of the genuine run, to be made evil.
        table: rows that the genuine run can predict.
        secret: a file that nothing may read.
        marker: a file that nothing may write.
    """

    run: Path
    table: Path
    secret: Path
    marker: Path


@dataclass(frozen=True)
class Variant:
    """One way to attack.

    Attributes:
        name: what is evil about it.
        build: makes the run evil.
        begun: whether the run is one that has begun and not ended, which the victim resumes.
        harmless: why nothing need be refused, where it is so; else something must be.
    """

    name: str
    build: Callable[[Place], Any]
    begun: bool = False
    harmless: str = ""


@dataclass
class Outcome:
    """The result of a variant: what was wrong with it (ideally nothing), messages and costs."""

    faults: list[str]
    said: list[str]
    megabytes: float = 0.0


def main(title: str | None, variants: Sequence[Variant]) -> None:
    """Run the variants of a script; exit code 0 where none got through."""
    print((title or "").splitlines()[0])
    with genuine() as made:
        warm(made)
        good = [report(variant, attack(made, variant)) for variant in variants]
    sys.exit(0 if all(good) else 1)


def report(variant: Variant, outcome: Outcome) -> bool:
    """One line on a variant: was it refused, with which sentence, and what did it cost?"""
    word = "GOT THROUGH" if outcome.faults else "harmless" if variant.harmless else "refused"
    said = outcome.faults or ([variant.harmless] if variant.harmless else outcome.said[:1])
    print(
        f"  {word:8} {outcome.megabytes:5.1f} MB  {variant.name}: {' | '.join(said)[:300]}",
        flush=True,
    )
    return not outcome.faults


class genuine:
    """Return a finished run, an interrupted run and their table; made once, or found under MADE."""

    def __enter__(self) -> Path:
        self.own = None if MADE in os.environ else tempfile.mkdtemp(prefix="attacks-")
        if self.own is None:
            return Path(os.environ[MADE])
        make(Path(self.own))
        return Path(self.own)

    def __exit__(self, *_: Any) -> None:
        if self.own is not None:
            shutil.rmtree(self.own)


def make(folder: Path) -> None:
    """Train for a few steps, once to the end and once until Ctrl-C."""
    import polycera as pc
    from polycera.callbacks.checkpoint import Checkpoint
    from polycera.errors import Interrupted

    lines = ["a,b,c,d,e,revenue,churn"]
    for i in range(80):
        a, b = (i * 37 % 80) / 10 - 4, (i * 53 % 80) / 10 - 4
        gap = "" if i % 9 == 0 else f"{b:.2f}"
        lines.append(
            f"{a},{gap},{'xyz'[i % 3]},2020-01-{1 + i % 28:02d},{a > b},{a - b:.2f},"
            f"{'yes' if b > 0 else 'no'}"
        )
    (folder / "table.csv").write_text("\n".join(lines) + "\n")

    class Cut(Checkpoint):
        """Is interrupted as the second checkpoint is due."""

        def _save(self, epoch: int, batch: int) -> None:
            if epoch > 1:
                signal.raise_signal(signal.SIGINT)
            super()._save(epoch, batch)

    options: dict[str, Any] = {
        "network": {"width": 8, "depth": 1},
        "progress": False,
        "checkpoint_every": "1 epoch",
    }
    names, source = ["revenue", "churn"], str(folder / "table.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pc.fit(source, names, out=folder / "run", training={"max_steps": 200}, **options)
        finish = sys.modules["polycera.tabular.train_run"]
        own, finish.Checkpoint = finish.Checkpoint, Cut  # type: ignore[attr-defined]
        try:
            pc.fit(source, names, out=folder / "begun", training={"max_steps": 400}, **options)
            raise AssertionError("The second run was not cut off.")
        except Interrupted:
            pass
        finally:
            finish.Checkpoint = own  # type: ignore[attr-defined]


def warm(made: Path) -> None:
    """Use the genuine runs, so that all that it takes is imported and allocated; they must work."""
    with tempfile.TemporaryDirectory() as folder:
        for begun in (False, True):
            place = prepared(made, Path(folder) / str(begun), begun)
            outcome = used(place, begun)
            assert not outcome.faults and not outcome.said, outcome


def prepared(made: Path, folder: Path, begun: bool) -> Place:
    """A copy of a genuine run, with a secret beside it."""
    folder.mkdir()
    shutil.copytree(made / ("begun" if begun else "run"), folder / "run")
    secret = folder / "secret.csv"
    secret.write_text(f"{SECRET}\n{SECRET}\n")
    return Place(folder / "run", made / "table.csv", secret, folder / "marker")


def attack(made: Path, variant: Variant) -> Outcome:
    """Build a variant here, and use it in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = prepared(made, Path(folder) / "work", variant.begun)
        variant.build(place)
        before = (
            place.secret.read_bytes(),
            sorted(p.name for p in Path(folder).rglob("*") if place.run not in p.parents),
        )
        outcome = forked(lambda: used(place, variant.begun))
        after = (
            place.secret.read_bytes(),
            sorted(p.name for p in Path(folder).rglob("*") if place.run not in p.parents),
        )
        if place.marker.exists():
            outcome.faults.append("the marker was written")
        elif before != after:
            outcome.faults.append("files outside of the run were changed")
    if outcome.megabytes > LIMIT:
        outcome.faults.append(f"it took {outcome.megabytes:.0f} MB")
    if not variant.harmless and not outcome.said and not outcome.faults:
        outcome.faults.append("it was taken without a word")
    return outcome


def forked(work: Callable[[], Outcome]) -> Outcome:
    """What a child process finds, and by how much it grew."""
    reading, writing = os.pipe()
    sys.stdout.flush()
    if (child := os.fork()) == 0:
        try:
            os.close(reading)
            base = _forget_peak()
            # polycera refuses to predict in a fork, where JAX may hang. Here its threads are not
            # waited for (all that a victim does was compiled before), and a refusal of everything
            # would hide what got through.
            sys.modules["polycera.layers.backend"].Process.cut_off = False  # type: ignore[attr-defined]
            outcome = work()
            outcome.megabytes = max(0.0, _memory("VmHWM") - base)
            os.write(writing, json.dumps(vars(outcome)).encode()[: 2**16 - 1])
        finally:
            os._exit(0)
    os.close(writing)
    end = time.monotonic() + SECONDS
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return Outcome([f"it hangs: no answer in {SECONDS} s"], [])
        time.sleep(0.005)
    with open(reading, "rb") as pipe:
        text = pipe.read()
    return Outcome(**json.loads(text)) if text else Outcome(["the process died"], [])


def _forget_peak() -> float:
    """Megabytes in use now; the peak is counted from here on, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return _memory("VmHWM")
    return _memory("VmRSS")


def _memory(what: str) -> float:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:  # not Linux
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
            2**20 if sys.platform == "darwin" else 2**10
        )
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(what))


def used(place: Place, begun: bool) -> Outcome:
    """Do all that a victim might do with a run, whether or not the step before was refused."""
    import polycera as pc
    import polycera_cli
    from polycera.runs import read_spec

    def line(*arguments: str) -> None:
        out, err = StringIO(), StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                polycera_cli.main([*arguments])
        except SystemExit as ended:
            if ended.code:
                raise Said(err.getvalue()) from None

    run, table, load = str(place.run), str(place.table), pc.load
    steps: dict[str, Callable[[], Any]] = {
        "resume": lambda: pc.resume(run, progress=False),
        "resume on the line": lambda: line("resume", run, "--json"),
    }
    if not begun:
        steps = {name: (lambda name=name: getattr(load(run), name)) for name in NAMES} | {
            "read_spec": lambda: read_spec(place.run / "spec.yaml"),
            "report": lambda: pc.report(run, place.run.parent / "report.html").unlink(),
            "pick": lambda: load(run).pick({"churn": 1.0}).predict(table),
            "predict": lambda: load(run).predict(table),
            "evaluate": lambda: load(run).evaluate(table),
            "predict on the line": lambda: line("predict", run, table),
            "evaluate on the line": lambda: line("evaluate", run),
            "pick on the line": lambda: line(
                "pick", run, "--score-weight", "churn=1", "--out", f"{run}/picked"
            ),
            "resume": lambda: pc.resume(run, progress=False),
        }
    return tried(steps)


USUAL = (
    "The thresholds of this run belong to its final weights",
    "The run was trained on table.csv: of its 80 rows",
)
"""The starts of warnings that a genuine run gives too (a picked epoch, rows that trained it)."""

NAMES = ("spec", "schema", "encoder", "columns", "metrics", "history", "versions", "epochs")
NAMES += ("sharing", "quality", "importance", "thresholds", "comparison", "gradients")


class Said(Exception):
    """What the command line said on stderr before it ended with another code than 0."""


def tried(steps: dict[str, Callable[[], Any]]) -> Outcome:
    """Do each step: it may give a value, or a one-sentence PolyceraError without the secret."""
    from polycera.errors import PolyceraError

    faults, said = [], []
    for name, step in steps.items():
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            try:
                text = repr(step())
            except PolyceraError as error:
                text = str(error)
                said.append(text)
            except Said as error:
                text = str(error)
                notes = [part for part in text.splitlines() if not part.startswith("Note: ")]
                said += text.strip().splitlines()
                if (
                    len(notes) != 1
                    or not notes[0].startswith("polycera: ")
                    or "unexpectedly" in notes[0]
                ):
                    faults.append(f"{name} says {text[:200]!r}")
            except BaseException as error:
                text = str(error)
                faults.append(
                    f"{name} raises {type(error).__name__}: {' '.join(text.split())[:200]}"
                )
        told = [str(w.message) for w in warned if issubclass(w.category, UserWarning)]
        # a tuple: any of them
        told = [sentence for sentence in told if not sentence.startswith(USUAL)]
        said += told
        if any("\n" in sentence or len(sentence) > 1000 for sentence in said):
            faults.append(f"{name} says more than a sentence: {said[-1][:100]!r}")
        if SECRET in "".join([text, *told]):
            faults.append(f"{name} tells the secret")
    return Outcome(faults, said)
