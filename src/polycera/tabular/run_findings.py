"""Find out all that a report shows about a run: one function, plain numbers, no row of the table.

Metrics are those of `metrics.json`; their intervals, curves and counts are computed of
`predictions.csv`. Where the run's table can be read again, models that people know are fitted to
its training rows, and the network shows how its predictions depend on the weightiest columns. What
cannot be known is absent, with a reason: for a run of 0.1.0, or one whose table is gone.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from polycera import evaluation
from polycera.errors import InputError, PolyceraError, UnknownName, shorten
from polycera.evaluation import bootstrap, in_words, inverse_links, privacy
from polycera.evaluation.at_threshold import HALF
from polycera.evaluation.cumulative_gains import gains
from polycera.evaluation.decided_rows import decided_rows
from polycera.evaluation.error_bins import error_bins
from polycera.evaluation.metric_error import RawRows
from polycera.evaluation.rank_curve import rank_curve
from polycera.evaluation.residuals import coverage
from polycera.evaluation.threshold_table import operating, threshold_table
from polycera.runs import region_gradients, results
from polycera.runs.findings import (
    VERSION,
    Absent,
    Baseline,
    Caution,
    ColumnFacts,
    DataFacts,
    Dependence,
    Findings,
    GradientFacts,
    KeptFacts,
    LabelFacts,
    MetricFacts,
    RunFacts,
    TaskFacts,
    TrainingFacts,
    Weighty,
)
from polycera.runs.spec import to_yaml
from polycera.runs.table_counts import TableCounts
from polycera.tabular.count_table import count_table
from polycera.tabular.expected_amounts import amounts_in, check_amount
from polycera.tabular.judged_rows import JudgedRows, judged_rows
from polycera.tabular.prepare import PreparedTable, prepared_again
from polycera.tasks import Binary, Layout, Multilabel, Quantile, Task
from polycera.tasks.task import ClassTask
from polycera.typing import Array, TaskName

if TYPE_CHECKING:
    from polycera.tabular.run import Run

WEIGHTIEST = 6
"""Columns per task whose partial dependence is shown."""
LABELS = 60
"""Most labels of a multilabel task that are described: those with the most positive rows."""
NUMBERS = 300_000
"""Most numbers in all tables of thresholds together; labels beyond it have no table."""
FEW_ROWS = 100
"""Judged rows with a label below which a task is said to have few."""
FEW_POSITIVES = 30
"""The same for rows of the rarer class of a binary task."""
UNLABELLED = 0.2
"""Share of judged rows without a label from which that is said."""
MISCALIBRATED = 0.1
"""Mean distance of predicted and observed frequency from which that is said."""


def findings(
    run: Run, source: Any = None, *, value: str | None = None, show_rows: bool = False
) -> Findings:
    """Return everything that a report shows about a run.

    Args:
        run: a run, finished or not.
        source: its table, where the file was moved, or where the training began with a data frame.
        value: a column of the table or a numeric task: the amount that is at stake in a row. Gains
            then say what share of it the rows with the highest scores hold.
        show_rows: whether to show rare levels, and texts that look like an address or an account.

    Raises:
        InputError: for an amount that is no number, or below 0.
        UnknownName: for an amount that is neither a column nor a task.
        PolyceraError: where the manifest, the spec or the schema of the run is damaged.
    """
    seen = SeenRun(run, source, value, show_rows)
    # First, since the amount may be wrong.
    amount = AmountAtStake.of(seen)
    tasks = _tasks(seen, amount)
    return Findings(
        version=VERSION,
        polycera=_installed(),
        run=_run_facts(run, seen),
        headline=[task.headline for task in tasks],
        beware=_cautions(seen, tasks),
        tasks=tasks,
        data=_data_facts(seen),
        training=_training_facts(seen),
        sharing=seen.part("sharing", lambda: run.sharing),
        comparison=seen.part("comparison", lambda: run.comparison),
        spec=_spec(seen),
        shows_rows=show_rows,
        absent=seen.absent,
    )


@dataclass
class SeenRun:
    """Holds a run and what has been read of it.

    Attributes:
        run, source, value, show_rows: as for `findings`.
        absent: why parts are missing.
    """

    run: Run
    source: Any
    value: str | None
    show_rows: bool
    absent: list[Absent] = field(default_factory=list)

    def miss(self, part: str, reason: str, task: str | None = None) -> None:
        """Note why a part is missing."""
        self.absent.append(Absent(part, task, " ".join(reason.split())))

    def part(self, name: str, read: Any) -> Any:
        """Return a part of the run; None, with a reason, where it is damaged."""
        try:
            return read()
        except PolyceraError as error:
            self.miss(name, str(error))
            return None

    def label(self, label: object, rows: int | None) -> str:
        """Return a label as it may be shown."""
        return str(label) if self.show_rows else privacy.shown_label(label, rows)

    def sentence(self, text: str) -> str:
        """Return a sentence of the run without values of its table."""
        return text if self.show_rows else privacy.without_values(text, self.names)

    @cached_property
    def names(self) -> Collection[str]:
        """Return the names of columns and tasks."""
        return {*(column["name"] for column in self.run.schema["columns"]), *self.run.tasks}

    @cached_property
    def prepared(self) -> PreparedTable | None:
        """Return the run's table, read again; None where that is not possible."""
        also = [self.value] if self.value is not None and self.value not in self.run.tasks else []
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                prepared = prepared_again(self.run, self.source, also_read=also)
        except UnknownName:
            raise
        except PolyceraError as error:
            self.miss("table", str(error))
            return None
        if prepared.stream is not None:
            self.miss("table", "The table is larger than memory, so it is not read again.")
            return None
        return prepared

    @cached_property
    def counts(self) -> TableCounts | None:
        """Return what was counted in the table."""
        counted = self.part("data", lambda: self.run.table_counts)
        if counted is None and self.prepared is not None:
            counted = count_table(self.prepared)
        return counted

    @cached_property
    def judged_part(self) -> str | None:
        """Return the name of the rows on which the run is judged; None before its end."""
        metrics = self.part("metrics", lambda: self.run.metrics) if self.run.finished else None
        return None if metrics is None else str(metrics["part"])

    @cached_property
    def judged(self) -> JudgedRows | None:
        """Return the rows on which the run is judged."""
        part = self.judged_part
        if part is None:
            return None
        tasks = list(self.run.tasks.values())
        return self.part("rows", lambda: judged_rows(self.run, part, tasks, self.prepared))

    @cached_property
    def measurable(self) -> list[Task]:
        """Return the tasks whose metrics can be computed of the judged rows."""
        if self.judged is None:
            return []
        found = []
        for name, task in self.run.tasks.items():
            if not inverse_links.invertible(task):
                self.miss("intervals", "Its kind was not written by polycera.", name)
            elif name not in self.judged.labels:
                self.miss("intervals", "Its labels are in the table, which was not read.", name)
            elif not np.isnan(self.judged.labels[name]).all():
                found.append(task)
        if self.run.spec.data.sample_weight is not None and self.judged.weights is None and found:
            self.miss("intervals", "The sample weights are in the table, which was not read.")
            return []
        return found

    @cached_property
    def thresholds(self) -> dict[TaskName, Array]:
        """Return task -> its decision thresholds [labels]."""
        chosen = self.part("thresholds", lambda: self.run.thresholds)
        return evaluation.by_task(chosen, Layout.of(self.run.tasks.values()))

    @cached_property
    def groups(self) -> Any:
        """Return the code of each judged row's group; None where each row is its own."""
        column = self.run.spec.data.parts.groups
        assert self.judged is not None
        if column is not None and self.judged.groups is None:
            self.miss(
                "groups",
                f"The rows of a {column} belong together, but that column is in the table, which "
                "was not read: the intervals draw single rows, and may be too narrow.",
            )
        return self.judged.groups

    @cached_property
    def units(self) -> int:
        """Return the number of judged rows, or of their groups."""
        assert self.judged is not None
        return self.judged.count if self.groups is None else int(self.groups.max()) + 1

    @cached_property
    def draws(self) -> Array:
        """Return how often each draw takes each judged row; the same for every comparison."""
        assert self.judged is not None
        return bootstrap.row_draws(self.judged.count, self.groups, seed=self.run.spec.seed)

    def views(self, tasks: list[Task], predicted: Mapping[TaskName, Array]) -> list[RawRows]:
        """Return the judged rows with these predictions, as metrics are computed of them."""
        assert self.judged is not None
        layout = Layout.of(tasks)
        rows = inverse_links.raw_rows(layout, self.judged.labels, predicted)
        decided = decided_rows(
            layout, self.judged.labels, predicted, self.thresholds, rows.prior, layout.tasks
        )
        return [rows] if decided is None else [rows, decided]

    @cached_property
    def intervals(self) -> dict[bootstrap.Key, bootstrap.Interval]:
        """Return the interval of every metric."""
        if not self.measurable or self.judged is None:
            return {}
        return bootstrap.intervals(
            self.views(self.measurable, self.judged.predicted),
            groups=self.groups,
            weights=self.judged.weights,
            seed=self.run.spec.seed,
        )

    @cached_property
    def class_rows(self) -> dict[TaskName, dict[str, int]]:
        """Return task -> class -> number of rows, in the whole table where that is known."""
        if self.counts is not None:
            return self.counts.classes
        quality = self.part("quality", lambda: self.run.quality)
        found: dict[TaskName, dict[str, int]] = {}
        for name, task in (quality.tasks if quality is not None else {}).items():
            if task.confusion is not None:
                rows = [sum(row) for row in task.confusion.counts]
                found[name] = dict(zip(task.confusion.labels, rows, strict=True))
            elif task.labels:
                found[name] = {label.name: label.positives for label in task.labels}
        return found

    def class_label(self, task: TaskName, label: object) -> str:
        """Return a class or a label of a task as it may be shown."""
        return self.label(label, self.class_rows.get(task, {}).get(str(label)))


def _installed() -> str:
    """Return the version of polycera that is installed."""
    try:
        return version("polycera")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


def _run_facts(run: Run, seen: SeenRun) -> RunFacts:
    """Return what was trained, when, and by what."""
    timing = seen.part("timing", lambda: run.timing)
    metrics = seen.part("metrics", lambda: run.metrics) if run.finished else None
    source = run.spec.data.source
    counts = {} if metrics is None else dict(metrics.get("rows") or {})
    return RunFacts(
        name=run.path.resolve().name,
        finished=run.finished,
        file=Path(source).name if isinstance(source, str) else None,
        file_changed=None if timing is None else timing.source_changed,
        command=None if timing is None else timing.command,
        versions={} if timing is None else timing.versions,
        seconds=seen.part("timing", lambda: run.seconds),
        seed=run.spec.seed,
        part=seen.judged_part,
        rows={name: int(count) for name, count in counts.items()},
        folds=run.spec.network.folds or 1,
        epochs=None if metrics is None else metrics.get("epochs"),
        parameters=None if metrics is None else metrics.get("parameters"),
    )


# -- tasks ---------------------------------------------------------------------------------------


def _tasks(seen: SeenRun, amount: AmountAtStake | None) -> list[TaskFacts]:
    """Return all that is known about each task."""
    run, part = seen.run, seen.judged_part
    if part is None:
        seen.miss("metrics", "The training has not ended, so nothing is measured yet.")
    scores = {} if part is None else run.metrics.get(part) or {}
    quality = seen.part("quality", lambda: run.quality) if part is not None else None
    importance = seen.part("importance", lambda: run.importance) if part is not None else None
    compared = _baselines(seen)
    dependence = _dependence(seen, importance)
    tables = _tables_at_most(seen)
    found = []
    for name, task in run.tasks.items():
        metrics = [_metric(seen, name, *item) for item in (scores.get(name) or {}).items()]
        rows, missing = _labelled(seen, name, quality)
        own = quality.tasks.get(name) if quality is not None else None
        facts = TaskFacts(
            name=name,
            kind=task.kind,
            headline=in_words.headline(
                name,
                task.kind,
                metrics[0] if metrics else None,
                _classes(seen, task),
                rows or 0,
            ),
            metric=metrics[0].name if metrics else None,
            rows=rows,
            labels_missing=missing,
            metrics=metrics,
            baselines=compared.get(name, []),
            verdict=in_words.verdict(name, compared.get(name, [])),
            labels=_labels(seen, task, own, amount, tables),
            confusion=_confusion(seen, name, own),
            reliability=None if own is None else own.reliability,
            errors=_errors(seen, task),
            coverage=_coverage(seen, task),
            importance=_importance(importance, name),
            dependence=dependence.get(name, []),
        )
        found.append(facts)
    return found


def _metric(seen: SeenRun, task: TaskName, name: str, score: Mapping[str, Any]) -> MetricFacts:
    """Return a metric of `metrics.json` with its interval."""
    interval = seen.intervals.get((task, name), bootstrap.NONE)
    return MetricFacts(
        name=name,
        direction=str(score["direction"]),
        value=score["value"],
        trivial=score["trivial"],
        ideal=score["ideal"],
        skill=score["skill"],
        low=interval.low,
        high=interval.high,
        interval=interval.method,
    )


def _labelled(
    seen: SeenRun, name: TaskName, quality: results.Quality | None
) -> tuple[int | None, int | None]:
    """Return the judged rows of a task with and without a label; None where not known."""
    judged = seen.judged
    if judged is not None and name in judged.labels:
        rows = judged.labelled(name)
        return rows, judged.count - rows
    if quality is not None and name in quality.tasks:
        rows = quality.tasks[name].rows
        return rows, None if judged is None else judged.count - rows
    return None, None


def _classes(seen: SeenRun, task: Task) -> tuple[str, str] | None:
    """Return negative and positive class of a binary task, as they may be shown."""
    if not isinstance(task, Binary):
        return None
    negative, positive = (seen.class_label(task.name, label) for label in task.known_classes())
    return negative, positive


def _importance(importance: results.Importance | None, name: TaskName) -> list[Weighty]:
    """Return the columns of a task by their importance."""
    drops = None if importance is None else importance.tasks.get(name)
    if importance is None or drops is None:
        return []
    columns = zip(importance.columns, drops.mean, drops.deviation, strict=True)
    found = [Weighty(*column) for column in columns]
    return sorted(found, key=lambda one: -(one.mean if one.mean is not None else -np.inf))


def _confusion(
    seen: SeenRun, name: TaskName, own: results.TaskQuality | None
) -> results.Confusion | None:
    """Return the confusion matrix of a task, with labels that may be shown."""
    if own is None or own.confusion is None:
        return None
    known = {str(label) for label in getattr(seen.run.tasks[name], "known_classes", tuple)()}
    labels = [
        seen.class_label(name, label) if label in known else label for label in own.confusion.labels
    ]
    return results.Confusion(labels, own.confusion.counts)


def _tables_at_most(seen: SeenRun) -> int:
    """Return how many labels of each task may have tables of thresholds and curves."""
    with_labels = [task for task in seen.run.tasks.values() if evaluation.labels_of(task)]
    return max(1, NUMBERS // (1500 * max(len(with_labels), 1)))


def _labels(
    seen: SeenRun,
    task: Task,
    own: results.TaskQuality | None,
    amount: AmountAtStake | None,
    tables: int,
) -> list[LabelFacts]:
    """Return the decisions between yes and no of a binary or multilabel task."""
    names, judged = evaluation.labels_of(task), seen.judged
    if not names or judged is None or task.name not in judged.labels:
        return []
    y, p = judged.labels[task.name], judged.predicted[task.name]
    p = np.clip(p, 0.0, 1.0)
    chosen = seen.run.thresholds.tasks.get(task.name, {}) if seen.run.thresholds else {}
    reliability = {label.name: label.reliability for label in own.labels} if own is not None else {}
    most = np.argsort(-np.nansum(y, axis=0), kind="stable")[:LABELS]
    with_tables = set(most[:tables].tolist())
    found = []
    for i in np.sort(most).tolist():
        truth, probability = y[:, i], p[:, i]
        shown = seen.class_label(task.name, names[i])
        called = f"{task.name} = {shown}"
        threshold = chosen.get(names[i])
        facts = LabelFacts(
            name=shown,
            rows=int((~np.isnan(truth)).sum()),
            positives=int(np.nansum(truth)),
            reliability=reliability.get(names[i]),
            operating=operating(
                truth,
                probability,
                threshold,
                called,
                HALF if threshold is None else threshold.value,
            ),
        )
        if i in with_tables:
            facts.thresholds = threshold_table(
                truth, probability, None if threshold is None else threshold.value
            )
            facts.curve = rank_curve(truth, probability)
            facts.gains = _gains(task, truth, probability, called, amount)
        found.append(facts)
    return found


def _gains(
    task: Task, truth: Array, probability: Array, called: str, amount: AmountAtStake | None
) -> list[Any]:
    """Return the gains by probability, and by probability x amount."""
    if amount is None or amount.name == task.name:
        return [curve] if (curve := gains(truth, probability, called)) is not None else []
    options: dict[str, Any] = {"amount": amount.true, "amount_name": amount.name}
    by_amount = probability * amount.expected
    curves = [
        gains(truth, probability, called, **options),
        gains(truth, by_amount, called, order=f"probability x {amount.name}", **options),
    ]
    return [curve for curve in curves if curve is not None]


@dataclass(frozen=True)
class AmountAtStake:
    """Holds the amount that is at stake in each judged row.

    Attributes:
        name: of the column or task.
        true: the amount, [n]; NaN where it is not known.
        expected: what is known of it before, [n]: the column itself, or the task's prediction.
    """

    name: str
    true: Array
    expected: Array

    @classmethod
    def of(cls, seen: SeenRun) -> AmountAtStake | None:
        """Return the amount that was asked for.

        Raises:
            InputError: where it is no number, or below 0.
            UnknownName: where it is neither a column nor a task.
        """
        name = seen.value
        if name is None or seen.judged is None:
            return None
        task = seen.run.tasks.get(name)
        check_amount(name, seen.run.tasks)
        if task is not None:
            if name not in seen.judged.labels:
                return None
            true = seen.judged.labels[name][:, 0]
            expected = np.maximum(task.answer(seen.judged.predicted[name]).astype(float), 0.0)
        else:
            if seen.prepared is None:
                seen.miss("value", f"The column {name} is in the table, which was not read.")
                return None
            true = amounts_in(name, seen.prepared.table)[seen.judged.indices]
            expected = np.nan_to_num(true)
        if (np.nan_to_num(true) < 0).any():
            raise InputError(
                f"value={shorten(name)!r} (--value) has amounts below 0, of which there is no "
                "share: name a column of amounts of 0 or more."
            )
        return cls(name, true, expected)


def _errors(seen: SeenRun, task: Task) -> Any:
    """Return the errors of predicted numbers; None for classes."""
    judged = seen.judged
    hard = isinstance(task, ClassTask | Multilabel) and not getattr(task, "soft", False)
    if judged is None or task.name not in judged.labels or hard:
        return None
    y, p = judged.labels[task.name], judged.predicted[task.name]
    if y.shape[1] > 1:
        return error_bins(y.ravel(), p.ravel())
    return error_bins(y[:, 0], np.asarray(task.answer(p), "float64"))


def _coverage(seen: SeenRun, task: Task) -> results.Coverage | None:
    """Return the share of rows at or below each quantile; None for another kind."""
    judged = seen.judged
    if not isinstance(task, Quantile) or judged is None or task.name not in judged.labels:
        return None
    return coverage(judged.labels[task.name][:, 0], judged.predicted[task.name], task.quantiles)


# -- what needs the table ------------------------------------------------------------------------


def _baselines(seen: SeenRun) -> dict[TaskName, list[Baseline]]:
    """Return the models that people know, compared with the network, task by task."""
    judged = seen.judged
    if judged is None:
        return {}
    prepared = seen.prepared
    if prepared is None:
        seen.miss("baselines", "The table was not read, on which they are fitted.")
        return {}
    folds = seen.run.spec.network.folds or 1
    if judged.part == "train" or (judged.part == "validation" and folds > 1):
        seen.miss("baselines", "There are no test rows: they would be judged on their own rows.")
        return {}
    from polycera.tabular.baselines import baselines

    rows = prepared.learned_from if folds > 1 else prepared.parts.train
    features, labels = prepared.encoded_rows(rows)
    candidates = seen.measurable
    made = baselines(
        candidates, features, labels, prepared.rows(judged.indices)[0], seen.run.spec.seed
    )
    by_network = _drawn(seen, candidates, judged.predicted)
    found: dict[TaskName, list[Baseline]] = {}
    for one in made:
        for name, reason in one.reasons.items():
            seen.miss("baselines", f"{one.name.replace('_', '-')}: {reason}", name)
        tasks = [task for task in candidates if task.name in one.predicted]
        if not tasks:
            continue
        by_baseline = _drawn(seen, tasks, one.predicted)
        for task in tasks:
            values = {
                metric: float(value[0])
                for (name, metric), value in by_baseline.exact.items()
                if name == task.name
            }
            found.setdefault(task.name, []).append(
                _compared(seen, task, one, values, by_network, by_baseline)
            )
    return found


@dataclass(frozen=True)
class DrawnMetrics:
    """Holds every metric of every task on the judged rows [1], and in each draw [draws]."""

    exact: dict[bootstrap.Key, Array]
    draws: dict[bootstrap.Key, Array]


def _drawn(seen: SeenRun, tasks: list[Task], predicted: Mapping[TaskName, Array]) -> DrawnMetrics:
    """Return the metrics of predictions, on all judged rows and in each draw.

    Too many rows for draws have the metrics on all rows alone.
    """
    assert seen.judged is not None
    if not tasks:
        return DrawnMetrics({}, {})
    # The headline metric alone is drawn: the others are shown without an interval.
    heads = [task.replace(metrics=[task.headline]) for task in tasks]
    views, weights = seen.views(tasks, predicted), seen.judged.weights
    everything = bootstrap.drawn_values(views, np.ones((1, seen.judged.count)), weights)
    if bootstrap.too_many(seen.judged.count, views):
        return DrawnMetrics(everything, {})
    drawn = bootstrap.drawn_values(seen.views(heads, predicted), seen.draws, weights)
    return DrawnMetrics(everything, drawn)


def _compared(
    seen: SeenRun,
    task: Task,
    one: Any,
    values: dict[str, float],
    ours: DrawnMetrics,
    theirs: DrawnMetrics,
) -> Baseline:
    """Return one baseline beside the network on one task, by the headline metric."""
    key = (task.name, task.headline)
    score = seen.run.metrics[str(seen.judged_part)][task.name][task.headline]
    value = values.get(task.headline, np.nan)
    network = np.nan if score["value"] is None else float(score["value"])
    ideal, direction = score["ideal"], score["direction"]

    def merit(metric: Any) -> Any:
        """Return the metric so that more is better."""
        if direction == "target":
            return -np.abs(metric - ideal)
        return metric if direction == "max" else -metric

    difference = merit(network) - merit(value)
    low = high = None
    if key in ours.draws and key in theirs.draws:
        assert seen.judged is not None
        count = min(seen.units, seen.judged.labelled(task.name))
        low, high = bootstrap.paired(merit(ours.draws[key]), merit(theirs.draws[key]), 1.0, count)
    better: Any = "neither"
    if low is not None and high is not None:
        better = "polycera" if low > 0 else "baseline" if high < 0 else "neither"
    return Baseline(
        name=one.name,
        model=one.models[task.name],
        metric=task.headline,
        value=_defined(value),
        difference=_defined(difference),
        low=low,
        high=high,
        better=better,
        metrics={metric: _defined(number) for metric, number in values.items()},
    )


def _dependence(
    seen: SeenRun, importance: results.Importance | None
) -> dict[TaskName, list[Dependence]]:
    """Return task -> partial dependence of its weightiest columns."""
    judged = seen.judged
    if judged is None:
        return {}
    if importance is None:
        seen.miss("dependence", "The importance of the columns was not measured.")
        return {}
    if seen.prepared is None:
        seen.miss("dependence", "The table was not read, whose rows are changed.")
        return {}
    chosen = {
        name: [
            one.column for one in _importance(importance, name)[:WEIGHTIEST] if one.mean is not None
        ]
        for name in seen.run.tasks
    }
    columns = list(dict.fromkeys(column for own in chosen.values() for column in own))
    from polycera.tabular.column_grids import dependence_of

    curves = dependence_of(
        seen.run, seen.prepared, columns, judged.indices, seen.label, seen.class_label
    )
    return {
        name: [curves[name][column] for column in own if column in curves[name]]
        for name, own in chosen.items()
        if name in curves
    }


# -- data, training, cautions --------------------------------------------------------------------


def _data_facts(seen: SeenRun) -> DataFacts:
    """Return the table: its columns and what is missing in it."""
    run, counts = seen.run, seen.counts
    used = set(run.encoder.columns)
    if counts is None:
        seen.miss("missing", "How many values are missing was not counted in this run's table.")
    columns = [
        ColumnFacts(
            name=column["name"],
            role=column["role"],
            kind=column["kind"],
            used=column["name"] in used,
            reason=seen.sentence(column["reason"]),
            missing=None if counts is None else counts.missing.get(column["name"]),
            levels=None if counts is None else counts.levels.get(column["name"]),
        )
        for column in run.schema["columns"]
    ]
    missing = {} if counts is None else counts.labels_missing
    if counts is None and seen.judged is not None:
        quality = seen.part("quality", lambda: run.quality)
        part = str(seen.judged_part)
        lacking = {name: _labelled(seen, name, quality)[1] for name in run.tasks}
        missing = {name: {part: count} for name, count in lacking.items() if count is not None}
    data = run.spec.data
    weight = data.sample_weight
    weights = [weight] if isinstance(weight, str) else list((weight or {}).values())
    return DataFacts(
        rows=None if counts is None else counts.rows,
        columns=columns,
        labels_missing=missing,
        sample_weight=list(dict.fromkeys(weights)),
        groups=data.parts.groups,
        time=data.parts.time,
    )


def _training_facts(seen: SeenRun) -> TrainingFacts:
    """Return history, kept epochs and gradient statistics."""
    run = seen.run
    history: dict[str, list[float | None]] = {}
    kept: list[KeptFacts] = []
    if run.finished:
        rows = seen.part("history", lambda: run.history) or []
        history = {
            name: [_defined(float(row[name])) for row in rows] for name in (rows[0] if rows else ())
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            epochs = seen.part("epochs", lambda: run.epochs) or []
        kept = [
            KeptFacts(
                epoch.epoch, {name: _defined(float(skill)) for name, skill in epoch.skills.items()}
            )
            for epoch in epochs
        ]
    weights = run.spec.training.score_weights or dict.fromkeys(run.tasks, 1.0)
    return TrainingFacts(
        history,
        kept,
        {name: float(weight) for name, weight in weights.items()},
        seen.part("gradients", lambda: _gradients(run)) or [],
    )


def _gradients(run: Run) -> list[GradientFacts]:
    """Return the gradient statistics by shared region; none where none were recorded."""
    stored = run.gradients if run.finished else None
    if stored is None:
        return []
    read = region_gradients.read(stored)
    shares = read.shares
    looks = np.isfinite(read.cosines)
    total = np.where(looks, read.cosines, 0.0).sum(axis=0)
    counts = looks.sum(axis=0)
    cosines = np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)
    return [
        GradientFacts(
            region=place,
            source=read.source,
            epochs=list(read.epochs),
            shares={
                task: [_defined(value) for value in shares[:, p, i].tolist()]
                for i, task in enumerate(read.tasks)
            },
            cosines=[[_defined(value) for value in row] for row in cosines[p].tolist()],
        )
        for p, place in enumerate(read.places)
    ]


def _spec(seen: SeenRun) -> str:
    """Return the spec as YAML, with labels that may be shown."""
    tasks = []
    for config in seen.run.spec.tasks:
        shown = dict(config)
        for key in ("classes", "labels"):
            if isinstance(shown.get(key), list):
                shown[key] = [
                    label
                    if seen.class_label(config["name"], label) == str(label)
                    else seen.class_label(config["name"], label)
                    for label in shown[key]
                ]
        tasks.append(shown)
    return to_yaml(msgspec.structs.replace(seen.run.spec, tasks=tasks)).decode()


def _cautions(seen: SeenRun, tasks: list[TaskFacts]) -> list[Caution]:
    """Return what to beware of, the most important first."""
    leaks = set(seen.counts.leaks) if seen.counts is not None else set()
    found: list[Caution] = []
    notes: list[Caution] = []
    for sentence in seen.run.schema["warnings"]:
        leak = sentence in leaks or "is nearly a copy of the target" in sentence
        caution = Caution("leak" if leak else "warning", None, seen.sentence(sentence))
        (found if leak else notes).append(caution)
    if seen.judged_part not in (None, "test"):
        part = seen.judged_part
        how = "the training rows themselves" if part == "train" else f"the {part} rows"
        found.append(
            Caution(
                "few rows",
                None,
                f"There are no test rows: everything is measured on {how}, by which the network "
                "was chosen, so it looks better than it is.",
            )
        )
    for task in tasks:
        found += _cautions_of(task)
    return found + notes


def _cautions_of(task: TaskFacts) -> list[Caution]:
    """Return what to beware of in one task."""
    found: list[Caution] = []

    def note(kind: str, sentence: str) -> None:
        found.append(Caution(kind, task.name, sentence))

    if task.rows is None:
        return found
    if task.rows < FEW_ROWS:
        note("few rows", f"{task.name} is measured on {task.rows:,} rows only.")
    if task.kind == "binary" and task.labels:
        label = task.labels[0]
        rarer = min(label.positives, label.rows - label.positives)
        if rarer < FEW_POSITIVES:
            which = label.name if rarer == label.positives else "the other class"
            note("few positives", f"Only {rarer:,} of its rows have {task.name} = {which}.")
    if task.labels_missing and task.labels_missing > UNLABELLED * (task.rows + task.labels_missing):
        note(
            "labels",
            f"{task.labels_missing:,} of {task.rows + task.labels_missing:,} rows have no label "
            f"for {task.name}: what is said holds for rows like those that have one.",
        )
    head = task.metrics[0] if task.metrics else None
    if head is not None and head.skill is not None and head.trivial is not None:
        if head.skill <= 0:
            note("unsure", f"{task.name} is predicted no better than by guessing.")
        elif (
            head.low is not None and head.high is not None and head.low <= head.trivial <= head.high
        ):
            note("unsure", f"{task.name} may be no better than guessing: its interval says so.")
    if any(one.better == "baseline" for one in task.baselines) and task.verdict:
        note("baseline", task.verdict)
    errors = [label.reliability.ece for label in task.labels if label.reliability is not None]
    if task.reliability is not None:
        errors.append(task.reliability.ece)
    worst = max((error for error in errors if error is not None), default=0.0)
    if worst > MISCALIBRATED and task.rows >= FEW_ROWS:
        note(
            "calibration",
            f"The probabilities of {task.name} are off by {100 * worst:.0f} points on average.",
        )
    if any(not label.operating.fitted for label in task.labels if label.operating is not None):
        note("threshold", f"{task.name} is predicted from 0.5 on: no threshold could be chosen.")
    return found


def _defined(value: float) -> float | None:
    """Return the number, or None where it is not finite."""
    return float(value) if np.isfinite(value) else None
