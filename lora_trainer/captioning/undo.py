"""`undo_captions`: bring back the captions that a tool has changed.

python -m lora_trainer undo_captions train_data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .. import log
from ..data.plan import caption_backup
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.undo_captions import UndoCaptions
from ..paths import user_path


def main(argv: Sequence[str]) -> int:
    """Undo the last run, or the one that the arguments name; returns 0. Raises InputError(s) and SaveError."""
    log.setup()
    options = parse(UndoCaptions, "undo_captions", argv)
    assert options.train_data_dir
    undone = caption_backup.undo(Path(user_path(options.train_data_dir)), options.backup_name or "")
    logger.info(
        "%s is undone: %d captions are back, %d new ones are gone.", undone.backup, len(undone.restored), len(undone.removed)
    )
    if undone.kept:
        logger.warning("Changed since, and left as they are: %s.", ", ".join(undone.kept))
    return 0
