"""Read several labels from one cell, such as `calm|happy`, as a column of 0 and 1 for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from polycera.data.cells.words import MISSING
from polycera.data.column import Values, as_text
from polycera.data.table import Table
from polycera.errors import InputError, listing, shorten
from polycera.tasks import Multilabel, Task


def found_tags(name: str, cells: Values, sign: str) -> list[str]:
    """Return the different tags in the cells [n] of a column, sorted, without blanks around them.

    Args:
        name: the column, for errors.
        cells: text, or None where there is none.
        sign: what stands between two tags.

    Raises:
        InputError: for a sign that is no text, and where no cell has a tag.

    Examples:
        >>> found_tags("mood", np.array(["sad | calm", "", None], dtype=object), "|")
        ['calm', 'sad']
    """
    if not isinstance(sign, str) or not sign:
        raise InputError(
            f"The tags of column {shorten(name)!r} need the sign between two of them, such as '|', "
            f"got {sign!r}."
        )
    tags = sorted({tag for cell in set(as_text(cells)) for tag in _tags(cell, sign)})
    if not tags:
        raise InputError(
            f"Column {shorten(name)!r} has no tag in any of its {len(cells)} rows, so there is "
            "nothing to learn; name another column in --tags."
        )
    return tags


def with_tags(table: Table, name: str, sign: str, tags: Sequence[str]) -> tuple[Table, str]:
    """Return the table with a column of 0 and 1 for each tag in the place of the column of tags.

    A row without tags has none of them. Where the cell is a word for a missing value, all are
    missing; where a column has empty cells as text, so are cells that a frame declares missing.

    Args:
        table: has the column of tags.
        name: the column.
        sign: what stands between two tags.
        tags: the tags to look for, as `found_tags` returns them; others are an error.

    Returns:
        the table, and a sentence with counts.

    Raises:
        InputError: for a tag with the name of another column, or one that is not among `tags`.
    """
    cells = as_text(table[name])
    if taken := [tag for tag in tags if tag in table.names and tag != name]:
        raise InputError(
            f"The tags {listing(taken)} of column {shorten(name)!r} are named as other columns; "
            "leave these columns out with --exclude, or rename them."
        )
    distinct, first, codes = np.unique(
        np.array(["" if cell is None else cell for cell in cells], dtype=object),
        return_index=True,
        return_inverse=True,
    )
    places = {tag: place for place, tag in enumerate(tags)}
    matrix = np.zeros((len(distinct), len(tags)))
    for row, cell in enumerate(distinct):
        if _is_missing(cell):
            matrix[row] = np.nan
            continue
        for tag in _tags(cell, sign):
            if tag not in places:
                raise InputError(
                    f"Column {shorten(name)!r} has the tag {shorten(tag)!r} in row {first[row]}, "
                    f"which is not among {listing(tags)}."
                )
            matrix[row, places[tag]] = 1.0
    labels = matrix[codes.reshape(-1)]
    no_value = np.array([cell is None for cell in cells])
    if no_value.any() and any(cell is not None and not cell.strip() for cell in set(cells)):
        labels[no_value] = np.nan
    missing = int(np.isnan(labels[:, 0]).sum())
    none = int((labels.sum(axis=1) == 0).sum())
    sentence = (
        f"Column {shorten(name)!r} has {len(tags)} tags ({listing(tags, 5)}), {sign!r} between "
        f"them; {none} of {table.rows} rows have none"
        + (f", {missing} are missing." if missing else ".")
    )
    columns = {tag: np.ascontiguousarray(labels[:, place]) for place, tag in enumerate(tags)}
    return table.with_columns(columns, instead_of=name), sentence


def joined(tags: Sequence[str], answers: np.ndarray, sign: str) -> np.ndarray:
    """Return the tags that are 1 in each row of answers [n, tags], joined by a sign, [n]."""
    patterns, codes = np.unique(np.asarray(answers) > 0.5, axis=0, return_inverse=True)
    texts = [
        sign.join(tag for tag, is_there in zip(tags, pattern, strict=True) if is_there)
        for pattern in patterns
    ]
    return np.array(texts, dtype=object)[codes.reshape(-1)]


def _is_missing(cell: str) -> bool:
    """Return whether a cell is a word for a missing value; an empty cell is not."""
    bare = cell.strip()
    return bare != "" and bare in MISSING


def _tags(cell: str | None, sign: str) -> list[str]:
    """Return the tags in a cell."""
    if cell is None or _is_missing(cell):
        return []
    return [tag for part in cell.split(sign) if (tag := part.strip())]


def with_tag_targets(
    table: Table, targets: Iterable[Any], signs: Mapping[str, str]
) -> tuple[Table, list[Any], list[str]]:
    """Return a table and its targets, with columns of tags as multilabel tasks.

    Args:
        table: the rows.
        targets: by name, as `named_targets` returns them, or tasks.
        signs: column -> sign between two tags.

    Returns:
        the table with a column for each tag, the targets, and a sentence for each column of tags.

    Raises:
        UnknownName: for a column that the table does not have.
        InputError: for a column of tags that is no target or has another kind; as `with_tags`.
    """
    pairs = [pair for target in targets for pair in _pair(target)]
    wishes = dict(pairs)
    sentences = []
    for name, sign in signs.items():
        if name not in wishes:
            table[name]  # raises UnknownName
            raise InputError(
                f"Column {shorten(name)!r} has tags and is not a target: add it to the targets "
                f"(--target {shorten(name)}), or leave it out of --tags."
            )
        wish = wishes[name]
        if wish is not None and wish != Multilabel.kind and not isinstance(wish, Multilabel):
            raise InputError(
                f"The target {shorten(name)!r} has tags, so it is multilabel, and was given as "
                f"{shorten(repr(wish), 60)}; leave that out."
            )
        task = wish if isinstance(wish, Multilabel) else Multilabel(name)
        if task.labels and name not in table and all(label in table for label in task.labels):
            continue
        tags = task.labels or found_tags(name, table[name], sign)
        table, sentence = with_tags(table, name, sign, tags)
        sentences.append(sentence)
        wishes[name] = task if task.labels else task.replace(labels=tags)
    # Pair by pair: a target that is named twice is refused later, by name.
    named = [{name: wishes[name]} if wishes[name] is not None else name for name, _ in pairs]
    return table, named, sentences


def _pair(target: Any) -> Iterable[tuple[str, Any]]:
    """Return a target as pairs of name and kind or task."""
    if isinstance(target, Task):
        return [(target.name, target)]
    return target.items() if isinstance(target, Mapping) else [(target, None)]
