"""Describe whether a network is one or several, and what separate networks would cost."""

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
class NetworkDescription:
    """Hold what `describe_network` found.

    It prints as text; a notebook shows a picture with the text below.

    Attributes:
        sharing: the layers with the tasks of each, how much serves which tasks, the costs, and the
            verdict.
    """

    sharing: Sharing

    @property
    def verdict(self) -> str:
        """Return in a sentence whether the network is one or several."""
        return self.sharing.verdict

    def __str__(self) -> str:
        return described(self.sharing)

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        yield from parts(self.sharing)

    def to_json(self) -> str:
        """Return all of it as JSON, in the form of a run's `sharing.json`."""
        return manifest.page(self.sharing).decode()

    def picture(self) -> Picture:
        """Return a drawing of trunk and branches, their widths, and the tasks in colour.

        `.write("sharing.svg")` saves it.
        """
        return network(self.sharing)

    def _repr_html_(self) -> str:
        text = html.escape(described(self.sharing))
        return f"<style>{STYLE}</style>{self.picture().fragment('sharing')}<pre>{text}</pre>"


def describe_network(model: Any, x: Any = None, *, measure: bool = False) -> NetworkDescription:
    """Return which layers and weights of a network serve which tasks, and at what cost.

    The verdict says whether the network is one or several. Shared weights learn from all tasks that
    they serve: they minimise the weighted sum of their losses. Weights that serve a single task
    learn from that task alone. Separate networks are taken to have the same layers, each those that
    lead to its task.

    Args:
        model: any functional or sequential `keras.Model`. A polycera model has its tasks; in
            another model each named output is a task.
        x: rows to measure with, as for `fit`; None for random ones.
        measure: whether to measure the seconds of a training step and of a prediction, for this
            network and for separate ones. Both are copies with new weights; the model itself is not
            changed. This takes seconds for each different separate network.

    Raises:
        InputError: for a model whose layers cannot be seen (a subclassed one); where rows cannot be
            generated.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((16,))
        >>> h = keras.layers.Dense(32, activation="relu")(x)
        >>> model = keras.Model(
        ...     x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)}
        ... )
        >>> pc.describe_network(model).verdict
        'This is one network: 544 of 610 weights serve both tasks and receive the sum of ...'
    """
    result = sharing(model)
    if measure:
        result.joint, result.separate = measuring.costs(model, result, x)
    return NetworkDescription(result)
