"""Test what may happen to a folder: a second process, a full disk, a flipped bit, a cut file.

What was written is what is read.
"""

from __future__ import annotations

import math
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from damage import cut, flipped, room_for
from fresh import environment
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from polycera.errors import Damaged, InputError, InUse, PolyceraError
from polycera.runs import Spec, folder, kept_epochs, manifest, timing, to_yaml
from polycera.runs.checkpoints import Checkpoints
from polycera.runs.save_interval import SaveInterval
from polycera.runs.timing import TIMING, Timing
from polycera.storage import arrays, atomic, lock, state_json
from polycera.storage.arrays import StoredArrays

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

# -- one process at a time -------------------------------------------------------------------------

HOLD = """
import sys, time
from pathlib import Path
from polycera.storage import lock
with lock.acquired(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""
RESUME = """
import sys
import polycera_cli
try:
    polycera_cli.main(["resume", sys.argv[1]])
except SystemExit as ended:
    print(ended.code, "keras" in sys.modules)
"""


def test_a_second_process_is_refused_at_once_and_a_dead_one_forgotten(tmp_path: Path) -> None:
    place = tmp_path / folder.CHECKPOINTS
    command = [sys.executable, "-c", HOLD, str(place)]
    with subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        for ask in (lock.check, lambda where: lock.acquired(where).__enter__()):
            begun = time.perf_counter()
            with pytest.raises(InUse, match="Another process is training in"):
                ask(place)
            assert time.perf_counter() - begun < 1
        # the command line says so before it imports Keras, which takes seconds
        asked = [sys.executable, "-c", RESUME, str(tmp_path)]
        done = subprocess.run(asked, env=environment(), capture_output=True, text=True, timeout=100)
        assert done.stdout == "1 False\n"
        assert done.stderr.startswith("polycera: Another process is training in")
        assert first.poll() is None
        first.send_signal(signal.SIGKILL)
    assert (place / lock.LOCK).exists()
    lock.check(place)
    with lock.acquired(place):
        pass
    assert not (place / lock.LOCK).exists()


def test_the_lock_is_let_go_of_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), lock.acquired(tmp_path):
        raise ZeroDivisionError
    with lock.acquired(tmp_path):
        pass


# -- a full disk -----------------------------------------------------------------------------------


NOTES = {
    "rows": None,
    "seed": 1,
    "finished": False,
    "random": {"numpy": np.arange(3)},
    "callbacks": [],
}
VALUES = {
    "model/0000/kernel": np.arange(6.0).reshape(2, 3),
    "optimizer/0000/m": np.ones(3, "float32"),
}


def test_a_disk_that_is_full_at_any_byte_leaves_the_checkpoint_before(tmp_path: Path) -> None:
    points = Checkpoints(tmp_path)
    good = points.save(0, 7, VALUES, NOTES)
    before = good.read_bytes()
    for room in range(len(before)):
        with pytest.raises(PolyceraError) as failed, room_for(room):
            points.save(1, 0, VALUES, NOTES)
        assert str(failed.value).startswith("Cannot write '")
        assert str(failed.value).endswith(f"({len(before)} bytes): File too large.")
        assert [path.name for path in tmp_path.iterdir()] == [good.name]
        assert good.read_bytes() == before
    with room_for(len(before)):
        points.save(1, 0, VALUES, NOTES)
    assert len(points.all()) == 2


def test_a_file_where_the_folder_should_be(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("mine")
    for work in (
        lambda: Checkpoints(place).save(0, 1, VALUES, NOTES),
        lambda: lock.acquired(place).__enter__(),
    ):
        with pytest.raises(PolyceraError, match=r"^Cannot write '.*file'.*\.$"):
            work()
    assert place.read_text() == "mine"


def test_what_a_killed_process_left_half_written_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".123.000001-00000000.safetensors").write_bytes(b"half")
    (tmp_path / ".mine").write_bytes(b"whole")
    atomic.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".mine"]


# -- damage ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every possible file, by our own writers, though no training has two at once."""
    place = tmp_path_factory.mktemp("made") / "run"
    (place / folder.EPOCHS).mkdir(parents=True)
    score = SimpleNamespace(value=0.5, trivial=1.0, ideal=0.0, direction="min", skill=0.5)
    atomic.write(
        place / folder.SPEC, to_yaml(Spec(tasks=[{"kind": "regression", "name": "price"}]))
    )
    blocks = {"columns": [], "gaps": []}
    encoder = {
        "numbers": {**blocks, "mean": [], "deviation": []},
        "booleans": {**blocks, "share": []},
    }
    encoder |= {
        "categories": [],
        "dates": {**blocks, "mean": [], "deviation": []},
        "left_out": ["é"],
    }
    atomic.write(
        place / folder.SCHEMA,
        manifest.page({"columns": [], "encoder": encoder, "rows": "", "warnings": []}),
    )
    scores = {"test": {"price": {"mse": vars(score)}}}
    atomic.write(place / folder.METRICS, manifest.page({"part": "test", **scores}))
    atomic.write(place / folder.HISTORY, b"epoch,loss\n0,0.5\n1,\n")
    for name in (folder.MODEL, folder.GRADIENTS):
        arrays.write(place / name, VALUES, {"tasks": ["price"]})
    for epoch in (0, 3):
        kept_epochs.write(
            place / folder.EPOCHS, epoch, VALUES, {"price": {"mse": score}}, [("price", "mse")]
        )
    points = Checkpoints(place / folder.CHECKPOINTS)
    for batch in (1, 2):
        points.save(4, batch, VALUES, NOTES)
    epochs = [f"{folder.EPOCHS}/{path.name}" for path in kept_epochs.files(place / folder.EPOCHS)]
    manifest.add(place, [*(path.name for path in place.iterdir() if path.is_file()), *epochs])
    values = {"command": "polycera fit", "source_changed": "2026-01-01 00:00:00+00:00"}
    versions = {"python": "3", "keras": "3"}
    timing.write(place, Timing(versions, manifest.identity(place), seconds=1.5, **values))
    return place


def read_all(place: Path) -> list[str]:
    """Everything in a run, as whoever opens it reads it; what was said in warnings."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = folder.Folder(place)
        assert found.finished
        found.spec, found.schema, found.versions, found.metrics, found.history, found.weights.arrays  # noqa: B018
        StoredArrays(place / folder.GRADIENTS).arrays  # noqa: B018
        assert len(found.epochs) == 2 or said
        points = Checkpoints(place / folder.CHECKPOINTS)
        assert points.newest() is not None
        for path in points.all()[: 1 if points.unreadable else 2]:
            assert StoredArrays(path).notes  # the one before is read only in need
    return [str(one.message) for one in said]


NAMES = [
    *(
        folder.SPEC,
        folder.SCHEMA,
        TIMING,
        folder.METRICS,
        folder.HISTORY,
        folder.MODEL,
        folder.GRADIENTS,
    ),
    *(manifest.MANIFEST, "epochs/000003.safetensors"),
    *("checkpoints/000004-00000001.safetensors", "checkpoints/000004-00000002.safetensors"),
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("change", "times"), [(flipped, 60), (cut, 15)], ids=["flipped bit", "cut short"]
)
def test_damage_is_noticed(name: str, change: Callable[..., bytes], times: int, run: Path) -> None:
    path, draw = run / name, random.Random(name)
    before = path.read_bytes()
    assert read_all(run) == []
    try:
        for _ in range(times):
            path.write_bytes(change(before, draw))
            try:
                said = read_all(run)
            except PolyceraError as error:
                said = [str(error)]
            assert said, "unnoticed"
            assert all(sentence[-1] in ".…" and "\n" not in sentence for sentence in said), said
    finally:
        path.write_bytes(before)


def test_every_bit_of_a_file_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    arrays.write(path, {"a": np.arange(3)}, {"b": "c"})
    before = path.read_bytes()
    for bit in range(8 * len(before)):
        path.write_bytes(
            before[: bit // 8] + bytes([before[bit // 8] ^ 1 << bit % 8]) + before[bit // 8 + 1 :]
        )
        with pytest.raises(Damaged, match="damaged or was changed"):
            StoredArrays(path)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_which_stays_until_the_next_is_safe(
    tmp_path: Path,
) -> None:
    points = Checkpoints(tmp_path)
    first, second = (points.save(0, batch, VALUES, NOTES) for batch in (1, 2))
    second.write_bytes(second.read_bytes()[:-1])
    again = Checkpoints(tmp_path)
    with pytest.warns(UserWarning, match="The checkpoint before it is used; without one"):
        found = again.newest()
    assert found is not None
    assert found.path == first
    assert len(again.unreadable) == 1
    third = again.save(0, 3, VALUES, NOTES)
    assert {first, third} <= set(again.all())
    with pytest.warns(UserWarning):
        third.write_bytes(b"")
        assert Checkpoints(tmp_path).newest().path == first  # type: ignore[union-attr]


# -- what was put in comes out ---------------------------------------------------------------------

DTYPES = (
    "bool",
    "int8",
    "uint16",
    "int32",
    "int64",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
numpys = st.sampled_from(DTYPES).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0))
)
keys = texts | st.integers() | st.tuples(texts, st.integers()) | st.just(state_json.TAG)
atoms = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts
states = st.recursive(
    atoms
    | numpys
    | st.sampled_from(DTYPES).map(lambda dtype: np.zeros(1, dtype)[0])
    | st.lists(st.floats(), min_size=state_json.MANY, max_size=state_json.MANY + 2)
    | st.sets(texts | st.integers())
    | st.frozensets(st.integers()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


def same(a: Any, b: Any) -> bool:
    """Equal to the bit and of one type, where one NaN is as good as another."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray | np.generic):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return a == b


@given(states)
@example({"a": {"b/c": np.ones(1)}, "a/b": {"c": np.zeros(2)}})
@example([0.0, -0.0] * state_json.MANY)
@example({1: "one", "1": 2, (1, "x"): {2, 3}})
def test_state_comes_back_to_the_bit(state: Any) -> None:
    value, beside = state_json.split(state)
    assert same(state_json.join(msgspec.json.decode(msgspec.json.encode(value)), beside), state)


@pytest.mark.parametrize(
    "strange", [object(), {"a": [len]}, np.array(["a"]), np.array([None]), b"bytes", 1j]
)
def test_what_is_no_plain_state_is_refused(strange: Any) -> None:
    with pytest.raises(TypeError, match="is a"):
        state_json.split({"here": strange})


@pytest.mark.parametrize(
    "value", [{"~": "code", "of": 1}, {"~": "array", "of": "/x"}, {"~": "int", "of": "x"}, {"~": 1}]
)
def test_what_nobody_wrote_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="A saved state is not valid"):
        state_json.join(value, {})


@given(st.dictionaries(texts, numpys, max_size=4), states)
def test_arrays_and_notes_come_back_to_the_bit(
    tmp_path_factory: Any, values: dict[str, Any], notes: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "round.safetensors"
    arrays.write(path, values, notes)
    found = StoredArrays(path)
    assert found.arrays.keys() == found.shapes.keys() == values.keys()
    assert all(same(found.arrays[name], value) for name, value in values.items())
    assert {name: shape for name, (shape, _) in found.shapes.items()} == {
        n: v.shape for n, v in values.items()
    }
    assert same(found.notes, notes)
    written = path.read_bytes()
    arrays.write(path, dict(reversed(values.items())), notes)
    assert path.read_bytes() == written


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn"])
def test_numbers_that_numpy_only_borrows(name: str, tmp_path: Path) -> None:
    import ml_dtypes

    values = np.arange(4).astype(getattr(ml_dtypes, name)).reshape(2, 2)
    arrays.write(
        tmp_path / "a.safetensors",
        {"a": values, "b": np.arange(3, dtype=">f4"), "c": np.eye(3)[:, 1:].T},
    )
    found = StoredArrays(tmp_path / "a.safetensors").arrays
    assert same(found["a"], values)
    assert same(found["b"], np.arange(3, dtype="<f4"))
    assert same(found["c"], np.eye(3)[:, 1:].T)


# -- how often -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number", "unit"),
    [
        *(
            ("5 minutes", 300, "second"),
            ("30s", 30, "second"),
            ("1.5 h", 5400, "second"),
            ("minute", 60, "second"),
        ),
        *(
            ("200 batches", 200, "batch"),
            ("batch", 1, "batch"),
            (" 1 EPOCH ", 1, "epoch"),
            ("2 epochs", 2, "epoch"),
        ),
    ],
)
def test_how_often(text: str, number: float, unit: str) -> None:
    assert SaveInterval.of(text) == SaveInterval(number, unit)


@given(
    st.text(max_size=12)
    | st.builds("{} {}".format, st.integers(-3, 3), st.sampled_from(["batches", "s", "weeks"]))
)
@example("0 batches")
@example("1.5 epochs")
@example("9" * 400 + " s")
def test_any_text_is_a_time_or_refused_in_a_sentence(text: str) -> None:
    try:
        found = SaveInterval.of(text)
    except InputError as error:
        assert "'5 minutes', '200 batches' or '1 epoch'" in str(error)
    else:
        assert found.number > 0
        assert found.unit in ("second", "batch", "epoch")
        assert math.isfinite(found.number)
