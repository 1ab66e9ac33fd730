"""Turn Keras's safe mode off in an artefact before using what it forbids (CVE-2025-9906, -9905)."""

from __future__ import annotations

import _build
from _run import Place, Variant, main
from lambda_in_keras import four, keras_file, lambda_layer, model

SWITCH = {
    "module": "keras.config",
    "class_name": "function",
    "config": "enable_unsafe_deserialization",
    "registered_name": "function",
}


def in_spec(place: Place) -> None:
    """As a loss, followed by one that is allowed once the switch is off."""
    function = lambda_layer(place)["config"]["function"]
    losses = [{"loss": SWITCH, "weight": 1.0}, {"loss": function, "weight": 1.0}]
    _build.spec(place.run, lambda spec: spec["tasks"][0].update(loss=losses))


def as_options(place: Place) -> None:
    """As fields that a reader might hand on as keyword arguments."""
    _build.spec(
        place.run, lambda spec: spec.update(safe_mode=False, custom_objects={"f": "os.system"})
    )


def no_mode(place: Place) -> None:
    """`safe_mode: null`, which once meant off."""
    _build.spec(place.run, lambda spec: spec["tasks"][0].update(safe_mode=None))


VARIANTS = [
    *four("the switch in .keras", lambda p: keras_file(model(SWITCH, lambda_layer(p)))),
    Variant("the switch as a loss", in_spec),
    Variant("safe_mode in the spec", as_options),
    Variant("safe_mode of a task", no_mode),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
