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
from contextlib import contextmanager, nullcontext, suppress
from multiprocessing import connection
from types import ModuleType
from typing import Any, TypeVar, cast

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

Pipe = connection.Connection
Busy = dict[Pipe, tuple[int, Any]]
"""`Busy` maps the pipe of each working process to the index of its job and the job."""


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
    with _crew(work, shared, processes if processes > 1 else 0) as crew:
        for index, result in _results(crew, jobs) if crew else _here(work, shared, jobs):
            results[index] = result
            if done is not None:
                done(jobs[index], result)
    return [results[index] for index in range(len(jobs))]


def _here(
    work: Callable[[Shared, Job], Done], shared: Shared, jobs: Sequence[Job]
) -> Iterator[tuple[int, Done]]:
    """Yield the index and the result of each job, computed in this process."""
    for index, job in enumerate(jobs):
        answer = _answer(work, shared, job)
        yield index, _result(answer, job)


def _results(crew: dict[Pipe, Any], jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Yield the index and the result of each job; the next job goes to the first free process."""
    remaining, busy = iter(enumerate(jobs)), cast("Busy", {})
    for pipe in crew:
        _give(pipe, remaining, busy)
    while busy:
        for pipe in cast("list[Pipe]", connection.wait(list(busy))):
            index, job = busy.pop(pipe)
            try:
                answer = pipe.recv()
            except (EOFError, OSError):
                crew[pipe].join()
                raise PolyceraError(
                    f"The process that trained {job} ended unexpectedly (exit code "
                    f"{crew[pipe].exitcode}), perhaps for want of memory; take fewer of them: "
                    "processes=1."
                ) from None
            yield index, _result(answer, job)
            _give(pipe, remaining, busy)


def _give(pipe: Pipe, left: Iterator[tuple[int, Any]], busy: Busy) -> None:
    """Send the next job, if there is one, to a process."""
    for index, job in left:
        busy[pipe] = (index, job)
        with suppress(OSError):  # a process that has died is noticed when its answer is read
            pipe.send(job)
        return


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


@contextmanager
def _crew(work: Callable[[Any, Any], Any], shared: Any, size: int) -> Iterator[dict[Pipe, Any]]:
    """Start processes that wait for jobs, and yield pipe -> process.

    At the end no process is left, whatever went wrong.
    """
    crew: dict[Pipe, Any] = {}
    try:
        with _surroundings() if size else nullcontext():
            for _ in range(size):
                pipe, process = _started(work, shared)
                crew[pipe] = process
        yield crew
        for pipe in crew:
            pipe.close()  # a process that waits for a job ends when its pipe is closed
    except BaseException:
        for process in crew.values():
            process.terminate()
        raise
    finally:
        _await(list(crew.values()))


def _await(crew: list[Any]) -> None:
    """Wait until all processes have ended; kill those that take longer than `PATIENCE`."""
    for process in crew:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _started(work: Callable[[Any, Any], Any], shared: Any) -> tuple[Pipe, Any]:
    """Start one process with this process's Keras settings; return its pipe and the process."""
    import keras

    # A fork of a process that has threads may hang.
    spawning = multiprocessing.get_context("spawn")
    our_end, their_end = spawning.Pipe()
    config = keras.config
    settings = (config.floatx(), config.epsilon(), config.dtype_policy().name)
    process = spawning.Process(target=_serve, args=(their_end, work, shared, settings), daemon=True)
    process.start()
    their_end.close()  # with it open here, the death of the process would not close the pipe
    return our_end, process


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


def _serve(
    pipe: Pipe, work: Callable[[Any, Any], Any], shared: Any, settings: tuple[str, float, str]
) -> None:
    """Run one job after the other in a new process, until the pipe is closed."""
    _on_our_own()
    import keras

    keras.config.set_floatx(settings[0])
    keras.config.set_epsilon(settings[1])
    keras.config.set_dtype_policy(settings[2])
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(work, shared, pipe.recv()))


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
