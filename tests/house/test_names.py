"""No two things have one name: classes in the package, modules of rooms that import each other."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

import pytest
from house.source import House, allowed, modules, plain, room

pytestmark = pytest.mark.nobackend

MAY_REPEAT = {"drawing", "reports"}
"""Rooms that are named after what they show."""


def classes(house: House) -> dict[str, list[str]]:
    """Return the modules that define a class of each name, those within a function included."""
    places = defaultdict(list)
    for module, tree in house.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    return places


def repeated_classes(house: House) -> list[str]:
    """Return a line for each class name that stands for two things."""
    return [
        f"{name}: {', '.join(places)}" for name, places in classes(house).items() if len(places) > 1
    ]


def repeated_modules(house: House) -> list[str]:
    """Return a line for each module name that two modules have which somebody could confuse."""
    places = defaultdict(list)
    for module in house:
        if not module.endswith(("__init__", "__main__")):
            places[plain(module).rpartition(".")[2]].append(module)
    return [
        f"{name}: {one}, {other}"
        for name, each in places.items()
        for one, other in pairs(each)
        if confused(room(one), room(other))
    ]


def pairs(values: list[str]) -> Iterator[tuple[str, str]]:
    """Yield each two of some values once."""
    for place, one in enumerate(values):
        for other in values[place + 1 :]:
            yield one, other


def confused(one: str, other: str) -> bool:
    """Return whether modules of two rooms may stand side by side in an import."""
    if {one, other} & MAY_REPEAT:
        return False
    return one == other or one in allowed(other) or other in allowed(one)


def test_no_class_name_stands_for_two_things() -> None:
    assert repeated_classes(modules()) == []


def test_no_module_name_stands_for_two_things() -> None:
    assert repeated_modules(modules()) == []


def test_who_repeats_a_name_is_seen() -> None:
    house = {name: ast.parse("class A: ...") for name in ("polycera.tasks.a", "polycera.model.a")}
    assert repeated_classes(house) == ["A: polycera.tasks.a, polycera.model.a"]
    assert repeated_modules(house) == ["a: polycera.tasks.a, polycera.model.a"]
