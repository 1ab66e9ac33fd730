"""What a network does with its tasks: who shares what, what is learned, whether separate networks would be better."""

from polycera.diagnostics.cka import MinibatchCKA, cka, cka_unbiased
from polycera.diagnostics.compare import compare
from polycera.diagnostics.describe import Description, describe
from polycera.diagnostics.probe import Probe, Probes, probe, probes
from polycera.diagnostics.representations import representations
from polycera.diagnostics.similarity import Similarity, similarity, similarity_of_runs
from polycera.diagnostics.sweep import sweep
from polycera.diagnostics.swept import Sweep
from polycera.runs.findings import Comparison, Sharing

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
