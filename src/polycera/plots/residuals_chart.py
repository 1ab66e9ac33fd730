"""Draw the errors of a task that is a number: how large they are, and where."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.errors import InputError
from polycera.plots import chart_parts, theme
from polycera.plots.plain_values import as_lists, known, number, numbers, plural, say


def histogram(
    edges: Sequence[float],
    rows: Sequence[float],
    *,
    title: str,
    x_title: str,
    y_title: str = "rows",
    zero: bool = False,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw how many rows fall between each two edges.

    Args:
        edges: of the bins, one more than `rows`.
        rows: number of rows in each bin.
        title: what is shown.
        x_title, y_title: of the axes, with the unit.
        zero: whether a dashed line stands at 0.
        colour: of the bars.

    Raises:
        InputError: where the edges are not one more than the rows.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.histogram([0, 1, 2], [3, 7], title="Skills", x_title="skill")
        >>> chart.to_dict()["description"]
        'Skills: 10 rows in 2 bins of skill from 0 to 2. Most are between 1 and 2.'
    """
    alt = theme.altair()
    at, counts = numbers(edges), numbers(rows)
    if at and len(at) != len(counts) + 1:
        raise InputError(
            f"A histogram was given {plural(len(at), 'edge')} and {plural(len(counts), 'bin')}: "
            "give one edge more than bins."
        )
    bins = [
        {"start": a, "end": b, "rows": n}
        for a, b, n in zip(at, at[1:], counts, strict=False)
        if None not in (a, b, n)
    ]
    total = sum(one["rows"] or 0 for one in bins)
    if not total:
        return chart_parts.sentence_only(title, "There are no rows to count.")
    bars = alt.Chart(chart_parts.rows(bins)).mark_bar(color=colour, binSpacing=1, aria=False)
    bars = bars.encode(
        x=alt.X("start:Q", title=x_title, scale=alt.Scale(zero=False, nice=False), bin="binned"),
        x2="end:Q",
        y=alt.Y("rows:Q", title=y_title),
        tooltip=chart_parts.tips(start="from", end="to", rows=y_title),
    )
    line = alt.Chart(chart_parts.rows([{"start": 0}])).mark_rule(style="guide", aria=False)
    most = max(bins, key=lambda one: one["rows"] or 0)
    said = f"{title}: {say(total, 9)} {y_title} in {plural(len(bins), 'bin')} of {x_title} from "
    said += f"{say(bins[0]['start'])} to {say(bins[-1]['end'])}. Most are between "
    said += f"{say(most['start'])} and {say(most['end'])}."
    layers = [bars, line.encode(x="start:Q")] if zero else [bars]
    return chart_parts.finish(alt.layer(*layers), title=title, description=said, height=220)


def residuals(
    edges: Sequence[float],
    rows: Sequence[int],
    *,
    task: str = "",
    unit: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the errors, true minus predicted, as a histogram; right of 0 too little was predicted.

    Args:
        edges: of the bins, one more than `rows`.
        rows: number of rows in each bin.
        task: of whom.
        unit: of the target.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where the edges are not one more than the rows.

    Examples:
        >>> from polycera import plots
        >>> plots.residuals([-2, 0, 2], [40, 60], task="revenue", unit="euro").to_dict()["title"]
        ['Errors of revenue']
    """
    return histogram(
        edges,
        rows,
        title=title or (f"Errors of {task}" if task else "Errors"),
        x_title="true minus predicted" + (f" ({unit})" if unit else ""),
        zero=True,
        colour=colour,
    )


def residual_bands(
    predicted: Sequence[float],
    low: Sequence[float | None],
    middle: Sequence[float | None],
    high: Sequence[float | None],
    *,
    task: str = "",
    unit: str = "",
    share: str = "80 %",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the errors by what was predicted: the middle, and the band that holds most of them.

    Args:
        predicted: mean prediction of each group of rows.
        low, middle, high: quantiles of true minus predicted in the group.
        task: of whom.
        unit: of the target.
        share: of the errors that lie in the band.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.residual_bands([10, 20], [-2, -3], [0, 1], [2, 4], task="revenue")
        >>> chart.to_dict()["description"]
        'Errors of revenue by prediction: 2 groups of rows, predicted 10 to 20. Middle error from 0
        to 1; 80 % of the errors are within -3 to 4.'
    """
    alt = theme.altair()
    title = title or (f"Errors of {task} by prediction" if task else "Errors by prediction")
    lists = as_lists(
        predicted=numbers(predicted), low=numbers(low), middle=numbers(middle), high=numbers(high)
    )
    fields = ("predicted", "low", "middle", "high")
    records = [dict(zip(fields, values, strict=True)) for values in zip(*lists, strict=True)]
    records = [one for one in records if None not in one.values()]
    if not records:
        return chart_parts.sentence_only(title, "There are no rows with a known error.")
    words = f" ({unit})" if unit else ""
    y_title = f"true minus predicted{words}"
    base = alt.Chart(chart_parts.rows(records)).encode(
        x=alt.X("predicted:Q", title=f"predicted{words}", scale=alt.Scale(zero=False, nice=False)),
        tooltip=chart_parts.tips(
            predicted="predicted", middle="middle error", low="low end", high="high end"
        ),
    )
    layers = [
        base.mark_area(color=colour, opacity=0.25, aria=False).encode(
            y=alt.Y("low:Q", title=y_title), y2="high:Q"
        ),
        base.mark_line(color=colour, point={"color": colour, "aria": False}, aria=False).encode(
            y=alt.Y("middle:Q", title=y_title)
        ),
        alt.Chart(chart_parts.rows([{"middle": 0}]))
        .mark_rule(style="guide", aria=False)
        .encode(y=alt.Y("middle:Q", title=y_title)),
    ]
    ends = {field: known(one[field] for one in records) for field in fields}
    said = f"{title}: {plural(len(records), 'group')} of rows, predicted "
    said += f"{say(min(ends['predicted']))} to {say(max(ends['predicted']))}. Middle error from "
    said += f"{say(min(ends['middle']))} to {say(max(ends['middle']))}; {share} of the errors are "
    said += f"within {say(min(ends['low']))} to {say(max(ends['high']))}."
    note = f"Line: the middle error. Band: {share} of the errors."
    return chart_parts.finish(
        alt.layer(*layers), title=title, description=said, notes=[note], height=260
    )


def coverage(
    level: Sequence[float],
    observed: Sequence[float | None],
    *,
    task: str = "",
    title: str | None = None,
    colour: str = theme.PALETTE[0],
) -> theme.Chart:
    """Draw the share of rows at or below each predicted quantile; on the dashed line all is well.

    Args:
        level: of the quantiles, 0 to 1.
        observed: share of the rows at or below each.
        task: of whom.
        title: what is shown.
        colour: of the task, as `task_colours` gives it.

    Raises:
        InputError: where these are not as many.

    Examples:
        >>> from polycera import plots
        >>> plots.coverage([0.1, 0.9], [0.12, 0.85], task="demand").to_dict()["description"]
        'Coverage of demand: 2 quantiles. Farthest apart: level 0.9, observed 0.85.'
    """
    alt = theme.altair()
    title = title or (f"Coverage of {task}" if task else "Coverage of the quantiles")
    levels, shares = as_lists(level=numbers(level), observed=numbers(observed))
    records = [
        {"level": a, "observed": b}
        for a, b in zip(levels, shares, strict=True)
        if number(a) is not None and b is not None
    ]
    if not records:
        return chart_parts.sentence_only(title, "There are no rows to count.")
    unit = alt.Scale(domain=[0, 1])
    x = alt.X("level:Q", title="level of the quantile", scale=unit)
    y = alt.Y("observed:Q", title="share of rows at or below it", scale=unit)
    equal = alt.Chart(chart_parts.rows([{"level": v, "observed": v} for v in (0, 1)]))
    line = alt.Chart(chart_parts.rows(records)).mark_line(
        color=colour, point={"color": colour, "size": 60, "aria": False}, aria=False
    )
    tip = chart_parts.tips(level="level", observed="observed")
    far = max(records, key=lambda one: abs(one["level"] - one["observed"]))
    said = f"{title}: {plural(len(records), 'quantile')}. Farthest apart: level "
    said += f"{say(far['level'])}, observed {say(far['observed'])}."
    return chart_parts.finish(
        alt.layer(
            equal.mark_line(style="guide", aria=False).encode(x=x, y=y),
            line.encode(x=x, y=y, tooltip=tip),
        ),
        title=title,
        description=said,
        height=280,
    )
