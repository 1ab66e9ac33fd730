"""Describe how the cells of a column are written, and give the SQL that reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from polycera.data.cells import calendar_names, words
from polycera.data.cells.words import bare, is_one_of_sql, literal
from polycera.errors import InputError, shorten

KINDS = ("number", "date", "boolean", "text")

GROUPS = ("limit", "open", "sign", "before", "sign2", "core", "exponent", "after", "minus", "close")
"""Parts of a written number, as `PATTERN` finds them."""
_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|INR|SEK|NOK|DKK|PLN|CZK|HUF|AUD|CAD|NZD|BRL|MXN|ZAR|TRY|KRW|SGD|HKD"
)
_CURRENCY = rf"(?:US|A|C|R|NZ|HK|S)?\p{{Sc}}|{_CODES}|Fr\.|kr\.?|Rs\.?"
_KNOWN = (
    "kg|g|mg|µg|μg|lbs?|oz|t|km|m|cm|mm|nm|ft|in|mi|yd|l|ml|cl|dl|gal|h|hrs?|min|mins|s|sec|secs|ms"
    "|days?|d|weeks?|months?|years?|yrs?|kW|kWh|MW|MWh|Wh|Hz|kHz|MHz|GHz|kB|MB|GB|TB|px|pt|mph|kmh"
    r"|km/h|m/s|°C|°F|°|m²|m2|m³|m3|cm2|cm3|km2|km²|ha|hPa|kPa|Pa|bar|mmHg|mg/dl|mg/dL|mg/l|mg/L"
    "|g/l|g/L|µg/l|mmol/l|mmol/L|kcal|kJ|bpm|dB|rpm|ppm|ppb|x|pcs"
)
PATTERN = (
    r"^([<>≤≥]=?)?\s*(\()?\s*([+\-])?\s*"
    rf"({_CURRENCY})?\s*([+\-(])?\s*"
    r"(\d(?:[\d., ']*\d)?[.,]?|[.,]\d+)([eE][+\-]?\d{1,3})?"
    rf"(%|{_CURRENCY}|{_KNOWN}|\s+(?:%|[^\s\d()<>=+\-.,;:/'][^\s()<>]{{0,11}}))?"
    r"\s*(-)?\s*(\))?$"
)
"""A written number: its limit, sign, money or unit, and the core of digits and separators."""
CORE = r"\d(?:[\d., ']*\d)?"
"""Digits and separators of most numbers."""
AFTER = r"%|\p{Sc}| (?:%|\p{Sc}|[\p{Lu}\p{Ll}]{1,12})"
"""What stands after most numbers that have a unit; `PATTERN` knows more. No sign in these two is
one that `normal_sql` changes."""


@dataclass(frozen=True)
class CellFormat:
    """Describes how the cells of one column are written.

    Attributes:
        kind: number, date, boolean or text.
        decimal: sign before the decimals of a number.
        thousands: sign between its thousands; nothing: none.
        unit: money, percent or unit around each number; nothing: none. A percent is read as a
            share: "37 %" is 0.37.
        date: order of a date, as `strptime` names it (`%d/%m/%Y`); None for the ISO order.
        missing: the words for missing of this column; None: the usual ones.
        labels: spellings that are one label -> the label.

    Examples:
        >>> CellFormat("number", decimal=",", thousands=".").to_config()
        {'kind': 'number', 'decimal': ',', 'thousands': '.'}
    """

    kind: Literal["number", "date", "boolean", "text"]
    decimal: str = "."
    thousands: str = ""
    unit: str = ""
    date: str | None = None
    missing: tuple[str, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()

    @property
    def trivial(self) -> bool:
        """Return whether any reader would read the cells so, so that it need not be written."""
        return self == CellFormat(self.kind)

    def to_config(self) -> dict[str, Any]:
        """Return what is not as usual, as JSON values."""
        config: dict[str, Any] = {"kind": self.kind}
        for field in fields(self)[1:]:
            value = getattr(self, field.name)
            if value != field.default:
                config[field.name] = value
        if self.missing is not None:
            config["missing"] = list(self.missing)
        if self.labels:
            config["labels"] = dict(self.labels)
        return config

    @classmethod
    def from_config(cls, config: Mapping[str, Any], column: str = "") -> CellFormat:
        """Return the format that `to_config` wrote.

        Raises:
            InputError: for an unknown or wrong entry, naming the column.
        """
        values = dict(config)
        known = [field.name for field in fields(cls)]
        if unknown := [name for name in values if name not in known]:
            raise _invalid(column, f"{unknown[0]!r} is unknown; known are {', '.join(known)}")
        if values.get("kind") not in KINDS:
            raise _invalid(column, f"the kind is one of {', '.join(KINDS)}")
        for name in ("decimal", "thousands", "unit"):
            if not isinstance(values.get(name, ""), str):
                raise _invalid(column, f"{name} is a text")
        if values.get("decimal", ".") not in (".", ",") or values.get("thousands", "") not in (
            *("", ".", ",", " ", "'"),
        ):
            raise _invalid(column, "decimal is . or , and thousands is . , ' or a blank")
        if values.get("date") is not None:
            check_date_format(column, values["date"])
        if values.get("missing") is not None:
            values["missing"] = tuple(map(str, values["missing"]))
        values["labels"] = tuple(dict(values.get("labels", {})).items())
        return cls(**values)

    def missing_words(self, more: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Return the words that are missing in this column, with those that were asked for."""
        if self.missing is not None:
            return self.missing
        numeric = words.IN_NUMBERS if self.kind in ("number", "date") else ()
        return (*words.MISSING, *numeric, *more)

    def typed(self, cell: str) -> str:
        """Return the SQL of a cell's value; null where the cell does not fit the format.

        Args:
            cell: SQL of the cell, text.
        """
        match self.kind:
            case "number":
                return number_sql(cell, self.decimal, self.thousands, self.unit)
            case "date":
                return date_sql(bare(cell), self.date)
            case "boolean":
                return boolean_sql(cell)
        if not self.labels:
            return bare(cell)
        cases = " ".join(f"when {literal(a)} then {literal(b)}" for a, b in self.labels)
        return f"case {bare(cell)} {cases} else {bare(cell)} end"


def _invalid(column: str, expected: str) -> InputError:
    return InputError(
        f"The format of the cells of column {shorten(column)!r} is not valid: {expected}."
    )


def is_missing_sql(cell: str, missing: tuple[str, ...]) -> str:
    """Return the SQL of whether a cell that is not null stands for a missing value."""
    return is_one_of_sql(cell, ("", *missing))


def plain_sql(cell: str) -> str:
    """Return the SQL of a number in the notation of programs; null for any other cell.

    DuckDB also reads '1_000' and '+-1', which nobody writes for a number, and 'nan', which is
    missing.
    """
    odd = f"contains({cell}, '_') or contains({cell}, '+-') or contains({cell}, '-+')"
    # Texts that begin with a letter are told by it, inf apart: a cast that fails takes longer.
    odd += f" or {cell} >= ':' and {cell}[1] not in ('i', 'I') and unicode({cell}) < 128"
    return f"case when {odd} then null else nullif(try_cast({cell} as double), 'nan'::double) end"


def parts_sql(cell: str) -> str:
    """Return the SQL of the parts of a written number, a struct of `GROUPS`."""
    # To find ten groups takes ten times as long as to find one: most numbers have few parts.
    parts = dict.fromkeys(GROUPS, "''")
    parts["sign"] = f"case when {cell}[1] in ('-', '+') then {cell}[1] else '' end"
    parts["core"] = f"regexp_extract({cell}, {literal(CORE)})"
    parts["after"] = f"regexp_extract({cell}, {literal(f'(?:{AFTER})$')})"
    few = ", ".join(f"'{name}': {part}" for name, part in parts.items())
    every = f"regexp_extract({normal_sql(cell)}, {literal(PATTERN)}, {list(GROUPS)})"
    simple = f"regexp_full_match({cell}, {literal(f'[+-]?{CORE}(?:{AFTER})?')})"
    return f"case when {simple} then {{{few}}} else {every} end"


def normal_sql(cell: str) -> str:
    """Return the SQL of a number with ordinary blanks, apostrophes and minus signs."""
    blanks = words.BLANKS
    odd, plain = blanks + "’ʼ`−‒–", " " * len(blanks) + "''" + "'" + "---"
    return f"trim(translate({cell}, {literal(odd)}, {literal(plain)}))"


def fits_sql(core: str, decimal: str, thousands: str) -> str:
    """Return the SQL of whether digits with separators fit a decimal and a thousands sign."""
    point = re.escape(decimal)
    plain = rf"\d*{point}?\d*"
    if not thousands:
        return f"regexp_full_match({core}, {literal(plain)})"
    sign = re.escape(thousands)
    grouped = rf"[1-9]\d{{0,2}}(?:{sign}\d{{3}})+(?:{point}\d*)?"
    if thousands == ",":  # 12,34,567, as in India
        grouped += rf"|[1-9]\d?(?:,\d{{2}})+,\d{{3}}(?:{point}\d*)?"
    return f"regexp_full_match({core}, {literal(f'{plain}|{grouped}')})"


def number_sql(cell: str, decimal: str = ".", thousands: str = "", unit: str = "") -> str:
    """Return the SQL of a local number; null where the cell does not fit."""
    core = "p.core" if not thousands else f"replace(p.core, {literal(thousands)}, '')"
    core = core if decimal == "." else f"replace({core}, {literal(decimal)}, '.')"
    share = "/ 100" if unit == "%" else ""
    minus = (
        "((p.open <> '')::int + (p.sign = '-')::int + (p.sign2 in ('-', '('))::int "
        "+ (p.minus <> '')::int)"
    )
    closed = "(p.open <> '' or p.sign2 = '(') = (p.close <> '')"
    found = "coalesce(nullif(trim(p.after), ''), trim(p.before))"
    right = f"({found} = '' or {found} = {literal(unit)})"
    if unit == "%":
        right = f"({found} = '%' or ({found} = '' and not regexp_matches(p.core, '[1-9]')))"
    value = (
        f"case when p.core <> '' and {closed} and {minus} <= 1 "
        f"and (trim(p.after) = '' or p.before = '') and {right} "
        f"and {fits_sql('p.core', decimal, thousands)} "
        f"then try_cast({core} || p.exponent as double) {share} * (1 - 2 * {minus}) end"
    )
    local = _let("p", parts_sql(cell), value)
    # The notation of programs is tried first where it cannot mean anything else: it is quicker.
    if decimal == "." and unit != "%":
        return f"coalesce({plain_sql(cell)}, {local})"
    return local


TRUE = ("true", "yes", "y", "t", "on", "1")
FALSE = ("false", "no", "n", "f", "off", "0")


def boolean_sql(cell: str, yes: tuple[str, ...] = TRUE, no: tuple[str, ...] = FALSE) -> str:
    """Return the SQL of a boolean in one of its words, in any case."""
    text = f"lower({cell})"
    return (
        f"case when {is_one_of_sql(text, yes)} then true "
        f"when {is_one_of_sql(text, no)} then false end"
    )


# -- dates -----------------------------------------------------------------------------------------

ISO = "%Y-%m-%d"
ISO_SHAPE = r"[1-9]\d{3}-\d\d-\d\d(?:[ T](?:[01]\d|2[0-3]):\d\d(?::\d\d(?:\.\d{1,6})?)?)?"
"""Dates and times that a cast reads as `strptime` does."""
ORDERS = (
    ISO,
    *("%d-%m-%Y", "%m-%d-%Y", "%d-%m-%y", "%m-%d-%y"),
    *("%d-%b-%Y", "%b-%d-%Y", "%Y-%b-%d", "%d-%b-%y", "%b-%d-%y"),
)
"""Orders of a date's parts, whatever stands between them."""
_TIMES = ("", " %H:%M", " %H:%M:%S", " %H:%M:%S.%f", " %I:%M %p", " %I:%M:%S %p")
_ZONED = (" %H:%M%z", " %H:%M:%S%z", " %H:%M:%S.%f%z")
_DIRECTIVES = "aAbBcdDfgGHIjmMnpSuUVwWxXyYzZ%-"


def check_date_format(column: str, format: Any) -> None:
    """Raise where a format is not one that names the parts of a date."""
    found = re.findall(r"%(.)", format) if isinstance(format, str) else []
    if not any(f in "yY" for f in found) or any(f not in _DIRECTIVES for f in found):
        raise InputError(
            f"The date format {shorten(repr(format))} of column {shorten(column)!r} is not valid: "
            "write the parts as %d, %m, %Y (%y: two digits), %b (month by name), %H:%M:%S, such as "
            "%d/%m/%Y."
        )


def order_of(format: str | None) -> str | None:
    """Return which of `ORDERS` a format is, whatever signs stand between; None for another."""
    order = re.sub(r"[-/. ,]+", "-", (format or ISO).replace("%B", "%b"))
    return order if order in ORDERS else None


def date_sql(cell: str, format: str | None) -> str:
    """Return the SQL of a moment in UTC; null where the cell does not fit."""
    order = order_of(format)
    if order is None:
        assert format is not None
        cell = calendar_names.english_sql(cell) if "%b" in format or "%B" in format else cell
        if "%z" in format or "%Z" in format:
            return f"(try_strptime({cell}, {literal(format)}) at time zone 'UTC')"
        return f"try_strptime({cell}, {literal(format)})::timestamp"
    normal = normal_date_sql(cell, "%b" in order)
    if order != ISO:
        return _let("d", normal, moment_sql("d", order))
    # Most columns of dates are ISO: a cast takes a twentieth of the time of `strptime`.
    quick = (
        f"case when regexp_full_match({cell}, {literal(ISO_SHAPE)}) "
        f"then try_cast({cell} as timestamp) end"
    )
    return f"coalesce({quick}, {_let('d', normal, moment_sql('d', order))})"


def _let(name: str, value: str, body: str) -> str:
    """Return the SQL of a body in which a name stands for a value, computed once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def moment_sql(cell: str, order: str) -> str:
    """Return the SQL of a date that `normal_date_sql` brought to its normal form, as a moment."""
    naive = f"try_strptime({cell}, {[order + time for time in _TIMES]})"
    zoned = f"try_strptime({cell}, {[order + time for time in _ZONED]}) at time zone 'UTC'"
    moment = _guarded(f"coalesce({naive}, {zoned})")
    if "%y" not in order:
        return moment
    # A year of one digit is none: '1.2.3' is a version.
    short = r"^[^-]+-[^-]+-\d\d(?:\D|$)"
    return f"case when regexp_matches({cell}, {literal(short)}) then {moment} end"


def _guarded(moment: str) -> str:
    """Return the SQL of a moment, null before the year 1000: '5/2/24' is not of the year 24."""
    return _let("m", moment, "case when year(m) >= 1000 then m end")


def normal_date_sql(cell: str, named: bool) -> str:
    """Return the SQL of a date with '-' between its parts and a time that `strptime` reads."""
    text = calendar_names.english_sql(cell) if named else cell
    steps = (
        (r"^([^-/. ,:]+)[-/. ,]+([^-/. ,:]+)[-/. ,]+([^-/. ,:T]+)(.*)$", r"\1-\2-\3\4"),
        (r"^(\S+?)(?:T|,? +)(\d)", r"\1 \2"),
        (r"(\d) ?([aApP])\.?[mM]\.?$", r"\1 \2m"),
        (r"(\.\d{6})\d+", r"\1"),
        (r" ?(?:[Zz]|UTC|GMT|utc|gmt)$", "+0000"),
        (r" ([+-]\d\d:?\d*)$", r"\1"),
    )
    for pattern, new in steps:
        text = f"regexp_replace({text}, {literal(pattern)}, {literal(new)})"
    return text
