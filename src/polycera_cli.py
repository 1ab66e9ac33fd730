"""The command line: `polycera fit | resume | pick | evaluate | predict | methods | demo`.

A module beside the package, because importing the package imports Keras and a backend (seconds), and `--help` should
answer at once. Everything heavy is imported inside the command that needs it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

app = App(
    name="polycera",
    help="One network, many answers: train one neural network for many outputs.",
    version="0.1.0",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says that nothing was written
)

BACKENDS = ("jax", "tensorflow", "torch")
TRACEBACK = "POLYCERA_TRACEBACK"
"""Where this is set, an error that nobody foresaw shows where it happened."""

MANY = 30
"""Tasks beyond which a table shows only each task's headline metric."""

Names = Annotated[list[str] | None, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]


@app.command
def fit(
    file: Path | None = None,
    *,
    target: Annotated[list[str] | None, Parameter(alias="-t", negative="")] = None,
    kind: Names = None,
    weight: Names = None,
    joint: Names = None,
    column: Names = None,
    exclude: Names = None,
    out: Path | None = None,
    spec: Path | None = None,
    validation: float = 0.15,
    test: float = 0.15,
    split: str | None = None,
    groups: str | None = None,
    time: str | None = None,
    encoding: str = "utf-8",
    max_steps: int | None = None,
    batch_size: int | None = None,
    weighting: str | None = None,
    balancing: str | None = None,
    gradients: Literal["features", "parameters"] | None = None,
    preference: Names = None,
    guard: Literal["stop", "skip"] | None = None,
    checkpoint_every: str = "1 minute",
    seed: int = 0,
    json_: Json = False,
) -> int:
    """Train one network for all targets of a table; leave a run folder.

    Parameters
    ----------
    file
        A .csv or .parquet file.
    target
        A column to predict; say it once for each.
    kind
        NAME=KIND where the inferred kind is wrong: regression, binary, multiclass, ordinal, count, quantile.
    weight
        NAME=NUMBER, a task's factor in the total loss.
    joint
        NAME=NUMBER, a task's weight in the score by which training stops.
    column
        NAME=ROLE where the inferred role is wrong: number, category, boolean, date, ignore.
    exclude
        A column to leave out.
    out
        The run folder; default runs/<name of the file>-<number>.
    spec
        A spec.yaml that a run left, perhaps edited: repeats that training.
    validation
        Share of the rows by which training stops.
    test
        Share of the rows on which the result is measured.
    split
        A column that names each row's part: train, validation, test.
    groups
        A column whose groups are never divided.
    time
        A column by whose order the last rows are the test.
    encoding
        Of a text file.
    max_steps
        Steps of training at most.
    batch_size
        Rows a step.
    weighting
        How whole losses are weighted while training: a name that `polycera methods` lists.
    balancing
        How the tasks' gradients meet in the trunk: a name that `polycera methods` lists.
    gradients
        What is balanced: gradients at the features before the heads, or of all shared parameters.
    preference
        NAME=NUMBER, a task's weight in a weighting or balancing that knows preferences.
    guard
        What happens where a loss or gradient is NaN or infinite: the training stops, or that step is skipped.
    checkpoint_every
        How often all that it takes to go on is saved: "5 minutes", "200 batches", "1 epoch".
    seed
        Two runs with one seed give equal numbers.
    json_
        Print one JSON object and nothing else.
    """
    pc = _polycera()
    from polycera.errors import InputError

    if spec is None and file is None:
        raise InputError("Name a table: polycera fit FILE --target NAME, or polycera fit --spec spec.yaml.")
    if spec is None and not target:
        raise InputError("Name at least one column to predict: --target NAME.")
    if spec is not None and kind:
        raise InputError("A spec holds the kinds of its tasks: write them into the spec, or leave --kind out.")
    steps: dict[str, Any] = {
        "max_steps": max_steps,
        "batch_size": batch_size,
        "weighting": weighting,
        "balancing": balancing,
    }
    steps |= {"guard": guard, "gradients": gradients, "preference": _numbers(preference, "--preference") or None}
    run = pc.fit(
        str(file) if file else None,
        _targets(target or [], _pairs(kind, "--kind")) or None,
        weights=_numbers(weight, "--weight"),
        out=out,
        spec=spec,
        columns=_pairs(column, "--column"),
        exclude=exclude or (),
        validation=validation,
        test=test,
        split=split,
        groups=groups,
        time=time,
        joint=_numbers(joint, "--joint"),
        encoding=encoding,
        seed=seed,
        training={name: value for name, value in steps.items() if value is not None},
        checkpoint_every=checkpoint_every,
        progress=not json_ and sys.stdout.isatty(),
        say=None if json_ else _say,
    )
    _reached(run, json_)
    return 0


@app.command
def resume(run: Path, file: Path | None = None, *, checkpoint_every: str = "1 minute", json_: Json = False) -> int:
    """Go on with a training that was cut off, from its last checkpoint, as if nothing had happened.

    Parameters
    ----------
    run
        A run folder.
    file
        The table, where it is no longer where the run found it.
    checkpoint_every
        How often all that it takes to go on is saved: "5 minutes", "200 batches", "1 epoch".
    json_
        Print one JSON object and nothing else.
    """
    _check_lock(run)
    _as_the_run_began(run)
    found = _polycera().resume(
        run,
        None if file is None else str(file),
        checkpoint_every=checkpoint_every,
        progress=not json_ and sys.stdout.isatty(),
        say=None if json_ else _say,
    )
    _reached(found, json_)
    return 0


@app.command
def pick(run: Path, *, weight: Names = None, out: Path | None = None, json_: Json = False) -> int:
    """Choose among the epochs that no other beats on every task, by weights, without training again.

    Parameters
    ----------
    run
        A run folder.
    weight
        NAME=NUMBER, how much a task counts; say it once for each.
    out
        A new run folder that predicts as the chosen epoch does.
    json_
        Print one JSON object and nothing else.
    """
    pc = _polycera()
    from polycera.errors import InputError

    weights = _numbers(weight, "--weight")
    if not weights:
        raise InputError(
            "Say how much each task counts: polycera pick RUN --weight churn=0.9 --weight revenue_loss=0.1."
        )
    opened = pc.load(run)
    picked = opened.pick(weights)
    if out is not None:
        picked.write(out)
    if json_:
        _print_json({"epoch": picked.picked.epoch, "skills": picked.picked.skills, "run": str(out or run)})
        return 0
    _epochs(opened.epochs, picked.picked.epoch)
    _say(f"Run:  {out}" if out is not None else "To predict with this epoch, write it to a run of its own: --out RUN.")
    return 0


@app.command
def evaluate(run: Path, file: Path | None = None, *, json_: Json = False) -> int:
    """Measure a run on a table with labels; without one, say what it reached on its held-out rows.

    Parameters
    ----------
    run
        A run folder.
    file
        A table with at least one of the targets.
    json_
        Print one JSON object and nothing else.
    """
    pc = _polycera()
    from polycera.training.run import as_values

    opened = pc.load(run)
    held_out = opened.metrics["held_out"]
    measured = opened.metrics[held_out] if file is None else as_values(opened.evaluate(str(file)))
    if json_:
        _print_json(measured)
    else:
        kinds = {task["name"]: task["kind"] for task in opened.spec.tasks if "kind" in task}
        _table(measured, kinds, f"the {held_out} rows" if file is None else str(file))
    return 0


@app.command
def predict(
    run: Path,
    file: Path,
    *,
    output: Annotated[Path | None, Parameter(alias="-o")] = None,
    json_: Json = False,
) -> int:
    """Answer for every row of a table: labels and probabilities, in the user's units.

    Parameters
    ----------
    run
        A run folder.
    file
        A table with the columns that training used.
    output
        A .csv or .parquet file; without it the answers are printed as CSV.
    json_
        Print one JSON object of columns; with --output, of what was written.
    """
    pc = _polycera()
    from polycera.errors import InputError
    from polycera.runs import columns

    if output is not None:
        columns.check_path(output)
        if output.exists() and file.exists() and output.samefile(file):
            raise InputError(f"The answers would replace the table {str(file)!r} itself; choose another --output.")
    answers = {name: values.tolist() for name, values in pc.load(run).predict(str(file)).items()}
    if output is not None:
        columns.write(output, answers)
        rows = len(next(iter(answers.values())))
        if json_:
            _print_json({"output": str(output), "rows": rows})
        else:
            _say(f"{rows} rows: {output}")
    elif json_:
        _print_json(answers)
    else:
        sys.stdout.write(columns.as_csv(answers))
    return 0


@app.command
def methods(*, json_: Json = False) -> int:
    """List the methods that weight losses or balance gradients: year, what they see, cost, when to use them.

    Parameters
    ----------
    json_
        Print one JSON object and nothing else.
    """
    _polycera()
    from polycera import balancing, weighting

    rooms: dict[str, Any] = {"weighting": weighting.METHODS, "balancing": balancing.METHODS}
    rows = [
        {"room": room, "name": m.name, "year": m.year, "sees": ", ".join(m.sees), "cost": m.cost, "when": m.when}
        for room, known in rooms.items()
        for m in known.values()
    ]
    if json_:
        _print_json(rows)
        return 0
    from rich.console import Console
    from rich.table import Table

    titles = {
        "weighting": "Weighting: the tasks' losses -> weights of whole losses",
        "balancing": "Balancing: the tasks' gradients -> their weights in the trunk",
    }
    console = Console(width=None if sys.stdout.isatty() else 140)
    for room, title in titles.items():
        table = Table(title=title)
        for column in list(rows[0])[1:]:
            table.add_column(column)
        for row in (row for row in rows if row["room"] == room):
            table.add_row(*map(str, list(row.values())[1:]))
        console.print(table)
    return 0


@app.command
def demo(*, out: Path | None = None, json_: Json = False) -> int:
    """Train on real data in under a minute: mass, sex and species of 344 penguins, some of them unlabelled.

    Parameters
    ----------
    out
        The run folder; default runs/penguins-<number>.
    json_
        Print one JSON object and nothing else.
    """
    _polycera()
    from polycera.errors import MissingExtra

    found = importlib.util.find_spec("palmerpenguins")
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("The demo", "palmerpenguins", "demo")
    # found without importing the package, which would import pandas
    table = Path(next(iter(found.submodule_search_locations))) / "data" / "penguins.csv"
    if not json_:
        _say("Palmer penguins (Horst, Hill, Gorman 2020): three answers from one network.")
        _say("  polycera fit penguins.csv --target body_mass_g --target sex --target species")
    return fit(table, target=["body_mass_g", "sex", "species"], out=out, json_=json_)


def _reached(run: Any, json_: bool) -> None:
    """What a training came to."""
    held_out = run.metrics["held_out"]
    if json_:
        _print_json({"run": str(run.path), **run.metrics})
        return
    _table(run.metrics[held_out], {t.name: t.kind for t in run.model.tasks.values()}, f"the {held_out} rows")
    _say(f"Spec: {run.path / 'spec.yaml'} (copy it, edit it, and pass it back with --spec).")
    _say(f"Run:  {run.path}")


def _check_lock(run: Path) -> None:
    """Refuse a run that another process trains before Keras is imported, which takes seconds."""
    from filelock import FileLock, Timeout

    lock = run / "checkpoints" / "lock"
    try:
        if lock.exists():
            with FileLock(lock, timeout=0):
                pass
    except Timeout:
        _complain(f"Another process is training in {str(run)!r}: wait until it ends, or end it first.")
        sys.exit(1)
    except OSError:  # said in full by who opens the run
        pass


def _as_the_run_began(run: Path) -> None:
    """Choose the backend that the run has, where the user chose none: on another the bits would differ."""
    try:
        began = json.loads(_start(run / "versions.json"))["backend"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return
    if began in BACKENDS and importlib.util.find_spec(began):
        os.environ.setdefault("KERAS_BACKEND", began)


def _start(path: Path) -> bytes:
    """The first bytes of a file of a run: of no link, and without waiting for who may write into a pipe."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with open(descriptor, "rb") as file:
        return file.read(2**16) or b""


def main(arguments: list[str] | None = None) -> None:
    """The program: exit code 0 for done, 1 for what went wrong here, 2 for input that cannot be used."""
    if hasattr(sys.stdout, "reconfigure"):  # a terminal that cannot show a name shows its code
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
    except CycloptsError as error:
        unused = "Unused Tokens" in str(error)
        hint = "Say --target before each column to predict." if unused else "See polycera --help."
        _complain(f"{' '.join(str(error).split())} {hint}")
        code = 2
    except KeyboardInterrupt as error:
        _complain(str(error) or "Interrupted; nothing was written.")
        code = 130
    except SystemExit as error:
        if getattr(error, "message", ""):
            _complain(str(error))
        raise
    except BrokenPipeError:  # whoever read our output has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except Exception as error:
        names = {kind.__name__ for kind in type(error).__mro__}
        code = 2 if "InputError" in names else 1
        if "PolyceraError" in names:
            _complain(str(error))
        elif TRACEBACK in os.environ:
            raise
        else:
            what = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            _complain(f"This went wrong unexpectedly: {what} ({TRACEBACK}=1 shows where); nothing was written.")
    sys.exit(code or 0)


def _complain(sentence: str) -> None:
    print(f"polycera: {sentence}", file=sys.stderr)


def _polycera() -> Any:
    """The package, on the backend that the user chose or, where nobody chose, the first one installed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "KERAS_BACKEND" not in os.environ:
        chosen = _configured()
        installed = [name for name in BACKENDS if importlib.util.find_spec(name)]
        if installed:
            os.environ["KERAS_BACKEND"] = chosen if chosen in installed else installed[0]
    if "keras" not in sys.modules and os.environ.get("KERAS_BACKEND") in ("jax", "torch"):
        # Keras imports TensorFlow on every backend to save a model: seconds, and a page of its log on stderr
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
    import warnings

    warnings.showwarning = _show_warning
    import polycera

    return polycera


def _configured() -> str | None:
    """The backend in keras.json. Keras writes that file unasked, so one that is not installed was nobody's choice."""
    home = Path(os.environ.get("KERAS_HOME", Path.home() / ".keras"))
    try:
        return str(json.loads((home / "keras.json").read_text())["backend"])
    except (OSError, ValueError, KeyError):
        return None


def _show_warning(message: Any, category: Any, filename: str, lineno: int, file: Any = None, line: Any = None) -> None:
    """Our own warnings as a plain sentence; those of other packages are not the user's business here."""
    own = Path(filename) == Path(__file__) or Path(filename).is_relative_to(Path(__file__).with_name("polycera"))
    if own and issubclass(category, UserWarning):
        print(f"Note: {message}", file=sys.stderr)


def _targets(names: list[str], kinds: Mapping[str, str]) -> list[Any]:
    """Targets for `pc.fit`: names, with kinds where they are given."""
    from polycera.errors import UnknownName

    for name in kinds:
        if name not in names:
            raise UnknownName("target", name, names)
    return [{name: kinds[name]} if name in kinds else name for name in names]


def _pairs(options: list[str] | None, flag: str) -> dict[str, str]:
    from polycera.errors import InputError

    found = {}
    for option in options or []:
        name, equals, value = option.rpartition("=")
        if not equals or not name:
            raise InputError(f"{flag} takes NAME=VALUE, got {option!r}.")
        found[name] = value
    return found


def _numbers(options: list[str] | None, flag: str) -> dict[str, float]:
    from polycera.errors import InputError

    pairs = _pairs(options, flag)
    try:
        return {name: float(value) for name, value in pairs.items()}
    except ValueError:
        raise InputError(f"{flag} takes NAME=NUMBER, got {options}.") from None


def _say(sentence: str) -> None:
    print(sentence)


def _print_json(value: Any) -> None:
    import msgspec

    # by msgspec what is no number becomes null; by json every sign is ASCII, which any terminal and pipe takes
    print(json.dumps(msgspec.json.decode(msgspec.json.encode(value))))


def _epochs(kept: Any, chosen: int) -> None:
    """The epochs that were kept, and which was chosen."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="Epochs that no other beats on every task: skill on the validation rows")
    for name in ("", "epoch", *list(kept[0].skills)[:MANY]):
        table.add_column(name, justify="right")
    for one in kept:
        skills = [f"{value:.3f}" for value in list(one.skills.values())[:MANY]]
        table.add_row("chosen" if one.epoch == chosen else "", str(one.epoch), *skills)
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _table(measured: Mapping[str, Any], kinds: Mapping[str, str], title: str) -> None:
    """Each task's metrics beside what the trivial predictor reaches, and the skill that follows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from polycera.errors import shorten

    table = Table(title=Text(f"On {title}"))
    for name in ("task", "kind", "metric"):
        table.add_column(name)
    for name in ("value", "trivial", "skill"):
        table.add_column(name, justify="right")
    for task, own in measured.items():
        shown = list(own.items())[:1] if len(measured) > MANY else list(own.items())
        for i, (metric, score) in enumerate(shown):
            lead = (Text(shorten(task, 40)), kinds.get(task, "")) if i == 0 else (Text(""), "")
            table.add_row(*lead, metric, _number(score["value"]), _number(score["trivial"]), _number(score["skill"], 3))
    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(table)
    skills = [next(iter(own.values()))["skill"] for own in measured.values()]
    known = [skill for skill in skills if skill is not None]
    mean = f"{sum(known) / len(known):.3f}" if known else "undefined"
    counted = "the headline metrics" if len(known) == len(skills) else f"{len(known)} of {len(skills)} headline metrics"
    _say(f"skill: 0 is the trivial predictor, 1 perfect; mean over {counted}: {mean}")


def _number(value: float | None, digits: int = 4) -> str:
    return "undefined" if value is None else f"{value:.{digits}g}"


if __name__ == "__main__":
    main()
