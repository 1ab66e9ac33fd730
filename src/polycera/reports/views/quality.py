"""How good each task's answers are: calibration, thresholds, confusion, residuals, coverage, importance."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from polycera import drawing
from polycera.reports import markup
from polycera.reports.markup import Html, Inside, join
from polycera.reports.numbers import count, fixed, percent, plural, say
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, sentence
from polycera.runs.results import (
    Confusion,
    Coverage,
    Drops,
    Label,
    Reliability,
    Residuals,
    TaskQuality,
    Threshold,
)

BROAD = 60
"""Classes of a confusion matrix that is drawn at most."""


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """Of each task what its kind has, as `reliability/TASK`; of a label of many as `reliability/TASK/LABEL`."""
    for task, own in (seen.quality.tasks if seen.quality else {}).items():
        for label in own.labels:
            yield from _of_label(seen, task, own, label)
        if own.reliability is not None:
            yield (
                f"reliability/{task}",
                partial(
                    _reliability, own.reliability, f"Reliability of {task}: the class that is said"
                ),
            )
        if own.confusion is not None and len(own.confusion.labels) <= BROAD:
            yield f"confusion/{task}", partial(_confusion, task, own.confusion)
        if own.residuals is not None:
            yield f"residuals/{task}", partial(_residuals, task, own.residuals)
            yield f"predicted/{task}", partial(_predicted, task, own.residuals)
        if own.coverage is not None:
            yield f"coverage/{task}", partial(_coverage, task, own.coverage)
    for task, drops in (seen.importance.tasks if seen.importance else {}).items():
        yield f"importance/{task}", partial(_importance, seen, task, drops)


def _of_label(
    seen: RunView, task: str, own: TaskQuality, label: Label
) -> Iterator[tuple[str, Any]]:
    place, shown = _place(task, own, label), _shown(task, own, label)
    yield (
        f"reliability/{place}",
        partial(_reliability, label.reliability, f"Reliability of {shown}"),
    )
    if label.curve.threshold:
        yield f"precision-recall/{place}", partial(_precision_recall, shown, label)
        yield f"threshold/{place}", partial(_threshold, shown, label)


def _place(task: str, own: TaskQuality, label: Label) -> str:
    return f"{task}/{label.name}" if own.kind == "multilabel" or len(own.labels) > 1 else task


def _shown(task: str, own: TaskQuality, label: Label) -> str:
    return (
        f"{label.name} in {task}"
        if own.kind == "multilabel" or len(own.labels) > 1
        else f"{task} = {label.name}"
    )


def _reliability(found: Reliability, title: str) -> drawing.Picture:
    return drawing.reliability(found, title=title)


def _precision_recall(shown: str, label: Label) -> drawing.Picture:
    curve, fitted = label.curve, label.fitted.threshold
    nearest = min(range(len(curve.threshold)), key=lambda i: abs(curve.threshold[i] - fitted))
    points = list(zip(curve.recall, curve.precision, strict=True))
    # the curve has not every threshold
    points[nearest] = (label.fitted.recall, label.fitted.precision)
    return drawing.scatter(
        points,
        title=f"Precision and recall of {shown}",
        x_label="recall: found of those that are true",
        y_label="precision: true of those that are said",
        names=[
            f"threshold {say(at if i != nearest else fitted, 3)}"
            for i, at in enumerate(curve.threshold)
        ],
        chosen=nearest,
        line=True,
    )


def _threshold(shown: str, label: Label) -> drawing.Picture:
    curve, fitted = label.curve, label.fitted.threshold
    return drawing.lines(
        {"precision": curve.precision, "recall": curve.recall},
        title=f"Precision and recall of {shown} by threshold",
        x=curve.threshold,
        x_label="probability from which it is said",
        marks={f"in use: {say(fitted, 3)}": fitted},
        low=0.0,
        high=1.0,
    )


def _confusion(task: str, found: Confusion) -> drawing.Picture:
    totals = [sum(row) for row in found.counts]
    parts = [
        [n / total if total else None for n in row]
        for row, total in zip(found.counts, totals, strict=True)
    ]
    return drawing.heat(
        parts,
        [f"{label} ({total})" for label, total in zip(found.labels, totals, strict=True)],
        found.labels,
        title=f"What was said of {task}, by what is true",
        low=0.0,
        high=1.0,
        x_label="said",
        y_label="true (rows)",
    )


def _residuals(task: str, found: Residuals) -> drawing.Picture:
    return drawing.histogram(
        found.edges, found.rows, title=f"Residuals of {task}", x_label="true minus predicted"
    )


def _predicted(task: str, found: Residuals) -> drawing.Picture:
    return drawing.scatter(
        list(zip(found.true, found.predicted, strict=True)),
        title=f"Predicted against true {task}",
        x_label="true",
        y_label="predicted",
        diagonal=True,
    )


def _coverage(task: str, found: Coverage) -> drawing.Picture:
    return drawing.scatter(
        list(zip(found.level, found.observed, strict=True)),
        title=f"Coverage of the quantiles of {task}",
        x_label="level of the quantile",
        y_label="share of rows at or below it",
        names=[f"quantile {say(level, 3)}" for level in found.level],
        line=True,
        diagonal=True,
    )


def _importance(seen: RunView, task: str, drops: Drops) -> drawing.Picture:
    assert seen.importance is not None
    columns = seen.importance.columns
    errors = {
        name: round(each, 4)
        for name, each in zip(columns, drops.deviation, strict=True)
        if each is not None
    }
    return drawing.bars(
        {
            name: value if value is None else round(value, 4)
            for name, value in zip(columns, drops.mean, strict=True)
        },
        title=f"What {task} loses when a column is shuffled",
        x_label=f"skill lost ({drops.metric})",
        errors=errors,
        reference=0.0,
    )


def view(sheet: Sheet) -> View | None:
    """Task by task."""
    seen = sheet.seen
    qualities, drops = (
        (seen.quality.tasks if seen.quality else {}),
        (seen.importance.tasks if seen.importance else {}),
    )
    tasks = [
        task
        for task in dict.fromkeys((*seen.tasks, *qualities, *drops))
        if task in qualities or task in drops
    ]
    if not tasks:
        return None
    part = seen.quality.part if seen.quality else seen.importance.part if seen.importance else ""
    each = {task: partial(_of_task, sheet, task, qualities.get(task)) for task in tasks}
    said = f"Measured on the {part} rows, which the network has not learned from."
    said = said if part != "train" else "Measured on the training rows: no rows were held out."
    return sheet.view(
        "quality", "Quality, task by task", sentence(said), sheet.each_task("quality", each)
    )


def _of_task(sheet: Sheet, task: str, own: TaskQuality | None) -> Html:
    inside: list[Inside] = []
    if own is not None:
        inside.append(
            sentence(
                f"{own.kind}, {plural(own.rows, 'row')} with a label.",
                _residual_note(own.residuals),
            )
        )
        inside.append(_labels(sheet, task, own))
        kinds = ("reliability", "confusion", "residuals", "predicted", "coverage")
        inside.append(
            sheet.figures(
                *(f"{kind}/{task}" for kind in kinds if kind != "reliability" or not own.labels)
            )
        )
    return join(*inside, sheet.figure(f"importance/{task}", _importance_note(sheet.seen)))


def _residual_note(found: Residuals | None) -> str:
    if found is None:
        return ""
    mean = (
        f" The mean residual is {say(found.mean)}, the standard deviation {say(found.deviation)}."
    )
    return (
        f"{mean} The bar at either end of the residuals is as wide as the furthest row asks."
        if found.rows
        else mean
    )


def _labels(sheet: Sheet, task: str, own: TaskQuality) -> Html | None:
    """A table of the labels, then their pictures; of a crowd of tasks without the threshold's."""
    if not own.labels:
        return None
    kinds = (
        ("reliability", "precision-recall")
        if sheet.crowded
        else ("reliability", "precision-recall", "threshold")
    )
    figures = [
        sheet.figures(*(f"{kind}/{_place(task, own, label)}" for kind in kinds))
        for label in own.labels
    ]
    if len(own.labels) > 1:
        pairs = zip(own.labels, figures, strict=True)
        figures = [
            markup.folded(markup.name(label.name), figure, class_="more") for label, figure in pairs
        ]
    known = sheet.seen.thresholds
    fitted = known.tasks.get(task, {}) if known else {}
    return join(_label_table(own, fitted), figures)


def _label_table(own: TaskQuality, fitted: dict[str, Threshold]) -> Html:
    rows = [
        [
            markup.name(label.name),
            f"{count(label.positives)} of {count(label.rows)} ({percent(label.positives, label.rows)})",
            fixed(label.reliability.ece),
            say(said.threshold, 3) + mark,
            *(fixed(value) for value in (said.precision, said.recall, said.f1, said.accuracy)),
        ]
        for label in own.labels
        for said, mark in ((label.fitted, _by(fitted.get(label.name))), (label.half, ""))
        if said is label.fitted or label.fitted.threshold != label.half.threshold
    ]
    head = [
        "answer",
        "true in",
        "calibration error",
        "said from",
        "precision",
        "recall",
        "F1",
        "accuracy",
    ]
    return markup.table(
        "What the answers are worth, at the threshold in use and at 0.5",
        head,
        rows,
        (2, 4, 5, 6, 7),
    )


def _by(found: Threshold | None) -> str:
    """By what a threshold was fitted."""
    return "" if found is None else f" (best {found.metric}, {found.part} rows)"


def _importance_note(seen: RunView) -> str | None:
    found = seen.importance
    if found is None:
        return None
    rest = (
        f"; {plural(found.left_out, 'column')} that matter less are not shown"
        if found.left_out
        else ""
    )
    over = f"{plural(found.repeats, 'shuffling')} of {plural(found.rows, found.part + ' row')}"
    return f"Mean and deviation over {over}{rest}."
