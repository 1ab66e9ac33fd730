"""Pictures from plain numbers, as SVG: curves, bars, heat maps, the network. Nothing here knows a model or a run."""

from polycera.drawing.bars import bars
from polycera.drawing.forest import forest
from polycera.drawing.heat import heat
from polycera.drawing.histogram import histogram
from polycera.drawing.lines import lines
from polycera.drawing.network import network
from polycera.drawing.picture import Picture
from polycera.drawing.reliability import reliability
from polycera.drawing.scatter import scatter
from polycera.drawing.stacked import stacked
from polycera.drawing.style import STYLE

__all__ = [
    "STYLE",
    "Picture",
    "bars",
    "forest",
    "heat",
    "histogram",
    "lines",
    "network",
    "reliability",
    "scatter",
    "stacked",
]
