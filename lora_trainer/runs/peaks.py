"""What pictures took of the card's memory, as it was measured while they were drawn."""

from __future__ import annotations

import threading


class Peaks:
    """The most bytes that drawing took, by model and by how many pixels were drawn at once. Thread-safe."""

    def __init__(self) -> None:
        self._found: dict[str, dict[int, int]] = {}
        self._lock = threading.Lock()

    def add(self, model: str, pixels: int, taken: int) -> None:
        """Drawing `pixels` at once with a model took so many bytes."""
        with self._lock:
            known = self._found.setdefault(model, {})
            known[pixels] = max(taken, known.get(pixels, 0))

    def need(self, model: str, pixels: int) -> int | None:
        """What drawing so many will take: what the smallest took that were no smaller; None where none were measured."""
        with self._lock:
            known = self._found.get(model, {})
            enough = [size for size in known if size >= pixels]
            return known[min(enough)] if enough else None
