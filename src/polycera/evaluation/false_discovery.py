"""Hold the false discovery rate over many tests.

Benjamini and Hochberg, "Controlling the false discovery rate: a practical and powerful approach to
multiple testing", 1995.
"""

from __future__ import annotations

import numpy as np

from polycera.typing import Array


def adjusted(p: Array) -> Array:
    """Return for each test the least false discovery rate at which it is a discovery.

    Where all tests with a result of at most 0.05 are called discoveries, the expected share of
    false ones among them is at most 0.05, for tests that are independent or positively dependent.

    Args:
        p: p-values, [n]; NaN where there was no test.

    Returns:
        [n], NaN where there was no test.

    Examples:
        >>> import numpy as np
        >>> adjusted(np.array([0.01, 0.04, np.nan, 0.02]))
        array([0.03, 0.04,  nan, 0.03])
    """
    p = np.asarray(p, "float64")
    result = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    # A test is a discovery wherever one with a larger p-value is: the minimum from the right.
    result[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return result
