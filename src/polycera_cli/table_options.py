"""Turn the options that are about the table into arguments of `pc.fit` and `pc.inspect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from polycera_cli.name_values import columns_by_task, missing_words, orders, pairs

AS_THEY_ARE = (
    *("where", "validation", "test", "split", "groups", "time"),
    *("encoding", "sql", "sheet", "seed"),
)
"""Options that have the name and the form of the argument."""


def table_options(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options on the table of a command as arguments.

    Args:
        given: option -> what was given, as the command's own arguments have it; others are left.

    Raises:
        InputError: for an option that is not of its form, such as NAME=VALUE.
    """
    return {
        "kinds": pairs(given["kind"], "--kind"),
        "tags": pairs(given["tags"], "--tags", first=True),
        "columns": pairs(given["column"], "--column"),
        "exclude": given["exclude"] or (),
        "id": given["id"] or (),
        "sample_weight": columns_by_task(given["sample_weight"], "--sample-weight"),
        "missing": missing_words(given["missing"]),
        "date_format": pairs(given["date_format"], "--date-format"),
        "number_format": pairs(given["number_format"], "--number-format"),
        "order": orders(given["order"]),
        **{name: given[name] for name in AS_THEY_ARE},
    }
