"""The captions as the text encoders will meet them: whether they stay the same, and which are longer than what is read."""

from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.plan import DataPlan
from ..data.plan.brackets import wrong_brackets as wrong
from ..data.plan.captions import process_caption
from ..data.plan.words import count, name_some
from ..models.text import count_tokens

_VARYING = ("shuffle_caption", "enable_wildcard", "caption_tag_dropout_rate", "token_warmup_step")


def constant(plan: DataPlan) -> dict[str, Path] | None:
    """All captions that the training will show or be measured by, each with the folder of the first image that has it; None
    where they are drawn anew each time."""
    captions: dict[str, Path] = {}
    folders: dict[str, Path] = {}
    for image in plan.images:
        spec = plan.subsets[image.subset].spec
        if any(getattr(spec, option) for option in _VARYING):
            return None
        if not (image.id in plan.shown or image.kept_aside):
            continue
        shown = replace(spec, caption_dropout_rate=0.0, caption_dropout_every_n_epochs=0)
        parent = os.path.dirname(image.path)  # noqa: PTH120 - the hot loop of large data sets
        folder = folders.setdefault(parent, Path(parent))
        captions.setdefault(process_caption(image.caption, shown, random.Random(0), epoch=1), folder)
        if shown != spec:  # now and then it is left out
            captions.setdefault("", folder)
    return captions


def varied_by(plan: DataPlan) -> list[str]:
    """The names of the settings because of which captions change at each use."""
    return [name for name in _VARYING if any(getattr(subset.spec, name) for subset in plan.subsets)]


def wrong_brackets(plan: DataPlan, *, weighted: bool) -> list[str]:
    """A sentence that names the images whose brackets have no partner, where brackets mean something; none where all have."""
    found: dict[str, str] = {}
    for image in plan.images:
        if image.id in plan.shown and (problem := wrong(image.caption, plan.subsets[image.subset].spec, weighted=weighted)):
            found[image.path] = problem
    some = name_some(f"{Path(path).name} ({problem})" for path, problem in found.items())
    return [f"brackets of {count(len(found), 'caption', 'captions')} do not match: {some}."] if found else []


def too_long(plan: DataPlan, tokenizer: Any, *, max_token_length: int, weighted: bool) -> list[str]:
    """A sentence that names the images whose captions are cut at `max_token_length` tokens; none where none is.

    Prefix and suffix count, and of several lines (enable_wildcard) the longest.
    """
    known: dict[str, bool] = {}
    cut: dict[str, None] = {}  # in order
    for image in plan.images:
        spec = plan.subsets[image.subset].spec
        lines = image.caption.split("\n") if spec.enable_wildcard else [image.caption]
        for line in lines:
            text = " ".join(part for part in (spec.caption_prefix, line, spec.caption_suffix) if part)
            if text not in known:
                # A token has at least one character.
                long = len(text) > max_token_length
                known[text] = long and count_tokens(tokenizer, text, weighted=weighted) > max_token_length
            if image.id in plan.shown and known[text]:
                cut[image.path] = None
    if not cut:
        return []
    names = name_some(Path(path).name for path in cut)
    have = count(len(cut), "image has a caption", "images have captions")
    longer = "Raise max_token_length (150 or 225), or shorten them." if max_token_length < 225 else "Shorten them."
    return [f"{have} of more than {max_token_length} tokens, and what is beyond is not trained: {names}. {longer}"]
