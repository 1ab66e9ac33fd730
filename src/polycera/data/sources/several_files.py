"""Read several files as one table: those of a folder, of a pattern, or of a list."""

from __future__ import annotations

import glob
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote

from polycera.data.sources import connections, described, json_lines, parquet, text_files
from polycera.data.sources.rows import TEXT, SourceRows
from polycera.data.table import check_names
from polycera.errors import InputError, listing, shorten

KINDS: dict[str, tuple[str, ...]] = {
    "Parquet": parquet.ENDINGS,
    "text": text_files.ENDINGS,
    "JSON": json_lines.ENDINGS,
}
"""Kinds of files of which several can be one table, with their endings."""
NOTES = (".txt", ".json")
"""Endings that files beside a table have too: in a folder they count only where nothing else is."""
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"
"""What stands in a folder's name for a missing value."""


def files_of(path: Path) -> list[Path] | None:
    """Return the files of a folder or of a pattern, sorted; None for the path of one file.

    Raises:
        InputError: where there is none, and for a folder with tables of several kinds.
    """
    try:
        if path.is_dir():
            return _in_folder(path)
        if path.exists() or not glob.has_magic(str(path)):
            return None
    except OSError:  # a name too long: whoever opens the one file says it
        return None
    found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
    if not found:
        raise InputError(f"No file has a name like {shorten(path)!r}.")
    return found


def _in_folder(folder: Path) -> list[Path]:
    """Return the files of tables in a folder and below it; hidden ones are left out."""
    label = f"Folder {shorten(folder)!r}"
    try:
        files = sorted(
            path
            for path in folder.rglob("*")
            if _kind(path) is not None
            and not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        )
    except OSError as error:
        raise InputError(f"{label} cannot be opened: {error.strerror}.") from None
    files = [path for path in files if _ending(path) not in NOTES] or files
    if not files:
        raise InputError(
            f"{label} holds no .csv, .tsv, .txt, .jsonl or .parquet file; a folder is read as one "
            "table of the files in it: name the file that you mean."
        )
    return files


def _ending(path: Path) -> str:
    """Return the ending of a file's name without that of what packed it."""
    packed = path.suffix.lower() in text_files.PACKED
    return Path(path.stem if packed else path.name).suffix.lower()


def _kind(path: Path) -> str | None:
    """Return which of `KINDS` a file is; None for another."""
    if _ending(path) in parquet.ENDINGS and path.suffix.lower() in text_files.PACKED:
        return None
    return next((kind for kind, endings in KINDS.items() if _ending(path) in endings), None)


def read(
    files: Sequence[Path],
    label: str,
    *,
    encoding: str | None = None,
    exclude: Collection[str] = (),
    as_text: Collection[str] | Literal[True] = True,
) -> SourceRows:
    """Return the rows of some files, one file after the other.

    Files of text and of Parquet must have the same columns; a key that a JSON file has not is
    missing there. Folders such as year=2024 give columns.

    Args:
        files: the files, all of one kind, in the order of the rows.
        label: what errors call them.
        encoding: encoding of files of text; None: what each file shows.
        exclude: columns that are not read.
        as_text: columns of files of text to leave as text, as for `open_source`.

    Raises:
        InputError: for files of several kinds, and where one has other columns than the first.
    """
    kinds = {file: _kind(file) for file in files}
    other = next((file for file in files if kinds[file] != kinds[files[0]]), None)
    other = files[0] if kinds[files[0]] is None else other
    if other is not None:
        raise InputError(
            f"{label} takes in {shorten(other)!r}; several files are read as one table where all "
            "of them are text (.csv, .tsv, .txt), or .jsonl, or .parquet: name those that you mean."
        )
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"File {shorten(missing)!r} does not exist, or is no file.")
    if kinds[files[0]] == "Parquet":
        return parquet.read(files, label, partitioned=True, exclude=exclude)
    if kinds[files[0]] == "JSON":
        return json_lines.read(files, label, partitioned=True, exclude=exclude)
    return _stacked(files, label, encoding, exclude, as_text)


def _stacked(
    files: Sequence[Path],
    label: str,
    encoding: str | None,
    exclude: Collection[str],
    as_text: Collection[str] | Literal[True],
) -> SourceRows:
    """Return a table of the rows of files of text."""
    connection = connections.connect()

    def opened(place: int, texts: Collection[str] | Literal[True]) -> SourceRows:
        """Return the rows of one file."""
        file = files[place]
        return text_files.read(
            file,
            f"File {shorten(file)!r}",
            packed=file.suffix.lower() if file.suffix.lower() in text_files.PACKED else None,
            encoding=encoding,
            exclude=exclude,
            as_text=texts,
            connection=connection,
            table=f"file {place}",
            may_be_empty=True,
        )

    parts = [opened(place, as_text) for place in range(len(files))]
    first = parts[0]
    for part in parts[1:]:
        _check_alike(first, part, label)
    # A column of numbers in one file and of text in another is text in all of them.
    differing = {
        name for name in first.types if len({part.types[name] for part in parts}) > 1
    } | set(() if as_text is True else as_text)
    for place, part in enumerate(parts):
        if any(part.types[name] != TEXT for name in differing & set(part.types)):
            parts[place] = opened(place, differing)
    folders = _folders(files, label)
    given = list(folders[0])
    all_names = [*first.types, *first.left_out]
    check_names([*all_names, *given])
    wanted = [name for name in given if name not in set(exclude)]
    types = dict(parts[0].types) | dict.fromkeys(wanted, TEXT)
    names = connections.sql_names(list(types))
    for place, (part, values) in enumerate(zip(parts, folders, strict=True)):
        chosen = [part.quoted(name) for name in first.types]
        texts = [values[name] for name in wanted]
        chosen += ["NULL" if text is None else connections.text(text) for text in texts]
        listed = ", ".join(
            f"cast({value} as {types[name]}) as {connections.quoted(names[name])}"
            for name, value in zip(types, chosen, strict=True)
        )
        start = "create table rows as" if place == 0 else "insert into rows"
        connection.execute(f"{start} select {listed} from {part.relation}")
        connection.execute(f"drop table {part.relation}")
    encodings = {part.encoding for part in parts}
    rows = SourceRows(
        connection,
        '"rows"',
        types,
        label,
        written=True,
        said=_said(parts),
        encoding=encodings.pop() if len(encodings) == 1 else None,
        left_out=tuple(name for name in (*all_names, *given) if name in set(exclude)),
        names=names,
    )
    described.check_rows(rows)
    return rows


def _check_alike(first: SourceRows, part: SourceRows, label: str) -> None:
    """Raise where a file has not the columns of the first one, in any order."""
    differing = {*first.types, *first.left_out} ^ {*part.types, *part.left_out}
    if differing:
        raise InputError(
            f"{label} is not one table: {_lowered(part.label)} has other columns than "
            f"{_lowered(first.label)}; they differ in {listing(sorted(differing), 5)}."
        )


def _lowered(label: str) -> str:
    return label[0].lower() + label[1:]


def _folders(files: Sequence[Path], label: str) -> list[dict[str, str | None]]:
    """Return for each file the values that its folders give, such as year=2024.

    Raises:
        InputError: where the folders of two files do not give the same columns.
    """
    found: list[dict[str, Any]] = []
    for file in files:
        pairs = [part.partition("=") for part in file.parts[:-1] if part.find("=") > 0]
        values = {name: None if v == NO_VALUE else unquote(v) for name, _, v in pairs}
        if found and list(values) != list(found[0]):
            raise InputError(
                f"{label} is not one table: the folders of {shorten(file)!r} give the columns "
                f"{listing(values)}, and those of {shorten(files[0])!r} {listing(found[0])}."
            )
        found.append(values)
    return found


def _said(parts: Sequence[SourceRows]) -> tuple[str, ...]:
    """Return what was said of the files, each sentence once, with the number of other files."""
    counts: dict[str, list[str]] = {}
    for part in parts:
        for sentence in part.said:
            counts.setdefault(sentence.replace(part.label, ""), []).append(sentence)
    return tuple(
        same[0] if len(same) == 1 else f"{same[0]} The same holds for {len(same) - 1} other files."
        for same in counts.values()
    )
