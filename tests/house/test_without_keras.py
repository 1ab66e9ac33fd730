"""Test that the tests marked `nokeras` would notice an import of Keras."""

from __future__ import annotations

import importlib
import os

import pytest

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]


@pytest.mark.parametrize("name", ["keras", "jax", "tensorflow", "torch"])
def test_keras_and_the_backends_cannot_be_imported(name: str) -> None:
    if not os.environ.get("POLYCERA_TESTS_WITHOUT_KERAS"):
        pytest.skip("only tests/run.py refuses Keras")
    with pytest.raises(ImportError, match=f"^a test that needs no Keras imports {name}$"):
        importlib.import_module(name)
