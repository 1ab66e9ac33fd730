"""A table larger than memory is inspected by one pass: columns and targets are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from polycera import data
from polycera.inspection import inspect

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

TABLE = """
select i as customer_id, case when i % 9 > 0 then sin(i * 7.7) end as size, i % 3 = 0 as flag,
    case when i % 11 > 0 then 'town' || (i * i) % 23 end as town, i % 4 as rating,
    timestamp '2020-01-01 10:11:12.5' + interval (i) hour as moment, 'x' as same,
    case when i % 7 > 0 then i % 5 end as rooms, case when i % 5 > 1 then 'yes' else 'no' end as ok,
    sin(i * 3.3) * 3 + i % 7 as price
from range(9000) r(i)
"""


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("big") / "table.parquet"
    duckdb.sql(f"copy ({TABLE}) to '{file}' (format parquet, row_group_size 2048)")
    return file


@pytest.mark.parametrize("targets", [["ok", "price", "rooms"], None])
def test_columns_and_targets_are_those_of_all_rows(
    path: Path, targets: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"columns": {"rating": "category"}, "exclude": "same"}
    whole = inspect(path, targets, **options).to_dict()
    monkeypatch.setattr(data, "read", None)  # nobody reads the table whole
    found = inspect(path, targets, memory="100 KB", **options).to_dict()
    assert found["columns"] == whole["columns"]
    assert found["left_out"] == whole["left_out"]
    assert found["rows"] == sum(found["parts"].values() or [9000]) == 9000
    for name, target in whole["targets"].items():
        mean, other = (t["mean"] or 0.0 for t in (target, found["targets"][name]))
        assert mean == pytest.approx(other, rel=1e-12)
        same = {"mean": None, "reason": ""}  # numbers are counted in the rows in memory
        assert found["targets"][name] | same == target | same
    assert "does not fit in memory: copies" in found["said"][0]
