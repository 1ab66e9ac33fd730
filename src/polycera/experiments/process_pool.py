"""Trainings side by side: in processes of their own, as many at once as there are cores, with one thread each."""

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
"""Seconds of work in all below which a process does it alone: another takes 3 to 10 to import Keras."""

PATIENCE = 20.0
"""Seconds that a process which is told to end has to save a checkpoint."""

ONE_THREAD = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    **dict.fromkeys(("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"), "1"),
}
"""What the backends read when they are imported: each process has one core, and the same sums in the same order."""

Pipe = connection.Connection
Busy = dict[Pipe, tuple[int, Any]]
"""Who is at work on which job."""


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def number(asked: int | None, jobs: int, seconds: float) -> int:
    """How many processes to use.

    Args:
        asked: by the user; None leaves it to us: one for each core, and this one alone where the
            work is small or the backend computes on an accelerator, which several processes would
            have to share.
        jobs: how many trainings there are.
        seconds: that all of them may take, one after the other.

    Raises:
        InputError: where `asked` is no whole number of 1 or more.
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
    import keras

    return "cpu" in str(getattr(keras.ops.zeros(1), "device", "cpu")).lower()


def expected(seconds: float, jobs: int, processes: int) -> str:
    """In words, how long it takes until all are done.

    Example:
        >>> expected(30.0, 8, 2)
        '2 at once: about 2 minutes'
    """
    total = seconds * math.ceil(jobs / processes)
    unit, size = next((pair for pair in UNITS if total >= 2 * pair[1]), UNITS[-1])
    where = "one after the other" if processes == 1 else f"{processes} at once"
    return f"{where}: about {max(1, round(total / size))} {unit}"


UNITS = (("hours", 3600), ("minutes", 60), ("seconds", 1))


def run(
    work: Callable[[Shared, Job], Done],
    shared: Shared,
    jobs: Sequence[Job],
    processes: int = 1,
    done: Callable[[Job, Done], None] | None = None,
) -> list[Done]:
    """`work(shared, job)` for each job; in this process where `processes` is 1.

    Args:
        work: a function of a module.
        shared: what all jobs have in common; it is sent to each process once.
        jobs: whose `str` names them in an error.
        processes: how many at once.
        done: called as each ends, in the order in which they end.

    Returns:
        what `work` gave, in the order of the jobs.

    Raises:
        PolyceraError, InputError: for the first that fails, with its name; the others are ended.
        KeyboardInterrupt: after all have ended.
    """
    found: dict[int, Done] = {}
    with _crew(work, shared, processes if processes > 1 else 0) as crew:
        for index, result in _results(crew, jobs) if crew else _here(work, shared, jobs):
            found[index] = result
            if done is not None:
                done(jobs[index], result)
    return [found[index] for index in range(len(jobs))]


def _here(
    work: Callable[[Shared, Job], Done], shared: Shared, jobs: Sequence[Job]
) -> Iterator[tuple[int, Done]]:
    for index, job in enumerate(jobs):
        answer = _answer(work, shared, job)
        yield index, _result(answer, job)


def _results(crew: dict[Pipe, Any], jobs: Sequence[Any]) -> Iterator[tuple[int, Any]]:
    """Hand out the jobs, the next to whoever is ready."""
    left, busy = iter(enumerate(jobs)), cast("Busy", {})
    for pipe in crew:
        _give(pipe, left, busy)
    while busy:
        for pipe in cast("list[Pipe]", connection.wait(list(busy))):
            index, job = busy.pop(pipe)
            try:
                answer = pipe.recv()
            except (EOFError, OSError):
                crew[pipe].join()
                raise PolyceraError(
                    f"The process that trained {job} ended unexpectedly (exit code {crew[pipe].exitcode}), perhaps for "
                    "want of memory; take fewer of them: processes=1."
                ) from None
            yield index, _result(answer, job)
            _give(pipe, left, busy)


def _give(pipe: Pipe, left: Iterator[tuple[int, Any]], busy: Busy) -> None:
    for index, job in left:
        busy[pipe] = (index, job)
        with suppress(OSError):  # a process that is gone is seen when its answer is read
            pipe.send(job)
        return


def _result(answer: tuple[bool, Any], job: Any) -> Any:
    """What a job gave, or its error."""
    good, what = answer
    if good:
        return what
    kind, sentence = what
    raise (InputError if kind == "InputError" else PolyceraError)(
        f"Training {job} failed: {sentence}"
    )


def _answer(work: Callable[[Any, Any], Any], shared: Any, job: Any) -> tuple[bool, Any]:
    """What the job gives, or the kind and the sentence of its error: an exception itself may not travel."""
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


# -- the processes -----------------------------------------------------------------------------------------------------


@contextmanager
def _crew(work: Callable[[Any, Any], Any], shared: Any, size: int) -> Iterator[dict[Pipe, Any]]:
    """Processes that wait for jobs, by the pipe to each; when it ends, none is left, whatever went wrong."""
    crew: dict[Pipe, Any] = {}
    try:
        with _surroundings() if size else nullcontext():
            for _ in range(size):
                pipe, process = _started(work, shared)
                crew[pipe] = process
        yield crew
        for pipe in crew:
            pipe.close()  # who waits for a job ends by this
    except BaseException:
        for process in crew.values():
            process.terminate()
        raise
    finally:
        _await(list(crew.values()))


def _await(crew: list[Any]) -> None:
    for process in crew:
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()


def _started(work: Callable[[Any, Any], Any], shared: Any) -> tuple[Pipe, Any]:
    import keras

    fresh = multiprocessing.get_context("spawn")  # a fork of a process that has threads may hang
    ours, theirs = fresh.Pipe()
    config = keras.config
    settings = (config.floatx(), config.epsilon(), config.dtype_policy().name)
    process = fresh.Process(target=_serve, args=(theirs, work, shared, settings), daemon=True)
    process.start()
    theirs.close()  # so that its end is seen here
    return ours, process


@contextmanager
def _surroundings() -> Iterator[None]:
    """What a process that starts finds: our backend, one thread, and nothing of the user's script.

    It would run that script again, which trains again where `if __name__ == "__main__":` is
    missing.
    """
    import keras

    wanted = ONE_THREAD | {"KERAS_BACKEND": keras.backend.backend()}
    before = {name: os.environ.get(name) for name in wanted}
    script = sys.modules["__main__"]
    os.environ |= wanted
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
    """The life of such a process: job after job, until the pipe is closed."""
    _on_our_own()
    import keras

    keras.config.set_floatx(settings[0])
    keras.config.set_epsilon(settings[1])
    keras.config.set_dtype_policy(settings[2])
    with suppress(EOFError, OSError):
        while True:
            pipe.send(_answer(work, shared, pipe.recv()))


def _on_our_own() -> None:
    """Ctrl-C is for the process that started this one, which then ends it; where that one is gone, end too."""
    if hasattr(os, "setsid"):
        os.setsid()
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)  # a training notes it and saves a checkpoint first

    threading.Thread(target=follow, daemon=True).start()
