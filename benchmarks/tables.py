"""Compare one network without options with forests, boosting and separate networks.

The sets are ten public multi-output tables.

    python benchmarks/tables.py                                     # all of it: hours on two cores
    python benchmarks/tables.py --ours-only --sets enb,jura         # our column; the others as they
    were found before python benchmarks/tables.py --columns forest,catboost --threads 2
    python benchmarks/tables.py --quick                             # tiny parts of two sets:
    whether everything runs python benchmarks/tables.py --data FOLDER --out OTHER           # other
    tables in the same form

Every cell (set, column, fold, seed) runs in a process of its own and its result is kept in
`cells.jsonl` as soon as it is there: the same command again does what is missing. After each set
`tables.md`, `tables.parquet` (a row for each score) and `tables.svg` are written from all cells
there are; the predictions of test rows stay in `predictions/`.

Training rows are all rows that are not for testing. No hyperparameter depends on the set; what
stops early or chooses a penalty does so on 15 % of the training rows, drawn by the contender. The
columns, each as `_contenders.py` has it: `polycera` (`pc.fit` without options), `linear` (ridge,
logistic), `forest`, `histogram` (scikit-learn's histogram gradient boosting), `lightgbm`,
`catboost`, `separate` (a network for each target), `together` (a plain one for all).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import _sets
from _contenders import COLUMNS, OURS, SEEDED
from _pages import Found, label, write

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SETS = ("enb", "jura", "emotions", "atp1d", "yeast", "sider", "scene", "tox21", "scm20d", "bibtex")
"""The cheap ones first."""
QUICK = ("enb", "tox21")
LIBRARIES = {"forest": "sklearn", "linear": "sklearn", "histogram": "sklearn"}
"""What a column needs, where it has not the library's name."""


def asked(options: argparse.Namespace, name: str) -> Iterator[dict[str, Any]]:
    """The cells of a set."""
    for column in options.columns:
        for fold in range(1 if options.quick else _sets.folds(options.data, name)):
            for seed in range(options.seeds if column in SEEDED else 1):
                yield {
                    "set": name,
                    "column": column,
                    "fold": fold,
                    "seed": seed,
                    "quick": options.quick,
                }


def run(cell: dict[str, Any], options: argparse.Namespace) -> bool:
    """Whether a cell went well; if so its result is kept."""
    start, place = time.perf_counter(), options.out / "predictions" / f"{label(cell)}.npz"
    place.parent.mkdir(parents=True, exist_ok=True)
    more = {"data": str(options.data), "threads": options.threads or -1, "predictions": str(place)}
    command = [sys.executable, str(Path(__file__).with_name("_cell.py")), json.dumps(cell | more)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(options.threads))
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        note(f"{label(cell)}: failed: {reason}")
        return False
    found = json.loads(done.stdout.strip().splitlines()[-1]) | {"threads": options.threads}
    with open(options.out / "cells.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(found) + "\n")
    note(f"{label(cell)}: {time.perf_counter() - start:.0f} s")
    return True


def environment(threads: int | None) -> dict[str, str]:
    """The child's variables, with what keeps every library to so many threads."""
    own = dict(os.environ)
    if threads is None:
        return own
    for name in ("OMP", "OPENBLAS", "MKL", "POLARS_MAX", "TF_NUM_INTRAOP", "TF_NUM_INTEROP"):
        own[f"{name}_THREADS" if name.startswith(("POLARS", "TF")) else f"{name}_NUM_THREADS"] = (
            str(threads)
        )
    if threads == 1:
        own["XLA_FLAGS"] = f"{own.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen=false".strip()
    return own


def kept(out: Path) -> list[dict[str, Any]]:
    """The results there are; a last line that was cut off is none."""
    path, found = out / "cells.jsonl", {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            cell = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[label(cell)] = cell
    return list(found.values())


def available(options: argparse.Namespace) -> list[str]:
    """The sets that are there, with a sentence about each that is not."""
    missing = [name for name in options.sets if not (options.data / name / "meta.json").is_file()]
    if missing:
        note(f"Left out, for the folder {options.data} does not hold them: {', '.join(missing)}.")
    return [name for name in options.sets if name not in missing]


def installed(columns: list[str]) -> list[str]:
    """The columns whose library is there, with a sentence about each that is not."""
    import importlib.util

    there = {name: LIBRARIES.get(name, name) for name in columns if name not in SEEDED}
    absent = [name for name, library in there.items() if importlib.util.find_spec(library) is None]
    if absent:
        note(
            "Left out, for they are not installed (pip install 'polycera[bench]'): "
            f"{', '.join(absent)}."
        )
    return [name for name in columns if name not in absent]


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--sets", type=listed, help=f"default: {','.join(SETS)}; with --data, all that are there"
    )
    parser.add_argument(
        "--columns", type=listed, default=list(COLUMNS), help=f"default: {','.join(COLUMNS)}"
    )
    parser.add_argument("--ours-only", action="store_true", help=f"the same as --columns {OURS}")
    parser.add_argument("--seeds", type=int, default=1, help="how many, of the networks; default 1")
    parser.add_argument(
        "--threads", type=int, help="of each process; default: as many as each library takes"
    )
    parser.add_argument("--again", action="store_true", help="also the cells whose result is there")
    parser.add_argument("--quick", action="store_true", help="200 rows, 3 targets, few steps")
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help="a folder of data.parquet and meta.json for each set",
    )
    parser.add_argument(
        "--out", type=Path, help="default: .cache/tables; with --quick, nothing stays"
    )
    options = parser.parse_args()
    if unknown := [name for name in options.columns if name not in COLUMNS]:
        parser.error(f"no column {', '.join(unknown)}; there are {', '.join(COLUMNS)}")
    options.columns = [OURS] if options.ours_only else options.columns
    if options.sets is None:
        own = sorted(place.parent.name for place in options.data.glob("*/meta.json"))
        options.sets = own if options.data != DATA else list(QUICK if options.quick else SETS)
    return options


def main() -> None:
    options = parsed()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    with tempfile.TemporaryDirectory() as place:
        options.out = options.out or (Path(place) if options.quick else Path(".cache") / "tables")
        options.columns = installed(options.columns)
        failed = [label(cell) for name in available(options) for cell in filled(name, options)]
    if failed:
        sys.exit(f"{len(failed)} cells failed: {', '.join(failed)}.")


def filled(name: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run the cells that a set lacks, and write the pages anew; the cells that failed."""
    options.out.mkdir(parents=True, exist_ok=True)
    there = set() if options.again else {label(cell) for cell in kept(options.out)}
    failed = [
        cell for cell in asked(options, name) if label(cell) not in there and not run(cell, options)
    ]
    cells = [cell for cell in kept(options.out) if cell["quick"] == options.quick]
    if cells:
        print(
            "\n"
            + write(
                Found(cells, options.out / "predictions", list(SETS), list(COLUMNS)), options.out
            ),
            flush=True,
        )
    return failed


if __name__ == "__main__":
    main()
