"""A Keras model that trains many tasks: losses and metrics come from the tasks, everything goes by name."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

import keras
import numpy as np
from keras import ops

from polycera.data import Batches, batches
from polycera.data.batches import marked
from polycera.errors import InputError, listing
from polycera.layers import backend
from polycera.layers.backend import replicas
from polycera.layers.heads import TaskLayer
from polycera.layers.kernel_layer import Blend
from polycera.model import (
    batch_sources,
    declared_activations,
    ensemble,
    keras_names,
    metric_objects,
    named_inputs,
    nonfinite,
    saving,
    scores,
    step_batches,
    target_scaling,
)
from polycera.model.epoch_sums import EpochSums
from polycera.model.gradient_stats import GradientStats
from polycera.model.guarded_optimizer import guard_steps
from polycera.model.hooks import FitHooks
from polycera.model.nonfinite_gradient import finite, zero_nonfinite_gradient
from polycera.model.objective import BatchSums, HeadConstants, Objective
from polycera.model.output_order import by_output
from polycera.model.predicting import are_arrays, check_features, in_slices, rows_of
from polycera.model.saved_optimizer import portable
from polycera.model.scores import Scores
from polycera.model.target_scaling import ScalingSource
from polycera.model.targets import (
    Encoded,
    TargetScaling,
    constant,
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
from polycera.tasks.metrics import TALLIES
from polycera.tasks.metrics.keras_metrics import direction_of
from polycera.typing import Array, Raw, TaskName, Tensor

Method = TypeVar("Method", bound=Callable[..., Any])


def _alone(training: bool = False) -> Callable[[Method], Method]:
    """Run a method while no other thread uses the model; while it trains, other threads are refused."""

    def wrapped(method: Method) -> Method:
        @wraps(method)
        def inside(self: Model, *args: Any, **kwargs: Any) -> Any:
            with self._access.alone(training):
                return method(self, *args, **kwargs)

        return cast(Method, inside)

    return wrapped


@keras.saving.register_keras_serializable(package="polycera")
class Model(keras.Model):
    """A `keras.Model` for many tasks. `compile` takes an optimizer; `fit` takes targets by name.

    Called as a function it gives raw outputs [n, units], all tasks side by side; `predict` gives a
    dict of predictions in the user's units, `answer` the labels one would say, and `named()` a
    plain Keras model with named outputs for export. While an epoch runs, only `loss` is shown; at
    its end every `task/term` and `task/metric` is in the logs, and `loss` is the weighted sum of
    the terms.

    Args:
        inputs: as for `keras.Model`.
        outputs: the output of `polycera.layers.Heads`, or a list of several, on different trunks.
        name: of the model.
        weighting: how the losses of all tasks are weighted while training: the name of a method
            (`polycera methods` lists them), or a `polycera.weighting.Method`. May be given to the
            only `Heads` instead.
        balancing, preference, gradients, every: as for `Heads`, for a model with several `Heads` or
            adopted ones: in each part of the network that two or more tasks share, the gradients of
                exactly those are balanced.
        seed: of the methods that draw at random.
        keras_names: whether losses and metrics are also logged under the names that stock Keras
            gives them, `price_loss`, `price_mae`, `val_price_mae`, and with one task `mae`;
            "prefixed": with the task's name even where there is one task. `pc.adopt` sets it.
        output_order: the tasks in the order of a list of outputs, as `pc.adopt` finds it: targets,
            weights of rows and weights of the joint score may then be lists too.
        metric_spellings: task -> metric -> how it was written, for the names of stock Keras; the
            tasks know them.

    Raises:
        InputError: for an output that does not come from `Heads`; for a balancing where nothing is
            shared.

    Examples:
        >>> import keras, numpy as np, polycera as pc
        >>> x = keras.Input((10,))
        >>> h = keras.layers.Dense(16, activation="relu")(x)
        >>> model = pc.Model(x, pc.layers.Heads([pc.Binary("churn"), pc.Regression("revenue_loss")])(h))
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
        self._pure: tuple[Any, Any] = None, None  # made at the first prediction
        self._head_names = tuple(head.name for head in _heads_behind(outputs))
        self._members = _members(self.heads)
        self._objective = Objective(Layout.join([head.layout for head in self.heads]))
        declared = self._objective.weights
        self._task_weights = self.add_weight(
            name="task_weights",
            shape=declared.shape,
            initializer=lambda shape, dtype=None: ops.convert_to_tensor(declared),
            trainable=False,
            autocast=False,
            dtype="float32",
        )
        self._scores: Scores = {}
        self._keras_names = keras_names
        own = {
            name: task.metric_spellings
            for name, task in self.layout.tasks.items()
            if task.metric_spellings
        }
        self._spellings = own | {
            name: dict(each) for name, each in (metric_spellings or {}).items()
        }
        self.output_order = None if output_order is None else tuple(output_order)
        self._objects = metric_objects.of(self.layout, self._members)
        # a list: Keras knows them
        self._object_metrics = [] if self._objects is None else self._objects.metrics
        # a training that goes on where only validation is left
        self._before_logs: Callable[[], None] | None = None
        self._gradients: list[GradientStats] = []
        self._policy: str | None = None  # of a Guard
        self._wrapped = False  # whether the optimizer looks at gradients for it
        given = dict(
            weighting=weighting,
            balancing=balancing,
            preference=preference,
            gradients=gradients,
            every=every,
        )
        self._shared = TaskWeighting.of(self, self.layout, self.heads, given, seed)
        self._engine = self._shared.engine  # a layer: Keras then knows its variables
        self._ledger = EpochSums(self._shared.shapes() | self._entries())
        # what batches of a source bring; made when the first source comes
        self._stream: EpochSums | None = None
        # where the scaling comes from, until it is held against a first epoch
        self._learned: ScalingSource | None = None
        self._unseen = False  # whether the host has not looked at the features of the training
        # how many axes the parts of a batch had that TensorFlow traced a step for
        self._ranks: Any = None
        self._refused: Exception | None = None  # what was wrong with a batch that TensorFlow read
        self._lost = False  # whether it was said in this `fit` that weights are not finite
        self._marks = False  # whether a prediction marks rows with features that are not finite

    def _entries(self) -> dict[str, tuple[int, ...]]:
        """What the ledger adds up beside what balancing saw."""
        terms = (len(self._objective.names),)
        counts = dict.fromkeys(("batches", "steps", "skipped", "first", "regularization"), ())
        return {
            "sums": terms,
            "rows": terms,
            "spoilt": terms,
            "weighted": terms,
            "tallies": (self._objective.size,),
            **counts,
        }

    def get_config(self) -> dict[str, Any]:
        names: dict[str, Any] = {"keras_names": self._keras_names} if self._keras_names else {}
        names |= (
            {"metric_spellings": self._spellings} if self._keras_names and self._spellings else {}
        )
        names |= {} if self.output_order is None else {"output_order": list(self.output_order)}
        return {**super().get_config(), **self._shared.to_config(), **names}

    def get_compile_config(self) -> Any:
        return portable(super().get_compile_config())

    def compile_from_config(self, config: Any) -> None:
        super().compile_from_config(portable(config))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if args:
            named_inputs.check_names(self, args[0])
        return super().__call__(*args, **kwargs)

    def stateless_call(self, *args: Any, **kwargs: Any) -> Any:
        if len(args) > 2:  # after the variables, trainable ones and others
            named_inputs.check_names(self, args[2])
        return super().stateless_call(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        inputs = named_inputs.unwrapped(self, inputs)
        looks = self._unseen if training else self._marks
        finite = named_inputs.harmless(inputs) if looks else inputs
        if training and self._shared.engine is not None:
            return self._shared.engine(self._standardize_inputs(finite), training=True)
        raw = super().call(finite, training=training, mask=mask)
        return named_inputs.with_lost_rows(raw, inputs) if looks and not training else raw

    # -- what it is made of --------------------------------------------------------------------------------------

    @property
    def heads(self) -> list[TaskLayer]:
        """The layers that end in tasks, in the order of their columns."""
        return [self.get_layer(name) for name in self._head_names]

    @property
    def layout(self) -> Layout:
        """Which columns of the raw outputs and packed targets belong to which task."""
        return self._objective.layout

    @property
    def tasks(self) -> dict[TaskName, Task]:
        """The tasks by name. Setting `model.tasks["churn"].weight` changes the loss from the next step on."""
        places = enumerate(self.layout.tasks.items())
        return {name: task.attached(*self._weight_of(i)) for i, (name, task) in places}

    def _weight_of(self, i: int) -> tuple[Callable[[], float], Callable[[float], None]]:
        """How the weight of the i-th task is read and set, in the middle of a training too."""

        def read() -> float:
            settle(self)
            return float(ops.convert_to_numpy(self._task_weights)[i])

        def write(value: float) -> None:
            settle(self)
            weights = np.array(ops.convert_to_numpy(self._task_weights))
            weights[i] = value
            self._task_weights.assign(weights)

        return read, write

    def get_weights(self) -> list[np.ndarray]:
        """Return the values of all variables, those of the layers first: as the same layers without polycera have."""
        return [ops.convert_to_numpy(variable) for variable in self._in_stock_order()]

    def set_weights(self, weights: list[Any]) -> None:
        """Set the values of all variables, in the order of `get_weights`."""
        variables = self._in_stock_order()
        if len(weights) != len(variables):
            raise InputError(
                f"set_weights got {len(weights)} arrays, and this model has {len(variables)} variables: "
                "those of the layers, then the weights of the tasks."
            )
        by_place = {id(variable): value for variable, value in zip(variables, weights, strict=True)}
        super().set_weights([by_place[id(variable)] for variable in self.weights])

    def _in_stock_order(self) -> list[Any]:
        """The variables with those of the model itself last."""
        return [v for v in self.weights if v is not self._task_weights] + [self._task_weights]

    @property
    def units(self) -> TargetScaling:
        """What was taken out of the labels, and the trivial predictors, as they stand now."""
        with self._access.shared():
            read = [
                [ops.convert_to_numpy(v) for v in (h.location, h.scale, h.prior)]
                for h in self.heads
            ]
        return TargetScaling(
            *(np.concatenate(parts).astype("float64") for parts in zip(*read, strict=True))
        )

    @property
    def fitted(self) -> bool:
        """Whether units and trivial predictors were taken from data."""
        with self._access.shared():
            return all(float(ops.convert_to_numpy(head.fitted)) > 0 for head in self.heads)

    @property
    def scores(self) -> Scores:
        """What the last epoch, validation or evaluation measured: each metric with its trivial value and ideal."""
        return self._scores

    @property
    def balanced(self) -> bool:
        """Whether the tasks' gradients are balanced, or at least measured, anywhere."""
        return bool(self._shared.meetings)

    @property
    def gradients(self) -> list[GradientStats]:
        """What the last epoch of training saw where gradients are balanced; empty without balancing."""
        return list(self._gradients)

    @property
    def skills(self) -> dict[TaskName, float]:
        """Each task's headline skill of the last epoch, validation or evaluation: 0 trivial, 1 perfect, else NaN."""
        return {
            name: own[self.layout.tasks[name].headline].skill for name, own in self._scores.items()
        }

    # -- what Keras calls in a step ------------------------------------------------------------------------------

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Raw = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        """The total loss of a batch; on the way, everything that is logged is added up on the device."""
        y, sample_weight = batch_sources.unpacked(self, x, y, sample_weight)
        if training and not self._wrapped:
            y_pred = zero_nonfinite_gradient(y_pred)
        if training and self._members > 1:  # each answers for itself
            y = ensemble.by_member(y, self._members, self.layout.width)
            sample_weight = (
                None if sample_weight is None else ops.repeat(sample_weight, self._members, axis=0)
            )
        kept = self._kept()
        if self._objects is not None:
            self._objects.update(y, ops.stop_gradient(y_pred), sample_weight, kept)
        measured = self._objective(y, y_pred, sample_weight, kept)
        means = self._objective.means(measured)
        regularization = sum((ops.sum(extra) for extra in self.losses), start=ops.zeros(()))
        weights = ops.convert_to_tensor(self._task_weights)
        if not training:
            self._ledger.update_state(_entered(measured, regularization))
            return self._objective.loss(means, weights) + regularization / replicas()
        weights = self._shared.weigh(self._objective, means, measured, weights)
        loss = self._objective.loss(means, weights)
        fine, spoilt = finite(means)
        entries = {
            name: ops.where(fine, part, 0.0)
            for name, part in _entered(measured, regularization).items()
        }
        entries["weighted"] = entries["sums"] * self._objective.by_term(weights)
        one = ops.ones(()) / replicas()
        skipped = one * ops.cast(ops.logical_not(fine), "float32")
        first = skipped * self._ledger.untouched("skipped") * (self._ledger.so_far("steps") + 1.0)
        entries |= {"spoilt": spoilt, "steps": one, "skipped": skipped, "first": first}
        self._ledger.update_state(
            entries | self._shared.seen(first=self._ledger.untouched("steps"))
        )
        # a NaN reaches each gradient, and the optimizer leaves everything as it is
        if self._wrapped:
            loss = loss * ops.where(fine, 1.0, np.nan)
        else:
            loss = ops.where(fine, loss, 0.0)
        return self._shared.scaled(loss + regularization / replicas())

    def _kept(self) -> HeadConstants:
        """What the heads keep, as tensors, side by side."""
        each = [
            tuple(map(ops.convert_to_tensor, (h.location, h.scale, h.prior))) for h in self.heads
        ]
        return HeadConstants(
            *(each[0] if len(each) == 1 else map(ops.concatenate, zip(*each, strict=True)))
        )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """The running loss. Named terms and metrics are made once an epoch, not in every step."""
        return {"loss": self.metrics[0].result(), "tasks": {}}

    def _watch_stream(self, source: Any) -> None:
        """Have the steps count what a source brings."""
        if self._stream is None and not isinstance(source, Batches):
            self._stream = step_batches.ledger(self)
            self.train_function = self.test_function = None  # traced anew, with the counts
        ranks = step_batches.ranks(source)
        # TensorFlow would trace for any rank, and know none
        if ranks is not None and ranks != self._ranks:
            self.train_function = self.test_function = None
            self._ranks = ranks

    def _look_at_features(self, unseen: bool) -> None:
        """Have the training step look for NaN features, or not where the host has looked."""
        if unseen != self._unseen:
            self._unseen, self.train_function = unseen, None

    def _say_of_stream(self, training: bool) -> None:
        """Say what the batches of this epoch brought that was left out, and whether the scaling fits them."""
        if self._stream is None:
            return
        sums = self._stream.read()
        if not sums["rows"]:
            return
        for sentence in batch_sources.sentences(self, sums, training):
            warnings.warn(sentence, stacklevel=4)
        if training and self._learned is not None:
            if differs := target_scaling.differing(self.layout, self.units, self._learned, sums):
                warnings.warn(differs, stacklevel=4)
            self._learned = None

    def _say_of_weights(self) -> None:
        """Say once in a `fit` that weights or moments are not finite; a Guard looks itself."""
        if self._policy is None and not self._lost and (sentence := nonfinite.after_epoch(self)):
            warnings.warn(sentence, stacklevel=4)
            self._lost = True

    def get_metrics_result(self) -> dict[str, Any]:
        """All that was added up since the last reset, by name; Keras flattens the inner dict into the logs."""
        if self._before_logs is not None:
            first, self._before_logs = self._before_logs, None
            first()
        sums, units = self._ledger.read(), self.units
        self._scores = scores.streamed(self._objective, sums["tallies"], units)
        weights = ops.convert_to_numpy(self._task_weights)
        moving = self._shared.weighing is not None or not np.array_equal(
            weights, self._objective.weights
        )
        named = scores.terms(self._objective, sums, weights, moving) | self._measured_metrics()
        named |= self._aliases(named, units)
        self._say_of_stream(training=bool(sums["steps"]))
        if sums["steps"]:
            self._gradients = self._shared.read(sums)
            if self._policy != "stop" and (sentence := scores.spoilt(self._objective, sums)):
                warnings.warn(sentence, stacklevel=2)
            if sums["skipped"]:
                self._say_of_weights()
        return {"loss": named.pop("loss"), "tasks": named}

    def _measured_metrics(self) -> dict[str, float]:
        """`task/metric` -> value, of the kinds' metrics and of metric objects; the scores get the latter too."""
        named = scores.logged(self._scores)
        if self._objects is not None:
            found = self._objects.scores()
            self._scores = metric_objects.joined(self._scores, found, list(self.layout.tasks))
            named |= metric_objects.logged(found)
        return named

    def _aliases(self, named: Mapping[str, float], units: TargetScaling) -> dict[str, float]:
        """The same under the names of stock Keras, where they are wanted."""
        if not self._keras_names:
            return {}
        return keras_names.aliases(
            self._objective, named, units.scale, self._prefixed, self._spellings
        )

    @property
    def _prefixed(self) -> bool:
        return len(self.layout.tasks) > 1 or self._keras_names == "prefixed"

    @property
    def metrics_names(self) -> list[str]:
        """The names of what `evaluate(return_dict=False)` returns, in its order."""
        names = ["loss", *self._objective.names]
        names += ["regularization"] if self.losses else []
        names += [
            f"{name}/{metric}"
            for name, task in self.layout.tasks.items()
            for metric in task.metrics
        ]
        names += [] if self._objects is None else self._objects.names
        if self._keras_names:
            names += keras_names.alias_names(
                self._objective, self.units.scale, self._prefixed, self._spellings
            )
        return names

    def _directions(self) -> dict[str, str]:
        """Every name in the logs of training -> which way is better: `min`, `max` or `target`."""
        found = dict.fromkeys(
            ["loss", *self._objective.names, "regularization", "skipped_steps"], "min"
        )
        for name, task in self.layout.tasks.items():
            found[f"{name}_skill"] = "max"
            for metric in task.metrics:
                found[f"{name}/{metric}"] = TALLIES[task.measured_as].metrics[metric].direction
        for fed in () if self._objects is None else self._objects.fed:
            if (way := direction_of(fed.metric)) is not None:
                found[f"{fed.task.name}/{fed.metric.name}"] = way
        if self._keras_names:
            each = {name: float(place) for place, name in enumerate(found)}
            ways = list(found.values())
            for alias, place in self._aliases(each, self.units).items():
                found[alias] = "min" if alias.endswith("_loss") else ways[int(place)]
        return found | {"joint": "max"}

    # -- what users call -----------------------------------------------------------------------------------------

    def adapt(self, y: Any, steps: int | None = None) -> None:
        """Take the scaling of the targets and the trivial predictors from these targets.

        `fit` does it by itself: from all training rows of arrays, from the first 64 batches of a
            source.

        Args:
            y: targets by name, as for `fit`; or a source of batches `(x, y)`; or, for some tasks or
                all, the numbers
                themselves: `{"price": {"mean": 100.0, "std": 20.0}, "kind": {"shares": [0.5, 0.3,
                    0.2]}}`. A number
                kind without standardisation takes `mean`, a binary task the share of its second
                class.
            steps: batches of a source to read; default all.

        Raises:
            UnknownName, InputError: for targets as in `fit`; for numbers that cannot be.

        Examples:
            >>> import keras, polycera as pc
            >>> x = keras.Input((3,))
            >>> model = pc.Model(x, pc.layers.Heads([pc.Regression("price"), pc.Binary("sold")])(x))
            >>> model.adapt({"price": {"mean": 100.0, "std": 20.0}, "sold": {"shares": 0.1}})
            >>> model.units.scale.tolist()
            [20.0, 1.0]
        """
        batch_sources.adapted(self, y, steps)

    def _take_scaling(self, encoded: Encoded, learned: ScalingSource, quiet: bool = False) -> None:
        """Take the scaling from the labels of a source, which are held against the first epoch."""
        units = self._take_units(encoded)
        self._learned = learned
        if not quiet and not learned.whole:
            warnings.warn(target_scaling.sentence(self.layout, units, learned), stacklevel=5)

    def _take_units(self, encoded: Mapping[TaskName, Array]) -> TargetScaling:
        units = TargetScaling.of(self.layout, encoded)
        for message in [
            *constant(self.layout, encoded),
            *declared_activations.beyond_reach(self, encoded),
        ]:
            warnings.warn(message, stacklevel=4)
        return self._set_units(units)

    def _set_units(self, units: TargetScaling) -> TargetScaling:
        task = unit = 0
        for head in self.heads:
            tasks, width = len(head.layout.tasks), head.layout.units
            rows = slice(task, task + tasks)
            head.fit_to(units.location[rows], units.scale[rows], units.prior[unit : unit + width])
            task, unit = task + tasks, unit + width
        return self.units

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

        The first call takes units and trivial predictors from the training labels; later calls keep
        them.

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
        # MLflow's autolog adds its own to a list only
        callbacks = [] if callbacks is None else callbacks
        keras_names.settle_modes(callbacks, self._directions)
        saving.check_callbacks(callbacks)
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        unseen = False
        if isinstance(x, Batches):  # made ready before
            y = sample_weight = None
        elif y is None:
            unseen, source = not target_scaling.on_host(x), x
            x = batch_sources.prepared(self, source, class_weight, sample_weight, trains=True)
            rest.setdefault("steps_per_epoch", batch_sources.steps_of(source))
            self._watch_stream(x)
            y = sample_weight = None
        else:
            x = named_inputs.by_name(self, x)
            check_features(x)
            encoded = encode(self.layout, y)
            rows_alike(x, encoded, "y")
            split = 0.0 if validation_data is not None else validation_split
            last = int(np.floor(rows_of(encoded) * (1.0 - split)))
            if not self.fitted:
                self._take_units({name: labels[:last] for name, labels in encoded.items()})
            sample_weight = pack_weights(
                self.layout, encoded, sample_weight, class_weight, last=last
            )
            y = pack(self.layout, encoded, self.units)
        if validation_data is not None:
            rest.setdefault("validation_steps", batch_sources.steps_of(validation_data))
            validation_data = self._validation(validation_data)
        if hooks and y is not None:
            if rest.get("steps_per_epoch") is not None:
                raise InputError(
                    "steps_per_epoch= does not go with Checkpoint or Guard of pc.callbacks: leave it out."
                )
            x, held = batches.of(
                x, y, sample_weight, batch_size or 32, shuffle, validation_split if split else 0.0
            )
            validation_data = validation_data or held
            rest.setdefault("validation_batch_size", batch_size)
            y = sample_weight = batch_size = None
        y, sample_weight = (None if part is None else marked(part) for part in (y, sample_weight))
        self._look_at_features(unseen)
        options = dict(
            batch_size=batch_size,
            epochs=epochs,
            verbose=verbose,
            validation_split=validation_split if y is not None else 0.0,
            validation_data=validation_data,
            shuffle=shuffle and (y is not None or batch_sources.shuffles(x)),
            sample_weight=sample_weight,
            **rest,
        )
        declared_activations.check(self, x)
        hooks.take_rows(x)
        guard_steps(self, hooks.nonfinite)
        self._lost = False
        with (
            batch_sources.refusals(self),
            unharmed(self),
            hooks.around_fit(self, x, callbacks, epochs=epochs, verbose=verbose) as (
                callbacks,
                decided,
            ),
        ):
            history = super().fit(x, y, callbacks=callbacks, **{**options, **decided})
        self._say_of_weights()
        return history

    def _validation(self, data: Any) -> Any:
        if not isinstance(data, list | tuple):
            data = batch_sources.prepared(self, data, what="validation_data")
            self._watch_stream(data)
            return data
        x, y, sample_weight = (*data, None)[:3]
        y, sample_weight = (
            self._by_output(y, "validation_data"),
            self._by_output(sample_weight, "sample_weight"),
        )
        x = named_inputs.by_name(self, x, "validation_data")
        check_features(x, "validation_data")
        encoded = encode(self.layout, y, "validation_data")
        rows_alike(x, encoded, "validation_data")
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
        """Measure, as `keras.Model.evaluate` does; from arrays, metrics are exact (float64, no histogram).

        Args:
            x, y, batch_size, verbose, sample_weight, steps, callbacks: as for `fit`.
            return_dict: by default True, other than in Keras: numbers go by name.

        Returns:
            name -> value: `loss`, each `task/term`, each `task/metric`.
        """
        self._check_compiled()
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        options = dict(batch_size=batch_size, verbose=verbose, steps=steps, callbacks=callbacks)
        inside_fit = rest.get("_use_cached_eval_dataset", False)
        if inside_fit or y is None:
            if not inside_fit:
                options["steps"] = steps or batch_sources.steps_of(x)
                x = batch_sources.prepared(self, x, None, sample_weight)
                self._watch_stream(x)
            with batch_sources.refusals(self), unharmed(self):
                logs = super().evaluate(
                    x, y, sample_weight=sample_weight, return_dict=True, **options, **rest
                )
            return self._in_order(logs, return_dict)
        x = named_inputs.by_name(self, x)
        check_features(x)
        encoded = encode(self.layout, y)
        rows_alike(x, encoded, "y")
        weights, packed = (
            pack_weights(self.layout, encoded, sample_weight),
            pack(self.layout, encoded, self.units),
        )
        marks = None if weights is None else marked(weights)
        logs = super().evaluate(
            x, marked(packed), sample_weight=marks, return_dict=True, **options, **rest
        )
        raw = self.raw_outputs(x, batch_size=batch_size, verbose=0)
        counted = np.ones((len(raw), 1), bool) if weights is None else weights > 0
        self._scores = scores.exact(self._objective, packed, raw, counted, self.units)
        logs = {"loss": logs.pop("loss")} | logs | self._measured_metrics()
        logs |= self._aliases(
            {name: value for name, value in logs.items() if "/" in name}, self.units
        )
        return self._in_order(logs, return_dict)

    def _in_order(self, logs: Mapping[str, float], as_dict: bool) -> Any:
        """What was measured in the order of `metrics_names`, as a dict or as the list of Keras."""
        names = self.metrics_names
        if not as_dict:
            return [float(logs.get(name, 0.0)) for name in names]
        return {name: logs[name] for name in names if name in logs} | dict(logs)

    def _by_output(self, values: Any, what: str) -> Any:
        """A list with a part for each output as a dict, where the model's own outputs are a list too.

        Raises:
            InputError: with the dict to write instead, for a list where outputs go by name.
        """
        return by_output(values, self.output_order, list(self.layout.tasks), what)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        """Predictions by task, in the user's units: numbers [n], probabilities [n] or [n, classes], rates [n].

        Args:
            x: features, as for `fit`.
            *args, **kwargs: as for `keras.Model.predict`.
        """
        found = self._in_units(x, *args, **kwargs)
        return {name: self.layout.tasks[name].decode(values) for name, values in found.items()}

    def answer(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        """The label one would say for each row, by task: a number, or one of the user's own classes."""
        found = self._in_units(x, *args, **kwargs)
        return {name: self.layout.tasks[name].answer(values) for name, values in found.items()}

    def _in_units(self, x: Any, *args: Any, **kwargs: Any) -> dict[TaskName, np.ndarray]:
        source = target_scaling.is_source(x)
        if not source:
            x = named_inputs.by_name(self, x)
            check_features(x)
        if rows_of(x) == 0:
            raw = np.zeros((0, self.layout.units))
        else:
            raw = self.raw_outputs(x, *args, **kwargs)
        if sentence := nonfinite.check_answers(self, raw, source):
            warnings.warn(sentence, stacklevel=4)
        return scores.predictions(self.layout, raw, self.units)

    def raw_outputs(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: Any = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Raw:
        """Return what the network gives before links and scaling are undone; safe to call from several threads.

        Args:
            x, batch_size, verbose, steps, callbacks: as for `keras.Model.predict`. On JAX, threads
                work side by side where x is arrays and `verbose` is 0, and one after another else.

        Returns:
            [n, units], the tasks side by side in the order of `layout`.

        Raises:
            PolyceraError: where another thread trains the model, or the process was forked too
                late.
        """
        if verbose == 0 and not callbacks and steps is None and are_arrays(x):
            with self._access.shared():
                if (values := self._values()) is not None:
                    settle(self)  # in a callback of `fit`, Keras may hold the variables elsewhere
                    return in_slices(values(), x, batch_size or 32)
        source = target_scaling.is_source(x)
        shared = backend.predicts_in_place() and not source
        with self._access.shared() if shared else self._access.alone():
            if source and not self._marks:
                self._marks, self.predict_function = True, None
            with unharmed(self):
                return super().predict(x, batch_size, verbose, steps, callbacks)

    def trace_anew(self) -> None:
        """Forget every step that was compiled: for a layer that computes something else than it did."""
        self._pure = None, None
        self.train_function = self.test_function = self.predict_function = None

    def _values(self) -> Any:
        """See `backend.pure_prediction`; made once for each `compile`, as Keras makes its own."""
        made_for, found = self._pure
        # of a model that answers without having been compiled
        settings = getattr(self, "_compile_config", None)
        if found is None or made_for is not settings:
            with self._access.making:
                if self._pure[0] is not settings or self._pure[1] is None:
                    self._pure = settings, backend.pure_prediction(self)
                found = self._pure[1]
        return found

    def measure(self, x: Any, y: Any, batch_size: int | None = None) -> Scores:
        """Return each metric of each task, exactly; unlike `evaluate` it changes nothing in the model.

        Several threads may call it at once.

        Args:
            x: features; arrays.
            y: targets by name, as for `fit`.
            batch_size: rows at a time.

        Raises:
            InputError: as `evaluate`.
        """
        x = named_inputs.by_name(self, x)
        check_features(x)
        encoded = encode(self.layout, y)
        rows_alike(x, encoded, "y")
        raw = self.raw_outputs(x, batch_size=batch_size, verbose=0)
        units, counted = self.units, np.ones((len(raw), 1), bool)
        return scores.exact(self._objective, pack(self.layout, encoded, units), raw, counted, units)

    def save(self, filepath: Any, *args: Any, **kwargs: Any) -> None:
        """Save, as `keras.Model.save` does, all or nothing: a file that was there stays until the new one is whole.

        Raises:
            InputError: for a name that does not end in `.keras`: what Keras writes there could not
                be loaded.
        """
        saving.check_path(filepath, kwargs)
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
        saving.check_weights_path(filepath)
        super().save_weights(filepath, *args, **kwargs)

    def named(self) -> keras.Model:
        """A plain Keras model on the same weights whose outputs are a dict of task name to predictions [n, p].

        For export and for tools that call the model themselves: units are put back inside the
            graph.
        """
        from polycera.layers.named_outputs import Named

        units = self.units
        layer = Named(list(self.tasks.values()), units.location.tolist(), units.scale.tolist())
        return keras.Model(self.input, layer(self.outputs[0]), name=f"{self.name}_named")

    @_alone()
    def train_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **rest: Any) -> Any:
        """One step, as in Keras, with targets by name. Call `adapt` first for tasks that standardise.

        Args:
            x, y, sample_weight: of one batch, as for `fit`.
            **rest: `return_dict=True` for a dict of all terms and metrics.

        Returns:
            The loss of the batch.
        """
        return self._of_batch(super().train_on_batch, x, y, sample_weight, **rest)

    @_alone()
    def test_on_batch(self, x: Any, y: Any = None, sample_weight: Any = None, **rest: Any) -> Any:
        """One measurement, as in Keras, with targets by name; returns what `train_on_batch` does."""
        return self._of_batch(super().test_on_batch, x, y, sample_weight, **rest)

    def _of_batch(
        self, step: Callable[..., Any], x: Any, y: Any, sample_weight: Any, **rest: Any
    ) -> Any:
        y, sample_weight = self._by_output(y, "y"), self._by_output(sample_weight, "sample_weight")
        logs = step(*self._batch(x, y, sample_weight), **rest)
        if not rest.get("return_dict", False):
            return logs
        found = self.get_metrics_result()
        return {"loss": found["loss"], **found["tasks"]}

    def predict_on_batch(self, x: Any) -> dict[TaskName, np.ndarray]:
        """Predictions of one batch, as `predict` gives them."""
        return self.predict(x, batch_size=rows_of(x), verbose=0)

    def _batch(self, x: Any, y: Any, sample_weight: Any) -> tuple[Any, Any, Any]:
        self._check_compiled()
        x = named_inputs.by_name(self, x)
        check_features(x)
        declared_activations.check(self, x)
        encoded = encode(self.layout, y)
        rows_alike(x, encoded, "y")
        if not self.fitted:
            self._take_scaling(encoded, ScalingSource(1, rows_of(encoded), False, "batch"))
        packed = marked(pack(self.layout, encoded, self.units))
        weights = pack_weights(self.layout, encoded, sample_weight)
        return x, packed, None if weights is None else marked(weights)

    def _check_compiled(self) -> None:
        """Refuse what would be ignored, or go wrong, in silence."""
        self._check_losses()
        self._shared.follow(self.optimizer)

    def _check_losses(self) -> None:
        """Refuse losses and metrics given to `compile`: they would be ignored, and nothing is ignored in silence."""
        if not self.compiled:
            raise InputError("Call model.compile('adam') first: an optimizer is all it needs.")
        given = self._compile_config.config if self._compile_config else {}
        for argument in ("loss", "loss_weights", "metrics", "weighted_metrics"):
            if given.get(argument) is not None:
                raise InputError(
                    f"compile({argument}=...) has no effect here: losses, weights and metrics come from the tasks, "
                    f"such as pc.Regression(name, loss={{'mse': 0.8, 'mae': 0.2}}, weight=2.0, metrics=['rmse']); "
                    f"tasks: {listing(self.layout.tasks)}."
                )


def _entered(measured: BatchSums, regularization: Tensor) -> dict[str, Tensor]:
    """What every batch enters into the ledger."""
    return {**measured._asdict(), "regularization": regularization, "batches": ops.ones(())}


def _members(heads: list[TaskLayer]) -> int:
    """How many members answer for themselves while training."""
    found = {getattr(head, "members", None) or 1 for head in heads}
    if len(found) > 1:
        raise InputError(
            f"All Heads of a model have the same number of members, got {sorted(found)}."
        )
    return found.pop()


def _heads_behind(output: Any) -> list[TaskLayer]:
    operation = output._keras_history.operation
    if isinstance(operation, Blend):
        return _heads_behind(
            operation.input[0] if isinstance(operation.input, list) else operation.input
        )
    if isinstance(operation, TaskLayer):
        return [operation]
    if isinstance(operation, keras.layers.Concatenate):
        return [head for tensor in operation.input for head in _heads_behind(tensor)]
    raise InputError(
        f"The outputs of pc.Model come from pc.layers.Heads, got the output of {operation.name!r}; "
        "for a model with heads of its own use pc.adopt(model, tasks)."
    )
