"""What happens when Keras is imported: a backend is chosen, and the classes in saved models are made known to it.

`import polycera` imports neither Keras nor a backend, for that takes seconds. It calls `prepare`,
which looks at the import of Keras to come: before it, a backend is chosen; after it,
`keras.models.load_model` knows our classes by name.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from polycera.errors import InputError, MissingExtra, PolyceraError, shorten

BACKENDS = ("jax", "tensorflow", "torch")
"""The backends that train, in the order in which one is taken where the user chose none."""

DEFAULT = "tensorflow"
"""What Keras takes, and writes into keras.json, where the user chose none."""

KNOWN = (*BACKENDS, "numpy", "openvino")
"""Every backend that Keras has; the last two only predict."""

SAVED = {
    "Blend": "polycera.layers.kernel_layer",
    "Drawn": "polycera.layers.first_weights",
    "Heads": "polycera.layers.heads",
    "Landmarks": "polycera.layers.kernel_layer",
    "MemberDense": "polycera.layers.side_by_side",
    "Model": "polycera.model.model",
    "Named": "polycera.layers.named_outputs",
    "Outputs": "polycera.layers.outputs_by_name",
    "PiecewiseLinear": "polycera.layers.embedding",
    "RowsFirst": "polycera.layers.side_by_side",
    "SmoothClip": "polycera.layers.embedding",
}
"""Classes that a `.keras` file may name, and the module that registers each with Keras."""


def prepare() -> None:
    """Make our classes known to Keras: now where it is imported already, else as soon as it is."""
    if sys.modules.get("keras") is not None:
        # Another thread may be in the middle of importing it: this waits until it has ended.
        register(importlib.import_module("keras"))
    elif not any(isinstance(finder, KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, KerasFinder())


def choose_backend() -> str:
    """Return the backend that Keras will run on; set `KERAS_BACKEND` where Keras would take one that is not installed.

    `KERAS_BACKEND` decides, then keras.json, then Keras's own default. Nothing is imported to find
    out.

    Raises:
        InputError: where `KERAS_BACKEND` or keras.json names no backend, or keras.json is not
            valid.
        MissingExtra: where the backend in `KERAS_BACKEND` is not installed, or none is.
    """
    configured = _configured() or DEFAULT  # Keras reads the file in any case, so it must be valid
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:  # Keras takes an empty one as none
        if wanted not in KNOWN:
            raise InputError(
                f"KERAS_BACKEND is {shorten(wanted)!r}, which is no backend of Keras: set it to one of "
                f"{', '.join(BACKENDS)}, or leave it unset."
            )
        if not installed(wanted):
            extra = wanted if wanted in BACKENDS else BACKENDS[0]
            raise MissingExtra(
                f"KERAS_BACKEND is {wanted!r}, which is not installed; polycera", wanted, extra
            )
        return wanted
    if installed(configured):
        return configured
    chosen = next((name for name in BACKENDS if installed(name)), None)
    if chosen is None:
        raise MissingExtra(
            "Keras has no backend to run on: install one of jax, tensorflow and torch. With JAX, polycera",
            "jax",
            "jax",
        )
    os.environ["KERAS_BACKEND"] = chosen
    warnings.warn(
        f"Keras would take {configured}, which is not installed: polycera has chosen {chosen}. "
        f"Set KERAS_BACKEND={chosen}, and this is not said again.",
        stacklevel=2,
    )
    return chosen


def installed(backend: str) -> bool:
    """Return whether a backend can be imported; it is not imported."""
    if backend in sys.modules:
        return sys.modules[backend] is not None
    found = importlib.util.find_spec(backend)
    # A folder without __init__.py, as an uninstalled package may leave one, has no origin.
    return found is not None and found.origin is not None


def _config_path() -> Path:
    """Return where Keras reads its settings from."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(home)) / "keras.json"


def _configured() -> str | None:
    """Return the backend in keras.json, or None where there is no such file or Keras overlooks it.

    Keras writes the file itself when it is first imported, so a backend in it need not be anybody's
    choice.

    Raises:
        InputError: where Keras would fail on the file.
    """
    path = _config_path()
    try:
        settings = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    way_out = f"correct the file {shorten(path)!r}, or delete it: Keras then writes a new one"
    if not isinstance(settings, dict):
        raise InputError(
            f"Keras's settings are a {type(settings).__name__} where names and values belong: {way_out}."
        )
    allowed = {
        "backend": KNOWN,
        "floatx": ("float16", "float32", "float64"),
        "image_data_format": ("channels_last", "channels_first"),
    }
    for name, values in allowed.items():
        if name in settings and settings[name] not in values:
            raise InputError(
                f"Keras's settings say {name}={shorten(repr(settings[name]))}, expected one of "
                f"{', '.join(values)}: {way_out}."
            )
    if not isinstance(settings.get("epsilon", 1e-7), float):
        raise InputError(
            f"Keras's settings say epsilon={shorten(repr(settings['epsilon']))}, no float: {way_out}."
        )
    return settings.get("backend")


class KerasFinder(MetaPathFinder):
    """Finds Keras where it is, and has `KerasLoader` do what belongs before and after its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where Keras is; None for every other module, and where Keras is imported already."""
        if fullname != "keras" or "keras" in sys.modules:
            return None
        others = [
            finder
            for finder in sys.meta_path
            if finder is not self and hasattr(finder, "find_spec")
        ]
        for finder in others:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = KerasLoader(spec.loader)
                return spec
        return None


class KerasLoader(Loader):
    """Imports Keras as `loader` does."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        """Return what the loader behind this one has, such as `get_source`."""
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the loader behind this one creates."""
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Choose a backend, import Keras, and register our classes with it.

        Raises:
            PolyceraError: where no backend can be used.
            ImportError: where Keras cannot be imported for another reason.
        """
        backend = choose_backend()
        _forget_failed_import()
        spec = module.__spec__
        if spec is not None:
            spec.loader = module.__loader__ = self.loader
        try:
            self.loader.exec_module(module)
        except ImportError:
            raise
        except Exception as error:
            said = shorten(" ".join(str(error).split()) or "no reason given", 200)
            raise PolyceraError(
                f"Keras cannot be imported on the backend {backend}: {type(error).__name__}: {said}."
            ) from error
        register(module)


def _forget_failed_import() -> None:
    """Drop what an earlier `import keras` left that found its backend missing.

    Keras's settings are among it: with them, Keras would look for the same backend again. That
    import failed, so nobody holds any of these modules.
    """
    for name in [name for name in sys.modules if name.startswith("keras.")]:
        del sys.modules[name]


class SavedClass:
    """Stands for a class of ours in Keras's table of names until a file that is loaded asks for it."""

    def __init__(self, name: str, module: str) -> None:
        self.name, self.module = name, module

    def from_config(self, config: dict[str, Any]) -> Any:
        """Import the class, which takes this one's place in the table, and build an object from its configuration."""
        return getattr(importlib.import_module(self.module), self.name).from_config(config)

    def __repr__(self) -> str:
        return f"<{self.module}.{self.name}, not imported yet>"


def register(keras: ModuleType) -> None:
    """Put the names of `SAVED` into Keras's table; a class that is registered already stays."""
    known = keras.saving.get_custom_objects()
    for name, module in SAVED.items():
        known.setdefault(f"polycera>{name}", SavedClass(name, module))
