"""What the history calls an edit, in a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SHOWN = 60  # characters of a user's own text


def title(values: Mapping[str, Any]) -> str:
    """A line in English about an edit as JSON; the page's language is put in on the way out (assets/korean)."""
    kind = str(values.get("kind", ""))
    said = {name: _short(value) for name, value in values.items()}
    match kind:
        case "caption":
            return "Caption written"
        case "add":
            return f"Tags added: {said['tags']}"
        case "remove":
            return f"Tags removed: {said['tags']}"
        case "rename":
            return f"Tag {said['tag']} renamed to {said['to']}"
        case "replace":
            return f"Text {said['find']} replaced by {said['with']}"
        case "regex":
            return f"Expression {said['pattern']} replaced by {said['replacement']}"
        case "prefix":
            return f"Text put in front: {said['text']}"
        case "suffix":
            return f"Text put behind: {said['text']}"
        case "tool":
            return f"Written by a tool: {said['name']}"
        case "stars":
            return f"Stars given: {values['count']}"
    return _plain(kind, values)


def _plain(kind: str, values: Mapping[str, Any]) -> str:
    if kind == "leave_out":
        return "Left out of the training" if values["on"] else "Taken into the training again"
    return {
        "sort": "Tags sorted",
        "deduplicate": "Tags named twice removed",
        "keep_tokens": "Marker of kept tags set",
        "case": "Capitals changed",
        "underscores": "Underscores changed",
        "tidy": "Captions tidied",
        "encoding": "Written as UTF-8",
        "drop_empty": "Empty caption files deleted",
        "rename_all": "Tags corrected",
        "cut": "Captions shortened",
        "join": "Lines joined",
        "delete": "Pictures put into the trash folder",
        "rotate": "Pictures turned",
        "trim": "Bars at the edges cut off",
        "crop": "Picture cropped",
        "mask": "Mask painted",
        "kept": "Texts of others that were overwritten",
    }.get(kind, "Captions changed")


def _short(value: Any) -> str:
    text = ", ".join(value) if isinstance(value, list) else str(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
