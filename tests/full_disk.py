"""A disk that fills up in the middle of a file, for whoever writes one.

with room_for(1000), pytest.raises(SaveError): ...     # no file of this process gets longer than so many bytes
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

needs_limits = pytest.mark.skipif(os.name != "posix", reason="only there a process may be given room for so many bytes a file")


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Every write beyond `size` bytes of a file fails as on a full disk (with another number: "File too large")."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
