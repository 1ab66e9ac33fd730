"""Define joint terms: loss terms over several tasks at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from polycera.errors import InputError, listing, shorten
from polycera.tasks import loss_from_config, terms
from polycera.typing import TaskName, Tensor

JointFunction = Callable[[dict[TaskName, Tensor], dict[TaskName, Tensor]], Tensor]
"""Type of the function of a joint term: labels and predictions by task name -> [n]."""


class Joint:
    """Describes a loss over several tasks: `fn(y_true, y_pred) -> [n]`.

    Both arguments are dicts of task name to [n, p]. They are in the user's units, as `predict`
    gives them, so that tasks can be compared: numbers, probabilities (labels one-hot), rates. The
    loss is in those units too: choose the weight accordingly. Rows in which any of the tasks has no
    label are left out. Sample weights do not apply.

    Args:
        fn: the function, written with `keras.ops`. Register it with
            `keras.saving.register_keras_serializable()` to save the model.
        tasks: names of the tasks that it compares.
        weight: factor in the total loss.
        name: name in the logs; default: the name of the function.

    Raises:
        InputError: for no task, a task that occurs twice, or a weight that is no number >= 0.

    Examples:
        >>> import polycera as pc
        >>> def order(y, p):  # the upper bound should not lie below the lower
        ...     import keras
        ...
        ...     return keras.ops.relu(p["lower"] - p["upper"])[:, 0]
        >>> pc.Joint(order, tasks=["lower", "upper"], weight=0.1)
        Joint('order', tasks=['lower', 'upper'])
    """

    def __init__(
        self,
        fn: JointFunction,
        tasks: Sequence[TaskName],
        *,
        weight: float = 1.0,
        name: str | None = None,
    ) -> None:
        if not callable(fn):
            raise InputError(
                f"A joint term needs a function (y_true, y_pred) -> [n], got {type(fn).__name__}."
            )
        if isinstance(tasks, str):
            raise InputError(
                f"A joint term takes a list of tasks, got the text {shorten(tasks)!r}: put it in "
                "brackets."
            )
        self.fn, self.tasks = fn, tuple(tasks)
        if not self.tasks or len(set(self.tasks)) < len(self.tasks):
            raise InputError(
                f"A joint term needs one or more different tasks, got {listing(self.tasks)}."
            )
        # A lambda is called "<lambda>"; the brackets do not belong in a log name.
        self.name = name or getattr(fn, "__name__", type(fn).__name__).strip("<>")
        self.weight = terms.factor(weight, f"the weight of joint term {shorten(self.name)!r}")

    def to_config(self) -> dict[str, Any]:
        """Return the term as plain JSON values, with the registered name of the function."""
        function = terms.Term(self.name, self.weight, self.fn).to_config()
        return {
            "kind": "joint",
            "tasks": list(self.tasks),
            "name": self.name,
            "weight": self.weight,
            "fn": function["loss"],
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Joint:
        """Return the joint term that `to_config` wrote.

        Raises:
            UnknownName: for a function that is not registered in this process.
            InputError: for values that `to_config` does not write.
        """
        what = f"Joint term {shorten(config.get('name'))!r}"
        arguments: dict[str, Any] = {name: config.get(name) for name in ("tasks", "weight", "name")}
        well_formed = isinstance(arguments["name"], str) and isinstance(
            arguments["tasks"], list | tuple
        )
        if not well_formed or not all(isinstance(task, str) for task in arguments["tasks"]):
            raise InputError(
                f"{what} is of the tasks {shorten(repr(arguments['tasks']))}: a name and a list of "
                "names are expected."
            )
        if not isinstance(config.get("fn"), Mapping):
            raise InputError(
                f"{what} has the function {shorten(repr(config.get('fn')))}: what Keras writes is "
                "expected."
            )
        return cls(
            loss_from_config.loss(config["fn"], what),
            arguments["tasks"],
            weight=arguments["weight"],
            name=arguments["name"],
        )

    def __repr__(self) -> str:
        return f"Joint({self.name!r}, tasks={list(self.tasks)})"
