"""The options of estimators on what cells of text mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import polycera as pc
from polycera.errors import UnknownName

pytestmark = [pytest.mark.nobackend, pytest.mark.filterwarnings("ignore::UserWarning")]

SHORT: dict[str, Any] = {"width": 8, "depth": 1, "folds": 1, "max_steps": 3, "random_state": 0}


def test_cells_with_two_readings_are_read_as_asked() -> None:
    """Dates, numbers and words for missing are read alike in training and in prediction."""
    days = [f"{day:02}/{month:02}/2024" for month in range(1, 11) for day in range(1, 5)]
    X = pd.DataFrame(
        {"day": days, "price": ["1.234", "2.345", "3.456", "nix"] * 10, "a": range(40)}
    )
    y = pd.DataFrame({"grade": ["low", "best", "fair", "best"] * 10})
    mixed = pc.PolyceraEstimator(
        order={"grade": ["low", "fair", "best"]},
        missing=["nix"],
        date_format={"day": "%d/%m/%Y"},
        number_format={"price": "1.234,5"},
        **SHORT,
    ).fit(X, y)
    assert (mixed.tasks_[0].kind, mixed.tasks_[0].classes) == ("ordinal", ("low", "fair", "best"))
    encoder = mixed.learned_.encoder
    assert encoder.dates.columns == ("day",) and "price" in encoder.numbers.columns
    # One row alone would not say how its day and its price are meant.
    plain = X[2:3].assign(day=np.array(["2024-01-03"], "datetime64[us]"), price=[3456.0])
    assert (mixed.predict_proba(X[2:3])["grade"] == mixed.predict_proba(plain)["grade"]).all()
    with pytest.raises(UnknownName, match="'dya'"):
        pc.PolyceraRegressor(date_format={"dya": "%d/%m/%Y"}, **SHORT).fit(X, np.arange(40))
    rows = X.to_numpy(dtype=object)
    matrix = pc.PolyceraRegressor(
        date_format={"x0": "%d/%m/%Y"}, missing={"x1": ["nix"]}, **SHORT
    ).fit(rows, np.arange(40.0))
    assert matrix.learned_.encoder.dates.columns == ("x0",)
    assert np.isfinite(matrix.predict(rows[:1])).all()
