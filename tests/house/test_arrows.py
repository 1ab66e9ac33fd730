"""Check the laws of the house against the source: docs/architecture.md has the table."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from house.source import (
    PACKAGE,
    ROOT,
    House,
    allowed,
    calls,
    dotted,
    imports,
    modules,
    plain,
    room,
    rooms,
)

pytestmark = pytest.mark.nobackend

BACKENDS = {"tensorflow", "jax", "jaxlib", "torch"}
BACKEND_FILE = f"{PACKAGE}.layers.backend"
KERAS_FILE = f"{PACKAGE}.layers.keras_graph"
KERAS_PRIVATE = {
    *("_keras_history", "_inbound_nodes", "_outbound_nodes", "_compile_config", "jax_state_sync"),
    *("_standardize_inputs", "_eval_epoch_iterator", "_use_cached_eval_dataset", "_layers"),
    *("_keras_mask", "_call_context_args", "_fn_kwargs", "_trainable_variables"),
    *("_compile_metrics", "_compile_loss", "_loss_tracker", "_operations", "_nodes"),
}
# `tasks` lies below `layers`: the one name of Keras that it needs has a door of its own.
OTHER_DOORS = {(f"{PACKAGE}.tasks.keras_losses", "_fn_kwargs")}
# Names of named tuples that are public by their documentation.
PUBLIC_OF_TUPLES = {"_asdict", "_fields", "_make", "_replace"}
# `storage` writes as it likes, the others only what is listed. Keras saves a model itself, to where
# `runs` says; DuckDB copies a relation into a temporary folder that `storage` made.
WRITERS = {
    "data": {"to_parquet"},
    "model": {"save", "save_weights"},
    "tabular": {"save"},
    "callbacks": {"save"},
}
WRITES = {
    *(
        "write_text",
        "write_bytes",
        "mkdir",
        "makedirs",
        "touch",
        "unlink",
        "rmdir",
        "rmtree",
        "symlink_to",
    ),
    *(
        "to_csv",
        "to_parquet",
        "write_csv",
        "write_parquet",
        "write_table",
        "sink_parquet",
        "sink_csv",
    ),
    *(
        "savez",
        "savez_compressed",
        "save",
        "save_weights",
        "save_model",
        "save_file",
        "tofile",
        "savetxt",
    ),
    *("os.replace", "os.rename", "os.remove", "shutil.move", "shutil.copy", "shutil.copytree"),
}
CODE_FROM_FILES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
# What takes longer to import than a person wants to wait for `--help`.
HEAVY = {
    *{"keras", *BACKENDS, "pandas", "polars", "pyarrow", "scipy", "sklearn", "h5py", "duckdb"},
    *{"altair", "vl_convert", "jinja2"},
}


def wrong_arrows(house: House) -> list[str]:
    """Imports between rooms that the table does not allow."""
    ours = [i for i in imports(house) if i.what.split(".")[0] == PACKAGE]
    pairs = [(i, room(i.by), room(i.what)) for i in ours]
    return [
        f"{i}: the table lets {a} not import {b}"
        for i, a, b in pairs
        if a != b and b not in allowed(a)
    ]


def cycles(house: House) -> list[str]:
    """Return one cycle of modules that import each other at run time; an __init__ is a module."""
    known = {plain(name) for name in house}
    graph: dict[str, set[str]] = {name: set() for name in known}
    for i in imports(house):
        if i.what in known and not i.typing:
            graph[plain(i.by)].add(i.what)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return [" -> ".join(error.args[1])]
    return []


def private_keras(house: House) -> list[str]:
    """Uses of keras.src, imported or reached by dots."""
    found = [str(i) for i in imports(house) if f"{i.what}.".startswith("keras.src.")]
    nodes = [(name, node) for name, tree in house.items() for node in ast.walk(tree)]
    return found + [
        f"{n}:{x.lineno}"
        for n, x in nodes
        if isinstance(x, ast.Attribute) and dotted(x) == "keras.src"
    ]


def private_names_of_keras(house: House) -> list[str]:
    """Return uses of what Keras keeps to itself, outside the one file for them."""
    names = [(m, node) for m, tree in house.items() if m != KERAS_FILE for node in ast.walk(tree)]
    found = [f"{m}:{n.lineno} uses {n.attr}" for m, n in names if _attribute(n) in KERAS_PRIVATE]
    texts = [(m, n) for m, n in names if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return found + [
        f"{m}:{n.lineno} names {n.value}"
        for m, n in texts
        if n.value in KERAS_PRIVATE and (m, n.value) not in OTHER_DOORS
    ]


def _attribute(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else ""


def reaching_in(house: House) -> list[str]:
    """Return uses of another object's private names where its class is not in the same module."""
    found = []
    for name, tree in house.items():
        if name in (KERAS_FILE, BACKEND_FILE):
            continue
        own = private_names_defined(tree)
        found += [
            f"{name}:{node.lineno} reaches for {dotted(node) or node.attr}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and is_private(node.attr)
            and not _is_own(node.value)
            and node.attr not in own | PUBLIC_OF_TUPLES
        ]
        found += [
            f"{name}:{node.lineno} imports {alias.name}"
            for node in ast.walk(tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if is_private(alias.name)
        ]
        found += [
            f"{name}:{call.lineno} reaches for {call.args[1].value}"
            for call in calls(tree)
            if dotted(call.func) in ("getattr", "setattr", "hasattr", "delattr")
            and len(call.args) > 1
            and isinstance(call.args[1], ast.Constant)
            and is_private(str(call.args[1].value))
            and call.args[1].value not in own
            and (name, call.args[1].value) not in OTHER_DOORS
        ]
    return found


def private_names_defined(tree: ast.Module) -> set[str]:
    """Return the private names that the classes of a module define, and set on `self`."""
    names: set[str] = set()
    for kind in [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]:
        for node in ast.walk(kind):
            if isinstance(node, ast.FunctionDef):
                names.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                names |= {node.attr} if _is_own(node.value) else set()
        names |= {
            node.target.id
            for node in kind.body
            if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        }
    return {name for name in names if is_private(name)}


def is_private(name: str) -> bool:
    """Return whether a name begins with one underscore."""
    return name.startswith("_") and not name.startswith("__")


def _is_own(node: ast.AST) -> bool:
    """Return whether an expression is the object itself, its class or its bases."""
    if isinstance(node, ast.Call):
        return dotted(node.func) == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def backends(house: House) -> list[str]:
    """Imports of a backend outside the one file for them."""
    return [
        str(i) for i in imports(house) if i.what.split(".")[0] in BACKENDS and i.by != BACKEND_FILE
    ]


def keras_where_it_may_not_be(house: House) -> list[str]:
    """What the table's last column forbids: Keras at all, or its models."""
    seen = [(i, rooms()[room(i.by)].keras) for i in imports(house) if room(i.by) in rooms()]
    found = [
        str(i)
        for i, may in seen
        if may == "no" and i.what.split(".")[0] == "keras" and not i.typing
    ]
    found += [
        str(i)
        for i, may in seen
        if may == "no model" and i.what.startswith(("keras.Model", "keras.models"))
    ]
    nodes = [
        (name, node)
        for name, tree in house.items()
        if room(name) in rooms()
        for node in ast.walk(tree)
    ]
    models = {"keras.Model", "keras.Sequential", "keras.models"}
    strict = [
        (n, x)
        for n, x in nodes
        if rooms()[room(n)].keras == "no model" and isinstance(x, ast.Attribute)
    ]
    return found + [
        f"{name}:{node.lineno} uses {dotted(node)}"
        for name, node in strict
        if dotted(node) in models
    ]


def writes(house: House) -> list[str]:
    """Calls that change files, outside the modules that may."""
    found = []
    for name, tree in house.items():
        if room(name) == "storage":
            continue
        for call in calls(tree):
            path = dotted(call.func) or f".{getattr(call.func, 'attr', '')}"
            last = path.split(".")[-1]
            listed = ({last, path} & WRITES) - WRITERS.get(room(name), set())
            if listed or (last == "open" and _opens_for_writing(call)):
                found.append(f"{name}:{call.lineno} calls {path}")
    return found


def _opens_for_writing(call: ast.Call) -> bool:
    # open(path, mode), path.open(mode)
    args = call.args[1:] if isinstance(call.func, ast.Name) else call.args
    values = [*args, *(k.value for k in call.keywords if k.arg == "mode")]
    texts = [v.value for v in values if isinstance(v, ast.Constant) and isinstance(v.value, str)]
    return any(
        len(text) <= 3 and set(text) & set("wax+") and set(text) <= set("rwaxbt+") for text in texts
    )


def code_from_files(house: House) -> list[str]:
    """Ways by which a file's content could come to run."""
    found = [str(i) for i in imports(house) if i.what.split(".")[0] in CODE_FROM_FILES]
    every = [(name, call) for name, tree in house.items() for call in calls(tree)]
    found += [
        f"{n}:{c.lineno} calls {dotted(c.func)}"
        for n, c in every
        if dotted(c.func) in ("eval", "exec")
    ]
    unsafe = [(n, k) for n, c in every for k in c.keywords if isinstance(k.value, ast.Constant)]
    return found + [
        f"{n}:{k.value.lineno} says {k.arg}={k.value.value}"
        for n, k in unsafe
        if (k.arg, k.value.value) in (("allow_pickle", True), ("safe_mode", False))
    ]


LAWS: list[Callable[[House], list[str]]] = [
    wrong_arrows,
    cycles,
    private_keras,
    private_names_of_keras,
    reaching_in,
    backends,
    keras_where_it_may_not_be,
    writes,
    code_from_files,
]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_house_keeps_the_law(law: Callable[[House], list[str]]) -> None:
    assert law(modules()) == []


BAD = [
    (
        wrong_arrows,
        {"polycera.errors": "from polycera import tasks", "polycera.tasks.__init__": ""},
    ),
    (wrong_arrows, {"polycera.storage.atomic": "def f():\n    import polycera.tabular.fit"}),
    (
        wrong_arrows,
        {"polycera.data.read": "from ..layers.heads import Heads", "polycera.layers.heads": ""},
    ),
    (wrong_arrows, {"polycera.tasks.kinds": "import polycera as pc"}),
    (wrong_arrows, {"polycera.cellar.wine": "import polycera.errors"}),
    (
        cycles,
        {
            "polycera.tasks.a": "from . import b",
            "polycera.tasks.b": "def f():\n    from .a import x",
        },
    ),
    (
        cycles,
        {
            "polycera.tasks.__init__": "from .a import A",
            "polycera.tasks.a": "from polycera.tasks import B",
        },
    ),
    (private_keras, {"polycera.tasks.a": "from keras.src.losses import Loss"}),
    (private_keras, {"polycera.tasks.a": "from keras import src"}),
    (private_keras, {"polycera.tasks.a": "import keras\nkeras.src.losses"}),
    (private_names_of_keras, {"polycera.layers.heads": "tensor._keras_history.operation"}),
    (private_names_of_keras, {"polycera.layers.heads": "getattr(model, '_compile_config', None)"}),
    (reaching_in, {"polycera.callbacks.guard": "model._objective"}),
    (reaching_in, {"polycera.callbacks.guard": "self.model._scores = {}"}),
    (reaching_in, {"polycera.callbacks.guard": "getattr(model, '_objective', None)"}),
    (reaching_in, {"polycera.callbacks.guard": "from polycera.model.model import _members"}),
    (
        reaching_in,
        {
            "polycera.data.table": "class Table:\n    def of(self):\n        self._rows = []",
            "polycera.data.read": "table._rows",
        },
    ),
    (backends, {"polycera.layers.heads": "import jax.numpy as jnp"}),
    (backends, {"polycera_cli": "def f():\n    importlib.import_module('torch')"}),
    (keras_where_it_may_not_be, {"polycera.storage.atomic": "import keras"}),
    (keras_where_it_may_not_be, {"polycera.data.read": "from keras import Model"}),
    (keras_where_it_may_not_be, {"polycera.data.read": "import keras\nkeras.Model(x, y)"}),
    (writes, {"polycera_cli": "open('x.csv', 'w')"}),
    (writes, {"polycera_cli": "path.open(mode='ab')"}),
    (writes, {"polycera.data.read": "Path('x').write_text('y')"}),
    (writes, {"polycera.data.read": "frame().to_csv('y')"}),
    (writes, {"polycera.data.read": "model.save('m.keras')"}),
    (writes, {"polycera.callbacks.joint_score": "model.save_weights('m.weights.h5')"}),
    (writes, {"polycera.data.read": "os.replace(a, b)"}),
    (code_from_files, {"polycera.runs.read": "import pickle"}),
    (code_from_files, {"polycera.runs.read": "eval(text)"}),
    (code_from_files, {"polycera.runs.read": "np.load(path, allow_pickle=True)"}),
]


@pytest.mark.parametrize(
    ("law", "house"), BAD, ids=lambda x: getattr(x, "__name__", None) or str(x)[:60]
)
def test_the_law_sees_who_breaks_it(
    law: Callable[[House], list[str]], house: dict[str, str]
) -> None:
    assert law({name: ast.parse(text) for name, text in house.items()})


FINE = {
    "polycera.tabular.fit": (
        "from polycera.tasks import kinds\nfrom ..runs import atomic\nmodel.save(path)"
    ),
    "polycera.callbacks.joint_checkpoint": "model.save(temporary)",
    "polycera.tasks.__init__": "from .kinds import Binary",
    "polycera.tasks.kinds": (
        "import keras\nif TYPE_CHECKING:\n    from . import Binary\n'a'.replace('b', '')"
    ),
    "polycera.storage.atomic": "open('x', 'wb')\nif TYPE_CHECKING:\n    import keras",
    "polycera.layers.backend": "import torch\ntorch._foreach_norm([])",
    "polycera.data.table": (
        "class Table:\n    def __eq__(self, other):\n"
        "        self._rows = super()._rows\n        return self._rows == other._rows"
    ),
    "polycera.runs.spec": "spec._replace(tasks=[])\nspec.__class__",
    "polycera.data.read": (
        "import keras\nopen('x.csv')\nopen('wax')\nopen('x', 'rb')\nkeras.utils.PyDataset"
    ),
}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_the_law_lets_others_be(law: Callable[[House], list[str]]) -> None:
    assert law({name: ast.parse(text) for name, text in FINE.items()}) == []


def test_every_room_has_a_row() -> None:
    assert {room(name) for name in modules()} - set(rooms()) == set()


@pytest.mark.parametrize("name", rooms())
def test_every_row_is_a_room(name: str) -> None:
    """And its arrows lead to rows."""
    assert rooms()[name].may_import <= set(rooms())
    assert rooms()[name].keras in ("no", "no model", "yes", "later")
    if name not in {room(module) for module in modules()}:
        pytest.skip(f"{name} is in the table and not yet in src/")


@pytest.mark.parametrize("page", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_files_that_a_page_names_exist(page: str) -> None:
    """A path under src/ or tests/, or a file beside the one named before it in the same cell."""
    text = (ROOT / page).read_text(encoding="utf-8")
    bases = [ROOT, ROOT / "src", ROOT / "src" / PACKAGE, ROOT / "tests"]
    missing = []
    for line in text.splitlines():
        beside: list[Path] = []
        for name in re.findall(r"`([\w./]+\.py|[\w./]+/|[\w/]*\btest_\w+)`", line):
            found = [
                path
                for base in [*beside, *bases]
                for path in (base / name, base / f"{name}.py")
                if path.exists()
            ]
            missing += [] if found else [name]
            beside += [found[0].parent] if found else []
    assert missing == []


@pytest.mark.parametrize("name", ["", *(f".{name}" for name in rooms() if name != PACKAGE)])
def test_public_names_exist_and_are_explained(name: str) -> None:
    if f"{PACKAGE}{name}" not in {plain(module) for module in modules()}:
        pytest.skip("not written yet")
    module = importlib.import_module(PACKAGE + name)
    assert module.__doc__
    public = getattr(module, "__all__", ())
    assert name or public, "polycera.__all__ is empty"
    explained = (inspect.isclass, inspect.isfunction, inspect.ismodule)
    for each in public:
        thing = getattr(module, each)
        if any(check(thing) for check in explained):
            assert thing.__doc__, f"{module.__name__}.{each} has no docstring"
        if inspect.isclass(thing):
            assert silent_methods(thing) == [], (
                f"of {module.__name__}.{each}: methods without a docstring"
            )


def silent_methods(thing: type) -> list[str]:
    """Public methods and properties of our own that neither the class nor a base explains.

    A property in the place of a base's plain attribute is explained where the base lists its
    attributes, and what overrides a library's method (Keras's `build`, `call`) in that library.
    """
    bases = [base for base in thing.__mro__ if base.__module__.split(".")[0] == PACKAGE]
    foreign = {name for base in set(thing.__mro__) - set(bases) for name in vars(base)}
    attributes = {name for base in bases for name in inspect.get_annotations(base)}
    names = (
        {name for base in bases for name in vars(base) if not name.startswith("_")}
        - attributes
        - foreign
    )
    return sorted(
        n
        for n in names
        if _is_method(thing, n) and not inspect.getdoc(inspect.getattr_static(thing, n))
    )


def _is_method(thing: type, name: str) -> bool:
    static = inspect.getattr_static(thing, name)
    return inspect.isfunction(static) or isinstance(static, property | classmethod | staticmethod)


def test_the_command_line_starts_light() -> None:
    look = "import sys, polycera_cli; print(*{name.split('.')[0] for name in sys.modules})"
    answer = subprocess.run(
        [sys.executable, "-c", look],
        cwd=ROOT / "src",
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert set(answer.stdout.split()) & HEAVY == set()
