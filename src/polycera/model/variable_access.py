"""Control which threads use a model's variables: many that predict, or one that trains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from polycera.errors import InTraining
from polycera.layers import backend


class VariableAccess:
    """Let many threads predict with a model at once, or one thread alone train or measure it.

    On JAX, Keras takes the variables out of a model while it trains, evaluates or predicts, so a
    second thread finds none. On the other backends a second thread would read weights of two
    different steps.

    A thread that has the model to itself may ask for it again, as `fit` does when it validates.

    Attributes:
        making: lock for making something of the model that all threads use.
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
        """Let the caller predict while no thread changes the variables.

        Raises:
            InTraining: if another thread trains the model.
            PolyceraError: in a process that cannot use the backend, see `backend.check_process`.
        """
        backend.check_process()
        me = threading.get_ident()
        with self._changed:
            # A thread that is inside already may enter again, or it would wait for itself. New
            # threads wait behind one that waits to train, or it might never get the model.
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
        """Let the caller train or measure while no other thread uses the model.

        Args:
            training: whether other threads are refused at once, since it may take hours; else they
                wait.

        Raises:
            InTraining: if another thread trains the model.
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
            was_training = self._trains
            self._owner, self._depth, self._trains = me, self._depth + 1, was_training or training
            self._changed.notify_all()  # waiting threads see that the model is in training
        try:
            yield
        finally:
            with self._changed:
                self._depth -= 1
                self._owner, self._trains = (me if self._depth else None), was_training
                self._changed.notify_all()

    def _refuse_while_training(self, me: int) -> None:
        """Raise if another thread trains the model."""
        if self._trains and self._owner != me:
            raise InTraining
