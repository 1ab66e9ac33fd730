"""Define the files of results that are written after training; each of them may be absent.

`None` stands for an undefined number. Lists that belong together have the same length, which is
checked here, so that readers of these files need not check again.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from polycera.errors import shorten
from polycera.runs.html_table import html_table

Number = float | None
"""A number; None where it is undefined."""
Numbers = list[float | None]
"""Numbers; None where one is undefined."""
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of weights, or a length: above what any network has, below a float's limit."""

SHARING = "sharing.json"
"""See `Sharing`."""
QUALITY = "quality.json"
"""See `Quality`."""
IMPORTANCE = "importance.json"
"""See `Importance`."""
THRESHOLDS = "thresholds.json"
"""See `Thresholds`."""
COMPARISON = "comparison.json"
"""See `SeparateComparison`."""


class Layer(msgspec.Struct):
    """Describes one layer of a network.

    Attributes:
        name, kind: its name and class in Keras.
        tasks: the tasks that it serves, as indices into `Sharing.tasks`.
        parameters: number of weights, including those that are not trained.
        shape: shape of its output for one row; None for a length that is not fixed.
        inputs: names of the layers whose outputs it takes, in order.
    """

    name: str
    kind: str
    tasks: list[int]
    parameters: Size
    shape: list[Size | None]
    inputs: list[str]


class Amount(msgspec.Struct):
    """Holds a number of weights, divided by how many tasks they serve.

    Attributes:
        all: serves every task.
        some: serves two tasks or more, but not all.
        one: serves a single task.
        none: serves no task.
    """

    all: Size
    some: Size
    one: Size
    none: Size = 0

    @property
    def total(self) -> int:
        """Return the sum of all four."""
        return self.all + self.some + self.one + self.none


class Cost(msgspec.Struct):
    """Holds the size and the speed of one network.

    Attributes:
        parameters: number of weights.
        step: seconds of a training step; None where not measured.
        predict: seconds to predict one row; None where not measured.
    """

    parameters: Size
    step: Number = None
    predict: Number = None


class Sharing(msgspec.Struct):
    """Holds `sharing.json`: which layers serve which tasks.

    Attributes:
        tasks: names of the tasks.
        layers: the layers in an order in which they can be called.
        parameters: how many weights serve how many tasks.
        joint: cost of the network as it is.
        separate: cost of one network for each task, made of the same layers, all together.
        verdict: a sentence on whether one network or several is better.
    """

    tasks: list[str]
    layers: list[Layer]
    parameters: Amount
    joint: Cost
    separate: Cost
    verdict: str

    def __post_init__(self) -> None:
        for layer in self.layers:
            if not all(0 <= task < len(self.tasks) for task in layer.tasks):
                raise ValueError(f"the layer {shorten(layer.name)!r} serves an unknown task")


class Reliability(msgspec.Struct):
    """Holds predicted against observed frequency, bin by bin; bins without rows are left out.

    Attributes:
        predicted: mean predicted probability.
        observed: share of the rows in which the event occurred.
        rows: number of rows.
        ece: expected calibration error, the mean distance of the two over the rows.
    """

    predicted: list[float]
    observed: list[float]
    rows: list[int]
    ece: Number

    def __post_init__(self) -> None:
        _same_length(self, "predicted", "observed", "rows")


class Curve(msgspec.Struct):
    """Holds precision and recall by threshold, from low to high."""

    threshold: list[float]
    precision: Numbers
    recall: Numbers

    def __post_init__(self) -> None:
        _same_length(self, "threshold", "precision", "recall")


class Threshold(msgspec.Struct):
    """Holds a label's decision threshold: the probability from which it is predicted.

    Attributes:
        value: the probability, 0 to 1.
        metric: the metric that the threshold maximises.
        part: the rows on which it was chosen.
        reached: the metric at this threshold on these rows.
        at_half: the metric at 0.5 on these rows.
        fitted: False where it is 0.5 because there are too few rows to choose a threshold.
    """

    value: float
    metric: str
    part: str
    reached: Number
    at_half: Number
    fitted: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a threshold of {self.value} is not a probability")


class ThresholdQuality(msgspec.Struct):
    """Holds the metrics of a label's predicted classes at one decision threshold."""

    threshold: float
    precision: Number
    recall: Number
    f1: Number
    accuracy: Number


class Confusion(msgspec.Struct):
    """Holds a confusion matrix.

    Attributes:
        labels: names of the classes.
        counts: rows of the table, [true labels][predicted labels].
    """

    labels: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        if [len(row) for row in self.counts] != [len(self.labels)] * len(self.labels):
            raise ValueError(
                "a confusion matrix does not have one row and one column for each label"
            )


class Residuals(msgspec.Struct):
    """Holds a histogram of true minus predicted, in the target's unit, and sampled rows to plot.

    Attributes:
        edges: edges of the bins, one more than `rows`.
        rows: number of rows in each bin.
        mean, deviation: over all residuals.
        true, predicted: values of the sampled rows.
    """

    edges: list[float]
    rows: list[int]
    mean: Number
    deviation: Number
    true: list[float]
    predicted: list[float]

    def __post_init__(self) -> None:
        _same_length(self, "true", "predicted")
        if len(self.edges) != len(self.rows) + 1:
            raise ValueError("a histogram of residuals needs one edge more than bins")


class Coverage(msgspec.Struct):
    """Holds the share of rows at or below each predicted quantile.

    Attributes:
        level: the nominal share.
        observed: the observed share.
    """

    level: list[float]
    observed: Numbers

    def __post_init__(self) -> None:
        _same_length(self, "level", "observed")


class Label(msgspec.Struct):
    """Holds the quality of one binary decision: a binary task, or one label of a multilabel task.

    Attributes:
        name: name of the positive class.
        rows: number of rows with a label.
        positives: number of rows in which it is positive.
        reliability: predicted against observed frequency.
        curve: precision and recall by threshold.
        fitted: metrics at the decision threshold that predictions use.
        half: metrics at 0.5.
    """

    name: str
    rows: int
    positives: int
    reliability: Reliability
    curve: Curve
    fitted: ThresholdQuality
    half: ThresholdQuality


class TaskQuality(msgspec.Struct):
    """Holds the quality of one task; a field that its kind does not have is None or empty.

    Attributes:
        kind: the task's kind.
        rows: number of rows with a label.
        labels: one for a binary task; for a multilabel task as many as are shown.
        reliability: of the predicted class; for a multiclass or ordinal task.
        confusion: for a task with classes.
        residuals: for a numeric task, or of the middle quantile.
        coverage: for quantiles.
    """

    kind: str
    rows: int
    labels: list[Label] = []
    reliability: Reliability | None = None
    confusion: Confusion | None = None
    residuals: Residuals | None = None
    coverage: Coverage | None = None


class Quality(msgspec.Struct, omit_defaults=True):
    """Holds `quality.json`: how good the predictions are on one part of the rows, task by task.

    Attributes:
        part: the rows.
        tasks: task -> its quality.
        warnings: a sentence on each column that alone predicts a target nearly as well as the
            network, and may give it away.
    """

    part: str
    tasks: dict[str, TaskQuality]
    warnings: list[str] = []

    def __repr__(self) -> str:
        return (
            f"Quality({len(self.tasks)} task{'s' if len(self.tasks) > 1 else ''}, {self.part} rows)"
        )

    def _repr_html_(self) -> str:
        headings = [
            "task",
            "kind",
            "rows",
            "positives",
            "calibration error",
            "threshold",
            "precision",
            "recall",
        ]
        rows: list[list[object]] = []
        for name, task in self.tasks.items():
            error = None if task.reliability is None else task.reliability.ece
            if not task.labels:
                rows.append([name, task.kind, task.rows, None, error, None, None, None])
            for label in task.labels:
                label_name = name if task.kind == "binary" else f"{name}={label.name}"
                fitted = label.fitted
                numbers = [label.reliability.ece, fitted.threshold, fitted.precision, fitted.recall]
                rows.append([label_name, task.kind, label.rows, label.positives, *numbers])
        return html_table(f"Quality on the {self.part} rows", headings, rows)


class Thresholds(msgspec.Struct):
    """Holds `thresholds.json`: task -> label -> threshold.

    A binary task has one label, its positive class.
    """

    tasks: dict[str, dict[str, Threshold]]


class Drops(msgspec.Struct):
    """Holds how much skill a task loses when a column is shuffled.

    Attributes:
        metric: the metric whose skill is measured.
        mean: mean loss of skill, column by column.
        deviation: standard deviation over the shuffles.
    """

    metric: str
    mean: Numbers
    deviation: Numbers


class Importance(msgspec.Struct):
    """Holds `importance.json`: permutation importance of each input column for each task.

    Attributes:
        part: the rows that were used.
        rows: how many there are.
        repeats: number of shuffles of each column.
        columns: the columns shown, sorted by their largest mean drop.
        left_out: number of less important columns that are not shown.
        tasks: task -> its drops, in the order of the columns.
    """

    part: str
    rows: int
    repeats: int
    columns: list[str]
    left_out: int
    tasks: dict[str, Drops]

    def __post_init__(self) -> None:
        for drops in self.tasks.values():
            if not len(drops.mean) == len(drops.deviation) == len(self.columns):
                raise ValueError("importance does not have one number for each column")


class Gain(msgspec.Struct):
    """Compares one task in the joint network with the same task in a network of its own.

    Attributes:
        metric, direction: the metric that is compared.
        joint, separate: value reached with each seed.
        difference: mean over the seeds, positive where the joint network is better, in the metric's
            unit.
        low, high: bounds of the difference's interval.
        better: the better network, as far as the interval decides.
    """

    metric: str
    direction: str
    joint: Numbers
    separate: Numbers
    difference: Number
    low: Number
    high: Number
    better: Literal["joint", "separate", "neither"]


class Affinity(msgspec.Struct):
    """Holds how training with another task changes a task.

    Attributes:
        gain: relative gain of the task (row) from sharing with the other (column); None on the
            diagonal.
        groups: tasks that are best trained together, as indices.
    """

    gain: list[Numbers]
    groups: list[list[int]]


class SeparateComparison(msgspec.Struct):
    """Holds `comparison.json`: one network for all tasks against one network for each.

    Attributes:
        seeds: seeds of the trainings.
        part: the rows on which the networks are measured.
        confidence: level of the intervals, for instance 0.95.
        tasks: task -> its gain.
        delta_m: mean relative gain of the joint network over separate ones, as a fraction, by seed.
        delta, low, high: its mean and interval.
        joint, separate: size of the networks; `step` is None.
        joint_seconds, separate_seconds: training time with each seed. They depend on the clock, so
            `timing.json` has them, not this file.
        verdict: the result in one to three sentences.
        affinity: None where it was not requested.
        network_alone: whether kernel ridge, which the run has beside its network, was left out.
    """

    seeds: list[int]
    part: str
    confidence: float
    tasks: dict[str, Gain]
    delta_m: Numbers
    delta: Number
    low: Number
    high: Number
    joint: Cost
    separate: Cost
    joint_seconds: list[float] = []
    separate_seconds: list[float] = []
    verdict: str = ""
    affinity: Affinity | None = None
    network_alone: bool = False

    def __repr__(self) -> str:
        gain = "undefined" if self.delta is None else f"{self.delta:+.1%}"
        return (
            f"SeparateComparison({len(self.tasks)} tasks, {len(self.seeds)} seeds, "
            f"{self.part} rows: mean gain {gain})"
        )

    def _repr_html_(self) -> str:
        headings = ["task", "metric", "one network better by", "low", "high", "better"]
        rows = [
            [name, gain.metric, gain.difference, gain.low, gain.high, gain.better]
            for name, gain in self.tasks.items()
        ]
        caption = f"{self.verdict} ({self.part} rows, {len(self.seeds)} seeds)"
        return html_table(caption, headings, rows)

    def __post_init__(self) -> None:
        for gain in self.tasks.values():
            if not len(gain.joint) == len(gain.separate) == len(self.seeds):
                raise ValueError("a comparison does not have one number for each seed")
        affinity = self.affinity
        if affinity is not None:
            if [len(row) for row in affinity.gain] != [len(self.tasks)] * len(self.tasks):
                raise ValueError("the affinity does not have one row and one column for each task")
            if sorted(task for group in affinity.groups for task in group) != list(
                range(len(self.tasks))
            ):
                raise ValueError("the groups do not hold each task once")


def _same_length(struct: msgspec.Struct, *names: str) -> None:
    lengths = {len(getattr(struct, name)) for name in names}
    if len(lengths) > 1:
        raise ValueError(f"{', '.join(names)} differ in length")
