"""Define the Keras model that trains many tasks; losses and metrics come from the tasks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import keras
import numpy as np
from keras import ops

from polycera import renamed
from polycera.data import Batches, batches
from polycera.data.batches import marked
from polycera.errors import InputError, listing
from polycera.layers import backend, keras_graph
from polycera.layers.backend import replicas
from polycera.layers.heads import TaskLayer
from polycera.model import (
    batch_sources,
    declared_activations,
    ensemble,
    epoch_sums,
    keras_names,
    metric_objects,
    named_inputs,
    nonfinite,
    save_path,
    scores,
    step_batches,
    target_scaling,
)
from polycera.model.epoch_sums import EpochSums
from polycera.model.fit_hooks import FitHooks
from polycera.model.found_heads import heads_behind, members_of
from polycera.model.gradient_stats import GradientStats
from polycera.model.guarded_optimizer import GuardedSteps, unguarded
from polycera.model.head_scaling import HeadScaling
from polycera.model.log_names import LogNames
from polycera.model.nonfinite_gradient import finite, zero_nonfinite_gradient
from polycera.model.objective import Objective
from polycera.model.output_order import by_output
from polycera.model.portable_optimizer import portable
from polycera.model.predicting import are_arrays, check_features, in_slices, rows_of
from polycera.model.scores import Scores
from polycera.model.target_scaling import ScalingSource
from polycera.model.targets import (
    TargetScaling,
    encode,
    pack,
    pack_weights,
    rows_alike,
)
from polycera.model.task_weighting import TaskWeighting
from polycera.model.variable_access import VariableAccess
from polycera.model.variables import settle, unharmed
from polycera.storage import atomic
from polycera.tasks import Layout, Task
from polycera.tasks.layout import Encoded
from polycera.typing import Array, Raw, TaskName, Tensor

Method = TypeVar("Method", bound=Callable[..., Any])


def _alone(training: bool = False) -> Callable[[Method], Method]:
    """Return a decorator that runs a method while no other thread uses the model.

    Args:
        training: whether the method trains: other threads are then refused at once; else they wait.
    """

    def wrapped(method: Method) -> Method:
        @wraps(method)
        def inside(self: Model, *args: Any, **kwargs: Any) -> Any:
            with self._access.alone(training):
                return method(self, *args, **kwargs)

        return cast(Method, inside)

    return wrapped


@keras.saving.register_keras_serializable(package="polycera")
class Model(keras.Model):
    """Train many tasks with one `keras.Model`, which takes an optimizer and targets by name.

    Called as a function, the model returns raw outputs [n, columns], all tasks side by side.
    `compile` takes an optimizer, `fit` takes targets by name. `predict` returns a dict of
    predictions in the user's units, `predict_labels` the predicted labels, and `named()` a plain
    Keras model with named outputs for export. While an epoch runs, only `loss` is shown. At its end
    every `task/term` and `task/metric` is in the logs, and `loss` is the weighted sum of the terms.

    Args:
        inputs: as for `keras.Model`.
        outputs: the output of `polycera.layers.Heads`, or a list of several, on different trunks.
        name: of the model.
        weighting: how the losses of all tasks are weighted in training: the name of a method
            (`polycera methods` lists them), or a `polycera.weighting.Method`. May be given to the
            only `Heads` instead.
        balancing, preference, gradients, every: as for `Heads`, for a model with several `Heads` or
            with adopted ones. In each part of the network that two or more tasks share, the
            gradients of exactly these tasks are balanced.
        seed: of the methods that draw random numbers.
        keras_names: whether losses and metrics are also logged under the names that stock Keras
            gives them: `price_loss`, `price_mae`, `val_price_mae`, and with a single task `mae`.
            "prefixed": with the task's name even if there is a single task. `pc.adopt` sets it.
        output_order: the tasks in the order of a list of outputs, which `pc.adopt` finds. Targets,
            sample weights and score weights may then be lists too.
        metric_spellings: task -> metric -> how the user wrote it, for the names of stock Keras.
            Default: the spellings that the tasks hold.
        weighted_metrics: whether metrics and skills count rows by their sample weights, as the
            `weighted_metrics` of Keras do. By default a row counts once, and not at all where its
            weight is 0.

    Raises:
        InputError: for an output that does not come from `Heads`; for a balancing where no layer is
            shared.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((10,))
        >>> h = keras.layers.Dense(16, activation="relu")(x)
        >>> model = pc.Model(
        ...     x, pc.layers.Heads([pc.Binary("churn"), pc.Regression("revenue_loss")])(h)
        ... )
        >>> model.compile("adam")
        >>> X = np.random.default_rng(0).normal(size=(64, 10)).astype("float32")
        >>> history = model.fit(X, {"churn": X[:, 0] > 0, "revenue_loss": 100 * X[:, 1]}, verbose=0)
        >>> sorted(model.predict(X[:3], verbose=0))
        ['churn', 'revenue_loss']
    """

    def __init__(
        self,
        inputs: Any,
        outputs: Any,
        name: str | None = None,
        *,
        weighting: Any = None,
        balancing: Any = None,
        preference: Mapping[TaskName, float] | None = None,
        gradients: str = "features",
        every: int = 1,
        seed: int = 0,
        keras_names: bool | str = False,
        output_order: Sequence[TaskName] | None = None,
        metric_spellings: Mapping[TaskName, Mapping[str, str]] | None = None,
        weighted_metrics: bool = False,
        **kwargs: Any,
    ) -> None:
        if isinstance(outputs, dict):
            outputs = list(outputs.values())
        if isinstance(outputs, list | tuple):
            outputs = (
                outputs[0]
                if len(outputs) == 1
                else keras.layers.Concatenate(name="tasks")(list(outputs))
            )
        backend.check_process()
        super().__init__(inputs, outputs, name=name, **kwargs)
        self._access = VariableAccess()
        # (compile settings, prediction function), made at the first prediction.
        self._pure: tuple[Any, Any] = None, None
        self._head_names = tuple(head.name for head in heads_behind(outputs))
        self._members = members_of(self.heads)
        self._objective = Objective(
            Layout.join([head.layout for head in self.heads]), bool(weighted_metrics)
        )
        declared = self._objective.weights
        self.scaling = HeadScaling(self, self._access)
        self._task_weights = self.add_weight(
            name="task_weights",
            shape=declared.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(declared),
            trainable=False,
            autocast=False,
            dtype="float32",
        )
        self._scores: Scores = {}
        self.output_order = None if output_order is None else tuple(output_order)
        self._objects = metric_objects.of(self.layout, self._members)
        self._log_names = LogNames(
            self._objective, self._objects, keras_names, metric_spellings or {}
        )
        # Keras tracks a list of metrics that is an attribute: it saves their state and resets them.
        self._object_metrics = [] if self._objects is None else self._objects.metrics
        self._hooks = FitHooks(None)  # of the `fit` that runs
        self._gradients: list[GradientStats] = []
        self._guarded_steps = GuardedSteps(self)
        balancing_options = dict(
            weighting=weighting,
            balancing=balancing,
            preference=preference,
            gradients=gradients,
            every=every,
        )
        self._shared = TaskWeighting.of(self, self.layout, self.heads, balancing_options, seed)
        self._engine = self._shared.engine  # as an attribute, so that Keras tracks its variables
        self._ledger = EpochSums(self._shared.shapes() | epoch_sums.shapes_of(self._objective))
        # Counts of the batches of a source; made when the first source comes.
        self._stream: EpochSums | None = None
        self._unseen = False  # whether the training features were not checked on the host
        # Number of axes of each part of a batch for which TensorFlow traced the step.
        self._ranks: Any = None
        self.refusal = batch_sources.Refusal()
        self._lost = False  # whether this `fit` has warned of weights that are not finite
        self._marks = False  # whether predictions are NaN in rows with NaN or infinite features

    def get_config(self) -> dict[str, Any]:
        order = {} if self.output_order is None else {"output_order": list(self.output_order)}
        weighted = {"weighted_metrics": True} if self._objective.weighted_metrics else {}
        return {
            **super().get_config(),
            **self._shared.to_config(),
            **self._log_names.to_config(),
            **order,
            **weighted,
        }

    def get_compile_config(self) -> Any:
        return portable(super().get_compile_config())

    def compile_from_config(self, config: Any) -> None:
        super().compile_from_config(portable(config))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            named_inputs.check_names(self, args[0])
        return super().__call__(*args, **kwargs)

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > 2:  # the inputs come after the trainable and the non-trainable variables
            named_inputs.check_names(self, args[2])
        return super().stateless_call(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        inputs = named_inputs.unwrapped(self, inputs)
        checks_features = self._unseen if training else self._marks
        safe_inputs = named_inputs.harmless(inputs) if checks_features else inputs
        if training and self._shared.engine is not None:
            # The engine replaces `super().call`, which would standardise the inputs.
            return self._shared.engine(
                keras_graph.standardized_inputs(self, safe_inputs), training=True
            )
        raw = super().call(safe_inputs, training=training, mask=mask)
        return named_inputs.with_lost_rows(raw, inputs) if checks_features and not training else raw

    # -- parts of the model ------------------------------------------------------------------------

    @property
    def heads(self) -> list[TaskLayer]:
        """Return the layers that end in tasks, in the order of their output columns."""
        return [self.get_layer(name) for name in self._head_names]

    @property
    def layout(self) -> Layout:
        """Return which output columns and which columns of packed targets belong to which task."""
        return self._objective.layout

    @property
    def tasks(self) -> dict[TaskName, Task]:
        """Return the tasks by name.

        Setting `model.tasks["churn"].weight` changes the loss from the next step on.
        """
        indexed_tasks = enumerate(self.layout.tasks.items())
        return {name: task.attached(*self._weight_of(i)) for i, (name, task) in indexed_tasks}

    def _weight_of(self, i: int) -> tuple[Callable[[], float], Callable[[float], None]]:
        """Return functions that read and set the i-th task's loss weight, also during training."""

        def read() -> float:
            return float(self.loss_weights[i])

        def write(value: float) -> None:
            weights = self.loss_weights
            weights[i] = value
            self._task_weights.assign(weights)

        return read, write

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of all variables, those of the layers first.

        The layers' part is what the same layers return without polycera.
        """
        return [ops.convert_to_numpy(variable) for variable in self._in_stock_order()]

    def set_weights(self, weights: list[Any]) -> None:
        """Set the values of all variables, in the order of `get_weights`."""
        variables = self._in_stock_order()
        if len(weights) != len(variables):
            raise InputError(
                f"set_weights got {len(weights)} arrays, and this model has {len(variables)} "
                "variables: those of the layers, then the weights of the tasks."
            )
        value_of = {id(variable): value for variable, value in zip(variables, weights, strict=True)}
        super().set_weights([value_of[id(variable)] for variable in self.weights])

    def _in_stock_order(self) -> list[Any]:
        """Return all variables, the task weights last, as stock Keras has the others."""
        return [v for v in self.weights if v is not self._task_weights] + [self._task_weights]

    @property
    def units(self) -> TargetScaling:
        """Return the current target scaling: location, scale and trivial predictors."""
        return self.scaling.current

    @property
    def fitted(self) -> bool:
        """Return whether the target scaling and the trivial predictors were taken from data."""
        return self.scaling.fitted

    @property
    def scores(self) -> Scores:
        """Return the scores of the last epoch, validation or evaluation.

        Each metric comes with its trivial value and its ideal.
        """
        return self._scores

    def take_scores(self, task_scores: Scores) -> None:
        """Set `scores`, for a callback that validates in Keras's place."""
        self._scores = task_scores

    @property
    def objective(self) -> Objective:
        """Return what the model minimises: its loss terms, their names and their weights."""
        return self._objective

    @property
    def loss_weights(self) -> np.ndarray:
        """Return the current loss weight of each task, [tasks]."""
        settle(self)  # on JAX, Keras holds the variables elsewhere during a training
        return np.array(ops.convert_to_numpy(self._task_weights))

    @property
    def task_weighting(self) -> TaskWeighting:
        """Return the loss weighting and the gradient balancing at work."""
        return self._shared

    @property
    def epoch_sums(self) -> EpochSums:
        """Return what the steps have added up since the last reset."""
        return self._ledger

    @property
    def stream_counts(self) -> EpochSums | None:
        """Return the counts of what a source's batches contain; None before the first source."""
        return self._stream

    @property
    def balanced(self) -> bool:
        """Return whether the tasks' gradients are balanced, or at least measured, anywhere."""
        return bool(self._shared.regions)

    @property
    def gradients(self) -> list[GradientStats]:
        """Return the gradient statistics of the last training epoch; empty without balancing."""
        return list(self._gradients)

    @property
    def skills(self) -> dict[TaskName, float]:
        """Return each task's headline skill of the last epoch, validation or evaluation.

        0 is the trivial predictor, 1 is perfect; NaN where the skill is undefined.
        """
        return {
            name: task_scores[self.layout.tasks[name].headline].skill
            for name, task_scores in self._scores.items()
        }

    # -- called by Keras in a step -----------------------------------------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Raw = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """Return the total loss of a batch, and add up on the device everything that is logged."""
        y, sample_weight = batch_sources.unpacked(self, x, y, sample_weight)
        guarded = self._guarded_steps.active
        if training and not guarded:
            y_pred = zero_nonfinite_gradient(y_pred)
        if training and self._members > 1:  # each member has a loss of its own on each row
            y = ensemble.by_member(y, self._members, self.layout.width)
            sample_weight = (
                None if sample_weight is None else ops.repeat(sample_weight, self._members, axis=0)
            )
        constants = self.scaling.constants()
        if self._objects is not None:
            self._objects.update(y, ops.stop_gradient(y_pred), sample_weight, constants)
        measured = self._objective(y, y_pred, sample_weight, constants)
        means = self._objective.means(measured)
        regularization = sum((ops.sum(extra) for extra in self.losses), start=ops.zeros(()))
        weights = ops.convert_to_tensor(self._task_weights)
        if not training:
            self._ledger.update_state(epoch_sums.of_batch(measured, regularization))
            return self._objective.loss(means, weights) + regularization / replicas()
        weights = self._shared.weigh(self._objective, means, measured, weights)
        loss = self._objective.loss(means, weights)
        all_finite, spoilt = finite(means)
        entries = {
            name: ops.where(all_finite, part, 0.0)
            for name, part in epoch_sums.of_batch(measured, regularization).items()
        }
        # The weights change from step to step, so the weighted sums are added up beside the plain
        # ones.
        entries["weighted"] = entries["sums"] * self._objective.by_term(weights)
        # The sums of all replicas are added, and a step is to count once.
        one_step = ops.ones(()) / replicas()
        skipped = one_step * ops.cast(ops.logical_not(all_finite), "float32")
        # Number of the first skipped step, from 1: set in that step, 0 in all others.
        first = skipped * self._ledger.untouched("skipped") * (self._ledger.so_far("steps") + 1.0)
        entries |= {"spoilt": spoilt, "steps": one_step, "skipped": skipped, "first": first}
        self._ledger.update_state(
            entries | self._shared.seen(first=self._ledger.untouched("steps"))
        )
        # A guarded optimizer skips a step whose gradients are not finite, and a NaN loss makes all
        # of them NaN. Without one, `zero_nonfinite_gradient` has set the gradients to 0.
        if guarded:
            loss = loss * ops.where(all_finite, 1.0, np.nan)
        else:
            loss = ops.where(all_finite, loss, 0.0)
        return self._shared.scaled(loss + regularization / replicas())

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return the running loss only.

        Named terms and metrics are computed once an epoch, not in every step.
        """
        return {"loss": self.metrics[0].result(), "tasks": {}}

    def _watch_stream(self, source: Any) -> None:
        """Make the steps count what the batches of a source contain."""
        if self._stream is None and not isinstance(source, Batches):
            self._stream = step_batches.epoch_sums(self)
            self._forget_steps()
        ranks = step_batches.ranks(source)
        # TensorFlow would reuse one trace for batches of different ranks, and then know no rank.
        if ranks is not None and ranks != self._ranks:
            self._forget_steps()
            self._ranks = ranks

    def _look_at_features(self, unseen: bool) -> None:
        """Make the training step check features for NaN, or not where the host has checked them."""
        if unseen != self._unseen:
            self._unseen = unseen
            self._forget_training_step()

    def _say_of_stream(self, training: bool) -> None:
        """Warn of rows left out of this epoch, and of a target scaling that does not fit it."""
        if self._stream is None:
            return
        sums = self._stream.read()
        if not sums["rows"]:
            return
        for sentence in batch_sources.sentences(self, sums, training):
            warnings.warn(sentence, stacklevel=4)
        if training and (differs := self.scaling.compare(sums)):
            warnings.warn(differs, stacklevel=4)

    def _say_of_weights(self) -> None:
        """Warn once in a `fit` that weights or moments are not finite.

        A Guard checks them itself, so there is no warning beside one.
        """
        if (
            self._hooks.nonfinite is None
            and not self._lost
            and (sentence := nonfinite.after_epoch(self))
        ):
            warnings.warn(sentence, stacklevel=4)
            self._lost = True

    def get_metrics_result(self) -> dict[str, Any]:
        """Return everything that was added up since the last reset, by name.

        Keras flattens the inner dict into the logs.
        """
        self._hooks.before_logs()
        sums, units = self._ledger.read(), self.units
        self._scores = scores.streamed(self._objective, sums["tallies"], units)
        weights = ops.convert_to_numpy(self._task_weights)
        weights_changed = self._shared.weighing is not None or not np.array_equal(
            weights, self._objective.weights
        )
        named = (
            scores.terms(self._objective, sums, weights, weights_changed) | self._measured_metrics()
        )
        named |= self._log_names.aliases(named, units.scale)
        self._say_of_stream(training=bool(sums["steps"]))
        if sums["steps"]:
            self._gradients = self._shared.read(sums)
            if self._hooks.nonfinite != "stop" and (
                sentence := scores.spoilt(self._objective, sums)
            ):
                warnings.warn(sentence, stacklevel=2)
            if sums["skipped"]:
                self._say_of_weights()
        return {"loss": named.pop("loss"), "tasks": named}

    def _measured_metrics(self) -> dict[str, float]:
        """Return `task/metric` -> value for the kinds' metrics and for metric objects.

        The scores get those of the metric objects that can be compared with the trivial predictor.
        """
        named, self._scores = self._log_names.measured(self._scores)
        return named

    @property
    def metrics_names(self) -> list[str]:
        """Return the names of what `evaluate(return_dict=False)` returns, in its order."""
        return self._log_names.in_order(self.units.scale, regularized=bool(self.losses))

    # -- called by users ---------------------------------------------------------------------------

    def adapt(self, y: Any, steps: int | None = None, sample_weight: Any = None) -> None:
        """Take the target scaling and the trivial predictors from these targets.

        `fit` does it by itself: from all training rows of arrays, or from the first 64 batches of a
        source.

        Args:
            y: targets by name, as for `fit`; or a source of batches `(x, y)`; or, for some or all
                tasks, the numbers themselves:
                `{"price": {"mean": 100.0, "std": 20.0}, "kind": {"shares": [0.5, 0.3, 0.2]}}`.
                A number kind without standardisation takes `mean`, a binary task the share of its
                second class.
            steps: number of batches of a source to read; default all.
            sample_weight: as for `fit`, for targets by name: the trivial predictors and the target
                scaling are then those of the weighted rows.

        Raises:
            UnknownName, InputError: for targets as in `fit`; for numbers that are not possible.

        Examples:
            >>> import keras, polycera as pc
            >>> x = keras.Input((3,))
            >>> model = pc.Model(x, pc.layers.Heads([pc.Regression("price"), pc.Binary("sold")])(x))
            >>> model.adapt({"price": {"mean": 100.0, "std": 20.0}, "sold": {"shares": 0.1}})
            >>> model.units.scale.tolist()
            [20.0, 1.0]
        """
        batch_sources.adapted(self, y, steps, sample_weight)

    @_alone(training=True)
    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        epochs: int = 1,
        verbose: Any = "auto",
        callbacks: Any = None,
        validation_split: float = 0.0,
        validation_data: Any = None,
        shuffle: bool = True,
        class_weight: Any = None,
        sample_weight: Any = None,
        **rest: Any,
    ) -> Any:
        """Train, as `keras.Model.fit` does.

        The first call takes target scaling and trivial predictors from the training labels. Later
        calls do not change them.

        Args:
            x: features; an array, a dict or list of arrays, or anything that yields batches.
            y: targets by name: a dict or data frame of task name to labels, missing ones NaN or
                None.
            batch_size, epochs, verbose, callbacks, validation_split, shuffle: as in Keras.
            validation_data: (x, y) or (x, y, sample_weight), with y and weights as here; or
                batches.
            class_weight: task name -> {label: weight} or "balanced"; for training rows only.
            sample_weight: [n], or a dict of task name to [n]; a row of weight 0 is left out.
            **rest: the rest of what `keras.Model.fit` takes.

        Returns:
            The `keras.callbacks.History`.

        Raises:
            InputError: one sentence for whatever cannot be learned from.
        """
        self._check_compiled()
        hooks = FitHooks(callbacks)
        # MLflow's autolog fails on `callbacks=None`: it adds its own callback to the list.
        callbacks = [] if callbacks is None else callbacks
        keras_names.settle_modes(callbacks, lambda: self._log_names.directions(self.units.scale))
        save_path.check_callbacks(callbacks)
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        features_unchecked = False
        if isinstance(x, Batches):  # packed by the caller: targets and weights are inside
            y = sample_weight = None
        elif y is None:
            features_unchecked, raw_source = not target_scaling.on_host(x), x
            x = batch_sources.prepared(self, raw_source, class_weight, sample_weight, trains=True)
            rest.setdefault("steps_per_epoch", batch_sources.steps_of(raw_source))
            self._watch_stream(x)
            y = sample_weight = None
        else:
            x, encoded = self._labelled(x, y)
            # Keras takes the last rows for validation; nothing is learned from these, scaling
            # included.
            split = 0.0 if validation_data is not None else validation_split
            training_end = int(np.floor(rows_of(encoded) * (1.0 - split)))
            if not self.fitted:
                self.scaling.learn(
                    {name: labels[:training_end] for name, labels in encoded.items()}
                )
            sample_weight = pack_weights(
                self.layout, encoded, sample_weight, class_weight, last=training_end
            )
            y = pack(self.layout, encoded, self.units)
        if validation_data is not None:
            rest.setdefault("validation_steps", batch_sources.steps_of(validation_data))
            validation_data = self._validation(validation_data)
        if hooks and y is not None:
            if rest.get("steps_per_epoch") is not None:
                raise InputError(
                    "steps_per_epoch= does not go with Checkpoint or Guard of pc.callbacks: "
                    "leave it out."
                )
            x, validation_rows = batches.of(
                x, y, sample_weight, batch_size or 32, shuffle, validation_split if split else 0.0
            )
            validation_data = validation_data or validation_rows
            # Keras takes no batch size beside a source of batches, but validation arrays need it.
            rest.setdefault("validation_batch_size", batch_size)
            y = sample_weight = batch_size = None
        y, sample_weight = (None if part is None else marked(part) for part in (y, sample_weight))
        self._look_at_features(features_unchecked)
        options = dict(
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            validation_split=validation_split if y is not None else 0.0,
            validation_data=validation_data,
            # Keras shuffles arrays and finite PyDatasets; other sources have an order of their own.
            shuffle=shuffle and (y is not None or batch_sources.shuffles(x)),
            sample_weight=sample_weight,
            **rest,
        )
        declared_activations.check(self, x)
        hooks.take_rows(x)
        self._lost, self._hooks = False, hooks
        try:
            with (
                self.refusal.raised(),
                self._guarded_steps.during_fit(hooks.nonfinite),
                unharmed(self),
                hooks.around_fit(self, x, callbacks, epochs=epochs, verbose=verbose) as (
                    callbacks,
                    hook_options,
                ),
            ):
                history = super().fit(x, y, callbacks=callbacks, **{**options, **hook_options})
            self._say_of_weights()
            return history
        finally:
            self._hooks = FitHooks(None)

    def _validation(self, data: Any) -> Any:
        """Return validation data as Keras takes them, with packed targets and weights."""
        if not isinstance(data, list | tuple):
            data = batch_sources.prepared(self, data, what="validation_data")
            self._watch_stream(data)
            return data
        x, y, sample_weight = (*data, None)[:3]
        y, sample_weight = (
            self._by_output(y, "validation_data"),
            self._by_output(sample_weight, "sample_weight"),
        )
        x, encoded = self._labelled(x, y, "validation_data", "validation_data")
        weights = pack_weights(
            self.layout, encoded, sample_weight, what="sample_weight of validation_data"
        )
        packed = marked(pack(self.layout, encoded, self.units))
        return (x, packed) if weights is None else (x, packed, marked(weights))

    @_alone()
    def evaluate(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        verbose: Any = "auto",
        sample_weight: Any = None,
        steps: int | None = None,
        callbacks: Any = None,
        return_dict: bool = True,
        **rest: Any,
    ) -> Any:
        """Measure, as `keras.Model.evaluate` does, but exactly for arrays (float64, no histogram).

        Args:
            x, y, batch_size, verbose, sample_weight, steps, callbacks: as for `fit`.
            return_dict: True by default, unlike in Keras, since numbers go by name.

        Returns:
            name -> value: `loss`, each `task/term`, each `task/metric`.
        """
        self._check_compiled()
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        options = dict(batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)
        inside_fit = keras_graph.validates_within_fit(rest)
        if inside_fit or y is None:
            if not inside_fit:
                options["steps"] = steps or batch_sources.steps_of(x)
                x = batch_sources.prepared(self, x, None, sample_weight)
                self._watch_stream(x)
            with self.refusal.raised(), unharmed(self):
                logs = super().evaluate(
                    x, y, sample_weight=sample_weight, return_dict=True, **options, **rest
                )
            return self._in_order(logs, return_dict)
        x, encoded = self._labelled(x, y)
        weights, packed = (
            pack_weights(self.layout, encoded, sample_weight),
            pack(self.layout, encoded, self.units),
        )
        marked_weights = None if weights is None else marked(weights)
        logs = super().evaluate(
            x, marked(packed), sample_weight=marked_weights, return_dict=True, **options, **rest
        )
        raw = self.raw_outputs(x, batch_size=batch_size, verbose=0)
        self._scores = self.scores_of(packed, raw, weights)
        # The exact metrics replace those of the steps, some of which come from histograms.
        logs = {"loss": logs.pop("loss")} | logs | self._measured_metrics()
        logs |= self._log_names.aliases(
            {name: value for name, value in logs.items() if "/" in name}, self.units.scale
        )
        return self._in_order(logs, return_dict)

    def _in_order(self, logs: Mapping[str, float], as_dict: bool) -> Any:
        """Return the logs in the order of `metrics_names`, as a dict or as Keras's list."""
        names = self.metrics_names
        if not as_dict:
            return [float(logs.get(name, 0.0)) for name in names]
        return {name: logs[name] for name in names if name in logs} | dict(logs)

    def _labelled(
        self, x: Any, y: Any, features_name: str = "x", labels_name: str = "y"
    ) -> tuple[Any, Encoded]:
        """Return checked features, and encoded labels for as many rows.

        Args:
            x, y: arrays, as for `fit`.
            features_name, labels_name: their names in messages.
        """
        x = named_inputs.by_name(self, x, features_name)
        check_features(x, features_name)
        encoded = encode(self.layout, y, labels_name)
        rows_alike(x, encoded, labels_name)
        return x, encoded

    def _by_output(self, values: Any, what: str) -> Any:
        """Return a list with one part for each output as a dict, where the outputs are a list too.

        Raises:
            InputError: with the dict to write instead, for a list where outputs go by name.
        """
        return by_output(values, self.output_order, list(self.layout.tasks), what)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        """Return predictions by task in the user's units.

        They are numbers [n], probabilities [n] or [n, classes], or rates [n].

        Args:
            x: features, as for `fit`.
            *args, **kwargs: as for `keras.Model.predict`.
        """
        predictions = self.predict_arrays(x, *args, **kwargs)
        return {
            name: self.layout.tasks[name].decode(values) for name, values in predictions.items()
        }

    def predict_labels(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        """Return the predicted labels by task: a number, or one of the user's own classes.

        In a binary or multilabel task the positive class is predicted above probability 0.5.

        Args:
            x, args, kwargs: as for `predict`.
        """
        predictions = self.predict_arrays(x, *args, **kwargs)
        return {
            name: self.layout.tasks[name].answer(values) for name, values in predictions.items()
        }

    answer = renamed.method("answer", predict_labels)

    def predict_arrays(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        """Return predictions by task in the user's units, each an array [n, p].

        A number or a binary task has one column, where `predict` returns [n].

        Args:
            x: features, as for `fit`.
            *args, **kwargs: as for `keras.Model.predict`.
        """
        source = target_scaling.is_source(x)
        if not source:
            x = named_inputs.by_name(self, x)
            check_features(x)
        if rows_of(x) == 0:
            raw = np.zeros((0, self.layout.units))
        else:
            raw = self.raw_outputs(x, *args, **kwargs)
        if message := nonfinite.check_answers(self, raw, source):
            warnings.warn(message, stacklevel=4)
        return scores.predictions(self.layout, raw, self.units)

    def raw_outputs(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Raw:
        """Return what the network computes before links and scaling are undone; it is thread-safe.

        Args:
            x, batch_size, verbose, steps, callbacks: as for `keras.Model.predict`. On JAX, threads
                work side by side if x is arrays and `verbose` is 0, and one after another if not.

        Returns:
            [n, columns], the tasks side by side in the order of `layout`.

        Raises:
            PolyceraError: if another thread trains the model, or the process was forked too late.
        """
        if verbose == 0 and not callbacks and steps is None and are_arrays(x):
            with self._access.shared():
                if (values := self._values()) is not None:
                    # Within `fit`, Keras on JAX holds the variables outside the model.
                    settle(self)
                    return in_slices(values(), x, batch_size or 32)
        source = target_scaling.is_source(x)
        # A source may set marks and drop the compiled step below, so it needs the model alone.
        shared = backend.predicts_in_place() and not source
        with self._access.shared() if shared else self._access.alone():
            if source and not self._marks:
                # The host has not checked these features: the step is traced again, and marks them.
                self._marks, self.predict_function = True, None
            with unharmed(self):
                return super().predict(x, batch_size, verbose, steps, callbacks)

    def trace_anew(self) -> None:
        """Forget every compiled step, because a layer now computes something else."""
        self._pure, self.predict_function = (None, None), None
        self._forget_steps()

    def _forget_steps(self) -> None:
        """Let the steps of training and of measuring be traced again."""
        self.test_function = None
        self._forget_training_step()

    def _forget_training_step(self) -> None:
        """Let the step of training be traced again, with a guard and without."""
        self.train_function = None
        self._guarded_steps.forget()

    def _values(self) -> Any:
        """Return the function of `backend.pure_prediction`; None if only Keras's own can be used.

        It is made once for each `compile`, as Keras makes its own.
        """
        made_for, function = self._pure
        # None where a model predicts that was not compiled.
        settings = keras_graph.compile_settings(self)
        if function is None or made_for is not settings:
            # Several threads may come here at once: look again inside the lock.
            with self._access.making:
                if self._pure[0] is not settings or self._pure[1] is None:
                    self._pure = settings, backend.pure_prediction(self)
                function = self._pure[1]
        return function

    def measure(
        self, x: Any, y: Any, batch_size: int | None = None, sample_weight: Any = None
    ) -> Scores:
        """Return each metric of each task, exactly, without changing anything in the model.

        `evaluate` sets `scores` and resets metrics; this does not. Several threads may call it at
        once.

        Args:
            x: features; arrays.
            y: targets by name, as for `fit`.
            batch_size: rows at a time.
            sample_weight: as for `fit`.

        Raises:
            InputError: as `evaluate`.
        """
        x, encoded = self._labelled(x, y)
        weights = pack_weights(self.layout, encoded, sample_weight)
        raw = self.raw_outputs(x, batch_size=batch_size, verbose=0)
        return self.scores_of(pack(self.layout, encoded, self.units), raw, weights)

    def scores_of(self, packed: Array, raw: Raw, weights: Array | None = None) -> Scores:
        """Return each metric of each task, exactly, for rows whose raw outputs are known.

        Args:
            packed: packed targets [n, width], NaN where missing.
            raw: raw outputs [n, columns].
            weights: sample weights [n, tasks] or [n, 1]; a row of weight 0 takes no part. With
                `weighted_metrics` the other rows count by their weights.
        """
        counted = self._objective.counted(len(raw), weights)
        return scores.exact(self._objective, packed, raw, counted, self.units)

    def logs_of(
        self, packed: Array, raw: Raw, weights: Array | None = None
    ) -> tuple[dict[str, float], Scores]:
        """Return loss, terms and metrics by name, and the scores, as `scores_of`."""
        constants = self.scaling.constants()
        return scores.measured(
            self._objective, packed, raw, constants, self.units, self.loss_weights, weights
        )

    def losses_of(self, packed: Array, raw: Raw, weights: Array | None = None) -> Array:
        """Return the loss of each task without its loss weight [tasks], as `scores_of`."""
        totals, rows = self._objective.sums(packed, raw, self.scaling.constants(), weights)
        return self._objective.shares.astype("float64") @ (totals / np.maximum(rows, 1.0))

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save as `keras.Model.save` does, but all or nothing.

        A file that was there before stays until the new one is whole.

        Raises:
            InputError: for a name that does not end in `.keras`: Keras could not load what it
                writes there.
        """
        save_path.check_path(filepath, kwargs)
        # A configuration that cannot be written raises here, before anything is written.
        for head in self.heads:
            head.get_config()
        if not isinstance(filepath, str | Path) or not str(filepath).endswith(".keras"):
            return super().save(filepath, *args, **kwargs)
        with atomic.replacing(Path(filepath)) as temporary:
            super().save(temporary, *args, **kwargs)

    def save_weights(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save the weights alone, as `keras.Model.save_weights` does.

        Raises:
            InputError: for a name that does not end in `.weights.h5`.
        """
        save_path.check_weights_path(filepath)
        super().save_weights(filepath, *args, **kwargs)

    def named(self) -> keras.Model:
        """Return a plain Keras model on the same weights, with task name -> predictions [n, p].

        It is for export, and for tools that call the model themselves: the target scaling is undone
        inside the graph.
        """
        from polycera.layers.naming_layer import Named

        scaling = self.units
        named_layer = Named(
            list(self.tasks.values()), scaling.location.tolist(), scaling.scale.tolist()
        )
        return keras.Model(self.input, named_layer(self.outputs[0]), name=f"{self.name}_named")

    @_alone()
    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **rest: Any) -> Any:
        """Run one training step, as in Keras, with targets by name.

        Call `adapt` first for tasks that standardise.

        Args:
            x, y, sample_weight: of one batch, as for `fit`.
            **rest: `return_dict=True` for a dict of all terms and metrics.

        Returns:
            The loss of the batch.
        """
        return self._of_batch(super().train_on_batch, x, y, sample_weight, **rest)

    @_alone()
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **rest: Any) -> Any:
        """Measure one batch, with targets by name, and return what `train_on_batch` does."""
        return self._of_batch(super().test_on_batch, x, y, sample_weight, **rest)

    def _of_batch(
        self, step: Callable[..., Any], x: Any, y: Any, sample_weight: Any, **rest: Any
    ) -> Any:
        """Run a step of Keras on one batch with targets by name, and return its logs."""
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        logs = step(*self._batch(x, y, sample_weight), **rest)
        if not rest.get("return_dict", False):
            return logs
        results = self.get_metrics_result()
        return {"loss": results["loss"], **results["tasks"]}

    def predict_on_batch(self, x: Any) -> dict[TaskName, np.ndarray]:
        """Return the predictions of one batch, as `predict` does."""
        return self.predict(x, batch_size=rows_of(x), verbose=0)

    def _batch(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        """Return features, packed targets and weights of one batch, all checked."""
        self._check_compiled()
        x, encoded = self._labelled(x, y)
        declared_activations.check(self, x)
        if not self.fitted:
            self.scaling.learn_from_source(
                encoded, ScalingSource(1, rows_of(encoded), False, "batch")
            )
        packed = marked(pack(self.layout, encoded, self.units))
        weights = pack_weights(self.layout, encoded, sample_weight)
        return x, packed, None if weights is None else marked(weights)

    def _check_compiled(self) -> None:
        """Raise for anything given to `compile` that would be ignored or go wrong in silence."""
        self._check_losses()
        self._shared.follow(unguarded(self.optimizer))

    def _check_losses(self) -> None:
        """Raise if `compile` was given losses or metrics: here they come from the tasks."""
        if not self.compiled:
            raise InputError("Call model.compile('adam') first: an optimizer is all it needs.")
        given = keras_graph.compile_options(self)
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if given.get(argument) is not None:
                raise InputError(
                    f"compile({argument}=...) has no effect here: losses, weights and metrics "
                    "come from the tasks, such as pc.Regression(name, "
                    "loss={'mse': 0.8, 'mae': 0.2}, weight=2.0, metrics=['rmse']); "
                    f"tasks: {listing(self.layout.tasks)}."
                )
