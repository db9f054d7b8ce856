"""`python -m lora_trainer worker RUN_FOLDER`: the process that trains one run of the page.

It reads `config.toml` (which names `dataset.toml`) in the run's folder and tells what happens in `events.jsonl`; its output
goes to `log.txt`, where the host sent it. It outlives the host.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

from .. import log
from ..errors import InputError
from ..options import TrainOptions, config_file
from ..options.resolve import train_options
from ..runs import resuming, states
from ..runs.events import RunReporter
from ..runs.folder import RunFolder
from . import session

HEARTBEAT_SECONDS = 2.0


def main(argv: Sequence[str]) -> int:
    """Train the run in the folder `argv[0]`; return the exit code: 0 done or stopped, 1 failed, 2 wrong input.

    Raises InputError when there is no such run, StoreError when another living worker has it.
    """
    if len(argv) != 1 or argv[0].startswith("-"):
        raise InputError("the worker needs one folder of a run.", advice="Usage: python -m lora_trainer worker RUN_FOLDER")
    folder = RunFolder(Path(argv[0]).expanduser().resolve())
    if not folder.config.is_file():
        raise InputError(f"{folder.path} is no run: {folder.config.name} is missing.")
    log.setup()
    reporter = RunReporter(folder.path)
    alive = threading.Event()
    threading.Thread(target=_beat, args=(folder, alive), name="heartbeat", daemon=True).start()
    try:
        return session.run(lambda: _options(folder), reporter, losses_to=folder.losses, of_run=True)
    finally:
        alive.set()
        reporter.close()


def _options(folder: RunFolder) -> TrainOptions:
    """What is to be trained; with the note of the host that wants it, going on from the run's last whole state."""
    given = {"resume": states.LATEST} if resuming.is_asked(folder) else {}
    return train_options(given, config_file.read(folder.config))


def _beat(folder: RunFolder, ended: threading.Event) -> None:
    """Say that this process lives until the training has ended: loading a model takes longer than a step."""
    while not ended.wait(HEARTBEAT_SECONDS):
        folder.beat()
