"""Charts hold the numbers that they were given, say what they show, and compile."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from polycera import plots
from polycera.errors import InputError, MissingExtra, UnknownName

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]
vl_convert = pytest.importorskip("vl_convert")

HOSTILE = ["MARK\"]; alert('1') //", "MARK'}, ${x}", "MARK</script>", "MARK.a[0]\\'b", "MARK" * 15]
"""Names that would do harm within an expression, a field name or a page."""

EPOCHS = [0, 1, 2, 3]


def history_rows(names: list[str]) -> list[dict[str, float]]:
    return [
        {
            "epoch": e,
            "loss": 3.0 - e,
            **{f"val_{name}/mae": 2.5 - 0.5 * e for name in names},
            **{f"{name}/mae": 2.25 - 0.5 * e for name in names},
        }
        for e in EPOCHS
    ]


def skill_records(names: list[str]) -> list[dict[str, Any]]:
    return [
        {"task": name, "metric": name, "skill": 0.625, "low": 0.5, "high": 0.75, "baseline": 0.375}
        for name in names
    ]


LAYERS = [
    {"name": "trunk", "kind": "Dense", "tasks": [0, 1], "parameters": 640, "inputs": []},
    {"name": "a", "kind": "Dense", "tasks": [0], "parameters": 8, "inputs": ["trunk"]},
    {"name": "b", "kind": "Dense", "tasks": [1], "parameters": 24, "inputs": ["trunk"]},
]


def network_layers(count: int) -> list[dict[str, Any]]:
    """Return a trunk for all tasks and a head for each."""
    trunk = LAYERS[0] | {"tasks": list(range(count))}
    heads = [LAYERS[1] | {"name": f"head {i}", "tasks": [i]} for i in range(count)]
    return [trunk, *heads]


def square(count: int) -> list[list[float]]:
    return [[1.0 if i == j else 0.375 for j in range(count)] for i in range(count)]


Draw = Callable[[list[str]], Any]
CHARTS: dict[str, tuple[Draw, list[float]]] = {
    "bars": (
        lambda n: plots.bars(n, [0.125] * len(n), title=n[0], x_title=n[0], what="task"),
        [0.125],
    ),
    "comparison": (
        lambda n: plots.comparison(
            [{"name": name, "difference": 0.25, "low": 0.125, "high": 0.5} for name in n],
            title=n[0],
            x_title=n[0],
        ),
        [0.25, 0.125, 0.5],
    ),
    "coverage": (lambda n: plots.coverage([0.25, 0.75], [0.5, 0.875], task=n[0]), [0.5, 0.875]),
    "gains": (
        lambda n: plots.gains([0.25, 1.0], {name: [0.375, 1.0] for name in n}, chosen=0.125),
        [0.25, 0.375, 0.125],
    ),
    "gradient_cosines": (
        lambda n: plots.gradient_cosines([*n, "another"], square(len(n) + 1)),
        [0.375],
    ),
    "gradient_shares": (
        lambda n: plots.gradient_shares([3, 4], {name: [0.25, 0.5] for name in n}),
        [3, 4, 0.25, 0.5],
    ),
    "histogram": (
        lambda n: plots.histogram([0.25, 0.5, 0.75], [3, 9], title=n[0], x_title=n[0]),
        [0.25, 0.5, 0.75, 3, 9],
    ),
    "joint_score": (lambda n: plots.joint_score([5, 6], [0.25, 0.75], title=n[0]), [5, 0.75]),
    "lift": (
        lambda n: plots.lift([0.25, 1.0], {name: [0.75, 1.0] for name in n}, task=n[0]),
        [3.0],
    ),
    "matrix": (
        lambda n: plots.matrix(n, square(len(n)), title=n[0], value=n[0], diagonal=True),
        [0.375],
    ),
    "network": (lambda n: plots.network(network_layers(len(n)), n, title=n[0]), [640, 8]),
    "pareto": (
        lambda n: plots.pareto(
            {name: [0.25, 0.5, 0.375] for name in [*n, "another"]}, epochs=[7, 8, 9], chosen=8
        ),
        [0.25, 0.5, 7, 8, 9],
    ),
    "partial_dependence": (
        lambda n: plots.partial_dependence([1, 12], {"yes": [0.25, 0.5]}, task=n[0], column=n[0]),
        [1, 12, 0.25, 0.5],
    ),
    "precision_recall": (
        lambda n: plots.precision_recall([1, 0.5], [0.25, 0.75], [0, 1], chosen=0.5, task=n[0]),
        [1, 0.5, 0.25, 0.75],
    ),
    "residual_bands": (
        lambda n: plots.residual_bands([5, 6], [-2, -3], [0.5, 1], [2, 4], task=n[0], unit=n[0]),
        [5, 6, -3, 0.5, 4],
    ),
    "residuals": (
        lambda n: plots.residuals([-2, 0, 2], [40, 60], task=n[0], unit=n[0]),
        [-2, 2, 40, 60],
    ),
    "roc": (
        lambda n: plots.roc([0, 0.25, 1], [0, 0.75, 1], [1, 0.5, 0], chosen=0.4, task=n[0]),
        [0.25, 0.75, 0.5],
    ),
    "similarity": (lambda n: plots.similarity(n, square(len(n)), title=n[0]), [0.375]),
    "sweep": (
        lambda n: plots.sweep(
            [{"setting": s, "task": t, "value": 0.625} for s in n for t in n[:2]], title=n[0]
        ),
        [0.625],
    ),
    "confusion": (
        lambda n: plots.confusion(n, [[7] * len(n)] * len(n), task=n[0]),
        [7],
    ),
    "history": (
        lambda n: plots.history(history_rows(n), tasks=n, metric="mae", chosen=2, unit=n[0]),
        [2.5, 2.25, 1.0],
    ),
    "importance": (
        lambda n: plots.importance(n, [0.25] * len(n), [0.125] * len(n), task=n[0], metric=n[0]),
        [0.25, 0.125, 0.375],
    ),
    "lines": (
        lambda n: plots.lines(
            {name: [0.5, 4.5] for name in n}, [1, 9], title=n[0], x_title=n[0], y_title=n[0]
        ),
        [0.5, 4.5, 1, 9],
    ),
    "reliability": (
        lambda n: plots.reliability(
            [0.25, 0.75], [0.125, 0.875], [40, 60], low=[0.1, 0.8], high=[0.2, 0.9], task=n[0]
        ),
        [0.25, 0.75, 0.125, 0.875, 40, 60, 0.1, 0.9],
    ),
    "skills": (lambda n: plots.skills(skill_records(n), baseline=n[0]), [0.625, 0.5, 0.75, 0.375]),
    "threshold": (
        lambda n: plots.threshold([0.25, 0.75], {name: [0.5, 1.0] for name in n}, chosen=0.375),
        [0.25, 0.75, 0.5, 1.0, 0.375],
    ),
}
"""Public function -> a chart of some names, and numbers that its data must hold."""

NOT_CHARTS = {"config", "save", "specification", "task_colours", "themed"}

EMPTY: dict[str, Callable[[], Any]] = {
    "bars": lambda: plots.bars([], [], title="t", x_title="x"),
    "comparison": lambda: plots.comparison(
        [{"name": "a", "difference": math.nan}], title="t", x_title="x"
    ),
    "confusion": lambda: plots.confusion(["a", "b"], [[0, 0], [0, 0]]),
    "coverage": lambda: plots.coverage([], []),
    "gains": lambda: plots.gains([], {}),
    "gradient_cosines": lambda: plots.gradient_cosines(["a"], [[1.0]]),
    "gradient_shares": lambda: plots.gradient_shares([0], {"a": [math.nan]}),
    "histogram": lambda: plots.histogram([0, 1], [0], title="t", x_title="x"),
    "joint_score": lambda: plots.joint_score([0], [None]),
    "lift": lambda: plots.lift([], {}),
    "matrix": lambda: plots.matrix([], [], title="t", value="v"),
    "network": lambda: plots.network([], []),
    "pareto": lambda: plots.pareto({"a": [math.nan], "b": [1.0]}),
    "partial_dependence": lambda: plots.partial_dependence([], {}),
    "precision_recall": lambda: plots.precision_recall([], [], []),
    "residual_bands": lambda: plots.residual_bands([1], [None], [None], [None]),
    "residuals": lambda: plots.residuals([], []),
    "roc": lambda: plots.roc([math.nan], [1.0], [0.5]),
    "similarity": lambda: plots.similarity(["a"], [[math.nan]]),
    "sweep": lambda: plots.sweep([]),
    "history": lambda: plots.history([]),
    "importance": lambda: plots.importance(["a"], [math.nan]),
    "lines": lambda: plots.lines({"a": [math.nan, math.inf]}, [0, 1], title="t"),
    "reliability": lambda: plots.reliability([], [], []),
    "skills": lambda: plots.skills([{"task": "a", "value": 1, "trivial": 1, "ideal": 1}]),
    "threshold": lambda: plots.threshold([], {}),
}
"""Public function -> a chart of nothing."""


def nodes(part: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a specification with the key that it stands under."""
    yield key, part
    if isinstance(part, dict):
        for name, value in part.items():
            yield from nodes(value, name)
    elif isinstance(part, list):
        for value in part:
            yield from nodes(value, key)


def values_of(spec: Any) -> list[dict[str, Any]]:
    """Return the records of all data of a specification."""
    return [
        record
        for key, part in nodes(spec)
        if key == "data" and isinstance(part, dict)
        for record in part.get("values", [])
    ]


def test_every_public_chart_is_in_these_tests() -> None:
    assert set(plots.__all__) - NOT_CHARTS == set(CHARTS) == set(EMPTY)


@pytest.mark.parametrize("name", CHARTS)
def test_the_data_of_a_chart_are_the_numbers_given(name: str) -> None:
    draw, expected = CHARTS[name]
    records = values_of(draw(["one", "two"]).to_dict())
    held = {value for record in records for value in record.values() if not isinstance(value, str)}
    assert set(expected) <= held


@pytest.mark.parametrize("count", [1, 200])
@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_is_complete_and_compiles(name: str, count: int, capfd: Any) -> None:
    spec = CHARTS[name][0]([f"name {i}" for i in range(count)]).to_dict()
    assert spec["title"]
    assert len(spec["description"]) > 30
    assert any(character.isdigit() for character in spec["description"])
    assert spec["width"] == "container"
    assert any(key == "tooltip" and part for key, part in nodes(spec))
    titles = [part for key, part in nodes(spec) if key in ("x", "y") and isinstance(part, dict)]
    assert name in ("network",) or any(part.get("title") for part in titles)
    assert len(json.dumps(spec)) < 350_000
    assert len(values_of(spec)) < 2500
    vl_convert.vegalite_to_vega(spec)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", CHARTS)
def test_names_reach_no_expression_and_no_field(name: str) -> None:
    spec = CHARTS[name][0](HOSTILE).to_dict()
    assert "MARK" in json.dumps(values_of(spec)) + json.dumps(spec["title"])
    fields = {part for key, part in nodes(spec) if key == "field" and isinstance(part, str)}
    assert all(field.isidentifier() for field in fields)
    compiled = vl_convert.vegalite_to_vega(spec)
    keys = {"signal", "expr", "test", "update", "as", "field", "groupby", "init"}
    code = [part for key, part in nodes(compiled) if key in keys and isinstance(part, str)]
    assert code
    assert [part for part in code if "MARK" in part] == []


@pytest.mark.parametrize("name", EMPTY)
def test_a_chart_of_nothing_is_a_sentence(name: str) -> None:
    spec = EMPTY[name]().to_dict()
    words = " ".join(record["words"] for record in values_of(spec))
    assert words.endswith(".")
    assert words in spec["description"]
    vl_convert.vegalite_to_vega(spec)


def test_numbers_that_are_not_finite_are_gaps() -> None:
    chart = plots.lines({"a": [math.nan, 1.0, math.inf, 2.0]}, EPOCHS, title="t")
    assert [one["value"] for one in values_of(chart.to_dict())] == [None, 1.0, None, 2.0]


def test_history_draws_training_and_validation_in_one_colour() -> None:
    records = values_of(plots.history(history_rows(["a"]), tasks=["a"], metric="mae").to_dict())
    by_part = {
        part: [r["value"] for r in records if r["part"] == part]
        for part in ("training", "validation")
    }
    assert by_part == {"training": [2.25, 1.75, 1.25, 0.75], "validation": [2.5, 2.0, 1.5, 1.0]}


def test_history_names_the_metrics_that_are_there() -> None:
    with pytest.raises(UnknownName, match="known: 'mae'"):
        plots.history(history_rows(["a"]), tasks=["a"], metric="rmse")


def test_skills_of_an_error_go_from_trivial_to_ideal() -> None:
    record = {"task": "a", "value": 2.0, "low": 1.0, "high": 3.0, "trivial": 4.0, "ideal": 0.0}
    found = next(r for r in values_of(plots.skills([record]).to_dict()) if "skill" in r)
    assert (found["skill"], found["low"], found["high"]) == (0.5, 0.25, 0.75)


def test_of_many_tasks_the_best_and_the_worst_are_shown() -> None:
    records = [{"task": f"t{i}", "skill": i / 200} for i in range(200)]
    found = [r for r in values_of(plots.skills(records).to_dict()) if "task" in r]
    shown = {record["task"] for record in found if record["shown"]}
    assert len(found) == 200
    assert shown == {f"t{i}" for i in (*range(20), *range(180, 200))}


def test_regions_are_layers_of_the_same_tasks() -> None:
    layers = [
        LAYERS[0] | {"name": "first"},
        LAYERS[0] | {"inputs": ["first"]},
        *LAYERS[1:],
        LAYERS[1] | {"name": "last", "inputs": ["a"]},
    ]
    spec = plots.network(layers, ["churn", "revenue"]).to_dict()
    boxes = {r["layers"]: r for r in values_of(spec) if "layers" in r}
    assert {name: box["parameters"] for name, box in boxes.items()} == {
        "first, trunk": 1280,
        "a, last": 16,
        "b": 24,
    }
    assert boxes["first, trunk"]["left"] < boxes["b"]["left"] == boxes["a, last"]["left"]
    assert boxes["b"]["colour"] == plots.task_colours(["churn", "revenue"])["revenue"]
    with pytest.raises(InputError, match="takes 'nowhere', which is not a layer before it"):
        plots.network([LAYERS[0] | {"inputs": ["nowhere"]}], ["churn", "revenue"])


def test_the_pareto_set_is_what_no_epoch_beats() -> None:
    skills = {"a": [0.1, 0.5, 0.4, 0.5], "b": [0.9, 0.2, 0.5, 0.1]}
    records = [r for r in values_of(plots.pareto(skills).to_dict()) if r["kind"] == "Pareto set"]
    assert {record["epoch"] for record in records} == {0, 1, 2}
    with pytest.raises(InputError, match="given 1 task: give two or more"):
        plots.pareto({"a": [0.1]})


def test_a_difference_is_one_where_its_interval_is_off_zero() -> None:
    rows = [("up", 0.1, 0.3), ("none", -0.1, 0.3), ("down", -0.3, -0.1)]
    records = [{"name": n, "difference": (a + b) / 2, "low": a, "high": b} for n, a, b in rows]
    for higher, sides in ((True, ("better", "worse")), (False, ("worse", "better"))):
        chart = plots.comparison(records, title="t", x_title="x", higher_is_better=higher)
        found = {r["name"]: r["side"] for r in values_of(chart.to_dict()) if "name" in r}
        assert (found["up"], found["down"]) == sides
        assert found["none"] == "no difference seen"


def test_lift_is_found_by_looked_at() -> None:
    records = values_of(plots.lift([0.0, 0.25, 1.0], {"p": [0.0, 0.5, 1.0]}).to_dict())
    assert [r["value"] for r in records if r["name"] == "p"] == [None, 2.0, 1.0]


def test_a_long_history_is_thinned_and_keeps_its_ends_and_its_choice() -> None:
    rows = [{"epoch": e, "loss": float(e)} for e in range(30_001)]
    spec = plots.history(rows, chosen=12_345).to_dict()
    places = [record["x"] for record in values_of(spec) if "x" in record]
    assert len(places) <= 2001
    assert {0, 12_345, 30_000} <= set(places)
    assert "of 30,001 places" in " ".join(spec["title"]["subtitle"])


def test_a_task_has_one_colour_in_every_chart() -> None:
    colours = plots.task_colours([f"t{i}" for i in range(10)])
    assert colours["t0"] == colours["t8"] != colours["t1"]
    for chart in (
        plots.skills(skill_records(["t3"]), colours=colours),
        plots.history(history_rows(["t3"]), tasks=["t3"], metric="mae", colours=colours),
    ):
        scales = [part for key, part in nodes(chart.to_dict()) if key == "scale" and part]
        assert {"domain": ["t3"], "range": [colours["t3"]]} in scales
    with pytest.raises(InputError, match="lack the task 'other'"):
        plots.skills(skill_records(["other"]), colours=colours)


def test_colours_are_seen_on_both_papers() -> None:
    papers = [plots.config(theme, paper=True)["background"] for theme in ("light", "dark")]
    for colour in plots.task_colours("abcdefgh").values():
        for paper in papers:
            assert contrast(colour, paper) >= 3
    for theme in ("light", "dark"):
        made = plots.config(theme, paper=True)
        for words in (made["axis"]["labelColor"], made["axis"]["titleColor"]):
            assert contrast(words, made["background"]) >= 4.5


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG 2 defines it."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(f * c for f, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_chart_is_saved_in_each_format(theme: str, tmp_path: Path) -> None:
    chart = CHARTS["skills"][0](["churn"])
    starts = {"svg": b"<svg", "png": b"\x89PNG", "html": b"<!DOCTYPE html>", "json": b"{"}
    for ending, start in starts.items():
        path = plots.save(chart, tmp_path / f"a.{ending}", theme_name=theme)
        assert path.read_bytes().lstrip().startswith(start)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<script src=" not in page
    paper = plots.config(theme, paper=True)["background"]
    assert json.loads((tmp_path / "a.json").read_text())["config"]["background"] == paper
    assert paper in (tmp_path / "a.svg").read_text()


def test_a_chart_is_not_saved_under_an_unknown_ending(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"end the name in \.svg, \.png, \.html or \.json"):
        plots.save(CHARTS["skills"][0](["churn"]), tmp_path / "a.pdf")
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    chart = CHARTS["skills"][0](["churn"])
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    with pytest.raises(MissingExtra, match=r"polycera\[report\]"):
        plots.save(chart, tmp_path / "a.svg")
    monkeypatch.setitem(sys.modules, "altair", None)
    with pytest.raises(MissingExtra, match=r"altair: pip install 'polycera\[report\]'"):
        plots.skills(skill_records(["churn"]))


def test_bad_input_is_one_sentence() -> None:
    with pytest.raises(InputError, match=r"given 2 predicted, 1 observed, 2 rows"):
        plots.reliability([0.1, 0.2], [0.1], [1, 2])
    with pytest.raises(InputError, match=r"'many' in place of a number"):
        plots.lines({"a": ["many"]}, [0], title="t")
    with pytest.raises(InputError, match=r"2 classes was given 1 rows and 2 columns"):
        plots.confusion(["a", "b"], [[1, 2]])
    with pytest.raises(UnknownName, match="'light', 'dark'"):
        plots.config("grey")
