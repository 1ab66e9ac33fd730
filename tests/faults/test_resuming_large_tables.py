"""Test that a training whose rows are read from disk resumes to the same bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest

import polycera as pc
from polycera.callbacks.checkpoint import Checkpoint
from polycera.tabular.prepare import prepare

OPTIONS: dict[str, Any] = {
    "memory": "100 KB",
    "network": {"width": 8, "members": 2, "bins": 4},
    "training": {"max_steps": 100, "batch_size": 64},
    "checkpoint_every": "7 batches",
    "progress": False,
}
TABLE = """
copy (select sin(i * 7.7) as a, i % 7 as b,
    'town' || (i * i) % 5 as town,
    sin(i * 7.7) * 3 + i % 7 as price,
    case when i % 5 > 1 then 'yes' else 'no' end as churn from range(7000) r(i))
to '{path}' (format parquet, row_group_size 2048)
"""


def assert_scaled_by_all_training_rows(run: pc.Run, path: Path) -> None:
    """Assert that scaling and shares are those of the pass, of which memory holds a part."""
    stream = prepare(str(path), run.tasks, run.spec.data).stream
    assert stream is not None and (stream.found.codes == 0).sum() < stream.rows
    price, churn = stream.found.of_train["price"], stream.found.levels["churn"].trained
    assert run.model.units.location[0] == np.float32(price.mean[0])
    assert run.model.units.scale[0] == np.float32(price.deviation[0])
    share = churn["yes"] / (churn["yes"] + churn["no"])
    assert run.model.units.prior[1] == pytest.approx(np.log(share / (1 - share)), abs=1e-4)


def test_a_cut_training_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "table.parquet"
    duckdb.sql(TABLE.format(path=path))
    whole = pc.fit(str(path), ["price", "churn"], out=tmp_path / "whole", **OPTIONS)
    assert whole.metrics["rows"]["train"] > 2 * 2048  # of several row groups
    assert_scaled_by_all_training_rows(whole, path)

    begin = Checkpoint.on_train_batch_begin

    def cut(self: Checkpoint, batch: int, logs: Any = None) -> None:
        """Fail as a machine does: between two checkpoints, in the middle of an epoch."""
        begin(self, batch, logs)
        if batch == 30:
            raise MemoryError

    with monkeypatch.context() as patched, pytest.raises(MemoryError):
        patched.setattr(Checkpoint, "on_train_batch_begin", cut)
        pc.fit(str(path), ["price", "churn"], out=tmp_path / "cut", **OPTIONS)
    resumed = pc.resume(tmp_path / "cut", progress=False)
    for name in ("model.safetensors", "history.csv", "predictions.csv", "metrics.json"):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes(), name
