"""Find the layers with tasks from which the outputs of a network come."""

from __future__ import annotations

from typing import Any

import keras

from polycera.errors import InputError
from polycera.layers import keras_graph
from polycera.layers.heads import TaskLayer
from polycera.layers.kernel_layer import Blend


def heads_behind(output: Any) -> list[TaskLayer]:
    """Return the layers with tasks that an output comes from, in the order of their columns.

    Raises:
        InputError: for an output that does not come from `Heads`.
    """
    operation = keras_graph.operation_of(output)
    if isinstance(operation, Blend):
        # The first input of a blend is the head, a second one comes from landmarks.
        first = operation.input[0] if isinstance(operation.input, list) else operation.input
        return heads_behind(first)
    if isinstance(operation, TaskLayer):
        return [operation]
    if isinstance(operation, keras.layers.Concatenate):
        return [head for tensor in operation.input for head in heads_behind(tensor)]
    raise InputError(
        f"The outputs of pc.Model come from pc.layers.Heads, got the output of {operation.name!r}; "
        "for a model with heads of its own use pc.adopt(model, tasks)."
    )


def members_of(heads: list[TaskLayer]) -> int:
    """Return how many ensemble members the heads have; each answers by itself in training.

    Raises:
        InputError: for heads with different numbers of members.
    """
    member_counts = {getattr(head, "members", None) or 1 for head in heads}
    if len(member_counts) > 1:
        raise InputError(
            f"All Heads of a model have the same number of members, got {sorted(member_counts)}."
        )
    return member_counts.pop()
