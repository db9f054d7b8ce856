"""What the host's pictures take of the memory that a training wants, too, as torch counts it in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ...runs.peaks import Peaks

_peaks = Peaks()
_before = 0  # what was held when the host's model was off the card


class Memory:
    """Of the card; of main memory, as far as that can be asked for, where there is none."""

    def held(self) -> int:
        """Bytes that this process holds now."""
        cuda = _cuda()
        if cuda is not None:
            return int(cuda.memory_reserved())
        process = _process()
        return int(process.memory_info().rss) if process is not None else 0

    def begin_peak(self) -> None:
        """Let `peak` tell the most from now on; of main memory it is the process's own all the same."""
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()

    def peak(self) -> int:
        """The most bytes that were held; 0 where nobody knows."""
        cuda = _cuda()
        if cuda is not None:
            return int(cuda.max_memory_reserved())
        try:
            import resource
        except ImportError:  # Windows
            process = _process()
            return int(getattr(process.memory_info(), "peak_wset", 0)) if process is not None else 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


memory = Memory()


def model_is_away() -> None:
    """What is held now is held besides what pictures take."""
    global _before
    _before = memory.held()


def need(p: Any) -> int | None:
    """How many bytes drawing `p` (a StableDiffusionProcessing) takes; None where nothing as large was measured."""
    return _peaks.need(_model(p), _pixels(p))


@contextmanager
def drawing(p: Any) -> Iterator[None]:
    """Measure what drawing `p` takes; nothing is learnt from what fails."""
    memory.begin_peak()
    yield
    taken = memory.peak() - _before
    if taken > 0:
        _peaks.add(_model(p), _pixels(p), taken)


def _model(p: Any) -> str:
    from modules import shared

    chosen = getattr(p, "override_settings", None) or {}
    return str(chosen.get("sd_model_checkpoint") or shared.opts.data.get("sd_model_checkpoint") or "")


def _pixels(p: Any) -> int:
    """How many pixels `p` draws at once, at most."""
    width, height = (int(getattr(p, side, 0) or 512) for side in ("width", "height"))
    if getattr(p, "enable_hr", False):
        scale = float(getattr(p, "hr_scale", 1.0) or 1.0)
        width = int(getattr(p, "hr_resize_x", 0) or width * scale)
        height = int(getattr(p, "hr_resize_y", 0) or height * scale)
    return width * height * int(getattr(p, "batch_size", 1) or 1)


def _cuda() -> Any | None:
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and cuda.is_available() else None


def _process() -> Any | None:
    try:
        import psutil
    except ImportError:
        return None
    return psutil.Process()
