"""A true table, written in a random local style, reads back as it was, or is named in a sentence.

POLYCERA_CELL_EXAMPLES=200 in the environment makes more tables than the few of a usual run.
"""

from __future__ import annotations

import csv
import datetime
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polycera.data import read

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

EXAMPLES = int(os.environ.get("POLYCERA_CELL_EXAMPLES", "30"))
SIGNS = ((".", ""), (",", ""), (".", ","), (",", "."), (",", " "), (".", "'"), (",", "\u00a0"))
DATES = ("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%Y-%m-%d %H:%M:%S", "%d %b %Y")
MISSING = ("", "-", "--", "NULL", "n/a", "#N/A", "<NA>", "\\N", "?", ".", " ", "NA")
LABELS = ("rot", "grün", "blau und weiß", 'he said "no"', "a,b;c", "gelb")


def written(number: float, decimal: str, thousands: str, around: tuple[str, str]) -> str:
    """Return a number of two decimals in a local style."""
    whole, _, part = f"{abs(number):.2f}".partition(".")
    if thousands:
        whole = f"{int(whole):,}".replace(",", thousands)
    sign = "-" if number < 0 else ""
    return f"{sign}{around[0]}{whole}{decimal}{part}{around[1]}"


def styled(random: np.random.Generator) -> tuple[bytes, dict[str, Any], str]:
    """Return a file in a random style, the true columns, and the style in words."""

    def choose(options: Any) -> Any:
        return options[int(random.integers(len(options)))]

    rows = int(random.integers(30, 80))
    decimal, thousands = choose(SIGNS)
    around = choose([("", ""), ("", ""), ("€", ""), ("$", ""), ("", " kg"), ("", "%"), ("", " €")])
    order, missing = choose(DATES), choose(MISSING)
    delimiter, encoding = choose(",;\t|"), choose(["utf-8", "utf-8-sig", "cp1252", "utf-16"])
    quoting = choose([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
    pad = choose(["", "", " "])
    numbers = np.round(random.normal(0, 3000, rows), 2)
    dates = np.array("2024-01-01", "datetime64[us]") + random.integers(0, 700, rows).astype("m8[D]")
    labels = random.choice(LABELS, rows)
    counts = random.integers(0, 500, rows)
    holes = {name: random.random(rows) < 0.1 for name in ("amount", "day", "label", "count")}
    sheet = io.StringIO(newline="")
    writer = csv.writer(sheet, delimiter=delimiter, quoting=quoting)
    writer.writerow(["amount", "day", "label", "count", "row"])
    for row in range(rows):
        moment: datetime.datetime = dates[row].item()
        cells = {
            "amount": written(numbers[row], decimal, thousands, around),
            "day": moment.strftime(order),
            "label": f"{labels[row]}{pad}",
            "count": str(counts[row]),
        }
        line = [missing if holes[name][row] else cell for name, cell in cells.items()]
        writer.writerow([*line, row])
    share = 100 if around[1] == "%" else 1
    truth = {
        "amount": np.where(holes["amount"], np.nan, numbers / share),
        "day": np.where(holes["day"], np.datetime64("NaT"), dates),
        "label": np.where(holes["label"], None, labels),  # type: ignore[call-overload]
        "count": np.where(holes["count"], np.nan, counts.astype(float)),
    }
    style = f"{decimal!r} {thousands!r} {around} {order} {missing!r} {delimiter!r} {encoding}"
    return sheet.getvalue().encode(encoding), truth, style


def same(values: np.ndarray, expected: np.ndarray) -> bool:
    """Return whether the columns are equal, missing values too."""
    if values.dtype.kind == "f":
        return np.allclose(values, expected, rtol=1e-12, equal_nan=True)
    if values.dtype.kind == "M":
        return np.array_equal(values, expected, equal_nan=True)
    return values.tolist() == expected.tolist()


@pytest.mark.parametrize("start", range(0, EXAMPLES, 10))
def test_a_table_in_a_local_style_reads_as_it_was(tmp_path: Path, start: int) -> None:
    for seed in range(start, min(start + 10, EXAMPLES)):
        content, truth, style = styled(np.random.default_rng(seed))
        path = tmp_path / f"{seed}.csv"
        path.write_bytes(content)
        table = read(path)
        sentences = [*table.reading.said, *(r.text for r in table.reading.remarks.values())]
        for name, expected in truth.items():
            values = table[name]
            right = values.dtype == expected.dtype and same(values, expected)
            named = name in table.reading.remarks or any(repr(name) in said for said in sentences)
            assert right or (named and values.dtype == object), (seed, style, name, values[:5])
