"""Any Keras model with named outputs, trained as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from polycera.networks.adopt import gathered
from polycera.shapes import TaskName
from polycera.tasks import Joint, Task
from polycera.training.model import Model


def adopt(
    model: keras.Model,
    tasks: Sequence[Task | Joint],
    *,
    activations: dict[TaskName, str] | None = None,
    name: str | None = None,
    weighting: Any = None,
    balancing: Any = None,
    preference: Mapping[TaskName, float] | None = None,
    gradients: str = "features",
    every: int = 1,
    seed: int = 0,
) -> Model:
    """A polycera model around your own Keras model: your layers, your branches, outputs matched by name.

    The layers are shared, not copied: training the result trains your model. Outputs without a task are left
    alone. A classification head may end in logits (better: stable at any value) or in its usual activation
    (`sigmoid`, `softmax`), which is undone before the loss. A regression head that ends linear learns standardised
    values, so ask the *returned* model for predictions in your units; one that ends in another activation
    (`relu`, say) is taken to answer in your units already.

    Args:
        model: functional or sequential, built, with one or more outputs [n, units].
        tasks: for each a name among the model's outputs (keys of a dict of outputs, or names of output layers).
            A `Multiclass` without classes gets as many as its head has units.
        activations: what an output ends in (`linear`, `sigmoid`, `softmax`, `exponential`), for heads whose last
            layer does not show it.
        name: of the new model.
        weighting, balancing, preference, gradients, every, seed: as for `polycera.Model`. What is shared is found out
            from the layers: a branch that serves two of three tasks is balanced between those two.

    Returns:
        A `polycera.Model`, to be compiled with an optimizer only.

    Raises:
        UnknownName: for a task that is no output, with the nearest.
        InputError: for a head with another number of units than its task needs, or an activation that does not fit.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((4,))
        >>> h = keras.layers.Dense(8, activation="relu")(x)
        >>> mine = keras.Model(x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)})
        >>> pc.adopt(mine, [pc.Regression("price"), pc.Binary("sold")]).layout.units
        2
    """
    outputs = gathered(model, tasks, activations)
    inputs = model.input if hasattr(model, "input") else model.inputs[0]  # a Sequential has only the latter
    return Model(
        inputs,
        outputs,
        name=name or f"adopted_{model.name}",
        weighting=weighting,
        balancing=balancing,
        preference=preference,
        gradients=gradients,
        every=every,
        seed=seed,
    )
