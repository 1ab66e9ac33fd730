"""Compute the raw outputs of all tasks: one kernel for all heads on a trunk.

Two hundred named tasks cost what one `Dense(200)` costs, because nothing here is repeated for each
task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from polycera.errors import InputError
from polycera.layers.backend import with_backward
from polycera.layers.fixed_weight import add_fixed_weight
from polycera.layers.fork import Fork
from polycera.layers.method_state import MethodState
from polycera.layers.multitask_options import MultitaskOptions
from polycera.tasks import Joint, Layout, Task, task_from_config
from polycera.tasks.keras_losses import check_fit
from polycera.typing import Raw, TaskName, Tensor


class TaskLayer(keras.layers.Layer):
    """Hold the tasks' layout and the numbers that turn raw outputs into predictions.

    Weights, none of them trained by gradients:
        location, scale [tasks]: the target scaling, taken out of the labels and put back into the
            predictions.
        prior [units]: raw outputs of the trivial predictor of each task.
        fitted []: 1 once these three are computed from data.
    """

    def __init__(self, tasks: Sequence[Task | Joint | dict[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layout = Layout.of([task_from_config(t) if isinstance(t, dict) else t for t in tasks])

    def build(self, input_shape: Any) -> None:
        self.location = add_fixed_weight(self, "location", (len(self.layout.tasks),))
        self.scale = add_fixed_weight(self, "scale", (len(self.layout.tasks),), "ones")
        self.prior = add_fixed_weight(self, "prior", (self.layout.units,))
        self.fitted = add_fixed_weight(self, "fitted", ())

    def fit_to(self, location: np.ndarray, scale: np.ndarray, prior: np.ndarray) -> None:
        """Set location, scale and prior.

        Later calls of `fit` do not change them, so that training continues from where it stopped.
        """
        for variable, value in (
            (self.location, location),
            (self.scale, scale),
            (self.prior, prior),
        ):
            variable.assign(np.asarray(value, "float32"))
        self.fitted.assign(1.0)

    def get_config(self) -> dict[str, Any]:
        tasks_and_joints: list[Task | Joint] = [*self.layout.tasks.values(), *self.layout.joints]
        tasks = [task.to_config() for task in tasks_and_joints]
        return {**super().get_config(), "tasks": tasks}

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, int]:
        return (None, self.layout.units)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Return the spec of the raw outputs.

        They are float32 whatever the precision inside, because losses are computed from them.
        """
        return keras.KerasTensor((None, self.layout.units), dtype="float32")


@keras.saving.register_keras_serializable(package="polycera")
class Heads(TaskLayer):
    """Compute a linear head for each task on one trunk, as one matrix product.

    Training starts at the trivial predictor, not at zero: the raw outputs of that predictor are
    added. Under mixed precision the product is computed in half precision and returned as float32.

    Args:
        tasks: tasks, and joint terms over them.
        kernel_initializer: as for `keras.layers.Dense`.
        kernel_regularizer: as for `keras.layers.Dense`; logged as `regularization`.
        use_bias: whether each output has a bias.
        balancing: how the tasks' gradients are combined before they go on into the trunk: the name
            of a method (`polycera methods` lists them) or a `polycera.balancing.Method`; None adds
            them up, as stock Keras does.
        preference: task name -> weight within the method, where the method uses preferences;
            default: 1 each.
        gradients: what is balanced: "features", the gradients at this layer's input features,
            which cost nothing extra; or "parameters", those of all weights that tasks share, as in
            most papers, at the price of a backward pass for each task.
        every: the balancing weights are recomputed every so many steps.
        weighting: how whole losses are weighted while training: the name of a method, or a
            `polycera.weighting.Method`; None leaves the tasks' loss weights as they are.
        seed: of the methods that draw at random.
        members: the number of ensemble members in the input, [n, members, features]. Each has
            heads of its own unless gradients are balanced. In training the output has a row for
            each member of each row, [n * members, units]; else it is their mean, [n, units]. None:
            one network, [n, features].

    Input shape: [n, features]. Output shape: [n, units], all tasks side by side; float32.

    Raises:
        InputError: for features of any other rank, or another number of members; for a Keras
            loss that does not fit a task's outputs.

    Examples:
        >>> import keras, polycera as pc
        >>> x = keras.Input((10,))
        >>> heads = pc.layers.Heads([pc.Binary("churn"), pc.Regression("revenue_loss")])
        >>> heads(keras.layers.Dense(16)(x)).shape
        (None, 2)
    """

    def __init__(
        self,
        tasks: Sequence[Task | Joint | dict[str, Any]],
        *,
        kernel_initializer: Any = "glorot_uniform",
        kernel_regularizer: Any = None,
        use_bias: bool = True,
        balancing: Any = None,
        preference: Mapping[TaskName, float] | None = None,
        gradients: str = "features",
        every: int = 1,
        weighting: Any = None,
        seed: int = 0,
        members: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(tasks, **kwargs)
        for task in tasks:
            if isinstance(task, Task):  # a task from a file was checked when it was made
                check_fit(task)
        self.members = members
        names = list(self.layout.tasks)
        self.settings = MultitaskOptions.of(
            names, weighting, balancing, preference, gradients, every, seed
        )
        balances = self.settings.gradients == "features" and self.settings.balance is not None
        self.fork = (
            Fork(self.layout, self.settings.balance)  # type: ignore[arg-type]
            if balances
            else None
        )
        self.preference = dict(preference) if preference else None
        self.rates = _rates(self.layout, kernel_regularizer)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
        _check_shape(input_shape, self.members)
        super().build(input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*self._member_axis, input_shape[-1], self.layout.units),
            initializer=self._first_kernel,
            regularizer=self.kernel_regularizer,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(*self._member_axis, self.layout.units), initializer="zeros"
            )
        if self.fork is not None:
            self.carrying = MethodState(
                self.fork.balance.start(), len(self.layout.tasks), name="carrying"
            )

    @property
    def _member_axis(self) -> tuple[int, ...]:
        """Return the axis of members as a shape, () where they share one set of heads."""
        return () if self.members is None or self.settings.balance is not None else (self.members,)

    def _first_kernel(self, shape: Any, dtype: Any = None) -> Tensor:
        """Return the initial kernel, corrected for members and for tasks' learning rates."""
        kernel = self.kernel_initializer(shape, dtype=dtype)
        if self._member_axis and isinstance(
            self.kernel_initializer, keras.initializers.VarianceScaling
        ):
            # Keras counts the first axis as positions of a convolution, so its fan is `members`
            # times too large, and its standard deviation too small by the square root of that.
            kernel = kernel * self._member_axis[0] ** 0.5
        # `_weights` multiplies by the rates, so the initial kernel that acts stays the same.
        return kernel if self.rates is None else ops.divide(kernel, self.rates)

    def _weights(self) -> tuple[Tensor, Tensor | None]:
        """Return kernel and bias as they act on the features.

        A head with a learning rate of its own stores its weights divided by that rate. The forward
        pass multiplies them back, and the gradient passes unchanged. So the optimizer's step is
        scaled, and not its gradient: Adam would ignore a scaled gradient.
        """
        kernel = ops.convert_to_tensor(self.kernel)
        bias = ops.convert_to_tensor(self.bias) if self.use_bias else None
        if self.rates is None:
            return kernel, bias
        scaled = with_backward(
            lambda w: w * ops.cast(self.rates, w.dtype), lambda inputs, cotangent: (cotangent,)
        )
        return scaled(kernel), None if bias is None else scaled(bias)

    def call(self, features: Tensor, training: bool = False) -> Raw:
        """Return the raw outputs of all tasks, [n, units]."""
        if self.members is None:
            return ops.cast(self._product(features, training), "float32") + self.prior
        raw = self.each(features, training)
        return ops.reshape(raw, (-1, self.layout.units)) if training else ops.mean(raw, axis=1)

    def each(self, features: Tensor, training: bool = False) -> Raw:
        """Return the raw outputs of each member, [n, members, units]."""
        if self._member_axis:
            kernel, bias = self._weights()
            # Members first: the matrices of each product lie in one piece of memory; see
            # side_by_side.
            raw = ops.transpose(ops.matmul(ops.transpose(features, (1, 0, 2)), kernel), (1, 0, 2))
            raw = raw if bias is None else raw + bias
        else:
            raw = self._product(ops.reshape(features, (-1, features.shape[-1])), training)
            raw = ops.reshape(raw, (-1, self.members, self.layout.units))
        return ops.cast(raw, "float32") + self.prior

    def _product(self, features: Tensor, training: bool) -> Raw:
        """Return the raw outputs before the prior is added, balanced where this layer balances."""
        kernel, bias = self._weights()
        if self.fork is None or not training:
            raw = ops.matmul(features, kernel)
        else:
            raw = self.fork(features, kernel, *self.carrying.read())
        return raw if bias is None else raw + bias

    def balanced(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the last step's Gramian [tasks, tasks] and weights [tasks], if balanced.

        The Gramian is that of the tasks' gradients. Without balancing the result is None.

        Raises:
            InputError: where the model balances, and not this layer.
        """
        if self.fork is None:
            if self.settings.balance is not None:
                raise InputError(
                    'With gradients="parameters" it is the model that balances: see '
                    "model.gradients."
                )
            return None
        read = self.fork.balance.read(ops.convert_to_numpy(self.carrying.state))
        return read["gramian"], read["weights"]

    def compute_output_spec(self, features: Any, **kwargs: Any) -> Any:
        _check_shape(features.shape, self.members)
        return super().compute_output_spec(features, **kwargs)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
            "use_bias": self.use_bias,
            **self.settings.to_config(),
            "preference": self.preference,
            "members": self.members,
        }


def _rates(layout: Layout, regularizer: Any) -> np.ndarray | None:
    """Return the learning rate factor of each output column, [units]; None where all are 1."""
    rates = np.array([task.learning_rate for task in layout.tasks.values()], "float32")[
        layout.owner
    ]
    if (rates == 1).all():
        return None
    # The regularizer would see the stored kernel, which is divided by the rates.
    if regularizer is not None:
        raise InputError(
            "Heads: a kernel_regularizer and a task with a learning_rate of its own do not go "
            "together."
        )
    return rates


def _check_shape(shape: Any, members: int | None) -> None:
    """Raise an error if features have the wrong rank or number of members."""
    if members is not None and (len(shape) != 3 or shape[1] != members):
        raise InputError(
            f"Heads(members={members}) takes features of shape [n, {members}, features], got "
            f"{list(shape)}: one row of features for each member."
        )
    if members is None and len(shape) != 2:
        raise InputError(
            f"Heads takes features of shape [n, features], got {list(shape)}: "
            "put a pooling or keras.layers.Flatten() before it."
        )
