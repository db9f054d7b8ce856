"""Which file a `<lora:name>` is. No torch: the page asks before a process for pictures is started and a model is loaded."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError, LoraFileError
from ..foreign.reading import is_file
from ..log import logger
from ..modelfile import LORA_SUFFIXES
from ..networks import files
from ..paths import is_hidden
from .lora_tags import LoraTag


@dataclass(frozen=True)
class LoraUse:
    """A LoRA file, its multipliers for text encoder and UNet, and how many of its ranks count (None = all).

    `name` is what the picture's text calls it. `module` is the network module that reads it, with its `arguments` ("" = the
    one that the file's keys tell).
    """

    path: Path
    te: float = 1.0
    unet: float = 1.0
    dyn: int | None = None
    name: str = ""
    module: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict, hash=False)  # a LoraUse is a key, and compares by all

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.name or self.path.stem)


@dataclass
class LoraFolders:
    """The folders in which `<lora:name>` is looked up, with all that is below them. Looks at the disk at every call.

    A name is a file's stem, or else the `ss_output_name` in its metadata; `named` are files of their own, before all others.
    """

    folders: Sequence[Path] = field(default_factory=tuple)
    named: Mapping[str, Path] = field(default_factory=dict)

    def resolve(self, tags: Iterable[LoraTag]) -> list[LoraUse]:
        """Return the files that `tags` name. Raises InputError for a name that no file has, or that two files have."""
        by_stem: dict[str, list[Path]] = {}
        uses = []
        for tag in tags:
            if tag.name in self.named:
                uses.append(LoraUse(self.named[tag.name], tag.te, tag.unet, tag.dyn, tag.name))
                continue
            if not by_stem:
                for path in self.files():
                    by_stem.setdefault(path.stem, []).append(path)
            uses.append(LoraUse(self._find(tag.name, by_stem), tag.te, tag.unet, tag.dyn, tag.name))
        return uses

    def files(self) -> list[Path]:
        """Every LoRA file, sorted. Folders whose name begins with a dot are left out."""
        found = {}
        for folder in self.folders:
            for path in folder.rglob("*"):
                if path.suffix.lower() in LORA_SUFFIXES and not is_hidden(path, folder) and is_file(path):
                    found[path.resolve()] = path
        return sorted(found.values())

    def _find(self, name: str, by_stem: Mapping[str, list[Path]]) -> Path:
        paths = by_stem.get(name) or _alike(name, by_stem)
        if not paths:
            return self._find_in_metadata(name, by_stem)
        if len(paths) == 1:
            return paths[0]
        listed = ", ".join(map(str, paths))
        raise InputError(
            f"<lora:{name}>: {len(paths)} files have this name: {listed}.", field="prompt", advice="Rename all but one."
        )

    def _find_in_metadata(self, name: str, by_stem: Mapping[str, list[Path]]) -> Path:
        """The file that was saved under `name` and renamed since."""
        everywhere = [path for paths in by_stem.values() for path in paths]
        paths = [path for path in everywhere if _composed(_output_name(path)) == _composed(name)]
        if len(paths) == 1:
            logger.warning("<lora:%s> is %s: no file has this name, and this one was saved under it.", name, paths[0].name)
            return paths[0]
        folders = ", ".join(map(str, self.folders)) or "(no folder is set)"
        if paths:
            raise InputError(
                f"<lora:{name}>: no file has this name, and {len(paths)} were saved under it: {', '.join(map(str, paths))}.",
                field="prompt",
                advice=f"Name one of them: <lora:{paths[0].stem}>.",
            )
        near = difflib.get_close_matches(name, by_stem, 1)
        advice = f"Did you mean <lora:{near[0]}>?" if near else "Give the file's name without folder and suffix."
        raise InputError(f"<lora:{name}>: there is no such LoRA in {folders}.", field="prompt", advice=advice)


def _alike(name: str, by_stem: Mapping[str, list[Path]]) -> list[Path]:
    """The files whose names are the same text in another of Unicode's forms: an é is one character, or an e and its accent."""
    return [path for stem, paths in by_stem.items() if _composed(stem) == _composed(name) for path in paths]


def _composed(name: str | None) -> str | None:
    return name and unicodedata.normalize("NFC", name)


def _output_name(path: Path) -> str | None:
    try:
        return files.read_metadata(path).get("ss_output_name")
    except LoraFileError as error:  # a broken file beside the wanted one is no reason to fail
        logger.warning("%s", error)
        return None
