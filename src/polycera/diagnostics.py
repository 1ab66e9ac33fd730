"""Show what a network does with its tasks, and whether separate networks would be better.

The names come from `polycera.interpretation` and `polycera.experiments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.experiments.compare import compare as compare
    from polycera.experiments.sweep import sweep as sweep
    from polycera.experiments.sweep_result import Sweep as Sweep
    from polycera.interpretation.cka import MinibatchCKA as MinibatchCKA
    from polycera.interpretation.cka import cka as cka
    from polycera.interpretation.cka import cka_unbiased as cka_unbiased
    from polycera.interpretation.describe import Description as Description
    from polycera.interpretation.describe import describe as describe
    from polycera.interpretation.linear_probe import Probe as Probe
    from polycera.interpretation.linear_probe import Probes as Probes
    from polycera.interpretation.linear_probe import probe as probe
    from polycera.interpretation.linear_probe import probes as probes
    from polycera.interpretation.representations import representations as representations
    from polycera.interpretation.similarity import Similarity as Similarity
    from polycera.interpretation.similarity import similarity as similarity
    from polycera.interpretation.similarity import similarity_of_runs as similarity_of_runs
    from polycera.runs.results import Comparison as Comparison
    from polycera.runs.results import Sharing as Sharing

__all__ = [
    "Comparison",
    "Description",
    "MinibatchCKA",
    "Probe",
    "Probes",
    "Sharing",
    "Similarity",
    "Sweep",
    "cka",
    "cka_unbiased",
    "compare",
    "describe",
    "probe",
    "probes",
    "representations",
    "similarity",
    "similarity_of_runs",
    "sweep",
]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "Comparison": "polycera.runs.results",
        "Description": "polycera.interpretation.describe",
        "MinibatchCKA": "polycera.interpretation.cka",
        "Probe": "polycera.interpretation.linear_probe",
        "Probes": "polycera.interpretation.linear_probe",
        "Sharing": "polycera.runs.results",
        "Similarity": "polycera.interpretation.similarity",
        "Sweep": "polycera.experiments.sweep_result",
        "cka": "polycera.interpretation.cka",
        "cka_unbiased": "polycera.interpretation.cka",
        "compare": "polycera.experiments.compare",
        "describe": "polycera.interpretation.describe",
        "probe": "polycera.interpretation.linear_probe",
        "probes": "polycera.interpretation.linear_probe",
        "representations": "polycera.interpretation.representations",
        "similarity": "polycera.interpretation.similarity",
        "similarity_of_runs": "polycera.interpretation.similarity",
        "sweep": "polycera.experiments.sweep",
    },
)
