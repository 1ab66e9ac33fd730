"""Define what a network predicts: tasks, their kinds, loss terms and metrics."""

from polycera.tasks.class_kinds import Binary, Multiclass, Multilabel, Ordinal
from polycera.tasks.from_config import KINDS, kind_of, task_from_config
from polycera.tasks.joint import Joint
from polycera.tasks.layout import Group, Layout
from polycera.tasks.number_kinds import Count, Proportion, Quantile, Regression
from polycera.tasks.task import Task

__all__ = [
    "KINDS",
    "Binary",
    "Count",
    "Group",
    "Joint",
    "Layout",
    "Multiclass",
    "Multilabel",
    "Ordinal",
    "Proportion",
    "Quantile",
    "Regression",
    "Task",
    "kind_of",
    "task_from_config",
]
