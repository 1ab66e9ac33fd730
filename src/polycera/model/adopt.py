"""Wrap any Keras model with named outputs in a polycera model, and train it as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from polycera.layers.adopted_outputs import gathered, named_outputs, traced
from polycera.model import compiled_tasks
from polycera.model.model import Model
from polycera.tasks import Joint, Task
from polycera.typing import TaskName


def adopt(
    model: keras.Model,
    tasks: Sequence[Task | Joint] | Mapping[TaskName, str | Task] | None = None,
    *,
    activations: Mapping[TaskName, str] | None = None,
    standardize: bool | None = None,
    name: str | None = None,
    weighting: Any = None,
    balancing: Any = None,
    preference: Mapping[TaskName, float] | None = None,
    gradients: str = "features",
    every: int = 1,
    seed: int = 0,
    keras_names: bool = True,
) -> Model:
    """Wrap your own Keras model in a polycera model, with its outputs matched to tasks by name.

    The layers and branches are shared, not copied: training the result trains your model. Outputs
    without a task are not trained. A classification head may end in logits or in its usual
    activation (`sigmoid`, `softmax`). Its loss is computed from what goes into the activation if
    the layers show it; if not, the activation is undone.

    A number (`Regression`, `Quantile`) of a new head that ends linear learns standardised values,
    so call `predict` of the *returned* model for predictions in your units. A head that ends in
    anything else (`relu`, a `Rescaling`), or that has been trained, predicts in your units already:
    its task is not standardised. If the ending cannot be seen (a `Lambda`, a layer of your own), an
    error asks for `activations=` or `standardize=`.

    Args:
        model: functional or sequential, built, with one or more outputs [n, columns] or [n].
        tasks: for each a name among the model's outputs (keys of a dict of outputs, or names of
            output layers). A `Multiclass` without classes gets as many as its head has units. Or a
            dict of output to the name of its kind, `{"churn": "binary", "revenue_loss":
            "regression"}`. None: all is read from what the model was compiled with, in your units,
            and printed as the `tasks=[...]` to write.
        activations: what an output ends in (`linear`, `sigmoid`, `softmax`, `relu`, ...), for heads
            whose layers do not show it. The first batch is compared with it.
        standardize: whether numbers learn standardised values, for all tasks that do not set it
            themselves. None: as described above.
        name: of the new model.
        weighting, balancing, preference, gradients, every, seed: as for `polycera.Model`. What is
            shared is read from the layers: a branch that two of three tasks use is balanced between
            those two.
        keras_names: whether losses and metrics are logged under the names of stock Keras too, so
            that callbacks and charts that were made for your model still work.

    Returns:
        A `polycera.Model`, to be compiled with an optimizer only. If yours is compiled, the result
        is compiled too, with a new optimizer of the same settings.

    Raises:
        UnknownName: for a task that is no output, with the nearest.
        InputError: for a head with another number of units than its task needs, an activation that
            does not fit, or an ending that cannot be seen; for a `compile` that leaves a task open.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((4,))
        >>> h = keras.layers.Dense(8, activation="relu")(x)
        >>> mine = keras.Model(
        ...     x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)}
        ... )
        >>> pc.adopt(mine, [pc.Regression("price"), pc.Binary("sold")]).layout.units
        2
    """
    model = traced(model)
    chosen: Sequence[Task | Joint]
    if tasks is None or isinstance(tasks, Mapping):
        chosen, activations, text = compiled_tasks.read(
            model, tasks, activations or {}, standardize
        )
        if text:
            print(f"pc.adopt read from compile: {text}")
    else:
        chosen = tasks
    outputs = gathered(model, chosen, activations, standardize)
    # A Sequential has only `inputs`.
    inputs = model.input if hasattr(model, "input") else model.inputs[0]
    adopted = Model(
        inputs,
        outputs,
        name=name or f"adopted_{model.name}",
        weighting=weighting,
        balancing=balancing,
        preference=preference,
        gradients=gradients,
        every=every,
        seed=seed,
        keras_names=_keras_names(model) if keras_names else False,
        output_order=_output_order(model, chosen),
    )
    compiled_tasks.recompiled(model, adopted)
    return adopted


def _keras_names(model: keras.Model) -> bool | str:
    """Return the `keras_names` of the adopted model.

    Stock Keras logs with the output's name if there are several outputs.
    """
    return "prefixed" if len(model.outputs) > 1 else True


def _output_order(model: keras.Model, tasks: Sequence[Task | Joint]) -> list[TaskName] | None:
    """Return the outputs in order if they are a list and each has a task; else None."""
    structure = getattr(model, "output", None)
    structure = model.outputs if structure is None else structure
    if isinstance(structure, dict):
        return None
    names = list(named_outputs(model))
    served = {task.name for task in tasks if isinstance(task, Task)}
    return names if set(names) == served else None
