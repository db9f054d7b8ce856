"""The folders of dropped images and captions: what came is put in its place, described, edited and deleted."""

from __future__ import annotations

import filecmp
import os
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.plan.caption_files import ENDINGS, CaptionFiles
from ..data.plan.files import FactsCache, Listing, list_folder
from ..paths import safe_name, write_text_atomic
from .answers import Refusal
from .images import unused_captions
from .receiving import PART, Arrivals
from .upload_names import CAPTIONS, Sent, arrange

_ID = re.compile(r"[0-9]{8}-[0-9]{6}-[0-9a-f]{6}")


@dataclass
class Received:
    """What a request brought: names saved, and what was refused or kept in another way than it was sent, with the reason."""

    saved: list[str] = field(default_factory=list)
    refused: list[dict[str, str]] = field(default_factory=list)
    noted: list[dict[str, str]] = field(default_factory=list)


class Uploads:
    """The folders below `root`, one for each set of files; an id is the folder's name."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._facts = FactsCache()
        self._placing = threading.Lock()  # two requests must not choose the same free name

    def new(self) -> str:
        name = f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
        (self.root / name).mkdir(parents=True)
        return name

    def folder(self, upload_id: str) -> Path:
        """Raises Refusal (404) when there is no such folder."""
        folder = self.root / upload_id
        if not _ID.fullmatch(upload_id) or not folder.is_dir():
            raise Refusal(404, f"There is no upload {upload_id!r}.", advice="Drop the files again.")
        return folder

    def place(self, upload_id: str, arrivals: Arrivals) -> Received:
        """Give what came whole its names in the folder; what was sent as a picture but is none is refused."""
        folder = self.folder(upload_id)
        received = Received(refused=list(arrivals.refused))
        readable = self._readable(arrivals.whole, received)

        def is_same(one: Sent, name: str) -> bool:
            return filecmp.cmp(one.file, folder / name, shallow=False)

        with self._placing:
            there = [path.name for path in folder.iterdir() if not path.name.endswith(PART)]
            arranged = arrange(readable, there, is_same)
            for one, name in arranged.kept:
                os.replace(one.file, folder / name)
        for sent in arrivals.whole:
            sent.file.unlink(missing_ok=True)  # of what was refused
        names = {one.file: name for one, name in arranged.kept}
        received.saved += dict.fromkeys(names[one.file] for one in readable if one.file in names)
        received.refused += arranged.refused
        received.noted += arranged.noted
        return received

    def _readable(self, whole: list[Sent], received: Received) -> list[Sent]:
        pictures = [one for one in whole if one.ending not in CAPTIONS]
        facts = self._facts.look_at(str(one.file) for one in pictures)
        bad = {one.file: fact for one, fact in zip(pictures, facts, strict=True) if fact.problem}
        for one in pictures:
            if one.file in bad:
                said = f"{bad[one.file].problem} {bad[one.file].advice}".strip()
                received.refused.append({"name": one.sent, "message": said})
        return [one for one in whole if one.file not in bad]

    def summary(self, upload_id: str, received: Received) -> dict[str, Any]:
        folder = self.folder(upload_id)
        listing = list_folder(folder)
        files = [CaptionFiles(listing, end) for end in CAPTIONS]
        lonely = [name for name in listing.images if not any(one.name_for(name) for one in files)]
        return {
            "id": upload_id,
            "folder": str(folder),
            "saved": received.saved,
            "refused": received.refused,
            "noted": received.noted,
            "images": len(listing.images),
            "captions": len(listing.images) - len(lonely),
            "without_caption": lonely,
            "unused": unused_captions(listing, CAPTIONS),
        }

    def set_caption(self, upload_id: str, name: str, caption: str, end: str, *, keep_lines: bool = False) -> None:
        """Write an image's caption: one line, or with `keep_lines` each line for itself. Blank, it is taken away.

        It goes into the file that is the image's caption already, whatever its exact name, unless others share it.
        Raises Refusal for an unknown image or ending.
        """
        folder = self.folder(upload_id)
        listing = list_folder(folder)
        if name not in listing.images:
            raise Refusal(404, f"There is no image {name!r} in this upload.")
        if end not in ENDINGS:
            raise Refusal(400, f"A caption ends in {' or '.join(ENDINGS)}, not in {end!r}.")
        path = folder / (_own_caption(name, CaptionFiles(listing, end), listing) or f"{Path(name).stem}{end}")
        lines = [" ".join(line.split()) for line in (caption.splitlines() if keep_lines else [caption])]
        if caption.strip():
            write_text_atomic(path, "\n".join(line for line in lines if line) + "\n")
        else:
            path.unlink(missing_ok=True)

    def delete(self, upload_id: str, name: str | None = None) -> None:
        """Delete the folder, or one image of it with its captions."""
        folder = self.folder(upload_id)
        if name is None:
            shutil.rmtree(folder, ignore_errors=True)
            return
        path = folder / safe_name(name, field="name")
        if not path.is_file():
            raise Refusal(404, f"There is no {name!r} in this upload.")
        listing = list_folder(folder)
        captions = [_own_caption(name, CaptionFiles(listing, end), listing) for end in ENDINGS]
        path.unlink()
        for caption in filter(None, captions):
            (folder / caption).unlink(missing_ok=True)

    def remove_leavings(self) -> None:
        """Half-received files of an earlier program, and folders that hold nothing."""
        for part in self.root.glob(f"*/*{PART}"):
            part.unlink(missing_ok=True)
        for folder in self.root.glob("*/"):
            if _ID.fullmatch(folder.name) and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _own_caption(name: str, files: CaptionFiles, listing: Listing) -> str | None:
    """The caption file of the image `name`, unless another image shares it."""
    found = files.name_for(name)
    shared = found is not None and any(files.name_for(other) == found for other in listing.images if other != name)
    return None if shared else found
