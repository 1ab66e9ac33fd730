"""One network or several: who shares what in it, and what that costs beside separate networks."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from polycera.drawing import STYLE, Picture, network
from polycera.drawing.described import described, parts
from polycera.interpretation import step_times as measuring
from polycera.interpretation.sharing import sharing
from polycera.runs import manifest
from polycera.runs.results import Sharing


@dataclass(frozen=True)
class Description:
    """What `describe` found; printed it is text, in a notebook a picture with the text below.

    Attributes:
        sharing: the layers with the tasks of each, how much serves whom, what it costs, and the
            verdict.
    """

    sharing: Sharing

    @property
    def verdict(self) -> str:
        """One network or several, in a sentence."""
        return self.sharing.verdict

    def __str__(self) -> str:
        return described(self.sharing)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield from parts(self.sharing)

    def to_json(self) -> str:
        """All of it as JSON, in the form of a run's `sharing.json`."""
        return manifest.page(self.sharing).decode()

    def picture(self) -> Picture:
        """Trunk and branches, widths, tasks in colour; `.write("sharing.svg")` keeps it."""
        return network(self.sharing)

    def _repr_html_(self) -> str:
        text = html.escape(described(self.sharing))
        return f"<style>{STYLE}</style>{self.picture().fragment('sharing')}<pre>{text}</pre>"


def describe(model: Any, x: Any = None, *, measure: bool = False) -> Description:
    """Say whether a network is one or several: which layers and weights serve which tasks, and at what cost.

    What is shared learns from all tasks that it serves: it minimises the weighted sum of their
    losses. What serves a single task learns from that one alone. Separate networks are taken to
    have the same layers, each those that lead to its task.

    Args:
        model: any functional or sequential `keras.Model`; one of polycera has its tasks, of another
            each named output is a task.
        x: rows to measure with, as for `fit`; None for random ones.
        measure: whether to measure seconds of a training step and of an answer, for this network
            and for separate ones. Both are copies with new weights; the model itself is left alone.
            Takes seconds for each different separate network.

    Raises:
        InputError: for a model whose layers cannot be seen (a subclassed one); where rows cannot be
            made up.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((16,))
        >>> h = keras.layers.Dense(32, activation="relu")(x)
        >>> model = keras.Model(x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)})
        >>> pc.describe(model).verdict
        'This is one network: 544 of 610 weights serve both tasks and receive the sum of both gradients.'
    """
    found = sharing(model)
    if measure:
        found.joint, found.separate = measuring.costs(model, found, x)
    return Description(found)
