"""`clean_captions_and_tags`: the words of a metadata file put in order, for pictures of drawn people.

python -m lora_trainer clean_captions_and_tags meta.json meta_clean.json
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .. import log
from ..data.plan.metadata_file import CAPTION, TAGS, Entries, read_entries, replace_entries
from ..data.plan.words import count
from ..errors import InputError
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.clean_metadata import CleanCaptionsAndTags
from ..options.tools.reporting import Report
from ..paths import user_path

# Tags that are faces, in which an underscore is no space.
_FACES = frozenset(
    ["^_^", ">_<", "=_=", "o_o", "0_0", "@_@", "+_+", "+_-", "._.", "3_3", "6_9", ">_o", "x_x", "u_u", "|_|", "||_||"]
    + ["(o)_(o)", "<o>_<o>", "<|>_<|>", ";_;", "T_T", "-_-"]
)
_RATING = re.compile(r"rating\b.*")
_SEVERAL_PEOPLE = re.compile(r"(?:.*[^a-z])?(?:girls|boys)")
_HAIR_LENGTH = re.compile(r"(?:long|short|medium) hair")
_HAIR = re.compile(r"[\w-]+ hair")
# Of each of these a person has one. Where a picture has several people and several of them, nothing says whose is whose.
_OF_ONE_PERSON = (
    _HAIR_LENGTH,
    re.compile(r"(?:bob|hime) cut"),
    re.compile(r"[\w-]+ eyes"),
    re.compile(r"[\w-]+ sleeves|sleeveless"),
    re.compile(r"ahoge|ponytail|sidelocks|twintails|two tails|two side up|braid|[\w-]+ braid|(?:single )?[\w-]+ bun"),
)
_ONE_WORD = re.compile(r"[\w-]+|hair ornament")

_DRAWN = r"(?:anime|cartoon)"
# Replaced in this order, whole words only.
_CAPTION_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\byoung (?=\S)"), ""),
    (re.compile(r"\banime(?: anime)+\b"), "anime"),
    (re.compile(rf"\b(?:{_DRAWN} )+(?:women|people)\b"), "girls"),
    (re.compile(rf"\b(?:{_DRAWN} )+(?:girl|female|lady|character|woman)(s?)\b"), r"girl\1"),
    (re.compile(r"\b(?:women|people)\b"), "girls"),
    (re.compile(r"\b(?:lady|female|woman|person)(s?)\b"), r"girl\1"),
    (re.compile(rf"\ban? (?:anime )*cartoon (?:{_DRAWN} )*(?=figure\b|picture\b|drawing\b)"), "a "),
    (re.compile(rf"\ban? (?:anime )*cartoon (?:{_DRAWN} )*(?=image\b)"), "an "),
    (re.compile(r"\bgirl(?: girl)+\b"), "girl"),
    (re.compile(r"\ban (?=girl)"), "a "),
)


def main(argv: Sequence[str]) -> int:
    """Clean as the arguments say; returns 0. Raises InputError(s) and SaveError."""
    log.setup()
    run(parse(CleanCaptionsAndTags, "clean_captions_and_tags", argv))
    return 0


def run(options: CleanCaptionsAndTags) -> Entries:
    """Clean every caption and all tags of a metadata file; returns what was written. What else it holds stays."""
    assert options.in_json and options.out_json
    source, target = user_path(options.in_json), user_path(options.out_json)
    entries = read_entries(source, field="in_json")
    if not entries:
        raise InputError("the metadata file names no images.", field="in_json", where=str(source))
    changed = 0
    for key, entry in entries.items():
        for part, clean in ((CAPTION, clean_caption), (TAGS, clean_tags)):
            before = entry.get(part)
            if before is None:
                continue
            entry[part] = _by_line(clean, before)
            changed += entry[part] != before
            if options.debug:
                logger.info("%s, %s: %s -> %s", key, part, before, entry[part])
    replace_entries(target, entries)
    images = count(len(entries), "image", "images")
    report = Report()
    report.say("info", f"{target} names {images}; captions and lists of tags that were changed: {changed:,}.")
    report.write(options.report)
    return entries


def _by_line(clean: Callable[[str], str], text: str) -> str:
    return "\n".join(clean(line) for line in text.split("\n"))


def clean_caption(caption: str) -> str:
    """A caption with one word for one thing: `an anime woman` and `a young lady` are `a girl`."""
    for pattern, word in _CAPTION_RULES:
        caption = pattern.sub(word, caption)
    return caption


def clean_tags(tags: str) -> str:
    """Tags with spaces for underscores, without ratings, and without what says nothing.

    That is: what a longer tag says too (`shirt` beside `white shirt`), and in a picture of several people what they have
    several of (hair, eyes, sleeves).
    """
    words = [word.strip() for word in tags.split(",")]
    words = [word if word in _FACES else word.replace("_", " ").strip() for word in words if word]
    words = [word for word in words if not _RATING.fullmatch(word)]
    if any(_SEVERAL_PEOPLE.fullmatch(word) for word in words):
        words = _without_several(words)
    longer = [word for word in words if " " in word]
    said = {word for word in words if _ONE_WORD.fullmatch(word) and any(re.fullmatch(rf"(?:\w+ )+{word}", w) for w in longer)}
    return ", ".join(word for word in words if word not in said)


def _without_several(words: list[str]) -> list[str]:
    for group in _OF_ONE_PERSON:
        own = [word for word in words if group.fullmatch(word)]
        words = [word for word in words if len(own) < 2 or word not in own]
    # A length of hair that is left is the same for all, and says nothing of its colours.
    hair = [word for word in words if _HAIR.fullmatch(word) and not _HAIR_LENGTH.fullmatch(word)]
    return [word for word in words if len(hair) < 2 or word not in hair]
