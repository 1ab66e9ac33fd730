"""Open the report in a real browser: it is drawn, answers, is accessible, and runs no code."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import folders
import numpy as np
import pytest
from browser.chromium import PHONE, WIDE, Opened, browser

import polycera as pc
from polycera import reports
from polycera.runs import kept_epochs, pareto_set

pytestmark = pytest.mark.nobackend


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> pc.Run:
    """A real training of three tasks that pull apart, with several epochs that no other beats."""
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 160))
    table = {
        "a": a,
        "b": b,
        "churn": np.where(a * b + 0.6 * rng.normal(size=160) > 0, "yes", "no"),
        "spend": a + 2 * b + rng.normal(size=160),
        "tier": np.where(c + a > 0.5, "gold", np.where(b > 0, "blue", "red")),
    }
    training = {"max_steps": 600, "batch_size": 64, "learning_rate": 3e-3, "patience_steps": 600}
    out = tmp_path_factory.mktemp("runs") / "real"
    # an epoch is as short as it gets, so that there are many to choose from
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polycera.tabular.step_plan.EPOCH", 20)
        network = {"width": 16, "members": 5}
        return pc.fit(
            table,
            ["churn", "spend", "tier"],
            out=out,
            training=training,
            network=network,
            progress=False,
        )


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with every file that there can be."""
    return reports.report(folders.make(tmp_path_factory.mktemp("runs") / "rich", epochs=10))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with names that want to be anything but names."""
    return reports.report(
        folders.make(tmp_path_factory.mktemp("runs") / "hostile", folders.HOSTILE)
    )


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs on one page."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        folders.make(folder / name, epochs=5, seed=i) for i, name in enumerate(("first", "second"))
    ]
    return reports.report(runs, folder / "several.html")


VIEWS = [
    *("verdict", "skills", "separate", "joint", "tradeoff", "curves"),
    *("weights", "gradients", "sharing", "quality", "data", "repeat"),
]


@pytest.mark.parametrize("viewport", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_view_is_drawn_and_nothing_goes_wrong(
    chromium: Any, rich: Path, viewport: dict[str, int]
) -> None:
    with Opened(chromium, rich, viewport) as opened:
        print(f"{rich.stat().st_size} bytes, drawn in {opened.seconds:.2f} s")
        sections = opened.page.eval_on_selector_all(
            "main section", "all => all.map((one) => one.id)"
        )
        assert sections == VIEWS
        figures, drawn = opened.count("figure"), opened.count("figure .drawing > svg")
        assert (
            figures
            == drawn
            == len(
                set(
                    opened.page.eval_on_selector_all(
                        "figure", "a => a.map((f) => f.dataset.picture)"
                    )
                )
            )
        )
        assert opened.count("svg.live") == 2
        assert figures == opened.count("figure details.numbers table")
        assert opened.seconds < 2
        assert opened.faults == []


LOOKS = [(WIDE, "light"), (WIDE, "dark"), (PHONE, "light"), (PHONE, "dark")]


@pytest.mark.parametrize(
    ("which", "viewport", "colours"),
    [*(("rich", *look) for look in LOOKS), ("hostile", PHONE, "dark"), ("several", WIDE, "light")],
    ids=lambda value: str(value["width"]) if isinstance(value, dict) else value,
)
def test_everybody_can_use_it(
    chromium: Any,
    rich: Path,
    hostile: Path,
    several: Path,
    which: str,
    viewport: dict[str, int],
    colours: str,
) -> None:
    """By axe-core, with everything unfolded; and no page is wider than its screen."""
    axe = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="needs axe-playwright-python"
    )
    path = {"rich": rich, "hostile": hostile, "several": several}[which]
    with Opened(chromium, path, viewport, color_scheme=colours) as opened:
        opened.page.evaluate(
            "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
        )
        opened.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )
        found = (
            axe.Axe()
            .run(opened.page, options={"resultTypes": ["violations"]})
            .response["violations"]
        )
        grave = [
            f"{one['id']} ({one['impact']}): {one['nodes'][0]['html'][:200]}"
            for one in found
            if one["impact"] in ("serious", "critical")
        ]
        assert grave == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
        assert opened.faults == []


def test_headings_come_in_order_and_ids_once(chromium: Any, rich: Path, several: Path) -> None:
    for path in (rich, several):
        with Opened(chromium, path) as opened:
            levels = opened.page.eval_on_selector_all(
                "h1, h2, h3, h4, h5", "all => all.map((one) => Number(one.tagName[1]))"
            )
            assert levels[0] == 1 and levels.count(1) == 1
            assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
            ids = opened.page.eval_on_selector_all("[id]", "all => all.map((one) => one.id)")
            assert len(ids) == len(set(ids))
            gone = opened.page.evaluate(
                "[...document.querySelectorAll('[for], nav a')].filter((one) => "
                "!document.getElementById("
                "one.htmlFor?.value ?? one.htmlFor ?? one.hash.slice(1))).length"
            )
            assert gone == 0


def grid(tasks: list[str]) -> list[dict[str, float]]:
    """Weights over all tasks, such as sliders give them."""
    steps = (0.0, 0.13, 0.5, 1.0)
    rows = itertools.product(steps, repeat=len(tasks))
    return [dict(zip(tasks, row, strict=True)) for row in rows if any(row)]


def test_the_sliders_choose_what_pick_loads(chromium: Any, run: pc.Run) -> None:
    tasks = list(run.epochs[0].skills)
    skills = np.array([[row[f"val_{task}_skill"] for task in tasks] for row in run.history])
    chosen = set()
    with Opened(chromium, reports.report(run)) as opened:
        for i, weights in enumerate(grid(tasks)):
            best = run.history[pareto_set.choose(skills, np.array(list(weights.values())))]["epoch"]
            picked = (
                kept_epochs.pick(run.epochs, weights).epoch
                if i % 30
                else run.pick(weights).picked.epoch
            )
            assert opened.move(weights) == {"chosen": picked, "best": best}, weights
            chosen.add(picked)
        assert opened.move(dict.fromkeys(tasks, 0.0)) == {"chosen": None, "best": None}
        assert "at least one task" in opened.page.locator("#reached").inner_text()
        opened.page.locator(".reset").click()
        assert (
            opened.epochs()["chosen"]
            == kept_epochs.pick(run.epochs, dict.fromkeys(tasks, 1.0)).epoch
        )
        assert opened.faults == []
    assert len(chosen) > 1, "the training left nothing to choose from"


def test_a_skill_that_is_undefined_is_left_out_as_pick_does(chromium: Any, tmp_path: Path) -> None:
    skills = np.array(
        [[0.2, np.nan, 0.9], [0.3, -5.0, np.nan], [np.nan, 0.8, 0.1], [0.3, 0.8, 0.2]]
    )
    path = folders.make(
        tmp_path / "run", ["mass", "sex", "species"], epochs=4, keep=1, skills=skills
    )
    run = pc.load(path)
    with Opened(chromium, reports.report(path)) as opened:
        for weights in grid(list(run.epochs[0].skills)):
            assert opened.move(weights)["chosen"] == kept_epochs.pick(run.epochs, weights).epoch, (
                weights
            )
        assert opened.faults == []


def test_the_curve_and_the_command_follow_the_sliders(chromium: Any, run: pc.Run) -> None:
    with Opened(chromium, reports.report(run)) as opened:
        curve = opened.page.locator('[data-live="joint"] path.pc-line')
        before = curve.get_attribute("d")
        opened.move({"churn": 0.0, "spend": 0.25, "tier": 1.0})
        assert curve.get_attribute("d") != before
        command = opened.page.locator(".command").inner_text()
        assert command.endswith("--score-weight spend=0.25 --score-weight tier=1")
        label = opened.page.locator('[data-live="joint"] svg').get_attribute("aria-label")
        assert f"of those kept: epoch {opened.epochs()['chosen']}" in label


def test_the_tradeoff_draws_any_two_tasks(chromium: Any, run: pc.Run) -> None:
    with Opened(chromium, reports.report(run)) as opened:
        drawing = opened.page.locator('[data-live="tradeoff"]')
        assert drawing.locator("circle:not(.pc-chosen)").count() == len(run.history)
        assert drawing.locator("circle.pc-hollow").count() == len(run.epochs)
        opened.page.locator('select[data-axis="up"]').select_option("2")
        assert "skill in \u2068tier\u2069" in drawing.text_content()
        assert opened.faults == []


def test_the_keyboard_reaches_the_sliders(chromium: Any, rich: Path) -> None:
    with Opened(chromium, rich) as opened:
        page = opened.page
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Enter")
        for _ in range(80):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.type") == "range":
                break
        assert page.evaluate("document.activeElement.value") == "1"
        page.keyboard.press("Home")
        assert page.evaluate("document.activeElement.value") == "0"
        assert page.locator(".slider output").first.inner_text() == "0.00"
        outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid"


def test_names_are_text_and_nothing_runs(chromium: Any, hostile: Path) -> None:
    with Opened(chromium, hostile) as opened:
        page = opened.page
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        for i in range(len(folders.HOSTILE)):
            page.locator('select[data-axis="across"]').select_option(str(i))
        opened.move({"": 0.3})
        assert opened.alerts == [] and opened.faults == []
        assert (
            page.evaluate(
                "document.querySelectorAll('main img, main iframe, main object, svg script').length"
            )
            == 0
        )
        assert opened.count("script") == 2  # ours, and the data
        summaries = page.locator(".of-task > summary").all_text_contents()
        for name in folders.HOSTILE:
            shown = name.replace("\x07", "\ufffd")
            assert any(
                summary == shown or (len(name) > 80 and summary == shown[:79] + "…")
                for summary in summaries
            )
        assert folders.HOSTILE[0] in page.locator(".slider label").first.inner_text()


def test_a_page_without_scripts_still_says_everything(chromium: Any, rich: Path) -> None:
    with Opened(chromium, rich, java_script_enabled=False) as opened:
        assert opened.page.locator("noscript p").is_visible()
        assert opened.page.locator('figure[data-picture="joint"] svg.pc-picture').is_visible()


def test_it_prints(chromium: Any, rich: Path) -> None:
    with Opened(chromium, rich) as opened:
        assert opened.page.pdf(format="A4").startswith(b"%PDF")
        opened.page.emulate_media(media="print")
        assert not opened.page.locator("nav").is_visible()
        assert opened.page.locator("section.verdict").is_visible()


def test_many_tasks_have_a_filter(chromium: Any, tmp_path: Path) -> None:
    names = [f"label {i}" for i in range(30)]
    path = folders.make(tmp_path / "many", names, epochs=5)
    with Opened(chromium, reports.report(path)) as opened:
        assert opened.count(".curves .of-task:visible") == 30
        opened.page.locator(".curves .filter input").fill("LABEL 2")
        assert opened.count(".curves .of-task:visible") == 11
        assert opened.page.locator(".curves .filter output").inner_text() == "11 of 30"
        opened.page.locator(".joint .filter input").fill("7")
        assert opened.count(".slider:visible") == 3
