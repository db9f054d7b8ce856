"""What is tried as a prompt with a LoRA that was trained."""

from __future__ import annotations

from collections.abc import Iterable

_LONGEST = 300  # characters of a caption that is tried as a prompt


def prompt(words: str, captions: Iterable[str]) -> str:
    """What `words` ("sls frog, zwx toad") are replaced by, or "" where they are enough.

    They are where a caption says those of a subject, and where there are no captions. Words that none says call nothing up
    alone: then the first caption stands behind them.
    """
    first: str | None = None
    subjects = [subject.split() for subject in words.casefold().split(", ") if subject]
    for caption in captions:  # mostly the first says it
        if any(all(word in caption.casefold() for word in subject) for subject in subjects):
            return ""
        first = caption.strip() if first is None else first
    if not first or len(first) > _LONGEST or "\n" in first:
        return ""
    return ", ".join(part for part in (words, first) if part)
