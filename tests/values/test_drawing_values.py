"""Pictures whose every number is known, files, and what is refused."""

from __future__ import annotations

import re
import struct
import sys
import xml.etree.ElementTree as ET
import zlib
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fresh import python

from polycera import drawing
from polycera.drawing import boxes as boxing
from polycera.drawing import numerals, ramp, style
from polycera.drawing.picture import MARGIN
from polycera.errors import InputError, MissingExtra, PolyceraError, UnknownName
from polycera.runs.results import Amount, Cost, Layer, Reliability, Sharing

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def _all(made: drawing.Picture, kind: str) -> list[ET.Element]:
    return [each for each in ET.fromstring(made.fragment("a")).iter() if each.tag == kind]


def _points(path: str) -> list[tuple[float, float]]:
    found = [float(number) for number in re.findall(r"-?[\d.]+", path)]
    return [*zip(found[::2], found[1::2], strict=True)]


def _plot(made: drawing.Picture) -> ET.Element:
    return next(each for each in _all(made, "svg") if each.get("class") == "pc-plot")


def _network(tasks: list[str], layers: list[tuple[str, list[int], list[str]]]) -> Sharing:
    made = [Layer(name, "Dense", held, 10, [4], inputs) for name, held, inputs in layers]
    amount, cost = Amount(10, 0, 20), Cost(30)
    return Sharing(tasks, made, amount, cost, cost, "This is one network.")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (0.0, "0"),
        (-0.0, "0"),
        (1e-7, "1e-7"),
        (-1.5e-7, "−1.5e-7"),
        (12_000_000, "12 000 000"),
        (0.1 + 0.2, "0.3"),
        (0.123456, "0.1235"),
        (12345.678, "12 346"),
        (-999.96, "−1 000"),
        (1e9, "1e9"),
        (123456789.0, "123 456 789"),
        (1.23456e12, "1.235e12"),
        (0.0001, "0.0001"),
        (float("nan"), "–"),
        (None, "–"),
        (float("-inf"), "−∞"),
    ],
)
def test_numbers_are_short(value: float | None, said: str) -> None:
    assert numerals.short(value) == said.replace(" ", "\u202f")


def test_a_line_goes_through_its_points() -> None:
    made = drawing.lines(
        {"churn": [0.0, 0.5, None, 1.0, 0.25]}, title="Skill", x=[0, 10, 20, 30, 40]
    )
    plot, (path,) = (
        _plot(made),
        [each for each in _all(made, "path") if each.get("class") == "pc-line"],
    )
    assert (plot.get("data-x"), plot.get("data-y")) == ("0.0 40.0", "0.0 1.0")
    wide, high = float(plot.get("width", 0)) - 10, float(plot.get("height", 0)) - 10
    expected = [(0, high), (wide / 4, high / 2), (wide * 3 / 4, 0), (wide, high * 3 / 4)]
    assert np.allclose(_points(path.get("d", "")), expected, atol=0.06)
    assert path.get("d", "").count("M") == 2  # the gap
    assert made.numbers == [
        ["place", "churn"],
        ["0", "0"],
        ["10", "0.5"],
        ["20", "–"],
        ["30", "1"],
        ["40", "0.25"],
    ]
    assert (
        made.summary
        == "1 line: \u2068churn\u2069; \u2068churn\u2069 goes from 0 to 0.25, lowest 0, highest 1."
    )


def test_equal_ratios_are_equal_distances_on_a_logarithmic_axis() -> None:
    made = drawing.lines({"loss": [100.0, 10.0, 1.0, 0.0]}, title="Loss", log=True)
    (path,) = [each for each in _all(made, "path") if each.get("class") == "pc-line"]
    ys = [y for _, y in _points(path.get("d", ""))]
    assert len(ys) == 3 and ys[1] - ys[0] == pytest.approx(ys[2] - ys[1], abs=0.11)


def test_a_thousand_points_are_a_short_line_and_a_point_alone_is_a_dot() -> None:
    made = drawing.lines({"a": [float(i % 7) for i in range(1000)], "b": [None, 3.0]}, title="t")
    (path,) = [each for each in _all(made, "path") if each.get("class") == "pc-line"]
    assert 200 < len(_points(path.get("d", ""))) <= 240
    assert len(_all(made, "circle")) == 1
    assert (
        len(made.numbers) == 400 and made.numbers[-1][0] == "… 602 rows between these are left out"
    )


def test_of_200_lines_12_have_names_and_the_others_are_counted() -> None:
    made = drawing.lines({f"label_{i}": [i, i + 1.0] for i in range(200)}, title="t")
    assert sum(each.get("class") == "pc-faint" for each in _all(made, "path")) == 188
    assert "188 more lines are grey" in made.fragment("a")
    assert made.numbers[200] == ["label_199", "199", "200", "199", "200"]


def test_bars_start_at_0_and_end_at_their_numbers() -> None:
    made = drawing.bars(
        {"a": 0.5, "b": -0.25, "c": None}, title="t", errors={"a": 0.1}, low=-0.5, high=0.5
    )
    wide = float(_plot(made).get("width", 0)) - 10
    boxes = [(float(each.get("x", 0)), float(each.get("width", 0))) for each in _all(made, "rect")]
    assert np.allclose(boxes, [(wide / 2, wide / 2), (wide / 4, wide / 4)], atol=0.1)
    assert made.numbers == [
        ["name", "value", "±"],
        ["a", "0.5", "0.1"],
        ["b", "−0.25", "–"],
        ["c", "–", "–"],
    ]


def test_shares_add_up_to_1() -> None:
    made = drawing.stacked({"a": [1.0, None, 3.0], "b": [1.0, None, 1.0]}, title="t")
    assert made.numbers[1:] == [["1", "0.5", "0.5"], ["2", "–", "–"], ["3", "0.75", "0.25"]]
    areas = [
        _points(each.get("d", ""))
        for each in _all(made, "path")
        if "pc-part" in each.get("class", "")
    ]
    high = float(_plot(made).get("height", 0)) - 10
    assert min(y for _, y in areas[1]) == 0 and max(y for _, y in areas[0]) == high
    many = drawing.stacked({f"t{i}": [1.0 + i] for i in range(20)}, title="t")
    assert many.numbers[0][-1] == "9 others" and float(many.numbers[1][-1]) == pytest.approx(
        45 / 210, rel=1e-4
    )


def test_cells_have_the_colours_of_their_numbers() -> None:
    made = drawing.heat(
        [[-1.0, 0.0], [None, 1.0]],
        ["a", "b"],
        ["c", "d"],
        title="t",
        low=-1,
        high=1,
        diverging=True,
    )
    fills = [each.get("fill") for each in _all(made, "rect") if "pc-part" in each.get("class", "")]
    ends = [ramp.code(colour) for colour in ramp.colours(np.array([0.0, 0.5, 1.0]), True)]
    assert fills == [ends[0], ends[1], None, ends[2]]
    written = [
        each.text for each in _all(made, "text") if each.get("class", "").startswith("pc-small")
    ]
    assert written == ["−1", "0", "1"]


def test_large_tables_are_one_image_with_a_pixel_for_each_number() -> None:
    values = np.linspace(0, 1, 50 * 60).reshape(50, 60)
    names = [str(i) for i in range(60)]
    made = drawing.heat(
        [[None, *row[1:]] for row in values.tolist()], names[:50], names, title="t", low=0, high=1
    )
    (image,) = _all(made, "image")
    held = b64decode(image.get("href", "").partition(",")[2])
    assert struct.unpack(">II", held[16:24]) == (60, 50)
    start = held.index(b"IDAT")
    rows = zlib.decompress(
        held[start + 4 : start + 4 + struct.unpack(">I", held[start - 4 : start])[0]]
    )
    levels = np.frombuffer(rows, "uint8").reshape(50, 61)[:, 1:]
    assert (levels[:, 0] == 0).all()  # undefined: clear
    assert np.allclose((levels[:, 1:] - 1.0) / 254, values[:, 1:], atol=0.002)


def test_histograms_reliability_and_forests_say_their_numbers() -> None:
    found = drawing.histogram([0, 1, 2], [1000, 1], title="t", x_label="EUR")
    assert [float(each.get("height", 0)) for each in _all(found, "rect")] == [200.0, 1.0]
    found = drawing.reliability(Reliability([0.25, 0.5], [0.5, 0.5], [10, 30], 0.0625), title="t")
    assert "0.0625" in found.summary and "0.25 predicted, 0.5 observed" in found.summary
    found = drawing.forest(
        ["a", "b", "c"], [1, 0, None], [0.5, -1, None], [1.5, 1, None], title="t", x_label="x"
    )
    assert found.summary == "3 rows: 1 above 0, 0 below, 1 with it in the interval."
    assert [each.get("class") for each in _all(found, "circle")] == ["pc-fill", "pc-hollow"]


def test_the_chosen_point_has_a_ring_and_each_point_its_place() -> None:
    made = drawing.scatter(
        [(0, 0), (1, 1), (None, 1)], title="t", x_label="x", y_label="y", chosen=1, diagonal=True
    )
    ring = next(each for each in _all(made, "circle") if each.get("class") == "pc-chosen")
    assert (ring.get("cx"), ring.get("cy")) == ("320", "0")
    assert [each.get("data-i") for each in _all(made, "g") if each.get("data-i")] == ["0", "1"]


def test_a_network_shows_layers_tasks_and_lines() -> None:
    layers = [
        ("in", [0, 1], []),
        ("trunk", [0, 1], ["in"]),
        ("a", [0], ["trunk"]),
        ("b", [1], ["trunk"]),
    ]
    made = drawing.network(_network(["churn", "revenue"], layers))
    said = [each.text for each in _all(made, "text")]
    assert {"in", "trunk", "churn", "revenue", "for both tasks", "for churn", "for revenue"} <= {
        *said
    }
    # arrows: 3 layers, 2 tasks
    assert sum(each.get("class") == "pc-fill-axis" for each in _all(made, "path")) == 5
    assert made.numbers[3] == ["a", "Dense", "10", "4", "for churn"]


def test_200_towers_and_60_layers_are_a_few_boxes() -> None:
    towers = [
        (f"{part}_{i}", [i], [f"in_{i}"] if part == "out" else [])
        for part in ("in", "out")
        for i in range(200)
    ]
    made = boxing.boxes(_network([f"t{i}" for i in range(200)], towers))
    assert [len(box.layers) for box in made] == [200, 200] and all(box.twins for box in made)
    assert "200 tasks" in drawing.network(_network([f"t{i}" for i in range(200)], towers)).fragment(
        "a"
    )
    chain = [(f"d{i}", [0], [f"d{j}" for j in (i - 1, i - 3) if j >= 0]) for i in range(60)]
    made = boxing.boxes(_network(["t"], chain))
    assert [len(box.layers) for box in made] == [1, 1, 56, 1, 1]
    assert "… 56 layers" in drawing.network(_network(["t"], chain)).fragment("a")


def test_a_network_that_nobody_could_follow_is_a_few_slices() -> None:
    rng = np.random.default_rng(0)
    layers = [
        (
            f"l{i}",
            [i % 7, 7 + i % 11],
            [f"l{j}" for j in rng.integers(max(i - 9, 0), i, 3 * (i > 0))],
        )
        for i in range(300)
    ]
    found = _network([f"t{i}" for i in range(18)], layers)
    made = boxing.boxes(found)
    assert len(made) <= boxing.SLICES and sum(len(box.layers) for box in made) == 300
    assert len(drawing.network(found).page()) < 30_000


def test_a_layer_that_is_called_twice_is_drawn_once() -> None:
    layers = [
        ("in", [0], []),
        ("twice", [0], ["in", "twice", "between"]),
        ("between", [0], ["twice"]),
    ]
    found = _network(["t"], layers)
    assert [box.inputs for box in boxing.boxes(found)] == [(), (0,), (1,)]
    assert "between" in drawing.network(found).fragment("a")


def test_ids_are_unique_for_each_picture_of_a_page() -> None:
    made = drawing.lines({"a": [1, 2]}, title="t")
    ids = [re.findall(r' id="([^"]*)"', made.fragment(id)) for id in ("one", 't"w<o')]
    assert ids == [["one-title", "one-desc"], ["t&quot;w&lt;o-title", "t&quot;w&lt;o-desc"]]
    assert 'aria-labelledby="one-title one-desc"' in made.fragment("one")


def test_colours_are_told_from_the_ground() -> None:
    for colours in (style.LIGHT, style.DARK):
        light = {name: _luminance(colour) for name, colour in colours.items()}
        assert all(_contrast(light[f"c{i}"], light["paper"]) >= 3 for i in range(style.COLOURS))
        assert _contrast(light["text"], light["paper"]) >= 7
        assert all(_contrast(light["mute"], light[ground]) >= 4.5 for ground in ("paper", "soft"))
    assert "var(" not in style.PLAIN and "prefers-color-scheme:dark" in drawing.STYLE


def _luminance(colour: str) -> float:
    return float(ramp.luminance(np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])))


def _contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


def test_files_are_svg_or_png(tmp_path: Path) -> None:
    pytest.importorskip("resvg_py")
    made = drawing.lines({"<script>": [1, 2], "b\x00": [2, 1]}, title="t & t")
    made.write(tmp_path / "picture.svg")
    assert ET.parse(tmp_path / "picture.svg").getroot().tag == "{http://www.w3.org/2000/svg}svg"
    made.write(str(tmp_path / "picture.PNG"))
    held = (tmp_path / "picture.PNG").read_bytes()
    assert held[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", held[16:24]) == (
        2 * (made.width + 2 * MARGIN),
        2 * (made.height + 2 * MARGIN),
    )
    with pytest.raises(InputError, match=r"end the name in \.svg or \.png"):
        made.write(tmp_path / "picture.pdf")
    with pytest.raises(PolyceraError, match="Cannot write"):
        made.write(tmp_path / "nowhere" / "picture.svg")


def test_a_missing_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(
        MissingExtra, match=r"A picture as PNG needs resvg-py: pip install 'polycera\[png\]'"
    ):
        drawing.lines({"a": [1]}, title="t").write(tmp_path / "a.png")
    assert not [*tmp_path.iterdir()]


def test_the_room_is_light() -> None:
    code = """
import sys, types
from pathlib import Path
import importlib.util
bare = types.ModuleType("polycera")
bare.__path__ = [
    str(Path(path) / "polycera") for path in sys.path if (Path(path) / "polycera").is_dir()
]
sys.modules["polycera"] = bare
import polycera.drawing
print(*{name.split(".")[0] for name in sys.modules})
"""
    heavy = {
        "keras",
        "jax",
        "torch",
        "tensorflow",
        "pandas",
        "polars",
        "pyarrow",
        "scipy",
        "resvg_py",
        "matplotlib",
    }
    assert not heavy & set(python(code).split())


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "text": (
        lambda: drawing.lines({"a": ["x"]}, title="t"),
        "The series 'a' holds what is no number",
    ),
    "table": (lambda: drawing.lines({"a": [[1.0]]}, title="t"), "2 dimensions"),
    "places": (lambda: drawing.lines({"a": [1, 2]}, x=[1], title="t"), "2 numbers for 1 places"),
    "place": (lambda: drawing.lines({"a": [1]}, x=[None], title="t"), "no finite number"),
    "ends": (lambda: drawing.lines({"a": [1]}, low=2, high=1, title="t"), "cannot go from 2 to 1"),
    "end": (lambda: drawing.lines({"a": [1]}, low=float("nan"), title="t"), "has no end"),
    "log": (lambda: drawing.lines({"a": [1]}, low=0, log=True, title="t"), "give positive ends"),
    "dashed": (
        lambda: drawing.lines({"churn": [1]}, dashed=["chrun"], title="t"),
        "did you mean 'churn'",
    ),
    "errors": (
        lambda: drawing.bars({"churn": 1}, errors={"chrun": 1}, title="t"),
        "did you mean 'churn'",
    ),
    "share": (lambda: drawing.stacked({"a": [-1]}, title="t"), "an amount below 0"),
    "cells": (
        lambda: drawing.heat([[1]], ["a"], ["b", "c"], title="t", low=0, high=1),
        "one number for each cell",
    ),
    "scale": (
        lambda: drawing.heat([[1]], ["a"], ["b"], title="t", low=1, high=1),
        "the lower one first",
    ),
    "names": (
        lambda: drawing.scatter([(1, 1)], names=["a", "b"], title="t", x_label="", y_label=""),
        "2 names for 1",
    ),
    "chosen": (
        lambda: drawing.scatter([(1, 1)], chosen=1, title="t", x_label="", y_label=""),
        "no point 1",
    ),
    "edges": (
        lambda: drawing.histogram([0, 1], [1, 2], title="t", x_label=""),
        "one edge more than bins",
    ),
    "order": (lambda: drawing.histogram([1, 0], [1], title="t", x_label=""), "do not ascend"),
    "rows": (
        lambda: drawing.forest(["a"], [1, 2], [1], [1], title="t", x_label=""),
        "1 names and 2, 1, 1",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_clear_sentence(case: str) -> None:
    make, words = REFUSED[case]
    with pytest.raises(InputError, match=re.escape(words)) as caught:
        make()
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)
    assert isinstance(caught.value, UnknownName) == (case in {"dashed", "errors"})


def test_nothing_is_said_to_be_nothing() -> None:
    empty = [
        drawing.lines({}, title="t"),
        drawing.lines({"a": [None, float("nan"), float("inf")]}, title="t"),
        drawing.bars({}, title="t"),
        drawing.bars({"a": None}, title="t"),
        drawing.stacked({"a": [0.0]}, title="t"),
        drawing.heat([], [], [], title="t", low=0, high=1),
        drawing.scatter([(None, 1.0)], title="t", x_label="", y_label=""),
        drawing.histogram([0.0], [], title="t", x_label=""),
        drawing.reliability(Reliability([], [], [], None), title="t"),
        drawing.forest([], [], [], [], title="t", x_label=""),
        drawing.network(_network([], [])),
    ]
    assert all(made.summary.startswith("Nothing to draw: ") for made in empty)
    assert all(made.summary in "".join(ET.fromstring(made.page()).itertext()) for made in empty)
