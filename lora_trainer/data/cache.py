"""Latents of all images, made once before the training: kept in memory, and on the disk where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError
from ..options.data_spec import CHANGING
from .encode_work import Draw, Encode, Picture, Work, pictures_of
from .latents_store import LatentsStore, load
from .plan.model import DataPlan, PlannedImage, Size
from .together import ALONE, Together

MEMORY = 2 << 30  # bytes of latents that are held in memory although they lie on the disk


class LatentsCache:
    """Latents by image, and those of the mirrored image where flip_aug asks for them.

    They lie in one tensor per bucket, [N, C, h, w], so that data-loader processes share a few tensors and not thousands. Of
    more than MEMORY on the disk each is read when it is asked for.
    """

    def __init__(self, pictures: Sequence[Picture], stacks: dict[Size, torch.Tensor], draw: Draw | None = None) -> None:
        self._stacks = stacks
        self._draw = draw
        self._rows: dict[tuple[int, bool], int] = {}
        self._single: dict[tuple[int, bool], torch.Tensor | tuple[str, int]] = {}  # or (file, id that its draw goes by)
        for picture in pictures:
            keys = [(image, picture.flipped) for image in picture.serves]
            if picture.single is not None:
                self._single.update(dict.fromkeys(keys, picture.single))
            elif picture.bucket in stacks:
                self._rows.update(dict.fromkeys(keys, picture.row))
            else:
                self._single.update(dict.fromkeys(keys, (str(picture.path), picture.image.id)))

    def get(self, image: PlannedImage, *, flipped: bool = False) -> torch.Tensor:
        """Latents [C, h, w] of an image or its mirror image, on the CPU; not to be written to.

        Raises InputError when they lie on the disk and were damaged since the training began.
        """
        row = self._rows.get((image.id, flipped))
        if row is not None:
            return self._stacks[image.bucket][row]
        single = self._single[image.id, flipped]
        if isinstance(single, torch.Tensor):
            return single
        assert self._draw is not None
        return self._draw(load(Path(single[0]), image, flipped=flipped)[None], [single[1]])[0]

    @property
    def nbytes(self) -> int:
        """Main memory that the latents take."""
        held = [*self._stacks.values(), *(one for one in self._single.values() if isinstance(one, torch.Tensor))]
        return sum(tensor.numel() * tensor.element_size() for tensor in held)

    @property
    def is_in_memory(self) -> bool:
        """Whether none has to be read from the disk any more."""
        return all(isinstance(one, torch.Tensor) for one in self._single.values())

    @classmethod
    def build(
        cls,
        plan: DataPlan,
        encode: Encode,
        *,
        batch_size: int = 1,
        kept_aside: bool = False,
        store: LatentsStore | None = None,
        memory: int | None = None,
        together: Together = ALONE,
        progress: Callable[[int, int], Any] | None = None,
        should_stop: Callable[[], bool] | None = None,
    ) -> LatentsCache | None:
        """Encode every image that an epoch shows, or those `kept_aside` as they are; None when `should_stop()` was true between
        two batches.

        `encode(images, ids)` takes images [B, 3, H, W] of one size, float32 in -1..1 on the CPU, and their ids (for noise that
        does not depend on the batch), and returns scaled latents [B, C, h, w] on any device; they are kept in the dtype they
        come in. `progress(done, total)` counts pictures, mirrored ones too. Files are read ahead by threads.
        With a `store`, `encode` is a TwoSteps: what it has of a picture is not encoded again, and the rest is kept there; more
        than `memory` bytes (MEMORY) of latents are not held in memory then.
        `together` are the processes that share the work; all of them ask `should_stop` after the same number of batches.
        Raises InputError for a broken file and NotFiniteError for latents that are no numbers; both name the file.
        """
        if not kept_aside:
            _refuse_changing_images(plan)
        pictures = pictures_of(plan, kept_aside)
        latents = sum(4 * 4 * (one.bucket[0] // 8) * (one.bucket[1] // 8) for one in pictures)
        held = store is None or latents <= (MEMORY if memory is None else memory)
        work = Work(plan, pictures, encode, batch_size, store, held, together, progress)
        with work:
            if not work.run(should_stop):
                return None
        return cls(pictures, work.stacks, getattr(encode, "draw", None))


def _refuse_changing_images(plan: DataPlan) -> None:
    for subset in plan.subsets:
        for option in CHANGING:
            if getattr(subset.spec, option):
                raise InputError(
                    f"{option} changes an image each time it is shown, so its latents cannot be cached.",
                    where=str(subset.spec.place),
                    field=option,
                    advice=f"Train without cache_latents or without {option}.",
                )
