"""Run the tests on each backend, in several processes, as many at once as there are cores.

    python tests/run.py [--backend NAME]... [--jobs N] [--coverage] [pytest arguments]

A process knows one Keras backend. The tests marked `nobackend` run on JAX, a process for each
folder of tests, of which those marked `nokeras` have a process in which importing Keras raises;
the others run on TensorFlow, PyTorch and JAX, a process each. Each prints its
report as it ends; until then it is in .cache/tests/NAME.log. The last lines have the seconds of
each process. Exit status: 0 all passed, 1 some failed (or ran out of time), 5 nothing was run.

With --coverage the lines and branches that ran are counted too, over all processes and those that
they start: the share of each file is printed, and .cache/coverage/html shows which ones.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "tests"
LOGS = ROOT / ".cache" / "tests"
COVERAGE = ROOT / ".cache" / "coverage"
NOTHING_RUN = 5  # pytest's exit status when no test was selected
# The slowest first: two cores then end at about the same time.
BACKENDS = ("tensorflow", "torch", "jax")
ONCE = ("values", "faults", "house", "laws")
COUNTS = ("passed", "failed", "skipped")
# Most of the tests' time on JAX is XLA compiling small networks that train for a few steps. So
# compile as plainly as XLA can: a small training then takes a fifth of the time. XLA ends a
# process that names a flag unknown to it: when jax is raised, look here first.
XLA_FLAGS = " ".join(
    (
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)


@dataclass
class Group:
    """One pytest process, and what became of it."""

    name: str
    backend: str
    marks: str
    paths: list[str] = field(default_factory=list)
    variables: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    wall_seconds: float = 0.0
    processor_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(COUNTS, 0))

    @property
    def log(self) -> Path:
        return LOGS / f"{self.name}.log"

    @property
    def xml(self) -> Path:
        return LOGS / f"{self.name}.xml"

    def start(self, arguments: list[str], coverage: bool) -> None:
        """Start pytest, which writes into this group's log."""
        self.xml.unlink(missing_ok=True)
        pytest = [
            "pytest",
            "-m",
            self.marks,
            f"--junitxml={self.xml}",
            "-o",
            f"cache_dir=.cache/pytest-{self.name}",
        ]
        measured = ["coverage", "run", "-m"] if coverage else []
        command = [sys.executable, "-m", *measured, *pytest, *self.paths, *arguments]
        fast = {"XLA_FLAGS": XLA_FLAGS} if self.backend == "jax" else {}
        environment = fast | os.environ | self.variables | {"KERAS_BACKEND": self.backend}
        self.started = time.monotonic()
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def ended(self) -> bool:
        """Return whether the process has ended; then its seconds are known."""
        assert self.process is not None
        before = _processor_seconds()
        if self.process.poll() is None:
            return False
        # Only this process, with the children that it waited for, was added by the call above.
        self.processor_seconds += _processor_seconds() - before
        self.wall_seconds = time.monotonic() - self.started
        return True

    def stop(self) -> None:
        """End the process, because the time for all tests is over."""
        assert self.process is not None
        before = _processor_seconds()
        self.process.terminate()
        self.process.wait()
        self.processor_seconds += _processor_seconds() - before
        self.wall_seconds = time.monotonic() - self.started

    def report(self, out_of_time: bool) -> bool:
        """Print what the process said; true where nothing is wrong."""
        assert self.process is not None
        status = self.process.returncode
        print(f"\n######## {self.name}, {self.wall_seconds:.0f} s", flush=True)
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


def _processor_seconds() -> float:
    """Return the seconds of processor time of all processes that ended and were waited for."""
    times = os.times()
    return times.children_user + times.children_system


def groups(backends: list[str], arguments: list[str]) -> list[Group]:
    """Return the processes to run.

    The tests that need no backend run where all backends or JAX were asked for: a process for each
    folder, unless the arguments name files or folders themselves.
    """
    wanted = backends or list(BACKENDS)
    chosen = [Group(name, name, "not nobackend") for name in BACKENDS if name in wanted]
    if "jax" not in wanted:
        return chosen
    if any((ROOT / argument.split("::")[0]).exists() for argument in arguments):
        return [*chosen, Group("nobackend", "jax", "nobackend")]
    files = sorted(TESTS.glob("*/test_*.py"))
    others = {path.parent.name for path in files} - {*ONCE}
    for name, folders in [(name, [name]) for name in ONCE] + [("others", sorted(others))]:
        paths = [f"tests/{folder}" for folder in folders]
        chosen.append(Group(f"nobackend-{name}", "jax", "nobackend and not nokeras", paths))
    # Collecting a file imports it, so only the files in question are named.
    without = [f"tests/{p.parent.name}/{p.name}" for p in files if "mark.nokeras" in p.read_text()]
    refused = {"POLYCERA_TESTS_WITHOUT_KERAS": "1"}
    return [*chosen, Group("nokeras", "jax", "nokeras", without, refused)]


def run(
    waiting: list[Group], arguments: list[str], jobs: int, limit: float, coverage: bool
) -> list[bool]:
    """Keep `jobs` processes going until all are done, or `limit` seconds are over."""
    end, results = time.monotonic() + limit, []
    running: list[Group] = []
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(waiting.pop(0))
            running[-1].start(arguments, coverage)
            print(f"{running[-1].name}: started", flush=True)
        time.sleep(0.2)
        over = time.monotonic() > end
        for group in list(running):
            if not group.ended():
                if not over:
                    continue
                group.stop()
            running.remove(group)
            results.append(group.report(over))
    return results


def print_seconds(chosen: list[Group], wall_seconds: float) -> None:
    """Print how long each process took, and all of them."""
    print(f"\n{'process':<18}{'wall':>8}{'processor':>12}  seconds")
    for group in chosen:
        print(f"{group.name:<18}{group.wall_seconds:8.0f}{group.processor_seconds:12.0f}")
    total = sum(group.processor_seconds for group in chosen)
    print(f"{'all':<18}{wall_seconds:8.0f}{total:12.0f}")


def print_coverage() -> None:
    """Put together what the processes counted, and print the share of lines and branches."""
    coverage = [sys.executable, "-m", "coverage"]
    print("\n######## coverage", flush=True)
    subprocess.run([*coverage, "combine", "--quiet"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "report"], cwd=ROOT, check=True)
    subprocess.run([*coverage, "html", "--quiet"], cwd=ROOT, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Run the tests on each backend.", allow_abbrev=False
    )
    parser.add_argument("--backend", action="append", choices=BACKENDS, default=[])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes at once")
    parser.add_argument("--limit", type=float, default=70 * 60, help="seconds for all tests")
    parser.add_argument("--coverage", action="store_true", help="count lines and branches")
    options, arguments = parser.parse_known_args()
    LOGS.mkdir(parents=True, exist_ok=True)
    if options.coverage:
        shutil.rmtree(COVERAGE, ignore_errors=True)
        COVERAGE.mkdir(parents=True)
    chosen = groups(options.backend, arguments)
    started = time.monotonic()
    good = run(list(chosen), arguments, options.jobs, options.limit, options.coverage)
    if options.coverage:
        print_coverage()
    print_seconds(chosen, time.monotonic() - started)
    total = {count: sum(group.counts[count] for group in chosen) for count in COUNTS}
    print("\n" + ", ".join(f"{number} {count}" for count, number in total.items()))
    if not all(good):
        return 1
    return 0 if any(total.values()) else NOTHING_RUN


if __name__ == "__main__":
    sys.exit(main())
