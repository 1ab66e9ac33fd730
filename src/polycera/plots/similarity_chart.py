"""Draw how alike the tasks are: in what their layers hold, or in what they need."""

from __future__ import annotations

from collections.abc import Sequence

from polycera.plots import theme
from polycera.plots.matrix_chart import matrix


def similarity(
    names: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str = "Similarity of the tasks",
    value: str = "similarity (0 unlike, 1 the same)",
) -> theme.Chart:
    """Draw the similarity of every two tasks or layers, from 0 to 1.

    Args:
        names: of tasks or layers.
        values: a list for each of them, such as centred kernel alignment; None if not known.
        title: what is shown.
        value: what a number is.

    Raises:
        InputError: where the values are not a square of as many names.

    Examples:
        >>> from polycera import plots
        >>> chart = plots.similarity(["churn", "revenue"], [[1, 0.4], [0.4, 1]])
        >>> chart.to_dict()["title"]
        ['Similarity of the tasks']
    """
    return matrix(names, values, title=title, value=value, diagonal=True)
