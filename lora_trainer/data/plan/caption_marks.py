"""Marks in captions that mean something with an option, and are trained as they are written without it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_CHOICE = re.compile(r"\{[^{}|]*\|[^{}]*\}")


def marks_without_effect(captions: Mapping[str, str], spec: SubsetSpec) -> Iterator[tuple[str, str]]:
    """Yield (option, message) for the captions, by name, of one folder or metadata file."""
    if not spec.enable_wildcard:
        found = {name: match[0] for name, text in captions.items() if "|" in text and (match := _CHOICE.search(text))}
        if found:
            hold = count(len(found), "caption holds", "captions hold")
            message = (
                f"{hold} a choice such as {next(iter(found.values()))}, which is trained as it is written: {name_some(found)}."
            )
            yield "enable_wildcard", message + " With enable_wildcard one of them is drawn each time."
    separator = spec.keep_tokens_separator
    if not separator or not captions:
        return
    having = [name for name, text in captions.items() if separator in text]
    arranged = spec.shuffle_caption or spec.token_warmup_step > 0 or spec.caption_tag_dropout_rate > 0
    if having and not arranged:
        hold = count(len(having), "caption holds", "captions hold")
        message = f"{hold} keep_tokens_separator {separator}, which is trained as it is written: {name_some(having)}."
        yield "keep_tokens_separator", message + " It is taken out where tags are shuffled or left out (shuffle_caption)."
    elif arranged and not having:
        message = f"no caption holds keep_tokens_separator {separator}, so that it keeps no tag in its place."
        yield "keep_tokens_separator", message
