"""Test `pc.fit` end to end on a table of eighty rows: what it leaves is consistent."""

from __future__ import annotations

import csv
import sys
import warnings
from dataclasses import replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import yaml
from fresh import python

import polycera as pc
from polycera.errors import Damaged, InputError, UnknownName
from polycera.runs import Folder, Network, Training
from polycera.tabular import recipe, step_plan
from polycera.tabular.fit import command_of_process

ROWS = 80
FILES = {
    *(
        "spec.yaml",
        "schema.json",
        "model.safetensors",
        "history.csv",
        "metrics.json",
        "predictions.csv",
        "timing.json",
        "rows.safetensors",
    ),
    *(
        "epochs",
        "manifest.json",
        "sharing.json",
        "quality.json",
        "thresholds.json",
        "importance.json",
        "data.json",
    ),
}
TARGETS = ["revenue", "churn", "plan"]
QUICK = {"max_steps": 300, "batch_size": 28}
SMALL = {"width": 32, "members": 5}
"""The default network, but for its size: folds, bins, landmarks."""


def table(rows: int = ROWS) -> dict[str, list[Any]]:
    """Numbers with gaps, a category, and three targets, one with a sixth of labels missing."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(2, rows))
    plan = np.where(a + b > 0.7, "gold", np.where(a > b, "silver", "none at all"))
    return {
        "a": [None if i % 9 == 0 else value for i, value in enumerate(a.tolist())],
        "b": b.tolist(),
        "town": rng.choice(["Oslo", "Bergen", "Tromsø"], rows).tolist(),
        "revenue": [
            None if i % 6 == 0 else value for i, value in enumerate((30 * a + 5 * b + 100).tolist())
        ],
        "churn": np.where(b > 0, "yes", "no").tolist(),
        "plan": plan.tolist(),
    }


def write_csv(path: Path, columns: dict[str, list[Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(
            ["" if cell is None else cell for cell in row]
            for row in zip(*columns.values(), strict=True)
        )
    return path


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    write_csv(folder / "table.csv", table())
    return folder


@pytest.fixture(scope="module")
def run(work: Path) -> pc.Run:
    return pc.fit(
        work / "table.csv", TARGETS, out=work / "run", seed=5, training=QUICK, network=SMALL
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_folder_holds_what_was_promised_and_nothing_else(run: pc.Run) -> None:
    found = {path.name for path in run.path.iterdir()}
    # a training of seconds may end without a look at gradients
    assert found - {"gradients.safetensors"} == FILES
    assert run.metrics["part"] == "test"
    assert set(run.metrics) == {
        "part",
        "validation",
        "test",
        "rows",
        "parameters",
        "epochs",
    }
    # each row both, in its turn
    assert run.metrics["rows"] == {"train": 68, "validation": 68, "test": 12}
    assert run.metrics["parameters"] == run.model.count_params()
    assert run.spec.seed == 5
    assert [task["name"] for task in run.spec.tasks] == TARGETS


def test_versions(run: pc.Run, backend: str) -> None:
    assert run.versions["backend"] == backend
    assert run.versions["keras"] == keras.__version__
    assert run.versions["polycera"] == pc.__version__ == version("polycera")
    assert run.versions["numpy"] == np.__version__
    assert run.versions[backend] == version(backend)


def test_timing_holds_what_depends_on_the_clock(
    run: pc.Run, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Seconds, the time of the data file and the command; a changed file is refused."""
    assert run.seconds is not None and 0 < run.seconds < 3600
    changed = datetime.fromisoformat(run.timing.source_changed or "")
    assert changed.timestamp() == int((work / "table.csv").stat().st_mtime)
    assert run.timing.command is None  # the program is pytest, not polycera
    monkeypatch.setattr(sys, "argv", ["/usr/bin/polycera", "fit", "my table.csv"])
    assert command_of_process() == "polycera fit 'my table.csv'"
    text = (run.path / "timing.json").read_text()
    try:
        (run.path / "timing.json").write_text(text.replace("my", "MY").replace('"s', '"S', 1))
        with pytest.raises(Damaged, match=r"timing\.json"):
            _ = pc.load(run.path).seconds
        assert [found.file for found in pc.verify(run.path).findings] == ["timing.json"]
        (run.path / "timing.json").unlink()
        assert [found.file for found in pc.verify(run.path).findings] == ["timing.json"]
    finally:
        (run.path / "timing.json").write_text(text)
    assert pc.verify(run.path).whole


def test_history_has_a_row_for_each_epoch(run: pc.Run) -> None:
    """And what it logs adds up: the loss is the weighted sum of its terms."""
    rows = Folder(run.path).history
    assert [row["epoch"] for row in rows] == list(range(run.metrics["epochs"]))
    assert len(rows) == 3  # 300 steps, 2 a pass, 50 passes an epoch
    for row in rows:
        for lead in ("", "val_"):
            terms = (
                row[f"{lead}revenue/mse"]
                + row[f"{lead}churn/bce"]
                + row[f"{lead}plan/cross_entropy"]
            )
            assert row[f"{lead}loss"] == pytest.approx(terms, rel=1e-5)
        skills = [row[f"val_{name}_skill"] for name in TARGETS]
        assert row["val_joint"] == pytest.approx(np.mean(skills), rel=1e-6)


def test_predictions_are_the_model_s(run: pc.Run, work: Path) -> None:
    """The test rows, their labels and the answers, as `predict` gives them for those file rows."""
    written = rows_of(run.path / "predictions.csv")
    places = [int(row["row"]) for row in written]
    whole = table()
    assert len(written) == run.metrics["rows"]["test"]
    for name in TARGETS:
        truth = [whole[name][i] for i in places]
        assert [row[f"{name} (true)"] for row in written] == [
            "" if label is None else str(label) for label in truth
        ]
    answers = run.predict(
        {name: [values[i] for i in places] for name, values in whole.items() if name not in TARGETS}
    )
    assert list(written[0]) == ["row", *(f"{name} (true)" for name in TARGETS), *answers]
    assert [row["churn"] for row in written] == answers["churn"].tolist()
    assert [row["plan"] for row in written] == answers["plan"].tolist()
    for name in ("revenue", "churn=yes probability", "plan=gold probability"):
        np.testing.assert_allclose(
            [float(row[name]) for row in written], answers[name], rtol=1e-5, atol=1e-6
        )
    shares = [answers[f"plan={label} probability"] for label in ("gold", "none at all", "silver")]
    np.testing.assert_allclose(np.sum(shares, axis=0), 1.0, rtol=1e-6)
    assert (
        np.array(["gold", "none at all", "silver"])[np.argmax(shares, axis=0)] == answers["plan"]
    ).all()


def test_metrics_are_those_of_the_predictions(run: pc.Run) -> None:
    """Against numbers taken from the file alone."""
    written = rows_of(run.path / "predictions.csv")
    measured = run.metrics["test"]
    labelled = [row for row in written if row["revenue (true)"]]
    errors = [float(row["revenue"]) - float(row["revenue (true)"]) for row in labelled]
    assert measured["revenue"]["rmse"]["value"] == pytest.approx(
        np.sqrt(np.mean(np.square(errors))), rel=1e-6
    )
    right = np.mean([row["churn"] == row["churn (true)"] for row in written])
    assert measured["churn"]["accuracy"]["value"] == pytest.approx(right)
    right = np.mean([row["plan"] == row["plan (true)"] for row in written])
    assert measured["plan"]["accuracy"]["value"] == pytest.approx(right)
    for own in measured.values():
        for score in own.values():
            if score["ideal"] == score["trivial"]:  # always yes has a recall of 1
                assert score["skill"] is None
                continue
            assert score["skill"] == pytest.approx(
                (score["value"] - score["trivial"]) / (score["ideal"] - score["trivial"])
            )


def test_evaluate_reaches_what_metrics_say(run: pc.Run, work: Path) -> None:
    places = [int(row["row"]) for row in rows_of(run.path / "predictions.csv")]
    held_out = {name: [values[i] for i in places] for name, values in table().items()}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # test rows are no rows that it learned from
        again = run.evaluate(write_csv(work / "held-out.csv", held_out))
    for task, own in run.metrics["test"].items():
        for metric, score in own.items():
            assert again[task][metric].value == pytest.approx(score["value"], rel=1e-5), (
                task,
                metric,
            )
    del held_out["churn"]
    assert list(run.evaluate(held_out)) == ["revenue", "plan"]


@pytest.mark.nobackend
def test_evaluate_counts_the_rows_that_the_network_learned_from(run: pc.Run, work: Path) -> None:
    with pytest.warns(
        UserWarning,
        match=r"^The run was trained on table.csv: of its 80 rows, 68 trained and validated it",
    ):
        run.evaluate(work / "table.csv")
    some = {name: values[::-1][:40] for name, values in table().items()}
    with pytest.warns(
        UserWarning,
        match=r"^Of the 40 rows of the table given, \d+ trained and validated it, in folds",
    ):
        run.evaluate(some)
    with pytest.warns(UserWarning, match=r"^The run was trained on table.csv"):
        run.with_thresholds(work / "table.csv")


def test_yes_and_no_are_measured_as_they_are_answered(run: pc.Run) -> None:
    """Accuracy, F1, precision, recall at the threshold: equal in metrics, quality, predictions."""
    own, label = run.metrics["test"]["churn"], run.quality.tasks["churn"].labels[0]
    assert list(own)[:2] == ["auc", "accuracy"] and {"f1", "precision", "recall"} < set(own)
    for name in ("accuracy", "f1", "precision", "recall"):
        assert own[name]["value"] == pytest.approx(getattr(label.fitted, name)), name
    rows = rows_of(run.path / "predictions.csv")
    assert own["accuracy"]["value"] == pytest.approx(
        np.mean([row["churn"] == row["churn (true)"] for row in rows])
    )
    at = run.thresholds.tasks["churn"]["yes"].value
    assert at != 0.5 and run.thresholds.tasks["churn"]["yes"].fitted
    assert {"f1", "precision", "recall"} < set(run.metrics["validation"]["churn"])


def test_a_threshold_far_from_half_moves_what_is_measured(run: pc.Run) -> None:
    found = pc.load(run.path)
    found.thresholds.tasks["churn"]["yes"].value = 0.0  # yes to all
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = found.evaluate(table())["churn"]
    share = np.mean([label == "yes" for label in table()["churn"]])
    assert own["recall"].value == 1.0 and own["accuracy"].value == pytest.approx(share)
    assert own["precision"].value == pytest.approx(share) and 0.9 < own["auc"].value <= 1.0


def test_a_fresh_process_predicts_the_same_bits(run: pc.Run, work: Path, tmp_path: Path) -> None:
    code = (
        "import numpy as np, polycera as pc, sys\n"
        f"found = pc.load({str(run.path)!r}).predict({str(work / 'table.csv')!r})\n"
        f"np.savez({str(tmp_path / 'found.npz')!r}, **{{k: v for k, v in found.items() if "
        f"v.dtype.kind == 'f'}})\n"
        "print('|'.join(found['plan']))\n"
    )
    said = python(code)
    here = pc.load(run.path).predict(work / "table.csv")
    assert said.strip() == "|".join(here["plan"])
    with np.load(tmp_path / "found.npz") as found:
        assert set(found) == {name for name, values in here.items() if values.dtype.kind == "f"}
        for name in found:
            np.testing.assert_array_equal(found[name], here[name])


def same_numbers(one: Path, other: Path) -> None:
    for name in ("history.csv", "predictions.csv", "metrics.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def contents(run: Path) -> dict[str, bytes]:
    """All files of a run with their bytes, but for the one that depends on the clock."""
    paths = [path for path in run.rglob("*") if path.is_file() and path.name != "timing.json"]
    return {str(path.relative_to(run)): path.read_bytes() for path in paths}


def test_one_seed_gives_equal_files(run: pc.Run, work: Path, tmp_path: Path) -> None:
    """Whatever was drawn in between."""
    np.random.default_rng()
    np.random.random(3)
    pc.fit(
        work / "table.csv", TARGETS, out=tmp_path / "again", seed=5, training=QUICK, network=SMALL
    )
    first, again = contents(run.path), contents(tmp_path / "again")
    assert {name for name in first if again.get(name) != first[name]} == set()
    assert set(again) == set(first)


@pytest.mark.nobackend
def test_another_seed_gives_other_numbers(run: pc.Run, work: Path, tmp_path: Path) -> None:
    other = pc.fit(
        work / "table.csv", TARGETS, out=tmp_path / "other", seed=6, training=QUICK, network=SMALL
    )
    assert other.history[0]["loss"] != run.history[0]["loss"]


@pytest.mark.nobackend
def test_the_spec_repeats_the_run(run: pc.Run, work: Path, tmp_path: Path) -> None:
    """From the file, and from the object; with another table in the place of the first, too."""
    pc.fit(spec=run.path / "spec.yaml", out=tmp_path / "file")
    same_numbers(run.path, tmp_path / "file")
    assert (tmp_path / "file" / "spec.yaml").read_bytes() == (run.path / "spec.yaml").read_bytes()
    pc.fit(table(), spec=run.spec, out=tmp_path / "object")
    same_numbers(run.path, tmp_path / "object")


@pytest.mark.nobackend
def test_an_edited_spec_is_followed(run: pc.Run, tmp_path: Path) -> None:
    spec = yaml.safe_load((run.path / "spec.yaml").read_text())
    spec["tasks"][0]["loss"] = [{"loss": "mse", "weight": 0.8}, {"loss": "mae", "weight": 0.2}]
    spec["tasks"][1]["weight"] = 3.0
    spec["data"]["columns"]["town"] = "ignore"
    spec["network"] = {
        "width": 8,
        "depth": 1,
        "dropout": 0.0,
        "members": 1,
        "folds": 1,
        "bins": 0,
        "landmarks": 0,
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    new = pc.fit(spec=tmp_path / "spec.yaml", out=tmp_path / "run")
    assert "town" not in new.encoder.columns
    assert new.model.count_params() < run.model.count_params() / 20
    row = new.history[-1]
    assert row["loss"] == pytest.approx(
        0.8 * row["revenue/mse"]
        + 0.2 * row["revenue/mae"]
        + 3 * row["churn/bce"]
        + row["plan/cross_entropy"],
        rel=1e-5,
    )


@pytest.mark.nobackend
def test_the_best_weights_are_kept(work: Path, tmp_path: Path) -> None:
    """The validation metrics are those of the best epoch, not of the last."""
    far = {"max_steps": 400, "batch_size": 28, "learning_rate": 0.02, "patience_steps": 100}
    alone = {**SMALL, "landmarks": 0}  # which would say something of their own after the last epoch
    new = pc.fit(work / "table.csv", TARGETS, out=tmp_path / "run", training=far, network=alone)
    joints = [row["val_joint"] for row in new.history]
    best = new.history[int(np.argmax(joints))]
    for task, metric in (("revenue", "rmse"), ("plan", "accuracy")):
        assert new.metrics["validation"][task][metric]["value"] == pytest.approx(
            best[f"val_{task}/{metric}"], rel=1e-4
        )


@pytest.mark.nobackend
def test_weights_and_joint_by_name(work: Path, tmp_path: Path) -> None:
    new = pc.fit(
        work / "table.csv",
        {"revenue": "regression", "churn": "binary"},
        out=tmp_path / "run",
        exclude=["plan"],
        loss_weights={"churn": 4.0},
        score_weights={"churn": 1.0},
        training=QUICK,
        network=SMALL,
    )
    assert {task["name"]: task["weight"] for task in new.spec.tasks} == {
        "revenue": 1.0,
        "churn": 4.0,
    }
    row = new.history[0]
    assert row["val_joint"] == pytest.approx(row["val_churn_skill"])
    assert row["loss"] == pytest.approx(row["revenue/mse"] + 4 * row["churn/bce"], rel=1e-5)


@pytest.mark.nobackend
@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_data_frames_train_as_the_file_does(kind: str, run: pc.Run, tmp_path: Path) -> None:
    module = pytest.importorskip(kind)
    make = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}[kind]
    pc.fit(
        getattr(module, make)(table()),
        TARGETS,
        out=tmp_path / "run",
        seed=5,
        training=QUICK,
        network=SMALL,
    )
    same_numbers(run.path, tmp_path / "run")


@pytest.mark.nobackend
def test_warnings_point_at_the_caller(tmp_path: Path) -> None:
    """Without a command line to print it, a note is a warning from the line that called."""
    columns = {**table(), "number of the row, or nearly": table()["b"]} | {"revenue": table()["b"]}
    with pytest.warns(UserWarning, match="nearly a copy of the target 'revenue'") as caught:
        pc.fit(columns, ["revenue"], out=tmp_path / "run", training=QUICK, network=SMALL)
    assert {warning.filename for warning in caught if "nearly a copy" in str(warning.message)} == {
        __file__
    }


@pytest.mark.nobackend
def test_a_column_named_row(tmp_path: Path) -> None:
    """It is the user's: the number of the row then has another name."""
    columns = {"row" if name == "revenue" else name: values for name, values in table().items()}
    pc.fit(columns, ["row"], out=tmp_path / "run", training=QUICK, network=SMALL)
    written = rows_of(tmp_path / "run" / "predictions.csv")
    assert list(written[0]) == ["number of the row", "row (true)", "row"]


@pytest.mark.nobackend
def test_true_labels_are_written_as_the_answers_are(tmp_path: Path) -> None:
    """A column of 0, 1 and gaps holds 0.0, 1.0, NaN in memory, and 0, 1 and nothing in the file."""
    flag = [None if i % 7 == 0 else i % 2 for i in range(ROWS)]
    pc.fit(
        {**table(), "flag": flag},
        ["flag"],
        out=tmp_path / "run",
        training={"max_steps": 4},
        network=SMALL,
    )
    written = rows_of(tmp_path / "run" / "predictions.csv")
    assert {row["flag (true)"] for row in written} == {"", "0", "1"}
    assert {row["flag"] for row in written} <= {"0", "1"}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no table": ({"source": None}, "No table"),
    "no target": ({"targets": []}, "No target was named"),
    "task of no column": ({"targets": [pc.Binary("chrn")]}, "did you mean 'churn'"),
    "task twice": ({"targets": ["churn", pc.Binary("churn")]}, "more than once: 'churn'"),
    "option": ({"training": {"max_step": 3}}, "did you mean 'max_steps'"),
    "value": ({"training": {"max_steps": 0}}, "training.max_steps is 0"),
    "share": ({"validation": -0.1}, "data.parts.validation is -0.1"),
    "network": ({"network": {"dropout": 1.0}}, "network.dropout is 1.0"),
    "seed": ({"seed": 1.5}, "seed is 1.5"),
    "weight": ({"loss_weights": {"chrn": 1.0}}, "did you mean 'churn'"),
    "taken": ({"out": "."}, "already exists"),
    "source": ({"source": 3}, "a int came"),
}


@pytest.mark.nobackend
@pytest.mark.parametrize("name", BAD)
def test_bad_arguments(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, message = BAD[name]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        pc.fit(**({"source": table(), "targets": ["churn"]} | changes))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.nobackend
def test_numpy_numbers_are_numbers(tmp_path: Path) -> None:
    steps, network = {"max_steps": np.int32(4)}, {**SMALL, "landmarks": np.int64(9)}
    new = pc.fit(
        table(), ["churn"], out=tmp_path / "run", seed=np.int64(2), training=steps, network=network
    )
    assert (new.spec.seed, new.spec.training.max_steps, new.spec.network.landmarks) == (2, 4, 9)


@pytest.mark.nobackend
def test_load_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run folder"):
        pc.load(tmp_path / "nope")
    with pytest.raises(InputError, match=r"lacks spec\.yaml"):
        pc.load(tmp_path)
    with pytest.raises(UnknownName, match="did you mean 'churn'"):
        pc.fit(table(), ["chrn"], out=tmp_path / "run")


@pytest.mark.nobackend
def test_the_documented_options_are_the_spec_s() -> None:
    """The docstring of `fit` names each."""
    for kind in (Network, Training):
        for name in kind.__struct_fields__:
            assert f"`{name}`" in (pc.fit.__doc__ or ""), name


@pytest.mark.nobackend
def test_what_watches_and_saves_changes_nothing_of_a_training(tmp_path: Path) -> None:
    """Without a checkpoint each epoch has the same row order as with one, new in each epoch."""
    rng, tasks = np.random.default_rng(0), [pc.Regression("a"), pc.Binary("b")]
    x = rng.normal(size=(96, 3)).astype("float32")
    y = {"a": x[:, 0] + rng.normal(size=96), "b": x[:, 1] > 0}
    training = Training(max_steps=30)
    plan = replace(step_plan.StepPlan.of(96, training), passes=2, epochs=3)

    def losses(*watch: Any) -> list[float]:
        model = recipe.build(3, tasks, Network(width=4, depth=1), training, 0)
        return recipe.train(model, (x, y), (x, y), plan, training, list(watch), 0).history["loss"]

    probe = pc.callbacks.GradientProbe(x, y, rows=16, budget=float("inf"))
    kept = pc.callbacks.ParetoCheckpoint(tmp_path / "front")
    watched = losses(probe, kept, pc.callbacks.Checkpoint(tmp_path / "saved", every="1 epoch"))
    # TensorFlow adds up in another order now and then
    assert watched == pytest.approx(losses(), rel=1e-5)
