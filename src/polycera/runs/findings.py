"""Define the findings about a run: all numbers that a page or `report.json` shows.

The form is versioned, and docs/report-json.md describes each field. `None` stands for a number that
is undefined or not known; `absent` says why a whole part is missing. No field holds a row of the
table: curves and histograms are summed over rows, and labels have passed `evaluation.privacy`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from polycera.runs.results import (
    Confusion,
    Coverage,
    Number,
    Numbers,
    Reliability,
    SeparateComparison,
    Sharing,
)
from polycera.storage import atomic

VERSION = 1
"""Version of the form. It is raised when a field changes its meaning or is taken away."""

REPORT = "report.json"
"""Name of the file that a report writes beside its page."""


class Absent(msgspec.Struct):
    """Says why a part of the findings is missing.

    Attributes:
        part: name of the part, such as `baselines`, `dependence` or `intervals`.
        task: the task whose part it is; None for all tasks.
        reason: one sentence.
    """

    part: str
    task: str | None
    reason: str


class Caution(msgspec.Struct):
    """Holds one thing to beware of.

    Attributes:
        kind: `warning`, `leak`, `few rows`, `few positives`, `unsure`, `baseline` or `calibration`.
        task: the task that it concerns; None for all.
        sentence: what it is, in words.
    """

    kind: str
    task: str | None
    sentence: str


class RunFacts(msgspec.Struct):
    """Says what was trained, when, and by what.

    Attributes:
        name: of the run's folder.
        finished: whether the training has ended.
        file: name of the table's file; None for a table in memory.
        file_changed: when that file was last changed, in UTC.
        command: the command line of the training; None where it was begun in Python.
        versions: package -> version; `backend` is the name of the backend.
        seconds: duration of the training.
        seed: of the training.
        part: the rows on which the run is measured: test, validation or train.
        rows: part -> number of rows.
        folds: folds of the training rows; 1 where a validation part was held out. With folds the
            validation rows are the training rows, predicted out of fold.
        epochs, parameters: length of the training, and weights of the network.
    """

    name: str
    finished: bool
    file: str | None = None
    file_changed: str | None = None
    command: str | None = None
    versions: dict[str, str] = {}
    seconds: Number = None
    seed: int | None = None
    part: str | None = None
    rows: dict[str, int] = {}
    folds: int = 1
    epochs: int | None = None
    parameters: int | None = None


class ColumnFacts(msgspec.Struct):
    """Says what one column of the table was used for.

    Attributes:
        name: of the column.
        role: what it was used for: number, category, boolean, date, id, text, constant, ignore, ...
        kind: what its cells hold.
        used: whether the network learned from it.
        reason: why it has this role, without any value of the table.
        missing: number of rows without a value; None where it is not known.
        levels: number of different texts of a category; None for another column.
    """

    name: str
    role: str
    kind: str
    used: bool
    reason: str
    missing: int | None = None
    levels: int | None = None


class DataFacts(msgspec.Struct):
    """Describes the table.

    Attributes:
        rows: number of rows of all parts.
        columns: every column that is no target.
        labels_missing: task -> part -> number of rows without a label; `all` for the whole table.
            A part that is not known is left out.
        sample_weight, groups, time: names of the columns that weight, group or order the rows.
    """

    rows: int | None
    columns: list[ColumnFacts]
    labels_missing: dict[str, dict[str, int]]
    sample_weight: list[str] = []
    groups: str | None = None
    time: str | None = None


class MetricFacts(msgspec.Struct):
    """Holds one metric of one task on the reported rows, as `evaluate --json` gives it.

    Attributes:
        name, direction, value, trivial, ideal, skill: as in `metrics.json`.
        low, high: bounds of the 95 % interval.
        interval: how it was computed: `bootstrap`, `wilson` or `jackknife`; None without one.
    """

    name: str
    direction: str
    value: Number
    trivial: Number
    ideal: Number
    skill: Number
    low: Number = None
    high: Number = None
    interval: Literal["bootstrap", "wilson", "jackknife"] | None = None


class Baseline(msgspec.Struct):
    """Compares a task with a model that people know, on the same rows.

    Attributes:
        name: `linear` or `extra_trees`.
        model: what was fitted, in words.
        metric: the task's headline metric.
        value: what the baseline reaches.
        difference: polycera minus the baseline, positive where polycera is better.
        low, high: 95 % interval of the difference, from the same draws of rows for both.
        better: the better one, as far as the interval decides.
        metrics: all metrics of the task that are defined for the baseline.
    """

    name: str
    model: str
    metric: str
    value: Number
    difference: Number
    low: Number
    high: Number
    better: Literal["polycera", "baseline", "neither"]
    metrics: dict[str, Number] = {}


class ThresholdTable(msgspec.Struct):
    """Holds the counts that follow from each decision threshold, for a slider.

    Attributes:
        threshold: from 0 to 1; the positive class is predicted from it on.
        true_positive, false_positive, false_negative, true_negative: rows at each threshold.
    """

    threshold: list[float]
    true_positive: list[int]
    false_positive: list[int]
    false_negative: list[int]
    true_negative: list[int]


class Operating(msgspec.Struct):
    """Holds the decision threshold that predictions use, and what follows from it.

    Attributes:
        threshold: the probability from which the positive class is predicted.
        metric: the metric that it maximises; None for 0.5 without a choice.
        part: the rows on which it was chosen.
        fitted: False where it is 0.5 because there were too few rows to choose one.
        true_positive, false_positive, false_negative, true_negative: reported rows.
        sentence: the counts in words.
    """

    threshold: float
    metric: str | None
    part: str | None
    fitted: bool
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int
    sentence: str


class RankCurve(msgspec.Struct):
    """Holds the points of the ROC curve and of the precision-recall curve, from high thresholds on.

    Attributes:
        threshold: the probability from which rows count as predicted.
        false_positive_rate, true_positive_rate: coordinates of the ROC curve; the second is recall.
        precision: None where nothing is predicted.
    """

    threshold: list[float]
    false_positive_rate: list[float]
    true_positive_rate: list[float]
    precision: Numbers


class Gains(msgspec.Struct):
    """Holds what the rows with the highest scores hold.

    Attributes:
        order: what the rows are sorted by: `probability`, or `probability x NAME`.
        share: share of the rows, from 0 to 1.
        found: share of the positives among them.
        lift: positives among them, as a multiple of the overall share; None at 0.
        value: name of the amount that is summed; None without one.
        value_found: share of the positives' amount among them; empty without one.
        sentence: the curve at 10 % in words.
    """

    order: str
    share: list[float]
    found: list[float]
    lift: Numbers
    value: str | None
    value_found: list[float]
    sentence: str


class LabelFacts(msgspec.Struct):
    """Describes one decision between yes and no: a binary task, or one label of a multilabel task.

    Attributes:
        name: of the positive class or the label.
        rows, positives: reported rows with a label, and those that are positive.
        reliability: predicted against observed frequency.
        operating: the decision threshold, and the counts at it.
        thresholds: the counts at 101 thresholds.
        curve: ROC and precision-recall.
        gains: by probability, and by probability x amount where an amount was named.
    """

    name: str
    rows: int
    positives: int
    reliability: Reliability | None = None
    operating: Operating | None = None
    thresholds: ThresholdTable | None = None
    curve: RankCurve | None = None
    gains: list[Gains] = []


class ErrorFacts(msgspec.Struct):
    """Describes the errors of predicted numbers, true minus predicted, in the target's unit.

    Attributes:
        edges: edges of the histogram, between the 1st and the 99th percentile of the errors.
        rows: rows in each bin, one fewer than `edges`.
        below, above: rows outside of the edges.
        mean, deviation: over all errors.
        half, ninety: 50 % and 90 % of the errors are no larger than these.
        predicted: mean prediction of each group of rows with similar predictions.
        count: rows of each group.
        low, middle, high: 10th, 50th and 90th percentile of the errors in each group.
    """

    edges: list[float]
    rows: list[int]
    below: int
    above: int
    mean: Number
    deviation: Number
    half: Number
    ninety: Number
    predicted: list[float]
    count: list[int]
    low: list[float]
    middle: list[float]
    high: list[float]


class Weighty(msgspec.Struct):
    """Holds the permutation importance of one column for one task.

    Attributes:
        column: its name.
        mean, deviation: loss of skill when the column is shuffled, over the shuffles.
    """

    column: str
    mean: Number
    deviation: Number


class Dependence(msgspec.Struct):
    """Holds a partial dependence curve: the mean prediction when one column is set to a value.

    Attributes:
        column: its name.
        kind: number, date, category or boolean.
        at: values of the column: quantiles of a number, levels of a category in words; a date as
            text.
        rows: for a category, rows of each level; empty for another kind.
        outputs: output -> mean prediction at each value. An output is the task itself, a class, a
            label or a quantile.
    """

    column: str
    kind: str
    at: list[float | str]
    rows: list[int]
    outputs: dict[str, Numbers]


class TaskFacts(msgspec.Struct):
    """Holds all that is known about one task.

    Attributes:
        name, kind: of the task.
        headline: quality in one sentence.
        metric: name of the headline metric.
        rows: reported rows with a label.
        labels_missing: reported rows without one.
        metrics: every metric, the headline metric first.
        baselines: the models that people know; `verdict` compares with them in one sentence.
        verdict: None where there is no baseline.
        labels: for binary and multilabel tasks.
        confusion: for tasks with classes, true labels in rows.
        reliability: of the predicted class, for multiclass and ordinal tasks.
        errors: for predicted numbers; of the middle quantile.
        coverage: for quantiles.
        importance: columns, the weightiest first.
        dependence: of the weightiest columns.
    """

    name: str
    kind: str
    headline: str
    metric: str | None
    rows: int | None
    labels_missing: int | None
    metrics: list[MetricFacts]
    baselines: list[Baseline] = []
    verdict: str | None = None
    labels: list[LabelFacts] = []
    confusion: Confusion | None = None
    reliability: Reliability | None = None
    errors: ErrorFacts | None = None
    coverage: Coverage | None = None
    importance: list[Weighty] = []
    dependence: list[Dependence] = []


class KeptFacts(msgspec.Struct):
    """Describes one epoch of the Pareto set.

    Attributes:
        epoch: from 0.
        skills: task -> skill on the validation rows.
    """

    epoch: int
    skills: dict[str, Number]


class GradientFacts(msgspec.Struct):
    """Holds the gradient statistics of the tasks in one shared region.

    Attributes:
        region: its name.
        source: `balancing` where the training measured them itself, `probe` where a probe did.
        epochs: numbers of the epochs.
        shares: task -> its share of the gradients' norms in each epoch.
        cosines: mean cosine of each two tasks' gradients over the epochs, [tasks][tasks].
    """

    region: str
    source: str
    epochs: list[int]
    shares: dict[str, Numbers]
    cosines: list[Numbers]


class TrainingFacts(msgspec.Struct):
    """Describes the training.

    Attributes:
        history: column of `history.csv` -> its value in each epoch.
        kept: the epochs of the Pareto set.
        score_weights: task -> its weight in the joint score.
        gradients: by shared region; empty where none were recorded.
    """

    history: dict[str, Numbers] = {}
    kept: list[KeptFacts] = []
    score_weights: dict[str, float] = {}
    gradients: list[GradientFacts] = []


class Findings(msgspec.Struct):
    """Holds everything that a report shows about one run.

    Attributes:
        version: of this form.
        polycera: version of polycera that made the findings.
        run: what was trained.
        headline: the tasks in words, one sentence each.
        beware: what to beware of, the most important first.
        tasks: the tasks, in the order of the spec.
        data: the table.
        training: history, kept epochs and weights.
        sharing: which layers serve which tasks, and what they cost.
        comparison: with separate networks; None where it was not made.
        spec: the specification, as YAML.
        shows_rows: whether rows or rare values are shown, as `--show-rows` asks.
        absent: why parts are missing.
    """

    version: int
    polycera: str
    run: RunFacts
    headline: list[str]
    beware: list[Caution]
    tasks: list[TaskFacts]
    data: DataFacts
    training: TrainingFacts
    sharing: Sharing | None = None
    comparison: SeparateComparison | None = None
    spec: str | None = None
    shows_rows: bool = False
    absent: list[Absent] = []


def write(found: Findings, path: Path) -> None:
    """Write the findings as indented JSON; an undefined number is null.

    Raises:
        PolyceraError: where the disk refuses it.
    """
    atomic.write(path, msgspec.json.format(msgspec.json.encode(found), indent=1))
