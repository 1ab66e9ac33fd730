"""What holds for each picture, whatever numbers and names it is made from."""

from __future__ import annotations

import itertools
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polycera import drawing
from polycera.drawing import boxes as boxing
from polycera.drawing import ends, lettering, numerals, ramp, table, thinning, ticks
from polycera.drawing import marks as marking
from polycera.drawing.axis import axis
from polycera.drawing.layout import Node, layout
from polycera.drawing.xml import plain
from polycera.runs.results import Amount, Cost, Layer, Reliability, Sharing

pytestmark = [
    pytest.mark.nobackend,
    pytest.mark.nokeras,
    pytest.mark.filterwarnings("error::RuntimeWarning"),
]

ELEMENTS = {"svg", "g", "path", "rect", "circle", "text", "title", "desc", "style", "image"}
HOSTILE = [
    "<script>alert(1)</script>",
    "\"'&<>]]>",
    "&lt;b&gt;",
    "x" * 300,
    "👩‍👩‍👧‍👦 family 👍🏽",
    "مرحبا بالعالم",
    "שלום\u202e evil",
    "a\x00b\x1b[31m\ud800\ufffe",
    "--><!--",
    "",
    " ",
    "</text></svg>",
    "\n\r\t",
    "é" * 40,
    "onload=alert(1)",
]
names = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=30))
numbers = st.one_of(
    st.none(),
    st.floats(),
    st.floats(-10, 10),
    st.sampled_from([0, 1, -0.0, 1e-7, 12_000_000, 10**9]),
)
finite = st.floats(-1e289, 1e289)


@st.composite
def sharings(draw: st.DrawFn, size: int = 25) -> Sharing:
    tasks = draw(st.lists(names, min_size=1, max_size=20))
    layers: list[Layer] = []
    for i in range(draw(st.integers(0, size))):
        inputs = draw(st.lists(st.sampled_from(layers), max_size=3)) if layers else []
        served = draw(st.sets(st.integers(0, len(tasks) - 1), max_size=len(tasks)))
        shape = draw(st.lists(st.one_of(st.none(), st.integers(0, 10**6)), max_size=3))
        weights = draw(st.integers(0, 10**10))
        name = draw(names) + f" {i}"
        layers.append(
            Layer(name, draw(names), sorted(served), weights, shape, [each.name for each in inputs])
        )
    amount, cost = Amount(1, 2, 3), Cost(6)
    return Sharing(tasks, layers, amount, cost, cost, draw(names))


def _lines(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    series = draw(st.dictionaries(names, st.lists(numbers, max_size=30), max_size=20))
    marks = draw(st.dictionaries(names, numbers, max_size=5))
    low, high = draw(st.sampled_from([(None, None), (0.5, None), (None, 3.0), (1.0, 2.0)]))
    words = {"title": draw(names), "x_label": draw(names), "y_label": draw(names)}
    made = drawing.lines(
        series,
        marks=marks,
        low=low,
        high=high,
        log=draw(st.booleans()),
        dashed=[*series][:2],
        **words,
    )
    return made, [words["title"], *(name for name in series if _drawn(made))]


def _bars(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    values = draw(st.dictionaries(names, numbers, max_size=20))
    errors = draw(
        st.one_of(st.none(), st.just({name: abs(value or 0) for name, value in values.items()}))
    )
    made = drawing.bars(
        values,
        title=draw(names),
        errors=errors,
        reference=draw(st.one_of(st.none(), st.floats(-9, 9))),
    )
    return made, [*values] if _drawn(made) else []


def _stacked(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    amounts = st.one_of(st.none(), st.floats(0, 1e290), st.floats(0, 1))
    series = draw(st.dictionaries(names, st.lists(amounts, max_size=20), max_size=12))
    made = drawing.stacked(series, title=draw(names), x_label=draw(names))
    return made, [*series] if _drawn(made) else []


def _heat(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    rows, columns = draw(st.lists(names, max_size=6)), draw(st.lists(names, max_size=6))
    values = [draw(st.lists(numbers, min_size=len(columns), max_size=len(columns))) for _ in rows]
    low, diverging = draw(st.sampled_from([-1.0, 0.0, 0.5])), draw(st.booleans())
    words = {"title": draw(names), "x_label": draw(names), "y_label": draw(names)}
    made = drawing.heat(values, rows, columns, low=low, high=1.0, diverging=diverging, **words)
    return made, [*rows, *columns] if _drawn(made) else []


def _scatter(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    points = draw(st.lists(st.tuples(numbers, numbers), max_size=20))
    called = draw(
        st.one_of(st.just([]), st.lists(names, min_size=len(points), max_size=len(points)))
    )
    chosen = draw(st.one_of(st.none(), st.integers(0, len(points) - 1))) if points else None
    flags = {
        "line": draw(st.booleans()),
        "diagonal": draw(st.booleans()),
        "connect": [*range(0, len(points), 2)],
    }
    words = {"title": draw(names), "x_label": draw(names), "y_label": draw(names)}
    return drawing.scatter(points, names=called, chosen=chosen, **flags, **words), [words["title"]]


def _histogram(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    edges = sorted(draw(st.lists(finite, min_size=1, max_size=10)))
    counts = draw(
        st.lists(st.integers(0, 10**12), min_size=len(edges) - 1, max_size=len(edges) - 1)
    )
    label = draw(names)
    made = drawing.histogram(edges, counts, title=draw(names), x_label=label)
    return made, [label] if _drawn(made) else []


def _reliability(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    part = st.floats(0, 1)
    bins = draw(st.lists(st.tuples(part, part, st.integers(0, 10**7)), max_size=15))
    found = Reliability(
        [b[0] for b in bins],
        [b[1] for b in bins],
        [b[2] for b in bins],
        draw(st.one_of(st.none(), part)),
    )
    title = draw(names)
    return drawing.reliability(found, title=title), [title]


def _forest(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    rows = draw(st.lists(st.tuples(names, numbers, numbers, numbers), max_size=12))
    parts: Any = [[row[i] for row in rows] for i in range(4)]
    made = drawing.forest(*parts, title=draw(names), x_label=draw(names))
    return made, parts[0] if _drawn(made) else []


def _network(draw: st.DrawFn) -> tuple[drawing.Picture, list[str]]:
    found = draw(sharings())
    made = drawing.network(found, title=draw(names))
    return made, found.tasks if len(found.tasks) <= 12 and found.layers else []


PICTURES = (_lines, _bars, _stacked, _heat, _scatter, _histogram, _reliability, _forest, _network)


def _drawn(made: drawing.Picture) -> bool:
    return not made.summary.startswith("Nothing to draw")


@pytest.mark.parametrize("make", PICTURES, ids=lambda make: make.__name__[1:])
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_pictures_are_well_formed_and_names_are_text(
    make: Callable[..., Any], data: st.DataObject
) -> None:
    made, shown = data.draw(st.composite(lambda draw: make(draw))())
    page, fragment = ET.fromstring(made.page()), ET.fromstring(made.fragment("one"))
    text = "\n".join(fragment.itertext())
    assert all(plain(name) in text for name in shown)
    for root in (page, fragment):
        assert {each.tag.split("}")[-1] for each in root.iter()} <= ELEMENTS
        assert not [name for each in root.iter() for name in each.attrib if name.startswith("on")]
        _check_numbers(root)
    assert len(made.numbers) <= table.ROWS and len({len(row) for row in made.numbers}) == 1
    assert "pc-" in drawing.STYLE and made.height > 0 and plain(made.summary) == made.summary != ""


def _check_numbers(root: ET.Element) -> None:
    """No coordinate is undefined or has more than five digits."""
    for each in root.iter():
        for name, value in each.attrib.items():
            if (
                name in {"x", "y", "cx", "cy", "r", "d", "width", "height", "transform", "viewBox"}
                and value != "100%"
            ):
                found = re.findall(r"[\d.]+|nan|inf|e[+-]?\d", value)
                assert not {"nan", "inf"} & {*found} and not re.search(r"\de[+-]?\d", value)
                assert all(len(number.replace(".", "").lstrip("0")) <= 5 for number in found), value


@settings(max_examples=15, deadline=None)
@given(data=st.data(), make=st.sampled_from(PICTURES))
def test_the_same_numbers_give_the_same_bytes(
    data: st.DataObject, make: Callable[..., Any]
) -> None:
    found = data.draw(sharings())
    assert drawing.network(found).page() == drawing.network(found).page()
    values = data.draw(st.lists(numbers, min_size=1))
    assert (
        drawing.lines({"a": values}, title="t").page()
        == drawing.lines({"a": list(values)}, title="t").page()
    )


@settings(max_examples=200, deadline=None)
@given(finite, finite, st.integers(2, 8), st.booleans())
def test_ticks_contain_the_range_and_say_what_they_are(
    a: float, b: float, count: int, whole: bool
) -> None:
    made = axis([np.array([a, b])], count=count, whole=whole)
    values = [tick.value for tick in made.ticks]
    assert values[0] <= min(a, b) and max(a, b) <= values[-1] and 2 <= len(values) <= 2 * count + 3
    assert [_read(tick.label) for tick in made.ticks] == values
    at = made.at(np.array(values))
    assert np.allclose(np.diff(at), 1 / (len(at) - 1), atol=1e-6) and at[0] == 0 and at[-1] == 1


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-290, 1e290), st.floats(1e-290, 1e290))
def test_logarithmic_ticks_contain_the_range(a: float, b: float) -> None:
    made = axis([np.array([a, b, np.nan])], log=True)
    values = [tick.value for tick in made.ticks]
    assert values[0] <= min(a, b) * (1 + 1e-12) and max(a, b) <= values[-1] * (1 + 1e-12)
    assert (
        values == sorted(set(values))
        and len(values) <= 9
        and [_read(tick.label) for tick in made.ticks] == values
    )


def _read(label: str) -> float:
    return float(label.replace("\u2212", "-").replace("\u202f", ""))


@settings(max_examples=200, deadline=None)
@given(st.floats(-1e307, 1e307), st.integers(2, 6))
def test_short_numbers_are_never_others(value: float, digits: int) -> None:
    said = _read(numerals.short(value, digits))
    assert said == pytest.approx(value, rel=0.51 * 10.0 ** (1 - digits), abs=0)
    if abs(value) < 1e9 and value == int(value):
        assert said == value


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.one_of(st.just(float("nan")), st.floats(-5, 5)), max_size=1500),
    st.sampled_from([24, 60, 240]),
)
def test_thinning_keeps_extremes_and_gaps(values: list[float], limit: int) -> None:
    found = np.array(values, "float64")
    kept = thinning.kept(found, limit)
    known = np.flatnonzero(~np.isnan(found))
    assert len(kept) <= limit and (np.diff(kept) > 0).all() and not np.isnan(found[kept]).any()
    if len(known):
        assert {kept[0], kept[-1]} == {known[0], known[-1]}
        assert found[kept].min() == found[known].min() and found[kept].max() == found[known].max()
    for piece in np.array_split(known, limit // 2 - 1) if len(known) <= limit else ():
        assert set(piece) <= set(kept)
    for run in thinning.runs(found, kept):
        assert not np.isnan(found[run[0] : run[-1] + 1]).any()


def test_thinning_keeps_the_extremes_of_each_stretch() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=1000)
    kept = thinning.kept(values, 240)
    for start in range(0, 1000, 9):  # 119 stretches of 9
        piece = values[start : start + 9]
        seen = values[kept[(kept >= start) & (kept < start + 9)]]
        assert seen.min() == piece.min() and seen.max() == piece.max()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=2, unique=True), st.booleans())
def test_colours_go_one_way_and_can_be_written_on(at: list[float], diverging: bool) -> None:
    places = np.sort(np.array(at))
    light = ramp.luminance(ramp.colours(places, diverging))
    if diverging:
        below, above = light[places <= 0.5], light[places >= 0.5]
        assert (np.diff(below) >= -2e-3).all() and (np.diff(above) <= 2e-3).all()
    else:
        assert (np.diff(light) <= 2e-3).all()
    for colour in ramp.colours(places, diverging):
        ink = 0.0 if ramp.ink(colour) == "#000000" else 1.0
        high, low = sorted([ink, float(ramp.luminance(colour))], reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5


@given(st.lists(st.one_of(st.floats(0, 240), st.sampled_from([0.0, 120.0, 240.0])), max_size=12))
def test_names_at_the_ends_do_not_touch_and_keep_their_order(wanted: list[float]) -> None:
    places = ends.spread(wanted, 0.0, 240.0)
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    found = [places[i] for i in order]
    assert all(b - a >= 15.0 - 1e-9 for a, b in itertools.pairwise(found))
    assert all(-1e-9 <= place <= 240.0 + 1e-9 for place in found)


@given(st.dictionaries(st.text("abc ", max_size=20), st.integers(0, 100), max_size=4))
def test_words_of_marks_do_not_touch(marks: dict[str, float]) -> None:
    found = marking.spots(marks, axis([], low=0.0, high=100.0), 400.0)
    assert {text for text, *_ in found} == {*marks}
    for i, (text, _, middle, lane) in enumerate(found):
        for said, _, other, its in found[:i]:
            apart = (lettering.width(text, 11) + lettering.width(said, 11)) / 2
            assert lane != its or abs(middle - other) >= apart


@given(names, st.floats(5, 300))
def test_shortened_text_fits(name: str, room: float) -> None:
    shown = lettering.fit(name, room)
    whole = plain(name)
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1].rstrip()))
    assert lettering.width(shown) <= room or len(shown) <= 2 or shown.count("\u200d")


@given(st.integers(0, 3000), st.integers(1, 300))
def test_tables_are_bounded_and_say_what_is_left_out(rows: int, columns: int) -> None:
    made = table.table(
        [str(i) for i in range(columns)], [[float(i)] * columns for i in range(rows)]
    )
    left = [int(row[0].split()[1]) for row in made if row[0].startswith("…")]
    assert len(made) <= 400 and len(made) * columns <= 6000 + 20 * columns
    assert len(made) - 1 - len(left) + sum(left) == rows


@settings(max_examples=30, deadline=None)
@given(sharings())
def test_each_layer_is_in_one_box_and_lines_lead_to_the_right(found: Sharing) -> None:
    drawn = boxing.boxes(found)
    held = [layer.name for box in drawn for layer in box.layers]
    assert sorted(held) == sorted(layer.name for layer in found.layers)
    assert sum(box.parameters for box in drawn) == sum(layer.parameters for layer in found.layers)
    at = boxing.levels(drawn)
    assert all(j < i and at[j] < at[i] for i, box in enumerate(drawn) for j in box.inputs)
    assert (
        all(at.count(level) <= boxing.SIDE_BY_SIDE for level in at) and len(drawn) <= boxing.BOXES
    )


@settings(max_examples=30, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_boxes_do_not_touch(data: st.DataObject, count: int) -> None:
    nodes: list[Node] = []
    for i in range(count):
        inputs = tuple(sorted(data.draw(st.sets(st.integers(0, i - 1), max_size=3)))) if i else ()
        level = 1 + max((nodes[j].level for j in inputs), default=-1)
        nodes.append(
            Node(level, data.draw(st.floats(20, 90)), data.draw(st.floats(0, 9)), inputs, thing=i)
        )
    made = layout(nodes, 640.0, 184.0)
    placed = [place for place in made.placed if place.node.thing is not None]
    assert len(placed) == count and all(
        p.x >= 0 and p.x + p.width <= 640 and p.y >= 0 for p in placed
    )
    assert max(p.y + p.node.height for p in placed) <= made.height + 1e-6
    for i, a in enumerate(placed):
        for b in placed[:i]:
            apart = a.x + a.width <= b.x or b.x + b.width <= a.x
            assert apart or a.y + a.node.height <= b.y + 1e-6 or b.y + b.node.height <= a.y + 1e-6
    for end in made.placed:
        for j in end.node.inputs:
            start = made.placed[j]
            assert end.node.level == start.node.level + 1
            assert start.band != end.band or start.x + start.width < end.x


def test_ticks_of_numbers_that_floats_cannot_hold_are_the_written_ones() -> None:
    assert [tick.label for tick in ticks.linear(0.3, 0.7)] == ["0.3", "0.4", "0.5", "0.6", "0.7"]
