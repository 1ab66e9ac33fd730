"""How to repeat it: commands, seed, versions and the spec."""

from __future__ import annotations

import shlex

from polycera.reports import markup
from polycera.reports.markup import Html, element
from polycera.reports.section_builder import Sheet, View


def view(sheet: Sheet) -> View:
    """All that it takes."""
    seen = sheet.seen
    place = shlex.quote(str(seen.path))
    commands = [f"polycera fit --spec {place}/spec.yaml"]
    if not seen.finished:
        commands.insert(0, f"polycera resume {place}")
    elif seen.kept:
        commands.append(
            f"polycera pick {place} --score-weight {shlex.quote(seen.tasks[0])}=1 --out chosen"
        )
    commands.append(f"polycera report {place}")
    code = element(
        "pre",
        element("code", "\n".join(commands)),
        tabindex="0",
        role="group",
        aria_label="Commands",
    )
    return sheet.view("repeat", "How to repeat it", code, _versions(sheet), _spec(seen.text))


def _versions(sheet: Sheet) -> Html | None:
    found = sheet.seen.versions
    if found is None:
        return None
    rows = [
        ["seed", str(sheet.seen.spec.seed)],
        *([name, version] for name, version in found.items()),
    ]
    return markup.table("Seed and versions", ["", "in this run"], rows)


def _spec(text: str | None) -> Html | None:
    if text is None:
        return None
    code = element("pre", element("code", text), tabindex="0", role="group", aria_label="The spec")
    return markup.folded("The spec (spec.yaml)", code, class_="more")
