"""The word that is trained (an embedding's): captions hold it, for from the pictures of others nothing is learned; and it is
none that the model knows well."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from . import tokens
from .model import Finding, Fix, PlannedImage, SubsetPlan
from .words import name_some

_LETTER, _MARK = r"[^\W\d_]", r"(?:[^\w\s]|_)"
_JOINED = " Where other marks stand right beside it, it is read as another word: put a space between them."


def pattern_of(word: str) -> re.Pattern[str]:
    """What finds the word in a caption or prompt as the model reads it: by itself, for letters that follow each other are one
    word, and so are marks (of `<cat>, x` the last mark is `>,`). Case does not count."""
    text = " ".join(word.split())
    before, after = (_LETTER if end.isalnum() else _MARK for end in (text[:1], text[-1:]))
    return re.compile(rf"(?<!{before}){re.escape(text)}(?!{after})", re.IGNORECASE)


def lacking(word: str, images: Sequence[PlannedImage], subsets: Sequence[SubsetPlan]) -> list[Finding]:
    """An error where no training picture's caption holds `word`, a warning where some do not; case does not count."""
    wanted = pattern_of(word)
    trained = [image for image in images if image.repeats and not image.is_reg]
    without = [image for image in trained if not wanted.search(_whole(image, subsets[image.subset]))]
    if not without:
        return []
    fix = _cure(word, without)
    text = " ".join(word.split()).casefold()
    joined = _has_marks(text) and any(text in _whole(image, subsets[image.subset]).casefold() for image in without)
    more = _JOINED if joined else ""
    where, files = str(Path(without[0].path).parent), tuple(image.path for image in without)
    if len(without) == len(trained):
        message = (
            f"no caption holds the word {word!r} (token_string), so that nothing would be learned. Write it into the captions."
        )
        return [Finding("error", message + more, where, "token_string", "word_missing", files, fix)]
    names = name_some(Path(path).name for path in files)
    few = f"{len(without)} of {len(trained)}"
    message = f"{few} captions lack the word {word!r} (token_string), and nothing is learned from their pictures: {names}."
    return [Finding("warning", message + more, where, "token_string", "word_missing", files, fix)]


def taken(word: str) -> list[Finding]:
    """A warning where `word` is one of everyday language; rare ones, such as "sks", are tokens, too."""
    if not tokens.is_common(word):
        return []
    message = (
        f"the word {word!r} (token_string) is a common one: it would mean what is learned here in every prompt that says it. "
        "Take one that nothing is called by, for example frog-emb."
    )
    return [Finding("warning", message, "", "token_string", "word_common")]


def _cure(word: str, without: Sequence[PlannedImage]) -> Fix | None:
    """Written captions get the word in front; those that are the folder's words have it when these do."""
    if _has_marks(word.strip()):
        return None  # the comma behind it would hide it again
    if all(image.has_caption for image in without):
        return Fix("add_words", {"text": word})
    return None if any(image.has_caption for image in without) else Fix("set", {"class_tokens": word})


def _has_marks(word: str) -> bool:
    """Whether it begins or ends with a mark, with which those beside it become one word."""
    return not (word[:1].isalnum() and word[-1:].isalnum())


def _whole(image: PlannedImage, subset: SubsetPlan) -> str:
    parts = (subset.spec.caption_prefix, image.caption, subset.spec.caption_suffix)
    return " ".join(" ".join(part.split()) for part in parts if part)
