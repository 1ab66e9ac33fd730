"""Map the names that Keras and scikit-learn use for metrics to our own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SPELLINGS = {
    "mae": ("mean_absolute_error",),
    "mse": ("mean_squared_error",),
    "rmse": ("root_mean_squared_error",),
    "r2": ("r2_score",),
    "accuracy": (
        "acc",
        "accuracy_score",
        "binary_accuracy",
        "categorical_accuracy",
        "sparse_categorical_accuracy",
    ),
    "auc": ("roc_auc", "roc_auc_score", "auroc", "roc_auc_ovr"),
    "average_precision": ("average_precision_score", "pr_auc", "auprc"),
    "precision": ("precision_score",),
    "recall": ("recall_score",),
    "f1": ("f1_score",),
    "macro_f1": ("f1_macro",),
    "micro_f1": ("f1_micro",),
    "macro_precision": ("precision_macro",),
    "micro_precision": ("precision_micro",),
    "macro_recall": ("recall_macro",),
    "micro_recall": ("recall_micro",),
    "balanced_accuracy": ("balanced_accuracy_score",),
    "log_loss": (
        "cross_entropy",
        "crossentropy",
        "bce",
        "binary_crossentropy",
        "binary_cross_entropy",
        "categorical_crossentropy",
        "sparse_categorical_crossentropy",
    ),
    "brier": ("brier_score", "brier_score_loss"),
    "hamming": ("hamming_loss",),
    "subset_accuracy": ("exact_match", "exact_match_ratio"),
    "ranking_loss": ("label_ranking_loss",),
    "map": ("mean_average_precision",),
    "kappa": ("cohen_kappa", "cohen_kappa_score", "quadratic_weighted_kappa", "qwk"),
    "deviance": ("poisson_deviance", "mean_poisson_deviance"),
    "pinball": ("pinball_loss", "mean_pinball_loss"),
}
"""Our name of a metric -> other spellings."""

_UNQUALIFIED = {
    "precision": "macro_precision",
    "recall": "macro_recall",
    "f1": "macro_f1",
    "average_precision": "map",
}
"""Metric of one label -> what it means for a task with several: the mean over them."""


def _plain(name: str) -> str:
    """Return a name without case, underscores, hyphens and spaces.

    So `MeanAbsoluteError` and `mean_absolute_error` are one name.
    """
    return name.replace("_", "").replace("-", "").replace(" ", "").lower()


_BY_SPELLING = {
    _plain(spelling): name for name, others in _SPELLINGS.items() for spelling in (name, *others)
}
"""Plain spelling -> our name of the metric."""


def canonical(name: str, known: Mapping[str, Any]) -> str:
    """Return the name under which a metric is logged, or the name itself if it is not known.

    Args:
        name: the name that the user gave.
        known: names of the metrics of the kind.
    """
    if name in known:
        return name
    own_name = _BY_SPELLING.get(_plain(name), name)
    # For a task with several labels or classes, "f1" and its like mean the mean over them.
    if own_name not in known:
        own_name = _UNQUALIFIED.get(own_name, own_name)
    return own_name if own_name in known else name


def negated(name: str, known: Mapping[str, Any]) -> str | None:
    """Return the metric behind a name such as `neg_log_loss` of scikit-learn, or None."""
    positive = name.removeprefix("neg_")
    return canonical(positive, known) if positive != name else None
