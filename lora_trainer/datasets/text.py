"""The text of a caption file and its bytes, so that what a change leaves alone stays as it was, to the byte."""

from __future__ import annotations

import codecs
import hashlib
from dataclasses import dataclass

from ..data.plan.caption_files import MAX_BYTES

_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_HANGUL = range(0xAC00, 0xD7A4)


class NoTextError(ValueError):
    """The bytes are no caption; the message says why."""


@dataclass(frozen=True)
class CaptionText:
    """`text` has `\\n` between lines and none at its end. The rest says how the file was written."""

    text: str
    newline: str = "\n"
    ends_with_newline: bool = False
    mark: bool = False  # a byte order mark of UTF-8
    encoding: str = ""  # "" for UTF-8

    def to_bytes(self, text: str) -> bytes:
        """`text` in the manner of this file: its line ends, its mark, always UTF-8."""
        whole = text + "\n" if self.ends_with_newline and text else text
        return (codecs.BOM_UTF8 if self.mark else b"") + whole.replace("\n", self.newline).encode("utf-8", "replace")


def read(data: bytes) -> CaptionText:
    """The text in the bytes of a caption file. Raises NoTextError for what is none.

    UTF-8 is meant where it can be. What is not is taken for UTF-16 with its mark, for Korean (cp949) where all of it is Hangul,
    else for the Western European code page of Windows.
    """
    if len(data) > MAX_BYTES:
        raise NoTextError(f"the caption file is larger than {MAX_BYTES >> 20} MB, so it is no caption.")
    text, encoding, mark = _decoded(data)
    if "\0" in text:
        raise NoTextError("the caption file holds NUL characters: it is no text.")
    newline = "\r\n" if "\r\n" in text else "\r" if "\r" in text and "\n" not in text else "\n"
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return CaptionText(lines.removesuffix("\n"), newline, lines.endswith("\n"), mark, encoding)


def text_or_none(data: bytes | None) -> str | None:
    """The text alone; None for what is none, and where there is no file."""
    try:
        return read(data).text if data is not None else None
    except NoTextError:
        return None


def _decoded(data: bytes) -> tuple[str, str, bool]:
    """(text, encoding or "" for UTF-8, whether there was UTF-8's byte order mark)."""
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            try:
                return data[len(mark) :].decode(name), "" if name == "utf-8" else name, name == "utf-8"
            except UnicodeDecodeError as error:
                raise NoTextError(f"the caption file is no {name} text, though it begins like one.") from error
    try:
        return data.decode("utf-8"), "", False
    except UnicodeDecodeError:
        pass
    try:
        korean = data.decode("cp949")
        if all(char.isascii() or ord(char) in _HANGUL for char in korean):
            return korean, "cp949", False
    except UnicodeDecodeError:
        pass
    return data.decode("cp1252", "replace"), "cp1252", False


def version_of(data: bytes | None) -> str:
    """What names the contents of a caption file; "" where there is none."""
    return "" if data is None else hashlib.blake2b(data, digest_size=8).hexdigest()
