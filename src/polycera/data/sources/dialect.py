"""Find out how a file of text is written: delimiter, quotation mark, header, lines above it."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

DELIMITERS = (",", ";", "\t", "|")
ROWS = 200
"""Records by which the dialect is chosen."""
QUOTED = 2**16
"""Characters in which single quotation marks are looked for."""
TITLE_LINES = 50
"""Most lines above the header."""


@dataclass(frozen=True)
class Dialect:
    r"""Hold how a file of text is written.

    Attributes:
        delimiter, quote: what divides cells, and what stands around them.
        escape: what stands before a quotation mark within a cell: another one, or a backslash.
        skip: records up to the header and with it, blank lines counted.
        header: the cells of the header.
        line_end: what ends a line: "\n", "\r\n" or "\r"; "" where lines end in several ways.
        titles: the lines above the header.
        unnamed: whether the first column has no cell in the header, as R writes row names.
    """

    delimiter: str
    quote: str
    escape: str
    skip: int
    header: tuple[str, ...]
    line_end: str = "\n"
    titles: tuple[str, ...] = ()
    unnamed: bool = False

    @property
    def names(self) -> list[str]:
        """Return the columns' names; a column without one is called after its place."""
        cells = ["", *self.header] if self.unnamed else self.header
        return [cell.strip() or f"column {place}" for place, cell in enumerate(cells, 1)]

    def reader(self, lines: Any, *, strict: bool = False) -> Any:
        """Return Python's reader of this dialect over lines of text.

        Args:
            lines: an iterable of lines.
            strict: whether a quotation mark that is left open is an error.
        """
        doubled = self.escape == self.quote
        return csv.reader(
            lines,
            delimiter=self.delimiter,
            quotechar=self.quote,
            doublequote=doubled,
            escapechar=None if doubled else self.escape,
            strict=strict,
        )


def find(sample: str) -> Dialect | None:
    """Return the dialect in which the beginning of a file is written; None where it is blank.

    Of the delimiters and quotation marks, those win that divide the most records into the same
    number of cells. DuckDB's own sniffer is not asked: to make the records alike it skips lines
    in silence, of "a;b" over rows such as "1,5;2,5" the header.
    """
    candidates = [
        _examined(sample, delimiter, quote, escape)
        for quote in _quotes(sample)
        for escape in _escapes(sample, quote)
        for delimiter in DELIMITERS
    ]
    found = [(score, dialect) for score, dialect in filter(None, candidates)]
    return max(found, key=lambda pair: pair[0])[1] if found else None


def _quotes(sample: str) -> tuple[str, ...]:
    """Return the quotation marks to try; the first wins where both fit alike."""
    single = re.search(r"(^|[,;\t|\n])'[^'\n]*'([,;\t|\r\n]|$)", sample[:QUOTED])
    return ("'", '"') if single and '"' not in sample else ('"',)


def _escapes(sample: str, quote: str) -> tuple[str, ...]:
    """Return the escapes to try; the first wins where both fit alike."""
    return ("\\", quote) if "\\" + quote in sample else (quote,)


def _examined(
    sample: str, delimiter: str, quote: str, escape: str
) -> tuple[tuple[Any, ...], Dialect] | None:
    """Return how well a dialect fits, and the dialect with its header."""
    bare = Dialect(delimiter, quote, escape, 0, ())
    records = list(_numbered(sample, bare))
    if not records:
        return None
    widths = Counter(len(record) for _, record in records)
    most = max(widths.values())
    first_width = len(records[0][1])
    usual = next(width for width, count in widths.items() if count == most)
    usual = first_width if widths[first_width] == most else usual
    start = _header(records, usual)
    place, header = records[start]
    alike = sum(len(record) == usual for _, record in records)
    below = sum(len(record) == usual for _, record in records[start:])
    score = (usual > 1, alike / len(records), below / (len(records) - start), usual)
    body = records[start + 1 :]
    unnamed = (
        len(header) == usual - 1
        and len(body) > 1
        and all(len(record) == usual for _, record in body)
        # A delimiter at the end of each row makes no column.
        and any(record[-1].strip() for _, record in body)
    )
    titles = tuple(delimiter.join(record) for _, record in records[:start])
    end = _line_end(sample, quote)
    return score, Dialect(delimiter, quote, escape, place, tuple(header), end, titles, unnamed)


def _line_end(sample: str, quote: str) -> str:
    """Return what ends a line; what is between quotation marks ends none."""
    bare = re.sub(f"{quote}[^{quote}]*{quote}", "", sample[:QUOTED])
    ends = set(re.findall(r"\r\n|\n|\r", bare))
    return (ends or {"\n"}).pop() if len(ends) < 2 else ""


def _numbered(sample: str, dialect: Dialect) -> Iterator[tuple[int, list[str]]]:
    """Yield the first records that are not blank, each with its place, blank ones counted."""
    reader = dialect.reader(io.StringIO(sample, newline=""))
    try:
        for place, record in enumerate(islice(reader, ROWS), 1):
            if any(cell.strip() for cell in record):
                yield place, record
    except csv.Error:  # a cell beyond all measure; what came before it tells enough
        return


def _header(records: list[tuple[int, list[str]]], usual: int) -> int:
    """Return which record is the header: the first, unless those before it are plainly titles.

    A title has one cell, or begins with '#' and a blank, or is 'sep=;' as Excel wants it, or
    stands above a blank line. Whatever else differs in its number of cells is an error that the
    reader is to be told of.
    """
    for start, (place, record) in enumerate(records[:TITLE_LINES]):
        if len(record) != usual or (usual > 2 and _cells(record) == 1):
            continue
        if start + 1 < len(records) and _is_comment(record):
            continue
        above = [title for _, title in records[:start]]
        gap = start > 0 and place > records[start - 1][0] + 1
        if gap or all(_cells(title) == 1 or _is_comment(title) for title in above):
            return start
        return 0
    return 0


def _cells(record: list[str]) -> int:
    return sum(bool(cell.strip()) for cell in record)


def _is_comment(record: list[str]) -> bool:
    """Return whether a record is a comment, or the line with which Excel is told the delimiter."""
    return record[0].startswith("# ") or re.fullmatch(r"(?i)sep=.?", record[0]) is not None
