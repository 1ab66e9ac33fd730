"""Old names of public things go on working for one version, and say the new names."""

from __future__ import annotations

import importlib

import pytest

import polycera_cli
from polycera import renamed
from polycera_cli import old_words

pytestmark = pytest.mark.nobackend

NAMES = [(module, *names) for module, known in renamed.NAMES.items() for names in known.items()]


@pytest.mark.parametrize(("module", "old", "new"), NAMES)
def test_an_old_name_is_the_new_one_and_says_so(module: str, old: str, new: str) -> None:
    face = importlib.import_module(module)
    short = module.replace("polycera", "pc")
    with pytest.warns(FutureWarning, match=rf"^{short}\.{old} is now {short}\.{new};") as warned:
        thing = getattr(face, old)
    assert thing is getattr(face, new)
    assert [warning.filename for warning in warned] == [__file__]
    assert old not in face.__all__ and new in face.__all__


def test_an_unknown_name_is_no_old_one() -> None:
    import polycera as pc

    with pytest.raises(AttributeError, match="contrast"):
        _ = pc.contrast


@pytest.mark.parametrize(("old", "new"), old_words.COMMANDS.items())
def test_an_old_command_is_the_new_one_and_says_so(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {}
    for command in (old, new):
        with pytest.raises(SystemExit) as ended:
            polycera_cli.main(["--quiet", command, "--help"])
        assert not ended.value.code
        pages[command] = capsys.readouterr()
    assert pages[old].out == pages[new].out and f"polycera {new}" in pages[new].out
    assert pages[old].err.startswith(f"polycera: {old} is now {new};")
    assert pages[new].err == ""


def test_what_is_no_command_or_option_is_left_alone() -> None:
    for words in ([], ["--help"], ["report", "compare"], ["fit", "--", "--weight"]):
        assert old_words.renamed(words) == (words, [])
