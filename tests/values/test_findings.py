"""`run.findings()`: every number belongs to the run, and no value of its table is among them."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import polycera as pc
import polycera_cli
from polycera.errors import InputError, UnknownName
from polycera.evaluation import bootstrap
from polycera.runs.findings import Findings, TaskFacts
from polycera.tabular import run_findings as module
from polycera.tasks import Layout

pytestmark = pytest.mark.nobackend

ROWS = 500
TARGETS = ["churn", "loss", "kind", "visits", "share", "level", "delay", "tags", "one"]
KINDS = {"level": "ordinal", "delay": "quantile", "visits": "count", "share": "proportion"}
STORED = Path(__file__).resolve().parents[1] / "stored/0.1.0/jax/run"


def planted() -> list[str]:
    """Return the values that must not be found: of ids, rare levels, an outlier, and persons."""
    mails = [f"person{i}@example.org" for i in range(20)]
    rare = [f"hamlet-{i}" for i in range(20)]
    return [*mails, *rare, "+49 89 1234567", "DE89 3704 0044 0532 0130 00", "98765431.5"]


def table() -> dict[str, list[Any]]:
    """Return customers with a target of every kind, and values that name a person."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, ROWS))
    town = rng.choice(["north", "south", "west"], ROWS).astype(object)
    contact = rng.choice(["mail", "post"], ROWS).astype(object)
    mails, rare = planted()[:20], planted()[20:40]
    town[10:30] = rare
    # A level that many rows have, and that is a person's all the same.
    contact[40:60], contact[60:80] = planted()[40], planted()[41]
    churn = np.where(rng.random(ROWS) < 1 / (1 + np.exp(-2 * a)), "Yes", "No").astype(object)
    churn[::25] = None
    kind = np.array(["x", "y", "z"], dtype=object)[
        np.argmax(np.stack([a, b, rng.normal(size=ROWS)]), axis=0)
    ]
    kind[100:102] = "hamlet-0"
    amount = b.copy()
    amount[7] = 98765431.5
    tags = np.where(a > 0, "red", "blue").astype(object) + np.where(b > 0, ";big", "")
    return {
        "id": [f"{i}-{mails[i % 20]}" for i in range(ROWS)],
        "note": [mails[i % 20] if i < 20 else None for i in range(ROWS)],
        "town": town.tolist(),
        "contact": contact.tolist(),
        "a": [None if i % 20 == 0 else value for i, value in enumerate(a.tolist())],
        "b": amount.tolist(),
        "paid": np.round(np.exp(b), 2).tolist(),
        "churn": churn.tolist(),
        "loss": np.round(100 * np.exp(b / 2), 1).tolist(),
        "kind": kind.tolist(),
        "visits": rng.poisson(np.exp(a / 2)).tolist(),
        "share": (1 / (1 + np.exp(-b))).tolist(),
        "level": np.digitize(a, [-1, 0, 1]).tolist(),
        "delay": (a + rng.normal(size=ROWS)).tolist(),
        "tags": tags.tolist(),
        "one": [3.0] * ROWS,
    }


def fitted(columns: dict[str, list[Any]], folder: Path, **options: Any) -> pc.Run:
    """Return a small run of the columns, which are written to a file."""
    path = folder / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    settings: dict[str, Any] = {
        "training": {"max_steps": 40},
        "network": {"width": 16, "members": 2, "folds": 1, "landmarks": 0},
    }
    with pytest.warns(UserWarning):
        return pc.fit(path, out=folder / "run", **settings | options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    """Return a run with a task of every kind."""
    return fitted(
        table(),
        tmp_path_factory.mktemp("findings"),
        targets=TARGETS,
        kinds=KINDS,
        tags={"tags": ";"},
        exclude=["paid"],
    )


@pytest.fixture(scope="module")
def found(run: pc.Run) -> Findings:
    """Return its findings, with the amount that is lost."""
    return run.findings(value="loss")


def of(found: Findings, name: str) -> TaskFacts:
    """Return what was found out about one task."""
    return next(task for task in found.tasks if task.name == name)


def test_every_number_is_that_of_the_run(run: pc.Run, found: Findings) -> None:
    """Metrics are those of metrics.json, and an interval lies around each that has one."""
    assert [task.name for task in found.tasks] == list(run.tasks)
    for task in found.tasks:
        scores = run.metrics["test"][task.name]
        assert [metric.name for metric in task.metrics] == list(scores)
        for metric in task.metrics:
            expected = scores[metric.name]
            assert metric.value == expected["value"] and metric.skill == expected["skill"]
            if metric.low is not None and metric.high is not None:
                assert metric.low <= metric.value <= metric.high and metric.low < metric.high
        if task.name != "one":
            assert task.metrics[0].low is not None, task.name
    assert found.run.rows == run.metrics["rows"] and found.run.part == "test"
    assert found.run.versions["polycera"] == pc.__version__
    assert found.run.file == "table.csv" and found.run.file_changed


def test_metrics_of_the_predictions_file_are_those_of_the_network(run: pc.Run) -> None:
    """The rows that intervals are drawn of give the run's own metrics, of every kind."""
    seen = module.SeenRun(run, None, None, False)
    assert seen.judged is not None
    views = seen.views(seen.measurable, seen.judged.predicted)
    once = np.ones((1, seen.judged.count))
    values = bootstrap.drawn_values(views, once)
    assert {name for name, _ in values} == set(TARGETS)
    for (task, metric), value in values.items():
        expected = run.metrics["test"][task][metric]["value"]
        assert value[0] == pytest.approx(np.nan if expected is None else expected, nan_ok=True), (
            task,
            metric,
        )


def test_baselines_are_scikit_learns(run: pc.Run, found: Findings) -> None:
    """Fitted to the training rows, judged on the test rows; the difference has an interval."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seen = module.SeenRun(run, None, None, False)
    assert seen.prepared is not None and seen.judged is not None
    x, labels = seen.prepared.encoded_rows(seen.prepared.parts.train)
    known = ~np.isnan(labels["churn"][:, 0])
    model = make_pipeline(StandardScaler(), LogisticRegression(tol=1e-6, max_iter=10_000))
    model.fit(x[known], labels["churn"][known, 0])
    y = seen.judged.labels["churn"][:, 0]
    p = model.predict_proba(seen.prepared.rows(seen.judged.indices)[0])[:, 1]
    expected = roc_auc_score(y[~np.isnan(y)], p[~np.isnan(y)])
    churn = of(found, "churn")
    linear, forest = churn.baselines
    assert linear.value == pytest.approx(expected) and linear.model == "logistic regression"
    assert linear.difference == pytest.approx(churn.metrics[0].value - expected)
    assert linear.low < linear.difference < linear.high
    assert forest.model.startswith("extra-trees")
    assert churn.verdict is not None and churn.verdict.startswith("churn: polycera is ")
    # The network of this test is trained for 40 steps, so that something is better than it.
    worse = [c.task for c in found.beware if c.kind == "baseline"]
    assert worse == [t.name for t in found.tasks if "baseline" in {b.better for b in t.baselines}]
    assert worse
    assert "All training labels are equal." in {
        a.reason.partition(": ")[2] for a in found.absent if a.task == "one"
    }
    for task in found.tasks:
        assert bool(task.baselines) == (task.name != "one"), task.name


def test_gains_and_amounts(run: pc.Run, found: Findings) -> None:
    """The rows with the highest scores hold the positives, and their money."""
    seen = module.SeenRun(run, None, None, False)
    assert seen.judged is not None
    label = of(found, "churn").labels[0]
    by_score, by_amount = label.gains
    y, p = seen.judged.labels["churn"][:, 0], seen.judged.predicted["churn"][:, 0]
    loss = seen.judged.labels["loss"][:, 0]
    known = ~np.isnan(y)
    y, p, loss = y[known], p[known], loss[known]
    order = np.argsort(-p)
    half = len(y) // 2
    place = np.interp(half / len(y), by_score.share, by_score.found)
    assert place == pytest.approx(y[order][:half].sum() / y.sum(), abs=0.02)
    money = np.interp(half / len(y), by_score.share, by_score.value_found)
    held = (y * loss)[order][:half].sum() / (y * loss).sum()
    assert money == pytest.approx(held, abs=0.02)
    assert by_amount.order == "probability x loss" and by_amount.value_found[20] > 0.2
    assert "% of churn = Yes, and" in by_score.sentence and "of their loss" in by_score.sentence
    paid = module.AmountAtStake.of(module.SeenRun(run, None, "paid", False))
    assert paid is not None and (paid.true == paid.expected).all() and paid.true.min() > 0


def test_what_is_no_amount_is_one_sentence(run: pc.Run) -> None:
    """A name that does not exist, texts, classes, and amounts below 0."""
    with pytest.raises(UnknownName, match="'paid'"):
        run.findings(value="payd")
    for name, sentence in (("town", "texts"), ("kind", "multiclass"), ("b", "below 0")):
        with pytest.raises(InputError, match=sentence):
            run.findings(value=name)


def test_decisions_are_counted(run: pc.Run, found: Findings) -> None:
    """The table of thresholds holds the counts that the run's own metrics rest on."""
    label = of(found, "churn").labels[0]
    assert label.operating is not None and label.thresholds is not None
    table, at = label.thresholds, label.operating.threshold
    place = table.threshold.index(at)
    true, false = table.true_positive[place], table.false_positive[place]
    assert (true, false) == (label.operating.true_positive, label.operating.false_positive)
    scores = run.metrics["test"]["churn"]
    assert true / (true + false) == pytest.approx(scores["precision"]["value"])
    assert true / label.positives == pytest.approx(scores["recall"]["value"])
    assert len(table.threshold) == 102 and table.true_positive[0] == label.positives
    counts = (table.true_positive, table.false_positive, table.false_negative, table.true_negative)
    assert set(np.sum(counts, axis=0).tolist()) == {label.rows}
    assert label.curve is not None
    rate = np.trapezoid(label.curve.true_positive_rate, label.curve.false_positive_rate)
    assert rate == pytest.approx(scores["auc"]["value"], abs=0.01)


def test_dependence_is_that_of_the_network(run: pc.Run, found: Findings) -> None:
    """Setting the column in the table gives the same mean prediction."""
    curve = next(one for one in of(found, "loss").dependence if one.column == "b")
    assert curve.kind == "number" and len(curve.at) == 15
    means = curve.outputs["loss"]
    assert means[-1] > means[0] + 50
    seen = module.SeenRun(run, None, None, False)
    assert seen.prepared is not None and seen.judged is not None
    rows = seen.prepared.table.take(seen.judged.indices)
    changed = rows.replaced({"b": np.full(rows.rows, curve.at[3])})
    predicted = run.predict({name: changed[name] for name in run.encoder.columns})["loss"]
    assert means[3] == pytest.approx(predicted.mean(), rel=1e-5)
    towns = [one for task in found.tasks for one in task.dependence if one.column == "town"]
    assert towns and set(towns[0].at) == {"north", "south", "west"} and min(towns[0].rows) > 5


def test_no_value_of_the_table_is_found(found: Findings) -> None:
    """Planted values of ids, rare levels, outliers and persons; row numbers and quoted cells."""
    text = msgspec.json.encode(found).decode()
    for value in planted():
        assert text.find(value) < 0, value  # `in` would print the whole text
    assert "in row" not in text and "@" not in text
    shown = {column.name: column for column in found.data.columns}
    assert shown["town"].reason == "text of 23 levels." and shown["town"].levels == 23
    assert shown["a"].missing == 25 and shown["id"].role == "id"
    assert "(rare)" in of(found, "kind").confusion.labels
    assert found.data.labels_missing["churn"]["all"] == 20
    assert found.spec is not None and "(rare)" in found.spec


def test_rows_are_shown_when_asked_for(run: pc.Run) -> None:
    """Rare classes come with their names then, and the findings say so."""
    shown, hidden = (module.SeenRun(run, None, None, show_rows) for show_rows in (True, False))
    assert shown.class_label("kind", "hamlet-0") == "hamlet-0"
    assert hidden.class_label("kind", "hamlet-0") == "(rare)"
    assert hidden.class_label("kind", "x") == "x"


def test_without_its_table_a_run_says_what_is_absent(run: pc.Run, tmp_path: Path) -> None:
    """Intervals and curves remain; baselines and dependence have a reason. A table can be given."""
    place = Path(run.spec.data.source)
    moved = tmp_path / "moved.csv"
    shutil.move(place, moved)
    try:
        found = pc.load(run.path).findings()
        again = module.SeenRun(pc.load(run.path), moved, None, False)
        assert again.prepared is not None and not again.absent
    finally:
        shutil.move(moved, place)
    absent = {one.part for one in found.absent}
    assert {"table", "baselines", "dependence"} <= absent and "missing" not in absent
    churn = of(found, "churn")
    assert churn.metrics[0].low is not None and churn.labels[0].gains and not churn.baselines
    assert {one.task for one in found.absent if one.part == "intervals"} == {"tags"}


def test_a_run_of_an_older_version_gives_what_it_has() -> None:
    """It has no counts of its table, and 9 test rows: too few to draw from."""
    found = pc.load(STORED).findings()
    assert {"table", "baselines", "dependence", "missing"} <= {one.part for one in found.absent}
    assert len(found.tasks) == 5 and all(task.metrics for task in found.tasks)
    sold = of(found, "sold")
    assert sold.metrics[0].low is None and "too few rows" in sold.headline
    accuracy = next(metric for metric in sold.metrics if metric.name == "accuracy")
    assert accuracy.interval == "wilson"
    assert {c.task for c in found.beware if c.kind == "few rows"} == set(
        Layout.of(pc.load(STORED).tasks.values()).tasks
    )
    assert found.data.labels_missing["price"] == {"test": 2}


def test_findings_are_json_and_come_back(found: Findings) -> None:
    """The form holds what was written, and each of its fields is described."""
    text = msgspec.json.encode(found)
    assert msgspec.json.decode(text, type=Findings) == found
    assert json.loads(text)["version"] == 1
    assert len(found.headline) == len(TARGETS)


def test_predictions_have_the_expected_amount(run: pc.Run) -> None:
    """Probability x amount: of a task the predicted number, of a column the cell."""
    columns = {name: values[:50] for name, values in table().items()}
    plain = run.predict(columns)
    by_task = run.predict(columns, value="loss")
    by_column = run.predict(columns, value="paid")
    name = "churn=Yes probability"
    assert list(by_task) == [*plain, f"{name} x loss"]
    assert by_task[f"{name} x loss"] == pytest.approx(plain[name] * plain["loss"])
    assert by_column[f"{name} x paid"] == pytest.approx(plain[name] * np.array(columns["paid"]))
    for wrong, error in (("payd", UnknownName), ("town", InputError), ("kind", InputError)):
        with pytest.raises(error, match="value="):
            run.predict(columns, value=wrong)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--value", "loss"], "--findings report.json"),
        (["--show-rows"], "--findings report.json"),
        (["--findings", "report.txt"], "end the name in .json"),
        (["RUN", "--findings", "report.json"], "of one run"),
        (["--findings", "RUN/metrics.json"], "is a run folder"),
    ],
)
def test_options_without_findings_are_refused(
    run: pc.Run, words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One sentence, exit code 2, and nothing is written."""
    arguments = [word.replace("RUN", str(run.path)) for word in words]
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main(["report", str(run.path), *arguments])
    assert ended.value.code == 2 and said in " ".join(capsys.readouterr().err.split())
