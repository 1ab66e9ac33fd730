"""Test predictions that are written a part at a time: those of `predict`, in their order."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pytest

import polycera as pc
from polycera.errors import InputError
from polycera.tabular import predict_stream

pytestmark = pytest.mark.nobackend

TABLE = (
    "select sin(i * 7.7) as a, 'town' || i % 3 as town, i % 5 > 1 as churn from range({rows}) r(i)"
)


def test_parts_together_are_the_predictions_of_the_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small, big = tmp_path / "small.parquet", tmp_path / "big.parquet"
    for path, rows in ((small, 60), (big, 5_000)):
        duckdb.sql(f"copy ({TABLE.format(rows=rows)}) to '{path}' (format parquet)")
    options = {"network": {"width": 4, "members": 1, "folds": 1, "landmarks": 0, "bins": 2}}
    run = pc.fit(str(small), ["churn"], out=tmp_path / "run", training={"max_steps": 4}, **options)
    expected = run.predict(str(big))
    monkeypatch.setattr(predict_stream, "STRETCH", 1_500)
    for name, query in (("a.csv", "a.csv"), ("b.parquet", "b.parquet"), ("c", "c/*.parquet")):
        assert run.predict_to(big, tmp_path / name) == 5_000
        written = duckdb.sql(f"from '{tmp_path / query}'").fetchnumpy()
        assert list(written) == list(expected)
        for column, values in expected.items():
            # Rows beside other rows in a batch may differ in the last bit of float32.
            numbers = values.dtype.kind == "f"
            assert (np.isclose if numbers else np.equal)(written[column], values).all()
    assert len(list((tmp_path / "c").iterdir())) == 4
    with pytest.raises(InputError, match="no Parquet"):
        run.predict_to(tmp_path / "a.csv", tmp_path / "d.csv")
    duckdb.sql(f"copy (select 1 as town) to '{tmp_path / 'less.parquet'}' (format parquet)")
    with pytest.raises(InputError, match="'a' is missing"):
        run.predict_to(tmp_path / "less.parquet", tmp_path / "d.csv")
    assert not (tmp_path / "d.csv").exists()
