"""Reads the source of polycera without running it: what each module imports, calls and names."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "polycera"

House = Mapping[str, ast.Module]
"""Dotted names of modules and their code."""


@dataclass(frozen=True)
class Import:
    """One imported module: by whom, where, and whether only the type checker sees it."""

    by: str
    line: int
    what: str
    typing: bool = False

    def __str__(self) -> str:
        return f"{self.by}:{self.line} imports {self.what}"


@dataclass(frozen=True)
class Room:
    """One row of the table in docs/architecture.md."""

    name: str
    may_import: frozenset[str]
    keras: str


@cache
def rooms() -> dict[str, Room]:
    """The table of docs/architecture.md."""
    lines = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| room |"))
    found = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, _, arrows, keras = (cell.strip() for cell in line.strip("|").split("|"))
        found[name] = Room(name, frozenset(filter(None, arrows.replace(",", " ").split())), keras)
    return found


@cache
def modules() -> dict[str, ast.Module]:
    """Every module of src/ by its dotted name; packages end in `.__init__`."""
    source = ROOT / "src"
    paths = sorted(
        path for package in (PACKAGE, f"{PACKAGE}_cli") for path in (source / package).rglob("*.py")
    )
    return {
        ".".join(path.relative_to(source).with_suffix("").parts): ast.parse(
            path.read_text(encoding="utf-8")
        )
        for path in paths
    }


def allowed(name: str) -> frozenset[str]:
    """The rooms that a room lists, what these list, and so on."""
    reached: set[str] = set()
    waiting = [name] if name in rooms() else []
    while waiting:
        new = rooms()[waiting.pop()].may_import - reached
        reached |= new
        waiting += new
    return frozenset(reached)


def plain(name: str) -> str:
    """`polycera.tasks.__init__` -> `polycera.tasks`."""
    return name.removesuffix(".__init__")


def room(name: str) -> str:
    """Return a module's room; the packages themselves are rooms: `polycera` and `polycera_cli`."""
    parts = plain(name).split(".")
    if parts[0] != PACKAGE:
        return parts[0]
    return parts[1] if len(parts) > 1 else parts[0]


def dotted(node: ast.AST) -> str:
    """`np.random.seed` as text; empty where it is more than names and dots."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        left = dotted(node.value)
        return f"{left}.{node.attr}" if left else ""
    return ""


def imports(house: Mapping[str, ast.Module]) -> Iterator[Import]:
    """All imports at any depth, relative ones resolved, `import_module("...")` included."""
    known = {plain(name) for name in house}
    for name, tree in house.items():
        hidden = {id(n) for block in _typing_blocks(tree) for n in ast.walk(block)}
        for node in ast.walk(tree):
            for what in _targets(node, name, known):
                yield Import(name, node.lineno, what, id(node) in hidden)  # type: ignore[attr-defined]


def _typing_blocks(tree: ast.Module) -> list[ast.AST]:
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    return [
        child
        for node in tests
        if dotted(node.test).endswith("TYPE_CHECKING")
        for child in node.body
    ]


def _targets(node: ast.AST, name: str, known: set[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        base = _base(node, name)
        members = [f"{base}.{alias.name}" for alias in node.names]
        return [member if member in known or _outside(base) else base for member in members]
    if isinstance(node, ast.Call) and dotted(node.func).split(".")[-1] in (
        "import_module",
        "__import__",
    ):
        return [arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def _base(node: ast.ImportFrom, name: str) -> str:
    if not node.level:
        return node.module or ""
    parts = name.split(".")[: -node.level]
    return ".".join([*parts, node.module] if node.module else parts)


def _outside(base: str) -> bool:
    return base.split(".")[0] != PACKAGE


def calls(tree: ast.Module) -> Iterator[ast.Call]:
    """Every call in a module."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))
