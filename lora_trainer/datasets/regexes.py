"""Regular expressions of a user, over all captions, in a process of their own that is ended when it takes too long.

Python's `re` cannot be interrupted, and `(a+)+$` on a caption may run for years: within the server it would hold a thread
and, between two steps of the interpreter, everything else.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..errors import InputError, LoraTrainerError

SECONDS = 10.0
_LONGEST = 1000  # characters of a pattern
_CHILD = Path(__file__).with_name("regex_child.py")


def matching(pattern: str, texts: list[str], *, ignore_case: bool = False) -> list[bool]:
    """Whether `pattern` is found in each text. Raises InputError for a pattern that is none or takes too long."""
    found: list[bool] = _run(pattern, None, texts, ignore_case)
    return found


def replaced(pattern: str, replacement: str, texts: list[str], *, ignore_case: bool = False) -> list[str]:
    """Each text with `replacement` (in which `\\1` is the first group) where `pattern` fits. Raises as `matching` does."""
    found: list[str] = _run(pattern, replacement, texts, ignore_case)
    return found


def _run(pattern: str, replacement: str | None, texts: list[str], ignore_case: bool) -> Any:
    if len(pattern) > _LONGEST:
        raise InputError(f"The regular expression is longer than {_LONGEST:,} characters.", field="pattern")
    if not texts:
        return []
    job = json.dumps({"pattern": pattern, "replacement": replacement, "texts": texts, "ignore_case": ignore_case})
    command = [sys.executable, "-I", "-S", str(_CHILD)]
    try:
        done = subprocess.run(command, input=job.encode("ascii"), capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"The regular expression {pattern!r} took longer than {SECONDS:.0f} seconds, so it was given up.",
            field="pattern",
            advice="Write it without a repetition inside a repetition, as in (a+)+.",
        ) from error
    except OSError as error:
        raise LoraTrainerError(f"No process could be started for the regular expression: {error.strerror}.") from error
    if done.returncode:
        raise InputError(f"The regular expression {pattern!r} needs too much memory.", field="pattern")
    found = json.loads(done.stdout)
    if isinstance(found, dict):
        raise InputError(f"The regular expression {pattern!r} is wrong: {found['error']}.", field="pattern")
    return found
