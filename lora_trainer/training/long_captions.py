"""Captions that are longer than what the text encoder is given: nothing of them is dropped without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..data.plan import DataPlan
from ..data.plan.words import count, name_some
from ..models.text import count_tokens


def warnings(plan: DataPlan, tokenizer: Any, *, max_token_length: int, weighted: bool) -> list[str]:
    """A sentence that names the images whose captions are cut at `max_token_length` tokens; none where none is.

    Prefix and suffix count, and of several lines (enable_wildcard) the longest.
    """
    known: dict[str, bool] = {}
    cut = []
    for image in plan.images:
        spec = plan.subsets[image.subset].spec
        lines = image.caption.split("\n") if spec.enable_wildcard else [image.caption]
        for line in lines:
            text = " ".join(part for part in (spec.caption_prefix, line, spec.caption_suffix) if part)
            if text not in known:
                # A token has at least one character.
                long = len(text) > max_token_length
                known[text] = long and count_tokens(tokenizer, text, weighted=weighted) > max_token_length
            if image.repeats and known[text] and image.path not in cut:
                cut.append(image.path)
    if not cut:
        return []
    names = name_some(Path(path).name for path in cut)
    have = count(len(cut), "image has a caption", "images have captions")
    longer = "Raise max_token_length (150 or 225), or shorten them." if max_token_length < 225 else "Shorten them."
    return [f"{have} of more than {max_token_length} tokens, and what is beyond is not trained: {names}. {longer}"]
