"""Ctrl-C (and a polite request to end) as a wish to stop at the next step."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from ..log import logger


class StopOnSignal:
    """While entered, SIGINT and SIGTERM only set `asked`. A second SIGINT interrupts at once.

    Outside the main thread, where Python allows no handlers, it does nothing.
    """

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopOnSignal:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True
        logger.info(
            "Stopping after this step; what was trained is saved.%s",
            " Ctrl-C again ends at once." if number == signal.SIGINT else "",
        )


def begin_data_worker(worker_id: int) -> None:
    """Let the training decide about Ctrl-C: a data-loader process must not die of it in the middle of a batch. But it ends when
    the training is killed.

    PyTorch's own watch asks for the process that forked this one, which is a fork server where that is Python's way (from 3.14
    on), and that one lives on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    training = multiprocessing.parent_process()
    if training is not None:
        threading.Thread(target=_end_with, args=(training,), daemon=True).start()


def _end_with(process: multiprocessing.process.BaseProcess) -> None:
    process.join()
    os._exit(1)
