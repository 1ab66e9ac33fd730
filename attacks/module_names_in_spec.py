"""Name something else in a loss of the spec in Keras's form (CVE-2025-1550 and its successors)."""

from __future__ import annotations

import _build
from _run import Place, Variant, main


def thing(module, name, config=None, registered=None, **more) -> dict:
    """An object as Keras writes it."""
    return {
        "module": module,
        "class_name": name,
        "config": {} if config is None else config,
        "registered_name": registered,
        **more,
    }


def function(module, name, registered="function") -> dict:
    """A function as Keras writes it."""
    return thing(module, "function", name, registered)


def evil(place: Place) -> dict[str, object]:
    """What a spec could name, by what it is."""
    touch, marker = f"touch {place.marker}", str(place.marker)
    mse = thing("keras.losses", "MeanSquaredError")
    dense = thing("keras.layers", "Dense", {"units": 10**9})
    return {
        "os.system": function("os", "system"),
        "os.system as a class": thing("os", "system", {"command": touch}),
        "posix.system": function("posix", "system"),
        "subprocess.Popen": thing("subprocess", "Popen", {"args": touch, "shell": True}),
        "builtins.eval": function("builtins", "eval"),
        "builtins.exec as a class": thing("builtins", "exec", {"source": touch}),
        "builtins.open": thing("builtins", "open", {"file": marker, "mode": "w"}),
        "keras.utils.get_file": function("keras.utils", "get_file"),
        "keras.utils.get_file as builtin": function("builtins", "get_file"),
        "keras.src internals": function("keras.src.utils.python_utils", "func_load"),
        "keras.src losses": thing("keras.src.losses.losses", "MeanSquaredError"),
        "keras.src wrapper": thing(
            "keras.src.losses.losses", "LossFunctionWrapper", {"fn": function("os", "system")}
        ),
        "keras.config switch": function("keras.config", "enable_unsafe_deserialization"),
        "keras.saving.load_model": function("keras.saving", "load_model"),
        "keras.losses.deserialize": function("keras.losses", "deserialize"),
        "keras.losses.get": function("builtins", "get"),
        "keras.losses.Loss": thing("keras.losses", "Loss"),
        "Lambda layer": thing("keras.layers", "Lambda", {"function": function("os", "system")}),
        "bytecode": thing(
            "builtins", "__lambda__", {"code": "4wAAAAA=", "defaults": None, "closure": None}
        ),
        "a tensor": thing("builtins", "__tensor__", {"value": [0] * 9, "dtype": "float32"}),
        "a numpy array": thing("builtins", "__numpy__", {"value": [0], "dtype": "O"}),
        "bytes": thing("builtins", "__bytes__", {"value": "x"}),
        "a type of TensorFlow": thing("tensorflow", "__typespec__", [], spec_name="TensorSpec"),
        "a layer": dense,
        "TorchModuleWrapper": thing(
            "keras.layers", "TorchModuleWrapper", {"module": "evil", "lazy": True}
        ),
        "TFSMLayer": thing("keras.layers", "TFSMLayer", {"filepath": str(place.secret)}),
        "a model of ours": thing(None, "Model", {}, "polycera>Model"),
        "heads of ours": thing(
            None, "Heads", {"tasks": [{"kind": "regression", "name": "x"}]}, "polycera>Heads"
        ),
        "a loss, registered as ours": thing(
            "keras.losses", "MeanSquaredError", {}, "polycera>Heads"
        ),
        "a loss, registered as another": thing("keras.losses", "MeanSquaredError", {}, "os>system"),
        "a loss with more keys": {
            **mse,
            "build_config": {"input_shape": [10**9]},
            "compile_config": {"loss": "x"},
        },
        "a shared object": {**mse, "shared_object_id": 1},
        "a loss with another in it": thing("keras.losses", "MeanSquaredError", {"name": dense}),
        "a loss with fn": thing(
            "keras.losses", "MeanSquaredError", {"fn": function("os", "system")}
        ),
        "a type in a loss": thing(
            "keras.losses", "Huber", {"dtype": thing("os", "system", {"command": touch})}
        ),
        "a setting of another kind": thing("keras.losses", "Huber", {"delta": "1" * 100}),
        "a setting that is no number": thing("keras.losses", "Huber", {"delta": float("nan")}),
        "a place far out": thing("keras.losses", "CategoricalCrossentropy", {"axis": 10**9}),
        "deep": nested(200),
        "no names": {"class_name": None, "config": None},
        "names that are lists": {
            "class_name": ["a"],
            "module": {},
            "config": [],
            "registered_name": [1],
        },
        "a text": "os.system",
        "a text of Keras": "LossFunctionWrapper",
        "a number": 7,
        "a list of numbers": [[[1]]],
        "nothing": [],
    }


def nested(depth: int) -> dict:
    """A registered thing within a registered thing."""
    found = thing(None, "x", {}, "os>system")
    for _ in range(depth // 10):  # YAML itself is not read deeper
        found = thing("keras.losses", "Huber", {"delta": found})
    return found


def as_loss(name: str):
    """As the loss of a task."""
    return lambda p: _build.spec(
        p.run, lambda spec: spec["tasks"][0].update(loss=[{"loss": evil(p)[name], "weight": 1.0}])
    )


def as_joint(name: str):
    """As a joint term over both tasks."""

    def build(place: Place) -> None:
        term = {
            "kind": "joint",
            "name": "x",
            "weight": 1.0,
            "tasks": ["revenue", "churn"],
            "fn": evil(place)[name],
        }
        _build.spec(place.run, lambda spec: spec["tasks"].append(term))

    return build


def as_method(room: str, value):
    """As the name or the settings of a weighting or balancing."""
    return lambda p: _build.spec(p.run, lambda spec: spec["training"].update({room: value}))


def as_encoding(value: str):
    """As the encoding by which a table is read."""
    return lambda p: _build.spec(p.run, lambda spec: spec["data"].update(encoding=value))


_NAMES = list(evil(Place(*[__import__("pathlib").Path("x")] * 4)))
METHODS = [
    "os.system",
    {"name": "os.system"},
    {"name": "dwa", "window": "os"},
    {"name": ["dwa"]},
    {"x": 1},
    {"name": "dwa", "__class__": 1},
]
VARIANTS = [
    *[Variant(f"{name} as a loss", as_loss(name)) for name in _NAMES],
    *[Variant(f"{name} as a joint term", as_joint(name)) for name in _NAMES[:12]],
    *[
        Variant(f"{value} as a {room}", as_method(room, value))
        for room in ("weighting", "balancing")
        for value in METHODS
    ],
    *[
        Variant(f"the encoding {value}", as_encoding(value))
        for value in ("os", "../x", "zip_codec", "x" * 10**5)
    ],
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
