"""Test what is counted in one pass over a table, and the batches that are read from disk.

Of the table there is a twin in memory: the same rows, read whole.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

from polycera import data
from polycera.data import Encoder, memory
from polycera.data.streaming.level_counts import LevelCounter
from polycera.data.streaming.moments import Moments
from polycera.data.streaming.parquet_rows import ParquetRows
from polycera.data.streaming.row_parts import drawn, drawn_for
from polycera.data.streaming.stream_batches import StreamBatches
from polycera.errors import InputError, UnknownName
from polycera.runs import Data
from polycera.runs.spec import Parts, Training
from polycera.tabular import streamed_table
from polycera.tabular.prepare import PreparedTable, prepare
from polycera.tabular.step_plan import EPOCH_ROWS, StepPlan

pytestmark = pytest.mark.nobackend

ROWS = 9_000
TABLE = f"""
select i as customer_id, sin(i * 7.7) * 1e3 + 1e6 as a, case when i % 9 > 0 then i % 7 end as b,
    case when i % 11 > 0 then 'town' || (i * i) % 23 end as town, i % 3 = 0 as flag,
    timestamp '2020-01-01' + interval (i) hour as moment, 'x' as same, i // 30 as family,
    date '2020-01-01' + (i % 500)::int as day,
    ['valid', 'test', 'train', 'train'][1 + i % 4] as part,
    sin(i * 7.7) * 3 + i % 7 as price, case when i % 5 > 1 then 'yes' else 'no' end as churn
from range({ROWS}) r(i)
"""
MOST = {"part": "ignore", "family": "ignore"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two files, of five row groups together."""
    folder = tmp_path_factory.mktemp("big") / "table"
    folder.mkdir()
    for number, condition in enumerate(("< 5000", ">= 5000")):
        rows = f"(select * from ({TABLE}) where customer_id {condition})"
        file = folder / f"part-{number}.parquet"
        duckdb.sql(f"copy {rows} to '{file}' (format parquet, row_group_size 2048)")
    return folder


@pytest.fixture(scope="module")
def whole() -> data.Table:
    return data.read(duckdb.sql(TABLE).fetchnumpy())


@pytest.fixture(scope="module")
def prepared(path: Path) -> PreparedTable:
    return streamed(path)


def streamed(path: Path, parts: Parts | None = None, **options: Any) -> PreparedTable:
    options = {"columns": MOST, "memory": "100 KB", **options}
    return prepare(str(path), ["price", "churn"], Data(parts=parts or Parts(), **options))


def every_part(prepared: PreparedTable) -> np.ndarray:
    """Return the part of each row of the table: 0, 1, 2."""
    assert prepared.stream is not None
    found = prepared.stream.found
    codes = []
    for stretch in found.stretches:
        place = np.arange(stretch.position, stretch.position + stretch.rows)
        _, further = found.rows.read(stretch, [], found.parts.more)
        codes.append(found.parts.codes(place, further))
    return np.concatenate(codes) % 4


def test_roles_tasks_and_levels_are_those_of_the_table_in_memory(
    prepared: PreparedTable, whole: data.Table
) -> None:
    assert prepared.schema == data.infer(whole, ["price", "churn"], MOST)
    tasks, reasons = data.tasks_for(whole, ["price", "churn"])
    assert prepared.tasks == tasks
    assert prepared.reasons["churn"] == reasons["churn"]


def test_the_encoder_is_the_one_fitted_to_all_training_rows_at_once(
    prepared: PreparedTable, whole: data.Table
) -> None:
    train = np.flatnonzero(every_part(prepared) == 0)
    twin = Encoder.fit(whole.take(train), prepared.schema)
    assert prepared.encoder.feature_names == twin.feature_names
    for block in ("numbers", "dates"):
        for part in ("mean", "deviation"):
            ours, theirs = (getattr(getattr(e, block), part) for e in (prepared.encoder, twin))
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    assert prepared.encoder.booleans.share == pytest.approx(twin.booleans.share, rel=1e-12)
    assert prepared.encoder.categories == twin.categories
    np.testing.assert_array_equal(prepared.encoder.numbers.low, twin.numbers.low)


def test_rows_in_memory_have_their_own_numbers(prepared: PreparedTable, whole: data.Table) -> None:
    rows = prepared.numbered(prepared.parts.test)
    np.testing.assert_array_equal(
        whole["customer_id"][rows], prepared.table["customer_id"][prepared.parts.test]
    )
    assert (every_part(prepared)[rows] == 2).all()


def test_a_changed_cell_has_another_checksum(
    prepared: PreparedTable, path: Path, tmp_path: Path
) -> None:
    changed = (
        f"select * replace (case when customer_id = 8001 then 0 else a end as a) from ({TABLE})"
    )
    duckdb.sql(f"copy ({changed}) to '{tmp_path / 'a.parquet'}' (format parquet)")
    assert streamed(path).digest == prepared.digest != streamed(tmp_path / "a.parquet").digest


def test_groups_stay_whole_and_the_latest_rows_are_the_test(path: Path, whole: data.Table) -> None:
    roles = {"columns": {"part": "ignore"}}
    parts = every_part(streamed(path, Parts(groups="family"), **roles))
    per_family = parts.reshape(-1, 30)
    assert (per_family == per_family[:, :1]).all()
    assert len(np.unique(parts)) == 3
    parts = every_part(streamed(path, Parts(time="moment", test=0.3)))
    assert np.mean(parts != 0) == pytest.approx(0.45, abs=0.02)
    held = [p for p in parts if p != 3]
    assert held == sorted(held)


def test_a_split_column_names_the_parts(path: Path, whole: data.Table) -> None:
    roles = {"columns": {"family": "ignore"}}
    parts = every_part(streamed(path, Parts(column="part"), **roles))
    named = whole["part"]
    assert {n: {int(p) for p in parts[named == n]} - {3} for n in ("train", "valid", "test")} == {
        "train": {0},
        "valid": {1},
        "test": {2},
    }
    with pytest.raises(UnknownName, match="town"):
        streamed(path, Parts(column="town"), **roles)


def test_drawn_numbers_are_even_and_independent_of_the_row_before() -> None:
    rows = 20_000
    sql = f"select {drawn('i', 7, 0)} as u, {drawn('i', 8, 0)} as v from range({rows}) r(i)"
    u, v = (column / 2**31 for column in duckdb.sql(sql).fetchnumpy().values())
    counts = np.histogram(u, 50, (0, 1))[0]
    assert ((counts - rows / 50) ** 2 / (rows / 50)).sum() < 90  # chi squared, 49 degrees
    for other in (np.roll(u, 1), np.roll(u, 2), v):
        assert abs(np.corrcoef(u, other)[0, 1]) < 0.03


def test_numbers_drawn_in_memory_are_those_of_the_query() -> None:
    values = np.arange(20_000) * 104_729
    for turn in (0, 1):
        sql = f"select {drawn('v', 7, turn)} as u from (select unnest($1::bigint[]) as v)"
        expected = duckdb.execute(sql, [values.tolist()]).fetchnumpy()["u"]
        np.testing.assert_array_equal(drawn_for(values, 7, turn), expected)


def test_texts_read_as_codes_are_those_that_were_worked_out(tmp_path: Path) -> None:
    file = tmp_path / "texts.parquet"
    cells = "[' yes', 'yes ', 'no', '-', null, 'N/A', 'maybe', 'C0']"
    query = f"select {cells}[1 + i % 8] as c0, 'x' || i as many from range(5000) r(i)"
    duckdb.sql(f"copy ({query}) to '{file}' (format parquet, row_group_size 2048)")
    plain, coded = (ParquetRows([file], "it") for _ in range(2))
    for rows in (plain, coded):
        rows.understand()
    coded.encode_texts(["c0"])
    for stretch in plain.stretches(1_500):
        expected, given = (rows.read(stretch, ["c0", "many"])[0] for rows in (plain, coded))
        for name in ("c0", "many"):
            np.testing.assert_array_equal(given[name], expected[name])
    codes = coded.codes["c0"]
    assert codes.totals(codes.counts) == {"C0": 625, "maybe": 625, "no": 625, "yes": 1250}
    assert codes.counts[codes.without_text].sum() == 1875


def test_levels_are_counted_over_stretches() -> None:
    counter = LevelCounter()
    values = np.random.default_rng(0).integers(0, 9, 1000) / 2.0
    values[::7] = np.nan
    train = np.arange(1000) % 3 > 0
    for part in np.split(np.arange(1000), [1, 20, 700]):
        counter.add(values[part], train[part])
    counted = counter.counts()
    levels, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    assert counted.counts == dict(zip(levels.tolist(), counts.tolist(), strict=True))
    assert sum(counted.trained.values()) == (train & ~np.isnan(values)).sum()


def test_moments_of_blocks_are_those_of_all_values() -> None:
    values = np.random.default_rng(0).normal(1e9, 1.0, (2, 1000))
    values[0, 5] = np.nan
    moments = Moments(2)
    for block in np.split(values, [3, 400, 401], axis=1):
        moments.add(block)
    np.testing.assert_allclose(moments.mean, np.nanmean(values, axis=1), rtol=1e-15)
    np.testing.assert_allclose(moments.deviation, np.nanstd(values, axis=1), rtol=1e-9)
    assert moments.missing.tolist() == [1, 0]


class Numbers:
    """Gives the numbers 0, 1, 2, ... in stretches of several lengths."""

    digest = "numbers"

    def __init__(self, counts: list[int]) -> None:
        self.counts = np.array(counts)
        self.ends = np.cumsum(counts)

    def read(self, stretches: Any) -> np.ndarray:
        return np.concatenate(
            [np.arange(self.ends[i] - self.counts[i], self.ends[i]) for i in stretches]
        )

    def encode(self, rows: np.ndarray, indices: np.ndarray) -> Any:
        return rows[indices], rows[indices]


def batches(**options: Any) -> StreamBatches:
    made = StreamBatches(Numbers([40, 0, 7, 33, 20, 21]), batch_size=8, seed=3, block=2, **options)
    made.piece_rows = 13
    return made


def rows_of(made: StreamBatches, epoch: int, first: int = 0) -> list[list[int]]:
    made.at(epoch, first)
    return [made[index][0].tolist() for index in range(int(made.num_batches))]


def test_each_pass_has_each_row_once_in_another_order() -> None:
    made = batches()
    passes = [np.concatenate(rows_of(made, epoch)).tolist() for epoch in (0, 1)]
    for rows in passes:
        assert len(set(rows)) == len(rows) == 120  # of 121 rows, in 15 batches of 8
    assert passes[0] != passes[1]


@pytest.mark.parametrize("options", [{}, {"passes": 2}, {"steps": 4}])
def test_an_epoch_may_be_entered_anywhere(options: dict[str, Any]) -> None:
    expected = [rows_of(made, epoch) for made in [batches(**options)] for epoch in range(5)]
    for epoch, first in ((3, 2), (1, 0), (4, 3)):
        assert rows_of(batches(**options), epoch, first) == expected[epoch][first:]


def test_short_epochs_go_on_where_the_last_one_ended() -> None:
    made = batches(steps=4)
    joined = [batch for epoch in range(4) for batch in rows_of(made, epoch)]
    assert joined[:15] == rows_of(batches(), 0)
    assert joined[15:] == rows_of(batches(), 1)[:1]


def test_what_cannot_be_read_is_said(path: Path, tmp_path: Path) -> None:
    for options, sentence in (
        ({"memory": "much"}, "a size is expected"),
        ({"columns": MOST | {"tows": "category"}}, "town"),
        ({"columns": MOST | {"town": "number"}}, "'town' is expected to hold a number"),
        ({"parts": Parts(validation=0.5, test=0.6)}, "no row to train on"),
        ({"parts": Parts(groups="family", time="moment"), "columns": {}}, "give one"),
    ):
        with pytest.raises((InputError, UnknownName), match=sentence):
            streamed(path, **options)
    nested = tmp_path / "nested.parquet"
    query = f"select *, [i, 2] as pair from ({TABLE}), lateral (select customer_id as i)"
    duckdb.sql(f"copy ({query}) to '{nested}' (format parquet)")
    with pytest.raises(InputError, match="'pair' holds BIGINT"):
        streamed(nested)
    assert "pair" not in streamed(nested, columns=MOST | {"pair": "ignore"}).encoder.columns


def test_it_is_said_where_not_all_rows_are_seen() -> None:
    plan = StepPlan.of(100_000_000, Training(), EPOCH_ROWS)
    (sentence,) = streamed_table.seen(100_000_000, plan)
    assert "sees at most 9,999,360 of the 100,000,000 training rows" in sentence
    needed = int(sentence.split("max_steps=")[1].split()[0])
    enough = StepPlan.of(100_000_000, Training(max_steps=needed), EPOCH_ROWS)
    assert streamed_table.seen(100_000_000, enough) == []
    assert enough.epochs * (enough.steps or 0) * 512 < 101_000_000


def test_only_tables_above_the_limit_are_read_from_disk(path: Path) -> None:
    rows = ParquetRows(sorted(path.iterdir()), "it")
    size = rows.rows * rows.bytes_per_row
    assert memory.stream_of(str(path), f"{size} B") is None
    assert memory.stream_of(str(path), f"{size - 1} B") is not None
    assert memory.stream_of(str(path / "*.parquet"), "1 KB") is not None
    assert memory.stream_of({"a": [1]}, "1 KB") is None
