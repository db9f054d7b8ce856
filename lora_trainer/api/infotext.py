r"""The text that a Web UI writes into its pictures, and the caption for a training that is in it: the prompt as words.

    a frog, (red eyes:1.3) <lora:frog:0.8>      becomes      a frog, red eyes
    Negative prompt: blurry
    Steps: 20, Sampler: Euler a, Seed: 1

Nothing else of that text may come into a caption: the negative prompt, the settings, what scripts have added behind them.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..data.plan.files import open_image
from ..prompt_weights import parse
from ..sampling.prompt_parts import BREAK, composed
from ..sampling.prompt_schedule import texts

LONGEST = 20_000  # characters; the longest prompts have some thousand
_EXIF, _USER_COMMENT = 0x8769, 0x9286
# Of every kind, as the Web UI takes them out; and what was meant as one, for it is no word of a caption either.
_EXTRA_NETWORK = re.compile(r"<\w+:[^<>]+>|<\s*(?:lora|lyco|hypernet)\s*:[^<>,\n]*>?", re.IGNORECASE)
_NEGATIVE = re.compile(r"\s*Negative prompt:")
_SETTINGS = re.compile(r"\s*Steps: \d+(?:,|\s*$)")
_STEPS = re.compile(r"^Steps: (\d{1,3})\b", re.MULTILINE)
_USUAL_STEPS = 20


def read(path: Path) -> str:
    """The text in a picture: PNG's "parameters", the user comment of JPEG, WebP and AVIF, GIF's comment; "" without one."""
    try:
        with open_image(str(path)) as image:
            told = image.info.get("parameters")
            if isinstance(told, str):
                return told
            comment = image.getexif().get_ifd(_EXIF).get(_USER_COMMENT) or image.info.get("comment")
    except Exception:  # Pillow's plug-ins raise all kinds of errors for damaged files
        return ""
    return _decoded(comment)


def _decoded(comment: object) -> str:
    """A user comment (Exif 2.3, 4.6.5): eight bytes that name the encoding, then the text; or a text without them."""
    if isinstance(comment, str):
        return comment
    if not isinstance(comment, bytes):
        return ""
    kind, body = comment[:8], comment[8:]
    if kind == b"UNICODE\0":  # in the byte order of the file, by the standard; most writers, the Web UI too, write big-endian
        high = body[:200:2].count(0) >= body[1:200:2].count(0)
        return body.decode("utf-16-be" if high else "utf-16-le", errors="replace")
    if kind in (b"ASCII\0\0\0", b"\0" * 8):
        return body.decode("utf-8", errors="replace")
    return comment.decode("utf-8", errors="replace")


def prompt_of(infotext: str) -> str:
    """The prompt alone, as it was written. It ends where the negative prompt or the settings begin."""
    lines = []
    for line in infotext[:LONGEST].replace("\r\n", "\n").split("\n"):
        if _NEGATIVE.match(line) or _SETTINGS.match(line):
            break
        lines.append(line)
    return "\n".join(lines).strip()


def caption_of(infotext: str) -> str:
    """The caption that the prompt in `infotext` makes, one line; "" when there is none.

    Without `<lora:...>` and its like and without the signs of weights; what had no weight, or a negative one, is left out. Of
    a prompt that changes while the picture is drawn (`[cat:dog:0.5]`) the end counts, of `a AND b` all parts. Brackets that
    were written as text (`\\(`) stay, without the stroke.
    """
    asked = _STEPS.search(infotext)
    steps = min(max(int(asked[1]), 1), 200) if asked else _USUAL_STEPS
    words = _EXTRA_NETWORK.sub("", prompt_of(infotext))
    parts = [part for part, weight in composed(words) if weight > 0]
    return _one_line(", ".join(_plain(texts(part, steps)[-1]) for part in parts))


def _plain(text: str) -> str:
    return "".join(words for words, weight in parse(text) if weight > 0)


def _one_line(text: str) -> str:
    """Tags parted by ", ": none is empty, and neither BREAK nor the end of a line joins two of them."""
    text = BREAK.sub(",", re.sub(r"(?<=[\w)\]\"'])\s*\n\s*", ", ", text.strip()))
    tags = (" ".join(tag.split()) for tag in text.split(","))
    return ", ".join(tag for tag in tags if tag)
