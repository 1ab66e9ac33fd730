"""Compare two networks layer by layer: CKA of each layer of one with each of the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from polycera.drawing import Picture, heat
from polycera.errors import InputError, UnknownName
from polycera.interpretation.grams import Side, batches, listed, measured
from polycera.interpretation.representations import Viewer
from polycera.typing import Array

REASON = "its outputs are the same for all rows, or too noisy for so few rows"
"""Says why a layer has no CKA, as its entry in `Similarity.reasons`."""


@dataclass(frozen=True)
class Similarity:
    """Hold the CKA of the layers of two networks, or of one network with itself.

    Attributes:
        matrix: [layers of the first, layers of the second]; NaN where not defined.
        layers_a, layers_b: names of the layers.
        rows: number of rows that it was measured on.
        unbiased: whether the unbiased estimate was used.
        reasons: layer -> why it has no number.
    """

    matrix: Array
    layers_a: list[str]
    layers_b: list[str]
    rows: int
    unbiased: bool
    reasons: dict[str, str] = field(default_factory=dict)

    def __getitem__(self, pair: tuple[str, str]) -> float:
        for name, layers in zip(pair, (self.layers_a, self.layers_b), strict=True):
            if name not in layers:
                raise UnknownName("layer", name, layers)
        return float(self.matrix[self.layers_a.index(pair[0]), self.layers_b.index(pair[1])])

    def to_json(self) -> str:
        """Return all of it as JSON; what is not defined is null."""
        named = {"layers_a": self.layers_a, "layers_b": self.layers_b, "matrix": self._values()}
        named |= {"rows": self.rows, "unbiased": self.unbiased, "reasons": self.reasons}
        return msgspec.json.encode(named).decode()

    def picture(self, title: str = "Similarity of the layers (CKA)") -> Picture:
        """Return a heat map; `.write("similarity.svg")` saves it."""
        return heat(
            self._values(),
            self.layers_a,
            self.layers_b,
            title=title,
            low=0.0,
            high=1.0,
            x_label="second network",
            y_label="first network",
        )

    def _repr_html_(self) -> str:
        return self.picture().page()

    def _values(self) -> list[list[float | None]]:
        return [
            [None if math.isnan(value) else value for value in row] for row in self.matrix.tolist()
        ]


def similarity(
    model_a: Any,
    model_b: Any,
    x: Any,
    layers: Sequence[str] | tuple[Sequence[str], Sequence[str]] | None = None,
    *,
    x_b: Any = None,
    unbiased: bool = True,
    batch_size: int = 256,
    seed: int = 0,
) -> Similarity:
    """Return how similar each layer of a network is to each layer of another, on the same rows.

    Args:
        model_a, model_b: functional or sequential models; may be the same one.
        x: rows, as for `fit`.
        layers: names of layers of both; or a pair of lists, of the first and of the second. None
            for all layers that have weights.
        x_b: the same rows as inputs of the second network, where it takes other inputs.
        unbiased: whether to use the unbiased estimate of HSIC, batch by batch (Nguyen et al. 2021,
            arXiv 2010.15327); else plain CKA of all rows at once.
        batch_size: rows of a batch, drawn at random; a remainder is spread over all batches.
        seed: seed of that draw.

    Raises:
        UnknownName: for a layer that does not exist.
        InputError: for fewer than four rows; for more than 4,096 rows at once.

    Examples:
        >>> import keras, numpy as np
        >>> x = keras.Input((4,))
        >>> model = keras.Model(
        ...     x, keras.layers.Dense(1, name="price")(keras.layers.Dense(8, name="trunk")(x))
        ... )
        >>> rows = np.random.default_rng(0).normal(size=(100, 4)).astype("float32")
        >>> round(similarity(model, model, rows)["trunk", "trunk"], 4)
        1.0
    """
    layers_a, layers_b = layers if isinstance(layers, tuple) else (layers, layers)
    sides = (
        Side(Viewer.of(model_a, layers_a), listed(x)),
        Side(Viewer.of(model_b, layers_b), listed(x if x_b is None else x_b)),
    )
    row_counts = {len(values) for side in sides for values in side.x.values()}
    if len(row_counts) != 1:
        raise InputError(
            "The networks must get the same rows, got "
            f"{' and '.join(map(str, sorted(row_counts)))} of them."
        )
    count = row_counts.pop()
    matrix, norms_a, norms_b = measured(
        *sides, batches(count, batch_size, unbiased, seed), unbiased
    )
    names = sides[0].viewer.layers, sides[1].viewer.layers
    reasons = {
        name: REASON for name in (*_undefined(names[0], norms_a), *_undefined(names[1], norms_b))
    }
    return Similarity(matrix, *names, rows=count, unbiased=unbiased, reasons=reasons)


def similarity_of_runs(run_a: Any, run_b: Any, table: Any, **options: Any) -> Similarity:
    """Return how similar the networks of two runs are on the rows of a table.

    To compare two epochs of one run, pass two results of `Run.pick`.

    Args:
        run_a, run_b: opened runs; each encodes the table as its own training did.
        table: path, data frame, or dict of columns; needs no target.
        **options: as for `similarity`.

    Raises:
        InputError: as for `Run.predict` and `similarity`.

    Examples:
        >>> import polycera as pc
        >>> run = pc.load("runs/customers-1")  # doctest: +SKIP
        >>> one, other = run.pick({"churn": 1}), run.pick({"revenue_loss": 1})  # doctest: +SKIP
        >>> similarity_of_runs(one, other, "customers.csv").picture().write(
        ...     "epochs.svg"
        ... )  # doctest: +SKIP
    """
    features = [run.encoder.transform(run.read(table)) for run in (run_a, run_b)]
    return similarity(run_a.model, run_b.model, features[0], x_b=features[1], **options)


def _undefined(layers: list[str], norms: Array) -> list[str]:
    """Return the layers whose HSIC with themselves is not defined."""
    return [name for name, norm in zip(layers, norms, strict=True) if math.isnan(norm)]
