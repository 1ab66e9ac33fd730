"""Take the pictures of a report for docs/img: light, dark and on a phone, from the demo.

Needs Chromium and `pip install -e '.[test,jax]'`. Run from anywhere: python tools/screenshots.py
[RUN]
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]
OUT, LIMIT = ROOT / "docs" / "img", 300_000

SHOTS: dict[str, dict[str, Any]] = {
    "report-wide": {"viewport": {"width": 1400, "height": 1940}},
    "report-dark": {"viewport": {"width": 1400, "height": 1940}, "color_scheme": "dark"},
    "report-phone": {"viewport": {"width": 390, "height": 1500}, "device_scale_factor": 1.5},
}
"""Name -> how the page is opened."""


def main() -> None:
    """Take all of them."""
    from browser.chromium import Opened, browser

    from polycera_cli.training import demo

    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        given = [Path(path).resolve() for path in sys.argv[1:2]]
        os.chdir(folder)  # the page shows where the run is
        run = Path("runs") / "penguins"
        if given:
            shutil.copytree(given[0], run)
        else:
            demo(out=run)
        from polycera import reports

        page = reports.report(run, Path(folder) / "report.html")
        OUT.mkdir(exist_ok=True)
        for name, context in SHOTS.items():
            with Opened(chromium, page, **context) as opened:
                assert not opened.faults, opened.faults
                opened.page.screenshot(path=OUT / f"{name}.png")
            size = (OUT / f"{name}.png").stat().st_size
            print(f"{name}.png: {size} bytes")
            assert size < LIMIT, f"{name}.png is larger than {LIMIT} bytes"


if __name__ == "__main__":
    main()
