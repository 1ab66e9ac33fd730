"""Turn raw outputs into a dict of predictions by task, inside the graph, for export."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from polycera.tasks import Layout, task_from_config
from polycera.typing import Raw, TaskName, Tensor


@keras.saving.register_keras_serializable(package="polycera")
class Named(keras.layers.Layer):
    """Turn raw outputs [n, units] into a dict of task name to predictions [n, p].

    The predictions are in the user's units.

    Args:
        tasks: the tasks, in the order of the raw outputs.
        location, scale: the target scaling of each task.
    """

    def __init__(
        self, tasks: Sequence[Any], location: list[float], scale: list[float], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.layout = Layout.of([task_from_config(t) if isinstance(t, dict) else t for t in tasks])
        self.location, self.scale = list(location), list(scale)

    def call(self, raw: Raw) -> dict[TaskName, Tensor]:
        linked = self.layout.prediction(raw, ops)
        scalings = zip(self.layout.tasks, self.location, self.scale, strict=True)
        return {name: linked[name] * scale + location for name, location, scale in scalings}

    def get_config(self) -> dict[str, Any]:
        tasks = [task.to_config() for task in self.layout.tasks.values()]
        return {
            **super().get_config(),
            "tasks": tasks,
            "location": self.location,
            "scale": self.scale,
        }
