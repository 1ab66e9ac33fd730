"""Define callbacks that act around a whole `fit`: a model calls them before its first step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras

from polycera.data.batches import Batches
from polycera.errors import InputError


class FitHook(keras.callbacks.Callback):
    """Act before the first step of a `fit`, and around all of its steps.

    Keras calls a callback only once a training runs. Choosing the first epoch, holding a lock or
    changing the training step must come earlier.

    Attributes:
        nonfinite: what a step does if a gradient is NaN or infinite: "stop", "skip", or None if the
            step does not check its gradients.
    """

    nonfinite: str | None = None

    def take_rows(self, rows: Batches | None) -> None:
        """Take the batches of the training; None if only their source knows their order."""

    def before_logs(self) -> None:
        """Act before the logs of an epoch, a validation or an evaluation are computed."""

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, int | None]]:
        """Hold what the training needs while it runs.

        Args:
            model: that is trained.
            source: batches, ours or the user's.
            callbacks: all of them, this one included.
            **params: what Keras passes to callbacks: verbose, epochs.

        Yields:
            The callbacks that `fit` takes; its first epoch, or None if that is unchanged.
        """
        yield callbacks, None


class FitHooks:
    """Hold the hooks among the callbacks of one `fit`.

    Args:
        callbacks: as `fit` takes them.

    Raises:
        InputError: if there are two of one kind.
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
        """Return what a step does if a gradient is not finite; None if no hook asks for it."""
        return next((hook.nonfinite for hook in self.each if hook.nonfinite is not None), None)

    def take_rows(self, source: Any) -> None:
        """Give the batches to each hook."""
        for hook in self.each:
            hook.take_rows(source if isinstance(source, Batches) else None)

    def before_logs(self) -> None:
        """Let each hook act before logs are computed."""
        for hook in self.each:
            hook.before_logs()

    @contextmanager
    def around_fit(
        self, model: Any, source: Any, callbacks: Any, **params: Any
    ) -> Iterator[tuple[Any, dict[str, int]]]:
        """Enter the context of each hook.

        Yields:
            The callbacks; options of `fit` that a hook decides: `initial_epoch`, or none.
        """
        options: dict[str, int] = {}
        with ExitStack() as stack:
            for hook in self.each:
                context = hook.around_fit(model, source, callbacks, **params)
                callbacks, initial_epoch = stack.enter_context(context)
                if initial_epoch is not None:
                    options["initial_epoch"] = initial_epoch
            yield callbacks, options
