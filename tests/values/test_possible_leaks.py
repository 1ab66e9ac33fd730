"""A column that alone predicts nearly as well as the network is named after the training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import polycera as pc

pytestmark = pytest.mark.nobackend

SMALL: dict[str, Any] = {
    "training": {"max_steps": 100},
    "network": {"width": 16, "depth": 1, "members": 2, "folds": 1, "landmarks": 0},
}


def customers(told: float, rows: int = 600) -> dict[str, Any]:
    """Return customers with a reason for leaving that tells `told` of the leavers."""
    rng = np.random.default_rng(0)
    calls = rng.normal(size=rows)
    churn = rng.random(rows) < 1 / (1 + np.exp(-1.5 * calls))
    reason = np.where(churn & (rng.random(rows) < told), "price", "none")
    return {"calls": calls, "reason": reason, "churn": np.where(churn, "yes", "no")}


def test_a_leak_is_named_in_words_in_the_run_and_in_the_report(tmp_path: Path) -> None:
    said: list[str] = []
    run = pc.fit(customers(0.93), ["churn"], out=tmp_path / "run", say=said.append, **SMALL)
    (sentence,) = run.quality.warnings
    assert said[-1] == sentence
    assert "Column 'reason' alone predicts 'churn' (skill 0." in sentence
    assert "the whole network 0." in sentence and "exclude=['reason']" in sentence
    assert "reason" not in "".join(run.schema["warnings"])
    page = pc.report(tmp_path / "run", tmp_path / "page.html").read_text(encoding="utf-8")
    assert "alone predicts" in page


def test_a_good_column_beside_others_is_not_named(tmp_path: Path) -> None:
    said: list[str] = []
    run = pc.fit(customers(0.5), ["churn"], out=tmp_path / "run", say=said.append, **SMALL)
    assert run.quality.warnings == [] and not any("alone" in sentence for sentence in said)
    # Files of runs without a finding are as they were before there were any.
    assert b"warnings" not in (tmp_path / "run" / "quality.json").read_bytes()


def test_in_folds_and_in_an_estimator_it_is_a_warning() -> None:
    table = customers(0.93)
    X = np.stack([table["calls"], table["reason"] == "price"], axis=1).astype(float)
    small = {"width": 16, "depth": 1, "folds": 2, "max_steps": 100}
    with pytest.warns(UserWarning, match="leave it out of X: ") as caught:
        pc.PolyceraClassifier(**small).fit(X, table["churn"])
    assert any("alone predicts" in str(warning.message) for warning in caught)
