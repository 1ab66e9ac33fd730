"""Count how often a 95 % interval holds the true metric: 2,000 made-up test sets of each size.

A large sample stands for the truth. Each test set is drawn from the same law; its intervals are
those that `polycera report` shows. Run: `python benchmarks/intervals.py`, about three minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np

import polycera as pc
from polycera.evaluation.bootstrap import drawn_values, intervals
from polycera.evaluation.metric_error import RawRows
from polycera.tasks import Layout

SIZES = (50, 200, 1000)
"""Rows of a test set."""
TRUTH = 400_000
"""Rows of the sample that stands for the truth."""
LAYOUT = Layout.of(
    [
        pc.Regression("amount", metrics=["rmse", "mae", "r2"]),
        pc.Regression("skewed", metrics=["mae"]),
        pc.Binary("churn", metrics=["auc", "accuracy", "f1", "log_loss", "average_precision"]),
        pc.Binary("rare", metrics=["accuracy", "recall"]),
        pc.Multiclass("kind", classes=3, metrics=["accuracy", "log_loss", "macro_f1"]),
        pc.Count("visits", metrics=["deviance", "mae"]),
    ]
)
"""What is measured: a share far from 0 and 1, one near 1, errors with and without a heavy tail."""


def made_up(rows: int, random: np.random.Generator) -> RawRows:
    """Return labels and raw outputs of rows that are drawn from one law."""
    y, raw = np.zeros((rows, LAYOUT.width)), np.zeros((rows, LAYOUT.units))

    def put(name: str, labels: np.ndarray, outputs: np.ndarray) -> None:
        y[:, LAYOUT.target_columns[name]] = labels.reshape(rows, -1)
        raw[:, LAYOUT.raw_columns[name]] = outputs.reshape(rows, -1)

    signal = random.normal(size=rows)
    put("amount", signal + random.normal(size=rows) * 0.7, signal)
    put("skewed", signal + random.exponential(size=rows), signal + 0.7)
    put("churn", random.random(rows) < 1 / (1 + np.exp(-1.2 * signal)), 1.1 * signal)
    put("rare", random.random(rows) < 1 / (1 + np.exp(3 - 2 * signal)), 2 * signal - 3)
    logits = random.normal(size=(rows, 3))
    put("kind", (logits + random.gumbel(size=(rows, 3))).argmax(1), logits)
    put("visits", random.poisson(np.exp(0.5 * signal)), 0.5 * signal)
    return RawRows(LAYOUT, y, raw, np.zeros(LAYOUT.units), np.ones(len(LAYOUT.tasks)))


def covered(sets: int, sizes: Iterable[int]) -> None:
    """Print the share of the intervals that hold the true metric, by size of the test set."""
    truth = {
        key: float(value[0])
        for key, value in drawn_values(
            [made_up(TRUTH, np.random.default_rng(1))], np.ones((1, TRUTH))
        ).items()
    }
    print("| task | metric | true |" + "".join(f" {size} rows |" for size in sizes))
    print("|---|---|---|" + "---|" * len(tuple(sizes)))
    shares: dict[tuple[str, str], list[str]] = {key: [] for key in truth}
    for size in sizes:
        random = np.random.default_rng(size)
        held: dict[tuple[str, str], list[bool]] = {key: [] for key in truth}
        for number in range(sets):
            found = intervals([made_up(size, random)], seed=number)
            for key, interval in found.items():
                if interval.low is not None and interval.high is not None:
                    held[key].append(interval.low <= truth[key] <= interval.high)
        for key, values in held.items():
            shares[key].append(f"{np.mean(values):.1%}" if values else "none")
    for (task, metric), by_size in shares.items():
        print(f"| {task} | {metric} | {truth[task, metric]:.3f} | " + " | ".join(by_size) + " |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=2000, help="test sets of each size")
    covered(parser.parse_args().sets, SIZES)
