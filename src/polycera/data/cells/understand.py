"""Decide how the cells of each column are written, by counts over whole columns."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from polycera.data.cells import formats as written
from polycera.data.cells import words
from polycera.data.cells.distinct_cells import count_cells, new_table
from polycera.data.cells.formats import CellFormat
from polycera.data.cells.words import bare, literal, literals
from polycera.data.reading import CellWishes, Reading, Remark
from polycera.data.sources import SourceRows
from polycera.errors import InputError, listing, shorten

TEXT = "VARCHAR"
SAMPLE = 300
"""Distinct cells of a column by which what it cannot be is ruled out."""
NEARLY = 0.1
"""Share of the cells that may be no numbers in a column that is nearly one of numbers."""
MANY_WORDS = 2
"""Most words for missing in a column that get a sentence each."""
EXACT = 2**53
"""Largest number up to which float64 holds every integer."""
STYLES = (
    *((".", ""), (",", ""), (".", ","), (",", ".")),
    *((".", " "), (",", " "), (".", "'"), (",", "'")),
)
"""Signs for decimals and thousands, those that need fewer first."""
_PAIRS = (("yes", "no"), ("true", "false"), ("y", "n"), ("t", "f"), ("on", "off"))


@dataclass
class _Column:
    """Holds what was counted of one column of text."""

    name: str
    cell: str
    present: int = 0
    plain: int = 0
    zeros: int = 0
    big: int = 0
    padded: int = 0
    cells: str = ""
    """SQL of its cells with cell, clean, plain and n, see `count_cells`; some may come twice."""
    few: bool = False
    """Whether `cells` is a table in which each different cell is once."""
    odd: str = ""
    """SQL of its different cells that are no plain numbers, with cell, clean and n."""
    format: CellFormat = field(default_factory=lambda: CellFormat("text"))
    either: str = ""
    """A cell of a column of numbers in which one sign may mark decimals or thousands."""
    dates: tuple[str, str] | None = None
    """A cell, and the sign between its parts, of dates that have two readings."""


def understand(
    rows: SourceRows,
    *,
    given: Mapping[str, CellFormat] | None = None,
    missing: Iterable[str] = (),
    wishes: CellWishes | None = None,
    old: bool = False,
) -> Reading:
    """Return how the cells of each column of text are written, with a sentence on each guess.

    A column is of numbers, of dates or of booleans where every cell is, those that stand for
    missing values left out; else it is of text. In a typed source, text of plain digits stays
    text: it may be a code.

    Args:
        rows: the rows; the cells are counted where they are.
        given: formats of columns that are known; they are not looked into.
        missing: further words for missing values.
        wishes: what the user says of cells that have two readings.
        old: read as runs of 0.1.0 did: plain numbers, ISO dates, true and false alone.

    Raises:
        InputError: for an example of a number in which the signs are not plain.
    """
    wishes = wishes or CellWishes()
    styles = {name: style_of(name, number) for name, number in wishes.number_format.items()}
    known = dict(given or {})
    reading = Reading(missing=tuple(missing), old=old)
    columns = _counted(rows, [name for name, kind in rows.types.items() if kind == TEXT], known)
    looker = _Looker(rows, reading, styles, wishes.missing)
    for column in columns:
        column.format = looker.format_of(column)
    looker.settle(columns)
    for name in rows.types:
        if name in known:
            reading.formats[name] = known[name]
    for column in columns:
        reading.formats[column.name] = column.format
    if not old:
        looker.count_missing(columns)
    return reading


def _counted(rows: SourceRows, names: list[str], known: Mapping[str, CellFormat]) -> list[_Column]:
    """Return the columns to look into, with what is counted of all their rows."""
    columns = [_Column(name, rows.quoted(name)) for name in names if name not in known]
    tables = count_cells(rows, [column.name for column in columns])
    for column in columns:
        column.few = column.name in tables
        column.cells = tables.get(column.name) or (
            f"(select {column.cell} as cell, {bare(column.cell)} as clean, "
            f"{written.plain_sql(column.cell)} as plain, 1 as n from {rows.relation} "
            f"where {column.cell} is not null)"
        )
        if column.few:
            _count(column, rows.execute(f"select {_COUNTS} from {column.cells}").fetchone())
    _count_together(rows, [column for column in columns if not column.few])
    return columns


_COUNTS = (
    "sum(n), sum(n) filter (plain is not null), "
    # A leading zero before a digit: ':' follows '9'.
    "sum(n) filter (cell >= '00' and cell < '0:'), "
    f"sum(n) filter (abs(plain) > {EXACT}), sum(n) filter (cell < '!')"
)
"""SQL of what `_Column` holds, from a table of different cells."""


def _count(column: _Column, counts: Sequence[Any] | None) -> None:
    """Fill in what was counted of a column."""
    assert counts is not None
    present, plain, zeros, big, padded = (int(count or 0) for count in counts)
    column.present, column.plain = present, plain
    column.zeros, column.big, column.padded = zeros, big, padded


def _count_together(rows: SourceRows, columns: list[_Column]) -> None:
    """Count the cells of columns of many different ones, in one query."""
    if not columns:
        return
    counts = []
    for column in columns:
        cell, plain = column.cell, written.plain_sql(column.cell)
        counts += [
            f"count({cell})",
            f"count({plain})",
            f"count_if({cell} >= '00' and {cell} < '0:')",
            f"count_if(abs({plain}) > {EXACT})",
            f"count_if({cell} < '!')",
        ]
    row = rows.execute(f"select {', '.join(counts)} from {rows.relation}").fetchone()
    assert row is not None
    for place, column in enumerate(columns):
        _count(column, row[5 * place : 5 * place + 5])


class _Looker:
    """Looks into the columns of one source."""

    def __init__(
        self,
        rows: SourceRows,
        reading: Reading,
        styles: Mapping[str, tuple[str, str]],
        missing: Mapping[str, tuple[str, ...]],
    ) -> None:
        self.rows, self.reading, self.styles, self.missing = rows, reading, styles, missing
        self.words = words.OLD if reading.old else (*words.MISSING, *reading.missing)
        self.numeric_words = () if reading.old else words.IN_NUMBERS

    def format_of(self, column: _Column) -> CellFormat:
        """Return how a column is written; what is left open is settled later."""
        if column.name not in self.missing:
            return self._format_of(column)
        usual = self.words, self.numeric_words
        self.words, self.numeric_words = self.missing[column.name], ()
        try:
            return replace(self._format_of(column), missing=self.missing[column.name])
        finally:
            self.words, self.numeric_words = usual

    def _format_of(self, column: _Column) -> CellFormat:
        """Return how a column is written, with the words for missing values at hand."""
        column.odd = self._odd_cells(column)
        left = self._left(column, (*self.words, *self.numeric_words))
        if column.name in self.styles:
            return self._as_asked(column)
        if column.plain and not left:
            return self._numbers(column)
        if not left:
            return CellFormat("number" if not self._left(column, self.words) else "text")
        if not column.plain:
            if self.rows.written and self._all(
                column, written.boolean_sql("clean", ("true",), ("false",)), ()
            ):
                return CellFormat("boolean")
            if (dated := self._dates(column)) is not None:
                return dated
        if not self.reading.old and (local := self._local_numbers(column)) is not None:
            return local
        self._note_nearly(column)
        return CellFormat("text") if self.reading.old else self._labels(column)

    # -- counting ------------------------------------------------------------------------------

    def _odd_cells(self, column: _Column) -> str:
        """Return the SQL of the different cells that are no plain numbers."""
        where = "where false" if column.plain == column.present else "where plain is null"
        if column.few:
            return f"(select cell, clean, n from {column.cells} {where})"
        name = new_table()
        self.rows.execute(
            f"create table {name} as select cell, {bare('cell')} as clean, n from (select cell, "
            f"count(*) as n from {column.cells} {where if column.plain else ''} group by all)"
        )
        return name

    def _left(self, column: _Column, missing: tuple[str, ...]) -> int:
        """Return how many cells are neither plain numbers nor words for missing."""
        return int(
            self._one(
                f"select coalesce(sum(n), 0) from {column.odd} "
                f"where clean not in {literals(('', *missing))}"
            )[0]
        )

    def _one(self, sql: str) -> tuple[Any, ...]:
        row = self.rows.execute(sql).fetchone()
        assert row is not None
        return row

    def _present(self, column: _Column, kind: str) -> str:
        """Return the SQL of the distinct cells of a column that are not missing."""
        missing = self.words if kind == "text" else (*self.words, *self.numeric_words)
        return (
            f"(select cell, clean, n from {column.odd} where clean not in "
            f"{literals(('', *missing))})"
        )

    def _all(self, column: _Column, value: str, more: tuple[str, ...]) -> bool:
        """Return whether each cell that is not missing has a value."""
        where = f"clean not in {literals(('', *self.words, *more))}"
        return not self.rows.execute(
            f"select 1 from {column.odd} where {where} and {value} is null limit 1"
        ).fetchone()

    # -- plain numbers -------------------------------------------------------------------------

    def _numbers(self, column: _Column) -> CellFormat:
        """Return the format of a column of plain numbers: codes and large ids are text."""
        if not self.rows.written:
            if self.reading.old or column.plain:
                remark = "Every cell is written as a number: declare the role number if it is one."
                self.reading.remarks[column.name] = Remark(remark)
            return CellFormat("text")
        if self.reading.old:
            return CellFormat("number")
        if column.padded or column.zeros or column.big:
            digits, zeros, big = self._one(
                "select bool_and(regexp_full_match(clean, '[+-]?\\d+')), "
                "sum(n) filter (regexp_full_match(clean, '0\\d+')), "
                f"sum(n) filter (abs(try_cast(clean as hugeint)) > {EXACT} "
                f"or length(clean) > 38) from {column.cells} where plain is not null"
            )
            if digits and zeros:
                self._say_example(
                    column, zeros, "begin with 0: kept as text, for they may be codes", "0\\d+"
                )
                return CellFormat("text")
            if digits and big:
                self._say_example(
                    column,
                    big,
                    "are whole numbers beyond 2**53: kept as text, to tell them apart",
                    "[+-]?\\d{16,}",
                )
                return CellFormat("text")
        self._mark_either(column)
        return CellFormat("number")

    def _mark_either(self, column: _Column) -> None:
        """Note a column whose every decimal point may stand between thousands: '1.234'."""
        shape = r"[+-]?[1-9]\d{0,2}\.\d{3}|[+-]?\d{1,3}"
        test = (
            f"select bool_and(regexp_full_match(x, {literal(shape)})), "
            "min(x) filter (contains(x, '.')) "
            f"from (select clean as x from {column.cells} where plain is not null"
        )
        # Most columns are ruled out by their first rows.
        if self._one(f"{test} limit {SAMPLE})")[0]:
            every, example = self._one(f"{test})")
            if every and example is not None:
                column.either = example

    def _say_example(self, column: _Column, count: int, what: str, shape: str) -> None:
        (example,) = self._one(
            f"select min(clean) from {column.cells} "
            f"where regexp_full_match(clean, {literal(shape)})"
        )
        self._say(column.name, f"{_of(int(count), column.present)} {what} (such as {example!r})")

    # -- local numbers -------------------------------------------------------------------------

    def _local_numbers(self, column: _Column) -> CellFormat | None:
        """Return the format of a column of local numbers; None where it is none."""
        present = self._present(column, "number")
        parts = written.parts_sql("clean")
        sample = self._one(
            f"select count(*), count_if({parts}.core <> '') from (from {present} limit {SAMPLE})"
        )
        if (sample[1] or 0) < (1 - NEARLY) * sample[0]:
            return None
        table = new_table()
        more = (
            f" union all select cell, clean, sum(n) from {column.cells} where plain is not null "
            "group by all"
        )
        self.rows.execute(
            f"create table {table} as select clean, n, {parts} as p "
            f"from (from {present}{more if column.plain else ''})"
        )
        fits = ", ".join(
            f"bool_and({written.fits_sql('p.core', decimal, thousands)})"
            for decimal, thousands in STYLES
        )
        limit, behind = "p.limit <> ''", "p.open <> '' or p.sign2 = '(' or p.minus <> ''"
        odd, limits, negative, separated, *fitting = self._one(
            f"select count_if(p.core = ''), sum(n) filter ({limit}), "
            f"sum(n) filter ({behind}), "
            f"min(clean) filter (regexp_matches(p.core, '[.,]')), {fits} from {table}"
        )
        if odd:
            return None
        styles = [style for style, fit in zip(STYLES, fitting, strict=True) if fit]
        if column.name in self.styles:
            styles = [self.styles[column.name]]
        unit = self._unit(column, table)
        if not styles or unit is None:
            return None
        format = CellFormat("number", *styles[0], unit=unit)
        if {(".", ""), (",", ".")} <= set(styles) or {(",", ""), (".", ",")} <= set(styles):
            column.either = "" if column.name in self.styles else separated or ""
        if self.rows.execute(
            f"select 1 from {table} where {format.typed('clean')} is null limit 1"
        ).fetchone():
            return None
        for count, which, sentence in (
            (limits, limit, "are limits, such as {!r}: read as the number"),
            (negative, behind, "are written as {!r} is: read as negative"),
        ):
            if count:
                (example,) = self._one(f"select min(clean) from {table} where {which}")
                cells = _of(int(count), column.present)
                self._say(column.name, f"{cells} {sentence.format(example)}")
        return format

    def _as_asked(self, column: _Column) -> CellFormat:
        """Return the format of a column for which the user gave a number as an example."""
        found = self._local_numbers(column)
        decimal, thousands = self.styles[column.name]
        return found or CellFormat("number", decimal, thousands)

    def _unit(self, column: _Column, table: str) -> str | None:
        """Return the one unit of a column, '' where it has none; None where there are several."""
        found = "coalesce(nullif(trim(p.after), ''), p.before)"
        counts = dict(
            self.rows.execute(
                f"select {found} as unit, sum(n)::bigint from {table} group by all order by all"
            ).fetchall()
        )
        none = counts.pop("", 0)
        if not counts:
            return ""
        if len(counts) > 1:
            units = sorted(counts, key=lambda unit: (-counts[unit], unit))
            self._remark(
                column.name,
                f"Its numbers have different units ({listing(units, 4)}), so it is text.",
            )
            return None
        unit, count = next(iter(counts.items()))
        if unit == "%" and none and not self._all_zero(table):
            self._remark(
                column.name,
                f"{_of(count, column.present)} are percents and the others are not, so it is text.",
            )
            return None
        if unit != "%" and none > count:
            return None
        return unit

    def _all_zero(self, table: str) -> bool:
        """Return whether the numbers without a unit are all zero: "0" beside "5 %"."""
        return not self.rows.execute(
            f"select 1 from {table} where p.after = '' and p.before = '' "
            "and regexp_matches(p.core, '[1-9]') limit 1"
        ).fetchone()

    # -- dates ---------------------------------------------------------------------------------

    def _dates(self, column: _Column) -> CellFormat | None:
        """Return the format of a column of dates; None where it is none, or has two readings."""
        present = self._present(column, "date")
        # Two digits and a sign between them at least.
        shape = r".*\d.*[-/. ,].*\d.*"
        cells, dated, named = self._one(
            f"select count(*), count_if(regexp_full_match(clean, {literal(shape)})), "
            f"bool_or(regexp_matches(clean, '\\pL{{3}}')) from (from {present} limit {SAMPLE})"
        )
        if dated < (1 - NEARLY) * cells:
            return None
        orders: tuple[str, ...] = (written.ISO,) if self.reading.old else written.ORDERS
        if not named:
            orders = tuple(order for order in orders if "%b" not in order)
        for part in (f"(from {present} limit {SAMPLE})", present):
            # Each normal form is computed once for all orders.
            normal = (
                f"(select n, {written.normal_date_sql('clean', False)} as plain, "
                f"{written.normal_date_sql('clean', bool(named))} as named from {part})"
            )
            tests = [
                f"count({written.moment_sql('named' if '%b' in order else 'plain', order)})"
                for order in orders
            ]
            if orders == (written.ISO,):  # as `fetch` reads them, which is quick
                tests, normal = [f"count({written.date_sql('clean', None)})"], part
            cells, *counts = self._one(f"select count(*), {', '.join(tests)} from {normal}")
            nearly = [o for o, c in zip(orders, counts, strict=True) if c > (1 - NEARLY) * cells]
            orders = tuple(o for o, c in zip(orders, counts, strict=True) if c == cells)
            if not orders:
                if nearly and not self.reading.old:
                    self._note_nearly_dates(column, nearly[0])
                return None
        if orders[0] == written.ISO:
            return CellFormat("date")
        sign, example = self._one(
            f"select mode(regexp_extract(clean, '[^\\p{{L}}\\d]+')), min(clean) from {present}"
        )
        month_first = any(order.startswith("%m") for order in orders)
        day_first = any(order.startswith("%d-%m") for order in orders)
        # Between points the day always comes first.
        if month_first and day_first and sign != ".":
            column.dates = (example, sign)
            return CellFormat("date", date=orders[0].replace("-", sign))
        return CellFormat(
            "date", date=orders[0].replace("-", sign) if len(sign) == 1 else orders[0]
        )

    # -- text ----------------------------------------------------------------------------------

    def _labels(self, column: _Column) -> CellFormat:
        """Return the format of a column of text: signs, and spellings that are one label."""
        present = f"(from {column.odd} where clean <> '')"
        distinct, signs = self._one(
            f"select count(*), bool_and(regexp_full_match(clean, '[+]+|[-–]+|[+]/[-]|±')) and "
            f"bool_or(contains(clean, '+')) from {present}"
        )
        if signs:
            keep = tuple(word for word in self.words if word.strip("-–—"))
            self._say(column.name, "'-' stands beside '+', so it is a label, not a missing value")
            return CellFormat("text", missing=keep)
        padded, example = self._one(
            "select coalesce(sum(n), 0), min(cell) from (select cell, clean, n, "
            f"count(*) over (partition by clean) as spellings from {column.odd} "
            "where clean <> '') where spellings > 1 and cell <> clean"
        )
        if padded:
            self._say(
                column.name,
                f"{_of(int(padded), column.present)} have blanks around a text that others have "
                f"without, such as {example!r}: the blanks are taken off",
            )
        if not self.rows.written or distinct > 20:
            return CellFormat("text")
        spellings = self.rows.execute(
            f"select clean, sum(n) as n from {self._present(column, 'text')} "
            "group by clean order by n desc, clean"
        ).fetchall()
        usual: dict[str, str] = {}
        for text, _ in spellings:
            usual.setdefault(text.lower(), text)
        folded = {text: usual[text.lower()] for text, _ in spellings if usual[text.lower()] != text}
        if not folded or not any(set(usual) <= set(pair) for pair in _PAIRS):
            return CellFormat("text")
        self._say(
            column.name,
            f"{listing(folded, 4)} read as {listing(dict.fromkeys(folded.values()), 4)}: they "
            "differ in capitals alone",
        )
        return CellFormat("text", labels=tuple(folded.items()))

    def _note_nearly(self, column: _Column) -> None:
        """Note which cells stand in the way of a column that is nearly one of numbers."""
        if column.name in self.reading.remarks:
            return
        present = self._present(column, "number")
        parts = written.parts_sql("clean")
        if not column.plain:
            like = self._one(
                f"select count_if({parts}.core <> '') from (from {present} limit {SAMPLE})"
            )
            if not like[0]:
                return
        number = f"{parts}.core <> ''"
        distinct, strange, cells = self._one(
            f"select count(*), count_if(not {number}), coalesce(sum(n) filter (not {number}), 0) "
            f"from {present}"
        )
        levels = distinct
        if column.plain:
            levels += self._one(
                f"select count(distinct cell) from {column.cells} where plain is not null"
            )[0]
        if not strange:
            self._remark(column.name, "Its numbers are written in several ways, so it is text.")
        elif strange <= levels / 2 and (cells <= NEARLY * column.present or cells == 1):
            self._in_the_way(column, f"not {number}", int(cells), "numeric", "a number")

    def _note_nearly_dates(self, column: _Column, order: str) -> None:
        moment = written.date_sql("clean", order)
        present = self._present(column, "date")
        cells, all_cells = self._one(
            f"select coalesce(sum(n) filter ({moment} is null), 0), sum(n) from {present}"
        )
        if 0 < cells <= NEARLY * all_cells:
            self._in_the_way(column, f"{moment} is null", int(cells), "of dates", "a date")

    def _in_the_way(self, column: _Column, test: str, count: int, kind: str, one: str) -> None:
        """Note the first cell that keeps a column from being of a kind."""
        cells = f"(select cell from {self._present(column, 'number')} where {test})"
        row, cell = self._one(
            f"select row, cell from (select row_number() over () - 1 as row, {column.cell} as cell "
            f"from {self.rows.relation}) where cell in {cells} order by row limit 1"
        )
        self._remark(
            column.name,
            f"It would be {kind} except for {count} cell{'s' * (count != 1)}, the first "
            f"{shorten(repr(cell), 40)} in row {row}: clean the column to have it as {one}.",
            nearly=True,
        )

    # -- what the columns say together ---------------------------------------------------------

    def settle(self, columns: list[_Column]) -> None:
        """Decide the columns with two readings by the others, and say what was chosen."""
        numbers = [c for c in columns if c.format.kind == "number" and c.present]
        decided = Counter(
            c.format.decimal for c in numbers if not c.either and self._has_decimals(c)
        )
        sign = next(iter(decided)) if len(decided) == 1 else None
        for column in numbers:
            if column.either:
                self._settle_number(column, sign)
            self._say_number(column)
        orders = {
            c.name: written.order_of(c.format.date)
            for c in columns
            if c.format.kind == "date" and c.format.date and not c.dates
        }
        first = {order[:2]: name for name, order in orders.items() if order and "%b" not in order}
        for column in columns:
            if column.dates:
                self._settle_date(column, first)
            elif column.format.kind == "date" and column.format.date:
                self._say(column.name, f"dates are read as {column.format.date}")

    def _has_decimals(self, column: _Column) -> bool:
        """Return whether the decimal sign of a column occurs in it."""
        if column.format.decimal == "," or column.format.thousands == ",":
            return True
        found = self.rows.execute(f"select 1 from {column.cells} where contains(cell, '.') limit 1")
        return bool(found.fetchone()) and column.format.thousands != "."

    def _settle_number(self, column: _Column, sign: str | None) -> None:
        """Read a sign that stands before three digits as the other columns use it."""
        found = "," if "," in column.either else "."
        if sign is None:
            decimal = "."
            why = "a point stands for decimals and a comma for thousands where nothing says else"
        else:
            decimal = sign
            why = f"as other columns of {self.rows.label} use the signs"
        thousands = "" if decimal == found else found
        column.format = replace(column.format, decimal=decimal, thousands=thousands)
        what = "decimals" if decimal == found else "thousands"
        other = (
            f"1234{found}5"
            if what == "thousands"
            else f"1{found}234{'.' if found == ',' else ','}5"
        )
        self._say(
            column.name,
            f"the {'comma' if found == ',' else 'point'} in {column.either!r} and all others is "
            f"read as a sign for {what}, {why}; if it is not: --number-format "
            f"{shorten(column.name)}={other}",
        )
        column.either = ""

    def _say_number(self, column: _Column) -> None:
        """Say how local numbers were read, with an example."""
        if column.format.trivial:
            return
        row = self.rows.execute(
            f"select cell, {column.format.typed('clean')} from (select cell, clean from "
            f"{self._present(column, 'number')} order by n desc, cell limit 1)"
        ).fetchone()
        if row is None:  # all cells are plain: what was chosen has been said
            return
        cell, value = row
        unit = column.format.unit
        more = ", percents as shares" if unit == "%" else f", in {unit}" if unit else ""
        self._say(column.name, f"numbers such as {cell.strip()!r} are read as {value:.12g}{more}")

    def _settle_date(self, column: _Column, first: Mapping[str, str]) -> None:
        assert column.dates is not None
        example, sign = column.dates
        year = (written.order_of(column.format.date) or "")[-2:]
        if len(first) == 1:
            order, other = next(iter(first.items()))
            parts = ("%d", "%m", year) if order == "%d" else ("%m", "%d", year)
            column.format = CellFormat("date", date=sign.join(parts))
            self._say(
                column.name,
                f"dates are read as {column.format.date}, the order of column {shorten(other)!r}; "
                f"if they are not: --date-format {shorten(column.name)}=FORMAT",
            )
            return
        column.format = CellFormat("text")
        ways = [sign.join(("%d", "%m", year)), sign.join(("%m", "%d", year))]
        self.reading.remarks[column.name] = Remark(
            f"its dates, such as {example!r}, can be read with the day or with the month first: "
            f"give --date-format {shorten(column.name)}={ways[0]} or {shorten(column.name)}="
            f"{ways[1]} (date_format=).",
            ambiguous_dates=True,
        )

    # -- sentences -----------------------------------------------------------------------------

    def count_missing(self, columns: list[_Column]) -> None:
        """Say how often each word was read as missing: a sentence a word, or a column of many."""
        found: dict[str, list[tuple[str, int, int]]] = defaultdict(list)
        for column in columns:
            missing = column.format.missing_words(self.reading.missing)
            if column.format.missing or self.reading.missing:
                self._count_numbers(column, missing, found)
            if column.plain == column.present:
                continue
            counts = self.rows.execute(
                f"select clean, sum(n)::bigint from {column.odd} "
                f"where clean in {literals(missing)} group by clean order by clean"
            ).fetchall()
            if len(counts) > MANY_WORDS:
                words_in_all = sum(count for _, count in counts)
                each = ", ".join(f"{word!r} {count:,}" for word, count in counts)
                self._say(
                    column.name,
                    f"{_of(words_in_all, column.present)} are words for missing ({each}): "
                    "read as missing",
                )
                continue
            for word, count in counts:
                found[word].append((column.name, count, column.present))
        for word, places in found.items():
            names = tuple(name for name, _, _ in places)
            count = sum(count for _, count, _ in places)
            present = sum(present for _, _, present in places)
            self._say(names, f"{_of(count, present, word)}: read as missing")

    def _count_numbers(
        self,
        column: _Column,
        missing: tuple[str, ...],
        found: dict[str, list[tuple[str, int, int]]],
    ) -> None:
        """Count the words for missing values that are numbers, such as -999."""
        for word, count in self.rows.execute(
            f"select clean as word, sum(n)::bigint from {column.cells} "
            f"where plain is not null and clean in {literals(missing)} "
            "group by word order by word"
        ).fetchall():
            found[word].append((column.name, count, column.present))

    def _say(self, name: str | Iterable[str], sentence: str) -> None:
        names = [name] if isinstance(name, str) else list(name)
        subject = "Column" if len(names) == 1 else "Columns"
        self.reading.said.append(f"{subject} {listing(names, 5)}: {sentence}.")

    def _remark(self, name: str, sentence: str, nearly: bool = False) -> None:
        self.reading.remarks.setdefault(name, Remark(sentence, nearly=nearly))


def style_of(name: str, example: str) -> tuple[str, str]:
    """Return the signs for decimals and thousands of a number as it is written."""
    signs = re.findall(r"[.,' ]", str(example).strip())
    if re.fullmatch(r"\d+(?:[.,' ]\d+)*", str(example).strip()):
        others = [sign for sign in signs[:-1] if sign != signs[-1]]
        if len(signs) == 1 and signs[0] in ".," and not re.search(r"^\d{1,3}\D\d{3}$", example):
            return signs[0], ""
        if len(signs) > 1 and not others:
            return "," if signs[0] == "." else ".", signs[0]
        if others and len(set(others)) == 1 and signs[-1] in ".,":
            return signs[-1], others[0]
    raise InputError(
        f"The number format {shorten(repr(example))} of column {shorten(name)!r} does not tell "
        "decimals from thousands: write a number with both signs, such as 1.234,5 or 1,234.5."
    )


def _of(count: int, all_cells: int, word: str | None = None) -> str:
    """Return '37 of 8,000 cells', with what they are."""
    what = "" if word is None else f" {'is' if count == 1 else 'are'} {shorten(word)!r}"
    return f"{count:,} of {all_cells:,} cells{what}"
