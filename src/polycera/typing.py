"""Name the arrays that the packages exchange; each name says its shape.

| alias | shape | meaning |
|---|---|---|
| `Raw` | [n, units] | raw outputs, tasks side by side: logits, scaled values, log rates |
| `Target` | [n, width] | encoded targets, all tasks side by side; NaN where there is no label |
| `Weights` | [n, tasks] or [n, 1] | sample weights, 0 leaves the row out |
| `Mask` | [n, tasks] | True where a task has a label |
| `TaskName` | | name that the user gives a task |
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
"""Stands for an array of NumPy."""
Tensor: TypeAlias = Any  # of whichever backend Keras runs on
"""Stands for a tensor of whichever backend Keras runs on."""
Raw: TypeAlias = Tensor
Target: TypeAlias = Tensor
Weights: TypeAlias = Tensor
Mask: TypeAlias = Tensor
TaskName: TypeAlias = str
