"""Where what was found in a picture goes: into its caption file, with a backup, or into one file for all pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from ..data.plan.caption_backup import CaptionBackup
from ..data.plan.caption_files import CaptionFiles, read_lines
from ..data.plan.files import open_image
from ..data.plan.pixels import orientation
from ..errors import InputError
from ..options.tools.captioning import AFTER, BEFORE, KEEP, Captioning
from ..paths import write_text_atomic
from .pictures import Found, Picture


class Sink(Protocol):
    """Takes what was found in pictures."""

    def wants(self, picture: Picture) -> bool:
        """Whether the picture is to be looked at."""
        ...

    def put(self, picture: Picture, parts: Sequence[str]) -> None:
        """Keep the tags, or the sentence, of a picture. Raises InputError when this picture cannot have them, SaveError."""
        ...

    def finish(self) -> None:
        """All that can be done is done."""
        ...


class CaptionFilesSink:
    """Caption files beside the pictures. What is there already is kept, replaced or added to, as `existing` says."""

    def __init__(self, found: Found, extension: str, existing: str, separator: str, backup: CaptionBackup) -> None:
        self._files = {folder: CaptionFiles(listing, extension) for folder, listing in found.listings.items()}
        self._existing, self._separator, self._backup = existing, separator, backup
        self._written: dict[Path, str] = {}  # caption file -> the picture that it was written for

    def wants(self, picture: Picture) -> bool:
        """Not where a caption is there that is to be kept; a file without text is none."""
        if self._existing != KEEP:
            return True
        name = self._files[picture.path.parent].name_for(picture.path.name)
        if name is None:
            return True
        try:
            return not read_lines(picture.path.parent / name)
        except InputError:
            return (picture.path.parent / name).stat().st_size == 0  # an unreadable one is somebody's

    def put(self, picture: Picture, parts: Sequence[str]) -> None:
        """Write the caption. With lines that are there already each gets what it lacks."""
        path = self._path(picture)
        if path in self._written:
            raise InputError(
                f"its caption file {path.name} is that of {self._written[path]} already.",
                where=picture.name,
                advice="Rename one of the pictures.",
            )
        lines = [self._separator.join(parts)]
        if self._existing in (BEFORE, AFTER) and path.is_file() and path.stat().st_size:
            lines = [self._joined(line, parts) for line in read_lines(path)] or lines
        self._backup.write(path, "\n".join(lines) + "\n")
        self._written[path] = picture.name

    def finish(self) -> None:
        """All has been written picture by picture."""

    def _path(self, picture: Picture) -> Path:
        files = self._files[picture.path.parent]
        own = files.own_name_for(picture.path.name)
        return picture.path.with_name(own) if own else picture.path.with_name(picture.path.stem + files.extension)

    def _joined(self, line: str, parts: Sequence[str]) -> str:
        mark = self._separator.strip()
        there = [part.strip() for part in (line.split(mark) if mark else [line]) if part.strip()]
        lacking = [part for part in parts if part not in there]
        return self._separator.join([*there, *lacking] if self._existing == AFTER else [*lacking, *there])


class MetadataSink:
    """One file for all pictures: .json as the fine-tuning method reads it, .jsonl with a line for each."""

    def __init__(self, path: Path, separator: str) -> None:
        if path.exists():
            raise InputError(
                f"{path} is there already.", field="output_path", where="--output_path", advice="Name a file that is not there."
            )
        self._path, self._separator = path, separator
        self._found: dict[str, dict[str, object]] = {}

    def wants(self, picture: Picture) -> bool:
        """Every one."""
        return True

    def put(self, picture: Picture, parts: Sequence[str]) -> None:
        """Remember it."""
        with open_image(str(picture.path)) as image:
            size = _upright_size(image)
        self._found[str(picture.path)] = {"tags": self._separator.join(parts), "image_size": list(size)}

    def finish(self) -> None:
        """Write the file. Raises SaveError."""
        if self._path.suffix.lower() == ".jsonl":
            lines = [
                {"image_path": path, "caption": one["tags"], "image_size": one["image_size"]}
                for path, one in self._found.items()
            ]
            text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        else:
            text = json.dumps(self._found, ensure_ascii=False, indent=4) + "\n"
        write_text_atomic(self._path, text)


def _upright_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    return (height, width) if orientation(image) >= 5 else (width, height)


def caption_sink(options: Captioning, found: Found, *, separator: str = ", ", existing: str = "") -> CaptionFilesSink:
    """The sink that the options ask for."""
    backup = CaptionBackup(found.root, options.backup_name or "")
    extension = options.caption_extention or options.caption_extension
    return CaptionFilesSink(found, extension, existing or options.existing_captions, separator, backup)
