"""Draw whether what is predicted with 70 % comes true in 70 of 100 rows."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import as_lists, number, numbers, plural, say


def reliability(
    predicted: Sequence[float],
    observed: Sequence[float],
    rows: Sequence[int],
    *,
    low: Sequence[float | None] | None = None,
    high: Sequence[float | None] | None = None,
    ece: float | None = None,
    task: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw observed over predicted frequency, bin by bin; on the dashed line both are equal.

    Args:
        predicted: mean predicted probability of each bin.
        observed: share of its rows in which the event occurred.
        rows: how many rows it has; points of more rows are larger.
        low, high: interval of each observed share.
        ece: expected calibration error.
        task: of whom.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.reliability([0.2, 0.8], [0.25, 0.7], [40, 60], ece=0.08, task="churn")
        >>> chart.to_dict()["description"]
        'Reliability of churn: 2 bins of 100 rows. Farthest apart: 0.8 predicted, 0.7 observed.
        Expected calibration error 0.08.'
    """
    alt = theme.altair()
    title = title or (f"Reliability of {task}" if task else "Reliability")
    unknown = [None] * len(predicted)
    lists = as_lists(
        predicted=numbers(predicted),
        observed=numbers(observed),
        rows=numbers(rows),
        low=numbers(unknown if low is None else low),
        high=numbers(unknown if high is None else high),
    )
    fields = ("predicted", "observed", "rows", "low", "high")
    bins = [dict(zip(fields, values, strict=True)) for values in zip(*lists, strict=True)]
    bins = [one for one in bins if None not in (one["predicted"], one["observed"]) and one["rows"]]
    if not bins:
        return chart_parts.sentence_only(title, "No bin has rows, so nothing can be compared.")
    unit = alt.Scale(domain=[0, 1])
    x = alt.X("predicted:Q", title="predicted probability", scale=unit)
    y = alt.Y("observed:Q", title="observed frequency (share of rows)", scale=unit)
    tip = chart_parts.tips(
        predicted="predicted", observed="observed", rows="rows", low="from", high="to"
    )
    base = alt.Chart(chart_parts.rows(bins)).encode(x=x, tooltip=tip)
    size = alt.Size(
        "rows:Q", legend=None, scale=alt.Scale(range=[40, 280], domainMin=0, type="sqrt")
    )
    layers = [
        alt.Chart(chart_parts.rows([{"predicted": p, "observed": p} for p in (0, 1)]))
        .mark_line(style="guide", aria=False)
        .encode(x=x, y=y),
        base.mark_rule(color=colour, strokeWidth=2, opacity=0.5, aria=False).encode(
            y=alt.Y("low:Q"), y2="high:Q"
        ),
        base.mark_line(color=colour, strokeWidth=1.5, aria=False).encode(y=y),
        base.mark_point(color=colour, filled=True, opacity=0.9, aria=False).encode(y=y, size=size),
    ]
    far = max(bins, key=lambda one: abs(one["predicted"] - one["observed"]))
    count = int(sum(one["rows"] for one in bins))
    said = f"{title}: {plural(len(bins), 'bin')} of {plural(count, 'row')}. Farthest apart: "
    said += f"{say(far['predicted'])} predicted, {say(far['observed'])} observed."
    if number(ece) is not None:
        said += f" Expected calibration error {say(number(ece))}."
    return chart_parts.finish(alt.layer(*layers), title=title, description=said, height=300)
