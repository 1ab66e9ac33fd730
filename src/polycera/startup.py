"""Choose a backend before Keras is imported, and register our classes with Keras after it.

`import polycera` imports neither Keras nor a backend, because that takes seconds. It calls
`prepare`, which hooks into the import of Keras. Before that import a backend is chosen. After it
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
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from polycera.errors import InputError, MissingExtra, PolyceraError, shorten

BACKENDS = ("jax", "tensorflow", "torch")
"""Lists the backends that can train.

If the one that Keras would take is not installed, the first that is installed is used.
"""

DEFAULT = "tensorflow"
"""Keras takes this backend, and writes it into keras.json, if the user chose none."""

KNOWN = (*BACKENDS, "numpy", "openvino")
"""Lists every backend of Keras; the last two only predict."""

SAVED = {
    "Blend": "polycera.layers.kernel_layer",
    "Drawn": "polycera.layers.initializers",
    "GuardedOptimizer": "polycera.model.guarded_optimizer",
    "Heads": "polycera.layers.heads",
    "Landmarks": "polycera.layers.kernel_layer",
    "MemberDense": "polycera.layers.member_dense",
    "Model": "polycera.model.model",
    "Named": "polycera.layers.naming_layer",
    "Outputs": "polycera.layers.adopted_outputs",
    "PiecewiseLinear": "polycera.layers.embedding",
    "RowsFirst": "polycera.layers.member_dense",
    "SmoothClip": "polycera.layers.embedding",
}
"""Maps each class that a `.keras` file may name to the module that registers it with Keras."""


def prepare() -> None:
    """Register our classes with Keras: now if it is imported already, else when it is imported."""
    if sys.modules.get("keras") is not None:
        # Another thread may be importing Keras right now: `import_module` waits until it has ended.
        register(importlib.import_module("keras"))
    elif not any(isinstance(finder, KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, KerasFinder())


def choose_backend() -> str:
    """Return the backend that Keras will run on.

    `KERAS_BACKEND` decides, then keras.json, then Keras's own default. If Keras would take a
    backend that is not installed, `KERAS_BACKEND` is set to one that is. Nothing is imported to
    find out.

    Raises:
        InputError: where `KERAS_BACKEND` or keras.json names no backend, or keras.json is not
            valid.
        MissingExtra: where the backend in `KERAS_BACKEND` is not installed, or none is.
    """
    configured = _configured() or DEFAULT  # Keras always reads the file, so check it
    wanted = os.environ.get("KERAS_BACKEND")
    if wanted:  # Keras takes an empty value as unset
        if wanted not in KNOWN:
            raise InputError(
                f"KERAS_BACKEND is {shorten(wanted)!r}, which is not a backend of Keras: set it "
                f"to one of {', '.join(BACKENDS)}, or leave it unset."
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
            "Keras has no backend to run on: install one of jax, tensorflow and torch. With JAX, "
            "polycera",
            "jax",
            "jax",
        )
    os.environ["KERAS_BACKEND"] = chosen
    warnings.warn(
        f"Keras would take {configured}, which is not installed: polycera has chosen {chosen}. "
        f"Set KERAS_BACKEND={chosen} to hide this message.",
        stacklevel=2,
    )
    return chosen


def installed(backend: str) -> bool:
    """Return whether a backend can be imported; it is not imported."""
    if backend in sys.modules:
        return sys.modules[backend] is not None
    spec = importlib.util.find_spec(backend)
    # A folder without __init__.py, as an uninstalled package may leave one, has no origin.
    return spec is not None and spec.origin is not None


def _config_path() -> Path:
    """Return the path of the file from which Keras reads its settings."""
    home = os.environ.get("KERAS_HOME")
    if home is None:
        user = os.path.expanduser("~")
        # The same rule as in Keras, which writes to /tmp if the home folder is not writable.
        home = os.path.join(user if os.access(user, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(home)) / "keras.json"


def _configured() -> str | None:
    """Return the backend in keras.json; None without such a file, or where Keras ignores it.

    Keras writes the file itself when it is first imported, so the user need not have chosen a
    backend in it.

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
            f"Keras's settings are a {type(settings).__name__} where names and values belong: "
            f"{way_out}."
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
            f"Keras's settings say epsilon={shorten(repr(settings['epsilon']))}, which is not a "
            f"float: {way_out}."
        )
    return settings.get("backend")


# Neither class has a base of importlib.abc, whose import takes a fifth of that of polycera.
class KerasFinder:
    """Find Keras as usual, and let `KerasLoader` work before and after its import."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of Keras; None for other modules, and if Keras is imported already."""
        if fullname != "keras" or "keras" in sys.modules:
            return None
        # All finders but this one, so that the search does not call itself.
        others = [
            finder
            for finder in sys.meta_path
            if finder is not self and hasattr(finder, "find_spec")
        ]
        for finder in others:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = KerasLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class KerasLoader:
    """Import Keras with the loader that was found, and do our work before and after."""

    def __init__(self, loader: Any) -> None:
        self.loader = loader

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the wrapped loader, such as `get_source`."""
        return getattr(self.loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return the module that the wrapped loader creates."""
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
            # From here on Keras looks as if it had been imported without us.
            spec.loader = module.__loader__ = self.loader
        try:
            self.loader.exec_module(module)
        except ImportError:
            raise
        except Exception as error:
            reason = shorten(" ".join(str(error).split()) or "no reason given", 200)
            raise PolyceraError(
                f"Keras cannot be imported on the backend {backend}: {type(error).__name__}: "
                f"{reason}."
            ) from error
        register(module)


def _forget_failed_import() -> None:
    """Remove the modules of an earlier `import keras` that failed for lack of its backend.

    Keras's settings are among them: with them, Keras would look for the same backend again. That
    import failed, so no other code uses these modules.
    """
    for name in [name for name in sys.modules if name.startswith("keras.")]:
        del sys.modules[name]


class SavedClass:
    """Stand for one of our classes in Keras's table of names until a loaded file needs it."""

    def __init__(self, name: str, module: str) -> None:
        self.name, self.module = name, module

    def from_config(self, config: dict[str, Any]) -> Any:
        """Import the class and build an object from its configuration.

        On import the class takes this object's place in the table.
        """
        return getattr(importlib.import_module(self.module), self.name).from_config(config)

    def __repr__(self) -> str:
        return f"<{self.module}.{self.name}, not imported yet>"


def register(keras: ModuleType) -> None:
    """Put the names of `SAVED` into Keras's table; a class that is registered already stays."""
    known = keras.saving.get_custom_objects()
    for name, module in SAVED.items():
        known.setdefault(f"polycera>{name}", SavedClass(name, module))
