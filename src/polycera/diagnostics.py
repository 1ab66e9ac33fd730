"""Show what a network does with its tasks, and whether separate networks would be better.

The names come from `polycera.interpretation` and `polycera.experiments`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.experiments.compare_separate import compare_separate as compare_separate
    from polycera.experiments.compare_weightings import compare_weightings as compare_weightings
    from polycera.experiments.weighting_comparison import WeightingComparison as WeightingComparison
    from polycera.interpretation.cka import MinibatchCKA as MinibatchCKA
    from polycera.interpretation.cka import cka as cka
    from polycera.interpretation.cka import cka_unbiased as cka_unbiased
    from polycera.interpretation.describe_network import NetworkDescription as NetworkDescription
    from polycera.interpretation.describe_network import describe_network as describe_network
    from polycera.interpretation.linear_probe import Probe as Probe
    from polycera.interpretation.linear_probe import Probes as Probes
    from polycera.interpretation.linear_probe import probe as probe
    from polycera.interpretation.linear_probe import probes as probes
    from polycera.interpretation.representations import representations as representations
    from polycera.interpretation.similarity import Similarity as Similarity
    from polycera.interpretation.similarity import similarity as similarity
    from polycera.interpretation.similarity import similarity_of_runs as similarity_of_runs
    from polycera.runs.results import SeparateComparison as SeparateComparison
    from polycera.runs.results import Sharing as Sharing

__all__ = [
    "MinibatchCKA",
    "NetworkDescription",
    "Probe",
    "Probes",
    "SeparateComparison",
    "Sharing",
    "Similarity",
    "WeightingComparison",
    "cka",
    "cka_unbiased",
    "compare_separate",
    "compare_weightings",
    "describe_network",
    "probe",
    "probes",
    "representations",
    "similarity",
    "similarity_of_runs",
]

__getattr__ = lazy_names.attach(
    __name__,
    {
        "MinibatchCKA": "polycera.interpretation.cka",
        "NetworkDescription": "polycera.interpretation.describe_network",
        "Probe": "polycera.interpretation.linear_probe",
        "Probes": "polycera.interpretation.linear_probe",
        "SeparateComparison": "polycera.runs.results",
        "Sharing": "polycera.runs.results",
        "Similarity": "polycera.interpretation.similarity",
        "WeightingComparison": "polycera.experiments.weighting_comparison",
        "cka": "polycera.interpretation.cka",
        "cka_unbiased": "polycera.interpretation.cka",
        "compare_separate": "polycera.experiments.compare_separate",
        "compare_weightings": "polycera.experiments.compare_weightings",
        "describe_network": "polycera.interpretation.describe_network",
        "probe": "polycera.interpretation.linear_probe",
        "probes": "polycera.interpretation.linear_probe",
        "representations": "polycera.interpretation.representations",
        "similarity": "polycera.interpretation.similarity",
        "similarity_of_runs": "polycera.interpretation.similarity",
    },
)
