"""Run the tests on each backend, a process a backend, as many at once as there are cores.

    python tests/run.py [--backend NAME]... [--jobs N] [pytest arguments]

A process knows one Keras backend, so there are four: the tests marked `nobackend` (on JAX), and the
others on TensorFlow, PyTorch and JAX. Each prints its report as it ends; until then it is in
.cache/tests/NAME.log. Exit status: 0 all passed, 1 some failed (or ran out of time), 5 nothing was
run.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "tests"
NOTHING_RUN = 5  # pytest's exit status when no test was selected
# The slowest first: two cores then end at about the same time.
BACKENDS = ("tensorflow", "torch", "jax")
COUNTS = ("passed", "failed", "skipped")
# Small models are compiled for hundreds of tests and trained for few steps: a quarter less time
# without optimisations. The tests that need no backend fit tables as users do, and are compiled as
# users' are.
QUICK = {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"}


@dataclass
class Group:
    """One pytest process, and what became of it."""

    name: str
    backend: str
    marks: str
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def xml(self) -> Path:
        return LOGS / f"{self.name}.xml"

    def start(self, arguments: list[str]) -> None:
        self.xml.unlink(missing_ok=True)
        own = [
            "-m",
            self.marks,
            f"--junitxml={self.xml}",
            "-o",
            f"cache_dir=.cache/pytest-{self.name}",
        ]
        command = [sys.executable, "-m", "pytest", *own, *arguments]
        quick = QUICK if self.name == "jax" else {}
        environment = quick | os.environ | {"KERAS_BACKEND": self.backend}
        self.started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def report(self, out_of_time: bool) -> bool:
        """Print what the process said; true where nothing is wrong."""
        assert self.process is not None
        status = self.process.wait()
        print(f"\n######## {self.name}, {time.monotonic() - self.started:.0f} s", flush=True)
        print(self.log.read_text(encoding="utf-8", errors="replace"), flush=True)
        if out_of_time:
            print(
                f"{self.name}: ended, because the time for all tests was over (--limit).",
                flush=True,
            )
        elif status not in (0, 1, NOTHING_RUN):
            print(f"{self.name}: pytest ended with exit status {status}.", flush=True)
        if self.xml.exists():
            suite = next(ET.parse(self.xml).getroot().iter("testsuite")).attrib
            failed = int(suite["failures"]) + int(suite["errors"])
            skipped = int(suite["skipped"])
            passed = int(suite["tests"]) - failed - skipped
            self.counts = dict(zip(COUNTS, (passed, failed, skipped), strict=True))
        elif status not in (0, NOTHING_RUN):
            self.counts["failed"] = 1  # it broke before it could count
        return status in (0, NOTHING_RUN)


def groups(backends: list[str]) -> list[Group]:
    """The processes to run; the tests that need no backend run where all or JAX was asked for."""
    wanted = backends or list(BACKENDS)
    chosen = [Group(name, name, "not nobackend") for name in BACKENDS if name in wanted]
    return chosen + (
        [Group("nobackend", "jax", "nobackend")] if not backends or "jax" in backends else []
    )


def run(waiting: list[Group], arguments: list[str], jobs: int, limit: float) -> list[bool]:
    """Keep `jobs` processes going until all are done, or `limit` seconds are over."""
    end, results = time.monotonic() + limit, []
    running: list[Group] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(waiting.pop(0))
            running[-1].start(arguments)
            print(f"{running[-1].name}: started", flush=True)
        time.sleep(0.2)
        over = time.monotonic() > end
        for group in list(running):
            assert group.process is not None
            if over and group.process.poll() is None:
                group.process.terminate()
            if group.process.poll() is not None or over:
                running.remove(group)
                results.append(group.report(over))
    return results


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the tests on each backend.", allow_abbrev=False
    )
    parser.add_argument("--backend", action="append", choices=BACKENDS, default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--limit", type=float, default=70 * 60, help="seconds for all tests")
    options, arguments = parser.parse_known_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    chosen = groups(options.backend)
    good = run(list(chosen), arguments, options.jobs, options.limit)
    total = {count: sum(group.counts[count] for group in chosen) for count in COUNTS}
    print("\n" + ", ".join(f"{number} {count}" for count, number in total.items()))
    if not all(good):
        return 1
    return 0 if any(total.values()) else NOTHING_RUN


if __name__ == "__main__":
    sys.exit(main())
