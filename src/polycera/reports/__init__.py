"""A run's folder, or several -> one page, or one picture. Nothing here imports Keras."""

from polycera.reports.catalogue import PICTURES, plot
from polycera.reports.page import report

__all__ = ["PICTURES", "plot", "report"]
