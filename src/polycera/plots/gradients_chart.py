"""Draw what the tasks' gradients do to each other in the layers that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from polycera.errors import shorten
from polycera.plots import chart_parts, theme
from polycera.plots.matrix_chart import matrix
from polycera.plots.plain_values import (
    LEGEND,
    MOST_POINTS,
    as_lists,
    numbers,
    places_to_keep,
    plural,
    say,
)

OTHERS = "all others"
"""Name under which the tasks with the smallest shares are added up."""


def gradient_shares(
    epochs: Sequence[float],
    shares: Mapping[str, Sequence[float | None]],
    *,
    title: str = "Share of each task in the gradient of the shared layers",
    colours: Mapping[str, str] | None = None,
) -> theme.Chart:
    """Draw the share of each task in the weighted gradient norm, stacked to 100 %.

    Of more than 12 tasks the 11 with the largest shares are drawn, the others together.

    Args:
        epochs: their numbers.
        shares: task -> its share in each epoch, 0 to 1.
        title: what is shown.
        colours: task -> colour, as `task_colours` gives them.

    Raises:
        InputError: where there is not a share for each epoch.

    Examples:
        >>> from polycera import plots
        >>> shares = {"churn": [0.75, 0.5], "revenue": [0.25, 0.5]}
        >>> plots.gradient_shares([0, 1], shares).to_dict()["description"]
        'Share of each task in the gradient of the shared layers: 2 tasks over 2 epochs. Mean
        shares: churn 0.625, revenue 0.375.'
    """
    alt = theme.altair()
    at = numbers(epochs)
    curves: dict[str, list[float | None]] = {}
    for name, own in shares.items():
        _, curves[str(name)] = as_lists(epochs=at, shares=numbers(own))
    table = np.array(list(curves.values()), dtype=float).reshape(len(curves), len(at))
    if not np.isfinite(table).any():
        return chart_parts.sentence_only(title, "No gradient was measured.")
    table = np.nan_to_num(table, nan=0.0)
    names, palette = list(curves), theme.colours_of(curves, colours)
    order = np.argsort(-table.mean(axis=1), kind="stable")
    means = ", ".join(f"{shorten(names[i], 60)} {say(float(table[i].mean()))}" for i in order[:5])
    if len(names) > LEGEND:
        large = sorted(int(i) for i in order[: LEGEND - 1])
        rest = table.sum(axis=0) - table[large].sum(axis=0)
        table, names = np.vstack([table[large], rest]), [*(names[i] for i in large), OTHERS]
        palette = {name: palette.get(name, theme.NEUTRAL) for name in names}
    kept = places_to_keep(len(at), max(2, MOST_POINTS // len(names)))
    records = [
        {"epoch": at[i], "task": name, "order": k, "share": float(table[k, i])}
        for k, name in enumerate(names)
        for i in kept
        if at[i] is not None
    ]
    chart = alt.Chart(chart_parts.rows(records)).mark_area(aria=False, opacity=0.9)
    chart = chart.encode(
        x=alt.X("epoch:Q", title="epoch", scale=alt.Scale(zero=False, nice=False)),
        y=alt.Y(
            "share:Q",
            title="share of the weighted gradient norm",
            stack="normalize",
            axis=alt.Axis(format=".0%"),
        ),
        color=chart_parts.task_scale(palette),
        order=alt.Order("order:Q"),
        tooltip=chart_parts.tips(task_text="task", epoch="epoch", share="share"),
    )
    if len(kept) == 1:
        chart = chart.mark_bar(aria=False, width=40)
    said = f"{title}: {plural(len(curves), 'task')} over {plural(len(at), 'epoch')}."
    return chart_parts.finish(chart, title=title, description=f"{said} Mean shares: {means}.")


def gradient_cosines(
    tasks: Sequence[str],
    cosines: Sequence[Sequence[float | None]],
    *,
    title: str = "Mean cosine between the gradients",
) -> theme.Chart:
    """Draw the cosine between the gradients of every two tasks: below 0 they oppose each other.

    Args:
        tasks: names.
        cosines: a list for each task, from -1 to 1; None where not measured.
        title: what is shown.

    Raises:
        InputError: where the cosines are not a square of as many tasks.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.gradient_cosines(["churn", "revenue"], [[1, -0.2], [-0.2, 1]])
        >>> chart.to_dict()["description"]
        'Mean cosine between the gradients: cosine of 1 pair. Lowest: churn and revenue with -0.2.
        Highest: churn and revenue with -0.2.'
    """
    return matrix(tasks, cosines, title=title, value="cosine", low=-1.0, high=1.0, diverging=True)
