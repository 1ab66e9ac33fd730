"""The examples in docstrings are true: each is run, in an empty folder."""

from __future__ import annotations

import ast
import doctest
import importlib
import warnings
from pathlib import Path

import keras
import pytest
from house.source import modules, plain

pytestmark = pytest.mark.nobackend

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def has_examples(tree: ast.Module) -> bool:
    """Return whether a docstring of a module has an example."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, DOCUMENTED)]
    return any(">>>" in (ast.get_docstring(node) or "") for node in nodes)


MODULES = sorted(plain(name) for name, tree in modules().items() if has_examples(tree))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keras.utils.set_random_seed(0)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    said: list[str] = []
    tried = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            tried += len(test.examples)
            runner.run(test, out=said.append)
    assert tried
    assert not runner.failures, "".join(said)


def test_a_wrong_example_is_seen() -> None:
    parser = doctest.DocTestParser()
    wrong = parser.get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    runner = doctest.DocTestRunner(optionflags=OPTIONS, verbose=False)
    runner.run(wrong, out=lambda text: None)
    assert runner.failures == 1
