"""Captions: which file belongs to an image, and what becomes of its text each time the image is shown."""

from __future__ import annotations

import io
import re
from collections.abc import Collection
from dataclasses import dataclass
from math import floor
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from ...errors import InputError

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_WILDCARD = re.compile(r"\{([^}]+)\}")
_ESCAPED_OPEN, _ESCAPED_CLOSE = "\0open\0", "\0close\0"


def caption_names(image_name: str, caption_extension: str) -> list[str]:
    """Names that the caption file of an image may have, the first that exists counts.

    `img.png` has `img.txt`. A name that ends in four parts of face information, `a_x_y_w_h.png`, may share `a.txt`.
    """
    extension = caption_extension if caption_extension.startswith(".") else f".{caption_extension}"
    stem = Path(image_name).stem
    parts = stem.split("_")
    return [stem + extension] + (["_".join(parts[:-4]) + extension] if len(parts) > 4 else [])


def find_caption(image_name: str, caption_extension: str, names: Collection[str]) -> str | None:
    """The name of an image's caption file out of the folder's file `names`, or None."""
    return next((name for name in caption_names(image_name, caption_extension) if name in names), None)


def read_caption(path: Path, *, enable_wildcard: bool = False) -> str:
    """Read a caption file: its first line, or with `enable_wildcard` all that are not blank; stripped, joined by newlines.

    A byte order mark is no part of the caption. Raises InputError when the file is empty, not UTF-8 text, or cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"the caption cannot be read: {error.strerror or error}.", where=str(path)) from error
    if not data:
        raise InputError(
            "the caption file is empty.",
            where=str(path),
            field="caption_extension",
            advice="Write a caption into it, or delete it (the class tokens are the caption then).",
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the caption is not UTF-8 text: byte 0x{error.object[error.start]:02x} at position {error.start}.",
            where=str(path),
            field="caption_extension",
            advice="Save the file again with the encoding UTF-8 (a text editor offers it under 'Save as').",
        ) from error
    if "\0" in text:  # valid UTF-8, but nobody writes it
        raise InputError(
            "the caption holds NUL characters, as a text in UTF-16 does.",
            where=str(path),
            field="caption_extension",
            advice="Save the file again with the encoding UTF-8 (a text editor offers it under 'Save as').",
        )
    lines = [line.strip() for line in io.StringIO(text, newline=None)]
    if enable_wildcard:
        return "\n".join(line for line in lines if line)
    return lines[0] if lines else ""


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


def _one_line(caption: str, options: SubsetSpec, rng: Random) -> str:
    """The first line; with enable_wildcard any line, and one of `a`, `b` for `{a|b}` (`{{` and `}}` stand for braces)."""
    lines = caption.split("\n")
    if not options.enable_wildcard:
        return lines[0]
    line = rng.choice(lines).replace("{{", _ESCAPED_OPEN).replace("}}", _ESCAPED_CLOSE)
    line = _WILDCARD.sub(lambda match: rng.choice(match[1].split("|")), line)
    return line.replace(_ESCAPED_OPEN, "{").replace(_ESCAPED_CLOSE, "}")


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
