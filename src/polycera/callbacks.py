"""Callbacks for `fit`, beside those of Keras."""

from polycera.monitoring import Gradients, JointEarlyStopping, JointScore

__all__ = ["Gradients", "JointEarlyStopping", "JointScore"]
