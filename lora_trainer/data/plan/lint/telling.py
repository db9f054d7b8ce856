"""A finding in the form in which the page and the command line have it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..model import Finding, Fix, printable
from .whys import WHY


def told(finding: Finding) -> dict[str, Any]:
    """`{level, code, message, why, where, field, files, fix}`; `fix` is `{name, label, values}` or None."""
    fix = finding.fix and {"name": finding.fix.name, "label": label(finding.fix), "values": dict(finding.fix.values)}
    return {
        "level": finding.level,
        "code": finding.code,
        "message": finding.message,
        "why": WHY.get(finding.code, ""),
        "where": finding.where,
        "field": finding.field,
        "files": [printable(path) for path in finding.files],
        "fix": fix,
    }


def label(fix: Fix) -> str:
    """What the mend does, as a button says it."""
    make = _LABELS[fix.name]
    return make(fix.values) if callable(make) else make


def _setting(values: Mapping[str, Any]) -> str:
    name, value = next(iter(values.items()))
    if isinstance(value, bool):
        return f"Switch {name} on" if value else f"Switch {name} off"
    return f"Set {name} to {value}"


_LABELS = {
    "set": _setting,
    "set_repeats": "Balance the repeats",
    "add_words": lambda values: f"Write {values['text']!r} in front of these captions",
    "remove_words": lambda values: f"Take {values['text']!r} out of these captions",
    "write_captions": lambda values: f"Write {values['text']!r} as their caption",
    "drop_empty": "Delete the empty caption files",
    "reencode": "Save them as UTF-8",
    "join_lines": "Join the lines into one",
    "cut_captions": "Shorten them to what is read",
    "put_aside": lambda values: "Put the copies aside" if "files" in values else "Put these pictures aside",
    "trim": "Cut the bars off",
    "rename_tags": "Correct these tags",
}
