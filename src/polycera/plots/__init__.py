"""Draw charts with Altair from plain numbers: `pc.plots`.

Each function takes lists, dicts or records and returns an `altair.Chart` with title, axis titles,
tooltips and a description for screen readers, as wide as the place where it is shown. Altair comes
with `pip install "polycera[report]"` and is imported when a chart is drawn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.plots.bars_chart import bars as bars
    from polycera.plots.confusion_chart import confusion as confusion
    from polycera.plots.history_chart import history as history
    from polycera.plots.importance_chart import importance as importance
    from polycera.plots.lines_chart import lines as lines
    from polycera.plots.reliability_chart import reliability as reliability
    from polycera.plots.save_chart import save as save
    from polycera.plots.skills_chart import skills as skills
    from polycera.plots.theme import config as config
    from polycera.plots.theme import specification as specification
    from polycera.plots.theme import task_colours as task_colours
    from polycera.plots.theme import themed as themed
    from polycera.plots.threshold_chart import threshold as threshold

PLACES = {
    "bars": "polycera.plots.bars_chart",
    "config": "polycera.plots.theme",
    "confusion": "polycera.plots.confusion_chart",
    "history": "polycera.plots.history_chart",
    "importance": "polycera.plots.importance_chart",
    "lines": "polycera.plots.lines_chart",
    "reliability": "polycera.plots.reliability_chart",
    "save": "polycera.plots.save_chart",
    "skills": "polycera.plots.skills_chart",
    "specification": "polycera.plots.theme",
    "task_colours": "polycera.plots.theme",
    "themed": "polycera.plots.theme",
    "threshold": "polycera.plots.threshold_chart",
}
"""Maps each public name to its module, which is imported when the name is first used."""

__all__ = list(PLACES)

__getattr__ = lazy_names.attach(__name__, PLACES)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
