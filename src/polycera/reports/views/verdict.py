"""The verdict: what was trained and how well, one network or several, and where the training ended."""

from __future__ import annotations

import shlex

from polycera.reports import markup
from polycera.reports.history import JOINT
from polycera.reports.markup import Html, Inside, element, join
from polycera.reports.numbers import count, fixed, plural, real, say, seconds
from polycera.reports.run_view import RunView
from polycera.reports.section_builder import Sheet, View, names, sentence


def view(sheet: Sheet) -> View:
    """Three sentences with numbers, and above them the three that matter most, large."""
    seen = sheet.seen
    return sheet.view(
        "verdict",
        "Verdict",
        _tiles(seen),
        _faults(seen),
        _state(seen),
        _how_good(seen),
        _how_shared(seen),
        _how_long(seen),
    )


def _tiles(seen: RunView) -> Html:
    best = seen.history.best(JOINT, True) if seen.history else None
    where = f"mean skill, {seen.held_out} rows" if seen.held_out else "mean skill, validation rows"
    tiles = [
        (fixed(seen.mean_skill), where) if seen.mean_skill is not None else None,
        (count(len(seen.tasks)), "task" if len(seen.tasks) == 1 else "tasks"),
        (count(best[0]), f"best epoch of {count(len(seen.history.epochs))}")
        if best and seen.history
        else None,
        (count(seen.weights), "weights") if seen.weights is not None else None,
    ]
    each = [
        element("div", element("dt", tile[1]), element("dd", tile[0])) for tile in tiles if tile
    ]
    return element("dl", each, class_="tiles")


def _faults(seen: RunView) -> Html | None:
    if not seen.faults:
        return None
    said = [element("li", fault) for fault in dict.fromkeys(seen.faults)]
    return element(
        "div",
        element("p", "Not all of this run can be read:"),
        element("ul", said),
        class_="note bad",
    )


def _state(seen: RunView) -> Html | None:
    """That the training goes on, and how to."""
    if seen.finished:
        return None
    command = element("code", f"polycera resume {shlex.quote(str(seen.path))}")
    where = (
        f"; its newest checkpoint is in epoch {seen.cut.epoch}, before batch {seen.cut.batch}"
        if seen.cut
        else ""
    )
    return element(
        "p",
        f"This training has not ended{where}. What is known so far is below; to go on with it: ",
        command,
        class_="note",
    )


def _how_good(seen: RunView) -> Html:
    verb = "One network was trained for" if seen.finished else "One network is being trained for"
    what = join(verb, f" {plural(len(seen.tasks), 'task')}, ", names(seen.tasks), _rows(seen))
    if seen.mean_skill is None:
        return sentence(what, ".")
    known = {task: skill for task, skill in seen.skills.items() if skill is not None}
    part = (
        f"on the {seen.held_out} rows"
        if seen.held_out
        else "on the validation rows, in its latest epoch,"
    )
    reach = join(
        "; ", part, " it reaches a mean skill of ", element("strong", fixed(seen.mean_skill))
    )
    undefined = len(seen.skills) - len(known)
    over = f" over the {len(known)} tasks in which it is defined" if undefined else ""
    return sentence(
        what, reach, over, " (0 is the trivial predictor, 1 perfect)", _ends(seen, known), "."
    )


def _rows(seen: RunView) -> str:
    rows = (seen.metrics or {}).get("rows")
    number = real(rows.get("train")) if isinstance(rows, dict) else None
    return "" if number is None else f", on {plural(int(number), 'row')}"


def _ends(seen: RunView, known: dict[str, float]) -> Inside:
    """The best and the worst task."""
    if len(known) == 1:
        return join(", ", _reached(seen, next(iter(known))))
    best, worst = max(known, key=lambda task: known[task]), min(known, key=lambda task: known[task])
    return join(": best ", _reached(seen, best), ", worst ", _reached(seen, worst))


def _reached(seen: RunView, task: str) -> Html:
    skill = f"skill {fixed(seen.skills[task])}"
    if task not in seen.headlines:
        return join(markup.name(task, 40), f" ({skill})")
    metric, score = seen.headlines[task]
    return join(markup.name(task, 40), f" ({metric} {say(score['value'])}, {skill})")


def _how_shared(seen: RunView) -> Html:
    shared = join(seen.sharing.verdict, " ") if seen.sharing else None
    if seen.comparison:
        return sentence(shared, seen.comparison.verdict)
    command = element("code", f"polycera compare-separate {shlex.quote(str(seen.path))}")
    if not seen.finished:
        return sentence(
            shared or "Whether separate networks would be better can be measured once it has ended."
        )
    if len(seen.tasks) < 2:
        return sentence(shared or "It has a single task, so there is nothing to share.")
    return sentence(
        shared,
        "Whether separate networks would be better was not measured; to find out: ",
        command,
        ".",
    )


def _how_long(seen: RunView) -> Html | None:
    history, metrics = seen.history, seen.metrics or {}
    if history is None:
        return None
    time = f" and {seconds(seen.seconds)}" if real(seen.seconds) is not None else ""
    verb = "The training stopped after" if seen.finished else "So far it took"
    start = f"{verb} {plural(len(history.epochs), 'epoch')}{time}"
    picked = real(metrics.get("picked"))
    if picked is not None:
        return sentence(start, f"; of the epochs that were kept, epoch {count(picked)} was picked.")
    for name, highest, what in (
        (JOINT, True, "the joint score was highest"),
        ("val_loss", False, "the validation loss was lowest"),
    ):
        best = history.best(name, highest)
        if best:
            stays = ", and the network has the weights of that epoch" if seen.finished else ""
            return sentence(start, f"; {what} in epoch {best[0]} ({say(best[1], 3)}){stays}.")
    return sentence(start, ", without validation rows: the network has its last weights.")
