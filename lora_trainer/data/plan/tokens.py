"""How many tokens CLIP makes of a caption, counted without torch and transformers, and where the text is cut off.

count("sls frog, green eyes")    # 5; of these LIMIT are read at once
cut(text)                        # (what is read, what is not)

The counts are those of transformers' CLIPTokenizer with the vocabulary that ships (byte pair encoding; Sennrich et al., "Neural
Machine Translation of Rare Words with Subword Units", 2016). All text encoders of SD1, SD2 and SDXL share it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from ...paths import ASSETS_DIR

LIMIT = 75  # tokens that one pass of the text encoder reads, besides start and end
_COMMON = 14_500  # words stand in the vocabulary in the order of how common they are: "frog" is number 10,900, "sks" 47,600
_SPECIAL = r"<\|startoftext\|>|<\|endoftext\|>"
# Letters, one digit, or marks; a stand-in for each character that is not ASCII (see _shadow) keeps these classes simple.
_PIECE = re.compile(rf"{_SPECIAL}|'s|'t|'re|'ve|'m|'ll|'d|[a-z\x01]+|[0-9\x02]|[^\sa-z0-9\x01\x02]+", re.IGNORECASE)
_UNSEEN = re.compile(r"[\x00-\x08\x0b\x0e-\x1f\x7f]")
_UNTIDY = re.compile(rf"{_UNSEEN.pattern}|&")  # &amp; is read as a browser does
_CURLED = {0x2018: "'", 0x2019: "'", 0x201B: "'", 0x201C: '"', 0x201D: '"', 0x201F: '"', 0x02BC: "'"}


def count(text: str) -> int:
    """The number of tokens of `text`, without the marks of start and end."""
    return sum(map(_tokens_of, _pieces(_cleaned(text))))


def cut(text: str, limit: int = LIMIT) -> tuple[str, str]:
    """`text` as (what the first `limit` tokens hold, the rest); a word that is split over the border is in the rest."""
    cleaned, total = _cleaned(text), 0
    for match in _matches(cleaned):
        total += _tokens_of(cleaned[match.start() : match.end()].lower())
        if total > limit:
            return cleaned[: match.start()].rstrip(), cleaned[match.start() :]
    return cleaned, ""


def _pieces(text: str) -> Iterator[str]:
    lower = text.lower()
    return (lower[match.start() : match.end()] for match in _matches(lower))


def _matches(text: str) -> Iterator[re.Match[str]]:
    return _PIECE.finditer(text if text.isascii() else _shadow(text))


def _shadow(text: str) -> str:
    """`text` with a letter, digit, space or mark of ours in place of every character that is not ASCII."""
    return "".join(char if char.isascii() else _stand_in(char) for char in text)


@lru_cache(maxsize=4096)
def _stand_in(char: str) -> str:
    if char.isspace():
        return " "
    return {"L": "\x01", "N": "\x02"}.get(unicodedata.category(char)[0], "\x03")


@lru_cache(maxsize=1)
def _ftfy() -> Any:
    """The package that CLIP's tokenizer cleans texts with, where it is installed."""
    try:
        import ftfy
    except ImportError:
        return None
    return ftfy


def _cleaned(text: str) -> str:
    """The text as the tokenizer reads it: mended by ftfy (without it, of what that does, the usual), in single spaces."""
    if not text.isascii() or _UNTIDY.search(text):
        ftfy = _ftfy()
        text = ftfy.fix_text(text) if ftfy else _UNSEEN.sub("", unicodedata.normalize("NFC", text.translate(_CURLED)))
    return " ".join(text.split())


@lru_cache(maxsize=1)
def _ranks() -> dict[tuple[str, str], int]:
    lines = (ASSETS_DIR / "clip" / "merges.txt").read_text(encoding="utf-8").split("\n")[1:]
    pairs = (line.split() for line in lines)
    return {(pair[0], pair[1]): rank for rank, pair in enumerate(pairs) if len(pair) == 2}


@lru_cache(maxsize=1)
def _byte_letters() -> list[str]:
    """The letter that the vocabulary writes for each byte: itself where it can be seen, else one from 256 on."""
    seen = {*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)}
    others = (chr(256 + place) for place in range(256))
    return [chr(byte) if byte in seen else next(others) for byte in range(256)]


def parts(text: str) -> list[str]:
    """The tokens of `text` as the vocabulary writes them (bytes as letters, `</w>` at the end of a word)."""
    return [part for piece in _pieces(_cleaned(text)) for part in _parts_of(piece)]


def rank(token: str) -> int:
    """How many tokens of the vocabulary are more common in the captions that CLIP was made with than one of `parts`."""
    return _token_ranks().get(token, 0)


def is_common(word: str) -> bool:
    """Whether `word` is one that the model surely connects with something: a single token, and an often used one."""
    found = parts(word)
    return len(found) == 1 and rank(found[0]) < _COMMON


@lru_cache(maxsize=1)
def _token_ranks() -> dict[str, int]:
    return {"".join(pair): place for pair, place in _ranks().items()}


@lru_cache(maxsize=100_000)
def _tokens_of(piece: str) -> int:
    """The number of tokens of one piece."""
    return len(_parts_of(piece))


def _parts_of(piece: str) -> list[str]:
    """The tokens of one piece: pairs are joined, the one that was learned first before the others."""
    if re.fullmatch(_SPECIAL, piece):
        return [piece]
    letters = _byte_letters()
    parts = [letters[byte] for byte in piece.encode("utf-8", "replace")]
    parts[-1] += "</w>"
    ranks = _ranks()
    while len(parts) > 1:
        pairs = set(zip(parts, parts[1:], strict=False))
        best = min(pairs, key=lambda pair: ranks.get(pair, len(ranks)))
        if best not in ranks:
            break
        parts = _joined(parts, best)
    return parts


def _joined(parts: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    place = 0
    while place < len(parts):
        if tuple(parts[place : place + 2]) == pair:
            joined.append("".join(pair))
            place += 2
        else:
            joined.append(parts[place])
            place += 1
    return joined
