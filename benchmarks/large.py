"""Measure `pc.fit` without options on a table of a million rows, 50 columns and ten targets.

The results are seconds, memory and the time of a prediction.

    python benchmarks/large.py                    # five minutes or more on two cores
    python benchmarks/large.py --rows 20000       # the network of a small table: ten members and
    landmarks

The table is made up: five numbers and five labels that are partly linear, partly bent, and partly
    noise.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from _cell import peak

COLUMNS, TARGETS, BENDS, TIMES = 50, 10, 20, 5


def table(rows: int) -> Any:
    """A frame with columns x0 to x49 and y0 to y9, of which the last five are 0 or 1."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, COLUMNS)).astype("float32")
    bent = np.tanh(x @ rng.normal(size=(COLUMNS, BENDS)).astype("float32") / 5)
    y = x @ rng.normal(size=(COLUMNS, TARGETS)) / 7 + bent @ rng.normal(size=(BENDS, TARGETS))
    y += rng.normal(size=y.shape) / 2
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(COLUMNS)])
    for i in range(TARGETS):
        frame[f"y{i}"] = y[:, i] if i < TARGETS // 2 else (y[:, i] > 0).astype(int)
    return frame


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--predict", type=int, default=100_000, help="rows to predict")
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import polycera as pc

    frame, new = table(options.rows), table(options.predict).filter(regex="^x")
    tasks: list[Any] = [
        {f"y{i}": "regression" if i < TARGETS // 2 else "binary"} for i in range(TARGETS)
    ]
    print(
        (
            f"{len(frame)} rows, {COLUMNS} columns, {TARGETS} targets: {peak() / 1e3:.1f} GB with "
            "the table"
        ),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        begun = time.perf_counter()
        run = pc.fit(frame, tasks, out=Path(place) / "run", progress=False)
        seconds = time.perf_counter() - begun
        print(
            f"fit: {seconds:.0f} s, {peak() / 1e3:.1f} GB at most, {run.spec.network}", flush=True
        )
        skills = [next(iter(own.values()))["skill"] for own in run.metrics["test"].values()]
        print(
            f"mean skill on {run.metrics['rows']['test']} test rows: {statistics.mean(skills):.3f}"
        )
        run.predict(new)  # compiles
        times = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            run.predict(new)
            times.append(time.perf_counter() - begun)
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(
            f"predict {len(new)} rows: {statistics.median(times):.2f} s ({spread}; {TIMES} times, "
            "warm)"
        )


if __name__ == "__main__":
    main()
