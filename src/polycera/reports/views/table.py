"""The data: what each column was to the network and why, the rows of each part, and warnings."""

from __future__ import annotations

from typing import Any

from polycera.reports import markup
from polycera.reports.markup import Html, element
from polycera.reports.numbers import count, percent, plural, real
from polycera.reports.section_builder import Sheet, View

SHOWN = 40
"""Columns beyond which their table is folded."""


def view(sheet: Sheet) -> View | None:
    """Warnings first."""
    schema, quality = sheet.seen.schema, sheet.seen.quality
    if schema is None:
        return None
    parts = (
        _warnings([*schema["warnings"], *(quality.warnings if quality else [])]),
        _rows(sheet),
        _targets(sheet),
        _columns(schema["columns"]),
    )
    return sheet.view("data", "Data", *parts)


def _warnings(found: list[str]) -> Html | None:
    if not found:
        return None
    said = element("ul", [element("li", warning) for warning in found])
    return element("div", element("p", plural(len(found), "warning")), said, class_="note")


def _rows(sheet: Sheet) -> Html | None:
    rows = (sheet.seen.metrics or {}).get("rows")
    if not isinstance(rows, dict) or not rows:
        return None
    folds = sheet.seen.spec.network.folds or 1
    if folds > 1:  # the same rows: each validates the members that do not learn from it
        both = f"train and, in {folds} folds, validation"
        rows = {
            both: rows.get("train"),
            **{part: rows[part] for part in rows if part not in ("train", "validation")},
        }
    total = sum(real(number) or 0 for number in rows.values())
    body = [[part, count(number), percent(number, total)] for part, number in rows.items()]
    return markup.table(
        "Rows", ["part", "rows", "share"], [*body, ["all", count(total), ""]], (1, 2)
    )


def _targets(sheet: Sheet) -> Html:
    rows = [
        [
            markup.name(name, 400),
            str(task.get("kind", "")),
            _terms(task.get("loss")),
            str(task.get("weight", 1.0)),
            _classes(task),
        ]
        for name, task in zip(sheet.seen.tasks, sheet.seen.spec.tasks, strict=True)
    ]
    found = markup.table(
        "Tasks", ["task", "kind", "loss", "weight", "classes or labels"], rows, (3,)
    )
    return (
        markup.folded(f"All {len(rows)} tasks", found, class_="more")
        if len(rows) > SHOWN
        else found
    )


def _terms(found: Any) -> str:
    if not isinstance(found, list):
        return str(found or "")
    named = [
        (term.get("loss", ""), term.get("weight", 1.0)) for term in found if isinstance(term, dict)
    ]
    return " + ".join(str(loss) if weight == 1 else f"{weight} × {loss}" for loss, weight in named)


def _classes(task: dict[str, Any]) -> Html:
    found = task.get("classes") or task.get("labels") or []
    names = found if isinstance(found, list) else [found]
    shown = [part for one in names[:8] for part in (markup.name(one, 30), ", ")][:-1]
    return markup.join(*shown, f", … {len(names)} in all" if len(names) > 8 else "")


def _columns(found: list[dict[str, Any]]) -> Html:
    notable = [column for column in found if column["notable"]]
    rows = [
        [
            markup.name(column["name"], 400),
            column["role"],
            column["kind"],
            column["reason"],
            "look here" if column["notable"] else "",
        ]
        for column in (*notable, *(column for column in found if not column["notable"]))
    ]
    table = markup.table(
        "Columns, and why each is what it is", ["column", "role", "kind", "reason", ""], rows
    )
    return (
        markup.folded(f"All {len(rows)} columns", table, class_="more")
        if len(rows) > SHOWN
        else table
    )
