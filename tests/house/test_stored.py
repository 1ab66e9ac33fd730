"""Test that files of earlier versions load: runs, specs, interrupted trainings, .keras files.

`tools/store.py` writes a folder once a version, one a backend. A fresh process, which has nothing
registered but what `import polycera` registers, reads all of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from fresh import python

ROOT = Path(__file__).resolve().parents[2]
VERSIONS = sorted(path.name for path in (ROOT / "tests" / "stored").iterdir())

READ = """
import json, shutil, sys
from pathlib import Path
import numpy as np
import polycera as pc

sys.path.insert(0, {tools!r})
import store

import keras

for place in sorted(Path({version!r}).iterdir()):
    same = place.name == keras.backend.backend()
    near = dict(rtol=1e-6, atol=1e-6) if same else dict(rtol=1e-4, atol=1e-4)
    expected = json.loads((place / "expected.json").read_text())
    for name in ("own", "adopted"):  # first, so that nothing of a run helps to load them
        model = keras.saving.load_model(place / (name + ".keras"))
        answers = model.predict(np.array(expected[name]["x"], "float32"), verbose=0)
        for task, values in expected[name]["answers"].items():
            np.testing.assert_allclose(answers[task], values, err_msg=f"{{place}} {{task}}", **near)
    run = pc.load(place / "run")
    answers = store.columns(run.predict(store.inputs()))
    assert list(answers) == list(expected["run"]), (list(answers), list(expected["run"]))
    for name, values in expected["run"].items():
        if isinstance(values[0], str):
            assert answers[name] == values, name
        else:
            np.testing.assert_allclose(answers[name], values, err_msg=f"{{place}} {{name}}", **near)
    assert run.metrics["test"] == expected["metrics"]
    assert pc.verify(place / "run").whole, pc.verify(place / "run")
"""


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_version_wrote_is_read_and_answers_the_same(version: str) -> None:
    python(READ.format(tools=str(ROOT / "tools"), version=str(ROOT / "tests" / "stored" / version)))


TRAIN = """
import shutil, sys
from pathlib import Path
import polycera as pc

sys.path.insert(0, {tools!r})
import store

out = Path({out!r})
shutil.copytree({place!r} + "/cut_off", out / "cut_off")
gone_on = pc.resume(out / "cut_off", source=store.table(), progress=False)
again = pc.fit(store.table(), spec={place!r} + "/spec.yaml", out=out / "again", progress=False)
for run in (gone_on, again):
    assert set(run.metrics["test"]) == {{"price", "share", "sold", "kind", "visits"}}
report = pc.report({place!r} + "/run", out / "report.html")
assert "price" in report.read_text()
"""


@pytest.mark.nobackend
@pytest.mark.parametrize("version", VERSIONS)
def test_a_spec_trains_a_cut_off_training_goes_on_and_a_run_is_reported(
    version: str, tmp_path: Path
) -> None:
    place = ROOT / "tests" / "stored" / version / "jax"
    python(TRAIN.format(tools=str(ROOT / "tools"), place=str(place), out=str(tmp_path)))
