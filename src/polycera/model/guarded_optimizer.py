"""Wrap an optimizer, so that a step with a gradient that is NaN or infinite changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from polycera.layers import backend, keras_graph
from polycera.model.variables import owned_by


@keras.saving.register_keras_serializable(package="polycera")
class GuardedOptimizer(keras.optimizers.Optimizer):
    """Apply the gradients of a step with another optimizer, if all of them are finite.

    It has the shape of Keras's `LossScaleOptimizer`: learning rate, count of updates, moving
    averages and saved state are those of the optimizer inside.

    Args:
        inner_optimizer: applies the gradients.
        stops: whether all steps after one that was refused are refused too.

    Attributes:
        counts: variable with the number of steps since `reset` that were applied, and of those that
            were refused, [2].
    """

    def __init__(self, inner_optimizer: Any, stops: bool = True, name: str | None = None) -> None:
        super().__init__(learning_rate=0.0, name=name)
        self.inner_optimizer, self.stops = inner_optimizer, stops
        # Of the variables of a step, only those of the optimizer outlive it on each backend.
        self.counts = self.add_variable(
            (2,), dtype="int", aggregation="only_first_replica", name="counts"
        )

    def build(self, variables: Any) -> None:
        if not self.inner_optimizer.built:
            self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Return the counts, then the variables of the optimizer inside."""
        return [*super().variables, *self.inner_optimizer.variables]

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """Apply gradients, or change nothing but the counts."""
        if not self.built:
            self.build(trainable_variables)
        grads = list(grads)
        variables = list(trainable_variables or keras_graph.trained_by(self))
        checked = [
            gradient
            for gradient, variable in zip(grads, variables, strict=True)
            if gradient is not None and not getattr(variable, "overwrite_with_gradient", False)
        ]
        applies = backend.all_finite(checked)
        counts = ops.convert_to_tensor(self.counts)
        if self.stops:
            applies = ops.logical_and(applies, ops.equal(counts[1], 0))
        backend.only_if(
            applies,
            lambda: self.inner_optimizer.apply(grads, trainable_variables),
            [*variables, *self.inner_optimizer.variables],
        )
        one = ops.cast(applies, counts.dtype)
        self.counts.assign(counts + ops.stack([one, 1 - one]))

    def reset(self) -> None:
        """Count from 0 again: a new training begins, or one goes on from a checkpoint."""
        self.counts.assign(np.zeros(2, "int32"))

    def steps(self) -> tuple[int, int]:
        """Return how many steps were applied and how many refused, on the host."""
        applied, refused = ops.convert_to_numpy(self.counts).tolist()
        return applied, refused

    # -- of the optimizer inside -------------------------------------------------------------------

    @property
    def learning_rate(self) -> Any:
        """Return the learning rate of the optimizer inside; setting it sets that."""
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        self.inner_optimizer.learning_rate = learning_rate

    @property
    def iterations(self) -> Any:
        """Return how often the optimizer inside has updated the weights."""
        return self.inner_optimizer.iterations

    def scale_loss(self, loss: Any) -> Any:
        return self.inner_optimizer.scale_loss(loss)

    def finalize_variable_values(self, var_list: Any) -> None:
        self.inner_optimizer.finalize_variable_values(var_list)

    # -- saving ------------------------------------------------------------------------------------

    def save_own_variables(self, store: Any) -> None:
        """Save the state of the optimizer inside, as if it were not wrapped."""
        self.inner_optimizer.save_own_variables(store)

    def load_own_variables(self, store: Any) -> None:
        """Load the state of the optimizer inside."""
        self.inner_optimizer.load_own_variables(store)

    def __dir__(self) -> list[str]:
        # Keras saves every part that it finds here, and would save the inner state a second time.
        return [name for name in super().__dir__() if name != "inner_optimizer"]

    def get_config(self) -> dict[str, Any]:
        inner = keras.saving.serialize_keras_object(self.inner_optimizer)
        return {"name": self.name, "inner_optimizer": inner, "stops": self.stops}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Self:
        inner = keras.saving.deserialize_keras_object(
            config["inner_optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "inner_optimizer": inner})


def unguarded(optimizer: Any) -> Any:
    """Return the optimizer that the user gave: the one inside, if it is wrapped."""
    return optimizer.inner_optimizer if isinstance(optimizer, GuardedOptimizer) else optimizer


class GuardedSteps:
    """Give a model a `GuardedOptimizer` while a `fit` asks for it, and take it off after that.

    Each of the two optimizers has a compiled step of its own, which the next `fit` uses again.

    Args:
        model: whose optimizer is wrapped.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._optimizer: GuardedOptimizer | None = None
        # The compiled step that the model does not use at present.
        self._other_step: Any = None

    @property
    def active(self) -> bool:
        """Return whether the steps check their gradients now."""
        return isinstance(self._model.optimizer, GuardedOptimizer)

    @contextmanager
    def during_fit(self, policy: str | None) -> Iterator[None]:
        """Let each step check its gradients.

        With float16 nothing is wrapped: a `LossScaleOptimizer` skips such steps by itself, and they
        are no fault, for it tries how large a scale may be.

        Args:
            policy: "stop" or "skip" if a gradient is not finite; None for no check.
        """
        plain = self._model.optimizer
        if policy is None or isinstance(plain, keras.optimizers.LossScaleOptimizer):
            yield
            return
        stops, guarded = policy == "stop", self._optimizer
        if guarded is None or guarded.inner_optimizer is not plain or guarded.stops != stops:
            with owned_by(self._model):
                guarded = self._optimizer = GuardedOptimizer(plain, stops)
            self._other_step = None
        guarded.reset()
        self._switch(guarded)
        try:
            yield
        finally:
            self._switch(plain)

    def _switch(self, optimizer: Any) -> None:
        """Let the model use an optimizer, with the step that was compiled for it."""
        self._model.optimizer = optimizer
        step, self._other_step = self._other_step, self._model.train_function
        self._model.train_function = step

    def forget(self) -> None:
        """Forget the compiled step that the model does not use at present."""
        self._other_step = None
