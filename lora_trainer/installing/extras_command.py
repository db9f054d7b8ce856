"""`python -m lora_trainer install_packages NAME ...`: fetch packages that some settings need into our own folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence

from .. import log
from ..errors import InputError
from ..log import logger
from . import extras


def main(argv: Sequence[str]) -> int:
    """Install the packages named, or list those there are; return the exit code. Raises InputError, NotInstalledError."""
    log.setup()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # the page's "Cancel": what was half fetched goes
    names = [word for word in argv if not word.startswith("-")]
    for name in names:
        if name not in extras.BY_NAME:
            raise InputError(f"there is no package {name!r} here.", advice=f"There are: {', '.join(extras.BY_NAME)}.")
    if not names:
        for extra in extras.EXTRAS:
            state = "installed" if extras.is_there(extra.name) else extra.megabytes
            logger.info("%s %s (%s): %s", extra.name, extra.version, state, extra.purpose)
    for name in names:
        extras.install(name, logger.info, log.progress_lines(0.3))
    return 0
