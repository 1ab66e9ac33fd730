"""Are separate networks better? Joint against separate on real tables, by `pc.compare_separate`.

    python benchmarks/separate.py                                 # enb, jura, emotions; 3 seeds
    python benchmarks/separate.py --tables enb --seeds 10
    python benchmarks/separate.py --quick                         # 100 steps: whether everything
    runs python benchmarks/separate.py --out separate.md               # the tables there, all
    figures in separate.json

The network and the training are those that `pc.fit` takes by itself; nothing is tuned for either
side. Rows are drawn once for each table (seed 0; the published split, where the data have one), and
seeds vary the first weights, the order of the rows and dropout: an interval says what other
trainings on these rows would show, not what other rows would.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras
import msgspec

import polycera as pc
from polycera.experiments.compare_separate import compare_separate
from polycera.runs.results import SeparateComparison

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
TABLES = ("enb", "jura", "emotions")


def compared(
    name: str, seeds: int, processes: int | None, training: dict[str, Any], place: Path
) -> SeparateComparison:
    about = json.loads((DATA / name / "meta.json").read_text(encoding="utf-8"))
    targets, aside = list(about["targets"]), about.get("ignore", ())
    table = DATA / name / "data.parquet"
    split = "__split__" if name in ("yeast", "scene", "emotions") else None
    exclude = [column for column in aside if column != split]
    run = pc.fit(
        table, targets, out=place / name, split=split, exclude=exclude, training=training, say=note
    )
    return compare_separate(run, seeds=seeds, processes=processes, say=note)


def markdown(name: str, found: SeparateComparison) -> str:
    percent = f"{found.confidence:.0%}"
    lines = [
        f"#### {name}: {len(found.tasks)} tasks, {len(found.seeds)} seeds, {found.part} rows",
        "",
        f"| task | metric | joint | separate | joint better by ({percent}) | better |",
        "|---|---|---|---|---|---|",
    ]
    for task, gain in found.tasks.items():
        means = [
            f"{mean(values):.4g} ({low(values):.4g} to {high(values):.4g})"
            for values in (gain.joint, gain.separate)
        ]
        by = f"{number(gain.difference)} ({number(gain.low)} to {number(gain.high)})"
        lines.append(f"| {' | '.join([task, gain.metric, *means, by, gain.better])} |")
    return "\n".join([*lines, "", found.verdict, ""])


def known(values: list[float | None]) -> list[float]:
    return [value for value in values if value is not None] or [float("nan")]


def mean(values: list[float | None]) -> float:
    return sum(known(values)) / len(known(values))


def low(values: list[float | None]) -> float:
    return min(known(values))


def high(values: list[float | None]) -> float:
    return max(known(values))


def number(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.3g}"


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--tables", nargs="+", default=list(TABLES), help="folders of the shared data"
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--steps", type=int, default=None, help="at most; default: as pc.fit")
    parser.add_argument("--processes", type=int, default=None, help="trainings at once")
    parser.add_argument("--quick", action="store_true", help="100 steps, one seed")
    parser.add_argument("--out", type=Path, default=None, help="a .md file")
    options = parser.parse_args()
    seeds, steps = (1, 100) if options.quick else (options.seeds, options.steps)
    training = {} if steps is None else {"max_steps": steps}
    head = (
        f"{keras.backend.backend()}, Keras {keras.__version__}, Python {platform.python_version()}"
    )
    pages, figures = [f"{head}\n"], {}
    with tempfile.TemporaryDirectory() as place:
        for name in options.tables:
            found = compared(name, seeds, options.processes, training, Path(place))
            figures[name] = msgspec.to_builtins(found)
            pages.append(markdown(name, found))
            print(pages[-1], flush=True)
    if options.out is not None:
        options.out.write_text("\n".join(pages), encoding="utf-8")
        options.out.with_suffix(".json").write_text(json.dumps(figures, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
