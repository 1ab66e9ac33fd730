"""Test that tables as people write them are understood alike from a file, for a training, and from
a frame.

Each case was made up after a kind of fault that users of other tools report.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc
from polycera.inspection import Inspection
from polycera.runs.spec import Data
from polycera.tabular.prepare import prepare

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

ROWS = 60
PLACES = range(ROWS)
AMOUNTS = [round((-1) ** i * 37.25 * i * i, 2) for i in PLACES]
"""From -129,667.25 to 125,309.00, of either sign, with and without thousands."""
LOW, HIGH, MEAN = min(AMOUNTS), max(AMOUNTS), float(np.mean(AMOUNTS))
DAYS = [np.datetime64("2024-01-27") + np.timedelta64(5 * i, "D") for i in PLACES]
FIRST, LAST = str(DAYS[0]), str(DAYS[-1])
NUMBERS = [f"{i % 7 + i / 100:.2f}" for i in PLACES]


def local(decimal: str, thousands: str) -> list[str]:
    """Return the amounts in a country's way."""
    signs = str.maketrans({",": thousands, ".": decimal})
    return [f"{amount:,.2f}".translate(signs) for amount in AMOUNTS]


def dates(format: str) -> list[str]:
    """Return the days as `strftime` writes them."""
    return [day.item().strftime(format) for day in DAYS]


def cycle(*words: str) -> list[str]:
    """Return the words again and again."""
    return [words[i % len(words)] for i in PLACES]


@dataclass
class Case:
    """A table as it is written, and what a person expects of it.

    Attributes:
        cells: column -> its cells.
        columns: column -> what an inspection is to say of it.
        targets: the same of targets.
        kinds: kinds that are declared.
        delimiter, encoding, above: how the file is written.
        said: a part of a sentence that is said.
    """

    cells: dict[str, Sequence[str]]
    columns: dict[str, dict[str, Any]] = field(default_factory=dict)
    targets: dict[str, dict[str, Any]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    delimiter: str = ","
    encoding: str = "utf-8"
    above: str = ""
    said: str = ""

    @property
    def asked(self) -> list[Any]:
        """Return the targets as `pc.fit` takes them."""
        return [{n: self.kinds[n]} if n in self.kinds else n for n in self.targets]

    def write(self, path: Path) -> Path:
        """Write the file."""
        text = io.StringIO(newline="")
        out = csv.writer(text, delimiter=self.delimiter, lineterminator="\n")
        out.writerow(self.cells)
        out.writerows(zip(*self.cells.values(), strict=True))
        path.write_bytes((self.above + text.getvalue()).encode(self.encoding))
        return path


AMOUNT = {"kind": "regression", "missing": 0, "mean": MEAN, "min": LOW, "max": HIGH}
DATE = {"role": "date", "missing": 0, "min": FIRST, "max": LAST}
YES_NO = {"kind": "binary", "missing": 0, "classes": ["no", "yes"]}

CASES = {
    "Swiss": Case(
        {"Umsatz": local(".", "'"), "Datum": dates("%d.%m.%Y"), "weg": cycle("ja", "nein", "ja")},
        {"Datum": DATE},
        {"Umsatz": AMOUNT, "weg": {"kind": "binary", "classes": ["nein", "ja"]}},
        delimiter=";",
        said="numbers such as",
    ),
    "French, of an old encoding": Case(
        {
            "montant": local(",", "\u00a0"),
            "quand": dates("%d/%m/%Y 14:05"),
            "étage": cycle("première", "deuxième"),
        },
        {
            "quand": {"role": "date", "min": f"{FIRST}T14:05:00", "max": f"{LAST}T14:05:00"},
            "étage": {"role": "category", "levels": ["deuxième", "première"]},
        },
        {"montant": AMOUNT},
        delimiter="\t",
        encoding="cp1252",
    ),
    "Brazilian": Case(
        {
            "valor": [f"R$ {cell}" for cell in local(",", ".")],
            "desconto": [f"{i}%" for i in PLACES],
        },
        {"desconto": {"role": "number", "min": 0.0, "max": 0.59}},
        {"valor": AMOUNT},
        said="in R$",
    ),
    "Indian": Case(
        {"price": ["₹ 12,34,500", "₹ 5,000", "₹ 900"] * 20, "y": NUMBERS},
        {"price": {"role": "number", "min": 900.0, "max": 1234500.0}},
        {"y": {"kind": "regression"}},
    ),
    "of accountants": Case(
        {
            "debit": [f"({cell[1:]})" if cell[0] == "-" else cell for cell in local(".", ",")],
            "paid": ["-" if i % 6 == 0 else f"${i * 1000:,}.50" for i in PLACES],
        },
        {"paid": {"role": "number", "missing": 10, "min": 1000.5, "max": 59000.5}},
        {"debit": AMOUNT},
        said="10 of 60 cells are '-'",
    ),
    "with a trailing minus": Case(
        {
            "y": [cell[1:] + "-" if cell[0] == "-" else cell for cell in local(".", ",")],
            "x": NUMBERS,
        },
        {"x": {"role": "number"}},
        {"y": AMOUNT},
    ),
    "words for missing": Case(
        {
            "dose": [
                word or NUMBERS[i]
                for i, word in enumerate(
                    cycle("N/A", "", "--", "none", r"\N", "<NA>", "", "", ".", "")
                )
            ],
            "colour": cycle("red", "none", "NULL", "blue"),
            "sick": cycle("yes", "#N/A", "no", "?"),
        },
        {"colour": {"role": "category", "missing": 15, "levels": ["blue", "none", "red"]}},
        {
            "dose": {"kind": "regression", "missing": 36},
            "sick": {"kind": "binary", "missing": 30, "classes": ["no", "yes"]},
        },
        said="36 of 60 cells are words for missing",
    ),
    "American dates": Case(
        {"when": dates("%m/%d/%y"), "also": dates("%b %d, %Y"), "y": NUMBERS},
        {"when": DATE, "also": DATE},
        {"y": {"kind": "regression"}},
    ),
    "months by their German names": Case(
        {
            "wann": [
                cell.replace("May", "Mai").replace("October", "Oktober").replace("March", "März")
                for cell in dates("%d. %B %Y")
            ],
            "y": NUMBERS,
        },
        {"wann": DATE},
        {"y": {"kind": "regression"}},
    ),
    "zones": Case(
        {
            "at": [f"{day}T10:00:00{z}" for day, z in zip(DAYS, cycle("Z", "+02:00"), strict=True)],
            "y": NUMBERS,
        },
        {
            "at": {
                "role": "date",
                "missing": 0,
                "min": f"{FIRST}T10:00:00",
                "max": f"{LAST}T08:00:00",
            }
        },
        {"y": {"kind": "regression"}},
    ),
    "limits of detection": Case(
        {"crp": cycle("<0.5", "12.1", "> 100", "7.4", "≤ 3"), "y": NUMBERS},
        {"crp": {"role": "number", "missing": 0, "min": 0.5, "max": 100.0}},
        {"y": {"kind": "regression"}},
        said="36 of 60 cells are limits",
    ),
    "units, one and several": Case(
        {
            "height": [f"{150 + i} cm" for i in PLACES],
            "weight": cycle("3 kg", "200 g"),
            "y": NUMBERS,
        },
        {
            "height": {"role": "number", "min": 150.0, "max": 209.0},
            "weight": {"role": "category", "levels": ["200 g", "3 kg"]},
        },
        {"y": {"kind": "regression"}},
    ),
    "codes and large numbers": Case(
        {
            "zip": [f"{(i * 7919) % 12:05}" for i in PLACES],
            "account": [str(9007199254740993 + i) for i in PLACES],
            "x": NUMBERS,
            "model": cycle("007", "0042"),
        },
        {
            "zip": {"role": "category", "levels": [f"{i:05}" for i in range(12)]},
            "account": {"role": "id", "missing": 0},
        },
        {"model": {"kind": "binary", "classes": ["0042", "007"]}},
    ),
    "as Excel was told": Case(
        {"a": local(",", "."), "b": cycle("no", "yes", "no"), "c": cycle("u", "v")},
        {},
        {"a": AMOUNT, "b": YES_NO},
        delimiter=";",
        above="sep=;\n",
    ),
    "below a title": Case(
        {"region": cycle("north", "south"), "sales": local(".", ","), "share": NUMBERS},
        {"region": {"role": "category", "levels": ["north", "south"]}},
        {"sales": AMOUNT},
        above="Sales of 2024\nin thousands\n\n",
    ),
    "UTF-16": Case(
        {"größe": [n.replace(".", ",") for n in NUMBERS], "obst": cycle("Äpfel", "Birnen")},
        {"größe": {"role": "number", "missing": 0}},
        {"obst": {"kind": "binary", "classes": ["Birnen", "Äpfel"]}},
        delimiter="\t",
        encoding="utf-16",
    ),
    "booleans": Case(
        {"a": cycle("TRUE", "False", "true"), "b": NUMBERS, "ok": cycle("Y", "N", "Y", "Y")},
        {"a": {"role": "boolean", "levels": [False, True]}},
        {"ok": {"kind": "binary", "missing": 0, "classes": ["N", "Y"]}},
    ),
    "blanks around labels": Case(
        {"x": NUMBERS, "left": cycle("yes", " yes", "no ", "no"), "plan": cycle("a ", "a", "b")},
        {"plan": {"role": "category", "levels": ["a", "b"]}},
        {"left": YES_NO},
    ),
    "a scale that everybody knows": Case(
        {"x": NUMBERS, "risk": cycle("medium", "low", "high"), "size": cycle("L", "S", "M", "XL")},
        {},
        {
            "risk": {"kind": "ordinal", "classes": ["low", "medium", "high"]},
            "size": {"kind": "ordinal", "classes": ["S", "M", "L", "XL"]},
        },
        {"risk": "ordinal", "size": "ordinal"},
    ),
}


TYPED = {"codes and large numbers", "words for missing", "booleans"}
"""Cases whose texts a frame declares as texts: plain digits may be codes, and true a word."""


def check(found: Inspection, case: Case) -> None:
    """Check what an inspection found against what a person expects."""
    for names, wanted in ((found.columns, case.columns), (found.targets, case.targets)):
        for name, values in wanted.items():
            for key, value in values.items():
                got = getattr(names[name], key)
                if key in ("min", "max") and isinstance(value, str):
                    got = got[: len(value)]
                elif isinstance(value, float):
                    got, value = float(got), pytest.approx(value)
                assert got == value, f"{name}: {key}"


@pytest.mark.parametrize("name", CASES)
def test_a_file_is_understood_and_a_training_understands_it_alike(
    name: str, tmp_path: Path
) -> None:
    case = CASES[name]
    path = case.write(tmp_path / "table.csv")
    found, prepared = pc.inspect(path, case.asked), prepare(str(path), case.asked, Data())
    assert found.rows == ROWS
    check(found, case)
    assert case.said in "\n".join(found.said)
    assert found.said == prepared.warnings
    assert {c.name: c.role for c in prepared.schema.columns} == {
        n: c.role for n, c in found.columns.items()
    }
    assert set(prepared.encoder.columns) == {n for n, c in found.columns.items() if c.used}
    for task in prepared.tasks:
        target, labels = found.targets[task.name], np.asarray(prepared.labels[task.name])
        assert target.kind == task.kind
        assert np.isnan(labels).any(axis=1).sum() == target.missing
        if target.mean is not None:
            assert np.nanmean(labels) == pytest.approx(target.mean)


@pytest.mark.parametrize("name", sorted(set(CASES) - TYPED))
def test_a_frame_of_texts_is_understood_alike(name: str) -> None:
    case = CASES[name]
    numbers = [float(number) for number in NUMBERS]
    frame = {n: numbers if cells is NUMBERS else list(cells) for n, cells in case.cells.items()}
    check(pc.inspect(frame, case.asked), case)
