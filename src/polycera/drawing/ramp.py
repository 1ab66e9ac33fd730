"""Colours for numbers: darker for more, or two hues from a middle. The same on a light and on a dark page."""

from __future__ import annotations

import numpy as np

_DARK, _LIGHT = "#000000", "#ffffff"
# In OKLab (Ottosson 2020), where equal steps look equal: lightness, green-red, blue-yellow.
_SEQUENTIAL = np.array(
    [[0.965, -0.005, -0.01], [0.80, -0.045, -0.085], [0.58, -0.05, -0.135], [0.34, -0.01, -0.12]]
)
_DIVERGING = np.array(
    [
        [0.42, 0.11, 0.085],
        [0.68, 0.10, 0.105],
        [0.955, 0.0, 0.0],
        [0.68, -0.055, -0.11],
        [0.40, -0.025, -0.125],
    ]
)
_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_TO_LIGHT = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def places(values: np.ndarray, low: float, high: float, diverging: bool) -> np.ndarray:
    """Numbers as parts of the scale, 0..1, NaN where undefined; with two hues 0 is in the middle if it is within."""
    if diverging and low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    return np.clip((values / 2 - low / 2) / (high / 2 - low / 2), 0.0, 1.0)


def colours(at: np.ndarray, diverging: bool) -> np.ndarray:
    """Parts of the scale -> red, green and blue, 0..255; [n] -> [n, 3]."""
    stops = _DIVERGING if diverging else _SEQUENTIAL
    knots = np.linspace(0, 1, len(stops))
    lab = np.stack([np.interp(at, knots, column) for column in stops.T], axis=-1)
    linear = np.clip((lab @ _TO_CONES.T) ** 3 @ _TO_LIGHT.T, 0.0, 1.0)
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(curved * 255).astype("uint8")


def luminance(colour: np.ndarray) -> np.ndarray:
    """How light colours are by the contrast formula of WCAG 2, 0..1; [..., 3] -> [...]."""
    parts = np.asarray(colour, "float64") / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def code(colour: np.ndarray) -> str:
    """As CSS has it."""
    return "#" + "".join(f"{part:02x}" for part in colour.tolist())


def ink(colour: np.ndarray) -> str:
    """Black or white, whichever is easier to read on the colour."""
    return _DARK if luminance(colour) > 0.179 else _LIGHT
