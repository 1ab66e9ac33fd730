"""Run trainings in parallel, each in a process of its own with one thread.

By default there are as many processes as cores.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from types import ModuleType
from typing import Any, TypeVar

from polycera.errors import InputError, PolyceraError, shorten

Shared = TypeVar("Shared")
Job = TypeVar("Job")
Done = TypeVar("Done")

SMALL = 20.0
"""Work of fewer seconds than this in all is done by this process alone.

Another process takes 3 to 10 seconds to import Keras.
"""

PATIENCE = 20.0
"""A process that must end has this many seconds to save a checkpoint."""

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
}
"""The backends read these environment variables when they are imported.

Each process has one core, and computes the same sums in the same order.
"""


def cores() -> int:
    """Return how many cores this process may use."""
    # The affinity counts only the cores given to this process; macOS and Windows lack the call.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number(asked: int | None, jobs: int, seconds: float) -> int:
    """Return how many processes to use.

    Args:
        asked: the user's number. None chooses one for each core, or only this process where the
            work is small or the backend computes on an accelerator, which several processes would
            have to share.
        jobs: number of trainings.
        seconds: time that all of them may take, one after the other.

    Raises:
        InputError: where `asked` is not a whole number of 1 or more.
    """
    if asked is None:
        alone = seconds < SMALL or not _on_cpu()
        return 1 if alone else max(1, min(cores(), jobs))
    if isinstance(asked, bool) or not isinstance(asked, int) or asked < 1:
        raise InputError(
            f"Expected processes= to be a whole number, 1 or more, got {shorten(repr(asked))}."
        )
    return min(asked, max(jobs, 1))


def _on_cpu() -> bool:
    """Return whether the backend computes on the CPU."""
    import keras

    return "cpu" in str(getattr(keras.ops.zeros(1), "device", "cpu")).lower()


def expected(seconds: float, jobs: int, processes: int) -> str:
    """Return in words how long it takes until all jobs are done.

    Examples:
        >>> expected(30.0, 8, 2)
        '2 at once: about 2 minutes'
    """
    total = seconds * math.ceil(jobs / processes)
    unit, size = next((pair for pair in UNITS if total >= 2 * pair[1]), UNITS[-1])
    where = "one after the other" if processes == 1 else f"{processes} at once"
    return f"{where}: about {max(1, round(total / size))} {unit}"


UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))
"""`expected` prints one of these units of time; each has its length in seconds."""


def run(
    work: Callable[[Shared, Job], Done],
    shared: Shared,
    jobs: Sequence[Job],
    processes: int = 1,
    done: Callable[[Job, Done], None] | None = None,
) -> list[Done]:
    """Return `work(shared, job)` for each job; computed in this process where `processes` is 1.

    Args:
        work: a function at the top of a module.
        shared: data that all jobs have in common; it is sent to each process once.
        jobs: the jobs; their `str` names them in an error.
        processes: number of processes at once.
        done: function that is called when a job ends, in the order in which they end.

    Returns:
        the results of `work`, in the order of the jobs.

    Raises:
        PolyceraError, InputError: for the first job that fails, with its name; the others are
            stopped.
        KeyboardInterrupt: after all processes have ended.
    """
    results: dict[int, Done] = {}

    def ended(index: int, answer: tuple[bool, Any]) -> None:
        results[index] = _result(answer, jobs[index])
        if done is not None:
            done(jobs[index], results[index])

    if processes > 1:
        _in_processes(work, shared, jobs, processes, ended)
    else:
        for index, job in enumerate(jobs):
            ended(index, _answer(work, shared, job))
    return [results[index] for index in range(len(jobs))]


def _result(answer: tuple[bool, Any], job: Any) -> Any:
    """Return the result of a job, or raise its error with the name of the job."""
    succeeded, content = answer
    if succeeded:
        return content
    kind, sentence = content
    raise (InputError if kind == "InputError" else PolyceraError)(
        f"Training {job} failed: {sentence}"
    )


def _answer(work: Callable[[Any, Any], Any], shared: Any, job: Any) -> tuple[bool, Any]:
    """Return the result of a job, or the class name and the message of its error.

    The exception itself is not sent, because it may not be picklable.
    """
    try:
        return True, work(shared, job)
    except InputError as error:
        return False, ("InputError", str(error))
    except PolyceraError as error:
        return False, ("PolyceraError", str(error))
    except Exception as error:
        return False, (
            "PolyceraError",
            f"{type(error).__name__}: {shorten(' '.join(str(error).split()), 200)}.",
        )


# -- processes -------------------------------------------------------------------------------


def _in_processes(
    work: Callable[[Any, Any], Any],
    shared: Any,
    jobs: Sequence[Any],
    processes: int,
    ended: Callable[[int, tuple[bool, Any]], None],
) -> None:
    """Run all jobs in processes; at the end no process is left, whatever went wrong."""
    import keras

    config = keras.config
    settings = (config.floatx(), config.epsilon(), config.dtype_policy().name)
    # A fork of a process that has threads may hang.
    spawning = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    workers: list[Any] = []
    try:
        with ProcessPoolExecutor(processes, spawning, _begin, (work, shared, settings)) as pool:
            try:
                # The pool starts its processes when it gets the first jobs.
                with _surroundings():
                    indices = {pool.submit(_serve, job): index for index, job in enumerate(jobs)}
                # The pool begins to watch a process at the job after the one that started it.
                pool.submit(os.getpid)
                workers = _started_since(others)
                for future in as_completed(indices):
                    ended(indices[future], future.result())
            except BaseException:
                # A pool cannot end its processes before Python 3.14.
                _end(_started_since(others))
                raise
    except BrokenProcessPool:
        # The code of those that were ended here, -15, is the lowest that there usually is.
        code = max((worker.exitcode for worker in workers if worker.exitcode), default=None)
        raise PolyceraError(
            f"A process that trained networks ended unexpectedly (exit code {code}), perhaps for "
            "want of memory; take fewer of them: processes=1."
        ) from None


def _started_since(others: set[Any]) -> list[Any]:
    """Return the child processes that are not among these others."""
    return [child for child in multiprocessing.active_children() if child not in others]


def _end(workers: list[Any]) -> None:
    """End processes, and kill those that take longer than `PATIENCE`."""
    for worker in workers:
        worker.terminate()
    for worker in workers:
        if not connection.wait([worker.sentinel], PATIENCE):
            worker.kill()


@contextmanager
def _surroundings() -> Iterator[None]:
    """Set what a new process finds: our backend, one thread, and nothing of the user's script.

    Otherwise the process would run that script again, and train again where `if __name__ ==
    "__main__":` is missing.
    """
    import keras

    variables = ONE_THREAD | {"KERAS_BACKEND": keras.backend.backend()}
    before = {name: os.environ.get(name) for name in variables}
    script = sys.modules["__main__"]
    os.environ |= variables
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


_task: dict[str, Any] = {}
"""Holds what `_begin` has received in this process: the function and the data of all jobs."""


def _begin(work: Callable[[Any, Any], Any], shared: Any, settings: tuple[str, float, str]) -> None:
    """Prepare a new process for its jobs, with the Keras settings of the one that started it."""
    _on_our_own()
    import keras

    keras.config.set_floatx(settings[0])
    keras.config.set_epsilon(settings[1])
    keras.config.set_dtype_policy(settings[2])
    _task.update(work=work, shared=shared)


def _serve(job: Any) -> tuple[bool, Any]:
    """Run one job in a process that `_begin` has prepared."""
    return _answer(_task["work"], _task["shared"], job)


def _on_our_own() -> None:
    """Leave the terminal's process group, and end when the parent process is gone.

    Ctrl-C then reaches only the process that started this one, which ends this one in turn.
    """
    if hasattr(os, "setsid"):
        os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        # A training handles SIGTERM: it saves a checkpoint first.
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=follow, daemon=True).start()
