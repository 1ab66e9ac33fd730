"""Test what a report says of a run: the numbers, the views its data need, and no others."""

from __future__ import annotations

import re
import xml.etree.ElementTree as tree
from pathlib import Path
from time import process_time
from types import SimpleNamespace
from typing import Any

import folders
import fresh
import numpy as np
import pytest
from folders import Outline, page

from polycera import reports
from polycera.reports import catalogue, numbers, run_view
from polycera.reports.history import History
from polycera.reports.views import curves as curves_view
from polycera.reports.views import gradients, joint, tradeoff
from polycera.reports.views import table as data_view
from polycera.runs import Folder, Network, Spec, manifest, results
from polycera.storage import atomic

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


ALL = [
    *("verdict", "skills", "separate", "joint", "tradeoff", "curves"),
    *("weights", "gradients", "sharing", "quality", "data", "repeat"),
]


def test_a_run_with_everything_has_every_view(tmp_path: Path) -> None:
    found = page(folders.make(tmp_path / "run"))
    assert found.sections == ALL
    assert found.elements.count("h1") == 1


@pytest.mark.parametrize(
    ("options", "absent"),
    [
        ({"rich": False}, {"separate", "gradients", "sharing", "quality"}),
        (
            {"rich": False, "validation": False},
            {"separate", "gradients", "sharing", "quality", "joint", "tradeoff"},
        ),
        ({"names": ["only"]}, {"separate", "tradeoff"}),
        (
            {"names": ["only"], "epochs": 1, "validation": False, "rich": False},
            set(ALL) - {"verdict", "skills", "curves", "weights", "data", "repeat"},
        ),
        ({"epochs": 1}, set()),
        ({"hole": True}, set()),
    ],
    ids=["as of old", "no validation", "one task", "one of all", "one epoch", "holes"],
)
def test_a_view_whose_data_are_not_there_is_not_there(
    tmp_path: Path, options: dict[str, Any], absent: set[str]
) -> None:
    assert page(folders.make(tmp_path / "run", **options)).sections == [
        name for name in ALL if name not in absent
    ]


def test_the_verdict_says_what_the_files_say(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", epochs=7)
    run = Folder(path)
    skills = {task: next(iter(own.values()))["skill"] for task, own in run.metrics["test"].items()}
    best, worst = max(skills, key=skills.get), min(skills, key=skills.get)
    joint = [row["val_joint"] for row in run.history]
    said = page(path).text
    mean = sum(skills.values()) / 3
    assert (
        f"it reaches a mean skill of {mean:.3f} (0 is the trivial predictor, 1 perfect): best "
        f"{best} ("
    ) in said
    assert f"skill {skills[best]:.3f}), worst {worst} (" in said
    assert (
        "This is one network: 4,864 of 5,059 weights serve all 3 tasks. One network is better "
        "by 2 % on average."
    ) in said
    assert (
        "stopped after 7 epochs and 3.2\u202fs; the joint score was highest in epoch "
        f"{int(np.argmax(joint))} ("
    ) in said


def test_who_has_not_compared_is_told_how(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", rich=False)
    assert f"polycera compare-separate {path}" in page(path).text


def test_several_runs_side_by_side_mark_the_best_by_direction(tmp_path: Path) -> None:
    runs = [
        folders.make(tmp_path / name, ["mass", "sex"], seed=i, rich=False)
        for i, name in enumerate(("a", "b", "c"))
    ]
    text = reports.report(runs, tmp_path / "all.html").read_text(encoding="utf-8")
    assert Outline(text).sections[0] == "all-compared"
    for task, pick in (("mass", min), ("sex", max)):
        values = [next(iter(Folder(run).metrics["test"][task].values()))["value"] for run in runs]
        row = next(
            row
            for row in re.findall(r"<tr>.*?</tr>", text)
            if f"<bdi>{task}</bdi>" in row and "best" in row
        )
        cells = re.findall(r"<td[^>]*>(.*?)</td>", row)[1:]
        assert [i for i, cell in enumerate(cells) if "best" in cell] == [values.index(pick(values))]


def test_the_page_of_a_run_is_the_same_twice(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", folders.HOSTILE)
    assert (
        reports.report(path).read_bytes()
        == reports.report(path, tmp_path / "again.html").read_bytes()
    )


def test_every_picture_of_the_page_is_in_the_catalogue_and_can_be_written(tmp_path: Path) -> None:
    run = run_view.RunView(
        folders.make(tmp_path / "run", ["mass", "sex", "species", "price"], epochs=3)
    )
    drawn = catalogue.of(run)
    kinds = {known.split("/")[0] for known in reports.PICTURES}
    assert {name.split("/")[0] for name in drawn} == kinds - {
        "skills-spread",
        "regularization",
        "skipped-steps",
    }
    for name in ("joint", "reliability/sex", "coverage/price", f"shares/{folders.HOSTILE[0]}"):
        path = reports.plot(run.path, name, tmp_path / "one.svg")
        assert tree.parse(path).getroot().tag.endswith("svg")


def test_nothing_of_it_imports_keras(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run")
    code = f"""
import sys, polycera_cli
try:
    polycera_cli.main(["report", {str(path)!r}])
except SystemExit as end:
    assert end.code == 0, end.code
try:
    polycera_cli.main(["plot", {str(path)!r}, "joint", "-o", {str(tmp_path / "j.svg")!r}])
except SystemExit as end:
    assert end.code == 0, end.code
assert "keras" not in sys.modules, "Keras was imported"
"""
    said = fresh.python(code)
    assert said.splitlines() == [f"Report: {path}/report.html", f"Picture: {tmp_path}/j.svg"]


def test_a_run_of_500_epochs_and_200_tasks(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "big", [f"label {i}" for i in range(200)], epochs=500)
    begun = process_time()  # of this process: other work on the machine does not count
    size = reports.report(path).stat().st_size
    print(f"{process_time() - begun:.1f} s, {size / 1e6:.1f} MB")
    assert process_time() - begun < 10 and size < 15e6


def test_whose_a_column_is() -> None:
    names = ["a", "a/b", "val_c", "x/y"]
    row = {
        "a/mse": 1.0,
        "a/b/mse": 2.0,
        "val_a/b/mse": 3.0,
        "val_c/mse": 4.0,
        "val_val_c/mse": 5.0,
        "q/mse": 6.0,
        "loss": 7.0,
    }
    found = History.of([row], names)
    assert {name: (one.task, one.what, one.validation) for name, one in found.owned.items()} == {
        "a/mse": ("a", "mse", False),
        "a/b/mse": ("a/b", "mse", False),
        "val_a/b/mse": ("a/b", "mse", True),
        "val_c/mse": ("val_c", "mse", False),
        "val_val_c/mse": ("val_c", "mse", True),
    }


def test_skills_of_epochs_are_computed_where_the_joint_score_watched_another_metric(
    tmp_path: Path,
) -> None:
    path = folders.make(tmp_path / "run", ["mass", "sex"], epochs=5)
    run, other = run_view.RunView(path), run_view.RunView(path)
    other.spec.training.score_weights = {"mass/r2": 1.0, "sex": 1.0}
    assert set(other.epoch_skills) == {"mass", "sex"}
    np.testing.assert_allclose(other.epoch_skills["mass"], run.epoch_skills["mass"], rtol=1e-12)


@pytest.mark.parametrize(
    ("weights", "sliders"),
    [
        ({"mass": 0.7, "sex": 0.3}, [0.7, 0.3]),
        ({"mass": 4.0, "sex": 1.0}, [1.0, 0.25]),
        ({"mass": 0.004, "sex": 0.001}, [1.0, 0.25]),
        ({}, [1.0, 1.0]),
    ],
)
def test_sliders_begin_with_the_weights_of_the_joint_score(
    tmp_path: Path, weights: dict[str, float], sliders: list[float]
) -> None:
    run = run_view.RunView(folders.make(tmp_path / "run", ["mass", "sex"], epochs=3))
    run.spec.training.score_weights = weights
    found = joint.data(run)
    assert found is not None and found["weights"] == sliders


def test_a_task_that_is_watched_by_two_metrics_has_one_slider() -> None:
    kept = [SimpleNamespace(watched=(("mass", "rmse"), ("mass", "r2"), ("sex", "auc")))]
    run: Any = SimpleNamespace(kept=kept, epoch_skills={})
    assert joint.weighable(run) == ["mass", "sex"]


def test_the_gain_in_a_metric_that_should_reach_a_value_is_that_of_delta_m(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", ["mass"])
    gain = results.Gain("coverage", "target", [0.82, 0.82], [0.9, 0.7], 0.08, 0.04, 0.12, "joint")
    found = folders.comparison(["mass"], ["regression"], np.random.default_rng(0))
    found.tasks, found.seeds = {"mass": gain}, [0, 1]
    metrics = Folder(path).metrics
    metrics["test"]["mass"] = {
        "coverage": {**metrics["test"]["mass"]["rmse"], "direction": "target", "ideal": 0.8}
    }
    for name, content in ((results.COMPARISON, found), ("metrics.json", metrics)):
        atomic.write(path / name, manifest.page(content))
    manifest.add(path, [results.COMPARISON, "metrics.json"])
    drawn = catalogue.of(run_view.RunView(path))["separate"]().numbers
    assert drawn[1][1:] == ["80", "40", "120"]


def test_shares_add_up_and_the_fiercest_are_shown(tmp_path: Path) -> None:
    run = run_view.RunView(folders.make(tmp_path / "run", [f"t{i}" for i in range(5)]))
    assert run.gradients is not None
    np.testing.assert_allclose(run.gradients.shares.sum(axis=-1), 1.0)
    matrix = np.eye(6)
    matrix[1, 4] = matrix[4, 1] = -0.9
    matrix[0, 2] = matrix[2, 0] = -0.5
    assert gradients.fiercest(matrix, 2) == [1, 4]
    assert gradients.fiercest(matrix, 4) == [0, 1, 2, 4]
    assert gradients.fiercest(-matrix, 2, lowest=False) == [1, 4]


def test_the_front_of_two_tasks() -> None:
    assert tradeoff.along_the_front([0.1, 0.5, 0.4, 0.9, np.nan], [0.9, 0.5, 0.4, 0.1, 1.0]) == [
        0,
        1,
        3,
    ]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (2.0, "2"),
        (-0.123456, "−0.1235"),
        (1234.5678, "1\u202f235"),
        (70164, "70\u202f160"),
        (123456789.0, "123\u202f500\u202f000"),
        (1e-7, "1e−07"),
        (3e12, "3e+12"),
        (None, "–"),
        (float("nan"), "–"),
        (float("inf"), "–"),
        (10**400, "–"),
        (True, "–"),
        ("text", "–"),
    ],
)
def test_numbers_as_a_person_reads_them(value: Any, said: str) -> None:
    assert numbers.say(value) == said


def test_small_words() -> None:
    assert [numbers.seconds(value) for value in (7300, 130, 3.2, 0.0012, 1e-6, 1e-9, None)] == [
        *(
            "2.03\u202fh",
            "2.17\u202fmin",
            "3.2\u202fs",
            "1.2\u202fms",
            "1\u202fµs",
            "1e-09\u202fs",
            "–",
        )
    ]
    assert numbers.fixed(-0.0001) == "0.000" and numbers.fixed(-0.5) == "−0.500"
    assert (
        numbers.percent(1, 0) == "–"
        and numbers.plural(1, "row") == "1 row"
        and numbers.plural(0, "row") == "0 rows"
    )


def test_a_folder_of_runs_is_reported_side_by_side(tmp_path: Path) -> None:
    for name in ("equal", "churn=2"):
        folders.make(tmp_path / "out" / name)
    (tmp_path / "out" / "weightings.json").write_text("{}")
    written = reports.report(tmp_path / "out", tmp_path / "all.html").read_text()
    assert "2 runs side by side" in written


def test_it_says_why_nothing_is_said_of_gradients(tmp_path: Path) -> None:
    said = "was not looked at"
    path = folders.make(tmp_path / "run")
    assert said not in reports.report(path).read_text()
    entries = manifest.entries(path)
    del entries["gradients.safetensors"]
    (path / "manifest.json").unlink()
    manifest.add(path, entries)
    assert said in reports.report(path).read_text()


def test_rows_that_train_and_validate_in_turn_are_counted_once() -> None:
    counts = {"train": 68, "validation": 68, "test": 12}

    def said(folds: int | None) -> str:
        spec = Spec(tasks=[], network=Network(folds=folds))
        sheet: Any = SimpleNamespace(seen=SimpleNamespace(metrics={"rows": counts}, spec=spec))
        return str(data_view._rows(sheet))

    for cell in ("train and, in 5 folds, validation", ">68<", ">12<", ">80<"):
        assert cell in said(5)
    assert ">148<" not in said(5)
    assert ">148<" in said(None) and "folds" not in said(1)


def test_curves_say_which_rows_they_are_of() -> None:
    assert curves_view._legend(False, 5) == "There were no validation rows."
    assert "validation rows, dashed" in curves_view._legend(
        True, 1
    ) and "folds" not in curves_view._legend(True, 1)
    assert "In 5 folds every row is both" in curves_view._legend(True, 5)
