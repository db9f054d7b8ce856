"""Random draws as a pure function of (seed, purpose, keys). Standard library only.

Every draw of the program is seeded here, so that neither the number of data-loader workers, nor stopping and resuming, nor
the order in which things are asked for changes a draw::

    rng(seed, "caption", epoch, index).random()
    torch.Generator("cpu").manual_seed(seed_of(seed, "noise", step, index))
"""

from __future__ import annotations

import hashlib
import random


def seed_of(seed: int, purpose: str, *keys: int) -> int:
    """Return a 64-bit seed, 0 <= result < 2**64, that depends on all arguments and on nothing else.

    It is the same in every process, on every system and Python (BLAKE2b of the arguments' text, RFC 7693). `purpose` keeps
    draws for different uses apart; `keys` are the step, epoch, image or sample number, in this order.
    """
    text = "\0".join([str(int(seed)), purpose, *(str(int(key)) for key in keys)])
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8"), digest_size=8).digest(), "little")


def rng(seed: int, purpose: str, *keys: int) -> random.Random:
    """Return a generator of its own for (seed, purpose, keys); see `seed_of`."""
    return random.Random(seed_of(seed, purpose, *keys))
