"""The real program for tests of the page: `python -m lora_trainer ui` in a process of its own, as a person starts it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from .conftest import free_port

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running(folder: Path, *arguments: str) -> Iterator[tuple[str, Path]]:
    """Give (address, data folder) of a program whose data folder, below `folder`, is empty at the start."""
    data, port = folder / "data", free_port()
    words = ["--no-browser", "--no-standby", "--port", str(port), "--data-dir", str(data)]
    command = [sys.executable, "-m", "lora_trainer", "ui", *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    log = folder / "program.log"
    with log.open("w") as output:
        process = subprocess.Popen([*command, *arguments], env=environment, cwd=folder, stdout=output, stderr=output)
    address = f"http://127.0.0.1:{port}/"
    try:
        _wait_for(address, process, log)
        yield address, data
    finally:
        process.terminate()
        process.wait(300)


def _wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(address + "lora-trainer/api/state", timeout=30).close()
            return
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
