"""Offer layers for your own Keras models, and everything that the package builds from them."""

from polycera.layers.heads import Heads, TaskLayer
from polycera.layers.named_outputs import Named
from polycera.layers.outputs_by_name import Outputs, gathered

__all__ = ["Heads", "Named", "Outputs", "TaskLayer", "gathered"]
