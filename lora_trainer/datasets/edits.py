"""Changes that can be asked for, and what each makes of a caption: pure functions from text to text.

edit = read_edit({"kind": "add", "tags": ["sls"], "at": "start"})
edit.apply(["frog, leaf"])           # ["sls, frog, leaf"]

What an edit does not name stays as it was, to the space. Shapes: docs/api.md.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..data.plan import tokens
from ..data.plan.caption_files import MAX_BYTES
from ..errors import InputError
from . import regexes
from .edit_titles import title
from .tags import MARKER, TagLine, matcher, same_as

Values = Mapping[str, Any]
_MISSING = object()
_FAR = 1 << 20  # pixels
_MOST_TAGS, _LONGEST = 200, 20_000  # tags in an edit, characters of a text in one


@dataclass(frozen=True)
class Edit:
    """A checked edit. `of` says what it changes: text, files, or a mark of the store."""

    kind: str
    values: Values

    @property
    def of(self) -> str:
        return _KINDS[self.kind].of

    @property
    def title(self) -> str:
        """A line for the history."""
        return title(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The edit for the history; files that came with it lie in the trash folder."""
        return {"kind": self.kind, **{name: value for name, value in self.values.items() if not isinstance(value, bytes)}}

    def apply(self, texts: list[str]) -> list[str]:
        """What becomes of captions; "" stands for none. Raises InputError for a wrong or slow regular expression."""
        if self.kind == "regex":
            values = self.values
            new = regexes.replaced(values["pattern"], values["replacement"], texts, ignore_case=values["ignore_case"])
        else:
            change = _KINDS[self.kind].change
            assert change is not None, f"{self.kind} changes no text"
            new = [change(text, self.values) for text in texts]
        if any(len(text) > MAX_BYTES // 4 for text in new):
            raise InputError(f"A caption would become longer than {MAX_BYTES // 4:,} characters.", field="edit")
        return new


# -- what a field of an edit may be -------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST or "\0" in value:
        raise ValueError(f"a text of at most {_LONGEST:,} characters")
    return value.replace("\r\n", "\n").replace("\r", "\n")


def _some_text(value: Any) -> str:
    if not (text := _text(value)):
        raise ValueError("a text that is not empty")
    return text


def _caption(value: Any) -> str | None:
    return None if value is None else _text(value)


def _picture(value: Any) -> bytes | None:
    """The bytes of a picture that came as base64; None (no picture) is allowed."""
    if value is None:
        return None
    try:
        return base64.b64decode(value, validate=True)
    except (TypeError, ValueError):
        raise ValueError("a picture as base64, or null") from None


def _tag(value: Any) -> str:
    text = _text(value).strip()
    if not text or "," in text or "\n" in text:
        raise ValueError("a tag: some text without commas and line breaks")
    return text


def _tags(value: Any) -> list[str]:
    if not isinstance(value, list) or not 0 < len(value) <= _MOST_TAGS:
        raise ValueError(f"a list of 1 to {_MOST_TAGS} tags")
    return list(dict.fromkeys(_tag(one) for one in value))


def _renames(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not 0 < len(value) <= _MOST_TAGS:
        raise ValueError(f"an object of 1 to {_MOST_TAGS} tags and what they become")
    return {_tag(tag): _tag(to) for tag, to in value.items()}


def _place(value: Any) -> str | int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000:
        return value
    if isinstance(value, str) and (value in ("start", "end") or (value.startswith("after:") and value[6:].strip())):
        return value
    raise ValueError('"start", "end", a number, or "after:TAG"')


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("true or false")
    return value


def _number(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise ValueError(f"a whole number from {low} to {high}")
        return value

    return read


def _one_of(*choices: Any) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in choices or isinstance(value, bool):
            raise ValueError(" or ".join(map(str, choices)))
        return value

    return read


# -- what edits do to a text --------------------------------------------------------------------------------------------


def _first_line(text: str, change: Callable[[TagLine], None]) -> str:
    """`text` with its first line that says something changed."""
    lines = text.split("\n")
    place = next((place for place, line in enumerate(lines) if line.strip()), 0)
    line = TagLine.of(lines[place])
    change(line)
    lines[place] = str(line)
    return "\n".join(lines)


def _each_line(text: str, change: Callable[[TagLine], None]) -> str:
    lines = [TagLine.of(line) for line in text.split("\n")]
    for line in lines:
        change(line)
    return "\n".join(map(str, lines))


def _add(text: str, values: Values) -> str:
    def change(line: TagLine) -> None:
        there = set(map(same_as, line.tags))
        new = [tag for tag in values["tags"] if same_as(tag) not in there]
        line.insert(new, _index(line, values["at"]))

    return _first_line(text, change)


def _index(line: TagLine, at: str | int) -> int:
    if isinstance(at, int):
        return min(at, len(line.tags))
    if at == "start":
        return 0
    if at != "end":
        wanted = same_as(at.removeprefix("after:"))
        for place, tag in enumerate(line.tags):
            if same_as(tag) == wanted:
                return place + 1
    return len(line.tags)


def _remove(text: str, values: Values) -> str:
    fits = matcher(values["tags"])
    lines = text.split("\n")
    kept = []
    for one in lines:
        line = TagLine.of(one)
        if any(map(fits, line.tags)):
            line.keep(lambda tag: not fits(tag))
            if not line.tags and len(lines) > 1:  # a line of its tags alone goes with them
                continue
        kept.append(str(line))
    return "\n".join(kept)


def _rename(text: str, values: Values) -> str:
    fits, to = matcher([values["tag"]]), values["to"]

    def change(line: TagLine) -> None:
        if not any(map(fits, line.tags)):
            return
        line.map(lambda tag: to if fits(tag) else tag)
        line.keep_first(lambda tag: same_as(tag) == same_as(to))

    return _each_line(text, change)


def _replace(text: str, values: Values) -> str:
    pattern = re.compile(re.escape(values["find"]), re.IGNORECASE if values["ignore_case"] else 0)
    return pattern.sub(lambda _: values["with"], text)


def _sort(text: str, values: Values) -> str:
    def change(line: TagLine) -> None:
        line.arrange(lambda tags: sorted(tags, key=same_as, reverse=values["descending"]), values["keep_tokens"])

    return _first_line(text, change)


def _deduplicate(text: str, values: Values) -> str:
    return _each_line(text, lambda line: line.keep_first(lambda _: True))


def _prefix(text: str, values: Values) -> str:
    lines = text.split("\n")
    return "\n".join([values["text"] + lines[0], *lines[1:]])


def _suffix(text: str, values: Values) -> str:
    lines = text.split("\n")
    return "\n".join([lines[0] + values["text"], *lines[1:]])


def _keep_tokens(text: str, values: Values) -> str:
    first, *others = text.split("\n")
    tags = [tag for part in TagLine.of(first).parts for piece in part if (tag := piece.strip())]
    count = min(values["count"], len(tags))
    marked = f"{', '.join(tags[:count])} {MARKER} {', '.join(tags[count:])}".strip() if count else ", ".join(tags)
    return "\n".join([marked if tags else first, *others])


def _case(text: str, values: Values) -> str:
    return text.lower() if values["to"] == "lower" else text.upper()


def _underscores(text: str, values: Values) -> str:
    """Inside of tags; `^_^` and the like stay."""
    old, new = ("_", " ") if values["to"] == "spaces" else (" ", "_")
    return _each_line(text, lambda line: line.map(lambda tag: tag if _is_face(tag) else tag.replace(old, new)))


def _is_face(tag: str) -> bool:
    return len(tag) <= 5 and sum(char.isalpha() for char in tag) < 3


def _tidy(text: str, values: Values) -> str:
    lines = (MARKER.join(_tidied(part) for part in TagLine.of(line).parts) for line in text.split("\n"))
    return "\n".join(line.strip() for line in lines if line.strip())


def _tidied(part: list[str]) -> str:
    tags = ", ".join(" ".join(piece.split()) for piece in part if piece.strip())
    return f" {tags} " if tags else " "


def _same(text: str, values: Values) -> str:
    return text


def _given(text: str, values: Values) -> str:
    return values["text"] or ""


def _rename_all(text: str, values: Values) -> str:
    for tag, to in values["tags"].items():
        text = _rename(text, {"tag": tag, "to": to})
    return text


def _cut(text: str, values: Values) -> str:
    """The first line with no more than that many tokens: what is cut in the middle, a tag or a sentence's word, goes whole."""
    first, *others = text.split("\n")
    kept, rest = tokens.cut(first, values["tokens"])
    if not rest:
        return text
    whole = kept.rpartition(",")[0] if "," in kept and not kept.endswith(",") and not rest.startswith(",") else kept
    return "\n".join([whole.rstrip(" ,"), *others])


def _join(text: str, values: Values) -> str:
    return ", ".join(stripped for line in text.split("\n") if (stripped := line.strip().strip(",").strip()))


@dataclass(frozen=True)
class _Kind:
    """`fields` by name: what reads the value (raising ValueError with what is expected), and the default."""

    fields: Mapping[str, tuple[Callable[[Any], Any], Any]]
    change: Callable[[str, Values], str] | None = None
    of: str = "text"


_KINDS: Mapping[str, _Kind] = {
    "caption": _Kind({"text": (_caption, _MISSING)}, _given),
    "add": _Kind({"tags": (_tags, _MISSING), "at": (_place, "end")}, _add),
    "remove": _Kind({"tags": (_tags, _MISSING)}, _remove),
    "rename": _Kind({"tag": (_tag, _MISSING), "to": (_tag, _MISSING)}, _rename),
    "rename_all": _Kind({"tags": (_renames, _MISSING)}, _rename_all),
    "cut": _Kind({"tokens": (_number(1, 10_000), _MISSING)}, _cut),
    "join": _Kind({}, _join),
    "replace": _Kind({"find": (_some_text, _MISSING), "with": (_text, ""), "ignore_case": (_flag, False)}, _replace),
    "regex": _Kind({"pattern": (_some_text, _MISSING), "replacement": (_text, ""), "ignore_case": (_flag, False)}),
    "sort": _Kind({"descending": (_flag, False), "keep_tokens": (_number(0, 10_000), 0)}, _sort),
    "deduplicate": _Kind({}, _deduplicate),
    "prefix": _Kind({"text": (_some_text, _MISSING)}, _prefix),
    "suffix": _Kind({"text": (_some_text, _MISSING)}, _suffix),
    "keep_tokens": _Kind({"count": (_number(0, 10_000), _MISSING)}, _keep_tokens),
    "case": _Kind({"to": (_one_of("lower", "upper"), _MISSING)}, _case),
    "underscores": _Kind({"to": (_one_of("spaces", "underscores"), _MISSING)}, _underscores),
    "tidy": _Kind({}, _tidy),
    "encoding": _Kind({}, _same),
    "drop_empty": _Kind({}, _same),
    "stars": _Kind({"count": (_number(0, 5), _MISSING)}, of="stars"),
    "leave_out": _Kind({"on": (_flag, True)}, of="left_out"),
    "mask": _Kind({"png": (_picture, _MISSING)}, of="files"),
    "delete": _Kind({}, of="files"),
    "trim": _Kind({}, of="files"),
    "rotate": _Kind({"degrees": (_one_of(90, 180, 270), _MISSING)}, of="files"),
    "crop": _Kind(
        {"x": (_number(0, _FAR), _MISSING), "y": (_number(0, _FAR), _MISSING)}
        | {"width": (_number(1, _FAR), _MISSING), "height": (_number(1, _FAR), _MISSING)},
        of="files",
    ),
}
KINDS: Iterable[str] = tuple(_KINDS)
MARKS = ("stars", "leave_out")  # edits that change no file


def read_edit(raw: Any) -> Edit:
    """Check an edit of a request. Raises InputError that names what is wrong and what is expected."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("kind"), str):
        raise InputError('An edit is an object with a "kind".', field="edit")
    kind = _KINDS.get(raw["kind"])
    if kind is None:
        raise InputError(f"There is no edit {raw['kind']!r}.", field="edit", advice=f"There are: {', '.join(KINDS)}.")
    unknown = [name for name in raw if name != "kind" and name not in kind.fields]
    if unknown:
        raise InputError(f"The edit {raw['kind']} has no {unknown[0]!r}.", field="edit")
    values = {}
    for name, (read, default) in kind.fields.items():
        value = raw.get(name, default)
        try:
            values[name] = default if value is default and value is not _MISSING else read(value)
        except ValueError as error:
            found = "is missing" if value is _MISSING else "is wrong"
            raise InputError(f"{name!r} of the edit {raw['kind']} {found}: {error} is expected.", field="edit") from error
    return Edit(raw["kind"], values)
