"""Damage run folders for faults.py: flip bits, cut files, fill the disk at any point of a write."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests"))
from damage import cut, flipped, room_for  # noqa: F401 - all three are faults.py's too


def table(path):
    """A small table, for trainings of a second or two."""
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(600, 6)).round(4)
    price, churn = (
        numbers[:, 0] - numbers[:, 1] ** 2 + rng.normal(size=600),
        numbers[:, 2] + rng.normal(size=600) > 0,
    )
    lines = ["a,b,c,d,e,f,price,churn"]
    for row, p, c in zip(numbers.tolist(), price.round(4), churn, strict=True):
        lines.append(",".join(map(str, [*row, p, "yes" if c else "no"])))
    path.write_text("\n".join(lines) + "\n")


def fit(source, out, every="20 batches"):
    import polycera as pc

    training = {"balancing": "gradvac", "weighting": "dwa", "max_steps": 800, "batch_size": 16}
    options = {
        "network": {"width": 48},
        "training": training,
        "checkpoint_every": every,
        "progress": False,
    }
    pc.fit(str(source), ["price", "churn"], out=out, **options)


def fit_and_die(source, out):
    """A training that is killed when it is over and nothing of its result is written yet."""
    from polycera.tabular import train_run

    train_run._write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    fit(source, out, "1 epoch")


def resume(run, room=None):
    """Go on with no file larger than `room` bytes; exit code 7 if a sentence reports the limit."""
    import polycera as pc
    from polycera.errors import PolyceraError

    try:
        with room_for(resource.RLIM_INFINITY if room is None else room):
            pc.resume(run, checkpoint_every="20 batches", progress=False)
    except PolyceraError:
        sys.exit(7)


def alike(run, other):
    """Return whether two finished runs hold the same bytes, except for times and their traces."""
    files = {path.relative_to(run) for path in run.rglob("*.*")}
    same = files == {path.relative_to(other) for path in other.rglob("*.*")}
    return same and all(
        (run / name).read_bytes() == (other / name).read_bytes()
        for name in files
        if name.name not in ("metrics.json", "manifest.json")
    )


# -- reading all of a run --------------------------------------------------------------------------


def read_all(run):
    """Everything that a run folder holds, as whoever opens it reads it."""
    from polycera.runs import folder, manifest
    from polycera.runs.checkpoints import Checkpoints
    from polycera.storage.arrays import StoredArrays

    found = folder.Folder(run)
    parts = [found.spec, found.schema, found.versions]
    if found.finished:
        parts += [
            found.metrics,
            found.history,
            found.weights.arrays,
            manifest.content(run, folder.PREDICTIONS),
        ]
        if (run / folder.GRADIENTS).exists():
            parts += [
                StoredArrays(run / folder.GRADIENTS).arrays,
                manifest.content(run, folder.GRADIENTS),
            ]
    parts += [StoredArrays(one.path).arrays for one in found.epochs]
    checkpoints = Checkpoints(run / folder.CHECKPOINTS)
    newest = checkpoints.newest()
    # the one before it, as it would be read in need
    if newest is not None and not checkpoints.unreadable:
        parts += [StoredArrays(path).notes for path in checkpoints.all()]
    return parts, newest


def noticed(run):
    """Return what a full read reports (nothing, "error" or "warning") and the checkpoint in use."""
    from polycera.errors import PolyceraError

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            _, newest = read_all(run)
        except PolyceraError:
            return "error", None
    return ("warning" if said else ""), newest and newest.path.name


def damage(run, random, trials, change):
    """Spoil one file after the other, and put it back.

    Returns:
        (how many were noticed, of how many newest checkpoints the one before was used, names of
        files gone unnoticed).
    """
    files = sorted(path for path in run.rglob("*") if path.is_file() and path.stat().st_size)
    points = [path for path in files if path.parent.name == "checkpoints"]
    seen, fallen, unseen = 0, [], []
    for trial in range(trials):
        path = files[trial % len(files)]
        before = path.read_bytes()
        path.write_bytes(change(before, random))
        try:
            said, used = noticed(run)
        finally:
            path.write_bytes(before)
        seen += bool(said)
        unseen += [] if said else [path.name]
        if points[1:] and path == points[-1]:
            fallen.append(said == "warning" and used == points[-2].name)
    return seen, fallen, unseen


# -- a full disk -----------------------------------------------------------------------------------


@contextmanager
def nearly_full(folder, size):
    """All but this much of the file system is taken by another file."""
    filler = folder / "filler"
    free = os.statvfs(folder)
    with open(filler, "wb") as file, suppress(OSError):
        file.write(bytes(max(free.f_bavail * free.f_frsize - size, 0)))
    try:
        yield
    finally:
        filler.unlink()


def saves(folder, source, full, steps):
    """Save a checkpoint beside a good one with ever more room, until it goes in.

    Returns:
        (saves that failed, those of them after which the good one was there and nothing else, what
        was said).
    """
    from polycera.errors import PolyceraError
    from polycera.runs.checkpoints import Checkpoints
    from polycera.storage.arrays import StoredArrays

    stored, kept, failed, intact, said = StoredArrays(source), Checkpoints(folder), 0, 0, set()
    good = kept.save(1, 0, stored.arrays, stored.notes)
    before, size = digest(good), good.stat().st_size
    for room in range(0, size, max(size // steps, 1)):
        try:
            with full(room):
                kept.save(2, 0, stored.arrays, stored.notes)
        except PolyceraError as error:
            failed += 1
            said.add(str(error))
            only = [path.name for path in folder.iterdir() if path.suffix == ".safetensors"] == [
                good.name
            ]
            intact += only and digest(good) == before and Checkpoints(folder).newest().path == good
        else:
            (folder / "000002-00000000.safetensors").unlink()
    return failed, intact, said


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def on_tmpfs(source):
    """Run `saves` on a small in-memory file system of one process; None if that is not allowed."""
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return None
    size = 2 * Path(source).stat().st_size // 1024 + 256
    script = f'd=$(mktemp -d); mount -t tmpfs -o size={size}k none "$d" && exec "$@" "$d"; exit 75'
    command = ["unshare", "--mount", "sh", "-c", script, "-", sys.executable, __file__, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    return (
        None
        if done.returncode == 75
        else done.stdout.strip().splitlines()[-1:] or [done.stderr[-300:]]
    )


if __name__ == "__main__":
    place = Path(sys.argv[2])
    failed, intact, said = saves(
        place, Path(sys.argv[1]), lambda room: nearly_full(place, room), 40
    )
    right = all(os.strerror(errno.ENOSPC) in sentence for sentence in said)
    print(f"{intact} of {failed} on a small tmpfs" + ("" if right else f"; said: {said}"))
