"""Measure what a training survives: kill -9, a full disk, flipped bits, NaN, each many times.

    python benchmarks/faults.py                            # all three backends, a process each;
    prints one table python benchmarks/faults.py --backend jax --trials 5   # one backend, five of
    each at most python benchmarks/faults.py --only kill                # one kind; --help lists
    them

A kill is SIGKILL from outside, at a moment drawn between the first checkpoint and the end of the
training as it goes when nothing happens; then the same script runs again, and its weights, its
optimizer, its history, the epoch at which it stopped and the epochs that it kept are compared with
those of the training that nothing happened to, bit by bit. A kill that fell elsewhere (after the
end, beside the save that it was meant for) is not counted and drawn again.
Power failure is not tried: a kill leaves what the operating system has taken and not yet brought to
    the disk.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import platform
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import _damage as damage
import _victim as victim
from _kills import Kills
from _victim import Process, checkpoints, fresh

BACKENDS = ("jax", "torch", "tensorflow")
# Keras 3.15.1 on JAX 0.10.2 (CPU, 2 cores): kills, flips and full disks done to the same kind of
# network (13.5 MB), by scripts of their own, before there was this one. They are printed beside
# ours, and not measured again here.
STOCK = {
    "kill": "BackupAndRestore: 0 of 13",
    "saving": "BackupAndRestore: 1 of 25; ModelCheckpoint (`.keras`): 0 of 26 readable",
    "batches": "BackupAndRestore(save_freq=5): 0 of 26; 101-112 steps for 96",
    "flips": "`.weights.h5`: 0 of 200 noticed, 195 of them loaded with wrong weights",
    "cuts": "60 of 60 refused",
    "full": "an error, and the old file is destroyed",
    "nan": "99.9 % of the weights NaN, in backup and checkpoint too",
    "time": "1.00",
}
KILLS = {
    "kill": "kill -9 at a random moment, a checkpoint every epoch: same bits after resuming",
    "saving": "kill -9 inside a save: same bits after resuming",
    "batches": (
        "kill -9, a checkpoint every 5 batches: same bits and number of steps after resuming"
    ),
    "twice": "kill -9, and again before the next checkpoint: same bits after resuming",
}
TRIALS = {"jax": dict(kill=30, saving=30, batches=30, twice=10)}
FEWER = dict(kill=10, saving=3, batches=3, twice=2)


def kills(backend, chosen, parent):
    numbers = TRIALS.get(backend, FEWER)
    trials = Kills(parent)
    row(
        "two trainings that nothing happens to: same bits",
        backend,
        "yes" if trials.control else "**no**",
    )
    for name in KILLS if chosen.only is None else [chosen.only]:
        row(KILLS[name], backend, trials.count(name, min(numbers[name], chosen.trials)), name)


# -- run folders -----------------------------------------------------------------------------------


def table_and_runs(parent):
    """A table, a finished run, a killed run, and one that was killed when only files were left."""
    source, runs = parent / "table.csv", [parent / name for name in ("ended", "cut", "last")]
    damage.table(source)
    works = [damage.fit, damage.fit, damage.fit_and_die]
    for run, work in zip(runs, works, strict=True):
        process = Process(lambda run=run, work=work: work(source, run), parent / f"{run.name}.log")
        if run.name == "cut":
            process.until(
                lambda run=run: len(checkpoints(run)) > 1 and list(run.glob("epochs/[0-9]*"))
            )
            process.kill()
        process.wait()
    return source, *runs


def damaged(backend, chosen, parent):
    _, ended, cut, _ = table_and_runs(parent)
    for what, trials, change, stock in (
        ("one flipped bit", 1000, damage.flipped, "flips"),
        ("one file cut short", 200, damage.cut, "cuts"),
    ):
        trials, draw = max(trials * min(chosen.trials, 10) // 10 // 2, 1), random.Random(0)
        each = [damage.damage(run, draw, trials, change) for run in (ended, cut)]
        seen, unseen = (
            sum(part[0] for part in each),
            sorted({name for part in each for name in part[2]}),
        )
        text = f"{seen} of {2 * trials}" + (f" (not in {', '.join(unseen)})" if unseen else "")
        row(f"{what} in a finished and an unfinished run: noticed", backend, text, stock)
        fallen = each[1][1]
        row(
            f"{what} in the newest checkpoint: the one before is used, and it is said",
            backend,
            count(fallen),
        )


def full(backend, chosen, parent):
    _, _, cut, last = table_and_runs(parent)
    point = sorted(cut.glob("checkpoints/[0-9]*"))[-1]
    (parent / "saves").mkdir()
    failed, intact, said = damage.saves(parent / "saves", point, damage.room_for, 200)
    what = "disk full at each 1/200 of a checkpoint: the old one intact, one sentence"
    row(
        what,
        backend,
        f"{intact} of {failed}" + ("" if len(said) == 1 else f"; {len(said)} sentences"),
        "full",
    )
    on_tmpfs = damage.on_tmpfs(point)
    if on_tmpfs:
        row("the same with the file system full", backend, on_tmpfs[0], "full")
    sizes = sorted(file.stat().st_size for file in (parent / "ended").glob("*.*"))
    places = sorted({size - 1 for size in sizes} | set(range(0, sizes[-1], 2000)))[
        : 2 * chosen.trials
    ]
    good = [last_files(parent, last, room) for room in places]
    row("disk full in each of a run's last files: resumed later, same bytes", backend, count(good))
    command = f"ulimit -f 8; exec {sys.executable} -m polycera_cli resume {cut}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    one = len(done.stderr.strip().splitlines()) == 1 and "Traceback" not in done.stderr
    row(
        "disk full under `polycera resume`",
        backend,
        f"exit code {done.returncode}, {'one sentence' if one else done.stderr}",
    )


def last_files(parent, last, room):
    """Return whether a run that could not write its last files is unchanged and ends normally."""
    run = parent / "again"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(last, run)
    before = {path: damage.digest(path) for path in run.rglob("*.safetensors")}
    process = Process(lambda: damage.resume(run, room), parent / "again.log")
    failed = process.wait() == 7 and all(damage.digest(path) == own for path, own in before.items())
    ends = Process(lambda: damage.resume(run), parent / "again.log").wait() == 0
    return failed and ends and damage.alike(run, parent / "ended")


# -- NaN, time, locks ------------------------------------------------------------------------------


def not_a_number(backend, chosen, parent):
    """With a Guard, and without one."""
    cases = [(kind, guarded) for kind in ("loss", "gradient") for guarded in (True, False)]
    for kind, guarded in cases:
        clean, task, place = [], [], []
        for batch in range(0, 12, max(12 // min(chosen.trials, 6), 1)):
            folder = fresh(parent)
            process = Process(
                lambda f=folder, k=kind, b=batch, g=guarded: victim.spoilt(f, k, b, g),
                folder / "log",
            )
            clean.append(process.wait() == 0)
            text = (folder / "log").read_text()
            task.append("'price" in text)
            place.append(f"at batch {batch + 1}" in text)
        what = "loss of one task" if kind == "loss" else "gradient of one task alone"
        row(
            (
                f"NaN in the {what} at batch k, {'with' if guarded else 'without'} a Guard: none "
                "in any file or weight"
            ),
            backend,
            f"{count(clean)}; task named: {count(task)}, batch named: {count(place)}",
            "nan",
        )


def times(backend, chosen, parent):
    process = Process(lambda: print(victim.saving_times(parent, 15)), parent / "times.log")
    process.wait(400)
    line = (parent / "times.log").read_text().strip().splitlines()[-1]
    ours, theirs = (sorted(map(float, part.split())) for part in line.split("|"))
    middle = statistics.median(ours), statistics.median(theirs)
    text = f"{middle[0] / middle[1]:.2f}: {spread(ours)} against {spread(theirs)} ms"
    row("time of a checkpoint of 13.5 MB, against BackupAndRestore", backend, text, "time")


def spread(values):
    return f"{statistics.median(values):.0f} ({values[0]:.0f}-{values[-1]:.0f})"


def locks(backend, chosen, parent):
    from polycera.storage import lock

    folder = fresh(parent)
    process = Process(lambda: victim.train(folder, "1 epoch"), folder / "log")
    process.until(lambda: checkpoints(folder))
    begun = time.perf_counter()
    from polycera.errors import InUse

    try:
        lock.check(folder / "checkpoints")
    except InUse:
        refused = f"{1000 * (time.perf_counter() - begun):.1f} ms"
    else:
        refused = "**not refused**"
    begun = time.perf_counter()
    command = [sys.executable, "-m", "polycera_cli", "resume", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    whole = f"{time.perf_counter() - begun:.2f} s, exit code {done.returncode}"
    row(
        "a second process on a folder in use: refused",
        backend,
        f"in {refused}; `polycera resume` in all: {whole}",
    )
    begun = time.perf_counter()
    process.signal(signal.SIGTERM)
    code = process.wait()
    row(
        "SIGTERM: a checkpoint, and the end",
        backend,
        f"{time.perf_counter() - begun:.2f} s, exit code {code}",
    )
    process = Process(lambda: victim.train(folder, "1 epoch"), folder / "log")
    before = checkpoints(folder)
    process.until(lambda: checkpoints(folder) != before)
    process.kill()
    begun = time.perf_counter()
    stale = (folder / "checkpoints" / "lock").exists()
    with lock.acquired(folder / "checkpoints"):
        taken = f"{1000 * (time.perf_counter() - begun):.1f} ms"
    row(
        "the lock of a killed process: taken over",
        backend,
        f"in {taken}" if stale else "no lock was left",
    )


# -- what is said ----------------------------------------------------------------------------------

KINDS = {"damage": damaged, "full": full, "nan": not_a_number, "time": times, "lock": locks}
ONCE = ("damage", "full")
"""What proves nothing more on a second backend."""


def count(good):
    return f"{sum(good)} of {len(good)}"


def row(fault, backend, seen, stock=""):
    print(f"| {fault} | {backend} | {seen} | {STOCK.get(stock, 'not measured')} |", flush=True)


def machine():
    packages = ("keras", "jax", "torch", "tensorflow", "numpy", "safetensors")
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)
    print(
        f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}, "
        f"{versions}\n"
    )
    print(
        "| what happens | on | seen | stock Keras 3.15.1, measured |\n|---|---|---|---|", flush=True
    )


def environment(backend, cache):
    os.environ |= {
        "KERAS_BACKEND": backend,
        "JAX_COMPILATION_CACHE_DIR": cache,
        "OMP_NUM_THREADS": "1",
    }
    os.environ |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "TF_CPP_MIN_LOG_LEVEL": "3"}


def main():
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--backend", choices=BACKENDS)
    options.add_argument("--trials", type=int, default=30, help="of each kind, at most")
    options.add_argument("--only", choices=[*KILLS, *KINDS])
    options.add_argument("--within", action="store_true", help=argparse.SUPPRESS)
    chosen = options.parse_args()
    if not chosen.within:
        machine()
        for backend in [chosen.backend] if chosen.backend else BACKENDS:
            if chosen.only in ONCE and backend != (chosen.backend or BACKENDS[0]):
                continue
            again = [sys.executable, __file__, "--within", *sys.argv[1:], "--backend", backend]
            subprocess.run(again, check=True)
        return
    with tempfile.TemporaryDirectory() as parent:
        environment(chosen.backend, f"{parent}/jax")
        importlib.import_module("polycera")  # once, before the first fork

        if chosen.only is None or chosen.only in KILLS:
            kills(chosen.backend, chosen, parent)
        for name, trial in KINDS.items():
            if chosen.only == name or (
                chosen.only is None and (name not in ONCE or chosen.backend == BACKENDS[0])
            ):
                folder = Path(parent) / name
                folder.mkdir()
                trial(chosen.backend, chosen, folder)


if __name__ == "__main__":
    main()
