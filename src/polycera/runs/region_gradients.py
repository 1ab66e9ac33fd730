"""Read the gradient statistics of a run, and check that they fit together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from polycera.errors import Damaged, shorten
from polycera.storage.arrays import StoredArrays


@dataclass(frozen=True)
class RegionGradients:
    """Holds the gradients of tasks in each shared region.

    Attributes:
        tasks: names, m.
        places: names of the shared regions, p.
        source: `balancing` if the training measured them itself, `probe` if a probe did.
        epochs: numbers of the e rows of weights and norms.
        looks: numbers of the k rows of cosines and conflicts.
        weights: of each task's gradient in the region, [e, p, m].
        norms: of the gradients before those weights, [e, p, m].
        cosines: between tasks, [k, p, m, m].
        conflicts: share of the steps with a negative cosine, [k, p, m, m]; None where they were not
            counted.
    """

    tasks: list[str]
    places: list[str]
    source: str
    epochs: list[int]
    looks: list[int]
    weights: np.ndarray
    norms: np.ndarray
    cosines: np.ndarray
    conflicts: np.ndarray | None

    @property
    def shares(self) -> np.ndarray:
        """Return each task's share of the weighted norms, [e, p, m]; NaN without a gradient."""
        weighted = np.abs(np.where(np.isnan(self.weights), 1.0, self.weights)) * self.norms
        total = np.nansum(weighted, axis=-1, keepdims=True)
        return np.divide(weighted, total, out=np.full_like(weighted, np.nan), where=total > 0)


def read(stored: StoredArrays) -> RegionGradients:
    """Return the file's content; an old file without shared regions has the one region `trunk`.

    Raises:
        Damaged: where its arrays do not fit its notes.
    """
    try:
        return _read(
            stored.notes,
            {name: np.asarray(array, "float64") for name, array in stored.arrays.items()},
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Damaged(stored.path, shorten(" ".join(str(error).split()), 160)) from None


def _read(notes: Any, arrays: dict[str, np.ndarray]) -> RegionGradients:
    tasks = _names(notes, "tasks")
    if absent := [name for name in ("weights", "norms", "cosines") if name not in arrays]:
        raise ValueError(f"it has no {', '.join(absent)}")
    if "places" not in notes:
        arrays = {name: array[:, None] if array.ndim else array for name, array in arrays.items()}
        notes = {**notes, "places": ["trunk"]}
        notes["epochs"] = notes["looks"] = list(range(len(arrays["norms"])))
    places = _names(notes, "places")
    epochs, looks = ([int(number) for number in notes[name]] for name in ("epochs", "looks"))
    m, p, e, k = len(tasks), len(places), len(epochs), len(looks)
    expected = {
        "weights": (e, p, m),
        "norms": (e, p, m),
        "cosines": (k, p, m, m),
        "conflicts": (k, p, m, m),
    }
    for name, shape in expected.items():
        if name in arrays and arrays[name].shape != shape:
            actual = list(arrays[name].shape)
            raise ValueError(
                f"its {name} are {actual}, and {list(shape)} follows from its tasks, shared "
                "regions and epochs"
            )
    found = (arrays["weights"], arrays["norms"], arrays["cosines"], arrays.get("conflicts"))
    return RegionGradients(
        tasks, places, str(notes.get("source", "balancing")), epochs, looks, *found
    )


def _names(notes: Any, what: str) -> list[str]:
    names = notes[what] if isinstance(notes, dict) else None
    if (
        not isinstance(names, list | tuple)
        or not names
        or not all(isinstance(name, str) for name in names)
    ):
        raise ValueError(f"its {what} are not a list of names")
    return list(names)
