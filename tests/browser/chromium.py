"""A real browser for tests: Debian's Chromium, driven by Playwright; nothing is downloaded."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
WIDE, PHONE = {"width": 1400, "height": 900}, {"width": 390, "height": 844}


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium, or a skip that says what is missing."""
    sync = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need playwright (polycera[test])"
    )
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip(
            "the browser tests need chromium: apt-get install chromium, or set CHROMIUM to its path"
        )
    with sync.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield found
        found.close()


class Opened:
    """A page that is open, and everything that went wrong in it.

    Attributes:
        page: Playwright's.
        faults: what it said on the console, threw, or asked of any network.
        alerts: what called `alert`, `confirm` or `prompt`.
        seconds: from asking for the page until it was loaded and drawn.
    """

    def __init__(
        self, chromium: Any, path: Path, viewport: dict[str, int] = WIDE, **context: Any
    ) -> None:
        self.faults: list[str] = []
        self.alerts: list[str] = []
        self.page = chromium.new_context(viewport=viewport, **context).new_page()
        self.page.on(
            "console", lambda message: self.faults.append(f"{message.type}: {message.text}")
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._asked)
        self.page.on("dialog", self._spoke)
        self.page.goto(path.resolve().as_uri())
        if context.get("java_script_enabled", True):
            self.page.evaluate(
                "() => new Promise((done) => requestAnimationFrame(() => "
                "requestAnimationFrame(done)))"
            )
            self.seconds = self.page.evaluate("performance.now()") / 1000

    def _asked(self, request: Any) -> None:
        if not request.url.startswith(("file://", "data:")):
            self.faults.append(f"asked for {request.url}")

    def _spoke(self, dialog: Any) -> None:
        self.alerts.append(dialog.message)
        dialog.dismiss()

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.page.context.close()

    def count(self, selector: str) -> int:
        """How many elements there are."""
        return self.page.locator(selector).count()

    def move(self, weights: dict[str, float]) -> dict[str, int | None]:
        """Set the sliders like a hand, one input event each; return the epochs on the page."""
        script = """(values) => {
            const sliders = document.querySelectorAll(".slider input");
            values.forEach((value, i) => {
                sliders[i].value = value;
                sliders[i].dispatchEvent(new Event("input", { bubbles: true }));
            });
        }"""
        self.page.evaluate(script, list(weights.values()))
        return self.epochs()

    def epochs(self) -> dict[str, int | None]:
        """What the page says: the epoch `chosen` of those kept, and the `best` of all."""
        script = (
            "() => ['chosen', 'best'].map((id) => document.getElementById(id).dataset.epoch ?? "
            "null)"
        )
        found = [None if epoch is None else int(epoch) for epoch in self.page.evaluate(script)]
        return dict(zip(("chosen", "best"), found, strict=True))
