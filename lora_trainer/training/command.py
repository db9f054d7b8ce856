"""`python -m lora_trainer train_network ...`, `train_textual_inversion ...`, `fine_tune ...` or `train_db ...`, alone or under
`accelerate launch`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .. import log
from ..options import cli
from ..runs.events import ConsoleReporter
from .session import EXIT_OK


def sdxl(argv: Sequence[str]) -> int:
    """`main` for a model of SDXL, and no other."""
    return main(argv, "sdxl_train_network")


def textual_inversion(argv: Sequence[str]) -> int:
    """`main` for an embedding."""
    return main(argv, "train_textual_inversion")


def sdxl_textual_inversion(argv: Sequence[str]) -> int:
    """`main` for an embedding for a model of SDXL, and no other."""
    return main(argv, "sdxl_train_textual_inversion")


def extended_textual_inversion(argv: Sequence[str]) -> int:
    """`main` for an embedding with vectors for each layer (XTI)."""
    return main(argv, "train_textual_inversion_XTI")


def fine_tune(argv: Sequence[str]) -> int:
    """`main` for a whole model."""
    return main(argv, "fine_tune")


def dreambooth(argv: Sequence[str]) -> int:
    """`main` for a whole model with its text encoder."""
    return main(argv, "train_db")


def sdxl_whole(argv: Sequence[str]) -> int:
    """`main` for a whole model of SDXL."""
    return main(argv, "sdxl_train")


def main(argv: Sequence[str], command: str = cli.TRAIN) -> int:
    """Train as the command line says; return the exit code. Raises LoraTrainerError for what goes wrong."""
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
