"""What a network does with its tasks: who shares what, what is learned, whether separate networks would be better."""

from __future__ import annotations

from typing import TYPE_CHECKING

from polycera import lazy_names

if TYPE_CHECKING:
    from polycera.diagnostics.cka import MinibatchCKA as MinibatchCKA
    from polycera.diagnostics.cka import cka as cka
    from polycera.diagnostics.cka import cka_unbiased as cka_unbiased
    from polycera.diagnostics.compare import compare as compare
    from polycera.diagnostics.describe import Description as Description
    from polycera.diagnostics.describe import describe as describe
    from polycera.diagnostics.probe import Probe as Probe
    from polycera.diagnostics.probe import Probes as Probes
    from polycera.diagnostics.probe import probe as probe
    from polycera.diagnostics.probe import probes as probes
    from polycera.diagnostics.representations import representations as representations
    from polycera.diagnostics.similarity import Similarity as Similarity
    from polycera.diagnostics.similarity import similarity as similarity
    from polycera.diagnostics.similarity import similarity_of_runs as similarity_of_runs
    from polycera.diagnostics.sweep import sweep as sweep
    from polycera.diagnostics.swept import Sweep as Sweep
    from polycera.runs.findings import Comparison as Comparison
    from polycera.runs.findings import Sharing as Sharing

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
        "Comparison": "polycera.runs.findings",
        "Description": "polycera.diagnostics.describe",
        "MinibatchCKA": "polycera.diagnostics.cka",
        "Probe": "polycera.diagnostics.probe",
        "Probes": "polycera.diagnostics.probe",
        "Sharing": "polycera.runs.findings",
        "Similarity": "polycera.diagnostics.similarity",
        "Sweep": "polycera.diagnostics.swept",
        "cka": "polycera.diagnostics.cka",
        "cka_unbiased": "polycera.diagnostics.cka",
        "compare": "polycera.diagnostics.compare",
        "describe": "polycera.diagnostics.describe",
        "probe": "polycera.diagnostics.probe",
        "probes": "polycera.diagnostics.probe",
        "representations": "polycera.diagnostics.representations",
        "similarity": "polycera.diagnostics.similarity",
        "similarity_of_runs": "polycera.diagnostics.similarity",
        "sweep": "polycera.diagnostics.sweep",
    },
)
