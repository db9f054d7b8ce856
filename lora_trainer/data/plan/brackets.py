"""Brackets of captions that mean something: round and square ones with weighted_captions, braces with enable_wildcard."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_ROUND_AND_SQUARE = {"(": ")", "[": "]"}


def wrong_brackets(caption: str, spec: SubsetSpec, *, weighted: bool) -> str:
    """What is wrong with the first bracket of a caption that is; "" where all is well, or brackets mean nothing.

    Looked at is what a showing can have: with enable_wildcard each line for itself, else the first.
    """
    lines = caption.split("\n") if spec.enable_wildcard else caption.split("\n")[:1]
    for line in lines:
        problem = (spec.enable_wildcard and _wrong_braces(line)) or (weighted and _wrong_weights(line, spec))
        if problem:
            return problem
    return ""


def _wrong_braces(line: str) -> str:
    """`{{` and `}}` are braces themselves; choices cannot stand inside each other."""
    plain = line.replace("{{", "  ").replace("}}", "  ")
    is_open = False
    for mark in plain:
        if mark == "{" and is_open:
            return "braces inside each other"
        if mark == "}" and not is_open:
            return "a brace that closes nothing"
        is_open = mark == "{" if mark in "{}" else is_open
    return "a brace that nothing closes" if is_open else ""


def _wrong_weights(line: str, spec: SubsetSpec) -> str:
    """A backslash makes a bracket plain text. A mark between tags inside a bracket is one where tags are taken apart."""
    parts_move = spec.shuffle_caption or spec.caption_tag_dropout_rate > 0 or spec.token_warmup_step > 0
    open_now: list[str] = []
    escaped = False
    for mark in line:
        if escaped or mark == "\\":
            escaped = not escaped
        elif mark in _ROUND_AND_SQUARE:
            open_now.append(mark)
        elif mark in ")]":
            if not open_now or _ROUND_AND_SQUARE[open_now.pop()] != mark:
                return f"a {mark} that closes nothing"
        elif mark == spec.caption_separator and open_now and parts_move:
            return f"a {mark} inside a bracket, at which tags are taken apart"
    return f"a {open_now[-1]} that nothing closes" if open_now else ""
