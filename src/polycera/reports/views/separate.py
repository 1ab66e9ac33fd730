"""The network against a separate one for each task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from polycera import drawing
from polycera.reports import markup
from polycera.reports.costs import costs
from polycera.reports.markup import Html, element, join
from polycera.reports.numbers import mean, plural, real, reals, say
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import CROWD, Sheet, View, beside, names, sentence
from polycera.runs.results import Gain, SeparateComparison

WHO = {
    "joint": "one network",
    "separate": "separate networks",
    "neither": "neither, as far as can be seen",
}


def pictures(seen: RunView) -> Iterator[tuple[str, Any]]:
    """The gain of every task with its interval, and what pairs of tasks do for each other."""
    found = seen.comparison
    if found is None:
        return
    parts = [_relative(gain, _ideal(seen, task, gain)) for task, gain in found.tasks.items()]
    yield (
        "separate",
        lambda: drawing.forest(
            list(found.tasks),
            *([part[i] for part in parts] for i in range(3)),
            title="Gain of one network over separate ones",
            x_label=f"relative gain in %, {100 * found.confidence:.3g} % interval; above 0 one network is better",
        ),
    )
    if found.affinity is not None:
        chosen = list(range(len(found.tasks)))[:CROWD]
        gain = [[_times(found.affinity.gain[i][j], 100.0) for j in chosen] for i in chosen]
        most = (
            max((abs(value) for row in gain for value in row if value is not None), default=1.0)
            or 1.0
        )
        shown = [list(found.tasks)[i] for i in chosen]
        yield (
            "affinity",
            lambda: drawing.heat(
                gain,
                shown,
                shown,
                title="Relative gain in % of a task (row) by training with another (column)",
                low=-most,
                high=most,
                diverging=True,
            ),
        )


def _ideal(seen: RunView, task: str, gain: Gain) -> float | None:
    """The value that a metric should reach, where neither more nor less is better; of others 0."""
    return (
        0.0
        if gain.direction != "target"
        else real(seen.scores.get(task, {}).get(gain.metric, {}).get("ideal"))
    )


def _relative(gain: Gain, ideal: float | None) -> tuple[float | None, float | None, float | None]:
    """Difference and interval in per cent of what separate networks reach: metrics of any unit on one axis.

    Of a metric that should reach a value, its distance to that counts, as in delta-m.
    """
    far = [
        value - ideal for value in reals(gain.separate) if value is not None and ideal is not None
    ]
    base = mean(map(abs, far) if gain.direction == "target" else far)
    scale = 100.0 / abs(base) if base else None
    low, middle, high = (_times(value, scale) for value in (gain.low, gain.difference, gain.high))
    return middle, low, high


def _times(value: Any, scale: float | None) -> float | None:
    number = real(value)
    return None if number is None or scale is None else number * scale


def view(sheet: Sheet) -> View | None:
    """The gains, the table, delta-m, the cost, affinity and groups."""
    found = sheet.seen.comparison
    if found is None:
        return None
    return sheet.view(
        "separate",
        "Against separate networks",
        sentence(found.verdict),
        beside(sheet.figure("separate"), join(_delta(found), _cost(found))),
        _table(found),
        _affinity(sheet, found),
    )


def _table(found: SeparateComparison) -> Html:
    rows = [
        [
            markup.name(task),
            gain.metric,
            say(mean(gain.joint)),
            say(mean(gain.separate)),
            say(gain.difference, 3),
            f"{say(gain.low, 3)} to {say(gain.high, 3)}",
            WHO[gain.better],
        ]
        for task, gain in found.tasks.items()
    ]
    head = [
        "task",
        "metric",
        "one network",
        "separate",
        "difference",
        f"{100 * found.confidence:.3g} % interval",
        "better",
    ]
    over = f"{plural(len(found.seeds), 'seed')} on the {found.part} rows"
    caption = f"Means over {over}; a difference above 0 is in favour of one network"
    return markup.table(caption, head, rows, (2, 3, 4, 5))


def _delta(found: SeparateComparison) -> Html | None:
    if real(found.delta) is None:
        return None
    ends = [_times(value, 100.0) for value in (found.delta, found.low, found.high)]
    interval = (
        f" ({100 * found.confidence:.3g} % interval {say(ends[1], 3)} to {say(ends[2], 3)})"
        if None not in ends
        else ""
    )
    return sentence(
        "Mean relative gain over the tasks, delta-m: ",
        element("strong", f"{say(ends[0], 3)} %"),
        interval,
        ".",
    )


def _cost(found: SeparateComparison) -> Html:
    times = [
        ("training, mean of the seeds", mean(found.joint_seconds), mean(found.separate_seconds)),
        ("answering for a row", found.joint.predict, found.separate.predict),
    ]
    return costs("What it costs", found.joint, found.separate, times)


def _affinity(sheet: Sheet, found: SeparateComparison) -> Html | None:
    if found.affinity is None:
        return None
    tasks = list(found.tasks)
    groups = [
        join("{", names([tasks[i] for i in group], 20), "}") for group in found.affinity.groups
    ]
    said = join(*(part for group in groups for part in (group, " ")))
    note = f"The first {CROWD} of {len(tasks)} tasks." if len(tasks) > CROWD else None
    return join(
        sheet.heading("Which tasks help each other"),
        sheet.figure("affinity", note),
        sentence("Best trained together: ", said),
    )
