"""Write docs/reference.md: every public name, one heading each, for the documentation site.

    python tools/reference.py

Public is what the faces of the package list in `__all__`, and no other name.
`tests/house/test_reference.py` holds the page against them.
"""

from __future__ import annotations

import importlib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference.md"

FACES = {
    "polycera": "From a table or a Keras model to a run",
    "polycera.estimators": "scikit-learn's estimators",
    "polycera.layers": "Layers",
    "polycera.callbacks": "Callbacks",
    "polycera.diagnostics": "What a network does",
    "polycera.plots": "Charts",
    "polycera.weighting": "Loss weighting",
    "polycera.balancing": "Gradient balancing",
    "polycera.errors": "Errors",
}
"""Module whose names are public -> the heading of its part."""

HEAD = """\
# Reference

Every public name. What is not here may change in any version. The pages under
[Questions and answers](index.md) show how the names are used; `polycera --help` lists the commands.
"""


def names(face: str) -> list[str]:
    """Return the public names of a face, packages that are faces themselves left out."""
    return [
        name for name in importlib.import_module(face).__all__ if f"polycera.{name}" not in FACES
    ]


def page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for face, heading in FACES.items():
        parts.append(f"\n## {heading}\n")
        parts += [f"\n::: {face}.{name}\n" for name in names(face)]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {sum(len(names(face)) for face in FACES)} names")
