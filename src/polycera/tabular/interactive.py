"""Whether somebody watches: progress is drawn on a terminal and in a notebook, and not into a file."""

from __future__ import annotations

import sys


def somebody_watches() -> bool:
    """Return whether output goes to a terminal, or to a notebook's page."""
    return in_notebook() or (sys.stdout is not None and sys.stdout.isatty())


def in_notebook() -> bool:
    """Return whether this process serves a notebook: Jupyter, Colab, or another front end of an IPython kernel.

    IPython is not imported to find out: a notebook has imported it.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # A terminal's IPython has no kernel; its output is a terminal, which is asked for by itself.
    return shell is not None and hasattr(shell, "kernel")
