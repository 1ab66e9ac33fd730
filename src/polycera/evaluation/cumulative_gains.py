"""Compute cumulative gains and lift: what the rows with the highest scores hold."""

from __future__ import annotations

import numpy as np

from polycera.runs.findings import Gains
from polycera.typing import Array

STEPS = 101
"""Shares of the rows from 0 to 1, both included."""
DIGITS = 5
"""Decimals of the shares: 200 tasks have 60,000 of them."""
TOP = 0.1
"""Share of the rows that the sentence is about."""


def gains(
    truth: Array,
    score: Array,
    name: str,
    *,
    order: str = "probability",
    amount: Array | None = None,
    amount_name: str | None = None,
) -> Gains | None:
    """Return what the rows with the highest scores hold, by share of the rows.

    Rows with equal scores are taken evenly. With an amount, that of the positive rows is summed.

    Args:
        truth: 1, 0, or NaN where a label is missing; [n].
        score: what the rows are sorted by, [n].
        name: of the positive class, for the sentence.
        order: name of the score.
        amount: of each row, 0 or more; NaN where it is not known, which counts as 0; [n].
        amount_name: name of the amount.

    Returns:
        the curve; None without a single positive row.

    Examples:
        >>> import numpy as np
        >>> curve = gains(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.2, 0.1]), "yes")
        >>> curve.found[25], curve.found[50], curve.lift[25]
        (0.5, 0.5, 2.0)
    """
    known = np.isfinite(truth) & np.isfinite(score)
    truth, score = truth[known], score[known]
    if not truth.sum():
        return None
    value = None if amount is None else np.nan_to_num(amount[known]) * truth
    _, group = np.unique(-score, return_inverse=True)
    rows = np.r_[0, np.cumsum(np.bincount(group))]
    shares = np.round(np.linspace(0.0, 1.0, STEPS), 4)

    def held(weights: Array) -> Array:
        """Return the share of the weights among the first rows, at each share of the rows."""
        total = np.r_[0.0, np.cumsum(np.bincount(group, weights))]
        return np.round(np.interp(shares * len(truth), rows, total) / total[-1], DIGITS)

    found = held(truth)
    value_found = held(value) if value is not None and value.sum() > 0 else None
    top = round(TOP * (STEPS - 1))
    sorted_by = "highest score" if order == "probability" else f"highest {order}"
    sentence = f"The {TOP:.0%} of the rows with the {sorted_by} hold {found[top]:.0%} of {name}"
    if value_found is not None:
        sentence += f", and {value_found[top]:.0%} of their {amount_name}"
    return Gains(
        order=order,
        share=shares.tolist(),
        found=found.tolist(),
        lift=[None, *np.round(found[1:] / shares[1:], DIGITS).tolist()],
        value=amount_name if value_found is not None else None,
        value_found=[] if value_found is None else value_found.tolist(),
        sentence=f"{sentence}.",
    )
