"""What the bytes of a file are, and the text in them."""

from __future__ import annotations

import codecs
import gzip
import zlib

from polycera.errors import InputError, shorten

_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a Parquet file: name it .parquet"),
    (b"ARROW1", "an Arrow file: convert it to Parquet or CSV"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook: unpack it, or export it as CSV"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook: export it as CSV"),
    (b"\x1f\x8b", "gzip: name it .csv.gz"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"<!doctype html", "a web page: download the file itself"),
    (b"<html", "a web page: download the file itself"),
)


def decode(content: bytes, encoding: str, label: str) -> str:
    """The text of a file.

    Raises:
        InputError: binary content (saying what it looks like), another encoding, an encoding nobody knows.
    """
    _check_encoding(encoding)
    if (sign := _signature(content)) is not None:
        raise InputError(f"{label} is no delimited text; it looks like {sign}.")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) and "16" not in encoding:
        raise InputError(
            f"{label} looks like UTF-16 text; pass encoding='utf-16' (--encoding utf-16)."
        )
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_text(content, encoding, error.start, label) from None
    if "\0" in text:
        raise _binary(content, label)
    return text


def unzip(content: bytes, label: str) -> bytes:
    """What gzip packed; InputError where it is damaged."""
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{label} is named .gz and cannot be unpacked: {error}.") from None


def _signature(content: bytes) -> str | None:
    start = content[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    return next(
        (
            sign
            for magic, sign in _SIGNATURES
            if start.startswith(magic) or start.lower().startswith(magic)
        ),
        None,
    )


def _not_text(content: bytes, encoding: str, offset: int, label: str) -> InputError:
    if b"\0" in content[:4096]:
        return _binary(content, label)
    byte = f"0x{content[offset]:02x}" if offset < len(content) else "the end"
    return InputError(
        f"{label} is not {encoding} text: byte {offset} ({byte}) cannot be decoded; "
        "pass the file's encoding, such as encoding='latin-1' (--encoding latin-1)."
    )


def _binary(content: bytes, label: str) -> InputError:
    return InputError(
        f"{label} is no delimited text: it holds NUL bytes, the first at byte {content.index(0)}, and looks binary."
    )


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise InputError(
            f"Nobody knows the encoding {shorten(encoding)!r}; try 'utf-8' or 'latin-1'."
        ) from None
