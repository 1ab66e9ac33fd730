"""How many folds: `--folds`, and `folds` of the estimators; what a run or an estimator then is."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from sklearn.base import clone

import polycera as pc
import polycera_cli
from polycera.errors import InputError

pytestmark = pytest.mark.nobackend

ROWS = 60
SMALL: dict[str, Any] = dict(width=4, depth=1, max_steps=20, random_state=0)


def call(*arguments: Any) -> int:
    with pytest.raises(SystemExit) as ended:
        polycera_cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 2)).round(3)
    path = tmp_path_factory.mktemp("table") / "t.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["a", "b", "part", "y"])
        parts = np.where(
            np.arange(ROWS) % 4 == 0,
            "validation",
            np.where(np.arange(ROWS) % 5 == 0, "test", "train"),
        )
        out.writerows(
            [*row, part, round(row[0] - row[1], 3)] for row, part in zip(x, parts, strict=True)
        )
    return path


def fitted(table: Path, out: Path, *options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The network in the run's spec, and its metrics."""
    assert (
        call(
            "fit", table, "-t", "y", "--exclude", "part", "--max-steps", 20, "--out", out, *options
        )
        == 0
    )
    spec = yaml.safe_load((out / "spec.yaml").read_text())
    return spec["network"], json.loads((out / "metrics.json").read_text())


def test_so_many_folds_as_asked_for(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Three: two members for each, and every row that is no test trains and validates."""
    network, metrics = fitted(table, tmp_path / "run", "--folds", 3)
    assert (network["folds"], network["members"]) == (3, 6)
    assert metrics["rows"] == {"train": 51, "validation": 51, "test": 9}


def test_one_fold_is_a_validation_part(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network, metrics = fitted(table, tmp_path / "run", "--folds", 1)
    assert network["folds"] == 1
    assert metrics["rows"] == {"train": 42, "validation": 9, "test": 9}


CASES: dict[str, tuple[tuple[Any, ...], list[str]]] = {
    "none at all": (("--folds", 0), ["network.folds", "is 0", ">= 1"]),
    "too many": (("--folds", 1000), ["network.folds", "is 1000", "<= 64"]),
    "no number": (("--folds", "many"), ["--folds", "many", "int"]),
    "parts that are named": (
        ("--folds", 3, "--split", "part"),
        ["3 folds", "split=", "network.folds to 1"],
    ),
    "an order of time": (("--folds", 3, "--time", "b"), ["3 folds", "time=", "network.folds to 1"]),
    "gradients that are balanced": (
        ("--folds", 3, "--balancing", "upgrad"),
        ["3 folds", "balancing"],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_cannot_be_is_one_sentence(
    name: str, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, expected = CASES[name]
    assert (
        call("fit", table, "-t", "y", "--max-steps", 20, "--out", tmp_path / "run", *options) == 2
    )
    said = capsys.readouterr().err
    assert said.startswith("polycera: ") and len(said.strip().splitlines()) == 1
    assert all(part in said for part in expected), said
    assert not list(tmp_path.iterdir())


def test_a_spec_holds_its_folds_itself(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fitted(table, tmp_path / "run", "--folds", 2)
    spec = tmp_path / "run" / "spec.yaml"
    assert call("fit", "--spec", spec, "--folds", 3, "--out", tmp_path / "again") == 2
    said = capsys.readouterr().err
    assert "'network'" in said and "spec" in said
    assert call("fit", "--spec", spec, "--out", tmp_path / "again") == 0
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (
        tmp_path / "run" / "model.safetensors"
    ).read_bytes()


def test_help_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("fit", "--help") == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--folds" in said
    assert "each is out-of-fold for as many ensemble members" in said


@pytest.mark.parametrize(
    "kind", [pc.PolyceraRegressor, pc.PolyceraClassifier, pc.PolyceraEstimator]
)
def test_of_an_estimator(kind: Any) -> None:
    X = np.random.default_rng(0).normal(size=(ROWS, 2))
    y = (X[:, 0] > 0).astype(int) if kind is pc.PolyceraClassifier else X[:, 0] + X[:, 1]
    estimator = kind(folds=3, **SMALL)
    assert clone(estimator).get_params()["folds"] == 3
    network = estimator.fit(X, y).learned_.spec.network
    assert (network.folds, network.members) == (3, 6)
    with pytest.raises(InputError, match=r"network\.folds is 0"):
        kind(folds=0, **SMALL).fit(X, y)
