"""Open the folder of a run, predict and evaluate with its network, and show its results as tables.

The network is built the first time that it is needed.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

import msgspec
import numpy as np

from polycera import data, evaluation, renamed
from polycera.data import Encoder, Schema, Table, memory
from polycera.errors import InputError, listing, shorten
from polycera.runs import Folder, folder, kept_epochs, manifest, results, schemas, timing
from polycera.runs.findings import Findings
from polycera.runs.html_table import html_table
from polycera.runs.kept_epochs import KeptEpoch
from polycera.runs.segment_scores import Segments
from polycera.storage import arrays, atomic, table_files, table_stream
from polycera.storage.arrays import StoredArrays
from polycera.tabular import (
    expected_amounts,
    known_rows,
    predict_stream,
    prediction_columns,
    row_progress,
    row_weights,
    run_frames,
    run_segments,
)
from polycera.tabular.prepare import formats_of, read_cells, targets_of, tasks_from
from polycera.tasks import Task
from polycera.tasks.layout import Encoded

# These import Keras, which takes seconds. A method that needs them imports them when it is called.
if TYPE_CHECKING:
    from polycera.model.model import Model
    from polycera.model.scores import Scores

Built = TypeVar("Built")
"""Type of the object that `Run._of_schema` builds."""

SampleWeights = dict[str, np.ndarray] | None
"""Task -> sample weights [rows]; None where all rows count the same."""

BUILDING = threading.Lock()
"""Lock that is held while a network is built, so that several threads build only one."""


class Run(Folder):
    """Holds a run folder and predicts with its network.

    `pc.fit` returns it, and `pc.load` opens it.

    Attributes:
        path, spec, schema, metrics, history, versions, seconds: the content of the folder; see
            `polycera.runs.Folder`.
        picked: the epoch whose weights the run has, where one was picked; None for the weights at
            the end of the training.
        library: pandas, polars or pyarrow, where the table was a frame of it; the default of
            `metrics_frame` and the like.

    Examples:
        >>> import polycera as pc
        >>> run = pc.load("runs/customers-1")  # doctest: +SKIP
        >>> run.predict("new_customers.csv")["churn"]  # doctest: +SKIP
        array(['No', 'Yes', 'No'], dtype=object)
    """

    picked: KeptEpoch | None = None
    library: str | None = None
    """Library of the data frame that the table was; None for another kind of table."""

    @cached_property
    def model(self) -> Model:
        """Return the network with its trained weights, built once from spec and schema.

        Raises:
            PolyceraError: where a file is damaged, or the weights do not fit this network.
        """
        with BUILDING:
            # Another thread may have built it while this one waited for the lock.
            if (model := vars(self).get("model")) is not None:
                return model
            return self._with(self.weights)

    def _with(self, stored: StoredArrays) -> Model:
        """Return the network with these weights."""
        from polycera.model import variables
        from polycera.tabular import recipe

        spec, source = self.spec, f"The file {shorten(stored.path)!r}"
        tasks = tasks_from(spec.tasks)
        # Checked before building: a changed spec must not build a huge network first.
        recipe.check_size(self.encoder.width, tasks, spec.network, stored.shapes, source)
        return recipe.rebuilt(
            spec,
            tasks,
            self.encoder.width,
            lambda network: variables.load(network, stored, source),
        )

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """Return the tasks of the spec by name, without building a network."""
        return {task.name: task for task in tasks_from(self.spec.tasks)}

    @renamed.arguments(weights="score_weights")
    def pick(self, score_weights: Mapping[str, float]) -> Self:
        """Return the run as it was at the epoch that is best under these weights, without training.

        Training keeps the epochs of the Pareto set: those that no other epoch beats on every task.
        One of them is loaded.

        Args:
            score_weights: task name -> its weight in the score; a task that is left out has
                weight 0.

        Returns:
            a run whose `model` has the weights of that epoch and whose `picked` describes it.

        Raises:
            UnknownName: for a task that the run does not have.
            InputError: for weights that are not finite numbers of 0 or more; where no epoch was
                stored.
        """
        chosen = kept_epochs.pick(self.epochs, score_weights)
        if self.thresholds is not None:
            warnings.warn(
                "The thresholds of this run belong to its final weights: the epoch that was "
                "picked predicts the positive class from probability 0.5; to choose new ones: "
                "run.pick(...).with_thresholds(table).",
                stacklevel=3,
            )
        picked_run = type(self)(self.path)
        picked_run.picked, picked_run.thresholds = chosen, None
        picked_run.model = self._with(StoredArrays(chosen.path))
        return picked_run

    def write(self, path: str | Path) -> None:
        """Write the run with the picked epoch to its own folder.

        Its metrics are the validation metrics of that epoch. Its thresholds are those of
        `with_thresholds`, if they were chosen.

        Raises:
            InputError: where no epoch was picked, or the folder exists already.
            PolyceraError: where the folder cannot be written.
        """
        from polycera.model import variables

        if self.picked is None:
            raise InputError(
                "Only a run that was picked can be written: run.pick({task: weight}).write(path)."
            )
        metrics = {**self.metrics, "part": "validation", "validation": self.picked.table}
        # The test metrics belong to the weights at the end of the training; the seconds of a run of
        # an older version are written to another file now.
        for name in ("test", "seconds"):
            metrics.pop(name, None)
        with atomic.new_folder(Path(path)) as draft:
            for name in (folder.SPEC, folder.SCHEMA, folder.HISTORY):
                atomic.write(draft / name, self._content(name))
            if folder.ROWS in manifest.entries(self.path):
                manifest.check(self.path, folder.ROWS)
                arrays.write(draft / folder.ROWS, StoredArrays(self.path / folder.ROWS).arrays)
            atomic.write(
                draft / folder.METRICS, manifest.page({**metrics, "picked": self.picked.epoch})
            )
            if self.thresholds is not None:
                atomic.write(draft / results.THRESHOLDS, manifest.page(self.thresholds))
            arrays.write(draft / folder.MODEL, variables.read(variables.weights(self.model)))
            manifest.add(draft, sorted(file.name for file in draft.iterdir()))
            timing.rewrite(draft, self.timing, seconds=self.seconds, comparison=None)

    @cached_property
    def encoder(self) -> Encoder:
        """Return the encoder that turns a table into features."""
        return self._of_schema(lambda schema: Encoder.from_config(schema["encoder"]))

    @cached_property
    def columns(self) -> Schema:
        """Return what each column was used as, with the reason."""
        return self._of_schema(Schema.from_config)

    def _of_schema(self, build: Callable[[dict[str, Any]], Built]) -> Built:
        """Build an object from the schema; raise InputError where the file was changed."""
        try:
            return build(self.schema)
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(
                f"The run {shorten(self.path)!r} has a {folder.SCHEMA} that was changed: {error!r}."
            ) from None

    def read(self, source: Any, *, sql: str | None = None, sheet: str | None = None) -> Table:
        """Read a table as the training read it, and warn of differences from the training table.

        Args:
            source: whatever `fit` takes.
            sql: one SELECT statement over the source, which it calls `source`. The one with which
                the run was trained is not repeated: it may leave out rows.
            sheet: name of a workbook's sheet; None: the one that the training read.

        Raises:
            InputError: for a column that is missing.
        """
        classes = {
            name: getattr(task, "classes", None) or (None,) for name, task in self.tasks.items()
        }
        text_tasks = [
            name
            for name, labels in classes.items()
            if all(isinstance(label, str) for label in labels)
        ]
        ids, tags = self.spec.data.id, self.spec.data.tags
        text_columns = {*self.columns.as_text, *text_tasks, *ids}
        options = msgspec.structs.replace(
            self.spec.data, sql=sql, sheet=self.spec.data.sheet if sheet is None else sheet
        )
        table = read_cells(source, options, as_text=text_columns, old=options.cells is None)
        targets = [
            name for task in self.tasks.values() for name in data.columns_of(task.name, task)
        ]
        targets += tags
        table = table.labelled(targets)
        for notice in self.encoder.check(
            table.without([name for name in targets if name in table])
        ):
            warnings.warn(notice, stacklevel=3)
        return table

    def predict(
        self,
        source: Any,
        *,
        sql: str | None = None,
        sheet: str | None = None,
        value: str | None = None,
    ) -> dict[str, np.ndarray]:
        """Predict the rows of a table, as named columns in the user's units and labels.

        For binary tasks and labels the positive class is predicted from the decision threshold on,
        see `thresholds`; without a threshold, above one half. Probabilities are as the network
        gives them.

        Args:
            source: whatever `fit` takes; needs no target.
            sql, sheet: as for `read`.
            value: a numeric task, or a column of the table: the amount that is at stake in a row.
                Each binary task then gets a column with its probability times the amount, by which
                rows can be sorted.

        Returns:
            column name -> [rows]: the columns that `id=` of the training names, then the
            prediction of each task with its probabilities (`task=class probability`), then with
            `value` the `task=class probability x value`.

        Raises:
            InputError: for a column that is missing, and an amount that is no number.
            UnknownName: for an amount that is neither a task nor a column.
        """
        # Before the imports and the network, so that an error in the table is raised at once.
        table = self.read(source, sql=sql, sheet=sheet)
        if value is not None:
            expected_amounts.check_amount(value, self.tasks)
            if value not in self.tasks:
                expected_amounts.amounts_in(value, table)
        features = self.encoder.transform(table)
        ids = self._ids_in(table.names)
        from polycera.model.predicting import in_batches

        layout = self.model.layout
        at = evaluation.by_task(self.thresholds, layout) if self.thresholds is not None else None
        predicted = in_batches(self.model.predict_arrays, features)
        named = prediction_columns.columns(
            layout,
            predicted,
            at,
            carried=prediction_columns.ids_of(table, ids),
            tags=self.spec.data.tags,
        )
        if value is not None:
            named |= expected_amounts.expected_columns(self.tasks, predicted, value, table)
        return named

    def predict_to(
        self,
        source: str | Path,
        output: str | Path,
        *,
        safe_csv: bool = False,
        progress: bool = False,
    ) -> int:
        """Predict the rows of Parquet files of any size, a part at a time, and write them.

        The columns are those of `predict`, in the order of the rows. The predictions are there at
        the end, or nothing is.

        Args:
            source: a Parquet file, a folder of them, or a pattern such as "big/*.parquet".
            output: a .csv or .parquet file, or a new folder, which gets several Parquet files.
            safe_csv: whether to put an apostrophe before text that a spreadsheet would take for a
                formula.
            progress: whether to draw a line with rows, rows a second and the time left.

        Returns:
            the number of rows.

        Raises:
            InputError: for a source that is no Parquet, a column that is missing, and an output
                that cannot be written.

        Examples:
            >>> import polycera as pc
            >>> pc.load("runs/big-1").predict_to("big/", "answers/")  # doctest: +SKIP
            100000000
        """
        rows = memory.parquet_of(source)
        if rows is None:
            raise InputError(
                f"{shorten(source)!r} is no Parquet file, folder or pattern: run.predict takes "
                "other tables."
            )
        table_stream.check_path(Path(output))
        ids = self._ids_in(rows.names)
        needed = {*self.encoder.columns, *ids}
        rows.understand(
            given=formats_of(self.spec.data, [*self.columns.as_text, *ids]),
            missing=self.spec.data.missing,
            leave_out=[name for name in rows.names if name not in needed],
            check=True,
        )
        targets = [n for task in self.tasks.values() for n in data.columns_of(task.name, task)]
        for notice in self.encoder.unknown(n for n in rows.names if n not in targets):
            warnings.warn(notice, stacklevel=2)
        self.encoder.check_names(rows.names)
        from polycera.model.predicting import in_batches

        layout = self.model.layout
        at = evaluation.by_task(self.thresholds, layout) if self.thresholds is not None else None

        def predict(features: np.ndarray) -> dict[str, np.ndarray]:
            """Return the predictions for some rows as named columns."""
            predicted = in_batches(self.model.predict_arrays, features)
            return prediction_columns.columns(layout, predicted, at, tags=self.spec.data.tags)

        with row_progress.showing("predicting", rows.rows, progress) as rows_done:
            notices = predict_stream.predict_to(
                rows,
                self.encoder,
                predict,
                Path(output),
                carry=ids,
                change=table_files.without_formulas if safe_csv else None,
                progress=rows_done,
            )
        for notice in notices:
            warnings.warn(notice, stacklevel=2)
        return rows.rows

    def _ids_in(self, names: Collection[str]) -> list[str]:
        """Return the columns to carry into predictions, with a warning on those that are absent."""
        if absent := [name for name in self.spec.data.id if name not in names]:
            warnings.warn(
                f"The table has no id column {listing(absent)}: the predictions are in the order "
                "of its rows.",
                stacklevel=3,
            )
        return [name for name in self.spec.data.id if name in names]

    @overload
    def evaluate(
        self, source: Any, *, sql: str | None = None, sheet: str | None = None
    ) -> Scores: ...

    @overload
    def evaluate(
        self,
        source: Any = None,
        *,
        by: str | Sequence[str],
        sql: str | None = None,
        sheet: str | None = None,
    ) -> Segments: ...

    def evaluate(
        self,
        source: Any = None,
        *,
        by: str | Sequence[str] | None = None,
        sql: str | None = None,
        sheet: str | None = None,
    ) -> Scores | Segments:
        """Return every metric of the run's predictions, for each task that has labels in the table.

        The metrics are exact, over all rows at once. Accuracy, F1, precision and recall are those
        at the decision thresholds, as `predict` uses them. A run that was trained with sample
        weights counts the rows by the same column of this table, where it is there. The network's
        training and validation rows among these rows are counted in a warning, because metrics on
        them are too good.

        Args:
            source: whatever `fit` takes, with at least one target. With `by` it may be left out:
                then the run's own test rows are measured, and the table that the run was trained on
                is read again.
            by: columns of the table, used by the network or not. Each divides the rows into
                segments: the values of a column, quartiles of numbers, years of dates, and the rows
                without a value.
            sql, sheet: as for `read`.

        Returns:
            task -> metric -> score. With `by` every metric for each segment, with rows, a 95 %
            interval and what it is on all rows, the worst segments first: see
            `polycera.runs.segment_scores.Segments`.

        Raises:
            InputError: for a table without a target; without a table, where the run's own is gone
                or was changed.
            UnknownName: for a column in `by` that the table does not have.

        Examples:
            >>> import polycera as pc
            >>> run = pc.load("runs/customers-1")  # doctest: +SKIP
            >>> run.evaluate("new_customers.csv")["churn"]["auc"].value  # doctest: +SKIP
            0.71
            >>> run.evaluate("new_customers.csv", by="region").worse[0]  # doctest: +SKIP
            SegmentScore(by='region', segment='north', task='churn', metric='auc', rows=212, ...)
        """
        if by is not None:
            return self._by_segment(source, by, sql, sheet)
        if source is None and sql is None:
            raise InputError(
                "evaluate() needs a table: run.evaluate(table). The metrics of the run's own test "
                "rows are run.metrics; by segment: run.evaluate(by=[column])."
            )
        features, targets, sample = self._labelled(source, sql, sheet)
        from polycera.tabular.threshold_metrics import scored

        encoded, raw, predicted = self._raw_predictions(features, targets)
        at = evaluation.by_task(self.thresholds, self.model.layout)
        weights = row_weights.normalised(self.model.layout, sample, encoded)
        measured = scored(self.model, encoded, raw, predicted, at, weights)
        return {
            name: task_scores for name, task_scores in measured.items() if targets[name] is not None
        }

    def _by_segment(
        self, source: Any, by: str | Sequence[str], sql: str | None, sheet: str | None
    ) -> Segments:
        """Return what `evaluate` does with `by`."""
        names = run_segments.columns_of(by)
        if source is None and sql is None:
            rows = run_segments.own_test_rows(self, names)
            segments = run_segments.divided(rows.table, names)
        else:
            table = self._read_whole(source, sql, sheet)
            # Before the features and the network, so that an unknown column is said at once.
            segments = run_segments.divided(table, names)
            features, targets, sample = self._features_and_targets(table, source)
            rows = run_segments.LabelledRows(_named(source), table, features, targets, sample)
        encoded, raw, _ = self._raw_predictions(rows.features, rows.targets)
        at = evaluation.by_task(self.thresholds, self.model.layout)
        return run_segments.measured(self.model, rows, encoded, raw, at, segments, self.spec.seed)

    def _raw_predictions(
        self, features: np.ndarray, targets: Any
    ) -> tuple[Encoded, np.ndarray, dict[str, Any]]:
        """Return encoded labels, raw outputs and predictions for features."""
        from polycera.model import nonfinite, scores
        from polycera.model.predicting import raw_outputs
        from polycera.model.targets import encode

        model = self.model
        encoded, raw = encode(model.layout, targets), raw_outputs(model, features)
        if (message := nonfinite.check_answers(model, raw, False)) is not None:
            warnings.warn(message, stacklevel=3)
        return encoded, raw, scores.predictions(model.layout, raw, model.units)

    def with_thresholds(self, source: Any, metric: str = "f1") -> Self:
        """Return the same run with new decision thresholds, chosen on a table.

        This is for a run after `pick`, or for another metric.

        Args:
            source: path, data frame, or dict of columns, with at least one target of a binary or
                multilabel task; its rows must not have trained the network.
            metric: the metric to maximise: `f1`, `balanced_accuracy`, `accuracy`.

        Returns:
            a run with these `thresholds`, which its `predict` uses; the folder is not changed.

        Raises:
            UnknownName: for another metric.
            InputError: for a table without a target, or without one of a binary or multilabel task.
        """
        features, targets, sample = self._labelled(source)
        if not any(
            targets[task.name] is not None and evaluation.labels_of(task)
            for task in self.tasks.values()
        ):
            raise InputError(
                "A threshold is chosen for binary tasks and labels, but the table has labels for "
                "none of them."
            )
        from polycera.model.predicting import in_batches
        from polycera.model.targets import encode

        layout, predicted = self.model.layout, in_batches(self.model.predict_arrays, features)
        new_run, encoded = copy(self), encode(layout, targets)
        new_run.thresholds = evaluation.thresholds(
            layout,
            encoded,
            predicted,
            metric,
            _named(source),
            row_weights.normalised(layout, sample, encoded),
        )
        return new_run

    def importance_of(
        self, source: Any, *, repeats: int = 5, rows: int | None = None, seed: int = 0
    ) -> results.Importance:
        """Return how much skill each task loses on a table when one of its columns is shuffled.

        Args:
            source: path, data frame, or dict of columns, with at least one target.
            repeats: number of shuffles of each column.
            rows: maximum number of rows, drawn at random; default:
                `polycera.interpretation.permutation_importance.ROWS`.
            seed: of the draw and of the shuffles.

        Returns:
            columns by importance, and task -> mean and deviation of the skill lost; None for a task
            without labels. See `polycera.interpretation.permutation_importance` for its meaning,
            and the papers.

        Raises:
            InputError: for a table without a target, or of one row; for fewer repeats or rows than
                1.
        """
        features, targets, _ = self._labelled(source)
        from polycera.interpretation import permutation_importance

        importances = permutation_importance.importance(
            self.model,
            features,
            self.encoder.sources,
            targets,
            _named(source),
            repeats=repeats,
            rows=permutation_importance.ROWS if rows is None else rows,
            seed=seed,
        )
        if importances is None:
            raise InputError(
                f"The table has {len(features)} row; shuffling a column needs two rows or more."
            )
        return importances

    def findings(
        self, source: Any = None, *, value: str | None = None, show_rows: bool = False
    ) -> Findings:
        """Return everything that a report shows about the run, as plain numbers and sentences.

        Metrics come with 95 % intervals, and beside them stand models that people know, fitted to
        the same training rows. No row of the table is among the findings.

        Args:
            source: its table, where the file was moved, or where the training began with a data
                frame. Without a table there is no baseline and no partial dependence.
            value: a column of the table or a numeric task: the amount that is at stake in a row.
            show_rows: whether to show rare levels, and texts that look like an address.

        Returns:
            the findings; see `polycera.runs.findings` and docs/report-json.md.

        Raises:
            InputError: for an amount that is no number, or below 0.
            UnknownName: for an amount that is neither a column nor a task.

        Examples:
            >>> import polycera as pc
            >>> pc.load("runs/customers-1").findings().headline[0]  # doctest: +SKIP
            'churn: of 100 pairs of a Yes and a No, 84 are ranked right (AUC 0.84, ...'
        """
        from polycera.tabular.run_findings import findings

        return findings(self, source, value=value, show_rows=show_rows)

    # -- as tables -----------------------------------------------------------------------------

    def metrics_frame(self, library: str | None = None) -> Any:
        """Return the metrics as a data frame: one row for each part, task and metric.

        Args:
            library: pandas, polars or pyarrow; default: that of the table, or one that is
                installed.

        Raises:
            PolyceraError: where no such library is installed.

        Examples:
            >>> import polycera as pc
            >>> pc.load("runs/customers-1").metrics_frame()  # doctest: +SKIP
               part   task    kind metric  value  trivial  ideal direction  skill
            0  test  churn  binary    auc   0.71      0.5    1.0       max   0.42
        """
        return run_frames.frame(
            run_frames.metrics_columns(self.metrics, dict(self._kinds())), library or self.library
        )

    def history_frame(self, library: str | None = None) -> Any:
        """Return the logs of each epoch as a data frame, one row per epoch.

        Arguments are as for `metrics_frame`.
        """
        return run_frames.frame(run_frames.history_columns(self.history), library or self.library)

    def predictions_frame(self, library: str | None = None) -> Any:
        """Return labels and predictions for the test or validation rows as a data frame.

        The rows are the test rows, or the validation rows where there are no test rows. Arguments
        are as for `metrics_frame`.
        """
        text = self._content(folder.PREDICTIONS, schemas.LONG).decode()
        return run_frames.frame(
            run_frames.predictions_columns(text, self.tasks.values()), library or self.library
        )

    def __repr__(self) -> str:
        return run_frames.short_repr(self)

    def _repr_html_(self) -> str:
        """Return the headline part of the metrics as an HTML table, for a notebook."""
        if not self.finished:
            return html_table(
                f"{self.path}: the training has not ended", ["task", "kind"], self._kinds()
            )
        part = self.metrics["part"]
        kinds = dict(self._kinds())
        rows = [
            (name, kinds.get(name), metric, score["value"], score["trivial"], score["skill"])
            for name, task_scores in self.metrics[part].items()
            for metric, score in task_scores.items()
        ]
        return html_table(
            f"{self.path}: {part} rows",
            ["task", "kind", "metric", "value", "trivial", "skill"],
            rows,
        )

    def _kinds(self) -> list[tuple[str, str]]:
        """Return name and kind of each task."""
        return [(task["name"], task["kind"]) for task in self.spec.tasks]

    def _labelled(
        self, source: Any, sql: str | None = None, sheet: str | None = None
    ) -> tuple[np.ndarray, dict[str, Any], SampleWeights]:
        """Return features, targets and sample weights of a table that has at least one target."""
        return self._features_and_targets(self._read_whole(source, sql, sheet), source)

    def _read_whole(self, source: Any, sql: str | None, sheet: str | None) -> Table:
        """Read a table to compute metrics of it; raise where it does not fit in memory."""
        limit = self.spec.data.memory
        if sql is None and (rows := memory.stream_of(source, limit)) is not None:
            raise InputError(
                f"{rows.label} has {rows.rows:,} rows and does not fit in memory ({limit}), where "
                "metrics are computed: give a part of its files, or a sample of its rows."
            )
        return self.read(source, sql=sql, sheet=sheet)

    def _features_and_targets(
        self, table: Table, source: Any
    ) -> tuple[np.ndarray, dict[str, Any], SampleWeights]:
        """Return what `_labelled` does for a table that was read.

        The sample weights are None where the run has none, and where the table lacks their column,
        with a warning.
        """
        tags = {name: sign for name, sign in self.spec.data.tags.items() if name in table}
        table = data.with_tag_targets(table, self.tasks.values(), tags)[0]
        targets = targets_of(table, self.tasks.values())
        if all(values is None for values in targets.values()):
            raise InputError(
                f"The table has none of the targets {listing(targets)}; there is nothing to "
                "measure."
            )
        features = self.encoder.transform(table)
        if (known := known_rows.notice(self, features, _named(source))) is not None:
            warnings.warn(known, stacklevel=4)
        chosen = self.spec.data.sample_weight
        if absent := [name for name in row_weights.columns_of(chosen) if name not in table]:
            warnings.warn(
                f"{_named(source).capitalize()} lacks the sample weights {listing(absent)}: every "
                "row counts the same in its metrics.",
                stacklevel=4,
            )
            return features, targets, None
        return features, targets, row_weights.read(table, self.tasks.values(), chosen)


def _named(source: Any) -> str:
    """Return a short name of a table for messages."""
    return shorten(Path(source).name) if isinstance(source, str | Path) else "the table given"


def load(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        InputError: where there is no run.
    """
    return Run(path)


def as_values(measured: Scores) -> dict[str, Any]:
    """Return scores as plain values for JSON; an undefined number becomes None."""
    return {
        task: {
            name: {
                "value": _defined(score.value),
                "trivial": _defined(score.trivial),
                "ideal": score.ideal,
                "direction": score.direction,
                "skill": _defined(score.skill),
            }
            for name, score in task_scores.items()
        }
        for task, task_scores in measured.items()
    }


def _defined(value: float) -> float | None:
    """Return the number, or None where it is not finite."""
    return value if np.isfinite(value) else None
