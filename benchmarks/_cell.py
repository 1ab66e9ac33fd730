"""One cell of benchmarks/tables.py in a process of its own: a contender, a set, a division, a seed.

    python _cell.py '{"set": "enb", "column": "linear", "fold": 0, "seed": 0, ...}'

What it found is a line of JSON on the last line of its output; the predictions go into a file.
"""

from __future__ import annotations

import json
import resource
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _contenders import COLUMNS
from _scores import ranking, rrmse
from _sets import Case, case


def cell(asked: dict[str, Any]) -> dict[str, Any]:
    own = case(Path(asked["data"]), asked["set"], asked["fold"], asked["quick"])
    _ = own.x, own.y  # reading is not training
    start = time.perf_counter()
    predict = COLUMNS[asked["column"]](own, asked["seed"], asked["threads"], asked["quick"])
    middle = time.perf_counter()
    said = np.asarray(predict(), "float64")
    end = time.perf_counter()
    truth = own.y[1]
    if said.shape != truth.shape or not np.isfinite(said).all():
        raise SystemExit(
            f"{asked['column']} answered {said.shape}, NaN: {np.isnan(said).any()}; {truth.shape} "
            "is expected."
        )
    np.savez_compressed(
        asked["predictions"], said=said.astype("float32"), truth=truth, centre=centre(own)
    )
    return {
        **{name: asked[name] for name in ("set", "column", "fold", "seed", "quick")},
        "scores": scores(own, said),
        "fit_seconds": middle - start,
        "predict_seconds": end - middle,
        "peak_megabytes": peak(),
        "rows": len(own.train),
        "test_rows": len(own.test),
    }


def centre(own: Case) -> np.ndarray:
    return np.nanmean(own.y[0], 0)


def scores(own: Case, said: np.ndarray) -> dict[str, dict[str, float | None]]:
    """Measure -> target -> value; None where the test rows leave it undefined."""
    truth = own.y[1]
    if own.regression:
        found = {"rrmse": rrmse(truth, said, centre(own))}
    else:
        pairs = np.array(
            [[float(v[0]) for v in ranking(truth[:, j], said[:, j])] for j in range(truth.shape[1])]
        )
        found = {"auc": pairs[:, 0], "ap": pairs[:, 1]}
    return {
        measure: {
            name: float(v) if np.isfinite(v) else None
            for name, v in zip(own.targets, values, strict=True)
        }
        for measure, values in found.items()
    }


def peak() -> float:
    """Megabytes that this process has held at most, its libraries and the table among them."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux counts the parent's memory into ru_maxrss
        return (
            next(
                int(line.split()[1])
                for line in status.read_text().splitlines()
                if line.startswith("VmHWM")
            )
            / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (
        1e6 if sys.platform == "darwin" else 1024
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(cell(json.loads(sys.argv[1]))))
