"""Make scikit-learn scorers for one task and metric of an estimator with several outputs."""

from __future__ import annotations

from typing import Any, Self

from sklearn.utils.metadata_routing import MetadataRequest

from polycera.errors import InputError, UnknownName
from polycera.estimators.mixed import PolyceraEstimator
from polycera.tasks.metrics import TALLIES
from polycera.tasks.metrics.aliases import canonical


class TaskScorer:
    """Scores one task of a fitted `PolyceraEstimator`, for `scoring=` of scikit-learn.

    A higher score is better, as scikit-learn expects: metrics of which less is better, such as
    `rmse`, come with a minus sign, and `coverage` as minus its distance from the ideal.

    Args:
        task: name of the task.
        metric: any metric of its kind.
    """

    def __init__(self, task: str, metric: str) -> None:
        self.task, self.metric = task, metric
        self._metadata_request = MetadataRequest(owner=self)

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of a fitted estimator on rows whose labels may have gaps.

        Raises:
            UnknownName: for a task or metric that the estimator does not have.
            InputError: for another kind of estimator.
        """
        # The last step of a pipeline knows the tasks; the steps before it prepare X.
        if hasattr(estimator, "steps") and len(estimator.steps):
            X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
            estimator = estimator[-1]
        if not isinstance(estimator, PolyceraEstimator):
            raise InputError(
                f"pc.scorer scores a PolyceraEstimator, got a {type(estimator).__name__}: for one "
                "column of y use the scorers of scikit-learn."
            )
        score = estimator.task_score(X, y, self.task, self.metric, sample_weight)
        if score.direction == "max":
            return score.value
        return -score.value if score.direction == "min" else -abs(score.value - score.ideal)

    def set_score_request(self, *, sample_weight: bool | str | None = None) -> Self:
        """Set whether scikit-learn's metadata routing passes sample weights to this scorer."""
        self._metadata_request.score.add_request(param="sample_weight", alias=sample_weight)
        return self

    def get_metadata_routing(self) -> MetadataRequest:
        """Return what this scorer asks of metadata routing."""
        return self._metadata_request

    def __repr__(self) -> str:
        return f"scorer({self.task!r}, {self.metric!r})"


def scorer(task: str, metric: str) -> TaskScorer:
    """Return a scorer of one task and metric, for `cross_validate` and `GridSearchCV`.

    Labels that are missing are left out. A higher score is better: errors come with a minus sign.

    Args:
        task: name of a task of the `PolyceraEstimator`.
        metric: any metric of the task's kind: "auc", "log_loss", "rmse", ...

    Raises:
        UnknownName: for a metric that no kind has.

    Examples:
        >>> import polycera as pc
        >>> pc.scorer("churn", "auc")
        scorer('churn', 'auc')
    """
    known = dict.fromkeys(name for tally in TALLIES.values() for name in tally.metrics)
    if canonical(metric, known) not in known:
        raise UnknownName("metric", metric, known)
    return TaskScorer(task, metric)
