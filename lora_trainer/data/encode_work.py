"""The work before a training: which pictures are to be encoded, which of them are on the disk already, and the rest."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

import torch

from ..errors import NotFiniteError
from .images import planned_pixels, to_tensor
from .kohya_latents import is_like
from .latents_store import Found, LatentsStore
from .plan.files import THREADS
from .plan.model import DataPlan, PlannedImage, Size
from .plan.remembered import Stamp
from .together import Together

Encode = Callable[[torch.Tensor, "list[int]"], torch.Tensor]
Draw = Callable[[torch.Tensor, "Sequence[int]"], torch.Tensor]
_CHANNELS = 4
_READ_AHEAD = 2  # batches
_MOST_WAITING = 16  # writes


class TwoSteps(Protocol):
    """An `Encode` in two steps, the first of which depends on the picture alone: that is what a LatentsStore keeps."""

    draw: Draw  # what `posterior` returned (on the CPU) and ids -> latents [B, C, h, w]; without the model, so that it pickles

    def posterior(self, images: torch.Tensor) -> torch.Tensor:
        """Mean and standard deviation [B, 2C, h, w] of the latents of `images`, on any device."""

    def __call__(self, images: torch.Tensor, ids: list[int]) -> torch.Tensor:
        """Both."""


@dataclass
class Picture:
    """One picture to encode, and the images that it serves: a file may be in several data sets.

    Its latents are the `row` of its bucket's stack, else `single`, else drawn from the entry at `path`.
    """

    image: PlannedImage
    flipped: bool
    row: int
    serves: list[int] = field(default_factory=list)  # image ids
    path: Path | None = None
    single: torch.Tensor | None = None

    @property
    def bucket(self) -> Size:
        """The size that is trained."""
        return self.image.bucket


def pictures_of(plan: DataPlan, kept_aside: bool) -> list[Picture]:
    """What is to be encoded, bucket by bucket. Equal pictures (same file, sizes and filter) are encoded once."""
    groups: dict[Size, dict[tuple[object, ...], Picture]] = {}
    for image in plan.images:
        if not (image.kept_aside if kept_aside else image.id in plan.shown):
            continue
        group = groups.setdefault(image.bucket, {})
        flips = plan.subsets[image.subset].spec.flip_aug and not kept_aside
        for flipped in (False, True) if flips else (False,):
            key = (flipped, image.path, image.resized, plan.interpolation(image))
            group.setdefault(key, Picture(image, flipped, len(group))).serves.append(image.id)
    return [picture for group in groups.values() for picture in group.values()]


@dataclass
class Work:
    """Finds and encodes `pictures`; a context, within which its threads live. `held`: all latents come into `stacks`."""

    plan: DataPlan
    pictures: Sequence[Picture]
    encode: Encode
    batch_size: int
    store: LatentsStore | None
    held: bool
    together: Together
    progress: Callable[[int, int], Any] | None
    stacks: dict[Size, torch.Tensor] = field(default_factory=dict)
    _done: int = 0
    _writes: deque[tuple[Picture, torch.Tensor, Future[Path | None]]] = field(default_factory=deque)
    _pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))

    def __enter__(self) -> Work:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._pool.shutdown(cancel_futures=kind is not None)

    def run(self, should_stop: Callable[[], bool] | None = None) -> bool:
        """Do all of it, this process's part of what has to be encoded; False when it was stopped before the end."""
        found = self._find(self.pictures)
        everywhere = self.together.add_up([float(one) for one in found]) if self.store else [0.0] * len(self.pictures)
        lacking = [count < self.together.world_size for count in everywhere]
        missing = [picture for picture, lacks in zip(self.pictures, lacking, strict=True) if lacks]
        for picture, here, lacks in zip(self.pictures, found, lacking, strict=True):
            if here and lacks and self.held:  # another process does not see it: it is encoded, and then added up
                self.stacks[picture.bucket][picture.row] = 0
        self._done = len(self.pictures) - len(missing)
        if not self._encode(missing, should_stop):
            return False
        if self.together.world_size > 1:
            self.together.wait()
            if self.held:
                self._exchange(missing)
            else:  # written by the others; what cannot be seen from here (disk full, no common disk) is made here, too
                again = [picture for picture in missing if picture.path is None and picture.single is None]
                left = [one for one, seen in zip(again, self._find(again), strict=True) if not seen]
                self._encode(left, None, alone=True)
        return True

    def _find(self, pictures: Sequence[Picture]) -> list[bool]:
        """Which of them the store has; those are taken over."""
        store = self.store
        if store is None:
            return [False] * len(pictures)

        theirs: list[int] = []

        def look(at: int) -> bool:
            picture = pictures[at]
            found = store.find(self.plan, picture.image, picture.flipped, numbers=self.held)
            other = store.find_theirs(picture.image, picture.flipped) if found is None else None
            if other is not None and not store.trusting:
                theirs.append(at)
                return False
            return self._take(picture, found or other)

        answers = []
        for answer in self._pool.map(look, range(len(pictures))):
            answers.append(answer)
            self._tell(answer)
        if theirs and self.together.world_size == 1:
            for at in self._recognised(sorted(theirs), pictures):
                answers[at] = True
        return answers

    def _take(self, picture: Picture, found: Found | None) -> bool:
        if found is None:
            return False
        picture.path = found.path
        if self.held:
            self._put(picture, self._draw(found.numbers[None], [picture])[0])
        return True

    def _recognised(self, theirs: Sequence[int], pictures: Sequence[Picture]) -> Iterator[int]:
        """Those of sd-scripts' latents that are of this VAE: of each folder the first, middle and last are made again to see.

        They are written as entries of ours, which say of which picture they are.
        """
        assert self.store is not None
        folders: dict[Path, list[int]] = {}
        for at in theirs:
            folders.setdefault(Path(pictures[at].image.path).parent, []).append(at)
        for folder, places in folders.items():
            probes = sorted({places[0], places[len(places) // 2], places[-1]})
            alike = True
            for at in probes:
                found = self.store.find_theirs(pictures[at].image, pictures[at].flipped)
                image, seen = self._read(pictures[at])
                made = self._encode_batch([pictures[at]], image[None], [seen])[0]
                alike = alike and found is not None and is_like(found.numbers, made)
            rest = [at for at in places if at not in probes]
            for at in rest if alike else ():
                picture = pictures[at]
                seen, found = self.store.stamp(picture.image), self.store.find_theirs(picture.image, picture.flipped)
                if found is not None:
                    self._keep(picture, found.numbers, seen, self._draw(found.numbers[None], [picture])[0])
                    yield at
            if not alike:
                self.store.strange[folder] += len(rest)
            yield from probes
        self._finish_writes(0)

    def _encode(self, pictures: Sequence[Picture], should_stop: Callable[[], bool] | None, *, alone: bool = False) -> bool:
        """Encode this process's share; False when stopped. With `alone` all of them."""
        rank, count = (0, 1) if alone else (self.together.rank, self.together.world_size)
        batches = list(_cut(pictures, self.batch_size))
        ahead = self._read_ahead(batches[rank::count])
        for at in range(0, len(batches), count):
            if should_stop and should_stop():
                self._finish_writes(0)
                return False
            for batch, pixels, stamps in [next(ahead)] if at + rank < len(batches) else []:
                self._encode_batch(batch, pixels, stamps)
            self._tell(sum(map(len, batches[at : at + count])))
        self._finish_writes(0)
        return True

    def _encode_batch(self, batch: list[Picture], pixels: torch.Tensor, stamps: list[Stamp | None]) -> torch.Tensor:
        """Encode pictures of one size and keep what comes of it; returns latents, or with a store what they are drawn from."""
        if self.store is None:
            latents = self.encode(pixels, [picture.image.id for picture in batch]).detach().to("cpu")
            _check_finite(latents, batch)
            for picture, own in zip(batch, latents, strict=True):
                self._put(picture, own)
            return latents
        posterior: torch.Tensor = self.encode.posterior(pixels).detach().to("cpu")  # type: ignore[attr-defined]
        _check_finite(posterior, batch)
        for picture, own, seen, drawn in zip(batch, posterior, stamps, self._draw(posterior, batch), strict=True):
            self._keep(picture, own, seen, drawn)
        return posterior

    def _keep(self, picture: Picture, posterior: torch.Tensor, seen: Stamp | None, latents: torch.Tensor) -> None:
        """Give a picture its latents, and write what they are drawn from, in time."""
        assert self.store is not None
        if self.held:
            self._put(picture, latents)
        write = self._pool.submit(self.store.keep, self.plan, picture.image, picture.flipped, seen, posterior)
        self._writes.append((picture, latents, write))
        self._finish_writes(_MOST_WAITING)

    def _finish_writes(self, most: int) -> None:
        """Wait until at most `most` entries are still being written."""
        while len(self._writes) > most:
            picture, latents, write = self._writes.popleft()
            picture.path = write.result()
            if picture.path is None and not self.held:
                picture.single = latents.clone()

    def _draw(self, posterior: torch.Tensor, batch: Sequence[Picture]) -> torch.Tensor:
        draw: Draw = self.encode.draw  # type: ignore[attr-defined]
        return draw(posterior, [picture.image.id for picture in batch])

    def _put(self, picture: Picture, latents: torch.Tensor) -> None:
        self._stack(picture.bucket, latents)[picture.row] = latents

    def _stack(self, bucket: Size, like: torch.Tensor) -> torch.Tensor:
        if bucket not in self.stacks:
            rows = sum(picture.bucket == bucket for picture in self.pictures)
            self.stacks.setdefault(bucket, torch.zeros((rows, *like.shape), dtype=like.dtype))
        return self.stacks[bucket]

    def _exchange(self, missing: Sequence[Picture]) -> None:
        """Give every process what the others encoded: each has zeros in place of it."""
        for batch in _cut(missing, 64):
            size = batch[0].bucket
            stack = self._stack(size, torch.zeros(_CHANNELS, size[1] // 8, size[0] // 8))
            rows = [picture.row for picture in batch]
            stack[rows] = self.together.add_up_tensor(stack[rows])

    def _tell(self, more: int) -> None:
        self._done += more
        if self.progress and more:
            self.progress(self._done, len(self.pictures))

    def _read(self, picture: Picture) -> tuple[torch.Tensor, Stamp | None]:
        """An image [3, H, W], and its stamp from before it was read."""
        seen = self.store.stamp(picture.image) if self.store else None
        pixels = planned_pixels(self.plan, picture.image)
        return to_tensor(pixels[:, ::-1] if picture.flipped else pixels), seen

    def _read_ahead(self, batches: Sequence[list[Picture]]) -> Iterator[tuple[list[Picture], torch.Tensor, list[Stamp | None]]]:
        """Yield batches with their images [B, 3, H, W]; while one is encoded, threads read the next two."""
        waiting: deque[tuple[list[Picture], list[Future[tuple[torch.Tensor, Stamp | None]]]]] = deque()
        for number in range(len(batches) + _READ_AHEAD):
            if number < len(batches):
                waiting.append((batches[number], [self._pool.submit(self._read, picture) for picture in batches[number]]))
            if number >= _READ_AHEAD:
                batch, futures = waiting.popleft()
                images, stamps = zip(*(future.result() for future in futures), strict=True)
                yield batch, torch.stack(images), list(stamps)


def _cut(pictures: Sequence[Picture], size: int) -> Iterator[list[Picture]]:
    """Batches of at most `size` pictures of one bucket, in order."""
    batch: list[Picture] = []
    for picture in pictures:
        if batch and (len(batch) == size or batch[0].bucket != picture.bucket):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch


def _check_finite(numbers: torch.Tensor, batch: Sequence[Picture]) -> None:
    finite = torch.isfinite(numbers.flatten(1)).all(1).tolist()
    if not all(finite):
        raise NotFiniteError(
            f"the VAE made latents that are no numbers (NaN or infinite) of {batch[finite.index(False)].image.path}.",
            advice="Use --no_half_vae, or another VAE: this one does not work in half precision.",
        )
