"""Test what `import polycera` does: light, every name there, a backend chosen, classes known."""

from __future__ import annotations

import ast
import json
import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from fresh import python
from house.source import modules, plain
from small import dense

import polycera as pc
from polycera import startup
from polycera.errors import InputError, MissingExtra
from polycera.layers.devices import check_devices

pytestmark = pytest.mark.nobackend

HEAVY = {"keras", "jax", "tensorflow", "torch", "numpy", "scipy", "sklearn", "pandas"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    """A model in a file, and what it predicts for three rows of ones."""
    path = tmp_path_factory.mktemp("saved") / "model.keras"
    model = dense([pc.Regression("a"), pc.Binary("b")])
    model.save(path)
    return path, np.asarray(model.predict(np.ones((3, 3)), verbose=0)["a"])


def test_importing_is_light_and_every_name_is_there() -> None:
    found = json.loads(
        python(
            "import sys, json, polycera\n"
            "light = [m.split('.')[0] for m in sys.modules]\n"
            "from polycera import Binary, fit, load, Run, report, InputError, errors\n"
            "import polycera.tabular.fit, polycera.experiments.compare_weightings\n"
            "import polycera.diagnostics\n"
            "functions = [polycera.tabular.fit, polycera.diagnostics.compare_weightings, "
            "polycera.fit, polycera.compare_weightings]\n"
            "read = [m.split('.')[0] for m in sys.modules]\n"
            "print(json.dumps([light, read, dir(polycera), [callable(f) for f in functions]]))"
        )
    )
    light, read, names, functions = found
    assert set(light) & HEAVY == set()
    assert set(read) & (HEAVY - {"numpy"}) == set()
    assert set(pc.__all__) | set(pc.ESTIMATORS) <= set(names)
    assert not [name for name in names if name.startswith("_") and not name.startswith("__")]
    assert all(functions)


def test_every_public_name_is_found_where_its_place_says() -> None:
    assert set(pc.__all__) == set(pc.PLACES) | {"callbacks", "diagnostics", "layers", "plots"}
    for name in pc.__all__:
        assert getattr(pc, name) is not None
    assert pc.layers.Heads.__module__ == "polycera.layers.heads"
    assert pc.errors.InputError is pc.InputError
    with pytest.raises(AttributeError, match="no attribute 'Bnary'"):
        _ = pc.Bnary
    with pytest.raises(ImportError, match="Bnary"):
        exec("from polycera import Bnary")
    assert not hasattr(pc, "_nothing")


def test_names_can_be_pickled() -> None:
    for name in ("Binary", "InputError", "fit", "compare_weightings", "Model", "adopt"):
        assert pickle.loads(pickle.dumps(getattr(pc, name))) is getattr(pc, name)
    task = pc.Binary("churn", classes=("no", "yes"))
    assert pickle.loads(pickle.dumps(task)) == task


def test_the_type_checker_sees_every_name() -> None:
    """A lazily imported name must also be in the block that only a type checker reads."""
    for package, public in (
        ("polycera", {*pc.__all__, *pc.ESTIMATORS}),
        ("polycera.diagnostics", pc.diagnostics.__all__),
    ):
        (tree,) = (tree for name, tree in modules().items() if plain(name) == package)
        blocks = [
            node
            for node in tree.body
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        ]
        seen = {alias.asname for block in blocks for node in block.body for alias in node.names}  # type: ignore[attr-defined]
        assert set(public) <= seen


def test_every_class_that_a_file_may_name_is_known() -> None:
    found = {
        node.name: name
        for name, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
        if "register_keras_serializable(package='polycera')" in ast.unparse(decorator)
    }
    assert found == startup.SAVED


def test_a_file_is_loaded_after_a_bare_import_while_threads_import_too(
    saved: tuple[Path, np.ndarray],
) -> None:
    path, expected = saved
    code = (
        "import sys, threading, polycera as pc\n"
        "names, failed = ['Model', 'layers', 'fit', 'compare_weightings', 'callbacks', 'adopt', "
        "'Binary', 'describe_network'], []\n"
        "def use(name):\n"
        "    try: getattr(pc, name)\n"
        "    except BaseException as error: failed.append((name, repr(error)))\n"
        "threads = [threading.Thread(target=use, args=(name,)) for name in names]\n"
        "ours = [m for m in sys.modules if m.startswith('polycera.layers')]\n"
        "import keras, numpy as np\n"
        "model = keras.models.load_model(PATH)\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert not failed and not ours, (failed, ours)\n"
        "assert type(model) is pc.Model\n"
        "print(model.predict(np.ones((3, 3)), verbose=0)['a'].tolist())"
    )
    np.testing.assert_allclose(
        json.loads(python(f"PATH = {str(path)!r}\n{code}")), expected, rtol=1e-5
    )


def test_keras_that_failed_before_polycera_is_imported_anew(
    saved: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    """Nobody chose a backend, and Keras took its default: the notebook needs no restart."""
    path, expected = saved
    code = (
        "import sys, warnings\n"
        "sys.modules['tensorflow'] = None\n"
        "try: import keras\n"
        "except ImportError: pass\n"
        "else: raise SystemExit('Keras was imported without TensorFlow')\n"
        "with warnings.catch_warnings(record=True) as said:\n"
        "    warnings.simplefilter('always')\n"
        "    import polycera as pc, keras, numpy as np\n"
        "said = [str(one.message) for one in said if 'polycera has chosen' in str(one.message)]\n"
        "assert len(said) == 1 and 'tensorflow' in said[0] and 'KERAS_BACKEND=jax' in said[0], "
        "said\n"
        "assert keras.backend.backend() == 'jax'\n"
        "print(keras.models.load_model(PATH).predict(np.ones((3, 3)), verbose=0)['a'].tolist())"
    )
    out = python(f"PATH = {str(path)!r}\n{code}", KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    np.testing.assert_allclose(json.loads(out), expected, rtol=1e-5)
    assert json.loads((tmp_path / "keras.json").read_text())["backend"] == "tensorflow"


def test_keras_that_is_imported_before_polycera_knows_our_classes(
    saved: tuple[Path, np.ndarray],
) -> None:
    known = keras.saving.get_custom_objects()
    before = {name: known.pop(name) for name in list(known) if name.startswith("polycera>")}
    try:
        startup.prepare()
        loaded = keras.models.load_model(saved[0])
        assert repr(known["polycera>Named"]).endswith("not imported yet>")
    finally:
        known.update(before)
    np.testing.assert_allclose(loaded.predict(np.ones((3, 3)), verbose=0)["a"], saved[1], rtol=1e-5)


# -- the backend -----------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for keras.json, and no KERAS_BACKEND."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", "")
    return tmp_path


def settings(home: Path, text: Any) -> None:
    (home / "keras.json").write_text(text if isinstance(text, str) else json.dumps(text))


@pytest.mark.parametrize(
    ("file", "there", "chosen", "said"),
    [
        (None, {"jax"}, "jax", True),
        (None, {"torch"}, "torch", True),
        (None, {"jax", "tensorflow"}, "tensorflow", False),
        ({"backend": "tensorflow"}, {"torch", "jax"}, "jax", True),
        ({"backend": "torch"}, {"torch", "jax"}, "torch", False),
        ({"backend": "numpy"}, {"numpy", "jax"}, "numpy", False),
        ({"floatx": "float32"}, {"jax"}, "jax", True),
        ("{", {"jax"}, "jax", True),
    ],
)
def test_an_installed_backend_is_taken(
    file: Any, there: set[str], chosen: str, said: bool, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "installed", there.__contains__)
    if file is not None:
        settings(home, file)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert startup.choose_backend() == chosen
        assert startup.choose_backend() == chosen
    assert len(caught) == said  # once
    assert startup.os.environ["KERAS_BACKEND"] == (chosen if said else "")


@pytest.mark.parametrize(
    ("backend", "file", "there", "error", "fragments"),
    [
        ("evil", None, {"jax"}, InputError, ["KERAS_BACKEND", "'evil'", "jax, tensorflow, torch"]),
        ("torch", None, {"jax"}, MissingExtra, ["'torch'", "not installed", "polycera[torch]"]),
        ("", None, set(), MissingExtra, ["no backend", "polycera[jax]"]),
        ("", [1], {"jax"}, InputError, ["keras.json", "list", "delete it"]),
        ("", {"backend": "evil"}, {"jax"}, InputError, ["keras.json", "backend='evil'"]),
        ("", {"backend": ["jax"]}, {"jax"}, InputError, ["keras.json", "['jax']"]),
        (
            "",
            {"floatx": "float8"},
            {"tensorflow"},
            InputError,
            ["keras.json", "'float8'", "float32"],
        ),
        ("jax", [1], {"jax"}, InputError, ["keras.json", "list"]),
        ("jax", {"epsilon": "x"}, {"jax"}, InputError, ["keras.json", "epsilon='x'"]),
    ],
)
def test_a_backend_that_cannot_be_is_one_sentence(
    backend: str,
    file: Any,
    there: set[str],
    error: type[Exception],
    fragments: list[str],
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(startup, "installed", there.__contains__)
    monkeypatch.setenv("KERAS_BACKEND", backend)
    if file is not None:
        settings(home, file)
    with pytest.raises(error) as caught:
        startup.choose_backend()
    for fragment in fragments:
        assert fragment in str(caught.value)


def test_a_folder_that_an_uninstalled_package_left_is_no_backend(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "backend_that_was" / "core").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path)
    assert not startup.installed("backend_that_was")
    assert not startup.installed("backend_that_never_was")
    assert startup.installed("keras") and startup.installed("numpy")


def test_a_device_that_is_not_there_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    """JAX fails with an AssertionError that has no text."""

    def fail(*_: Any) -> None:
        raise AssertionError

    check_devices()
    monkeypatch.setattr(keras.ops, "zeros", fail)
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    check_devices()  # nobody asked for a device, so none is looked for
    monkeypatch.setenv("JAX_PLATFORMS", "cuda")
    with pytest.raises(
        pc.PolyceraError, match="JAX_PLATFORMS is 'cuda', and jax cannot compute there: it gives no"
    ):
        check_devices()


def test_an_import_of_keras_that_fails_is_one_sentence(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason; and the next one is tried anew."""

    class Broken:
        def exec_module(self, module: Any) -> None:
            raise ValueError("no such thing")

    monkeypatch.setattr(startup, "installed", {"jax"}.__contains__)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr(startup, "_forget_failed_import", lambda: None)
    loader = startup.KerasLoader(Broken())
    with pytest.raises(
        pc.PolyceraError, match="cannot be imported on the backend jax: ValueError: no such thing"
    ):
        loader.exec_module(SimpleNamespace(__spec__=None))  # type: ignore[arg-type]
    monkeypatch.setenv("KERAS_BACKEND", "evil")
    with pytest.raises(InputError, match="'evil'"):
        loader.exec_module(SimpleNamespace(__spec__=None))  # type: ignore[arg-type]
