"""Making a run evil, and sealing it again as its author would: every digest is right."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml


def reseal(run: Path) -> None:
    """Write the manifest of the present files; assign kept epochs and checkpoints to this run."""
    from polycera.runs import manifest

    known = json.loads((run / "manifest.json").read_text())["files"]
    for again in (False, True):
        files = [
            path
            for path in (*run.iterdir(), *run.glob("epochs/*"))
            if path.is_file() and not path.is_symlink()
        ]
        names = [path.relative_to(run).as_posix() for path in files]
        announce(
            run, {name: measured((run / name).read_bytes()) for name in names if name in known}
        )
        if again or not all(name in names for name in manifest.BASIS):
            return
        for path in (*run.glob("epochs/*.safetensors"), *run.glob("checkpoints/*.safetensors")):
            with suppress(Exception):  # one that is evil itself
                own(path, manifest.identity(run))
        with suppress(Exception):
            own_timing(run, manifest.identity(run))


def own(path: Path, identity: str) -> None:
    """Have a file of arrays say of which run it is."""
    from polycera.storage import arrays

    stored = arrays.StoredArrays(path)
    if stored.notes["run"] != identity:
        arrays.write(path, {**stored.arrays}, {**stored.notes, "run": identity})


def own_timing(run: Path, identity: str) -> None:
    """Have the file of the seconds say of which run it is."""
    import msgspec

    from polycera.runs import timing

    values = json.loads((run / timing.TIMING).read_bytes())["timing"]
    timing.write(run, msgspec.convert({**values, "run": identity}, timing.Timing))


def seal_again(path: Path) -> None:
    """The manifest of a run in which a kept epoch was changed."""
    if path.parent.name == "epochs" and (path.parent.parent / "manifest.json").is_file():
        reseal(path.parent.parent)


def measured(content: bytes) -> dict[str, Any]:
    """A file's entry in the manifest."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def announce(run: Path, files: dict[str, Any]) -> None:
    """Write a manifest that says this of the files."""
    import msgspec

    digest = hashlib.sha256(msgspec.json.encode([2, files], order="sorted")).hexdigest()
    text = msgspec.json.encode({"files": files, "sha256": digest, "version": 2})
    (run / "manifest.json").write_bytes(msgspec.json.format(text, indent=1))


def text(run: Path, name: str, content: str | bytes) -> None:
    """Put another text in the place of one."""
    (run / name).write_bytes(content.encode() if isinstance(content, str) else content)
    reseal(run)


def spec(run: Path, change: Callable[[Any], Any]) -> None:
    """Change the spec."""
    found = yaml.safe_load((run / "spec.yaml").read_bytes())
    change(found)
    text(run, "spec.yaml", yaml.safe_dump(found, sort_keys=False))


def page(run: Path, name: str, change: Callable[[Any], Any]) -> None:
    """Change a JSON file."""
    found = json.loads((run / name).read_bytes())
    change(found)
    text(run, name, json.dumps(found, indent=1))


def notes(path: Path, change: Callable[[Any], Any]) -> None:
    """Change the notes of a file of arrays, as the library itself would write them."""
    from polycera.storage import arrays

    stored = arrays.StoredArrays(path)
    values, found = {**stored.arrays}, stored.notes
    change(found)
    arrays.write(path, values, found)
    seal_again(path)


def numbers(
    path: Path, header: dict[str, Any], body: bytes = b"", noted: str = '{"notes":null,"kinds":{}}'
) -> None:
    """A file of arrays with any header, and a digest that is right."""
    path.write_bytes(
        digested({"__metadata__": {"polycera": "0" * 64 + " " + noted}, **header}, body)
    )
    seal_again(path)


def digested(header: dict[str, Any], body: bytes = b"") -> bytes:
    """Return a file of arrays with this header; its digits of 0 are where the digest goes."""
    start = json.dumps(header, separators=(",", ":")).encode()
    start += b" " * (-len(start) % 8)
    content = len(start).to_bytes(8, "little") + start + body
    return content.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode(), 1)


def checkpoint(run: Path) -> Path:
    """The newest checkpoint of a run that has begun."""
    return sorted((run / "checkpoints").glob("*.safetensors"))[-1]


def epoch(run: Path) -> Path:
    """A kept epoch."""
    return sorted((run / "epochs").glob("*.safetensors"))[0]
