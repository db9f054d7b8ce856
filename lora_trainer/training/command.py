"""`python -m lora_trainer train_network ...`, `train_textual_inversion ...`, `fine_tune ...` or `train_db ...`, alone or under
`accelerate launch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import log
from ..options import cli
from ..runs.events import ConsoleReporter
from .session import EXIT_OK


def main(argv: Sequence[str], command: str) -> int:
    """Train as the command line of `command` says; return the exit code. Raises LoraTrainerError for what goes wrong."""
    options = cli.parse(argv, command)
    sys.argv[1:] = cli.without_secrets(sys.argv[1:])
    if options is None:  # only the configuration was to be written
        return EXIT_OK
    chosen = options.saving
    log.setup(chosen.console_log_level or "INFO", chosen.console_log_file, simple=chosen.console_log_simple)
    if options.dataset.debug_dataset:
        from .debug_dataset import show  # brings torch: seconds

        show(options)
        return EXIT_OK
    if options.training.check:
        from .rehearsal.command import check  # brings torch: seconds

        return check(options)
    from .distributed import Processes
    from .optimizers import install_packages
    from .train import train  # brings torch: seconds

    processes = Processes.of(options.training)
    if not processes.is_main:
        log.setup("ERROR")
    try:
        install_packages(options.optimizer)
        train(options, reporter=ConsoleReporter(), processes=processes)
    finally:
        processes.leave()
    return EXIT_OK
