"""Elements of SVG as text. Whatever comes from users passes through `escape` here and nowhere else."""

from __future__ import annotations

import html
import re
from typing import NewType

Xml = NewType("Xml", str)
"""Text that is well-formed XML; a plain `str` is not, and mypy keeps the two apart."""

# XML 1.0 has no place for these, not even as numbers: controls, halves of surrogate pairs, two
#     non-characters.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")
_SPACES = re.compile(r"\s+")


def plain(value: object) -> str:
    """Text on one line without what XML forbids."""
    text = str(value)
    if text.isprintable() and "  " not in text:  # nearly all text is, and a page has a lot of it
        return text.strip()
    return _SPACES.sub(" ", _FORBIDDEN.sub("", text)).strip()


def escape(value: object) -> Xml:
    """Text that stays text, between tags and in attributes."""
    return Xml(html.escape(plain(value)))


def isolated(name: object) -> str:
    """A name within a sentence: whatever direction it is written in, the words around it keep their places."""
    return f"\u2068{plain(name)}\u2069"


def tag(kind: str, *inside: Xml, **attributes: object) -> Xml:
    """An element.

    Args:
        kind: `rect`, `path`, ...
        *inside: what it holds.
        **attributes: those that are None are left out; `cls` is written as `class`, and `_` as `-`.
    """
    given = [(name, value) for name, value in attributes.items() if value is not None]
    written = "".join(f' {_attribute(name)}="{_value(value)}"' for name, value in given)
    return Xml(f"<{kind}{written}>{''.join(inside)}</{kind}>" if inside else f"<{kind}{written}/>")


def together(*parts: Xml) -> Xml:
    """One after the other."""
    return Xml("".join(parts))


def _attribute(name: str) -> str:
    return "class" if name == "cls" else name.replace("_", "-")


def _value(value: object) -> str:
    return coordinate(value) if isinstance(value, float) else escape(value)


def coordinate(value: float) -> str:
    """A place in the picture, in pixels, to a tenth; what lies far outside is brought nearer, five digits at most."""
    near = min(max(float(value), -9999.0), 9999.0)
    return f"{near:.1f}".removesuffix(".0") if abs(near) >= 0.05 else "0"
