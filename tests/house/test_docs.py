"""Every example in README.md and docs/ is run, so that none goes stale.

A page is run from top to bottom in a folder of its own: its ```python blocks in one namespace, and
the lines of its ```bash blocks that start with `polycera `. That folder has `examples` in it and,
where there are any, the shared data beside it, so that paths are those of a checkout. A block is
left out only where the comment `<!-- skip: reason -->` stands before it, a command only where it
reads `../shared/` and that is not there.

A training whose length nobody names ends after few steps here. The commands run in this process,
for each new one would import Keras.
"""

from __future__ import annotations

import io
import re
import shlex
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import polycera_cli
from polycera.tabular import step_plan
from polycera_cli.app import app

pytestmark = pytest.mark.nobackend

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))) if path.exists()
]
FENCE = re.compile(
    r"^(?P<skip><!-- skip: \S.*? -->\n+)?^```(?P<kind>python|bash)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
FEW_STEPS = 100


@dataclass
class Block:
    """One fenced block: its language, its text, the line of the page where the text starts."""

    kind: str
    text: str
    line: int


def blocks(page: str) -> list[Block]:
    """The blocks of a page that are to be run."""
    found = [m for m in FENCE.finditer(page) if not m["skip"]]
    return [Block(m["kind"], m["text"], page.count("\n", 0, m.start("text"))) for m in found]


def run_page(name: str, page: str) -> int:
    """Run the blocks in the current folder; how many were run."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    todo = blocks(page)
    for block in todo:
        if block.kind == "python":
            run_python(name, block, namespace)
        else:
            run_commands(name, block)
    return len(todo)


def run_python(name: str, block: Block, namespace: dict[str, Any]) -> None:
    """Run a block of Python; skip the page where that needs a backend that is not installed."""
    try:
        # Blank lines before it: a traceback then names the line of the page.
        exec(compile("\n" * block.line + block.text, name, "exec"), namespace)
    except ModuleNotFoundError as error:
        if error.name not in ("tensorflow", "torch"):
            raise
        pytest.skip(f"the block at line {block.line} needs {error.name}, which is not installed")


def run_commands(name: str, block: Block) -> None:
    """Run the lines that start with polycera; a trailing backslash joins lines."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if not line.startswith("polycera ") or (
            "../shared/" in line and not Path("../shared").exists()
        ):
            continue
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said), pytest.raises(SystemExit) as ended:
            polycera_cli.main(shlex.split(line, comments=True)[1:])
        where = f"{name}, block at line {block.line}: {line}"
        assert not ended.value.code, f"{where}\n{said.getvalue()}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    here = tmp_path / "checkout"
    here.mkdir()
    for link, target in (
        (here / "examples", ROOT / "examples"),
        (tmp_path / "shared", ROOT.parent / "shared"),
    ):
        if target.exists():
            link.symlink_to(target)
    monkeypatch.chdir(here)
    monkeypatch.setattr(step_plan, "LONGEST", (FEW_STEPS, FEW_STEPS))
    return here


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
@pytest.mark.filterwarnings("ignore::UserWarning")  # a page may show what is warned of
def test_the_examples_of_a_page_run(path: Path, folder: Path) -> None:
    if not run_page(str(path), path.read_text(encoding="utf-8")):
        pytest.skip("no example on this page")


def test_blocks_share_a_namespace_and_skips_need_a_reason(folder: Path) -> None:
    page = (
        "# A page\n```python\na = 1\n```\ntext\n<!-- skip: needs a GPU -->\n```python\n1 / 0\n```\n"
        "```\nnot run\n```\n```python\nassert a == 1\nb = 2\n```\n```bash\nmake demo\n```\n"
    )
    assert [block.line for block in blocks(page)] == [2, 13, 17]
    assert run_page("page.md", page) == 3
    with pytest.raises(ZeroDivisionError):
        run_page("page.md", page.replace("skip: needs a GPU", "skip:"))


def test_a_wrong_example_is_named_by_its_line(folder: Path) -> None:
    with pytest.raises(AssertionError) as caught:
        run_page("page.md", "text\n\n```python\nx = 1\nassert x == 2\n```\n")
    assert (caught.traceback[-1].frame.code.raw.co_filename, caught.traceback[-1].lineno) == (
        "page.md",
        4,
    )


def test_a_command_that_fails_fails_the_page(folder: Path) -> None:
    with pytest.raises(
        AssertionError, match=r"page\.md, block at line 1: polycera no-such-command"
    ):
        run_page("page.md", "```bash\nls\npolycera no-such-command  # a comment\n```\n")


def test_every_option_is_in_the_page_on_the_command_line() -> None:
    """An option that no page names is found by nobody."""
    page = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", page))
    commands = [name for name in app if not name.startswith("-")]
    lacking = [
        f"{command} {argument.names[0]}"
        for command in commands
        for argument in app[command].assemble_argument_collection()
        if argument.index is None and not named & set(argument.names)
    ]
    assert len(commands) > 10 and lacking == []
