"""Test laws of files: a spec round-trips, a file is whole or absent, no name is taken twice."""

from __future__ import annotations

import csv
import errno
import io
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from polycera.errors import InputError, PolyceraError
from polycera.runs import (
    Data,
    Network,
    Parts,
    Spec,
    Training,
    checked,
    next_name,
    read_spec,
    to_yaml,
)
from polycera.storage import atomic, table_files

pytestmark = [pytest.mark.nobackend, pytest.mark.nokeras]

# Any text that can be a name: YAML has quotes for all of it but halves of surrogate pairs.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
names = texts.filter(bool)
shares = st.floats(0, 1, exclude_max=True)
numbers = st.floats(0, 1e300)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)
parts = st.builds(
    Parts,
    validation=shares,
    test=shares,
    column=st.none() | texts,
    groups=st.none() | texts,
    time=st.none() | texts,
)
specs = st.builds(
    Spec,
    tasks=st.lists(st.dictionaries(names, plain, max_size=4), max_size=3),
    data=st.builds(
        Data,
        source=st.none() | texts,
        encoding=texts,
        columns=st.dictionaries(texts, texts, max_size=4),
        parts=parts,
    ),
    network=st.builds(
        Network, width=st.integers(1, 2**14), depth=st.integers(1, 50), dropout=shares
    ),
    training=st.builds(
        Training,
        learning_rate=st.floats(1e-300, 1e300),
        weight_decay=numbers,
        batch_size=st.none() | st.integers(1, 10**6),
        max_steps=st.integers(1, 10**9),
        patience_steps=st.integers(1, 10**9),
        score_weights=st.dictionaries(texts, numbers, max_size=3),
    ),
    seed=st.integers(0, 2**32 - 1),
)


@given(specs)
def test_a_spec_comes_back_from_its_page(
    tmp_path_factory: pytest.TempPathFactory, spec: Spec
) -> None:
    path = tmp_path_factory.getbasetemp() / "spec.yaml"
    path.write_bytes(to_yaml(spec))
    assert read_spec(path) == spec
    assert checked(spec) == spec


@pytest.mark.parametrize(
    "text",
    [
        "yes",
        "no",
        "null",
        "~",
        "1",
        "1e3",
        "0x1f",
        "2024-01-01",
        "- a",
        "a: b",
        "#",
        "'",
        '"',
        " ",
        "\t",
        "🎉",
        "\n",
    ],
)
def test_words_that_yaml_reads_in_its_own_way(tmp_path: Path, text: str) -> None:
    """Column names and classes stay text: 'no' does not come back as False, nor '1' as a number."""
    spec = Spec(
        tasks=[{"name": text, "classes": [text, "other"]}], data=Data(columns={text: "number"})
    )
    (tmp_path / "spec.yaml").write_bytes(to_yaml(spec))
    assert read_spec(tmp_path / "spec.yaml") == spec


@given(st.sampled_from(["width", "depth"]), st.integers(-(10**9), 0))
def test_a_value_beyond_its_limits_is_named(field: str, value: int) -> None:
    with pytest.raises(InputError, match=rf"network\.{field} is {value}, .* >= 1"):
        checked(Spec(tasks=[], network=Network(**{field: value})))


def test_a_wrong_value_in_a_list_is_shown_itself() -> None:
    with pytest.raises(InputError, match=r"option tasks\[1\] is 3, which is not valid: Expected"):
        checked(Spec(tasks=[{"name": "y"}, 3]))  # type: ignore[list-item]


# -- all of a file, or nothing ---------------------------------------------------------------------


class Failing(io.FileIO):
    """A file on a disk that is full after some bytes."""

    room = 0

    def write(self, content: Any, /) -> int:
        super().write(content[: self.room])
        if len(content) > self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)


@given(content=st.binary(max_size=40), before=st.none() | st.binary(max_size=10), data=st.data())
def test_a_writer_that_fails_at_any_byte_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory,
    content: bytes,
    before: bytes | None,
    data: st.DataObject,
) -> None:
    folder = tmp_path_factory.mktemp("disk")
    if before is not None:
        (folder / "file").write_bytes(before)
    fails = data.draw(
        st.sampled_from(["write", "fsync", "replace"] if content else ["fsync", "replace"])
    )
    Failing.room = data.draw(st.integers(0, len(content) - 1)) if fails == "write" else len(content)

    def refuse(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(atomic, "open", lambda path, mode: Failing(path, mode), raising=False)
        if fails != "write":
            patch.setattr(os, fails, refuse)
        with pytest.raises(PolyceraError, match=r"Cannot write .* \(\d+ bytes\): "):
            atomic.write(folder / "file", content)
    assert [path.name for path in folder.iterdir()] == ([] if before is None else ["file"])
    assert before is None or (folder / "file").read_bytes() == before
    atomic.write(folder / "file", content)
    assert (folder / "file").read_bytes() == content
    assert len(list(folder.iterdir())) == 1


def test_a_reader_never_sees_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the last moment the old content stays; data reach the disk before the name does."""
    path, order = tmp_path / "file", []
    path.write_bytes(b"old")
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda handle: (order.append(("fsync", path.read_bytes())), sync(handle))
    )
    monkeypatch.setattr(
        os, "replace", lambda *a: (order.append(("replace", path.read_bytes())), replace(*a))
    )
    atomic.write(path, b"new" * 1000)
    new = b"new" * 1000
    assert order == [("fsync", b"old"), ("replace", b"old"), ("fsync", new)]
    assert path.read_bytes() == new


@pytest.mark.parametrize("trouble", [RuntimeError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("place", ["run", "a/b/run"])
def test_a_folder_appears_whole_or_not_at_all(
    tmp_path: Path, place: str, trouble: type[BaseException]
) -> None:
    """Folders above it that were made for it go with it; the ones that were there stay."""
    (tmp_path / "kept").mkdir()
    with (
        pytest.raises(PolyceraError if trouble is OSError else trouble),
        atomic.new_folder(tmp_path / place) as draft,
    ):
        (draft / "half").write_bytes(b"x")
        assert not (tmp_path / place).exists()
        raise trouble
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    with atomic.new_folder(tmp_path / place) as draft:
        (draft / "whole").write_bytes(b"x")
    assert [path.name for path in (tmp_path / place).iterdir()] == ["whole"]
    assert [
        path.name for path in (tmp_path / place).parent.iterdir() if path.name.startswith(".")
    ] == []


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    """Nor where it appears while another of that name is being written."""
    with pytest.raises(PolyceraError, match="run"), atomic.new_folder(tmp_path / "run"):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "precious").write_bytes(b"x")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["precious"]
    with pytest.raises(InputError, match="already exists"), atomic.new_folder(tmp_path / "run"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@given(stem=st.text(max_size=300), taken=st.sets(st.integers(1, 6)))
def test_a_name_is_free_and_stays_in_its_folder(
    tmp_path_factory: pytest.TempPathFactory, stem: str, taken: set[int]
) -> None:
    parent = tmp_path_factory.mktemp("runs")
    first = next_name(parent, stem)
    assert first.parent == parent
    base = first.name.removesuffix("-1")
    for number in taken:
        (parent / f"{base}-{number}").mkdir()
    seen = set()
    for _ in range(3):
        path = next_name(parent, stem)
        assert not path.exists()
        assert path not in seen
        seen.add(path)
        atomic.check_free(path)
        path.mkdir()
    assert len(list(parent.iterdir())) == len(taken) + 3


@given(
    st.dictionaries(
        texts, st.lists(texts | st.none(), min_size=3, max_size=3), min_size=2, max_size=4
    )
)
def test_columns_come_back_from_csv(found: dict[str, list[str | None]]) -> None:
    """Quotes, line ends and delimiters within a cell are a cell's own business."""
    rows = list(csv.reader(io.StringIO(table_files.as_csv(found), newline="")))
    assert rows[0] == list(found)
    expected = [
        ["" if cell is None else cell for cell in row] for row in zip(*found.values(), strict=True)
    ]
    assert rows[1:] == expected
