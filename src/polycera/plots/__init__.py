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
    from polycera.plots.comparison_chart import comparison as comparison
    from polycera.plots.confusion_chart import confusion as confusion
    from polycera.plots.gains_chart import gains as gains
    from polycera.plots.gains_chart import lift as lift
    from polycera.plots.gradients_chart import gradient_cosines as gradient_cosines
    from polycera.plots.gradients_chart import gradient_shares as gradient_shares
    from polycera.plots.history_chart import history as history
    from polycera.plots.importance_chart import importance as importance
    from polycera.plots.joint_score_chart import joint_score as joint_score
    from polycera.plots.lines_chart import lines as lines
    from polycera.plots.matrix_chart import matrix as matrix
    from polycera.plots.network_chart import network as network
    from polycera.plots.pareto_chart import pareto as pareto
    from polycera.plots.partial_dependence_chart import partial_dependence as partial_dependence
    from polycera.plots.reliability_chart import reliability as reliability
    from polycera.plots.residuals_chart import coverage as coverage
    from polycera.plots.residuals_chart import histogram as histogram
    from polycera.plots.residuals_chart import residual_bands as residual_bands
    from polycera.plots.residuals_chart import residuals as residuals
    from polycera.plots.save_chart import save as save
    from polycera.plots.similarity_chart import similarity as similarity
    from polycera.plots.skills_chart import skills as skills
    from polycera.plots.sweep_chart import sweep as sweep
    from polycera.plots.theme import config as config
    from polycera.plots.theme import specification as specification
    from polycera.plots.theme import task_colours as task_colours
    from polycera.plots.theme import themed as themed
    from polycera.plots.threshold_chart import threshold as threshold
    from polycera.plots.threshold_curves_chart import precision_recall as precision_recall
    from polycera.plots.threshold_curves_chart import roc as roc

PLACES = {
    "bars": "polycera.plots.bars_chart",
    "comparison": "polycera.plots.comparison_chart",
    "config": "polycera.plots.theme",
    "confusion": "polycera.plots.confusion_chart",
    "coverage": "polycera.plots.residuals_chart",
    "gains": "polycera.plots.gains_chart",
    "gradient_cosines": "polycera.plots.gradients_chart",
    "gradient_shares": "polycera.plots.gradients_chart",
    "histogram": "polycera.plots.residuals_chart",
    "history": "polycera.plots.history_chart",
    "importance": "polycera.plots.importance_chart",
    "joint_score": "polycera.plots.joint_score_chart",
    "lift": "polycera.plots.gains_chart",
    "lines": "polycera.plots.lines_chart",
    "matrix": "polycera.plots.matrix_chart",
    "network": "polycera.plots.network_chart",
    "pareto": "polycera.plots.pareto_chart",
    "partial_dependence": "polycera.plots.partial_dependence_chart",
    "precision_recall": "polycera.plots.threshold_curves_chart",
    "reliability": "polycera.plots.reliability_chart",
    "residual_bands": "polycera.plots.residuals_chart",
    "residuals": "polycera.plots.residuals_chart",
    "roc": "polycera.plots.threshold_curves_chart",
    "save": "polycera.plots.save_chart",
    "similarity": "polycera.plots.similarity_chart",
    "skills": "polycera.plots.skills_chart",
    "specification": "polycera.plots.theme",
    "sweep": "polycera.plots.sweep_chart",
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
