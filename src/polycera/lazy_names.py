"""Import public names of a package when they are first used (PEP 562)."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from polycera import renamed


class LazyPackage(ModuleType):
    """Keep a package's public functions where a module of the package has the same name.

    `polycera.tabular.fit` is a function in a module of that name. When the module is
    imported, Python would replace the function by the module.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in self.__dict__.get("LAZY_NAMES", ()):
            return
        super().__setattr__(name, value)


def attach(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a package.

    Args:
        package: its `__name__`.
        modules: public name -> the module that has it.

    Examples:
        >>> __getattr__ = attach("polycera.model", {"Model": "polycera.model.model"})
    """
    module = sys.modules[package]
    module.__class__ = LazyPackage
    module.__dict__["LAZY_NAMES"] = frozenset(modules)

    def get(name: str) -> Any:
        if (new_name := renamed.name_of(package, name)) is not None:
            return getattr(module, new_name)
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(modules[name]), name)
        # Python calls `__getattr__` only for missing names: the next use finds the value here.
        module.__dict__[name] = value
        return value

    return get
