"""Measure what each part of the default network and recipe is worth by removing one at a time.

The sets are those of tables.py.

    python benchmarks/ablation.py --out runs/ablation                 # sets of minutes: hours on
    two cores with all ten python benchmarks/ablation.py --sets enb,jura,emotions --seeds 3
    python benchmarks/ablation.py --quick                             # 50 steps: whether everything
    runs

Each row of the table is `pc.fit` with one part of the spec set by hand and all else by itself.
Cells that are in ablation.json already are not trained again. The constants of the recipe were
chosen with an eye on these sets.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _contenders import answer
from _scores import macro, ranks, rrmse
from _sets import Case, case, folds

import polycera as pc

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("enb", "jura", "emotions", "atp1d", "sider", "yeast", "scene")
PARTS: dict[str, dict[str, Any]] = {
    "all parts": {},
    "no folds (15 % held out from all members)": {"network": {"folds": 1}},
    "no landmarks": {"network": {"landmarks": 0}},
    "no bins": {"network": {"bins": 0}},
    "one member": {"network": {"members": 1, "folds": 1}},
    "no dropout": {"network": {"dropout": 0.0}},
    "a third of the learning rate": {"training": {"learning_rate": 1e-3}},
    "none of these": {
        "network": {"members": 1, "folds": 1, "landmarks": 0, "bins": 0, "dropout": 0.0}
    },
}


def scores(found: Case, options: dict[str, Any], seed: int) -> list[float]:
    """aRRMSE, or macro AUC and average precision."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = pc.fit(
            found.train,
            found.kinds,
            test=0,
            seed=seed,
            out=Path(place) / "run",
            progress=False,
            **options,
        )
        said = run.predict(found.test.drop(found.targets))
    told = np.column_stack([said[answer(name, found.kinds[name], said)] for name in found.targets])
    truth = found.y[1]
    if found.regression:
        return [float(np.mean(rrmse(truth, told, found.y[0].mean(axis=0))))]
    return [float(value) for value in macro(truth, told)[:, 0]]


def page(cells: dict[str, list[float]], sets: list[str]) -> str:
    """The table: a row for each part that is taken out, and its mean rank."""
    means = np.full((len(PARTS), len(sets), 2), np.nan)
    for i, part in enumerate(PARTS):
        for j, name in enumerate(sets):
            own = [value for key, value in cells.items() if key.startswith(f"{name}|{part}|")]
            if own:
                means[i, j, : len(own[0])] = np.mean(own, axis=0)
    lower = np.isnan(means[0, :, 1])
    places = np.stack(
        [
            ranks(np.where(lower[:, None], means[:, :, 0].T, -means[:, :, 0].T)).T,
            ranks(np.where(lower[:, None], np.nan, -means[:, :, 1].T)).T,
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rank = np.nanmean(np.nanmean(places, axis=0), axis=1)
    lines = [f"| part | {' | '.join(sets)} | mean rank |", "|---" * (len(sets) + 2) + "|"]
    for i, part in enumerate(PARTS):
        shown = [" / ".join(f"{value:.3f}" for value in own if value == value) for own in means[i]]
        lines.append(f"| {part} | {' | '.join(shown)} | {rank[i]:.2f} |")
    return "\n".join([*lines, "", "Lower aRRMSE is better; of AUC / mAP, higher.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--folds", type=int, default=10, help="of each set at most, the first ones")
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--quick", action="store_true")
    asked = parser.parse_args()
    if not DATA.is_dir():
        raise SystemExit(
            f"The public sets are expected in {DATA}; they are not part of the project."
        )
    asked.out.mkdir(parents=True, exist_ok=True)
    kept, sets = asked.out / "ablation.json", asked.sets.split(",")
    cells: dict[str, list[float]] = json.loads(kept.read_text()) if kept.is_file() else {}
    for name in sets:
        for fold in range(1 if asked.quick else min(folds(DATA, name), asked.folds)):
            found = case(DATA, name, fold, asked.quick)
            for part, options in PARTS.items():
                for seed in range(asked.seeds):
                    key = f"{name}|{part}|{fold}|{seed}"
                    if key in cells:
                        continue
                    begun = time.perf_counter()
                    given = {
                        **options,
                        "training": {**options.get("training", {}), "max_steps": 50},
                    }
                    cells[key] = scores(found, given if asked.quick else options, seed)
                    kept.write_text(json.dumps(cells, indent=1))
                    print(
                        key,
                        [round(value, 4) for value in cells[key]],
                        f"{time.perf_counter() - begun:.0f} s",
                    )
        (asked.out / "ablation.md").write_text(page(cells, sets))
    print(page(cells, sets))


if __name__ == "__main__":
    main()
