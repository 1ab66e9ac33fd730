"""Make a small table of customers, for the demo where no real table is installed."""

from __future__ import annotations

import math
import random
from typing import Any

ROWS = 600
TARGETS = ("churn", "revenue_loss")


def customers() -> dict[str, list[Any]]:
    """Return made-up customers as named columns: six columns that describe them, two to predict.

    Whether a customer leaves depends on tenure, plan, calls for support and chance. The revenue
    lost is about what a leaving customer spent in a year, and blank for those who stay. The rows
    are the same each time.
    """
    draw = random.Random(0)
    names = ("age", "region", "plan", "tenure_months", "support_calls", "monthly_spend", *TARGETS)
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for _ in range(ROWS):
        plan = draw.choice(["basic", "plus", "pro"])
        tenure = draw.randint(1, 72)
        calls = min(9, int(draw.expovariate(0.6)))
        spend = round({"basic": 15, "plus": 30, "pro": 60}[plan] * draw.uniform(0.8, 1.3), 2)
        leaning = 0.8 * calls - 0.05 * tenure - {"basic": 0.0, "plus": 0.4, "pro": 1.0}[plan]
        leaves = draw.random() < 1 / (1 + math.exp(-leaning))
        values = {
            "age": draw.randint(18, 80),
            "region": draw.choice(["north", "east", "south", "west"]),
            "plan": plan,
            "tenure_months": tenure,
            "support_calls": calls,
            "monthly_spend": spend,
            "churn": "yes" if leaves else "no",
            "revenue_loss": round(12 * spend * draw.uniform(0.9, 1.1), 2) if leaves else None,
        }
        for name in names:
            columns[name].append(values[name])
    return columns
