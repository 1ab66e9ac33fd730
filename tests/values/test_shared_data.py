"""Test real tables on the command line, with only file and targets (and fewer steps)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import polycera_cli

pytestmark = pytest.mark.nobackend

# What a few hundred steps reach with room to spare; a network that learned nothing is at 0.
SETS: dict[str, tuple[str, int, dict[str, float]]] = {
    "enb": ("enb/data.parquet", 600, {"Y1": 0.6, "Y2": 0.5}),
    "telco": (
        "telco/Telco-Customer-Churn.csv",
        300,
        {"Churn": 0.5, "tenure": 0.3, "TotalCharges": 0.4},
    ),
    "tox21": ("tox21/data.parquet", 150, {}),
}


def targets_of(folder: Path) -> list[str]:
    return list(json.loads((folder / "meta.json").read_text())["targets"])


@pytest.mark.parametrize("name", SETS)
def test_file_and_targets_are_enough(
    name: str,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file, steps, bars = SETS[name]
    targets = targets_of(shared_data / name)
    words = [word for target in targets for word in ("--target", target)]
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main(
            ["fit", str(shared_data / file), *words, "--max-steps", str(steps), "--json"]
        )
    assert not ended.value.code
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    headlines = {task: next(iter(own.values())) for task, own in result["test"].items()}
    assert list(headlines) == targets
    skills = {task: score["skill"] for task, score in headlines.items()}
    assert all(skill is not None for skill in skills.values())
    for task, bar in bars.items():
        assert skills[task] > bar, skills
    mean = sum(skills.values()) / len(skills)
    assert mean > (0.2 if name == "tox21" else 0.4), skills


def test_tox21_has_twelve_tasks_with_gaps(shared_data: Path) -> None:
    """What the test above relies on: 12 binary tasks, a sixth of the labels missing."""
    meta = json.loads((shared_data / "tox21" / "meta.json").read_text())
    assert len(meta["targets"]) == 12
    assert 0.1 < meta["missing_label_share"] < 0.25
