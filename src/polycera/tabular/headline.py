"""Set the metric by which a task counts in the joint score and which is shown first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from polycera.data.name_patterns import spread
from polycera.tasks import Task


def with_metric(tasks: Iterable[Task], metrics: Mapping[str, str]) -> list[Task]:
    """Return the tasks with these headline metrics; each keeps its other metrics after it.

    Args:
        tasks: as they are.
        metrics: task, or pattern of tasks -> metric of its kind.

    Raises:
        UnknownName: for a task or metric that does not exist, with the nearest.

    Examples:
        >>> import polycera as pc
        >>> with_metric([pc.Binary("churn")], {"churn": "average_precision"})[0].metrics
        ('average_precision', 'auc', 'accuracy')
    """
    tasks = list(tasks)
    by_task = spread(metrics, [task.name for task in tasks], "task in metric:")
    return [
        _with_headline(task, by_task[task.name]) if task.name in by_task else task for task in tasks
    ]


def _with_headline(task: Task, metric: str) -> Task:
    """Return a task whose headline metric is this one."""
    headline = task.replace(metrics=[metric]).headline  # under the name of the house
    others = [name for name in task.metrics if name != headline]
    return task.replace(metrics=[metric, *others, *task.metric_objects])
