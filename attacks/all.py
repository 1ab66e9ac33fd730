"""Run every attack in one process: `python attacks/all.py [--every K] [NAME ...]`.

The exit code is 0 if no attack succeeds.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from _run import attack, genuine, report, warm

SCRIPTS = sorted(
    p.stem
    for p in Path(__file__).parent.glob("*.py")
    if p.stem not in ("all", "fuzz") and p.stem[0] != "_"
)


def main() -> None:
    """Run these scripts, or all; of each all variants, or every k-th."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("name", nargs="*")
    options, bad = parser.parse_args(), 0
    with genuine() as made:
        warm(made)
        for name in options.name or SCRIPTS:
            print(f"\n== {name}")
            variants = importlib.import_module(name).VARIANTS[:: options.every]
            bad += sum(not report(variant, attack(made, variant)) for variant in variants)
    print(f"\n== {bad} got through.")
    sys.exit(bad > 0)


if __name__ == "__main__":
    main()
