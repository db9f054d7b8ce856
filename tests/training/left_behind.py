"""A training that reads its data in another process, and waits: what is left when it is killed. Imports next to nothing."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

from lora_trainer.paths import write_text_atomic
from lora_trainer.training.interrupt import begin_data_worker


def train_and_wait(told: str) -> None:
    multiprocessing.get_context("forkserver").Process(target=_read_and_wait, args=(told,)).start()
    time.sleep(600)


def _read_and_wait(told: str) -> None:
    begin_data_worker(0)
    write_text_atomic(Path(told), str(os.getpid()))
    time.sleep(600)
