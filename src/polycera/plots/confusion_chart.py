"""Draw which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from polycera.errors import InputError, shorten
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import plural

MOST = 30
"""Most classes drawn; of more, those with the most errors."""


def confusion(
    labels: Sequence[str],
    counts: Sequence[Sequence[int]],
    *,
    task: str = "",
    title: str | None = None,
) -> theme.Chart:
    """Draw a confusion matrix: true classes in rows, predicted classes in columns.

    Colour is the share of a true class's rows, so that a rare class is seen beside a frequent one.

    Args:
        labels: names of the classes.
        counts: rows of the table by true class (outer) and predicted class (inner).
        task: of whom.
        title: what is shown.

    Raises:
        InputError: where the counts are not a square of as many classes.

    Examples:
        >>> from polycera import plots
        >>> plots.confusion(["no", "yes"], [[90, 10], [5, 20]]).to_dict()["description"]
        'Confusion matrix: 110 of 125 rows are predicted right. Most frequent error: 10 rows of no
        predicted as yes.'
    """
    alt = theme.altair()
    title = title or (f"Confusion matrix of {task}" if task else "Confusion matrix")
    names = [str(label) for label in labels]
    table = np.asarray(counts, dtype=float).reshape(len(counts), -1) if len(counts) else None
    if table is None or not names or not np.nansum(table):
        return chart_parts.sentence_only(title, "There are no rows with a label.")
    if table.shape != (len(names), len(names)):
        raise InputError(
            f"A confusion matrix of {len(names)} classes was given {table.shape[0]} rows and "
            f"{table.shape[1]} columns: give a row and a column for each class."
        )
    table = np.nan_to_num(table, nan=0.0, posinf=0.0)
    errors = table - np.diag(np.diag(table))
    worst = np.argsort(-(errors.sum(axis=0) + errors.sum(axis=1)), kind="stable")[:MOST]
    chosen = sorted(int(i) for i in worst)
    totals = table.sum(axis=1)
    records = [
        {
            "true": names[i],
            "predicted": names[j],
            "rows": int(table[i, j]),
            "share": float(table[i, j] / totals[i]) if totals[i] else None,
            "true_order": i,
            "predicted_order": j,
        }
        for i in chosen
        for j in chosen
    ]
    small = len(chosen) <= 8
    cell = alt.Chart(chart_parts.rows(records)).encode(
        x=alt.X(
            "predicted:N",
            sort=alt.EncodingSortField("predicted_order", op="min"),
            title="predicted class",
            axis=alt.Axis(
                labelAngle=0 if small and _short(names) else -40,
                labelLimit=90,
                labelOverlap=len(chosen) > 12,
            ),
        ),
        y=alt.Y("true:N", sort=alt.EncodingSortField("true_order", op="min"), title="true class"),
        tooltip=[
            *chart_parts.tips(true_text="true", predicted_text="predicted", rows="rows"),
            alt.Tooltip("share:Q", title="share of the true class", format=".1%"),
        ],
    )
    share = alt.Color(
        "share:Q",
        title="share of the true class",
        scale=alt.Scale(domain=[0, 1], range="ramp", interpolate="rgb"),
        legend=alt.Legend(format=".0%"),
    )
    layers = [cell.mark_rect(aria=False).encode(color=share)]
    if len(chosen) <= 12:
        number = alt.Text("rows:Q", format=",")
        for style, condition in (("on-few", "<= 0.55"), ("on-many", "> 0.55")):
            text = cell.transform_filter(f"(datum.share || 0) {condition}")
            layers.append(text.mark_text(style=style, aria=False).encode(text=number))
    right, all_ = int(np.trace(table)), int(table.sum())
    said = f"{title}: {right:,} of {plural(all_, 'row')} are predicted right."
    i, j = np.unravel_index(int(np.argmax(errors)), errors.shape)
    if errors[i, j]:
        one, other = shorten(names[int(i)], 60), shorten(names[int(j)], 60)
        said += f" Most frequent error: {plural(int(errors[i, j]), 'row')} of {one}"
        said += f" predicted as {other}."
    notes = [f"The {MOST} of {len(names)} classes with the most errors."]
    return chart_parts.finish(
        alt.layer(*layers),
        title=title,
        description=said,
        height=chart_parts.height_of(len(chosen), 40 if small else 24),
        notes=notes if len(names) > MOST else (),
    )


def _short(names: Sequence[str]) -> bool:
    return max(map(len, names)) <= 40 / len(names)
