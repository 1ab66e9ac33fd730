"""Draw what follows from every decision threshold: ROC curve, precision and recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import (
    MOST_POINTS,
    as_lists,
    number,
    numbers,
    places_to_keep,
    plural,
    say,
)


def roc(
    false_positive_rate: Sequence[float | None],
    true_positive_rate: Sequence[float | None],
    thresholds: Sequence[float | None],
    *,
    chosen: float | None = None,
    auc: float | None = None,
    task: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the ROC curve: rows found against false alarms, with the threshold in use as a ring.

    Args:
        false_positive_rate: share of the negative rows that are predicted positive.
        true_positive_rate: share of the positive rows that are.
        thresholds: at which these are so.
        chosen: the threshold in use. It is the parameter `chosen`: a slider of a page moves the
            ring by `view.signal("chosen", 0.3)`.
        auc: area under the curve.
        task: of whom.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.roc([0, 0.2, 1], [0, 0.8, 1], [1, 0.5, 0], chosen=0.45, auc=0.8)
        >>> chart.to_dict()["description"]
        'ROC curve: 3 thresholds. At the threshold 0.45: false alarms 0.2, found 0.8. Area under the
        curve 0.8, guessing gives 0.5.'
    """
    x, y, at = as_lists(
        false_positive_rate=numbers(false_positive_rate),
        true_positive_rate=numbers(true_positive_rate),
        thresholds=numbers(thresholds),
    )
    area = number(auc)
    more = "" if area is None else f" Area under the curve {say(area)}, guessing gives 0.5."
    return _curve(
        (x, y, at),
        title or (f"ROC curve of {task}" if task else "ROC curve"),
        ("false alarms (share of the negative rows)", "found (share of the positive rows)"),
        ("false alarms", "found"),
        number(chosen),
        [(0.0, 0.0), (1.0, 1.0)],
        more,
        colour,
    )


def precision_recall(
    recall: Sequence[float | None],
    precision: Sequence[float | None],
    thresholds: Sequence[float | None],
    *,
    chosen: float | None = None,
    positive_share: float | None = None,
    task: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw precision against recall, with the threshold in use as a ring.

    Args:
        recall: share of the positive rows that are predicted positive.
        precision: share of the predicted positive rows that are positive.
        thresholds: at which these are so.
        chosen: the threshold in use, the parameter `chosen` as in `roc`.
        positive_share: share of positive rows among all: the precision of guessing.
        task: of whom.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> recall, precision, thresholds = [1, 0.8, 0.2], [0.3, 0.6, 0.9], [0, 0.5, 0.9]
        >>> chart = plots.precision_recall(recall, precision, thresholds, chosen=0.5)
        >>> chart.to_dict()["description"]
        'Precision and recall: 3 thresholds. At the threshold 0.5: recall 0.8, precision 0.6.'
    """
    x, y, at = as_lists(
        recall=numbers(recall), precision=numbers(precision), thresholds=numbers(thresholds)
    )
    share = number(positive_share)
    return _curve(
        (x, y, at),
        title or (f"Precision and recall of {task}" if task else "Precision and recall"),
        ("recall (share of the positive rows found)", "precision (share of those predicted)"),
        ("recall", "precision"),
        number(chosen),
        [] if share is None else [(0.0, share), (1.0, share)],
        "" if share is None else f" Guessing gives a precision of {say(share)}.",
        colour,
    )


def _curve(
    columns: tuple[list[Any], list[Any], list[Any]],
    title: str,
    titles: tuple[str, str],
    words: tuple[str, str],
    chosen: float | None,
    guessing: list[tuple[float, float]],
    more: str,
    colour: str,
) -> theme.Chart:
    """Draw a curve over all thresholds from the highest to the lowest."""
    alt = theme.altair()
    points = [point for point in zip(*columns, strict=True) if None not in point]
    if not points:
        return chart_parts.sentence_only(
            title, "There are not both positive and negative rows, so there is no curve."
        )
    points.sort(key=lambda point: (-point[2], point[0], point[1]))
    nearest = None
    if chosen is not None:
        nearest = min(range(len(points)), key=lambda i: abs(points[i][2] - chosen))
    kept = places_to_keep(len(points), MOST_POINTS, () if nearest is None else (nearest,))
    records = [
        {"x": points[i][0], "y": points[i][1], "threshold": points[i][2], "order": i} for i in kept
    ]
    unit = alt.Scale(domain=[0, 1])
    x = alt.X("x:Q", title=titles[0], scale=unit)
    y = alt.Y("y:Q", title=titles[1], scale=unit)
    tip = chart_parts.tips(threshold="threshold", x=words[0], y=words[1])
    base = alt.Chart(chart_parts.rows(records)).encode(x=x, y=y, tooltip=tip)
    layers = [
        base.mark_line(color=colour, strokeWidth=2, aria=False).encode(order=alt.Order("order:Q")),
        # What the pointer touches: the line itself has one tooltip for all its points.
        base.mark_point(filled=True, color=colour, size=40, opacity=0.01, aria=False),
    ]
    if guessing:
        guess = alt.Chart(chart_parts.rows([{"x": a, "y": b} for a, b in guessing]))
        layers.insert(0, guess.mark_line(style="guide", aria=False).encode(x=x, y=y))
    said = f"{title}: {plural(len(points), 'threshold')}."
    if nearest is not None:
        ring = base.transform_calculate(away="abs(datum.threshold - chosen)")
        ring = ring.transform_joinaggregate(least="min(away)")
        ring = ring.transform_filter("datum.away == datum.least")
        ring = ring.mark_point(style="ring", filled=False, size=170, opacity=1, aria=False)
        layers.append(ring.add_params(alt.param(name="chosen", value=chosen)))
        said += f" At the threshold {say(chosen)}: {words[0]} {say(points[nearest][0])}, "
        said += f"{words[1]} {say(points[nearest][1])}."
    return chart_parts.finish(
        alt.layer(*layers),
        title=title,
        description=said + more,
        notes=["Ring: the threshold in use."] if nearest is not None else (),
        height=300,
    )
