"""Callbacks that act around a whole `fit`: a model asks them before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from polycera.data.batches import Batches
from polycera.errors import InputError


class FitHook(keras.callbacks.Callback):
    """A callback that acts before the first step of a `fit`, and around all of them.

    Keras tells a callback of a training only once it runs. What has to choose the first epoch, hold
    a lock or change the training step comes earlier.

    Attributes:
        nonfinite: what a step does where a gradient is NaN or infinite: "stop", "skip", or None
            where the step does not look at its gradients.
    """

    nonfinite: str | None = None

    def take_rows(self, rows: Batches | None) -> None:
        """Take the batches of the training; None where only their source knows their order."""

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, int | None]]:
        """Hold whatever the training needs while it runs.

        Args:
            model: that is trained.
            source: batches, ours or the user's.
            callbacks: all of them, this one included.
            **params: what Keras tells callbacks: verbose, epochs.

        Yields:
            what `fit` takes as callbacks; its first epoch, or None where that stays as it is.
        """
        yield callbacks, None


class FitHooks:
    """The hooks among the callbacks of one `fit`.

    Args:
        callbacks: as `fit` takes them.

    Raises:
        InputError: where there are two of one kind.
    """

    def __init__(self, callbacks: Any) -> None:
        flat = keras.tree.flatten(callbacks or [])
        self.each = [callback for callback in flat if isinstance(callback, FitHook)]
        kinds = [type(hook) for hook in self.each]
        for kind in kinds:
            if kinds.count(kind) > 1:
                raise InputError(f"A training takes one pc.callbacks.{kind.__name__}, got several.")

    def __bool__(self) -> bool:
        return bool(self.each)

    @property
    def nonfinite(self) -> str | None:
        """What a step does where a gradient is not finite; None where no hook asks."""
        return next((hook.nonfinite for hook in self.each if hook.nonfinite is not None), None)

    def take_rows(self, source: Any) -> None:
        """Hand the batches to each hook."""
        for hook in self.each:
            hook.take_rows(source if isinstance(source, Batches) else None)

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, dict[str, int]]]:
        """Enter each hook.

        Yields:
            the callbacks; options of `fit` that a hook decides: `initial_epoch`, or none.
        """
        options: dict[str, int] = {}
        with ExitStack() as entered:
            for hook in self.each:
                hold = hook.around_fit(model, source, callbacks, **params)
                callbacks, first = entered.enter_context(hold)
                if first is not None:
                    options["initial_epoch"] = first
            yield callbacks, options
