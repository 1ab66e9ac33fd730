"""Use YAML that expands a lot or names Python objects to create: in a run's spec and in --spec."""

from __future__ import annotations

import _build
from _run import Variant, main

LAUGHS = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)
)
BOMBS = {
    "aliases that unfold to 9^12 words": LAUGHS,
    "a list within itself": "tasks: &a [*a]\n",
    "merge keys": "a: &a {x: 1}\nb: {<<: *a}\n",
    "deep lists": "tasks: " + "[" * 90_000,
    "deep blocks": "\n".join(" " * i + "a:" for i in range(1500)),
    "wide": "tasks: [" + "0," * 1_000_000 + "0]\n",
    "many maps": "tasks: [" + "{a: 1}," * 24_000 + "{}]\n",
    "many keys of a task": "tasks: [{" + ",".join(f"k{i}: 1" for i in range(49_000)) + "}]\n",
    "long": "tasks: " + "x" * 2**23 + "\n",
    "a number to the base of 60": "seed: " + "1:" * 10**6 + "1\n",
    "a number of a million digits": "seed: " + "1" * 10**6 + "\n",
    "no text": "tasks: \x00\x01\n",
    "two documents": "tasks: []\n---\ntasks: []\n",
    "a date that is none": "tasks: 2020-99-99\n",
    "unhashable key": "tasks: [{[1]: 2}]\n",
    "binary": "tasks: !!binary aGk=\n",
}
TAGS = {
    "apply": "!!python/object/apply:os.system ['touch {marker}']",
    "new": "!!python/object/new:os.system ['touch {marker}']",
    "name": "!!python/name:os.system",
    "module": "!!python/module:os",
    "object": "!!python/object:subprocess.Popen {{args: [touch, '{marker}']}}",
    "custom": "!polycera.evil {{a: 1}}",
}


def spec(content: str):
    """Instead of the spec."""
    return lambda p: _build.text(p.run, "spec.yaml", content)


def tagged(tag: str):
    """As a value in a spec that is right but for it."""

    def build(place) -> None:
        found = (place.run / "spec.yaml").read_text()
        evil = tag.format(marker=place.marker)
        _build.text(place.run, "spec.yaml", found.replace("loss: mse", f"loss: {evil}", 1))

    return build


VARIANTS = [
    *[Variant(name, spec(bomb)) for name, bomb in BOMBS.items()],
    *[Variant(f"!!python/{name} as a loss", tagged(tag)) for name, tag in TAGS.items()],
    *[
        Variant(
            f"!!python/{name} as the spec",
            lambda p, t=tag: _build.text(p.run, "spec.yaml", t.format(marker=p.marker)),
        )
        for name, tag in TAGS.items()
    ],
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
