"""The batches of a training, of which the next one can be looked at before its turn."""

from __future__ import annotations

from collections.abc import Iterator

from ..data.dataset import Batch


class Ahead:
    """`batches`, one after the other. An error of one that was looked at comes when it is its turn."""

    def __init__(self, batches: Iterator[Batch]) -> None:
        self._batches = batches
        self._held: Batch | None = None
        self._error: Exception | None = None

    def __iter__(self) -> Ahead:
        return self

    def __next__(self) -> Batch:
        held, self._held = self._held, None
        error, self._error = self._error, None
        if error is not None:
            raise error
        return next(self._batches) if held is None else held

    def peek(self) -> Batch | None:
        """The next batch, which stays the next; None where there is none, or it cannot be read."""
        if self._held is None and self._error is None:
            try:
                self._held = next(self._batches)
            except Exception as error:
                self._error = error
        return self._held
