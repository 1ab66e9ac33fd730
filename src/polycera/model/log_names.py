"""Name what a model logs: its terms and metrics, and the same under the names of stock Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera.model import keras_names, metric_objects, scores
from polycera.model.keras_names import Spellings
from polycera.model.metric_objects import MetricObjects
from polycera.model.objective import Objective
from polycera.model.scores import Scores
from polycera.tasks.metrics import TALLIES
from polycera.tasks.metrics.keras_metrics import direction_of
from polycera.typing import Array, TaskName


class LogNames:
    """Hold the names of everything that a model logs.

    Args:
        objective: of the model.
        objects: the metric objects of its tasks, or None.
        aliases: whether the names of stock Keras are logged too; "prefixed": with the task's name
            even if there is a single task.
        spellings: task -> metric -> how the user wrote it.
    """

    def __init__(
        self,
        objective: Objective,
        objects: MetricObjects | None,
        aliases: bool | str,
        spellings: Mapping[TaskName, Mapping[str, str]],
    ) -> None:
        self._objective, self._objects, self._keras_names = objective, objects, aliases
        own_spellings: Spellings = {
            name: task.metric_spellings
            for name, task in objective.layout.tasks.items()
            if task.metric_spellings
        }
        self._spellings: Spellings = {
            **own_spellings,
            **{name: dict(task_spellings) for name, task_spellings in spellings.items()},
        }

    @property
    def _prefixed(self) -> bool:
        """Return whether the names of stock Keras begin with the task's name."""
        return len(self._objective.layout.tasks) > 1 or self._keras_names == "prefixed"

    def in_order(self, scale: Array, regularized: bool) -> list[str]:
        """Return all names that a measurement returns, in their order.

        Args:
            scale: of the target scaling, [tasks].
            regularized: whether the model has regularisers.
        """
        names = ["loss", *self._objective.names]
        names += ["regularization"] if regularized else []
        names += [
            f"{name}/{metric}"
            for name, task in self._objective.layout.tasks.items()
            for metric in task.metrics
        ]
        names += [] if self._objects is None else self._objects.names
        if self._keras_names:
            names += keras_names.alias_names(
                self._objective, scale, self._prefixed, self._spellings
            )
        return names

    def directions(self, scale: Array) -> dict[str, str]:
        """Return the direction, `min`, `max` or `target`, of every name in the training logs.

        Args:
            scale: of the target scaling, [tasks].
        """
        directions = dict.fromkeys(
            ["loss", *self._objective.names, "regularization", "skipped_steps"], "min"
        )
        for name, task in self._objective.layout.tasks.items():
            directions[f"{name}_skill"] = "max"
            for metric in task.metrics:
                directions[f"{name}/{metric}"] = TALLIES[task.measured_as].metrics[metric].direction
        for fed in () if self._objects is None else self._objects.fed:
            if (direction := direction_of(fed.metric)) is not None:
                directions[f"{fed.task.name}/{fed.metric.name}"] = direction
        # The positions pass through the aliases as if they were values: each alias then knows the
        # name it stands for.
        positions = {name: float(position) for position, name in enumerate(directions)}
        known_directions = list(directions.values())
        for alias, position in self.aliases(positions, scale).items():
            directions[alias] = (
                "min" if alias.endswith("_loss") else known_directions[int(position)]
            )
        return directions | {"joint": "max"}

    def aliases(self, named: Mapping[str, float], scale: Array) -> dict[str, float]:
        """Return the same numbers under the names of stock Keras; empty where none are wanted."""
        if not self._keras_names:
            return {}
        return keras_names.aliases(self._objective, named, scale, self._prefixed, self._spellings)

    def measured(self, own_scores: Scores) -> tuple[dict[str, float], Scores]:
        """Return `task/metric` -> value of all metrics, and their scores.

        Args:
            own_scores: of the kinds' metrics. Those of metric objects are added, where these can be
                compared with the trivial predictor.
        """
        named = scores.logged(own_scores)
        if self._objects is None:
            return named, own_scores
        object_scores = self._objects.scores()
        order = list(self._objective.layout.tasks)
        all_scores = metric_objects.joined(own_scores, object_scores, order)
        return named | scores.logged(object_scores), all_scores

    def to_config(self) -> dict[str, Any]:
        """Return the model's keyword arguments that make these names again."""
        if not self._keras_names:
            return {}
        config: dict[str, Any] = {"keras_names": self._keras_names}
        return config | ({"metric_spellings": self._spellings} if self._spellings else {})
