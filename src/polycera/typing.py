"""Names for the arrays that travel between rooms; each says its shape.

| alias | shape | meaning |
|---|---|---|
| `Raw` | [n, units] | what the network puts out, all tasks side by side: logits, standardised values, log rates |
| `Target` | [n, width] | encoded targets, all tasks side by side; NaN where there is no label |
| `Weights` | [n, tasks] or [n, 1] | sample weights, 0 leaves the row out |
| `Mask` | [n, tasks] | True where a task has a label |
| `TaskName` | | what the user calls a task |
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[np.float64]
Tensor: TypeAlias = Any  # of whichever backend Keras runs on
Raw: TypeAlias = Tensor
Target: TypeAlias = Tensor
Weights: TypeAlias = Tensor
Mask: TypeAlias = Tensor
TaskName: TypeAlias = str
