"""Captions made of tags: misspelt ones, and captions of which some are tags and some sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..model import Finding, Fix, PlannedImage
from ..words import count, name_some

if TYPE_CHECKING:
    from ....options.dataset_config import SubsetSpec

_SHORTEST = 5  # letters of a tag that can be a misspelt one
_FREQUENT = 4  # pictures that have the tag that was meant
_MOST_WORDS = 4  # of a tag
_FEWEST_TAGS = 3  # of a caption that is made of tags
_SHARE = 0.1  # of the captions that are of the other kind
_ENOUGH = 10  # captions, to speak of two kinds
_NAMED = 5


def findings(spec: SubsetSpec, images: Sequence[PlannedImage]) -> Iterator[Finding]:
    """Findings about the tags of one folder's captions."""
    own = [image for image in images if image.has_caption and image.caption]
    kinds = [is_tags(image.caption, spec.caption_separator) for image in own]
    tagged = [image for image, kind in zip(own, kinds, strict=True) if kind]
    yield from _misspelt(spec, tagged)
    sentences = [image for image, kind in zip(own, kinds, strict=True) if kind is False]
    if len(own) >= _ENOUGH and min(len(tagged), len(sentences)) >= _SHARE * len(own):
        fewer = min(tagged, sentences, key=len)
        some = name_some(Path(image.path).name for image in fewer)
        kind = "are tags" if fewer is tagged else "are sentences"
        message = f"{len(fewer)} of {len(own)} captions {kind}, unlike the others: {some}."
        files = tuple(image.path for image in fewer)
        yield Finding("info", message, str(spec.place), "", "mixed_captions", files)


def is_tags(caption: str, separator: str = ",") -> bool | None:
    """Whether a caption is a list of tags (else a sentence); None where it is too short to tell."""
    parts = [part.split() for part in caption.replace("\n", separator).split(separator or ",") if part.strip()]
    words = [len(part) for part in parts]
    if len(parts) >= _FEWEST_TAGS and sorted(words)[len(words) // 2] <= 2 and max(words) <= 2 * _MOST_WORDS:
        return True
    return False if max(words, default=0) > _MOST_WORDS else None


def _misspelt(spec: SubsetSpec, tagged: Sequence[PlannedImage]) -> Iterator[Finding]:
    having: dict[str, list[str]] = {}
    for image in tagged:
        for tag in {tag.strip() for tag in image.caption.replace("\n", ",").split(spec.caption_separator or ",")}:
            having.setdefault(tag, []).append(image.path)
    found = misspelt({tag: len(paths) for tag, paths in having.items()})
    if not found:
        return
    pairs = name_some((f"{wrong!r} (as {right!r}?)" for wrong, right in found.items()), _NAMED)
    message = f"{count(len(found), 'tag is', 'tags are')} only once there, one letter away from a frequent one: {pairs}."
    files = tuple(dict.fromkeys(path for wrong in found for path in having[wrong]))
    yield Finding("warning", message, str(spec.place), "", "misspelt_tag", files, Fix("rename_tags", {"tags": dict(found)}))


def misspelt(counts: Mapping[str, int]) -> dict[str, str]:
    """Tags of one picture alone -> the frequent tag that is one letter away (one more, less, other, or two exchanged).

    Numbers count (`1girl`, `2girls`), and so does a plural: they are other tags.
    """
    frequent = [tag for tag, number in counts.items() if number >= _FREQUENT and len(tag) >= _SHORTEST]
    near: dict[str, set[str]] = {}
    for tag in frequent:
        for variant in _shortened(tag):
            near.setdefault(variant, set()).add(tag)
    found: dict[str, str] = {}
    for tag, number in counts.items():
        if number != 1 or len(tag) < _SHORTEST or "*" in tag:  # in an edit of tags * stands for anything
            continue
        candidates = Counter({right: counts[right] for variant in _shortened(tag) for right in near.get(variant, ())})
        for right, _ in candidates.most_common():
            if _is_one_letter_away(tag, right) and not _is_another_tag(tag, right):
                found[tag] = right
                break
    return found


def _shortened(tag: str) -> set[str]:
    """The tag, and the tag without any one of its letters: two that are one letter away share one of these."""
    lower = tag.lower()
    return {lower, *(lower[:place] + lower[place + 1 :] for place in range(len(lower)))}


def _is_one_letter_away(one: str, other: str) -> bool:
    one, other = one.lower(), other.lower()
    if one == other:
        return True  # in other case
    short, long = sorted((one, other), key=len)
    same = next((place for place, pair in enumerate(zip(short, long, strict=False)) if pair[0] != pair[1]), len(short))
    if len(short) < len(long):
        return short[same:] == long[same + 1 :]
    exchanged = short[same : same + 2][::-1] == long[same : same + 2] and short[same + 2 :] == long[same + 2 :]
    return short[same + 1 :] == long[same + 1 :] or exchanged


def _is_another_tag(one: str, other: str) -> bool:
    """Whether two tags that are one letter away are both meant: other numbers, other signs, or a plural."""
    digits = [re.findall(r"\d+", tag) for tag in (one, other)]
    short, long = sorted((one.lower(), other.lower()), key=len)
    return digits[0] != digits[1] or long == f"{short}s"
