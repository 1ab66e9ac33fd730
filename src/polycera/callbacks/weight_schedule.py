"""Change the loss weights of tasks from epoch to epoch by a schedule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras

from polycera.callbacks.watched_metrics import needs_tasks
from polycera.errors import InputError, UnknownName, shorten
from polycera.tasks.terms import factor
from polycera.typing import TaskName


class WeightSchedule(keras.callbacks.Callback):
    """Sets the loss weights of tasks at the beginning of each epoch.

    Loss weights steer the training; the score weights of `JointScore` decide which epoch is the
    best. A task that is not named keeps its loss weight.

    Args:
        schedules: task name -> a function from the number of the epoch, from 0, to the task's loss
            weight in it.

    Logs:
        `task/weight`, for every task, from the first epoch on.

    Raises:
        InputError: for a schedule that is no function; at the beginning of an epoch, for a weight
            that is not a finite number of 0 or more.
        UnknownName: at the beginning of training, for a task that the model does not have.

    Examples:
        >>> import polycera as pc
        >>> later = pc.callbacks.WeightSchedule({"churn": lambda epoch: 1.0 if epoch < 5 else 3.0})
    """

    def __init__(self, schedules: Mapping[TaskName, Callable[[int], float]]) -> None:
        super().__init__()
        if not isinstance(schedules, Mapping) or not schedules:
            raise InputError(
                "A weight schedule is a dict of task name to function, got "
                f"{shorten(repr(schedules))}."
            )
        for name, schedule in schedules.items():
            if not callable(schedule):
                raise InputError(
                    f"The weight schedule of task {shorten(name)!r} is {shorten(repr(schedule))}; "
                    "expected a function of the epoch's number, such as lambda epoch: 1.0 if "
                    "epoch < 5 else 3.0."
                )
        self.schedules = dict(schedules)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Check that the model has these tasks."""
        needs_tasks(
            self.model, "pc.callbacks.WeightSchedule", "Keras fixes loss_weights in compile."
        )
        for name in self.schedules:
            if name not in self.model.tasks:
                raise UnknownName("task in the weight schedule:", name, self.model.tasks)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Set the loss weights of this epoch, all of them or none."""
        # compute all weights first: where one is refused, no task has changed
        weights = {
            name: factor(
                schedule(epoch), f"the scheduled weight of task {shorten(name)!r} in epoch {epoch}"
            )
            for name, schedule in self.schedules.items()
        }
        tasks = self.model.tasks
        for name, weight in weights.items():
            tasks[name].weight = weight

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the loss weights of this epoch."""
        # the model logs them too, but only once a weight differs from the declared one
        if logs is not None:
            for name, task in self.model.tasks.items():
                if f"{name}/weight" not in logs:
                    logs[f"{name}/weight"] = task.weight
