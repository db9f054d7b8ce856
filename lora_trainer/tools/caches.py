"""`clear_cache`: how much trainings have kept of a data set on the disk, and its removal.

python -m lora_trainer clear_cache --show frogs
python -m lora_trainer clear_cache frogs
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from ..data.plan.cache_folders import CacheSize, clear, image_folders, size
from ..data.plan.words import count
from ..errors import SaveError
from ..options.tool_cli import parse
from ..options.tools.clear_cache import ClearCache
from ..options.tools.reporting import Report
from ..paths import user_path


def main(argv: Sequence[str]) -> int:
    """Show or clear as the arguments say; returns 0. Raises InputError(s), and SaveError for what cannot be removed."""
    options = parse(ClearCache, "clear_cache", argv)
    report, message = Report(), told(run(options), is_removed=not options.show)
    sys.stdout.write(f"{message}\n")
    report.say("info", message)
    report.write(options.report)
    return 0


def told(found: CacheSize, *, is_removed: bool) -> str:
    """What came of it, for a person."""
    if not found.files:
        return "Nothing is kept of these images."
    files, size_of_it = count(found.files, "file", "files"), f"{found.bytes / 1e6:.1f}"
    return f"Removed: {files}, {size_of_it} MB." if is_removed else f"Kept on the disk: {files}, {size_of_it} MB."


def run(options: ClearCache) -> CacheSize:
    """The size of what lies there, or lay there: only files that trainings wrote are removed, never images or captions."""
    folders = image_folders(user_path(str(options.folder)))
    if options.show:
        return size(folders)
    try:
        return clear(folders)
    except OSError as error:
        message = f"{error.filename} cannot be removed: {error.strerror or error}."
        raise SaveError(message, advice="Close the program that uses it, and try again.") from error
