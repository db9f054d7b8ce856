"""Regularisation pictures made with the base model: which ones are wanted, which are there, and drawing what lacks.

A picture is `512x768-0007-seed8.png` with its caption beside it (`.txt`): the number within its size decides its seed. What
is there is kept, so that a series that was broken off goes on, and one that is to be longer is lengthened. The pictures are
drawn by the process that draws for the page (`runs.generation`), a few at a time; the command `make_reg_images` draws the same.
"""

from __future__ import annotations

import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError, LoraTrainerError
from ..paths import write_atomic, write_text_atomic
from .generation import Generation

Size = tuple[int, int]  # (width, height) in pixels
MOST = 2000  # pictures of a series
_AT_ONCE = 8  # pictures of one request: so many are lost at most when it is broken off
_NAME = re.compile(r"(\d+)x(\d+)-(\d+)-seed\d+\.png")


@dataclass(frozen=True, kw_only=True)
class Series:
    """What is wanted: `counts` pictures of each size, drawn as `request` says (fields of sampling.request.ImageRequest), the
    `caption` of each, and the `seed` of the first of each size."""

    folder: Path
    counts: Mapping[Size, int]
    caption: str
    request: Mapping[str, Any]
    seed: int = 1

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    def missing(self) -> list[tuple[Size, int]]:
        """(size, number from 0) of the pictures that are not there."""
        there = self._there()
        return [(size, number) for size, count in self.counts.items() for number in range(count) if (size, number) not in there]

    def path(self, size: Size, number: int) -> Path:
        return self.folder / f"{size[0]}x{size[1]}-{number:04}-seed{self.seed + number}.png"

    def parts(self, most: int = _AT_ONCE) -> Iterator[tuple[Size, int, int]]:
        """What lacks in pieces that are drawn at once: (size, first number, how many), seeds one after the other."""
        part: tuple[Size, int, int] | None = None
        for size, number in self.missing():
            if part is not None and part[0] == size and part[1] + part[2] == number and part[2] < most:
                part = (size, part[1], part[2] + 1)
                continue
            if part is not None:
                yield part
            part = (size, number, 1)
        if part is not None:
            yield part

    def asked(self, size: Size, first: int, count: int) -> dict[str, Any]:
        """The request for one piece."""
        shape = {"width": size[0], "height": size[1], "seed": self.seed + first, "batch_size": 1, "batch_count": count}
        return {**self.request, **shape}

    def keep(self, source: Path, size: Size, number: int) -> None:
        """Put a drawn picture in its place, its caption first, so that no picture is ever without."""
        target = self.path(size, number)
        write_text_atomic(target.with_suffix(".txt"), self.caption + "\n")
        with source.open("rb") as drawn:
            write_atomic(target, lambda file: shutil.copyfileobj(drawn, file))

    def _there(self) -> set[tuple[Size, int]]:
        if not self.folder.is_dir():
            return set()
        found = (_NAME.fullmatch(path.name) for path in self.folder.iterdir())
        return {((int(one[1]), int(one[2])), int(one[3])) for one in found if one}


def shares(buckets: Mapping[Size, int], count: int) -> dict[Size, int]:
    """`count` pictures spread over sizes as `buckets` (size -> samples of an epoch) are; sides become multiples of 8."""
    sizes: dict[Size, int] = {}
    for (width, height), samples in buckets.items():
        size = (max(64, width // 8 * 8), max(64, height // 8 * 8))
        sizes[size] = sizes.get(size, 0) + samples
    whole = sum(sizes.values())
    if not whole:
        return {}
    exact = {size: count * samples / whole for size, samples in sizes.items()}
    given = {size: int(share) for size, share in exact.items()}
    rest = sorted(sizes, key=lambda size: (given[size] - exact[size], size))
    for size in rest[: count - sum(given.values())]:
        given[size] += 1
    return {size: number for size, number in sorted(given.items()) if number}


def folder_name(model: str, words: str) -> str:
    """`v1-5-pruned/green_frog`: where the pictures of a class by a model lie, below the folder of all of them."""
    return "/".join(re.sub(r"[^\w.+-]+", "_", part)[:80].strip("._") or "x" for part in (Path(model).stem, words))


class RegImages:
    """Makes one series at a time through `generation`. Thread-safe."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation
        self._lock = threading.Lock()
        self._status: dict[str, Any] = {"state": "", "done": 0, "total": 0, "folder": "", "message": "", "advice": ""}
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self, series: Series) -> dict[str, Any]:
        """Begin, or go on with what lacks. Raises HostError while another series is being made."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise HostError(
                    "Other regularisation images are being made.", advice="Wait until they are there, or cancel it."
                )
            series.folder.mkdir(parents=True, exist_ok=True)
            self._stop.clear()
            self._tell(state="running", total=series.total, folder=str(series.folder), message="", advice="")
            self._count(series)
            self._thread = threading.Thread(target=self._make, args=(series,), name="reg-images", daemon=True)
            self._thread.start()
        return self.status()

    def status(self) -> dict[str, Any]:
        """{state: "" (nothing yet), running, finished, stopped, failed; done, total, folder, message, advice}."""
        return dict(self._status)

    def stop(self) -> dict[str, Any]:
        """Break off after the current step; what is there stays."""
        self._stop.set()
        return self.status()

    def wait(self, seconds: float) -> None:
        """Wait until nothing is being made any more, at most so long."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _tell(self, **told: Any) -> None:
        self._status = {**self._status, **told}

    def _count(self, series: Series) -> None:
        self._tell(done=series.total - len(series.missing()))

    def _make(self, series: Series) -> None:
        try:
            for size, first, count in list(series.parts()):
                if not self._draw(series, size, first, count):
                    return
            self._tell(state="finished")
        except LoraTrainerError as error:
            self._tell(state="failed", message=error.message, advice=error.advice)
        except OSError as error:
            self._tell(
                state="failed", message=f"The pictures could not be kept: {error.strerror}.", advice="Free some disk space."
            )

    def _draw(self, series: Series, size: Size, first: int, count: int) -> bool:
        """Draw one piece and keep each picture as soon as it is there; False when that was the end of all."""
        request, kept = self._generation.submit(series.asked(size, first, count)), 0
        status: dict[str, Any] = {}
        for status in self._generation.follow(request, self._stop.is_set):
            for image in status["images"][kept:]:
                path = self._generation.file(request, image["name"])
                if path is not None:
                    series.keep(path, size, first + kept)
                kept += 1
                self._count(series)
        if self._stop.is_set() or status["state"] == "stopped":
            self._tell(state="stopped")
        elif status["state"] == "failed":
            self._tell(state="failed", message=status["message"], advice=status["advice"])
        return status["state"] == "finished" and not self._stop.is_set()
