"""Test bad input on the command line: one sentence on stderr, exit code 2 or 1, nothing left."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fresh import environment

import polycera as pc
import polycera_cli
from polycera.errors import InputError
from polycera.runs import next_name
from polycera.storage import atomic
from polycera.tabular import recipe, step_plan, train_run

pytestmark = pytest.mark.nobackend


ROWS = 40
QUICK = ["--max-steps", "2"]
ODD = [
    "a/b",
    "..",
    'it\'s "q"',
    "🎉",
    "new\nline",
    "[red]x[/red]",
    "L" * 300,
    "row",
    "loss",
    "a,b",
    "=1+1",
    "nan",
]


def table(**changes: Any) -> dict[str, list[Any]]:
    """Forty rows: two numbers, a category, a unique text; a number and a yes or no to predict."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS)).round(3)
    columns: dict[str, list[Any]] = {
        "a": a.tolist(),
        "b": b.tolist(),
        "c": rng.choice(["x", "y", "z"], ROWS).tolist(),
        "revenue": (a - b + rng.normal(size=ROWS)).round(3).tolist(),
        "churn": np.where(b > 0, "yes", "no").tolist(),
    }
    return {name: values for name, values in (columns | changes).items() if values is not None}


def as_csv(columns: dict[str, list[Any]], rows: int = ROWS) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(list(zip(*columns.values(), strict=True))[:rows])
    return text.getvalue().encode()


FIRST_INFINITE = ["inf", *[1.5] * (ROWS - 1)]
FILES = {
    "good.csv": as_csv(table()),
    "other.csv": as_csv(table(a=[value + 0.001 for value in table()["a"]])),
    "one.csv": as_csv(table(), rows=1),
    "two.csv": as_csv(table(), rows=2),
    "none.csv": as_csv(table(), rows=0),
    "empty.csv": b"",
    "twice.csv": b"a,a,churn\n1,2,3\n",
    "latin.csv": "a,churn\n1,é\n".encode("latin-1"),
    "picture.csv": b"\x89PNG\r\n\x1a\n\0\0",
    "broken.parquet": b"PAR1",
    "table.docx": b"PK",
    "unlabelled.csv": as_csv(table(revenue=[None] * ROWS)),
    "infinite-label.csv": as_csv(table(revenue=FIRST_INFINITE)),
    "infinite.csv": as_csv(table(a=FIRST_INFINITE)),
    "three.csv": as_csv(table(churn=["no", "yes", "maybe", "no"] * (ROWS // 4))),
    "stranger.csv": as_csv(table(churn=["perhaps"] * ROWS)),
    "word.csv": as_csv(table(a=["hello", *[1.5] * (ROWS - 1)])),
    "word-label.csv": as_csv(table(revenue=["hello", *[1.5] * (ROWS - 1)])),
    "no-b.csv": as_csv(table(b=None)),
    "no-targets.csv": as_csv(table(revenue=None, churn=None)),
    "only-targets.csv": as_csv(table(a=None, b=None, c=None)),
    "clash.csv": as_csv({**table(), "churn=yes probability": table()["a"]}),
    "not.yaml": b"a: [1",
    "code.yaml": b"!!python/object/apply:os.system ['true']",
}


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def listing(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def one_sentence(stderr: str) -> str:
    """Return the message: one line that begins with the program's name and ends as a sentence."""
    assert "Traceback" not in stderr
    lines = [line for line in stderr.splitlines() if not line.startswith("Note: ")]
    assert len(lines) == 1, stderr
    assert lines[0].startswith("polycera: "), stderr
    assert lines[0][-1] in ".)", stderr
    return lines[0]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with all those files and one run."""
    folder = tmp_path_factory.mktemp("made")
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    (folder / "folder.csv").mkdir()
    code = call(
        "fit", folder / "good.csv", "-t", "revenue", "-t", "churn", *QUICK, "--out", folder / "run"
    )
    assert code == 0
    for place, value in SPECS.items():
        (folder / place).write_bytes(edited((folder / "run" / "spec.yaml").read_bytes(), *value))
    return folder


@pytest.fixture
def work(made: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder as the current one; a test that leaves anything there fails."""
    monkeypatch.chdir(made)
    before = listing(made)
    yield made
    assert listing(made) == before


def edited(spec: bytes, path: str, value: Any) -> bytes:
    """The spec with one value changed."""
    whole = yaml.safe_load(spec)
    *way, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = whole
    for part in way:
        place = place[part]
    place[last] = value
    return yaml.safe_dump(whole).encode()


SPECS: dict[str, tuple[str, Any]] = {
    "kind.yaml": ("tasks.0.kind", "regresion"),
    "loss.yaml": ("tasks.0.loss.0.loss", "mze"),
    "option.yaml": ("tasks.0.wight", 2.0),
    "name.yaml": ("tasks.0.name", "revenu"),
    "classes.yaml": ("tasks.1.classes", ["no", "maybe"]),
    "joint.yaml": ("tasks.1", {"kind": "joint", "name": "both", "tasks": ["revenue"]}),
    "width.yaml": ("network.width", 0),
    "unknown.yaml": ("network.with", 3),
    "seed.yaml": ("seed", -1),
    "role.yaml": ("data.columns.a", "nmber"),
    "no-source.yaml": ("data.source", None),
    "apart.yaml": ("training.learning_rate", 1e30),
}

GOOD = ("fit", "good.csv", "-t", "revenue", "-t", "churn")
CASES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    # what is asked for
    "no command": (("fitt", "good.csv"), ["fitt", "fit"]),
    "unknown option": ((*GOOD, "--sed", "1"), ["--sed", "--seed"]),
    "option of the wrong kind": ((*GOOD, "--seed", "abc"), ["--seed", "abc", "int"]),
    "target without its flag": (("fit", "good.csv", "churn"), ["churn", "--target"]),
    "no run to predict": (("predict",), ["predict", "--run"]),
    "no table": (("fit",), ["polycera fit FILE --target NAME"]),
    "no target": (("fit", "good.csv"), ["--target NAME"]),
    "unknown target": (("fit", "good.csv", "-t", "revenu"), ["'revenu'", "did you mean 'revenue'"]),
    "duplicate target": (("fit", "good.csv", "-t", "churn", "-t", "churn"), ["'churn'", "once"]),
    "unknown kind": ((*GOOD, "--kind", "churn=binry"), ["'binry'", "did you mean 'binary'"]),
    "kind of a stranger": ((*GOOD, "--kind", "chrn=binary"), ["'chrn'", "did you mean 'churn'"]),
    "kind without a name": ((*GOOD, "--kind", "binary"), ["--kind", "NAME=VALUE", "'binary'"]),
    "kind that the labels are not": (
        (*GOOD, "--kind", "churn=count"),
        ["'churn'", "number", "row 0", "'no'"],
    ),
    "binary of three": (
        ("fit", "three.csv", "-t", "churn", "--kind", "churn=binary"),
        ["'churn'", "3 values", "two"],
    ),
    "count below zero": ((*GOOD, "--kind", "revenue=count"), ["'revenue'", "count", "0 or more"]),
    "negative weight": (
        (*GOOD, "--loss-weight", "churn=-1"),
        ["weight of task 'churn'", "-1", "0 or more"],
    ),
    "weight of a stranger": (
        (*GOOD, "--loss-weight", "chrn=1"),
        ["'chrn'", "did you mean 'churn'"],
    ),
    "weight that is no number": (
        (*GOOD, "--loss-weight", "churn=much"),
        ["--loss-weight", "NAME=NUMBER", "churn=much"],
    ),
    "joint of a stranger": (
        (*GOOD, "--score-weight", "chrn=1"),
        ["'chrn'", "did you mean 'churn'"],
    ),
    "negative joint": ((*GOOD, "--score-weight", "churn=-1"), ["'churn'", "-1", "0 or more"]),
    "joint of nothing": ((*GOOD, "--score-weight", "churn=0"), ["at least one weight above 0"]),
    "role of a stranger": ((*GOOD, "--column", "zz=number"), ["'zz'", "known: 'a'"]),
    "unknown role": ((*GOOD, "--column", "a=nmber"), ["'nmber'", "did you mean 'number'"]),
    "declared a number": ((*GOOD, "--column", "c=number"), ["'c'", "number", "row 0"]),
    "role of a target": ((*GOOD, "--column", "churn=category"), ["'churn'", "no role"]),
    "excluded stranger": ((*GOOD, "--exclude", "zz"), ["'zz'", "known"]),
    "nothing to learn from": (
        (*GOOD, *("--exclude", "a", "--exclude", "b", "--exclude", "c")),
        ["No column is left"],
    ),
    "unknown split": ((*GOOD, "--split", "zz"), ["'zz'", "known"]),
    "split that names no parts": ((*GOOD, "--split", "c"), ["part", "'train'"]),
    "share of one": ((*GOOD, "--test", "1"), ["test", "1.0"]),
    "shares of all": (
        (*GOOD, "--test", "0.6", "--validation", "0.6"),
        ["0.6", "no row to train on"],
    ),
    "no step": ((*GOOD, "--max-steps", "0"), ["training.max_steps", "is 0", ">= 1"]),
    "no row a step": ((*GOOD, "--batch-size", "0"), ["training.batch_size", "is 0", ">= 1"]),
    "negative seed": ((*GOOD, "--seed", "-1"), ["seed", "is -1", ">= 0"]),
    "unknown encoding": ((*GOOD, "--encoding", "utf-99"), ["'utf-99'"]),
    # what it is asked of
    "no file": (("fit", "nope.csv", "-t", "churn"), ["'nope.csv'", "does not exist"]),
    "long file name": (("fit", "x" * 300 + ".csv", "-t", "churn"), ["xxx", "name too long"]),
    "folder": (("fit", "folder.csv", "-t", "churn"), ["'folder.csv'", "holds no .csv, .tsv"]),
    "not a CSV": (("fit", "picture.csv", "-t", "churn"), ["'picture.csv'", "PNG"]),
    "not a table": (("fit", "table.docx", "-t", "churn"), ["'.docx'", ".csv", ".parquet"]),
    "broken Parquet": (("fit", "broken.parquet", "-t", "churn"), ["'broken.parquet'", "Parquet"]),
    "empty": (("fit", "empty.csv", "-t", "churn"), ["'empty.csv'", "empty"]),
    "no row": (("fit", "none.csv", "-t", "churn"), ["'none.csv'", "0 rows"]),
    "one row": (("fit", "one.csv", "-t", "churn"), ["1 row ", "3 parts"]),
    "two rows": (("fit", "two.csv", "-t", "churn"), ["2 rows", "3 parts"]),
    "duplicate columns": (("fit", "twice.csv", "-t", "churn"), ["'a'", "more than once"]),
    "not ASCII": (
        ("fit", "latin.csv", "-t", "churn", "--encoding", "ascii"),
        ["byte 10", "0xe9", "--encoding latin-1"],
    ),
    "no label": (("fit", "unlabelled.csv", "-t", "revenue"), ["'revenue'", "no label at all"]),
    "infinite label": (
        ("fit", "infinite-label.csv", "-t", "revenue"),
        ["'revenue'", "infinite", "row 0"],
    ),
    "infinite feature": (("fit", "infinite.csv", "-t", "churn"), ["'a'", "infinite", "row 0"]),
    "no feature": (
        ("fit", "only-targets.csv", "-t", "churn", "-t", "revenue"),
        ["No column is left"],
    ),
    "answers of one name": (
        ("fit", "clash.csv", "-t", "churn", "-t", "churn=yes probability"),
        ["'churn=yes probability'", "rename"],
    ),
    # where it goes
    "a run that exists": ((*GOOD, "--out", "run"), ["'run'", "already exists", "--out"]),
    "the folder above": ((*GOOD, "--out", ".."), ["'..'", "already exists"]),
    "long run name": ((*GOOD, "--out", "x" * 300), ["xxx", "name too long"]),
    "the root as a run": ((*GOOD, "--out", "/"), ["'/'", "already exists"]),
    "resume without a run": ((*GOOD, "--resume"), ["--out RUN"]),
    "resume into a folder that is none": (
        (*GOOD, "--out", ".", "--resume"),
        ["'.'", "lacks spec.yaml"],
    ),
    "resume into a file": (
        (*GOOD, "--out", "good.csv", "--resume"),
        ["'good.csv'", "no run folder"],
    ),
    "resume another seed": (
        (*GOOD, *QUICK, "--out", "run", "--resume", "--seed", "5"),
        ["'run'", "seed was 0 and is 5"],
    ),
    "resume another target": (
        ("fit", "good.csv", "-t", "revenue", *QUICK, "--out", "run", "--resume"),
        ["'run'", "tasks.churn is missing now", "data.columns.churn is new"],
    ),
    "resume another table": (
        ("fit", "other.csv", *GOOD[2:], *QUICK, "--out", "run", "--resume"),
        ["'run'", "the values in the table differ", "--out"],
    ),
    "run inside a file": ((*GOOD, "--out", "good.csv/run"), ["'good.csv/run'", "is a file"]),
    # a spec
    "no spec": (("fit", "--spec", "nope.yaml"), ["'nope.yaml'"]),
    "spec that is a table": (("fit", "--spec", "good.csv"), ["'good.csv'", "not valid"]),
    "spec that is no YAML": (("fit", "--spec", "not.yaml"), ["'not.yaml'", "line 1"]),
    "spec with code": (("fit", "--spec", "code.yaml"), ["'code.yaml'", "os.system"]),
    "spec and targets": (("fit", "--spec", "run/spec.yaml", "-t", "churn"), ["'targets'", "spec"]),
    "spec and seed": (("fit", "--spec", "run/spec.yaml", "--seed", "4"), ["'seed'", "spec"]),
    "spec and weight": (
        ("fit", "--spec", "run/spec.yaml", "--loss-weight", "churn=4"),
        ["'loss_weights'", "spec"],
    ),
    "spec and exclude": (
        ("fit", "--spec", "run/spec.yaml", "--exclude", "a"),
        ["'exclude'", "spec"],
    ),
    "spec and kind": (
        ("fit", "--spec", "run/spec.yaml", "--kind", "churn=binary"),
        ["--kind", "spec"],
    ),
    "kind.yaml": (("fit", "--spec", "kind.yaml"), ["'regresion'", "did you mean 'regression'"]),
    "loss.yaml": (("fit", "--spec", "loss.yaml"), ["'mze'", "did you mean 'mse'"]),
    "option.yaml": (
        ("fit", "--spec", "option.yaml"),
        ["'revenue'", "'wight'", "did you mean 'weight'"],
    ),
    "name.yaml": (("fit", "--spec", "name.yaml"), ["'revenu'", "did you mean 'revenue'"]),
    "classes.yaml": (("fit", "--spec", "classes.yaml"), ["'churn'", "'yes'", "'maybe'"]),
    "joint.yaml": (("fit", "--spec", "joint.yaml"), ["'both'", "pc.Model"]),
    "width.yaml": (("fit", "--spec", "width.yaml"), ["'width.yaml'", "network.width", ">= 1"]),
    "unknown.yaml": (("fit", "--spec", "unknown.yaml"), ["'unknown.yaml'", "`with`", "network"]),
    "seed.yaml": (("fit", "--spec", "seed.yaml"), ["'seed.yaml'", "seed", ">= 0"]),
    "role.yaml": (("fit", "--spec", "role.yaml"), ["'nmber'", "did you mean 'number'"]),
    "no-source.yaml": (("fit", "--spec", "no-source.yaml"), ["No table"]),
    # a run
    "no run": (("predict", "nope", "good.csv"), ["'nope'", "no run folder"]),
    "a folder that is no run": (("predict", ".", "good.csv"), ["'.'", "lacks spec.yaml"]),
    "predict without a file": (("predict", "run", "nope.csv"), ["'nope.csv'", "does not exist"]),
    "predict without rows": (("predict", "run", "none.csv"), ["'none.csv'", "0 rows"]),
    "missing column": (("predict", "run", "no-b.csv"), ["'b'", "missing", "trained with it"]),
    "word for a number": (("predict", "run", "word.csv"), ["'a'", "number", "row 0", "'hello'"]),
    "infinite at predict": (("predict", "run", "infinite.csv"), ["'a'", "infinite", "row 0"]),
    "answers of no format": (
        ("predict", "run", "good.csv", "-o", "x.xls"),
        ["'x.xls'", ".csv, .parquet or .xlsx"],
    ),
    "answers into no folder": (
        ("predict", "run", "good.csv", "-o", "no/x.csv"),
        ["'no/x.csv'", "no folder 'no'"],
    ),
    "answers into a file": (
        ("predict", "run", "good.csv", "-o", "one.csv/x.csv"),
        ["no folder 'one.csv'"],
    ),
    "answers over a folder": (
        ("predict", "run", "good.csv", "-o", "folder.csv"),
        ["'folder.csv'", "folder"],
    ),
    "answers over the table": (
        ("predict", "run", "good.csv", "-o", "./good.csv"),
        ["'good.csv'", "--output"],
    ),
    "answers over a file of the run": (
        ("predict", "run", "good.csv", "-o", "run/predictions.csv"),
        ["'run", "is a run"],
    ),
    "answers among the kept epochs": (
        ("predict", "run", "good.csv", "-o", "run/epochs/x.csv"),
        ["is a run", "outside"],
    ),
    "report into the run": (("report", "run", "-o", "run/x.html"), ["run/x.html", "is a run"]),
    "picture into the run": (
        ("plot", "run", "joint", "-o", "run/x.svg"),
        ["run/x.svg", "is a run"],
    ),
    "network into the run": (
        ("describe-network", "run", "-o", "run/x.svg"),
        ["run/x.svg", "is a run"],
    ),
    "long name of a run": (("predict", "x" * 300, "good.csv"), ["xxx", "name too long"]),
    "long path of a run": (("evaluate", "x/" * 2500), ["x/x", "name too long"]),
    "long name of answers": (
        ("predict", "run", "good.csv", "-o", "x" * 300 + ".csv"),
        ["xxx", "name too long"],
    ),
    "long name of a picture": (
        ("plot", "run", "joint", "-o", "x" * 300 + ".svg"),
        ["xxx", "name too long"],
    ),
    "verify what is no run": (("verify", "nope"), ["'nope'", "no run folder"]),
    "evaluate without a target": (
        ("evaluate", "run", "no-targets.csv"),
        ["'revenue', 'churn'", "none of the targets"],
    ),
    "evaluate a stranger": (
        ("evaluate", "run", "stranger.csv"),
        ["'churn'", "'perhaps'", "'no', 'yes'"],
    ),
    "evaluate a word": (("evaluate", "run", "word-label.csv"), ["'revenue'", "number", "'hello'"]),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence(
    name: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, fragments = CASES[name]
    assert call(*arguments) == 2
    said = one_sentence(capsys.readouterr().err)
    for fragment in fragments:
        assert fragment in said, said


LATE = {
    # labels, when they are encoded
    *("evaluate a stranger", "evaluate a word", "count below zero", "classes.yaml"),
    "loss.yaml",  # Keras knows more losses than we do
    # a spec with its network, completed
    *("resume another seed", "resume another target", "resume another table"),
}
"""Cases that are found once Keras is imported."""

MORE_CASES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "unknown weighting": (
        (*GOOD, "--weighting", "uncertanty"),
        ["'uncertanty'", "did you mean 'uncertainty'"],
    ),
    "unknown balancing": ((*GOOD, "--balancing", "pcgrd"), ["'pcgrd'", "did you mean 'pcgrad'"]),
    "a balancing as a weighting": (
        (*GOOD, "--weighting", "pcgrad"),
        ["is a balancing", "balancing='pcgrad'"],
    ),
    "preference of a stranger": (
        (*GOOD, "--preference", "chrn=1"),
        ["'chrn'", "did you mean 'churn'"],
    ),
    "resume no run": (("resume", "nope"), ["'nope'", "no run folder"]),
    "pick from no run": (
        ("pick", "nope", "--score-weight", "churn=1"),
        ["'nope'", "no run folder"],
    ),
    "pick for a stranger": (("pick", "run", "--score-weight", "chrn=1"), ["'chrn'", "'churn'"]),
    "report of no run": (("report", "nope"), ["'nope'"]),
    "plot of no run": (("plot", "nope"), ["'nope'", "no run folder"]),
    "describe no run": (("describe-network", "nope"), ["'nope'", "no run folder"]),
    "measure no run": (("describe-network", "nope", "--measure"), ["'nope'", "no run folder"]),
    "evaluate no run": (("evaluate", "nope"), ["'nope'", "no run folder"]),
    "evaluate no file": (("evaluate", "run", "nope.csv"), ["'nope.csv'", "does not exist"]),
    "evaluate without a column": (("evaluate", "run", "no-b.csv"), ["'b'", "missing"]),
    "compare no run": (("compare-separate", "nope"), ["'nope'", "no run folder"]),
    "compare on no file": (
        ("compare-separate", "run", "nope.csv"),
        ["'nope.csv'", "does not exist"],
    ),
    "compare on another table": (
        ("compare-separate", "run", "three.csv"),
        ["three.csv", "not the one"],
    ),
    "compare a stranger": (
        ("compare-separate", "run", "--task", "chrn"),
        ["'chrn'", "did you mean 'churn'"],
    ),
    "compare without a seed": (("compare-separate", "run", "--seeds", "0"), ["seeds", "0"]),
    "weightings of no file": (
        ("compare-weightings", "nope.csv", "-t", "churn", "-t", "revenue", "--out", "s"),
        ["'nope.csv'"],
    ),
    "weightings of a stranger": (
        ("compare-weightings", "good.csv", "-t", "chrn", "-t", "revenue", "--out", "s"),
        ["'chrn'"],
    ),
    "weightings in processes of a stranger": (
        (
            "compare-weightings",
            "good.csv",
            "-t",
            "chrn",
            "-t",
            "revenue",
            "--out",
            "s",
            "--processes",
            "2",
        ),
        ["'chrn'"],
    ),
    "weightings of one target": (
        ("compare-weightings", "good.csv", "-t", "churn", "--out", "s"),
        ["two tasks or more"],
    ),
}


def test_a_mistake_is_found_before_keras_is_imported(work: Path, tmp_path: Path) -> None:
    """Which takes seconds: every command refuses a wrong option, file, run or column without it."""
    cases = {name: case for name, case in (CASES | MORE_CASES).items() if name not in LATE}
    (tmp_path / "cases.json").write_text(
        json.dumps({name: case[0] for name, case in cases.items()})
    )
    answer = subprocess.run(
        [sys.executable, "-c", WITHOUT_KERAS, str(tmp_path / "cases.json")],
        cwd=work,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert answer.returncode == 0, answer.stderr
    said = json.loads(answer.stdout)
    for name, (_, fragments) in cases.items():
        code, stderr = said[name]
        assert code == 2, f"{name}: {stderr}"
        assert [f for f in fragments if f not in one_sentence(stderr)] == [], f"{name}: {stderr}"


WITHOUT_KERAS = """
import contextlib, io, json, sys

class Refuse:
    def find_spec(self, name, path, target=None):
        if name == "keras":
            raise RuntimeError("Keras was imported")

sys.meta_path.insert(0, Refuse())
import polycera_cli

said = {}
for name, arguments in json.load(open(sys.argv[1])).items():
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            polycera_cli.main(arguments)
        except SystemExit as ended:
            code = ended.code
    said[name] = [code, err.getvalue()]
print(json.dumps(said))
"""


@pytest.mark.parametrize(
    "name", ["one row", "unknown target", "a run that exists", "word for a number"]
)
def test_json_says_nothing_on_stdout_where_it_fails(
    name: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(*CASES[name][0], "--json") == 2
    assert capsys.readouterr().out == ""


def test_a_training_that_comes_apart(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """NaN for weights is no network: nothing is kept, and the learning rate is named."""
    assert call("fit", "--spec", "apart.yaml") == 1
    assert "learning rate (now 1e+30)" in one_sentence(capsys.readouterr().err)


def test_answers_of_one_name_are_found_before_training(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "build", lambda *_: pytest.fail("trained for nothing"))
    assert call(*CASES["answers of one name"][0]) == 2


@pytest.mark.parametrize("damage", ["cut", "flipped", "schema", "spec", "metrics", "lacks"])
def test_a_damaged_run(
    damage: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(work / "run", run)
    model = bytearray((run / "model.safetensors").read_bytes())
    if damage == "cut":
        (run / "model.safetensors").write_bytes(model[: len(model) // 3])
    elif damage == "flipped":
        model[len(model) // 2] ^= 8
        (run / "model.safetensors").write_bytes(model)
    elif damage == "schema":
        (run / "schema.json").write_text("{}")
    elif damage == "spec":
        (run / "spec.yaml").write_text("tasks: 3")
    elif damage == "metrics":
        (run / "metrics.json").write_text("{")
    else:
        (run / "model.safetensors").unlink()
    assert call(*(("evaluate", run) if damage == "metrics" else ("predict", run, "good.csv"))) == 1
    named = damage if damage in ("schema", "spec", "metrics") else "model.safetensors"
    assert named in one_sentence(capsys.readouterr().err)


# -- the disk --------------------------------------------------------------------------------------


def test_a_folder_that_takes_nothing_is_found_before_training(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a patch and not by chmod: the administrator may write everywhere."""

    def refuse(**_: Any) -> str:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(atomic.tempfile, "mkdtemp", refuse)
    monkeypatch.setattr(recipe, "train", lambda *_, **__: pytest.fail("trained for nothing"))
    assert call(*GOOD, *QUICK) == 1
    assert "Read-only file system" in one_sentence(capsys.readouterr().err)


@pytest.mark.parametrize(
    "name", ["spec.yaml", "schema.json", "metrics.json", "history.csv", "predictions.csv"]
)
def test_a_disk_that_is_full_leaves_no_run(
    name: str, work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    trained: list[Any] = []
    monkeypatch.setattr(os, "replace", full)

    def train(model: Any, rows: Any, *_: Any, **__: Any) -> recipe.TrainingResult:
        trained.append(model.adapt(rows[1]))
        return recipe.TrainingResult({"loss": [1.0]}, None)

    monkeypatch.setattr(recipe, "train", train)
    assert call(*GOOD, *QUICK, "--out", "kept") == 1
    # those two are written before
    assert bool(trained) == (name not in ("spec.yaml", "schema.json"))
    assert "No space left on device" in one_sentence(capsys.readouterr().err)


def test_an_error_that_nobody_foresaw(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("here\nand there")

    monkeypatch.setattr(train_run, "train_network", fail)
    assert call(*GOOD, *QUICK) == 1
    assert "ZeroDivisionError: here and there" in one_sentence(capsys.readouterr().err)
    monkeypatch.setenv("POLYCERA_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        polycera_cli.main([*GOOD, *QUICK])


def test_control_c_before_the_first_step_leaves_nothing(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Afterwards there is something to go on from: `test_resuming_runs`."""

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(recipe, "train", interrupted)
    assert call(*GOOD, *QUICK, "--out", "kept") == 130
    assert "Interrupted before the first checkpoint; nothing was written." in one_sentence(
        capsys.readouterr().err
    )


# -- names and folders -----------------------------------------------------------------------------


def begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training that ends as soon as its folder is there."""
    monkeypatch.setattr(train_run, "train_run", lambda run, *_, **__: run)


def test_a_number_that_another_training_takes_meanwhile_gives_way_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(monkeypatch)
    monkeypatch.chdir(tmp_path)
    place, free, asked = Path("runs"), next_name, []

    def taken(parent: Path, stem: str) -> Path:
        """When it is asked for the second time, somebody else makes that folder at once."""
        asked.append(free(parent, stem))
        if len(asked) == 2:
            (asked[-1] / "in use").mkdir(parents=True)
        return asked[-1]

    monkeypatch.setattr(sys.modules["polycera.tabular.fit"], "next_name", taken)
    assert pc.fit(table(), ["revenue"]).path == place / "table-2"
    rename = os.rename

    def late(source: Any, target: Any) -> None:
        if Path(target).name == "table-3" and not Path(target).exists():
            (Path(target) / "in use").mkdir(parents=True)
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert pc.fit(table(), ["revenue"]).path == place / "table-4"
    monkeypatch.setattr(
        os, "rename", lambda *_: (place / "mine" / "x").mkdir(parents=True) or rename(*_)
    )
    with pytest.raises(
        InputError,
        match=r"Another training created the run folder 'runs/mine' in the meantime; choose",
    ):
        pc.fit(table(), ["revenue"], out=place / "mine")
    assert not list(place.glob(".unfinished*"))


def test_odd_names_of_run_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun(monkeypatch)
    monkeypatch.chdir(tmp_path)
    for use in (
        lambda: pc.fit(table(), ["churn"], out="a\0b"),
        lambda: pc.load("a\0b"),
        lambda: pc.verify("a\0b"),
    ):
        with pytest.raises(InputError, match=r"'a\\x00b' cannot be used: it holds a NUL character"):
            use()
    assert pc.fit(table(), ["churn"], out="zz/../b2").path == tmp_path / "b2"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b2"]
    with pytest.raises(
        InputError,
        match=r"already exists; .*; its training has not ended: .* polycera resume b2",
    ):
        pc.fit(table(), ["churn"], out="b2")


def test_a_folder_that_lets_nobody_in(
    work: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a patch and not by chmod: the administrator may read everything."""
    listdir, scandir, closed = os.listdir, os.scandir, [""]

    def refuse(path: Any, real: Any) -> Any:
        if Path(path).name == closed[0]:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path)

    commands = (("report", "run"), ("pick", "run", "--score-weight", "churn=1"), ("verify", "run"))
    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", lambda path=".": refuse(path, listdir))
        patched.setattr(os, "scandir", lambda path=".": refuse(path, scandir))
        for closed[0] in ("run", "epochs"):
            for command in commands:
                assert call(*command) == 1
                assert "Permission denied" in one_sentence(capsys.readouterr().err)


# -- what is strange and must work -----------------------------------------------------------------


def test_names_that_are_hard_to_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As targets, as columns, as classes: trained, written unchanged, answered by those names."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    columns: dict[str, list[Any]] = {name: rng.normal(size=ROWS).round(3).tolist() for name in ODD}
    columns |= {f"in {name}": rng.normal(size=ROWS).round(3).tolist() for name in ODD}
    columns["[bold]"] = [ODD[i % 11] for i in range(ROWS)]
    Path("odd.csv").write_bytes(as_csv(columns))
    targets = [*ODD, "[bold]"]
    assert (
        call(
            "fit",
            "odd.csv",
            *(word for name in targets for word in ("-t", name)),
            *QUICK,
            "--out",
            "🎉'\n",
        )
        == 0
    )
    shown = capsys.readouterr().out
    assert "[red]x[/red]" in shown
    assert "L" * 100 not in shown
    assert call("predict", "🎉'\n", "odd.csv", "--json") == 0
    answers = json.loads(capsys.readouterr().out)
    assert [name for name in answers if name in targets] == targets
    assert set(answers["[bold]"]) <= set(ODD)
    assert {f"[bold]={label} probability" for label in ODD[:11]} <= set(answers)
    assert call("fit", "--spec", "🎉'\n/spec.yaml", "--out", "again") == 0
    assert Path("again/predictions.csv").read_bytes() == Path("🎉'\n/predictions.csv").read_bytes()


@pytest.mark.parametrize(
    ("changes", "undefined"),
    [({"churn": ["no"] * ROWS}, ("churn", "auc")), ({"revenue": [1.5] * ROWS}, ("revenue", "r2"))],
    ids=["one class", "one number"],
)
def test_labels_that_do_not_vary_are_a_warning(
    changes: dict[str, Any],
    undefined: tuple[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The metric is undefined, neither 0 nor 1, and stdout is still one JSON object."""
    monkeypatch.chdir(tmp_path)
    Path("t.csv").write_bytes(as_csv(table(**changes)))
    assert call("fit", "t.csv", "-t", "revenue", "-t", "churn", *QUICK, "--json") == 0
    said = capsys.readouterr()
    task, metric = undefined
    assert json.loads(said.out)["test"][task][metric]["value"] is None
    assert json.loads(said.out)["test"][task][metric]["skill"] is None
    assert f"Note: Task {task!r}" in said.err


def test_what_is_new_at_predict_time_is_a_note(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A column too many, a category never seen, cells that are missing: answered, and said."""
    new = {"a": [1.0, None], "b": [None, None], "c": ["x", "never"], "more": [1, 2]}
    (tmp_path / "new.csv").write_bytes(as_csv(new))
    assert call("predict", "run", tmp_path / "new.csv", "--json") == 0
    said = capsys.readouterr()
    assert len(json.loads(said.out)["churn"]) == 2
    assert "'more'" in said.err
    assert "'never'" in said.err
    assert "'a'" in said.err
    assert all(line.startswith("Note: ") for line in said.err.splitlines())


def test_answers_to_a_file(work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files, stdout and JSON hold the same; with --json stdout holds only the report."""
    pyarrow = pytest.importorskip("pyarrow.parquet")
    calamine = pytest.importorskip("python_calamine")
    for name in ("x.csv", "x.parquet", "x.xlsx"):
        assert call("predict", "run", "no-targets.csv", "-o", tmp_path / name, "--json") == 0
        assert json.loads(capsys.readouterr().out) == {"output": str(tmp_path / name), "rows": ROWS}
    assert call("predict", "run", "no-targets.csv") == 0
    printed = capsys.readouterr().out
    assert printed == (tmp_path / "x.csv").read_text()
    assert call("predict", "run", "no-targets.csv", "--json") == 0
    columns = json.loads(capsys.readouterr().out)
    assert columns == pyarrow.read_table(tmp_path / "x.parquet").to_pydict()
    names, *cells = calamine.load_workbook(tmp_path / "x.xlsx").get_sheet_by_index(0).to_python()
    assert names == list(columns)
    for name, column in zip(names, zip(*cells, strict=True), strict=True):
        if isinstance(column[0], float):  # a workbook holds 16 digits of a number
            assert list(column) == pytest.approx(columns[name], rel=1e-15), name
        else:
            assert list(column) == columns[name], name
    rows = list(csv.DictReader(io.StringIO(printed)))
    assert [float(row["revenue"]) for row in rows] == columns["revenue"]
    assert [row["churn"] for row in rows] == columns["churn"]


def test_a_run_that_was_moved(
    work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree("run", tmp_path / "else where")
    for run in (work / "run", tmp_path / "else where"):
        assert call("predict", run, "good.csv") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[: ROWS + 1] == printed[ROWS + 1 :]


def test_steps_at_most(work: Path, tmp_path: Path) -> None:
    """`--max-steps` is kept to, but for the one pass that there must be."""
    assert (
        call(
            "fit",
            "good.csv",
            "-t",
            "churn",
            "--batch-size",
            "10",
            "--max-steps",
            "7",
            "--out",
            tmp_path / "r",
        )
        == 0
    )
    assert len((tmp_path / "r" / "history.csv").read_text().splitlines()) == 1 + 1
    plan = step_plan.StepPlan.of(28, recipe.Training(batch_size=10, max_steps=7))
    assert plan.epochs * plan.passes * 3 <= 7


# -- as a process ----------------------------------------------------------------------------------

PROGRAM = [sys.executable, "-m", "polycera_cli"]


def test_help_needs_no_backend(tmp_path: Path) -> None:
    """That is why it is quick: neither Keras nor the package is imported."""
    code = (
        "import sys, polycera_cli\n"
        "try: polycera_cli.main(['fit', '--help'])\n"
        "finally: print([m for m in ('keras', 'numpy', 'scipy', 'sklearn', 'polycera', 'jax', "
        "'msgspec') if m in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0
    assert done.stdout.rstrip().endswith("[]")
    assert "--target" in done.stdout
    assert "<name of the" in done.stdout  # as it is written, not taken for markup


def test_a_process_is_quiet_and_its_output_is_one_object(work: Path, tmp_path: Path) -> None:
    """Without a terminal: no bar, colour or backend log; names it cannot show do no harm."""
    (tmp_path / "t.csv").write_bytes(as_csv(table(churn=None, **{"🎉": table()["churn"]})))
    command = [*PROGRAM, "fit", "t.csv", "-t", "🎉", "--exclude", "revenue", *QUICK]
    own = environment(PYTHONIOENCODING="ascii")
    first = subprocess.run(
        [*command, "--json"], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=200
    )
    assert (first.returncode, first.stderr) == (0, "")
    assert json.loads(first.stdout)["run"] == "runs/t-1"
    second = subprocess.run(
        command, cwd=tmp_path, env=own, capture_output=True, text=True, timeout=200
    )
    assert (second.returncode, second.stderr) == (0, "")
    assert "\x1b" not in second.stdout
    assert "\r" not in second.stdout
    assert "runs/t-2" in second.stdout


def test_control_c_ends_a_process(work: Path, tmp_path: Path) -> None:
    """A real signal in the middle of a training that would go on for long."""
    slow = edited((work / "run" / "spec.yaml").read_bytes(), "training.patience_steps", 10**9)
    (tmp_path / "slow.yaml").write_bytes(edited(slow, "training.max_steps", 10**8))
    command = [
        *PROGRAM,
        "fit",
        "--spec",
        str(tmp_path / "slow.yaml"),
        "--out",
        str(tmp_path / "run"),
    ]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(
        command, cwd=work, env=environment(PYTHONUNBUFFERED="1"), **pipes
    ) as process:
        watchdog = threading.Timer(120, process.kill)
        watchdog.start()
        assert process.stdout is not None
        while not (tmp_path / "run" / "epochs").exists():  # the first epoch is over
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        watchdog.cancel()
    assert process.returncode == 130
    assert f"polycera resume {tmp_path / 'run'}" in one_sentence(err)
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 1
