"""Who may use the variables of a model: many threads that predict, or one that trains or measures."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from polycera.errors import PolyceraError
from polycera.layers import backend


class InTraining(PolyceraError):
    """A model was asked for something in one thread while another thread trains it."""

    def __init__(self) -> None:
        super().__init__(
            "This model is being trained in another thread, so it cannot be used here: wait until the training has "
            "ended, or use a model of its own, such as one that pc.load opens."
        )


class VariableAccess:
    """Let many threads predict with a model at once, and one thread alone train or measure it.

    On JAX, Keras takes the variables out of a model while it trains, evaluates or predicts, so a
    second thread finds none. On the other backends a second thread would read weights of two
    different steps.

    A thread that has the model to itself may ask for it again, as `fit` does when it validates.

    Attributes:
        making: held by whoever makes something of the model that all threads use.
    """

    def __init__(self) -> None:
        self.making = threading.Lock()
        self._changed = threading.Condition()
        self._sharing: dict[int, int] = {}  # thread -> how often it is inside `shared`
        self._waiting = 0
        self._owner: int | None = None
        self._depth = 0
        self._trains = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Predict in here: nobody changes the variables meanwhile.

        Raises:
            InTraining: where another thread trains the model.
            PolyceraError: in a process that cannot use the backend, see `backend.check_process`.
        """
        backend.check_process()
        me = threading.get_ident()
        with self._changed:
            # a thread that is inside already goes on, or it would wait for itself
            while self._owner not in (None, me) or (
                self._waiting and me not in self._sharing and self._owner != me
            ):
                self._refuse_while_training(me)
                self._changed.wait()
            self._sharing[me] = self._sharing.get(me, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing[me] -= 1
                if not self._sharing[me]:
                    del self._sharing[me]
                self._changed.notify_all()

    @contextmanager
    def alone(self, training: bool = False) -> Iterator[None]:
        """Train or measure in here: no other thread uses the model meanwhile.

        Args:
            training: whether others are refused at once, because it may take hours; else they wait.

        Raises:
            InTraining: where another thread trains the model.
            PolyceraError: in a process that cannot use the backend, see `backend.check_process`.
        """
        backend.check_process()
        me = threading.get_ident()
        with self._changed:
            self._waiting += 1
            try:
                while self._owner not in (None, me) or self._sharing.keys() - {me}:
                    self._refuse_while_training(me)
                    self._changed.wait()
            finally:
                self._waiting -= 1
            before = self._trains
            self._owner, self._depth, self._trains = me, self._depth + 1, before or training
            self._changed.notify_all()  # whoever waits now finds out that it is trained
        try:
            yield
        finally:
            with self._changed:
                self._depth -= 1
                self._owner, self._trains = (me if self._depth else None), before
                self._changed.notify_all()

    def _refuse_while_training(self, me: int) -> None:
        if self._trains and self._owner != me:
            raise InTraining
