"""Test reports of damaged, strange, unfinished or absent runs: one sentence, or a page.

The page leaves out the view that is not possible.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
from folders import Outline, page

from polycera import reports
from polycera.errors import Damaged, InputError, PolyceraError, UnknownName
from polycera.reports import markup, run_view
from polycera.runs import folder, manifest, region_gradients, results
from polycera.storage import arrays, atomic
from polycera.storage.arrays import StoredArrays

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, said in (
        (tmp_path / "nowhere", "There is no run folder"),
        (tmp_path / "empty", "is no run: it lacks spec.yaml, schema.json, manifest.json"),
    ):
        with pytest.raises(InputError, match=said):
            reports.report(path)
        with pytest.raises(InputError, match=said):
            reports.plot(path, "joint", tmp_path / "x.svg")
    with pytest.raises(InputError, match="at least one run"):
        reports.report([])


def test_a_run_named_twice_is_refused(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", rich=False)
    with pytest.raises(InputError, match="is named twice"):
        reports.report([path, tmp_path / "." / "run"])


def test_where_a_page_cannot_go(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", rich=False)
    with pytest.raises(InputError, match=r"end the name in \.html"):
        reports.report(path, path / "spec.yaml")
    (tmp_path / "taken.html").mkdir()
    for place in (
        tmp_path / "nowhere" / "a.html",
        tmp_path / "taken.html",
        tmp_path / ("a" * 300 + ".html"),
    ):
        with pytest.raises(PolyceraError, match="Cannot write"):
            reports.report(path, place)


def test_an_unknown_picture_lists_those_there_are(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", rich=False)
    with pytest.raises(
        UnknownName, match=r"'jiont'; did you mean 'joint'\? known: 'skills', 'joint'"
    ):
        reports.plot(path, "jiont", tmp_path / "x.svg")
    with pytest.raises(UnknownName, match="this run lacks the data for it"):
        reports.plot(path, "affinity", tmp_path / "x.svg")
    with pytest.raises(InputError, match=r"\.svg or \.png"):
        reports.plot(path, "joint", tmp_path / "x.gif")


STRANGE = {folder.HISTORY: b"epoch,loss\n0\n"}

OPTIONAL = [
    folder.HISTORY,
    folder.METRICS,
    folder.GRADIENTS,
    *(results.SHARING, results.QUALITY, results.IMPORTANCE, results.THRESHOLDS, results.COMPARISON),
]


@pytest.mark.parametrize("name", OPTIONAL)
@pytest.mark.parametrize("how", ["flipped", "gone", "stranger's"])
def test_a_file_that_is_damaged_is_named_and_the_rest_is_shown(
    tmp_path: Path, name: str, how: str
) -> None:
    path = folders.make(tmp_path / "run", epochs=4)
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    if how == "gone":
        (path / name).unlink()
    else:
        atomic.write(
            path / name, bytes(content) if how == "flipped" else STRANGE.get(name, b'{"tasks": 3}')
        )
    if how == "stranger's":
        manifest.add(path, [name])
    found = page(path)
    assert "Not all of this run can be read:" in found.text
    assert name in found.text.split("Not all of this run can be read:")[1][:600]
    assert {"verdict", "data", "repeat"} <= set(found.sections)


@pytest.mark.parametrize("name", [folder.SPEC, manifest.MANIFEST])
def test_without_spec_or_manifest_nothing_can_be_said(tmp_path: Path, name: str) -> None:
    path = folders.make(tmp_path / "run", rich=False)
    atomic.write(path / name, b"{}")
    with pytest.raises(PolyceraError, match=name):
        reports.report(path)
    assert not (path / "report.html").exists()


def test_a_damaged_epoch_is_named(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run")
    one = next((path / "epochs").iterdir())
    atomic.write(one, b"nothing")
    assert f"The kept epoch {one.name!r} is left out" in page(path).text


def checkpoint(path: Path, state: Any) -> None:
    """A checkpoint whose history is this."""
    notes = {
        "rows": None,
        "seed": 0,
        "finished": False,
        "random": {},
        "callbacks": [{"class": "History", "state": state}],
    }
    (path / folder.CHECKPOINTS).mkdir(exist_ok=True)
    arrays.write(
        path / folder.CHECKPOINTS / "000002-00000005.safetensors",
        {"w": np.zeros(1)},
        {**notes, "epoch": 2, "batch": 5},
    )


def test_a_run_that_goes_on_shows_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "run"
    folders.begin(path, ["mass"], ["regression"])
    nothing_yet = page(path)
    assert nothing_yet.sections == ["verdict", "data", "repeat"]
    assert (
        "This training has not ended. What is known so far is below; to go on with it: "
        f"polycera resume {path}"
    ) in nothing_yet.text
    columns = {
        "loss": [0.9, 0.8],
        "val_loss": [1.0, 0.9],
        "val_mass_skill": [0.1, 0.2],
        "val_joint": [0.1, 0.2],
    }
    checkpoint(
        path, {"epoch": [0, 1], "history": columns | {"mass/mse": [0.9, 0.8], "short": [1.0]}}
    )
    found = page(path)
    assert found.sections == ["verdict", "skills", "joint", "curves", "data", "repeat"]
    assert "its newest checkpoint is in epoch 2, before batch 5" in found.text
    assert "it reaches a mean skill of 0.200" in found.text
    assert "So far it took 2 epochs; the joint score was highest in epoch 1 (0.2)." in found.text


HUGE = {"epoch": [0, 10**30], "history": {"loss": [10**400, 1.0], 3: [1.0, 2.0]}}


@pytest.mark.parametrize(
    "state", [None, 3, {}, {"epoch": 1}, {"epoch": ["x"], "history": {"loss": ["<b>"]}}, HUGE]
)
def test_a_strange_checkpoint_is_no_traceback(tmp_path: Path, state: Any) -> None:
    path = tmp_path / "run"
    folders.begin(path, ["mass"], ["regression"])
    checkpoint(path, state)
    assert "verdict" in page(path).sections


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run"
    folders.begin(path, ["mass"], ["regression"])
    (path / folder.CHECKPOINTS).mkdir()
    atomic.write(path / folder.CHECKPOINTS / "000002-00000005.safetensors", b"nothing")
    assert "000002-00000005.safetensors" in page(path).text


GOOD = {"tasks": ["a", "b"], "source": "probe", "places": ["trunk"], "epochs": [0, 1], "looks": [0]}


def gradients(path: Path, notes: Any, **shapes: tuple[int, ...]) -> StoredArrays:
    """A file of gradients of these shapes."""
    wanted = {"weights": (2, 1, 2), "norms": (2, 1, 2), "cosines": (1, 1, 2, 2)} | shapes
    arrays.write(path, {name: np.ones(shape) for name, shape in wanted.items()}, notes)
    return StoredArrays(path)


@pytest.mark.parametrize(
    ("notes", "shapes", "said"),
    [
        (GOOD, {"weights": (2, 2)}, r"its weights are \[2, 2\], and \[2, 1, 2\] follows"),
        (GOOD, {"cosines": (1, 1, 2, 3)}, r"its cosines are \[1, 1, 2, 3\]"),
        (GOOD, {"conflicts": (1,)}, r"its conflicts are \[1\]"),
        ({**GOOD, "tasks": "ab"}, {}, "its tasks are not a list of names"),
        ({**GOOD, "places": [1]}, {}, "its places are not a list of names"),
        ({**GOOD, "epochs": ["x", "y"]}, {}, "invalid literal"),
        ({**GOOD, "epochs": [0, math.inf]}, {}, "cannot convert float infinity"),
        ([], {}, "its tasks are not a list of names"),
    ],
)
def test_gradients_that_do_not_fit_their_notes_are_refused(
    tmp_path: Path, notes: Any, shapes: Any, said: str
) -> None:
    with pytest.raises(Damaged, match=said):
        region_gradients.read(gradients(tmp_path / "gradients.safetensors", notes, **shapes))


def test_gradients_of_an_older_run_have_one_place(tmp_path: Path) -> None:
    shapes = {"weights": (3, 2), "norms": (3, 2), "cosines": (3, 2, 2)}
    found = region_gradients.read(
        gradients(tmp_path / "gradients.safetensors", {"tasks": ["a", "b"]}, **shapes)
    )
    assert (found.places, found.epochs, found.looks, found.conflicts) == (
        ["trunk"],
        [0, 1, 2],
        [0, 1, 2],
        None,
    )
    assert found.cosines.shape == (3, 1, 2, 2)


def test_hostile_names_make_no_element(tmp_path: Path) -> None:
    found = page(folders.make(tmp_path / "run", folders.HOSTILE, epochs=3))
    plain = page(folders.make(tmp_path / "plain", [f"task {i}" for i in range(8)], epochs=3))
    assert set(found.elements) == set(plain.elements)
    assert found.elements.count("script") == 2 and "img" not in found.elements
    for name in folders.HOSTILE:
        assert name.replace("\x07", "\ufffd") in found.text


def test_metrics_of_a_stranger_are_numbers_or_nothing(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", ["mass"], rich=False)
    score = {"value": "<b>", "trivial": None, "ideal": 1.0, "direction": "<i>", "skill": "much"}
    facts = {
        "rows": {"<u>": "many", "train": 1e400},
        "parameters": [],
        "seconds": {},
        "picked": "x",
        "epochs": None,
    }
    atomic.write(
        path / folder.METRICS,
        b'{"part": "test", "test": {"mass": {"rmse": %s}, "<s>": {}}}' % manifest.page(score),
    )
    manifest.add(path, [folder.METRICS])
    assert "verdict" in page(path).sections
    whole = {"part": "test", "test": {"mass": {"rmse": score}}, **facts}
    atomic.write(path / folder.METRICS, manifest.page(whole))
    manifest.add(path, [folder.METRICS])
    assert not {"b", "i", "u", "s"} & set(page(path).elements)


def test_infinite_and_missing_numbers_are_no_traceback(tmp_path: Path) -> None:
    skills = np.array([[math.inf, math.nan, -math.inf], [0.1, math.nan, 0.3]])
    path = folders.make(tmp_path / "run", epochs=2, skills=skills)
    assert page(path).sections[:2] == ["verdict", "skills"]
    nothing = folders.make(tmp_path / "nothing", epochs=2, skills=np.full((2, 3), math.nan))
    assert "verdict" in page(nothing).sections


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (results.SHARING, b'"shape": [', b'"shape": [1%0400d, ' % 0, "sharing.json"),
        (
            results.QUALITY,
            b'"edges": [',
            b'"edges": [\n1e300, ',
            "The picture 'residuals/mass' cannot be drawn: ",
        ),
        (
            folder.HISTORY,
            b"\n3,",
            b"\n1e300,",
            "The picture 'joint' cannot be drawn: The horizontal axis holds",
        ),
    ],
    ids=["an integer that no float is", "edges that do not ascend", "an epoch that is too far"],
)
def test_what_cannot_be_drawn_is_left_out_and_named(
    tmp_path: Path, name: str, old: bytes, new: bytes, said: str
) -> None:
    path = folders.make(tmp_path / "run", epochs=4)
    content = (path / name).read_bytes().replace(old, new)
    if name == results.QUALITY:  # in the place of the first one
        content = re.sub(rb"\n1e300,\s*[^,]+,", b"1e300,", content)
    atomic.write(path / name, content)
    manifest.add(path, [name])
    found = page(path)
    assert said in found.text.split("Not all of this run can be read:")[1]
    assert {"verdict", "skills", "data", "repeat"} <= set(found.sections)


def test_a_kind_that_is_no_text(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", ["mass"], rich=False)
    atomic.write(
        path / folder.SPEC,
        (path / folder.SPEC).read_bytes().replace(b"kind: regression", b"kind: 5"),
    )
    manifest.add(path, [folder.SPEC])
    assert "data" in page(path).sections


def test_a_folder_whose_name_is_no_text(tmp_path: Path) -> None:
    place = tmp_path / os.fsdecode(b"run-\xff")
    try:
        place.mkdir()
        place.rmdir()
    except OSError:
        pytest.skip("this system has no such names")
    assert "joint" in page(folders.make(place)).sections


def test_markup_takes_text_for_text() -> None:
    made = markup.element(
        "p",
        "<b>",
        markup.element("i", "&"),
        None,
        ["x", 1 and "y"],
        title='"><script>',
        hidden=True,
        id=None,
    )
    assert made == '<p title="&quot;&gt;&lt;script&gt;" hidden>&lt;b&gt;<i>&amp;</i>xy</p>'
    assert markup.text("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    assert Outline(str(made)).wrong == []


def test_kept_epochs_of_two_trainings_are_not_compared(tmp_path: Path) -> None:
    path = folders.make(tmp_path / "run", ["mass", "sex"], epochs=4, keep=2)
    other = folders.make(tmp_path / "other", ["sex", "mass"], epochs=4, keep=4)
    atomic.write(
        path / "epochs" / "000001.safetensors",
        (other / "epochs" / "000001.safetensors").read_bytes(),
    )
    run = run_view.RunView(path)
    assert len(run.kept) == 2 and "the manifest of the run does not name it" in run.faults[0]
    manifest.add(path, ["epochs/000001.safetensors"])  # as whoever made such a run would
    run = run_view.RunView(path)
    assert run.kept == [] and "several trainings" in run.faults[0]
