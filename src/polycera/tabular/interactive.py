"""Detect whether output is watched, so that progress is drawn in a terminal or notebook only."""

from __future__ import annotations

import sys


def somebody_watches() -> bool:
    """Return whether output goes to a terminal or to a notebook."""
    return in_notebook() or (sys.stdout is not None and sys.stdout.isatty())


def in_notebook() -> bool:
    """Return whether this process serves a notebook.

    This is Jupyter, Colab, or another front end of an IPython kernel. IPython is not imported to
    find
    out: a notebook has imported it.
    """
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    # IPython in a terminal has no kernel; `somebody_watches` checks for a terminal separately.
    return shell is not None and hasattr(shell, "kernel")
