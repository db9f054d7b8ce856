"""`train_network ... --check`, and `rehearse FOLDER` for the page: what a training will need, measured."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from ... import log
from ...data.plan.lint.command import as_text, findings
from ...errors import InputError
from ...log import logger
from ...options import TrainOptions, config_file
from ...options.resolve import train_options
from ...paths import write_text_atomic
from ...runs.events import ConsoleReporter
from ...runs.tool_jobs import REPORT
from ..distributed import Processes
from ..session import EXIT_OK
from .measuring import rehearse
from .report import report
from .telling import lines

EXIT_DOES_NOT_FIT = 3


def check(options: TrainOptions) -> int:
    """Measure, print the report and what was found in the data; returns the exit status."""
    began, processes = time.time(), Processes.of(options.training)
    if not processes.is_main:
        log.setup("ERROR")
    try:
        measured = rehearse(options, reporter=ConsoleReporter(), processes=processes)
        found = report(measured, began)
    finally:
        processes.leave()
    if processes.is_main:
        told = as_text(measured.plan, findings(measured.plan, options, knows_steps=True))
        sys.stdout.write("\n".join(lines(found)) + f"\n\n{told}")
    return EXIT_OK if found["memory"]["fits"] else EXIT_DOES_NOT_FIT


def _told(done: int, total: int) -> None:
    logger.info("%d / %d", done, total)


def main(argv: Sequence[str]) -> int:
    """Measure the training of `config.toml` in the folder `argv[0]`, and write the report beside it. Raises InputError(s)."""
    began = time.time()
    if len(argv) != 1 or argv[0].startswith("-"):
        raise InputError("a folder with a config.toml is needed.", advice="Usage: python -m lora_trainer rehearse FOLDER")
    folder = Path(argv[0])
    log.setup()
    options = train_options({}, config_file.read(folder / "config.toml"))
    found = report(rehearse(options, reporter=ConsoleReporter(), progress=_told), began, copies=1)
    write_text_atomic(folder / REPORT, json.dumps(found, ensure_ascii=False) + "\n")
    return EXIT_OK
