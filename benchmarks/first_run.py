"""The first run: 10,000 customers from a CSV file to results, one command, wall time and all.

    python benchmarks/first_run.py                    # on the backend of KERAS_BACKEND, or the
    first installed python benchmarks/first_run.py --repeat 3

The table is made here, always the same: 12 numbers, 4 categories, 5 % of the cells missing, a
binary target (churn, about one in five) and a money target that most rows leave near zero. The
command is timed from start to end as a user would see it, Python's start and the backend's import
included.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROWS = 10_000


def customers(path: Path) -> None:
    """Write the table."""
    rng = np.random.default_rng(7)
    numbers = rng.normal(size=(ROWS, 12)) * rng.uniform(1, 100, 12) + rng.uniform(-10, 200, 12)
    standard = (numbers - numbers.mean(0)) / numbers.std(0)
    levels = [
        ("north", "south", "east", "west"),
        ("basic", "plus", "pro"),
        ("card", "bank", "cash"),
        tuple("abcdefgh"),
    ]
    codes = [rng.integers(len(names), size=ROWS) for names in levels]
    effect = sum(
        rng.normal(size=len(names))[code] for names, code in zip(levels, codes, strict=True)
    )
    score = (
        standard[:, :6] @ rng.normal(size=6) * 0.5
        + 0.5 * effect
        + standard[:, 6] * standard[:, 7] * 0.6
    )
    churn = score + rng.logistic(size=ROWS) > np.quantile(score, 0.82)
    money = np.round(
        np.maximum(0, 8 * standard[:, 8] + 5 * score + 4 * churn + rng.normal(size=ROWS) * 6), 2
    )
    features = {f"n{i}": [f"{v:.4g}" for v in numbers[:, i]] for i in range(12)}
    features |= {
        f"c{i}": [names[c] for c in code]
        for i, (names, code) in enumerate(zip(levels, codes, strict=True))
    }
    gone = rng.random((ROWS, len(features))) < 0.05
    with open(path, "w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*features, "churn", "revenue_loss"])
        for i, cells in enumerate(zip(*features.values(), strict=True)):
            row = ["" if gone[i, j] else cell for j, cell in enumerate(cells)]
            out.writerow([*row, "yes" if churn[i] else "no", money[i]])


def run(folder: Path, table: Path, number: int) -> tuple[float, dict]:
    command = [
        sys.executable,
        "-m",
        "polycera_cli",
        "fit",
        str(table),
        "-t",
        "churn",
        "-t",
        "revenue_loss",
    ]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--out", str(folder / f"run{number}"), "--json"],
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ,
    )
    return time.perf_counter() - start, json.loads(done.stdout)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--repeat", type=int, default=3)
    repeat = options.parse_args().repeat
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        table = folder / "customers.csv"
        customers(table)
        times, results = zip(*(run(folder, table, i) for i in range(repeat)), strict=True)
        size = sum(file.stat().st_size for file in (folder / "run0").iterdir())
    test = results[0]["test"]
    print("\n| | |\n|---|---|")
    print(
        f"| wall time, s (median of {repeat}, lowest-highest) | {statistics.median(times):.1f}",
        end="",
    )
    print(f" ({min(times):.1f}-{max(times):.1f}) |")
    print(f"| of that, training, s | {results[0]['seconds']:.1f} |")
    print(f"| churn AUC on held-out rows | {test['churn']['auc']['value']:.4f} |")
    rmse = test["revenue_loss"]["rmse"]
    print(f"| revenue_loss RMSE (trivial {rmse['trivial']:.3f}) | {rmse['value']:.3f} |")
    print(f"| run folder, MB | {size / 1e6:.1f} |")
    same = len({json.dumps(result["test"], sort_keys=True) for result in results}) == 1
    print(f"| the {repeat} runs gave equal numbers | {same} |")


if __name__ == "__main__":
    main()
