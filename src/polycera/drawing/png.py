"""SVG to PNG. The program that does it is small and knows no variables of CSS: pages of `Picture` hold none."""

from __future__ import annotations

from polycera.errors import MissingExtra, PolyceraError

SCALE = 2
"""Pixels of the image for one of the picture, in each direction."""


def rendered(page: str, width: int) -> bytes:
    """A page as a PNG image, `SCALE` times as wide as it says.

    Raises:
        MissingExtra: where resvg-py is not installed.
        PolyceraError: where it refuses the page.
    """
    try:
        import resvg_py
    except ImportError:
        raise MissingExtra("A picture as PNG", "resvg-py", "png") from None
    try:
        return bytes(resvg_py.svg_to_bytes(svg_string=page, width=width * SCALE))
    except ValueError as error:
        raise PolyceraError(
            f"The picture could not be made a PNG ({error}): write it as .svg."
        ) from None
