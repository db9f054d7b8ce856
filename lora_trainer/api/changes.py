"""What has changed since somebody last asked, so that a page that asks every few seconds is not sent all of it again."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any


class Changes:
    """Numbers every change of a value; the token of an answer is the number that it stands for. Thread-safe."""

    def __init__(self, kept: int = 2000) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._start = secrets.token_hex(4)  # tokens of an earlier process mean nothing
        self._number = 0
        self._known: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def news(self, values: Mapping[str, Any], token: str) -> tuple[list[str], str]:
        """(the keys of `values` that have changed since the answer with `token`, the new token). All for another token."""
        with self._lock:
            for key, value in values.items():
                if key not in self._known or self._known[key][0] != value:
                    self._number += 1
                    self._known[key] = (value, self._number)
                self._known.move_to_end(key)
            start, _, number = token.partition(".")
            since = int(number) if start == self._start and number.isdecimal() else 0
            changed = [key for key in values if self._known[key][1] > since]
            while len(self._known) > max(self._kept, len(values)):
                self._known.popitem(last=False)
            return changed, f"{self._start}.{self._number}"


def changed_parts(parts: Mapping[str, Any], have: str) -> tuple[dict[str, Any], str]:
    """(the parts that whoever sends `have` does not have as they are, what to send next time). `have` is "" at first."""
    marks = [hashlib.blake2b(json.dumps(part).encode(), digest_size=6).hexdigest() for part in parts.values()]
    known = have.split(".")
    if len(known) != len(marks):
        known = [""] * len(marks)
    rows = zip(parts.items(), marks, known, strict=True)
    return {name: part for (name, part), mark, old in rows if mark != old}, ".".join(marks)
