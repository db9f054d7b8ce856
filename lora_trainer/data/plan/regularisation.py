"""Which regularisation images an epoch shows: as many as there are training images, and over the epochs all of them alike."""

from __future__ import annotations

from collections.abc import Sequence


def balance_regularisation(repeats: list[int], needed: int) -> list[int]:
    """How often the first epoch shows each regularisation image, given its own repeats and the number of training samples.

    Images are taken in order, with their repeats, until there are `needed` samples or more (what is left has its turn in a
    later epoch); if all of them are fewer, each in turn is shown once more until there are exactly `needed`. As in kohya-ss.
    """
    shown = [0] * len(repeats)
    total = 0
    for index, own in enumerate(repeats):
        if total >= needed:
            break
        shown[index] = own
        total += own
    if repeats and total < needed:
        every, extra = divmod(needed - total, len(repeats))
        shown = [times + every + (index < extra) for index, times in enumerate(shown)]
    return shown


def turn(images: Sequence[tuple[int, int]], places: int, epoch: int) -> list[int]:
    """The ids that fill `places` places of one bucket in an epoch (counted from 0), of `images` (id, own repeats).

    Each epoch begins where the one before it ended, so that after any number of epochs no image was shown more than once more
    often than its repeats ask for. Epoch 0 is what `balance_regularisation` counts.
    """
    pool = [image for image, own in images for _ in range(own)]
    if places < len(pool):
        first = epoch * places
        return [pool[(first + place) % len(pool)] for place in range(places)]
    beyond = places - len(pool)
    return pool + [images[(epoch * beyond + place) % len(images)][0] for place in range(beyond)]


def shown_by(images: Sequence[tuple[int, int]], places: int, epochs: int | None) -> set[int]:
    """The ids that `epochs` epochs show (None: however many there may be)."""
    pool = [image for image, own in images for _ in range(own)]
    return set(pool if epochs is None else pool[: epochs * places]) if places else set()
