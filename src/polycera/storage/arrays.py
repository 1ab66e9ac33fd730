"""Store named arrays in one file with a checksum: what is read is what was written, or nothing.

The format is safetensors: a header with names, types, shapes and offsets, then the numbers. The
header also holds notes (any plain state, see `state_json.py`) and a SHA-256 of the whole file,
computed with zeros in place of its own digits. Reading checks the header first, then the SHA-256,
and allocates an array only if both are right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from polycera.errors import Damaged, PolyceraError, shorten
from polycera.storage import atomic, state_json
from polycera.storage.safe_read import opened

SUFFIX = ".safetensors"
"""Ending of the files."""

HEADER = 2**21
"""Most bytes of a header: the objects that JSON of this size can make stay under 64 MB."""

NOTES = "polycera"
"""Key of the header's only metadata entry: 64 digits of SHA-256, a space, the notes as JSON."""

ZEROS = f'"{NOTES}":"{"0" * 64} '.encode()
"""How the entry begins while the SHA-256 is computed."""

TYPES = {"bool": "BOOL", "float16": "F16", "float32": "F32", "float64": "F64", "complex64": "C64"}
TYPES |= {
    f"{sign}int{bits}": f"{sign.upper() or 'I'}{bits}"
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}
"""NumPy's type name -> safetensors' name."""


def write(path: Path, arrays: Mapping[str, np.ndarray], notes: Any = None) -> None:
    """Write arrays and notes as one file, all or nothing.

    Args:
        path: path of the file, ending in `.safetensors`.
        arrays: numeric arrays by name.
        notes: any state that `state_json.split` accepts; arrays in it are written to the file too.

    Raises:
        PolyceraError: where the disk refuses it, or the notes are too long to be read again.
        TypeError: for notes that are not plain state, and for types of numbers that the format does
            not have.
    """
    value, note_arrays = state_json.split(notes)
    named = {f"arrays/{name}": array for name, array in arrays.items()}
    named |= {f"notes{name}": array for name, array in note_arrays.items()}
    kinds = {name: array.dtype.name for name, array in named.items() if array.dtype.kind == "V"}
    # Largest item size first, so that each array starts at a multiple of its item size.
    order = sorted(
        ((name, _plain_numbers(array)) for name, array in named.items()),
        key=lambda a: (-a[1].itemsize, a[0]),
    )
    header = _header(dict(order), msgspec.json.encode({"notes": value, "kinds": kinds}).decode())
    if len(header) - 8 > HEADER:
        raise PolyceraError(
            f"Cannot write {shorten(path)!r}: its notes take more than {HEADER} bytes."
        )
    parts = [array.reshape(-1).view("u1").data for _, array in order]
    digest = hashlib.sha256(header)
    for part in parts:
        digest.update(part)
    header_with_digest = header.replace(
        ZEROS, ZEROS.replace(b"0" * 64, digest.hexdigest().encode()), 1
    )
    # The parts are written from where they are in memory: joining them would cost as much time
    # as writing them.
    atomic.write(path, header_with_digest, *parts)


def _header(arrays: Mapping[str, np.ndarray], text: str) -> bytes:
    """Return the beginning of a safetensors file, padded to a multiple of 8 bytes.

    It holds its length, then names, types, shapes and offsets.
    """
    entries: dict[str, Any] = {"__metadata__": {NOTES: f"{'0' * 64} {text}"}}
    end = 0
    for name, array in arrays.items():
        start, end = end, end + array.nbytes
        if array.dtype.name not in TYPES:
            raise TypeError(f"{name.partition('/')[2]} is an array of {array.dtype}")
        entries[name] = {
            "dtype": TYPES[array.dtype.name],
            "shape": array.shape,
            "data_offsets": (start, end),
        }
    content = msgspec.json.encode(entries)
    content += b" " * (-len(content) % 8)
    return len(content).to_bytes(8, "little") + content


class StoredArrays:
    """Open and check a file of arrays; the arrays are read when they are used.

    Args:
        path: path of the file.

    Attributes:
        shapes: name -> (shape, type), as in the header.

    Raises:
        Damaged: where any bit differs from what was written.
        PolyceraError: where it cannot be read, or is not a plain file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        text = self._checked()
        with self._refused():
            noted = msgspec.json.decode(text, type=Noted)
            self._notes, self._kinds = noted.notes, noted.kinds
        self.shapes = {
            name.removeprefix("arrays/"): s
            for name, s in self._all.items()
            if name.startswith("arrays/")
        }

    @cached_property
    def notes(self) -> Any:
        """Return the notes, with the arrays in them."""
        with self._refused():
            return state_json.join(self._notes, self._read("notes"))

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays by name."""
        with self._refused():
            return self._read("arrays/")

    def _read(self, start: str) -> dict[str, np.ndarray]:
        """Return arrays by name, without the prefix.

        Types that safetensors does not have were written as unsigned integers. They are viewed as
        their own type again.
        """
        import safetensors

        with safetensors.safe_open(self.path, "numpy") as file:
            stored = {name: file.get_tensor(name) for name in self._all if name.startswith(start)}
        return {
            name.removeprefix(start): array.view(_borrowed(self._kinds[name]))
            if name in self._kinds
            else array
            for name, array in stored.items()
        }

    def _checked(self) -> str:
        """Return the notes' text after the header and the SHA-256 are checked."""
        with opened(self.path) as (file, size):
            start = file.read(8)
            length = int.from_bytes(start, "little")
            if len(start) < 8 or length > min(HEADER, size - 8):
                raise Damaged(self.path, "its header is cut off, or too long")
            header = file.read(length)
            with self._refused():
                texts = msgspec.json.decode(header, type=Header).texts
                written, _, text = texts[NOTES].partition(" ")
                if len(texts) > 1 or len(written) != 64:
                    raise ValueError("its header lacks what polycera writes there")
                # Shapes that do not fit the file are refused before the whole file is read.
                self._all = self._announced()
            written_entry = ZEROS.replace(b"0" * 64, written.encode())
            digest = hashlib.sha256(start + header.replace(written_entry, ZEROS, 1))
            while chunk := file.read(2**20):
                digest.update(chunk)
        if digest.hexdigest() != written:
            raise Damaged(self.path, "checksum mismatch: the file was changed or damaged")
        return text

    def _announced(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Return name -> (shape, type); safetensors raises unless arrays fill the file exactly."""
        import safetensors

        with safetensors.safe_open(self.path, "numpy") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: (tuple(array.get_shape()), str(array.get_dtype()))
                for name, array in slices.items()
            }

    def _refused(self) -> Any:
        return _Refused(self.path)


class Header(msgspec.Struct):
    """Holds the text part of a safetensors header."""

    texts: dict[str, str] = msgspec.field(name="__metadata__")


class Noted(msgspec.Struct):
    """Holds what polycera writes into the header's metadata.

    Attributes:
        notes: notes of any kind.
        kinds: name -> NumPy type, for arrays whose types safetensors does not have.
    """

    notes: Any
    kinds: dict[str, str]


class _Refused:
    """Turn any error of a library that cannot read the file into `Damaged`, in one sentence."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, Exception) and not isinstance(error, Damaged):
            raise Damaged(self.path, shorten(" ".join(str(error).split()), 120)) from None


def _borrowed(name: str) -> np.dtype[Any]:
    """Return a type that NumPy has from an extension, such as bfloat16; refuse any other name."""
    # The name comes from a file: only a short, plain name reaches NumPy, which would also parse
    # structured types.
    kind = np.dtype(name) if re.fullmatch(r"[a-z0-9_]{1,30}", name) else None
    if kind is None or kind.kind != "V" or kind.names is not None or kind.subdtype is not None:
        raise ValueError(f"it announces numbers of the type {shorten(name)!r}")
    return kind


def _plain_numbers(array: np.ndarray) -> np.ndarray:
    """Return an array in little-endian order; extension types become unsigned integers."""
    array = np.ascontiguousarray(array).reshape(array.shape)  # it turns shape [] into [1]
    if array.dtype.kind != "V":
        array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return array.view(f"u{array.itemsize}") if array.dtype.kind == "V" else array
