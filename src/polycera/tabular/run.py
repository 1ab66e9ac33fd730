"""A finished training: its folder, and the network in it when it is asked to predict."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from copy import copy
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import numpy as np

from polycera import data, evaluation
from polycera.data import Encoder, Schema, Table
from polycera.errors import InputError, listing, shorten
from polycera.runs import Folder, folder, kept_epochs, manifest, results, schemas
from polycera.runs.html_table import html_table
from polycera.runs.kept_epochs import KeptEpoch
from polycera.storage import arrays, atomic
from polycera.storage.arrays import StoredArrays
from polycera.tabular import known_rows, prediction_columns, run_frames
from polycera.tabular.prepare import targets_of, tasks_from
from polycera.tasks import Task

# these import Keras, which takes seconds: so does a method that needs them, when it is called
if TYPE_CHECKING:
    from polycera.model.model import Model
    from polycera.model.scores import Scores

Built = TypeVar("Built")

BUILDING = threading.Lock()
"""Held while a network is built: threads that come first at once share one."""


class Run(Folder):
    """A run folder that can predict: what `pc.fit` returns and `pc.load` opens.

    Attributes:
        path, spec, schema, metrics, history, versions: what was written down; see
            `polycera.runs.Folder`.
        picked: the epoch whose weights it has, where it was picked; None for the last word of the
            training.
        library: pandas, polars or pyarrow, where the table came as a frame of it; for
            `metrics_frame` and the like.

    Examples:
        >>> import polycera as pc
        >>> run = pc.load("runs/customers-1")               # doctest: +SKIP
        >>> run.predict("new_customers.csv")["churn"]       # doctest: +SKIP
        array(['No', 'Yes', 'No'], dtype=object)
    """

    picked: KeptEpoch | None = None
    library: str | None = None
    """Library whose frame the table was, where it came as one."""

    @cached_property
    def model(self) -> Model:
        """The network, built once from spec and schema, with the weights that training left.

        Raises:
            PolyceraError: where a file is damaged, or the weights are not those of this network.
        """
        with BUILDING:
            # another thread has built it meanwhile
            if (found := vars(self).get("model")) is not None:
                return found
            return self._with(self.weights)

    def _with(self, stored: StoredArrays) -> Model:
        """The network with these weights."""
        from polycera.layers import backend
        from polycera.layers.devices import check_devices
        from polycera.model import variables
        from polycera.tabular import blend, recipe

        backend.check_process()
        check_devices()
        spec, source = self.spec, f"The file {shorten(stored.path)!r}"
        tasks = tasks_from(spec.tasks)
        recipe.check_size(self.encoder.width, tasks, spec.network, stored.shapes, source)
        model = recipe.build(self.encoder.width, tasks, spec.network, spec.training, spec.seed)
        variables.load(variables.weights(model), stored, source)
        blend.trim(model)
        return model

    @cached_property
    def tasks(self) -> dict[str, Task]:
        """The tasks by name, as the spec has them; no network is built for them."""
        return {task.name: task for task in tasks_from(self.spec.tasks)}

    def pick(self, weights: Mapping[str, float]) -> Self:
        """The run as it was at the epoch that is best under these weights, without training again.

        Training keeps the epochs that no other beats on every task; this loads one of them.

        Args:
            weights: task name -> its weight; tasks that are left out count nothing.

        Returns:
            a run whose `model` is that epoch's and whose `picked` says which it was.

        Raises:
            UnknownName: for a task that the run does not have.
            InputError: for weights that are no finite numbers of 0 or more; where no epoch was
                kept.
        """
        chosen = kept_epochs.pick(self.epochs, weights)
        if self.thresholds is not None:
            warnings.warn(
                "The thresholds of this run belong to the weights at its end: the epoch that was picked says yes above "
                "one half; to choose anew: run.pick(...).with_thresholds(table).",
                stacklevel=2,
            )
        found = type(self)(self.path)
        found.picked, found.thresholds = chosen, None
        found.model = self._with(StoredArrays(chosen.path))
        return found

    def write(self, path: str | Path) -> None:
        """Write the run as it was picked to a folder of its own.

        Its metrics are those that training saw on the validation rows; its thresholds those of
        `with_thresholds`, if they were chosen.

        Raises:
            InputError: where nothing was picked, or the folder is there already.
            PolyceraError: where the disk does not take it.
        """
        from polycera.model import variables

        if self.picked is None:
            raise InputError(
                "Only a run that was picked is written anew: run.pick({task: weight}).write(path)."
            )
        metrics = {**self.metrics, "held_out": "validation", "validation": self.picked.table}
        metrics.pop("test", None)
        with atomic.new_folder(Path(path)) as draft:
            for name in (folder.SPEC, folder.SCHEMA, folder.VERSIONS, folder.HISTORY):
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
            manifest.seal(draft, sorted(file.name for file in draft.iterdir()))

    @cached_property
    def encoder(self) -> Encoder:
        """What makes features of a table."""
        return self._of_schema(lambda schema: Encoder.from_config(schema["encoder"]))

    @cached_property
    def columns(self) -> Schema:
        """What each column was to the network, with the reason."""
        return self._of_schema(Schema.from_config)

    def _of_schema(self, build: Callable[[dict[str, Any]], Built]) -> Built:
        try:
            return build(self.schema)
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(
                f"The run {shorten(self.path)!r} has a {folder.SCHEMA} that was changed: {error!r}."
            ) from None

    def read(self, source: Any) -> Table:
        """A table as the training read it, checked against it; what is unlike is said in a warning.

        Args:
            source: path, data frame, or dict of columns.

        Raises:
            InputError: for a column that is missing.
        """
        classes = {
            name: getattr(task, "classes", None) or (None,) for name, task in self.tasks.items()
        }
        words = [
            name for name, own in classes.items() if all(isinstance(label, str) for label in own)
        ]
        text = {*self.columns.as_text, *words}
        table = data.read(source, encoding=self.spec.data.encoding, as_text=text)
        targets = [
            name for task in self.tasks.values() for name in data.columns_of(task.name, task)
        ]
        table = table.labelled(targets)
        for notice in self.encoder.check(
            table.without([name for name in targets if name in table])
        ):
            warnings.warn(notice, stacklevel=3)
        return table

    def predict(self, source: Any) -> dict[str, np.ndarray]:
        """Answers for the rows of a table, as named columns in the user's units and labels.

        Of a binary task and of a label, yes is said from its threshold on, see `thresholds`;
        without one, above one half. Probabilities are as the network gives them.

        Args:
            source: path, data frame, or dict of columns; needs no target.

        Returns:
            column name -> [rows]: each task's answer, then the probabilities behind it (`task=class
            probability`).
        """
        # first: what is wrong with a table is found at once
        features = self.encoder.transform(self.read(source))
        from polycera.model.predicting import in_batches

        layout = self.model.layout
        at = evaluation.by_task(self.thresholds, layout) if self.thresholds is not None else None
        return prediction_columns.columns(layout, in_batches(self.model._in_units, features), at)

    def evaluate(self, source: Any) -> Scores:
        """Return every metric of every task that the table has labels for, exactly, of the answers that the run gives.

        Accuracy, F1, precision and recall of yes and no are those at the decision thresholds, as
        `predict` answers.
        Rows that the network learned from are counted in a warning: what is measured on them is too
            good.

        Args:
            source: path, data frame, or dict of columns, with at least one target.

        Raises:
            InputError: for a table without a target.
        """
        features, targets = self._labelled(source)
        from polycera.model.predicting import PREDICTED, in_batches
        from polycera.model.targets import encode
        from polycera.tabular.threshold_metrics import decided

        model = self.model
        measured = model.measure(features, targets, PREDICTED)
        at = (
            evaluation.by_task(self.thresholds, model.layout) if self.thresholds is not None else {}
        )
        predicted, truth = in_batches(model._in_units, features), encode(model.layout, targets)
        found = decided(measured, model.layout, truth, predicted, at, model.units.prior)
        return {name: own for name, own in found.items() if targets[name] is not None}

    def with_thresholds(self, source: Any, metric: str = "f1") -> Self:
        """The same run with thresholds chosen anew on a table: after `pick`, or for another metric.

        Args:
            source: path, data frame, or dict of columns, with at least one target that has a yes;
                rows that did not train the network.
            metric: what is made as high as possible: `f1`, `balanced_accuracy`, `accuracy`.

        Returns:
            a run whose `thresholds` and `predict` follow; the folder stays as it is.

        Raises:
            UnknownName: for another metric.
            InputError: for a table without a target, or without one that has a yes.
        """
        features, targets = self._labelled(source)
        if not any(
            targets[task.name] is not None and evaluation.labels_of(task)
            for task in self.tasks.values()
        ):
            raise InputError(
                "A threshold is chosen for binary tasks and labels, and the table has the labels of none."
            )
        from polycera.model.predicting import in_batches
        from polycera.model.targets import encode

        layout, predicted = self.model.layout, in_batches(self.model._in_units, features)
        found = copy(self)
        found.thresholds = evaluation.thresholds(
            layout, encode(layout, targets), predicted, metric, _named(source)
        )
        return found

    def importance_of(
        self, source: Any, *, repeats: int = 5, rows: int | None = None, seed: int = 0
    ) -> results.Importance:
        """What each task loses on the rows of a table when one of its columns is shuffled.

        Args:
            source: path, data frame, or dict of columns, with at least one target.
            repeats: shufflings of each column.
            rows: that are drawn, where there are more; default:
                `polycera.interpretation.permutation_importance.ROWS`.
            seed: of the draw and of the shufflings.

        Returns:
            columns by importance, and task -> mean and deviation of the skill lost; None for a task
            without labels. See `polycera.interpretation.permutation_importance` for what it means,
            and the papers.

        Raises:
            InputError: for a table without a target, or of one row; for fewer repeats or rows than
                1.
        """
        features, targets = self._labelled(source)
        from polycera.interpretation import permutation_importance

        found = permutation_importance.importance(
            self.model,
            features,
            self.encoder.sources,
            targets,
            _named(source),
            repeats=repeats,
            rows=permutation_importance.ROWS if rows is None else rows,
            seed=seed,
        )
        if found is None:
            raise InputError(
                f"The table has {len(features)} row; a column is shuffled among two rows or more."
            )
        return found

    # -- as tables ---------------------------------------------------------------------------------------------------

    def metrics_frame(self, library: str | None = None) -> Any:
        """Return the metrics as a data frame: one row for each part of the rows, task and metric.

        Args:
            library: pandas, polars or pyarrow; default: that of the table, else one that is
                installed.

        Raises:
            PolyceraError: where no such library is installed.

        Examples:
            >>> import polycera as pc
            >>> pc.load("runs/customers-1").metrics_frame()     # doctest: +SKIP
               part   task    kind metric  value  trivial  ideal direction  skill
            0  test  churn  binary    auc   0.71      0.5    1.0       max   0.42
        """
        return run_frames.frame(
            run_frames.metrics_columns(self.metrics, dict(self._kinds())), library or self.library
        )

    def history_frame(self, library: str | None = None) -> Any:
        """Return what each epoch logged as a data frame, one row for each epoch; arguments as `metrics_frame`."""
        return run_frames.frame(run_frames.history_columns(self.history), library or self.library)

    def predictions_frame(self, library: str | None = None) -> Any:
        """Return true labels and predictions for the held-out rows as a data frame; arguments as `metrics_frame`."""
        text = self._content(folder.PREDICTIONS, schemas.LONG).decode()
        return run_frames.frame(
            run_frames.predictions_columns(text, self.tasks.values()), library or self.library
        )

    def __repr__(self) -> str:
        return run_frames.short_repr(self)

    def _repr_html_(self) -> str:
        if not self.finished:
            return html_table(
                f"{self.path}: the training has not ended", ["task", "kind"], self._kinds()
            )
        part = self.metrics["held_out"]
        kinds = dict(self._kinds())
        rows = [
            (name, kinds.get(name), metric, score["value"], score["trivial"], score["skill"])
            for name, own in self.metrics[part].items()
            for metric, score in own.items()
        ]
        return html_table(
            f"{self.path}: {part} rows",
            ["task", "kind", "metric", "value", "trivial", "skill"],
            rows,
        )

    def _kinds(self) -> list[tuple[str, str]]:
        return [(task["name"], task["kind"]) for task in self.spec.tasks]

    def _labelled(self, source: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Features and targets of a table that has some."""
        table = self.read(source)
        targets = targets_of(table, self.tasks.values())
        if all(values is None for values in targets.values()):
            raise InputError(
                f"The table has none of the targets {listing(targets)}; there is nothing to measure."
            )
        features = self.encoder.transform(table)
        if (known := known_rows.notice(self, features, _named(source))) is not None:
            warnings.warn(known, stacklevel=3)
        return features, targets


def _named(source: Any) -> str:
    """A table, in a word."""
    return shorten(Path(source).name) if isinstance(source, str | Path) else "the table given"


def load(path: str | Path) -> Run:
    """Open a run folder.

    Raises:
        InputError: where there is no run.
    """
    return Run(path)


def as_values(measured: Scores) -> dict[str, Any]:
    """Scores as plain values, for JSON; an undefined number is None."""
    return {
        task: {
            name: {
                "value": _defined(score.value),
                "trivial": _defined(score.trivial),
                "ideal": score.ideal,
                "direction": score.direction,
                "skill": _defined(score.skill),
            }
            for name, score in own.items()
        }
        for task, own in measured.items()
    }


def _defined(value: float) -> float | None:
    return value if np.isfinite(value) else None
