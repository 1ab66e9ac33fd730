"""What was found out about a training once it had ended: the forms of the files that say so. Any may be absent.

`None` stands for a number that is not defined. Lists that belong together have one length, which is
checked here, so that whoever reads them need not look again.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from polycera.errors import shorten
from polycera.runs.html_table import html_table

Number = float | None
Numbers = list[float | None]
Size = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""Of what a network has: far more of it than any has, and less than a float can hold."""

SHARING, QUALITY, IMPORTANCE = "sharing.json", "quality.json", "importance.json"
THRESHOLDS, COMPARISON = "thresholds.json", "comparison.json"


class Layer(msgspec.Struct):
    """One layer of a network.

    Attributes:
        name, kind: as Keras has them.
        tasks: those that it reaches, by their place in `Sharing.tasks`.
        parameters: weights, those that are not trained too.
        multiply_adds: for one row; None where they are not known.
        shape: of what it gives for one row; None for a length that is not fixed.
        inputs: names of the layers that it takes, in their order.
    """

    name: str
    kind: str
    tasks: list[int]
    parameters: Size
    multiply_adds: Size | None
    shape: list[Size | None]
    inputs: list[str]


class Amount(msgspec.Struct):
    """Of parameters or of multiply-adds: how much serves whom.

    Attributes:
        all: serves every task.
        some: serves two tasks or more, and not all.
        one: serves a single task.
        none: serves no task.
    """

    all: Size
    some: Size
    one: Size
    none: Size = 0

    @property
    def total(self) -> int:
        """All of it."""
        return self.all + self.some + self.one + self.none


class Cost(msgspec.Struct):
    """What one network costs.

    Attributes:
        parameters: weights.
        multiply_adds: for one row.
        step: seconds of a training step; None where it was not measured.
        predict: seconds to answer for a row; None where it was not measured.
    """

    parameters: Size
    multiply_adds: Size
    step: Number = None
    predict: Number = None


class Sharing(msgspec.Struct):
    """`sharing.json`: which layers serve which tasks.

    Attributes:
        tasks: names.
        layers: in an order in which they can be called.
        parameters, multiply_adds: how much of them serves whom.
        joint: the network as it is.
        separate: one network for each task, of the same layers, together.
        verdict: one network or several, in a sentence.
    """

    tasks: list[str]
    layers: list[Layer]
    parameters: Amount
    multiply_adds: Amount
    joint: Cost
    separate: Cost
    verdict: str

    def __post_init__(self) -> None:
        for layer in self.layers:
            if not all(0 <= task < len(self.tasks) for task in layer.tasks):
                raise ValueError(
                    f"the layer {shorten(layer.name)!r} serves a task that there is not"
                )


class Reliability(msgspec.Struct):
    """Predicted against observed frequency, bin by bin; bins without a row are left out.

    Attributes:
        predicted: mean predicted probability.
        observed: share of the rows in which it came true.
        rows: how many there are.
        ece: expected calibration error, the mean distance of the two over the rows.
    """

    predicted: list[float]
    observed: list[float]
    rows: list[int]
    ece: Number

    def __post_init__(self) -> None:
        _same_length(self, "predicted", "observed", "rows")


class Curve(msgspec.Struct):
    """Precision and recall by threshold, from a low one to a high one."""

    threshold: list[float]
    precision: Numbers
    recall: Numbers

    def __post_init__(self) -> None:
        _same_length(self, "threshold", "precision", "recall")


class Threshold(msgspec.Struct):
    """From which probability on the positive answer is said.

    Attributes:
        value: the probability, 0 to 1.
        metric: what was made as high as possible by it.
        part: the rows on which that was done.
        reached: the metric at this threshold on these rows.
        at_half: the metric at 0.5 on these rows.
        fitted: False where it is 0.5 because these rows are too few to choose by.
    """

    value: float
    metric: str
    part: str
    reached: Number
    at_half: Number
    fitted: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.value <= 1:
            raise ValueError(f"a threshold of {self.value} is no probability")


class ThresholdQuality(msgspec.Struct):
    """What the answers of yes or no are worth on the held-out rows at one threshold."""

    threshold: float
    precision: Number
    recall: Number
    f1: Number
    accuracy: Number


class Confusion(msgspec.Struct):
    """Rows by true label (down) and said label (across)."""

    labels: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        if [len(row) for row in self.counts] != [len(self.labels)] * len(self.labels):
            raise ValueError("a confusion matrix is not as wide and as high as it has labels")


class Residuals(msgspec.Struct):
    """True minus predicted, in the target's unit, as a histogram; and rows drawn from all, for a picture.

    Attributes:
        edges: of the bins, one more than `rows`.
        rows: in each bin.
        mean, deviation: of all of them.
        true, predicted: of the rows drawn.
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
    """The share of rows at or below each predicted quantile.

    Attributes:
        level: that it should be.
        observed: that it is.
    """

    level: list[float]
    observed: Numbers

    def __post_init__(self) -> None:
        _same_length(self, "level", "observed")


class Label(msgspec.Struct):
    """The quality of a question with two answers: a binary task, or a label of a multilabel one.

    Attributes:
        name: of the positive answer.
        positives: rows in which it is true.
        rows: rows with a label.
        fitted: what answers are worth at the threshold that predictions use.
        half: the same at 0.5.
    """

    name: str
    rows: int
    positives: int
    reliability: Reliability
    curve: Curve
    fitted: ThresholdQuality
    half: ThresholdQuality


class TaskQuality(msgspec.Struct):
    """One task; what its kind does not have is None, or empty.

    Attributes:
        kind: of the task.
        rows: with a label.
        labels: of a binary task one, of a multilabel task as many as are shown.
        reliability: of a multiclass or ordinal task: of the class that is said.
        confusion: of a task with classes.
        residuals: of a number, or of the middle quantile.
        coverage: of quantiles.
    """

    kind: str
    rows: int
    labels: list[Label] = []
    reliability: Reliability | None = None
    confusion: Confusion | None = None
    residuals: Residuals | None = None
    coverage: Coverage | None = None


class Quality(msgspec.Struct):
    """`quality.json`: how good the answers are, task by task, on one part of the rows."""

    part: str
    tasks: dict[str, TaskQuality]

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
                called = name if task.kind == "binary" else f"{name}={label.name}"
                said = label.fitted
                numbers = [label.reliability.ece, said.threshold, said.precision, said.recall]
                rows.append([called, task.kind, label.rows, label.positives, *numbers])
        return html_table(f"Quality on the {self.part} rows", headings, rows)


class Thresholds(msgspec.Struct):
    """`thresholds.json`: task -> label -> threshold; of a binary task the positive class is the label."""

    tasks: dict[str, dict[str, Threshold]]


class Drops(msgspec.Struct):
    """What a task loses when a column is shuffled.

    Attributes:
        metric: in which it is measured, as skill.
        mean: of the skill lost, column by column.
        deviation: over the shufflings.
    """

    metric: str
    mean: Numbers
    deviation: Numbers


class Importance(msgspec.Struct):
    """`importance.json`: permutation importance of each input column for each task.

    Attributes:
        part: the rows.
        rows: how many.
        repeats: shufflings of each column.
        columns: the ones shown, by their largest mean drop.
        left_out: columns that matter less and are not shown.
        tasks: task -> its losses, in the order of the columns.
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
    """One task in the joint network and in one of its own.

    Attributes:
        metric, direction: what is compared.
        joint, separate: reached by each seed.
        difference: mean over the seeds, positive where the joint network is better, in the metric's
            unit.
        low, high: of the interval of the difference.
        better: who is, as far as the interval says.
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
    """What training with another task does for a task.

    Attributes:
        gain: relative gain of the task (row) by sharing with the other (column), None on the
            diagonal.
        groups: tasks that are best trained together, by their place.
    """

    gain: list[Numbers]
    groups: list[list[int]]


class Comparison(msgspec.Struct):
    """`comparison.json`: one network for all tasks against one for each.

    Attributes:
        seeds: of the trainings.
        part: the rows on which they are measured.
        confidence: of the intervals, 0.95 for instance.
        tasks: task -> what it gains.
        delta_m: mean relative gain of the joint network over separate ones, as a part, by seed.
        delta, low, high: its mean and interval.
        joint, separate: size; `step` is None.
        joint_seconds, separate_seconds: training time of each seed.
        verdict: in a sentence or three.
        affinity: where it was asked for.
        network_alone: whether kernel ridge, which the run has beside its network, took no part.
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
    joint_seconds: list[float]
    separate_seconds: list[float]
    verdict: str
    affinity: Affinity | None = None
    network_alone: bool = False

    def __repr__(self) -> str:
        gain = "undefined" if self.delta is None else f"{self.delta:+.1%}"
        return f"Comparison({len(self.tasks)} tasks, {len(self.seeds)} seeds, {self.part} rows: mean gain {gain})"

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
        found = self.affinity
        if found is not None:
            if [len(row) for row in found.gain] != [len(self.tasks)] * len(self.tasks):
                raise ValueError("the affinity is not as wide and as high as there are tasks")
            if sorted(task for group in found.groups for task in group) != list(
                range(len(self.tasks))
            ):
                raise ValueError("the groups do not hold each task once")


def _same_length(found: msgspec.Struct, *names: str) -> None:
    lengths = {len(getattr(found, name)) for name in names}
    if len(lengths) > 1:
        raise ValueError(f"{', '.join(names)} do not have one length")
