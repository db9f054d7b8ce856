"""What regexes.py starts: reads a job as JSON, writes what the regular expression finds. Standard library alone."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from typing import Any

MEMORY = 2 << 30  # bytes; a replacement can double a text again and again


def work(job: dict[str, Any]) -> Any:
    """The answer to a job, or {"error": what is wrong with the pattern}."""
    try:
        pattern = re.compile(job["pattern"], re.IGNORECASE if job["ignore_case"] else 0)
        if job["replacement"] is None:
            return [pattern.search(text) is not None for text in job["texts"]]
        return [pattern.sub(job["replacement"], text) for text in job["texts"]]
    except (re.error, IndexError, OverflowError, RecursionError, MemoryError) as error:
        return {"error": str(error) or type(error).__name__}


if __name__ == "__main__":
    with contextlib.suppress(Exception):  # Windows has no such limit
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    json.dump(work(json.load(sys.stdin)), sys.stdout)
