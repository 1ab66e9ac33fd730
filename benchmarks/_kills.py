"""Run the kills of faults.py: one training interrupted in four ways, and one left alone."""

from __future__ import annotations

import json
import random
import sys
import time
from pathlib import Path

import _victim as victim
from _victim import RESULT, Process, checkpoints, fresh


class Kills:
    """The trainings of one backend, and the one that nothing happened to."""

    def __init__(self, parent, seed=0):
        self.parent, self.random = Path(parent), random.Random(seed)
        folder = fresh(parent)
        for _ in range(2):  # the first compiles, and shows that two are the same
            self.expected = self.result(folder) if (folder / RESULT).exists() else None
            folder = fresh(parent)
            process = self.start(folder, "1 epoch")
            process.until(lambda folder=folder: checkpoints(folder))
            begun = time.monotonic()
            assert process.wait() == 0, (folder / "log").read_text()
            self.seconds = time.monotonic() - begun
        self.control = self.expected == self.result(folder)

    def start(self, folder, every, before=None):
        def work():
            if before:
                before()
            victim.train(folder, every)

        return Process(work, folder / "log")

    def result(self, folder):
        return json.loads((folder / RESULT).read_text())

    def kill(self, folder):
        return self._kill_late(folder, "1 epoch")

    def batches(self, folder):
        return self._kill_late(folder, "5 batches")

    def _kill_late(self, folder, every):
        process = self.start(folder, every)
        process.until(lambda: checkpoints(folder))
        process.until(lambda: False, self.random.uniform(0, self.seconds))
        return process.kill() and bool(checkpoints(folder)) and self._ends(folder, every)

    def saving(self, folder):
        """Some time after the first checkpoint, as a half-written file is seen."""
        process = self.start(folder, "11 batches", victim.slow_saves)
        process.until(lambda: checkpoints(folder))
        process.until(lambda: False, self.random.uniform(0, self.seconds))
        process.until(lambda: victim.temporary(folder))
        time.sleep(self.random.uniform(0, 0.05))
        inside = process.kill() and victim.temporary(folder) and bool(checkpoints(folder))
        return inside and self._ends(folder, "11 batches")

    def twice(self, folder):
        """The second time between its beginning and its first own checkpoint."""
        process = self.start(folder, "1 epoch")
        process.until(lambda: checkpoints(folder))
        process.until(lambda: False, self.random.uniform(0, self.seconds / 2))
        before = process.kill() and checkpoints(folder)
        marker = folder / "began"
        process = self.start(folder, "1 epoch", marker.touch)
        process.until(marker.exists)
        process.until(lambda: False, self.random.uniform(0, 1.5 * self.seconds / 8))
        inside = process.kill() and before and checkpoints(folder) == before
        return inside and self._ends(folder, "1 epoch")

    def _ends(self, folder, every):
        """The script again, to its end: [] where all is the same, else what is not."""
        code = self.start(folder, every).wait()
        if code != 0:
            return [f"exit code {code}"]
        found = self.result(folder)
        return [name for name in found if found[name] != self.expected[name]]

    def count(self, name, trials):
        """A sentence of the table."""
        outcomes, drawn = [], 0
        while len(outcomes) < trials and drawn < 4 * trials + 8:
            drawn += 1
            different = getattr(self, name)(fresh(self.parent))
            if different is not False and different is not None:
                outcomes.append(different)
                print(f"{name} {len(outcomes)}: {different or 'same'}", file=sys.stderr, flush=True)
        bad = sorted({part for outcome in outcomes for part in outcome})
        good = sum(not outcome for outcome in outcomes)
        return f"{good} of {len(outcomes)}" + (f" (different: {', '.join(bad)})" if bad else "")
