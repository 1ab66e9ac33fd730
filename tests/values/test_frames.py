"""Test a run as frames and in a notebook: the table's library, escaped names, a short line."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import folders
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import polycera as pc
from polycera.drawing import lines
from polycera.errors import InputError, UnknownName
from polycera.experiments.weighting_comparison import Point, Reached
from polycera.runs.html_table import html_table
from polycera.tabular import fit, interactive, run_frames

pytestmark = pytest.mark.nobackend

NAMES = folders.HOSTILE[:4]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    return pc.load(folders.make(tmp_path_factory.mktemp("frames") / "run", names=NAMES, epochs=5))


def test_the_frames_hold_what_the_run_holds(run: pc.Run) -> None:
    metrics, history = run.metrics_frame("pandas"), run.history_frame("polars")
    assert isinstance(metrics, pd.DataFrame) and isinstance(history, pl.DataFrame)
    assert len(metrics) == sum(
        len(own) for part in ("test", "validation") for own in run.metrics.get(part, {}).values()
    )
    for row in metrics.to_dict("records"):
        score = run.metrics[row["part"]][row["task"]][row["metric"]]
        assert {name: row[name] for name in ("value", "trivial", "skill")} == pytest.approx(
            {name: score[name] for name in ("value", "trivial", "skill")}
        )
        assert row["direction"] == score["direction"]
    assert history.columns == list(run.history[0]) and len(history) == 5
    assert history["epoch"].to_list() == list(range(5))
    np.testing.assert_array_equal(history["loss"], [epoch["loss"] for epoch in run.history])
    assert isinstance(run.metrics_frame("pyarrow"), pa.Table)


def test_predictions_come_back_as_they_were_said() -> None:
    """Classes that look like numbers stay text, numbers are numbers, an empty cell is missing."""
    tasks = [
        pc.Binary("b", classes=("01", "2")),
        pc.Multiclass("m", classes=[1, 2, 3]),
        pc.Regression("r"),
    ]
    text = (
        "row,b (true),m (true),r (true),b,b=2 probability,m,r\n4,01,2,,2,0.5,3,1.5\n"
        "7,,1,2.5,01,0.25,1,-2\n"
    )
    found = run_frames.predictions_columns(text, tasks)
    assert found == {
        "row": [4, 7],
        "b (true)": ["01", None],
        "m (true)": [2, 1],
        "r (true)": [None, 2.5],
        "b": ["2", "01"],
        "b=2 probability": [0.5, 0.25],
        "m": [3, 1],
        "r": [1.5, -2.0],
    }
    for library in run_frames.LIBRARIES:
        assert run_frames.frame(found, library) is not None
    with pytest.raises(InputError, match="damaged"):
        run_frames.predictions_columns("a,b\n1\n", tasks)


@pytest.mark.parametrize(
    ("table", "library"),
    [
        (pd.DataFrame({"a": [1]}), "pandas"),
        (pl.DataFrame({"a": [1]}), "polars"),
        (pa.table({"a": [1]}), "pyarrow"),
        ({"a": [1]}, None),
        ("a.csv", None),
    ],
)
def test_a_run_remembers_the_library_of_its_table(
    table: Any, library: str | None, run: pc.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_frames.library_of(table) == library
    again = pc.load(run.path)
    again.library = library
    expected = {
        "pandas": pd.DataFrame,
        "polars": pl.DataFrame,
        "pyarrow": pa.Table,
        None: pd.DataFrame,
    }[library]
    assert isinstance(again.metrics_frame(), expected)
    assert isinstance(again.metrics_frame("polars"), pl.DataFrame)


@pytest.mark.filterwarnings("ignore:Column 'a' is nearly a copy")
def test_fit_tells_the_run_where_its_table_came_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polycera.tabular import train_run

    monkeypatch.setattr(train_run, "train_run", lambda run, *_, **__: run)
    table = pl.DataFrame({"a": np.arange(40.0), "y": np.arange(40.0)})
    assert fit(table, ["y"], out=tmp_path / "run").library == "polars"


def test_no_library_is_one_sentence(run: pc.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="did you mean 'pandas'"):
        run.metrics_frame("panda")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(
        pc.PolyceraError, match=r"pandas, polars or pyarrow, and none is installed: pip install"
    ):
        run.metrics_frame()
    with pytest.raises(pc.PolyceraError, match="polars is not installed"):
        run.metrics_frame("polars")


def test_a_notebook_shows_plain_tables_and_runs_nothing(run: pc.Run) -> None:
    comparison = folders.comparison(
        NAMES, [folders.KINDS[i % 4] for i in range(4)], np.random.default_rng(0)
    )
    reached = {name: Reached("auc", 0.5, 0.25) for name in NAMES}
    weightings = pc.diagnostics.WeightingComparison(
        Path("<b>"), "validation", [Point(dict.fromkeys(NAMES, 1.0), ["r"], reached, reached)]
    )
    picture = lines({NAMES[0]: [0.1, 0.2]}, title=NAMES[1])
    for thing in (run, run.quality, comparison, weightings, picture):
        shown = thing._repr_html_()
        assert "<table>" in shown and "<th>" in shown
        assert "<script" not in shown and "<img" not in shown and "<svg onload" not in shown
        assert len(repr(thing)) < 300 and "\n" not in repr(thing)
    assert repr(run).startswith(f"Run({str(run.path)!r}, test: ")
    assert "in the Pareto set" not in weightings._repr_html_()


def test_a_run_that_has_not_ended_has_a_repr(tmp_path: Path) -> None:
    folders.begin(tmp_path / "run", ["a"], ["regression"])
    run = pc.load(tmp_path / "run")
    assert repr(run) == f"Run({str(run.path)!r})"
    assert "has not ended" in run._repr_html_()


def test_progress_is_drawn_in_a_notebook_and_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, plain = SimpleNamespace(kernel=object()), SimpleNamespace()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    for shell, expected in ((kernel, True), (plain, False), (None, False)):
        monkeypatch.setitem(
            sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell)
        )
        assert interactive.somebody_watches() == expected
    monkeypatch.delitem(sys.modules, "IPython")
    assert not interactive.somebody_watches()
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert interactive.somebody_watches()


def test_a_table_says_how_many_rows_it_leaves_out() -> None:
    assert "… 40 more rows" in html_table("", ["a"], [[i] for i in range(100)])
    assert html_table("", ["a"], [[None], [0.123456]]).count("<td>–</td>") == 1
