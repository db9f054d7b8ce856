"""The language of an answer: what the program says comes in that of the page, with the labels of its fields.

The page names its language in `Accept-Language`. A script sends none, and gets the English texts and the names of options.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

from starlette.requests import Request

from ..options import OPTIONS
from ..options.simple import SIMPLE
from .korean import catalogue, korean_place, with_particles

_language: ContextVar[str] = ContextVar("language", default="")
# Keys whose texts are sentences for a person, and keys of what users wrote.
_SAID = {"message", "advice", "problem", "caption_problem", "read_only", "why", "label", "who", "hindrance"}
_SAID_LISTS = {"warnings"}
_NOT_OURS = {
    "values", "spec", "config", "dataset", "prompts", "prompt", "command", "log", "metadata", "edit",
}  # fmt: skip
_PRINTED = re.compile(r"\d\d:\d\d:\d\d [A-Z]+ ")
_NAME = re.compile(r"(?<![A-Za-z0-9_./\\='\"<-])(?:--)?([a-z0-9]+(?:_[a-z0-9]+)+)(?![A-Za-z0-9_/\\=]|\.[A-Za-z])")


def listen(request: Request) -> None:
    """Take the language that the request at work wants: ko, en, or none where it names none."""
    wanted = request.headers.get("accept-language", "").split(",")[0].split(";")[0].strip().lower()
    _language.set("ko" if wanted.split("-")[0] == "ko" else "en" if wanted not in ("", "*") else "")


def spoken(content: dict[str, Any]) -> dict[str, Any]:
    """`content` of an answer with its sentences in the language of the request."""
    language = _language.get()
    return {key: _spoken(key, value, language) for key, value in content.items()} if language else content


def said(message: str, language: str) -> str:
    """A message as a page in `language` (en or ko) shows it."""
    return _said(message, language)


def _spoken(key: str, value: Any, language: str) -> Any:
    if isinstance(value, str):
        return said(value, language) if key in _SAID else value
    if key in _NOT_OURS:
        return value
    if isinstance(value, Mapping):
        about = dict(value)
        if key == "phase" or about.get("type") == "phase":
            about["name"] = said(str(about.get("name", "")), language)
        # An option of the command line is the field itself, at which the page shows the problem.
        option = f"--{about.get('field')}"
        if "edit" in about and isinstance(about.get("title"), str):  # a step in the history of a data set
            about["title"] = said(about["title"], language)
        if isinstance(about.get("message"), str):
            about["message"] = about["message"].removeprefix(f"{option}: ")
        if isinstance(about.get("where"), str):
            place = "" if about["where"] == option else about["where"]
            about["where"] = korean_place(place) if language == "ko" else place
        return {name: _spoken(name, item, language) for name, item in about.items()}
    if isinstance(value, list):
        if key in _SAID_LISTS:
            return [said(item, language) if isinstance(item, str) else item for item in value]
        return [_spoken("", item, language) for item in value]
    return value


@lru_cache(maxsize=4096)
def _said(message: str, language: str) -> str:
    if language == "ko":
        message = catalogue().turn(message)
    labels = _labels(language)

    def named(line: str) -> str:
        return _NAME.sub(lambda found: f"“{labels[found[1]]}”" if found[1] in labels else found[0], line)

    # What a program printed, below a sentence, stays as it is in its log.
    message = "\n".join(line if _PRINTED.match(line) else named(line) for line in message.split("\n"))
    return with_particles(message) if language == "ko" else message


@lru_cache(maxsize=2)
def _labels(language: str) -> dict[str, str]:
    """The label of each field of the form that has another name there than on the command line."""
    shown = [option for option in (*SIMPLE, *OPTIONS) if option.form and option.supported]
    return {option.name: option.label_in(language) for option in shown if option.label_in(language) != option.name}
