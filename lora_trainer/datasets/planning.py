"""What an edit would do to the captions of some pictures: read from the disk, nothing written."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from ..data.plan.files import THREADS
from ..errors import InputError
from ..foreign.reading import UnreadableError, is_there, read_bytes
from .dataset import DataSet
from .edits import Edit
from .model import Picture
from .text import MAX_BYTES, CaptionText, NoTextError, read, version_of

CHANGED = "The caption was changed by somebody else since it was shown."
GONE = "The picture is gone."
NEW_FILE = CaptionText("", ends_with_newline=True)


@dataclass(frozen=True)
class Conflict:
    """Why a picture was not changed; `caption` is what stands there now."""

    picture: int
    name: str
    message: str
    caption: str | None = None


@dataclass
class Source:
    """A caption file as it is on the disk, and the pictures whose caption it is."""

    path: Path  # where the new text goes
    pictures: list[Picture]
    data: bytes | None = None
    style: CaptionText = NEW_FILE
    problem: str = ""


@dataclass(frozen=True)
class TextChange:
    source: Source
    after: bytes | None


@dataclass
class Plan:
    changes: list[TextChange] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)


def plan_texts(
    dataset: DataSet, edit: Edit, pictures: list[Picture], versions: Mapping[int, str], *, force: bool = False
) -> Plan:
    """What `edit` makes of the captions of `pictures`. One that is another than in `versions` is a conflict, unless `force`."""
    plan = Plan()
    ready = []
    for source in read_sources(dataset, pictures):
        conflict = _conflict(source, versions, force=force, replaces=edit.kind == "caption")
        if conflict is None:
            ready.append(source)
        else:
            plan.conflicts.append(conflict)
    texts = edit.apply([source.style.text for source in ready])
    for source, text in zip(ready, texts, strict=True):
        after = source.style.to_bytes(text) if text.strip() else None
        if edit.kind == "encoding":
            after = None if source.data is None else text.encode() + (b"\n" if source.style.ends_with_newline else b"")
        elif edit.kind == "drop_empty":
            after = source.data if text.strip() else None
        elif text == source.style.text:
            continue
        if after != source.data:
            plan.changes.append(TextChange(source, after))
    return plan


def _conflict(source: Source, versions: Mapping[int, str], *, force: bool, replaces: bool) -> Conflict | None:
    first = source.pictures[0]
    if source.problem and not (force and replaces and source.data is not None):
        return Conflict(first.id, first.name, source.problem)
    now = version_of(source.data)
    for picture in source.pictures:
        if not force and versions.get(picture.id, now) != now:
            return Conflict(picture.id, picture.name, CHANGED, source.style.text if source.data is not None else None)
    return None


def read_sources(dataset: DataSet, pictures: list[Picture]) -> list[Source]:
    """The caption files of pictures, each once, as they are now."""
    homes: dict[Path, Source] = {}
    shared = _shared(dataset, pictures)
    found: dict[Path, Path] = {}
    for picture in pictures:
        folder = dataset.folders[picture.folder].path
        own = folder / (Path(picture.name).stem + dataset.ending)
        file = folder / picture.caption.file if picture.caption.file else own
        home = own if file in shared else file
        found[home] = file
        homes.setdefault(home, Source(home, [])).pictures.append(picture)
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(lambda source: _read(source, found[source.path]), homes.values()))


def _shared(dataset: DataSet, pictures: list[Picture]) -> set[Path]:
    """Caption files that pictures of other names have, too (`a_1_2_3_4.png` and `a_5_6_7_8.png` may share `a.txt`): a change of
    one is not one of the others, so it goes into a file of its own."""
    folders = {picture.folder for picture in pictures if picture.caption.file and _is_foreign(picture)}
    stems: dict[Path, set[str]] = {}
    for folder in (dataset.folders[index] for index in folders):
        for picture in folder.pictures.values():
            if picture.caption.file:
                stems.setdefault(folder.path / picture.caption.file, set()).add(Path(picture.name).stem)
    return {path for path, names in stems.items() if len(names) > 1}


def _is_foreign(picture: Picture) -> bool:
    return Path(picture.caption.file or "").stem != Path(picture.name).stem


def _read(source: Source, path: Path) -> Source:
    """Fill in what stands in the file at `path`: another than `source.path` where a shared caption becomes one's own."""
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except UnreadableError as error:
        if is_there(path) or path.is_symlink():
            source.problem = f"{path.name} {error}"
        elif not any(is_there(path.with_name(picture.name)) for picture in source.pictures):
            source.problem = GONE
        return source
    source.data = data if path == source.path else None
    try:
        source.style = read(data)
    except NoTextError as error:
        source.problem = str(error)
    return source


def only(pictures: list[Picture]) -> Picture:
    """The one picture that an edit of a single picture is for. Raises InputError."""
    if len(pictures) != 1:
        raise InputError(f"This edit is for one picture, but {len(pictures)} were named.", field="ids")
    return pictures[0]


def concerned(edit: Edit, pictures: list[Picture]) -> list[Picture]:
    """The pictures that an edit of captions is about: one that cannot be read is not trained, and gets none among others."""
    return [one for one in pictures if not one.problem] if edit.of == "text" and len(pictures) > 1 else pictures


def preview(dataset: DataSet, edit: Edit, pictures: list[Picture], versions: Mapping[int, str]) -> Preview:
    """What `edit` would do, as far as is known without looking at the disk. Raises InputError as the edit would."""
    if edit.of == "stars":
        return Preview([(one, None, None) for one in pictures if one.stars != edit.values["count"]])
    if edit.of == "left_out":
        return Preview([(one, None, None) for one in pictures if one.left_out != edit.values["on"]])
    if edit.of == "files":
        return Preview([(one, None, None) for one in pictures])
    if edit.kind == "caption":
        only(pictures)
    told = Preview([])
    ready = []
    for one in pictures:
        problem = one.caption.problem
        if not problem and versions.get(one.id, one.caption.version) != one.caption.version:
            problem = CHANGED
        if problem:
            told.conflicts.append(Conflict(one.id, one.name, problem, one.caption.text))
        else:
            ready.append(one)
    texts = [one.caption.text or "" for one in ready]
    for one, before, after in zip(ready, texts, edit.apply(texts), strict=True):
        is_dropped = edit.kind == "drop_empty" and one.caption.file is not None and not before.strip()
        if before != after or is_dropped or (edit.kind == "encoding" and one.caption.encoding):
            told.changed.append((one, one.caption.text, after if after.strip() else None))
    return told


@dataclass
class Preview:
    """`changed` are (picture, caption before, after); None for no caption, or where no caption is changed."""

    changed: list[tuple[Picture, str | None, str | None]]
    conflicts: list[Conflict] = field(default_factory=list)
