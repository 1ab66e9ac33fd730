"""Tell what the bytes of a file of text are: which encoding, or no text at all."""

from __future__ import annotations

import codecs
import unicodedata

from polycera.errors import InputError, shorten

SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a Parquet file: name it .parquet"),
    (b"ARROW1", "an Arrow file: convert it to Parquet or CSV"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (
        b"PK\x03\x04",
        "a ZIP archive or an Excel workbook: unpack it, or name the workbook .xlsx",
    ),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: save it as .xlsx or CSV"),
    (b"\x1f\x8b", "gzip: name it .csv.gz"),
    (b"\x28\xb5\x2f\xfd", "zstd: name it .csv.zst"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database: name it .sqlite"),
    (b"<!doctype html", "a web page: download the file itself"),
    (b"<html", "a web page: download the file itself"),
)
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""First bytes of a file in UTF-16."""
FOREIGN = 0.5
"""Share of letters beyond ASCII above which a text is not one of western Europe."""


def looks_like(content: bytes) -> str | None:
    """Return what a file is by its first bytes, where that is no text."""
    start = content[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    for magic, kind in SIGNATURES:
        if start.startswith(magic) or start.lower().startswith(magic):
            return kind
    return None


def check(encoding: str) -> str:
    """Return the usual name of an encoding; InputError where Python has none of that name."""
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise InputError(
            f"There is no encoding {shorten(encoding)!r}; try 'utf-8' or 'latin-1'."
        ) from None


def of(start: bytes, wanted: str | None, label: str, said: list[str]) -> str:
    """Return the encoding of a file of text, by its first bytes and by what the user said.

    Args:
        start: the first bytes of the file.
        wanted: an encoding, or None: UTF-8, UTF-16 where the file begins with its mark, or else
            windows-1252 where that fits.
        label: what errors call the file.
        said: gets a sentence where the encoding was guessed.

    Raises:
        InputError: for binary content (saying what it looks like), an encoding that does not fit
            or that has no such name.
    """
    name = None if wanted is None else check(wanted)
    if (kind := looks_like(start)) is not None:
        raise InputError(f"{label} is no delimited text; it looks like {kind}.")
    marked = start.startswith(MARKS)
    if name is None:
        if marked and (text := _decoded(start, "utf-16")) is not None and "\0" not in text:
            said.append(f"{label} begins with the mark of UTF-16: it was read as utf-16.")
            return "utf-16"
        if b"\0" in start:
            raise _binary(start, label)
        if _decoded(start, "utf-8") is not None:
            return "utf-8"
        return western(start, label, said)
    text = _decoded(start, name)
    if text is None:
        raise not_text(start, name, label)
    if "\0" in text:
        raise _binary(start, label)
    return name


def western(content: bytes, label: str, said: list[str], *, far: bool = False) -> str:
    """Return 'cp1252' where a file that is not UTF-8 can be read so, and say it.

    Args:
        content: bytes of the file that are not UTF-8.
        label: what errors call the file.
        said: gets the sentence.
        far: whether the bytes are from somewhere in the file, and not its first ones.

    Raises:
        InputError: where it does not look like a text of western Europe.
    """
    text = _decoded(content, "cp1252")
    if text is None or not _is_western(text):
        raise not_text(content, "utf-8", label)
    place = first_wrong_byte(content, "utf-8")
    byte = f"a byte far below is 0x{content[place]:02x}"
    byte = byte if far else f"byte {place} is 0x{content[place]:02x}"
    said.append(
        f"{label} is not UTF-8 ({byte}): it was read as windows-1252; where that is wrong, give "
        "the encoding (--encoding)."
    )
    return "cp1252"


def not_text(content: bytes, encoding: str, label: str) -> InputError:
    """Return the error on bytes that an encoding cannot decode."""
    if b"\0" in content[:4096] and not content.startswith(MARKS):
        return _binary(content, label)
    offset = first_wrong_byte(content, encoding)
    byte = f"0x{content[offset]:02x}" if offset < len(content) else "the end"
    line = 1 + content[:offset].decode(encoding, "ignore").count("\n")
    return wrong_byte(offset, line, byte, encoding, label)


def wrong_byte(place: int, line: int, byte: str, encoding: str, label: str) -> InputError:
    """Return the error on a byte that an encoding cannot decode, at a place of a file."""
    return InputError(
        f"{label} is not {encoding} text: byte {place} ({byte}), in line {line}, cannot be "
        "decoded; pass the file's encoding, such as encoding='latin-1' (--encoding latin-1)."
    )


def first_wrong_byte(content: bytes, encoding: str) -> int:
    """Return the place of the first byte that cannot be decoded; the length where all can."""
    try:
        content.decode(encoding)
    except UnicodeDecodeError as error:
        return error.start
    return len(content)


def _decoded(content: bytes, encoding: str) -> str | None:
    """Return the text, of which the last character may be cut off; None where it is none."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content)
    except UnicodeDecodeError:
        return None


def _is_western(text: str) -> bool:
    """Return whether a text is mostly ASCII, and its other characters letters or usual signs.

    A text in another alphabet, read as windows-1252, has words of accented letters alone.
    """
    letters = sum(character.isalpha() for character in text)
    beyond = [character for character in text if character > "\x7f"]
    odd = sum(unicodedata.category(character) == "Cc" for character in beyond)
    return not odd and sum(c.isalpha() for c in beyond) <= FOREIGN * letters


def _binary(content: bytes, label: str) -> InputError:
    return InputError(
        f"{label} is no delimited text: it holds NUL bytes, the first at byte "
        f"{content.index(0)}, and looks binary."
    )
