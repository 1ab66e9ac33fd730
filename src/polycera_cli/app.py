"""The program `polycera`: what all of its commands hang on."""

from __future__ import annotations

from typing import Annotated

from cyclopts import App, Parameter

app = App(
    name="polycera",
    help="One network, many answers: train one neural network for many outputs.",
    version="0.1.0",
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # `main` says that nothing was written
)

Names = Annotated[list[str] | None, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="", show_default=False)]
