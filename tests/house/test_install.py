"""Test what `pip install polycera` adds beside Keras, and whether the README is true there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from house.test_docs import blocks

pytestmark = pytest.mark.nobackend

ROOT = Path(__file__).resolve().parents[2]
LIMIT = 300_000_000  # bytes; SciPy alone takes 143 MB


def needs(name: str, seen: dict[str, Distribution]) -> dict[str, Distribution]:
    """Return the distributions that a name installs, with itself, for this system, no extras."""
    key = re.sub(r"[-_.]+", "-", name).lower()
    try:
        found = distribution(name)
    except PackageNotFoundError:  # asked for on another system or Python only
        return seen
    if key not in seen:
        seen[key] = found
        for line in found.requires or ():
            if "extra" not in line:
                needs(re.split(r"[^\w.-]", line, maxsplit=1)[0], seen)
    return seen


def requirements(lines: Iterable[str]) -> dict[str, Distribution]:
    """Return the distributions that some requirements install, those of extras left out."""
    seen: dict[str, Distribution] = {}
    for line in lines:
        if "extra" not in line:
            needs(re.split(r"[^\w.-]", line, maxsplit=1)[0], seen)
    return seen


def size(found: Distribution) -> int:
    """Bytes on disk, compiled files included."""
    paths = {Path(str(found.locate_file(file))) for file in found.files or ()}
    return sum(path.stat().st_size for path in paths if path.is_file())


def test_polycera_adds_under_300_mb_to_keras() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours, theirs = requirements(project["dependencies"]), needs("keras", {})
    added = {name: size(found) for name, found in ours.items() if name not in theirs}
    assert {"msgspec", "narwhals", "cyclopts", "scipy", "scikit-learn"} <= set(added)
    assert sum(added.values()) < LIMIT, added


# -- a bare environment ----------------------------------------------------------------------------

EXTRAS = (
    "tensorflow",
    "torch",
    "pandas",
    "polars",
    "pyarrow",
    "palmerpenguins",
    "pytest",
)
"""What must not be there."""


def run(*command: str | Path, cwd: Path, home: Path, status: int = 0) -> str:
    """Return what a command prints without settings of ours: no Keras variables, no keras.json."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("KERAS_", "PYTHON"))
    }
    kept |= {"HOME": str(home), "PATH": os.defpath}
    answer = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=kept, capture_output=True, text=True
    )
    assert answer.returncode == status, answer.stdout + answer.stderr
    return answer.stdout + answer.stderr


def link(found: Distribution, site: Path) -> None:
    """Make an installed package importable from another folder of packages, without a copy."""
    base = Path(str(found.locate_file("")))
    for name in {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}:
        ours, theirs = site / name, base / name
        if not ours.exists():
            ours.symlink_to(theirs)
        elif ours.is_dir():  # a package whose parts come in several distributions
            parts = list(ours.resolve().iterdir())
            ours.unlink()
            ours.mkdir()
            for part in {part.name: part for part in [*parts, *theirs.iterdir()]}.values():
                (ours / part.name).symlink_to(part)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of what a release publishes: the sdist, and the wheel built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, ROOT],
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    return folder


def test_sdist_and_wheel_hold_the_whole_package(released: Path) -> None:
    (wheel,), (sdist,) = released.glob("*.whl"), released.glob("*.tar.gz")
    source = {
        path.relative_to(ROOT / "src").as_posix()
        for path in (ROOT / "src").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    in_wheel = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert in_wheel == source
    with tarfile.open(sdist) as file:
        in_sdist = {name.partition("/")[2] for name in file.getnames()}
    assert {f"src/{name}" for name in source} <= in_sdist
    assert {"README.md", "LICENSE", "CHANGELOG.md", "pyproject.toml"} <= in_sdist


@pytest.fixture(scope="module")
def bare(released: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the Python of an environment after `pip install "polycera[jax]"`, and a bare home.

    The home folder has no keras.json.

    polycera is installed from its wheel. What it needs is linked from the environment of the tests,
    where it is installed in the versions of constraints.txt: that takes no network and a second.
    """
    folder = tmp_path_factory.mktemp("bare")
    home = folder / "home"
    home.mkdir()
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "-q")
    (wheel,) = released.glob("*.whl")
    venv.create(folder / "env", symlinks=True)
    python = folder / "env" / "bin" / "python"
    subprocess.run(
        [*pip, "--python", python, "install", "--no-deps", "--no-index", wheel], check=True
    )
    site = next((folder / "env" / "lib").glob("python*/site-packages"))
    ours = next(iter(Distribution.discover(name="polycera", path=[str(site)])))
    wanted = requirements([*(ours.requires or ()), "jax"])
    for found in wanted.values():
        link(found, site)
    return python, home


def test_the_environment_is_bare(bare: tuple[Path, Path], tmp_path: Path) -> None:
    python, home = bare
    look = (
        f"import importlib.util as u; print([n for n in {EXTRAS} if u.find_spec(n)], "
        "u.find_spec('polycera').origin)"
    )
    said = run(python, "-c", look, cwd=tmp_path, home=home)
    assert said.startswith(f"[] {python.parents[1]}")


def test_every_python_block_of_the_readme_runs_in_a_bare_environment(
    bare: tuple[Path, Path], tmp_path: Path
) -> None:
    """Nobody chose a backend, and Keras's own default is not installed; that is said, once."""
    python, home = bare
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    code = [block.text for block in blocks(page) if block.kind == "python"]
    assert code
    (tmp_path / "readme.py").write_text("\n".join(code), encoding="utf-8")
    first = run(python, "readme.py", cwd=tmp_path, home=home)
    assert first.count("polycera has chosen jax") == 1
    assert "Traceback" not in first
    assert '"tensorflow"' in (home / ".keras" / "keras.json").read_text()  # as Keras leaves it


def test_the_first_commands_work_in_a_bare_environment(
    bare: tuple[Path, Path], tmp_path: Path
) -> None:
    python, home = bare
    program = python.with_name("polycera")
    assert run(program, "-V", cwd=tmp_path, home=home) == "0.1.0\n"
    assert "fit" in run(python, "-m", "polycera", "--help", cwd=tmp_path, home=home)
    said = run(program, "fit", "nope.csv", "--target", "churn", cwd=tmp_path, home=home, status=2)
    assert "'nope.csv' does not exist" in said


def test_the_demo_runs_from_the_installed_wheel(bare: tuple[Path, Path], tmp_path: Path) -> None:
    python, home = bare
    printed = run(python.with_name("polycera"), "demo", "--out", "run", cwd=tmp_path, home=home)
    assert "made-up customers" in printed
    assert (tmp_path / "run" / "predictions.csv").is_file()
