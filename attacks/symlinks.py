"""Put links, pipes and devices in place of files and folders: nothing outside is read or written.

Nothing outside is waited for either.
"""

from __future__ import annotations

import os
import shutil

import _build
from _run import Place, Variant, main

FILES = (
    "spec.yaml",
    "schema.json",
    "timing.json",
    "manifest.json",
    "model.safetensors",
    "metrics.json",
    "history.csv",
)
UNREAD = "it is never opened"


def linked(name: str):
    """A link to the secret; the manifest has the secret's digest as far as it could be guessed."""

    def build(place: Place) -> None:
        (place.run / name).unlink()
        (place.run / name).symlink_to(place.secret)
        if name != "manifest.json":
            _build.reseal(place.run)

    return build


def linked_to_itself(name: str):
    """A link to a copy of the very file, outside: not even that is followed."""

    def build(place: Place) -> None:
        shutil.move(place.run / name, place.run.with_name(f"moved-{name}"))
        (place.run / name).symlink_to(place.run.with_name(f"moved-{name}"))

    return build


def pipe(name: str):
    """A pipe that nobody writes into."""

    def build(place: Place) -> None:
        (place.run / name).unlink()
        os.mkfifo(place.run / name)

    return build


def folder(name: str):
    """A folder instead of the file."""

    def build(place: Place) -> None:
        (place.run / name).unlink()
        (place.run / name).mkdir()

    return build


def device(name: str):
    """A link to a file without an end."""

    def build(place: Place) -> None:
        (place.run / name).unlink()
        (place.run / name).symlink_to("/dev/zero")

    return build


def folder_linked(name: str):
    """Link a folder of the run to one of the victim's, in which files would be read and written.

    Old files would also be deleted there.
    """

    def build(place: Place) -> None:
        victims = place.run.with_name("victims")
        if (place.run / name).exists():
            shutil.move(place.run / name, victims)
        else:
            victims.mkdir()
        for theirs in ("000000.safetensors", "000000-00000000.safetensors", ".1.theirs"):
            (victims / theirs).write_text("theirs")
        (place.run / name).symlink_to(victims, target_is_directory=True)

    return build


def epoch_linked(place: Place) -> None:
    """A kept epoch as a link."""
    path = _build.epoch(place.run)
    path.unlink()
    path.symlink_to(place.secret)


def lock_linked(place: Place) -> None:
    """The lock of a training as a link to the victim's file."""
    (place.run / "checkpoints" / "lock").symlink_to(place.secret)


def checkpoints_linked(place: Place) -> None:
    """All checkpoints as links."""
    for path in sorted((place.run / "checkpoints").glob("*.safetensors")):
        path.unlink()
        path.symlink_to(place.secret)


def temporaries_linked(place: Place) -> None:
    """Links under the names that a resumed training writes to, for any number of its process."""
    for number in range(os.getpid(), os.getpid() + 3000):
        for name in ("metrics.json", "history.csv", "manifest.json", "model.safetensors"):
            (place.run / f".{number}.{name}").symlink_to(place.secret)


VARIANTS = [
    *[Variant(f"{name} is a link to a secret", linked(name)) for name in FILES],
    *[Variant(f"{name} is a link to what it was", linked_to_itself(name)) for name in FILES],
    *[Variant(f"{name} is a pipe", pipe(name)) for name in FILES],
    *[Variant(f"{name} is a folder", folder(name)) for name in FILES],
    *[Variant(f"{name} is a device", device(name)) for name in FILES],
    Variant("predictions.csv is a link to a secret", linked("predictions.csv"), harmless=UNREAD),
    Variant("epochs/ is a link", folder_linked("epochs")),
    Variant("checkpoints/ is a link", folder_linked("checkpoints")),
    Variant("a kept epoch is a link", epoch_linked),
    Variant("timing.json is a pipe, resumed", pipe("timing.json"), begun=True),
    Variant("timing.json is a device, resumed", device("timing.json"), begun=True),
    Variant("epochs/ is a link, resumed", folder_linked("epochs"), begun=True),
    Variant("checkpoints/ is a link, resumed", folder_linked("checkpoints"), begun=True),
    Variant("the lock is a link, resumed", lock_linked, begun=True),
    Variant("checkpoints are links, resumed", checkpoints_linked, begun=True),
    Variant(
        "temporary names are links, resumed",
        temporaries_linked,
        begun=True,
        harmless="a new file is made, never one that is there",
    ),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
