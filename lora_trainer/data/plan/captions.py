"""Captions: what becomes of their text each time the image is shown. Where they come from: `caption_files`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import floor
from random import Random
from typing import TYPE_CHECKING

from .caption_files import caption_names, find_caption, read_caption

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

__all__ = ["caption_names", "example", "find_caption", "process_caption", "read_caption"]

_ESCAPED_OPEN, _ESCAPED_CLOSE = "\0open\0", "\0close\0"


def process_caption(
    caption: str, options: SubsetSpec, rng: Random, *, epoch: int, step: int = 0, max_train_steps: int = 0
) -> str:
    """Return the caption for one showing of an image. All randomness is drawn from `rng`.

    `epoch` counts from 1 in training (it decides caption_dropout_every_n_epochs); `step` counts optimiser steps from 0 and
    `max_train_steps` is their number: both are for the token warm-up.
    """
    if options.caption_prefix:
        caption = f"{options.caption_prefix} {caption}"
    if options.caption_suffix:
        caption = f"{caption} {options.caption_suffix}"
    every = options.caption_dropout_every_n_epochs
    if rng.random() < options.caption_dropout_rate or (every > 0 and epoch % every == 0):
        return ""
    caption = _one_line(caption, options, rng)
    if options.shuffle_caption or options.token_warmup_step > 0 or options.caption_tag_dropout_rate > 0:
        caption = _arrange_tags(caption, options, rng, step, max_train_steps)
    if options.secondary_separator:
        caption = caption.replace(options.secondary_separator, options.caption_separator)
    return caption


def example(caption: str, options: SubsetSpec) -> str:
    """The caption as a showing has it on which nothing is left out or shuffled: with prefix, suffix and separators."""
    whole = replace(
        options,
        shuffle_caption=False,
        caption_dropout_rate=0.0,
        caption_dropout_every_n_epochs=0,
        caption_tag_dropout_rate=0.0,
        token_warmup_step=0.0,
    )
    return process_caption(caption, whole, Random(0), epoch=1)


def _one_line(caption: str, options: SubsetSpec, rng: Random) -> str:
    """The first line; with enable_wildcard any line, and one of `a`, `b` for `{a|b}` (`{{` and `}}` stand for braces)."""
    lines = caption.split("\n")
    if not options.enable_wildcard:
        return lines[0]
    line = rng.choice(lines).replace("{{", _ESCAPED_OPEN).replace("}}", _ESCAPED_CLOSE)
    line = _chosen(line, rng)
    return line.replace(_ESCAPED_OPEN, "{").replace(_ESCAPED_CLOSE, "}")


def _chosen(line: str, rng: Random) -> str:
    """`line` with one of `a`, `b` for each `{a|b}`; `{}` and braces without a partner stay. Linear in its length."""
    parts, place = [], 0
    while (start := line.find("{", place)) >= 0 and (end := line.find("}", start)) >= 0:
        inner = line[start + 1 : end]
        parts += [line[place:start], rng.choice(inner.split("|")) if inner else "{"]
        place = end + 1 if inner else start + 1
    return "".join([*parts, line[place:]])


@dataclass
class _Tags:
    """A caption cut into tags: those that stay in front, those that may move or go, those that stay at the end."""

    front: list[str]
    free: list[str]
    end: list[str]


def _split_tags(caption: str, options: SubsetSpec) -> _Tags:
    def tags(part: str) -> list[str]:
        return [tag.strip() for tag in part.split(options.caption_separator)]

    separator = options.keep_tokens_separator
    if separator and separator in caption:
        parts = [[tag for tag in tags(part) if tag] for part in caption.split(separator, 2)]
        return _Tags(parts[0], parts[1], parts[2] if len(parts) > 2 else [])
    everything = tags(caption.strip())
    keep = max(0, options.keep_tokens)
    return _Tags(everything[:keep], everything[keep:], [])


def _arrange_tags(caption: str, options: SubsetSpec, rng: Random, step: int, max_train_steps: int) -> str:
    tags = _split_tags(caption, options)
    warmup = options.token_warmup_step
    if warmup < 1:  # a share of the training
        warmup = floor(warmup * max_train_steps)
    if step < warmup:
        shown = floor(step * ((len(tags.free) - options.token_warmup_min) / warmup)) + options.token_warmup_min
        tags.free = tags.free[:shown]
    if options.shuffle_caption:
        rng.shuffle(tags.free)
    if options.caption_tag_dropout_rate > 0:
        tags.free = [tag for tag in tags.free if rng.random() >= options.caption_tag_dropout_rate]
    return ", ".join(tags.front + tags.free + tags.end)
