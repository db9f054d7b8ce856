"""Captions that are too long, or say the same of different pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import tokens
from ..brackets import wrong_brackets
from ..captions import example
from ..model import Finding, Fix, PlannedImage
from ..words import count, name_some

if TYPE_CHECKING:
    from ....options.dataset_config import SubsetSpec

_FEW = 3  # pictures of which it says nothing that their captions are the same
_LONG = 6  # words: a caption of so many hardly fits two pictures by chance
_SHOWN = 60  # letters of what is cut off


def findings(spec: SubsetSpec, images: Sequence[PlannedImage], max_tokens: int, weighted: bool) -> Iterator[Finding]:
    """Findings about the captions of one folder, read from files."""
    own = [image for image in images if image.has_caption]
    yield from _too_long(spec, own, max_tokens)
    yield from _brackets(spec, own, weighted)
    if not spec.is_reg:
        yield from _repeated(spec, own)


def _too_long(spec: SubsetSpec, own: Sequence[PlannedImage], max_tokens: int) -> Iterator[Finding]:
    whole = {image: example(image.caption, spec) for image in own}
    longer = [image for image, text in whole.items() if tokens.count(text) > max_tokens]
    if not longer:
        return
    first = longer[0]
    rest = tokens.cut(whole[first], max_tokens)[1]
    shown = rest if len(rest) <= _SHOWN else f"{rest[:_SHOWN]}…"
    some = name_some(Path(image.path).name for image in longer)
    message = (
        f"{count(len(longer), 'caption is', 'captions are')} longer than the {max_tokens} tokens that are read ({some}). "
        f"Of {Path(first.path).name} this is cut off: «{shown}»"
    )
    # Twice the length costs memory for each picture: a tag too many is rather taken out.
    fix = Fix("cut_captions", {"tokens": max_tokens})
    yield Finding("warning", message, str(spec.place), "max_token_length", "long_caption", _paths(longer), fix)


def _brackets(spec: SubsetSpec, own: Sequence[PlannedImage], weighted: bool) -> Iterator[Finding]:
    wrong = {image: problem for image in own if (problem := wrong_brackets(image.caption, spec, weighted=weighted))}
    if wrong:
        some = name_some(f"{Path(image.path).name} ({problem})" for image, problem in wrong.items())
        message = f"brackets of {count(len(wrong), 'caption', 'captions')} do not match: {some}."
        option = "weighted_captions" if weighted else "enable_wildcard"
        yield Finding("warning", message, str(spec.place), option, "brackets", _paths(list(wrong)))


def _repeated(spec: SubsetSpec, own: Sequence[PlannedImage]) -> Iterator[Finding]:
    by_text: dict[str, list[PlannedImage]] = {}
    for image in own:
        if text := " ".join(image.caption.split()).lower():
            by_text.setdefault(text, []).append(image)
    if len(own) >= _FEW and len(by_text) == 1 and len(next(iter(by_text.values()))) == len(own):
        message = f"all {len(own)} captions are the same: {own[0].caption!r}."
        yield Finding("info", message, str(spec.place), "caption_extension", "same_caption", _paths(own))
        return
    shared = [image for text, some in by_text.items() if len(some) > 1 and len(text.split()) >= _LONG for image in some]
    if shared:
        some = name_some(Path(image.path).name for image in shared)
        message = f"{len(shared)} of {len(own)} pictures have the caption of another one, word for word: {some}."
        yield Finding("info", message, str(spec.place), "", "repeated_caption", _paths(shared))


def _paths(images: Sequence[PlannedImage]) -> tuple[str, ...]:
    return tuple(image.path for image in images)
