"""Every example runs on this backend, and what it shows is so."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
RUN_BELOW = {"energy", "churn", "price", "lstm", "labels200", "joint", "pipeline"}


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.nobackend
def test_no_example_goes_untested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == RUN_BELOW


@pytest.mark.nobackend
def test_energy_a_heavier_weight_moves_the_network_to_that_load() -> None:
    energy = example("energy")
    if not energy.DATA.exists():
        pytest.skip(f"the ENB data are not there: {energy.DATA}")
    found = energy.main()
    heating = found["[1, 4]"]["heating"] / found["[2, 1]"]["heating"]
    cooling = found["[1, 4]"]["cooling"] / found["[2, 1]"]["cooling"]
    assert cooling < 1.0  # its weight rose
    assert heating > 1.1 * cooling
    # a constant is off by 10
    assert all(error < 3.5 for errors in found.values() for error in errors.values())


@pytest.mark.nobackend
def test_energy_without_its_data_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example("energy").main(tmp_path / "nothing.parquet") is None
    assert "no data at" in capsys.readouterr().out


@pytest.mark.nobackend
def test_churn_learns_both_from_what_labels_there_are() -> None:
    found = example("churn").main()
    assert found["measured"]["churn/auc"] > 0.75
    # the noise is 60, a constant is off by 185
    assert found["measured"]["revenue_loss/rmse"] < 100.0
    assert all(0.4 < skill < 1.0 for skill in found["skills"].values())
    assert found["epochs"] < 30  # it stopped early
    # balanced classes: it says yes more often than customers leave
    assert found["said_yes"] > found["left"]


def test_price_its_terms_add_up_to_its_loss(capsys: pytest.CaptureFixture[str]) -> None:
    price = example("price")
    found = price.main()
    for logs in found.values():
        total = sum(weight * logs[f"price/{name}"] for name, weight in price.TERMS.items())
        assert logs["loss"] == pytest.approx(total, rel=1e-6)
        assert all(logs[f"price/{name}"] > 0.0 for name in price.TERMS)
    assert found["reloaded"]["loss"] == pytest.approx(found["measured"]["loss"], rel=1e-6)
    assert found["measured"]["price/r2"] > 0.6
    assert "sum of the three" in capsys.readouterr().out


@pytest.mark.nobackend
def test_lstm_each_head_learns_its_own_task() -> None:
    found = example("lstm").main()
    assert found["measured"]["power/r2"] > 0.9
    assert found["measured"]["state/accuracy"] > 0.75
    assert found["measured"]["failure/auc"] > 0.9
    # in watt, not standardised
    assert np.abs(found["answers"]["power"] - found["truth"]["power"]).max() < 300.0
    assert set(found["answers"]["state"]) <= {"idle", "start", "run", "strain", "stop"}


@pytest.mark.nobackend
def test_labels200_every_label_is_learned_and_named() -> None:
    found = example("labels200").main()
    aucs = np.array(list(found["aucs"].values()))
    assert aucs.shape == (200,)
    assert aucs.mean() > 0.75 and aucs.min() > 0.6
    # benchmarks/ measures this; 200 Keras heads take 20 to 50
    assert found["step_ms"] < 5.0 * found["stock_step_ms"]


@pytest.mark.nobackend
def test_joint_the_checkpoint_is_the_best_epoch_by_both(tmp_path: Path) -> None:
    found = example("joint").main(tmp_path)
    history, best = found["history"], found["best"]["val_joint"]
    assert found["path"] == tmp_path / "best.keras" and found["path"].is_file()
    assert found["reloaded"]["spends/rmse"] == pytest.approx(
        history["val_spends/rmse"][best], rel=1e-4
    )
    streamed = history["val_buys/average_precision"][best]
    # exact against histogram
    assert found["reloaded"]["buys/average_precision"] == pytest.approx(streamed, abs=0.01)
    skills = [history[f"val_{task}_skill"][best] for task in ("buys", "spends")]
    assert history["val_joint"][best] == pytest.approx(np.mean(skills))
    assert len(history["val_joint"]) < 25 and history["val_joint"][best] > 0.3


@pytest.mark.nobackend
def test_pipeline_both_columns_are_learned_in_each_fold() -> None:
    found = example("pipeline").main()
    assert (found["skills"] > 0.6).all() and (found["skills"] < 1.0).all()
    assert list(found["answers"].columns) == ["churn", "revenue"]
    assert set(found["answers"]["churn"]) <= {"yes", "no"}
