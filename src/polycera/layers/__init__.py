"""Offer layers for your own Keras models, and everything that the package builds from them."""

from polycera.layers.adopted_outputs import Outputs, gathered
from polycera.layers.heads import Heads, TaskLayer
from polycera.layers.naming_layer import Named

__all__ = ["Heads", "Named", "Outputs", "TaskLayer", "gathered"]
