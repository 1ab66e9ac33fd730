"""Test where output goes and cannot go: closed, full, a terminal, a spreadsheet.

A terminal and a spreadsheet may obey what they are shown.
"""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
from fresh import environment

import polycera as pc
import polycera_cli
from polycera.storage import table_files
from polycera_cli import output

pytestmark = pytest.mark.nobackend

PROGRAM = [sys.executable, "-m", "polycera"]
ESCAPE = "\x1b[2J"
"""Clears a terminal."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run of plain names and one that a terminal or a spreadsheet would obey."""
    folder = tmp_path_factory.mktemp("runs")
    folders.make(folder / "plain")
    folders.make(folder / "hostile", names=[f"=1+1{ESCAPE}", "a\u202eb", "new\nline"])
    return folder


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def shell(command: str, cwd: Path) -> tuple[int, str, str]:
    """What `polycera COMMAND` comes to in a shell: exit code, stdout, stderr."""
    program = f"{sys.executable} -m polycera {command}"
    done = subprocess.run(
        ["sh", "-c", program],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
    )
    return done.returncode, done.stdout, done.stderr


# -- standard output that takes nothing ------------------------------------------------------------

NOWHERE = "polycera: Standard output is closed, so there is nowhere to print the result."
FULL = "polycera: Cannot print to standard output: No space left on device.\n"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("evaluate plain --json >&-", 1, f"{NOWHERE}\n"),
        ("predict plain x.csv >&-", 1, f"{NOWHERE} Name a file: --output answers.csv.\n"),
        ("evaluate plain > /dev/full", 1, FULL),
        ("--help > /dev/full", 1, FULL),
        ("evaluate plain | true", 0, ""),
        ("evaluate nope 2>&-", 2, ""),
    ],
)
def test_output_that_goes_nowhere_is_one_sentence(
    command: str, code: int, said: str, runs: Path
) -> None:
    """And a mistake is not printed among the results where stderr is closed."""
    assert shell(command, runs) == (code, "", said)


def test_a_file_is_written_where_standard_output_is_closed(runs: Path) -> None:
    assert shell("report plain -o report.html >&- 2>&-", runs)[0] == 0
    assert (runs / "report.html").read_text().startswith("<!")


# -- a terminal ------------------------------------------------------------------------------------


def on_a_terminal(*arguments: str, cwd: Path) -> str:
    """What a person sees: stdout and stderr of a program that runs on a terminal."""
    ours, theirs = pty.openpty()
    found = bytearray()

    def read() -> None:
        while True:
            try:
                found.extend(os.read(ours, 4096))
            except OSError:  # the other side is closed
                return

    reader = threading.Thread(target=read)
    reader.start()
    own = environment(TERM="dumb", NO_COLOR="1")
    code = subprocess.run(
        [*PROGRAM, *arguments], cwd=cwd, env=own, stdin=theirs, stdout=theirs, stderr=theirs
    ).returncode
    os.close(theirs)
    reader.join()
    os.close(ours)
    return f"{code}:{found.decode()}"


def test_a_terminal_is_not_given_codes_from_names(runs: Path) -> None:
    """Names of tasks in a table, of files in a title and in a sentence."""
    for arguments in (
        ["evaluate", "hostile"],
        ["report", "plain", "-o", f"x{ESCAPE}.html"],
        ["describe-network", "hostile"],
    ):
        seen = on_a_terminal(*arguments, cwd=runs)
        assert ESCAPE not in seen
        assert seen.startswith("0:")
        assert "\u202e" not in seen


def test_labels_on_a_terminal_are_escaped_and_in_a_pipe_as_they_are(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"y": np.array([f"=1{ESCAPE}", "ok"], dtype=object), "z": np.array([-1.5, 2.0])}
    monkeypatch.setattr(pc.Run, "predict", lambda *_, **options: answers)
    assert call("predict", runs / "plain", "x.csv") == 0
    assert capsys.readouterr().out == f"y,z\n=1{ESCAPE},-1.5\nok,2.0\n"
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert call("predict", runs / "plain", "x.csv") == 0
    assert capsys.readouterr().out == "y,z\n=1\\x1b[2J,-1.5\nok,2.0\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 日本 🎉 👩‍👧", "plain ü 日本 🎉 👩‍👧"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("bell\x07 nul\0 esc\x1b c1\x9b del\x7f", "bell\\x07 nul\\x00 esc\\x1b c1\\x9b del\\x7f"),
        ("turned \u202e back", "turned \\u202e back"),
        ("line\u2028end", "line\\u2028end"),
        ("half \ud800", "half \\ud800"),
    ],
)
def test_what_a_terminal_would_obey_is_written_as_an_escape(text: str, shown: str) -> None:
    assert output.printable(text) == shown


# -- a spreadsheet ---------------------------------------------------------------------------------


def test_no_cell_is_taken_for_a_formula(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["=1+1", "+sum", "-a", "@x", "\tb", "-1", "ok", ""]
    answers = {"=y": np.array(labels, dtype=object), "z": np.arange(-4.0, 4.0)}
    monkeypatch.setattr(pc.Run, "predict", lambda *_, **options: answers)
    assert call("predict", runs / "plain", "x.csv", "--safe-csv", "-o", tmp_path / "safe.csv") == 0
    rows = list(csv.reader(io.StringIO((tmp_path / "safe.csv").read_text())))
    assert rows[0] == ["'=y", "z"]
    assert [row[0] for row in rows[1:]] == ["'=1+1", "'+sum", "'-a", "'@x", "'\tb", "-1", "ok", ""]
    assert [float(row[1]) for row in rows[1:]] == list(answers["z"])
    assert call("predict", runs / "plain", "x.csv", "-o", tmp_path / "plain.csv") == 0
    assert (tmp_path / "plain.csv").read_text() == table_files.as_csv(
        {n: v.tolist() for n, v in answers.items()}
    )
    capsys.readouterr()
    assert call("predict", runs / "plain", "x.csv", "--safe-csv", "--json") == 2
    assert "--safe-csv applies to CSV only" in capsys.readouterr().err


# -- the options of every command ------------------------------------------------------------------


def test_help_names_fit_first_and_every_output_is_named_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert call("--help") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    names = [
        words[1] for words in lines if len(words) > 2 and words[0] == "│" and words[1].isalpha()
    ]
    commands = [name for name in names if name in polycera_cli.app.resolved_commands()]
    assert commands[:5] == ["fit", "inspect", "predict", "evaluate", "report"]
    assert commands[-1] == "demo"
    for command in (
        "fit",
        "pick",
        "compare-weightings",
        "demo",
        "predict",
        "report",
        "plot",
        "describe-network",
    ):
        assert call(command, "--help") == 0
        said = capsys.readouterr().out
        assert "-o" in said and "--out" in said and "--output" in said, command


def test_quiet_prints_the_result_alone(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "r.html"
    assert call("report", runs / "plain", "-o", page, "-q") == 0
    assert capsys.readouterr() == (f"{page}\n", "")
    assert call("-q", "evaluate", runs / "plain", "--json") == 0
    said = capsys.readouterr()
    assert set(json.loads(said.out)) == {"mass", "sex", "species"} and said.err == ""


def test_verbose_says_the_versions(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("evaluate", runs / "plain", "-v", "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)
    assert f"polycera: Python {sys.version.split()[0]}, " in said.err
    assert call("evaluate", runs / "plain") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_version(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(option) == 0
    assert capsys.readouterr().out == f"{pc.__version__}\n"


@pytest.mark.parametrize("name", ["bash", "zsh", "fish", "powershell"])
def test_completion_is_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("completion", name) == 0
    script = capsys.readouterr().out
    assert "polycera" in script and "evaluate" in script and "--target" in script


def test_the_demo_needs_no_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without the penguins it says that its customers are made up, and leaves the table to try."""
    asked: list[Any] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(polycera_cli.training.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(
        polycera_cli.training, "fit", lambda file, **options: asked.append((file, options)) or 0
    )
    assert call("demo") == 0
    assert "600 made-up customers" in capsys.readouterr().out
    assert Path(asked[0][0]) == Path("runs/customers.csv") and asked[0][1]["target"] == [
        "churn",
        "revenue_loss",
    ]
    rows = list(csv.DictReader(io.StringIO(Path("runs/customers.csv").read_text())))
    assert len(rows) == 600
    assert all((row["churn"] == "yes") == bool(row["revenue_loss"]) for row in rows)
    assert call("demo", "-o", "runs/again") == 0  # the same table
    Path("runs/customers.csv").write_text("mine")
    capsys.readouterr()
    assert call("demo") == 2
    assert "another file is there" in capsys.readouterr().err
