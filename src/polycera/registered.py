"""Look up users' classes by the names under which they are registered with Keras.

They are never imported.
"""

from __future__ import annotations

from typing import Any

from polycera.errors import InputError, shorten


def is_own(kind: type[Any]) -> bool:
    """Return whether a class is the user's own, and not one of polycera's."""
    return not kind.__module__.startswith("polycera.")


def name_of(kind: type[Any], what: str) -> str:
    """Return the name under which a class is registered with Keras, such as `my_package>MyClass`.

    Args:
        kind: the class.
        what: how an error message begins, such as "Balancing 'Damped'".

    Raises:
        InputError: where it is not registered, so that it could not be found again.
    """
    import keras  # here, because `import polycera` must not import Keras

    name = keras.saving.get_registered_name(kind)
    if keras.saving.get_registered_object(name) is not kind:
        raise InputError(
            f"{what} is a class of your own and cannot be saved by name: put "
            "@keras.saving.register_keras_serializable('my_package') above it, so that it is "
            "found again."
        )
    return str(name)


def find(name: str, what: str) -> Any:
    """Return the class that is registered under a name.

    Args:
        name: as `name_of` returned it.
        what: what the class should be, for the message, such as "balancing method".

    Raises:
        InputError: where nothing is registered under it here.
    """
    import keras

    registered_class = keras.saving.get_registered_object(name)
    if registered_class is None:
        raise InputError(
            f"The {what} {shorten(repr(name))} is a class of the user's own that is not registered "
            "here: import the module that defines it first."
        )
    return registered_class
