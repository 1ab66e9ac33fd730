"""What every test stands on: a quiet machine, one seed, the shared data, the backend's name."""

from __future__ import annotations

import os
import random
import signal
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
BACKEND = os.environ.setdefault("KERAS_BACKEND", "jax")

# Before any backend is imported, and for the processes that tests start too. Who sets one of these
# keeps it.
for _name, _value in {
    # the user's keras.json is neither read nor written
    "KERAS_HOME": str(CACHE / f"keras-{BACKEND}"),
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TF_ENABLE_ONEDNN_OPTS": "0",  # the same sums in the same order
    "TF_NUM_INTRAOP_THREADS": "1",  # one core a process: another backend's tests have the next
    "TF_NUM_INTEROP_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "-1",
    "JAX_PLATFORMS": "cpu",
    "JAX_COMPILATION_CACHE_DIR": str(CACHE / "jax"),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.1",
    "HYPOTHESIS_STORAGE_DIRECTORY": str(CACHE / "hypothesis"),
}.items():
    os.environ.setdefault(_name, _value)


class _Refused:
    """Let Keras and the backends be found, and raise where one of them is imported."""

    names = ("keras", "jax", "jaxlib", "tensorflow", "torch")

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        return ModuleSpec(name, self) if name in self.names else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        raise ImportError(f"a test that needs no Keras imports {spec.name}")

    def exec_module(self, module: object) -> None:
        """Never reached: the module is not made."""


# tests/run.py sets it for the tests that are marked `nokeras`.
if os.environ.get("POLYCERA_TESTS_WITHOUT_KERAS"):
    sys.meta_path.insert(0, _Refused())

# A shell that starts the tests in the background has them ignore Ctrl-C, and so would each process
# that they interrupt.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # as nohup has it
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# No deadline, and few examples: the first call of each shape compiles. In CI the same examples
#     every time.
_common = {"deadline": None, "max_examples": 25, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("ci", derandomize=True, print_blob=True, database=None, **_common)
settings.register_profile(
    "here", database=DirectoryBasedExampleDatabase(CACHE / "hypothesis" / "examples"), **_common
)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def backend() -> str:
    """The Keras backend of this process: jax, tensorflow or torch."""
    return BACKEND


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same for every run of a test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The global generators start alike in every test.

    Keras draws a layer's seed from `random`. Its own `set_random_seed` imports TensorFlow
    everywhere.
    """
    random.seed(0)
    np.random.seed(0)
    if BACKEND == "torch" and "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
    if BACKEND == "tensorflow" and "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it are skipped without it."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"the shared data are not there: {path}")
    return path
