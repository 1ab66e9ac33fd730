"""Any Keras model with named outputs, trained as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from polycera.layers.outputs_by_name import gathered, named_outputs, traced
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
    """Put a polycera model around your own Keras model: your layers, your branches, outputs matched by name.

    The layers are shared, not copied: training the result trains your model. Outputs without a task
    are left alone. A classification head may end in logits or in its usual activation (`sigmoid`,
    `softmax`); its loss is computed from what goes into the activation, where the layers show it,
    and else the activation is undone.

    A number (`Regression`, `Quantile`) of a new head that ends linear learns standardised values,
    so ask the *returned* model for predictions in your units. A head that ends in anything else
    (`relu`, a `Rescaling`), or that has been trained, answers in your units already and goes on to:
    its task is not standardised. Where an end cannot be seen (a `Lambda`, a layer of your own), you
    are asked for `activations=` or `standardize=`.

    Args:
        model: functional or sequential, built, with one or more outputs [n, units] or [n].
        tasks: for each a name among the model's outputs (keys of a dict of outputs, or names of
            output layers). A `Multiclass` without classes gets as many as its head has units. Or a
            dict of output to the name of its kind, `{"churn": "binary", "revenue_loss":
            "regression"}`. None: all is read from what the model was compiled with, in your units,
            and printed as the `tasks=[...]` one would write.
        activations: what an output ends in (`linear`, `sigmoid`, `softmax`, `relu`, ...), for heads
            whose layers do not show it. The first batch is held against it.
        standardize: whether numbers learn standardised values, for all tasks that do not say it
            themselves. None: as told above.
        name: of the new model.
        weighting, balancing, preference, gradients, every, seed: as for `polycera.Model`. What is
            shared is found out from the layers: a branch that serves two of three tasks is balanced
            between those two.
        keras_names: whether losses and metrics are logged under the names of stock Keras too, so
            that callbacks and charts that were made for your model go on working.

    Returns:
        A `polycera.Model`, to be compiled with an optimizer only. Where yours is compiled, it is
        compiled already, with a new optimizer of the same settings.

    Raises:
        UnknownName: for a task that is no output, with the nearest.
        InputError: for a head with another number of units than its task needs, an activation that
            does not fit, or an end that cannot be seen; for a `compile` that leaves a task open.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((4,))
        >>> h = keras.layers.Dense(8, activation="relu")(x)
        >>> mine = keras.Model(x, {"price": keras.layers.Dense(1)(h), "sold": keras.layers.Dense(1)(h)})
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
    # a Sequential has only the latter
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
    """How stock Keras names what it logs: with the output's name, where there are several outputs."""
    return "prefixed" if len(model.outputs) > 1 else True


def _output_order(model: keras.Model, tasks: Sequence[Task | Joint]) -> list[TaskName] | None:
    """The outputs in their order, where they are a list and each has a task; else None."""
    structure = getattr(model, "output", None)
    structure = model.outputs if structure is None else structure
    if isinstance(structure, dict):
        return None
    names = list(named_outputs(model))
    served = {task.name for task in tasks if isinstance(task, Task)}
    return names if set(names) == served else None
