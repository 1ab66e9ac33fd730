"""Measure `pc.fit` without options on a table of a million rows, 50 columns and ten targets.

The results are seconds, memory and the time of a prediction.

    python benchmarks/large.py                    # five minutes or more on two cores
    python benchmarks/large.py --rows 20000       # the network of a small table: ten members and
    landmarks
    python benchmarks/large.py --disk 126e6       # 10 GB of Parquet, read from disk: memory of the
    process, rows a second beside the same training in memory, bits after kill -9, predicting
    python benchmarks/large.py --csv 1            # 1 GB of CSV to features, beside polars, pandas

The table is made up: five numbers and five labels that are partly linear, partly bent, and partly
    noise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from _cell import peak

COLUMNS, TARGETS, BENDS, TIMES = 50, 10, 20, 5


def table(rows: int) -> Any:
    """A frame with columns x0 to x49 and y0 to y9, of which the last five are 0 or 1."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, COLUMNS)).astype("float32")
    bent = np.tanh(x @ rng.normal(size=(COLUMNS, BENDS)).astype("float32") / 5)
    y = x @ rng.normal(size=(COLUMNS, TARGETS)) / 7 + bent @ rng.normal(size=(BENDS, TARGETS))
    y += rng.normal(size=y.shape) / 2
    frame = pd.DataFrame(x, columns=[f"x{i}" for i in range(COLUMNS)])
    for i in range(TARGETS):
        frame[f"y{i}"] = y[:, i] if i < TARGETS // 2 else (y[:, i] > 0).astype(int)
    return frame


DISK = """
copy (select i + {first} as id, a, b, c, d, e, f, g, h, u, 'town' || (u * 50)::int as town,
    a * 3 + sin(b * 4) + c * d + u as price,
    case when a + b + e > 1.5 then 'yes' else 'no' end as churn
from (select i, random() as a, random() as b, random() as c, random() as d, random() as e,
    random() as f, random() as g, random() as h, random() as u from range({rows}) r(i)))
to '{path}' (format {form})
"""
"""A table of an id, nine numbers and a category, with a number and a class to predict."""
PART = 3_000_000
"""Rows of a file of the table."""
SMALL = 800_000
"""Rows of the table that is trained on from disk and from memory."""
TASKS = ["price", "churn"]
WINDOW = 100
"""Steps over which a rate is measured."""
TURNS = 3
"""How often the trainings from disk and from memory are measured, in turn."""


def make(path: Path, rows: int, form: str = "parquet", first: int = 0) -> None:
    """Write rows of the table of the trainings from disk."""
    import duckdb

    with duckdb.connect() as connection:
        connection.execute("set memory_limit = '1GB'; set enable_progress_bar = false")
        connection.execute(f"select setseed({first / 1e9})")
        connection.execute(DISK.format(rows=rows, path=path, form=form, first=first))


def make_folder(folder: Path, rows: int) -> None:
    """Write the table as a folder of files."""
    begun = time.perf_counter()
    folder.mkdir()
    for part, first in enumerate(range(0, rows, PART)):
        make(folder / f"part-{part:02}.parquet", min(PART, rows - first), first=first)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1e9
    seconds = time.perf_counter() - begun
    print(f"{rows:,} rows of 13 columns, {size:.2f} GB of Parquet, made in {seconds:.0f} s")


def train(path: Path, memory: str, steps: int) -> None:
    """Train in this process, or resume what is there; print seconds, memory and rows a second."""
    import numpy as np

    import polycera as pc
    from polycera.callbacks.checkpoint import Checkpoint

    before, times = Checkpoint.on_train_batch_begin, []

    def timed(self: Checkpoint, batch: int, logs: Any = None) -> None:
        times.append((batch, time.perf_counter(), time.process_time()))
        before(self, batch, logs)

    Checkpoint.on_train_batch_begin = timed  # type: ignore[method-assign]
    begun = time.perf_counter()
    run = pc.fit(
        str(path),
        TASKS,
        id="id",
        out=out_of(path, memory),
        memory=memory,
        network={"members": 4, "folds": 1, "landmarks": 0},
        training={"max_steps": steps, "batch_size": 512, "patience_steps": steps},
        checkpoint_every="200 batches",
        resume=True,
        progress=False,
    )
    seconds = time.perf_counter() - begun
    # Windows of steps that follow each other: no compiling, no validation, no other epoch.
    windows = [
        (times[i], times[i + WINDOW])
        for i in range(WINDOW, len(times) - WINDOW, WINDOW)
        if times[i + WINDOW][0] == times[i][0] + WINDOW
    ]
    rates = [512 * WINDOW / (end[1] - start[1]) for start, end in windows] or [0.0]
    low, middle, high = np.quantile(rates, [0.25, 0.5, 0.75])
    # Means, because stretches are read in bursts, of which a median would see nothing. Processor
    # time is that of all threads, the one that reads ahead included.
    measured = max(512 * WINDOW * len(windows), 1)
    mean = measured / max(sum(end[1] - start[1] for start, end in windows), 1e-9)
    cost = sum(end[2] - start[2] for start, end in windows) / measured
    print(
        f"{seconds:.0f} s, until the first step {times[0][1] - begun:.0f} s; {mean:,.0f} rows/s "
        f"(median {middle:,.0f}, quartiles {low:,.0f} and {high:,.0f}, {len(rates)} windows of "
        f"{WINDOW} steps), {cost * 1e6:.1f} us of processor time a row; memory of the process "
        f"{peak() / 1e3:.2f} GB; {run.metrics['rows']}, {len(times):,} steps in "
        f"{run.metrics['epochs']} epochs",
        flush=True,
    )


def predict(run: Path, path: Path) -> None:
    """Predict all rows into a folder, check order and ids, print seconds and memory."""
    import duckdb

    import polycera as pc

    out = run.parent / "answers"
    begun = time.perf_counter()
    rows = pc.load(run).predict_to(path, out)
    seconds, memory = time.perf_counter() - begun, peak() / 1e3
    first, wrong = 0, 0
    for file in sorted(out.iterdir()):
        query = (
            f"select count(*), count_if(id != {first} + file_row_number) "
            f"from read_parquet('{file}', file_row_number = true)"
        )
        count, others = duckdb.connect().execute(query).fetchone() or (0, 1)
        first, wrong = first + count, wrong + others
    print(
        f"predict {rows:,} rows: {seconds:.0f} s, {rows / seconds:,.0f} rows/s; memory of the "
        f"process {memory:.2f} GB; ids of {first:,} rows, "
        f"{'in order' if not wrong and first == rows else 'IN ANOTHER ORDER'}",
        flush=True,
    )
    shutil.rmtree(out)


def out_of(path: Path, memory: str) -> Path:
    """Return the run folder of a training."""
    return path.parent / f"run-{path.stem}-{memory.replace(' ', '')}"


def child(inner: list[str], steps: int, killed_after: float | None = None) -> None:
    """Run `train` or `predict` in a process of its own.

    Where asked, it is killed so many seconds after there is a checkpoint.
    """
    command = [sys.executable, __file__, "--steps", str(steps), "--inner", *inner]
    process = subprocess.Popen(command)
    if killed_after is not None:
        checkpoints = out_of(Path(inner[1]), inner[2]) / "checkpoints"
        while not list(checkpoints.glob("*.safetensors")) and process.poll() is None:
            time.sleep(0.5)
        time.sleep(killed_after)
        process.kill()
        left = sorted(file.name for file in checkpoints.glob("*.safetensors"))
        print(f"killed with {', '.join(left) if left else 'no checkpoint'}", flush=True)
    process.wait()


def from_disk(place: Path, rows: int, steps: int) -> None:
    """Measure memory, rows a second and bits of trainings from disk, and predicting."""
    big, small = place / "big", place / "small.parquet"
    make_folder(big, rows)
    memory = "1 GB" if rows * 160 > 1e9 else "100 MB"
    print("from disk:  ", end="", flush=True)
    child(["train", str(big), memory], steps)
    make(small, SMALL)
    for _ in range(TURNS):
        for name, limit in (("memory", "8 GB"), ("disk", "100 MB")):
            print(f"{SMALL:,} rows, from {name}:  ", end="", flush=True)
            child(["train", str(small), limit], steps // 2)
            shutil.rmtree(out_of(small, limit))
    after_kill(small, "100 MB", steps // 2, (5, 40))
    for path in (big / "part-00.parquet", big):
        child(["predict", str(out_of(big, memory)), str(path)], steps)


def after_kill(path: Path, memory: str, steps: int, seconds: tuple[float, ...]) -> None:
    """Compare the files of a training with those of one that is killed several times."""
    print("whole:  ", end="", flush=True)
    child(["train", str(path), memory], steps)
    whole = out_of(path, memory).rename(path.parent / "whole")
    for limit in (*seconds, None):
        child(["train", str(path), memory], steps, limit)
    killed = out_of(path, memory)
    files = ("model.safetensors", "history.csv", "predictions.csv", "metrics.json")
    same = all((whole / name).read_bytes() == (killed / name).read_bytes() for name in files)
    print(f"after kill -9: {'the same bits' if same else 'OTHER BITS'}", flush=True)


def from_csv(place: Path, gigabytes: float) -> None:
    """Compare the time from a CSV file to features with that to a frame of polars and pandas."""
    path = place / "table.csv"
    make(path, int(gigabytes * 4.9e6), "csv")
    print(f"CSV of {path.stat().st_size / 1e9:.2f} GB", flush=True)
    ways = {
        "polycera, to features": "from polycera.tabular.prepare import prepare\n"
        "from polycera.runs import Data\n"
        f"p = prepare({str(path)!r}, {TASKS}, Data()); p.encoded_rows(p.parts.train)",
        "polars, to a frame": f"import polars; polars.read_csv({str(path)!r})",
        "pandas, to a frame": f"import pandas; pandas.read_csv({str(path)!r})",
    }
    for name, code in ways.items():
        begun = time.perf_counter()
        measured = (
            f"{code}\nimport resource, time\n"
            "print(f'{resource.getrusage(0).ru_maxrss / 1e6:.1f} {time.process_time():.0f}')"
        )
        done = subprocess.run([sys.executable, "-c", measured], capture_output=True, text=True)
        seconds, answer = time.perf_counter() - begun, done.stdout.split()
        memory, processor = answer[-2:] if len(answer) > 1 else ("?", "?")
        print(f"{name}: {seconds:.0f} s ({processor} s of processor time), {memory} GB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--predict", type=int, default=100_000, help="rows to predict")
    parser.add_argument("--disk", type=float, help="rows of a Parquet table that is read from disk")
    parser.add_argument("--csv", type=float, help="GB of a CSV file that is read")
    parser.add_argument("--steps", type=int, default=4_000, help="steps of the training from disk")
    parser.add_argument("--folder", type=Path, help="where files are made; they are removed again")
    parser.add_argument("--inner", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ.setdefault("KERAS_BACKEND", "jax")
    if options.inner is not None:
        what, path, more = options.inner
        if what == "train":
            return train(Path(path), more, options.steps)
        return predict(Path(path), Path(more))
    if options.disk is not None or options.csv is not None:
        with tempfile.TemporaryDirectory(dir=options.folder) as place:
            if options.disk is not None:
                from_disk(Path(place), int(options.disk), options.steps)
            if options.csv is not None:
                from_csv(Path(place), options.csv)
        return None
    import polycera as pc

    frame, new = table(options.rows), table(options.predict).filter(regex="^x")
    tasks: list[Any] = [
        {f"y{i}": "regression" if i < TARGETS // 2 else "binary"} for i in range(TARGETS)
    ]
    print(
        (
            f"{len(frame)} rows, {COLUMNS} columns, {TARGETS} targets: {peak() / 1e3:.1f} GB with "
            "the table"
        ),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        begun = time.perf_counter()
        run = pc.fit(frame, tasks, out=Path(place) / "run", progress=False)
        seconds = time.perf_counter() - begun
        print(
            f"fit: {seconds:.0f} s ({time.process_time():.0f} s of processor time), "
            f"{peak() / 1e3:.1f} GB at most, {run.metrics['epochs']} epochs, {run.spec.network}",
            flush=True,
        )
        skills = [next(iter(own.values()))["skill"] for own in run.metrics["test"].values()]
        print(
            f"mean skill on {run.metrics['rows']['test']} test rows: {statistics.mean(skills):.3f}"
        )
        run.predict(new)  # compiles
        times = []
        for _ in range(TIMES):
            begun = time.perf_counter()
            run.predict(new)
            times.append(time.perf_counter() - begun)
        spread = f"{min(times):.2f} to {max(times):.2f}"
        print(
            f"predict {len(new)} rows: {statistics.median(times):.2f} s ({spread}; {TIMES} times, "
            "warm)"
        )


if __name__ == "__main__":
    main()
