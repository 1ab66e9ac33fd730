"""Read and set the target scaling that a model's heads store, and learn it from labels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from keras import ops

from polycera.model import declared_activations, target_scaling
from polycera.model.objective import HeadConstants
from polycera.model.target_scaling import ScalingSource
from polycera.model.targets import TargetScaling, constant
from polycera.model.variable_access import VariableAccess
from polycera.typing import Array, TaskName


class HeadScaling:
    """Hold the target scaling of a model: each of its heads stores a part of it.

    Args:
        model: whose heads store the scaling.
        access: which thread may read the variables of the heads.

    Attributes:
        source: where the scaling came from, until it is compared with the labels of a first epoch.
    """

    def __init__(self, model: Any, access: VariableAccess) -> None:
        self._model, self._access = model, access
        self.source: ScalingSource | None = None

    @property
    def current(self) -> TargetScaling:
        """Return location, scale and trivial predictors of all heads side by side."""
        with self._access.shared():
            head_values = [
                [ops.convert_to_numpy(v) for v in (head.location, head.scale, head.prior)]
                for head in self._model.heads
            ]
        return TargetScaling(
            *(np.concatenate(parts).astype("float64") for parts in zip(*head_values, strict=True))
        )

    @property
    def fitted(self) -> bool:
        """Return whether the scaling was taken from data."""
        with self._access.shared():
            return all(float(ops.convert_to_numpy(head.fitted)) > 0 for head in self._model.heads)

    def constants(self) -> HeadConstants:
        """Return the current scaling as tensors, for a step."""
        head_values = [
            tuple(map(ops.convert_to_tensor, (head.location, head.scale, head.prior)))
            for head in self._model.heads
        ]
        return HeadConstants(
            *(
                head_values[0]
                if len(head_values) == 1
                else map(ops.concatenate, zip(*head_values, strict=True))
            )
        )

    def set(self, scaling: TargetScaling) -> TargetScaling:
        """Give each head its part of a scaling; return the scaling as stored, in float32."""
        task = column = 0
        for head in self._model.heads:
            tasks, width = len(head.layout.tasks), head.layout.units
            rows = slice(task, task + tasks)
            head.fit_to(
                scaling.location[rows], scaling.scale[rows], scaling.prior[column : column + width]
            )
            task, column = task + tasks, column + width
        return self.current

    def learn(
        self, encoded: Mapping[TaskName, Array], weights: Array | None = None
    ) -> TargetScaling:
        """Take the scaling from encoded labels; warn of labels that cannot be learned.

        Args:
            encoded: labels by name.
            weights: sample weights [n, tasks] or [n, 1], or None.

        Raises:
            InputError: for a task without a single label.
        """
        layout = self._model.layout
        scaling = TargetScaling.of(layout, encoded, weights)
        for message in [
            *constant(layout, encoded),
            *declared_activations.beyond_reach(self._model, encoded),
        ]:
            warnings.warn(message, stacklevel=4)
        return self.set(scaling)

    def learn_from_source(
        self, encoded: Mapping[TaskName, Array], source: ScalingSource, quiet: bool = False
    ) -> None:
        """Take the scaling from labels of a source; later a first epoch is compared with it.

        Args:
            encoded: the labels that were read.
            source: how much of the source they are.
            quiet: whether to give no warning where they are only a part of the source.
        """
        scaling = self.learn(encoded)
        self.source = source
        if not quiet and not source.whole:
            warnings.warn(
                target_scaling.sentence(self._model.layout, scaling, source), stacklevel=5
            )

    def compare(self, sums: Mapping[str, Array]) -> str | None:
        """Compare the labels of a first epoch with the scaling, once.

        Args:
            sums: what the batches of the epoch contained.

        Returns:
            A sentence if the labels do not fit the scaling, else None.
        """
        source, self.source = self.source, None
        if source is None:
            return None
        return target_scaling.differing(self._model.layout, self.current, source, sums)
