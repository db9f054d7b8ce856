"""Pictures sent from the Web UI's galleries: an upload of their own until the person has said where they belong, with the
captions that their prompts make."""

from __future__ import annotations

import filecmp
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ..data.plan.caption_files import ENDINGS, CaptionFiles
from ..data.plan.files import list_folder
from ..paths import write_atomic, write_text_atomic
from . import images, infotext
from .answers import Refusal, answer, json_body, text_of
from .service import Service
from .upload_names import Sent, arrange
from .uploads import Received, Uploads


async def _prompts(service: Service, request: Request) -> Response:
    upload_id, told = request.path_params["id"], _texts(await json_body(request), "infotexts")
    return answer({"captions": await service.look(captions_of, service.uploads.folder(upload_id), told)})


async def _join(service: Service, request: Request) -> Response:
    body = await json_body(request)
    upload_id, captions = request.path_params["id"], _texts(body, "captions")
    ending, folder = text_of(body, "extension", ".txt"), text_of(body, "folder", "")
    if ending not in ENDINGS:
        raise Refusal(400, f"A caption ends in {' or '.join(ENDINGS)}, not in {ending!r}.")

    def join_them() -> dict[str, Any]:
        source = service.uploads.folder(upload_id)
        target = images.image_folder(folder, service.host.access()) if folder else source
        received, into = join(service.uploads, source, service.uploads.newest(target), captions, ending)
        place = {"id": received.upload_id or None, "folder": str(into)}
        return {**place, "saved": received.saved, "noted": received.noted}

    return answer(await service.change(join_them))


TABLE: list[tuple[str, str, Callable[..., Any]]] = [
    ("POST", "uploads/{id}/prompts", _prompts),
    ("POST", "uploads/{id}/join", _join),
]


def captions_of(folder: Path, told: Mapping[str, str]) -> dict[str, str]:
    """The caption of each picture in `folder`, from the text in its file, else from that which was `told`; "" without one."""
    texts = {name: infotext.read(folder / name) or told.get(name, "") for name in list_folder(folder).images}
    return {name: infotext.caption_of(text) for name, text in texts.items()}


def join(uploads: Uploads, source: Path, target: Path, captions: Mapping[str, str], ending: str) -> tuple[Received, Path]:
    """Put the pictures of the upload `source` that `captions` names into `target`, with those captions; `source` goes.

    `target` may be `source` itself: then the others go. Returns what was saved under which names, and the folder: another one
    than `target` where that is an upload that a run trains from. A picture that lies there already is not put there again; a
    caption that is there stays.

    Raises Refusal: 404 for a picture that is not in `source`, 507 when the folder cannot be written.
    """
    listing = list_folder(source)
    unknown = sorted(set(captions) - set(listing.images))
    if unknown:
        raise Refusal(404, f"There is no image {unknown[0]!r} in this upload.")
    if not uploads.id_of(target):  # a drive that hangs holds up nobody else
        return _joined(uploads, source, target, captions, ending)
    with uploads.changing:
        if target != source:
            return _joined(uploads, source, uploads.changeable(target), captions, ending)
        for name in set(listing.images) - set(captions):
            uploads.delete_image(source.name, name)
        received = Received(source.name, saved=list(captions))
        _write_captions(source, captions, ending, received)
        return received, source


def _joined(uploads: Uploads, source: Path, into: Path, captions: Mapping[str, str], ending: str) -> tuple[Received, Path]:
    received, names = _placed(source, into, captions)
    received.upload_id = uploads.id_of(into) or ""
    _write_captions(into, {names[name]: text for name, text in captions.items() if name in names}, ending, received)
    uploads.delete(source.name)
    return received, into


def _placed(source: Path, into: Path, wanted: Mapping[str, str]) -> tuple[Received, dict[str, str]]:
    """Copy the wanted pictures into `into`; returns the names that they have there by the old ones, too."""

    def is_same(one: Sent, name: str) -> bool:
        return filecmp.cmp(one.file, into / name, shallow=False)

    arranged = arrange([Sent(name, name, source / name) for name in wanted], [path.name for path in into.iterdir()], is_same)
    for one, name in arranged.kept:
        if not (into / name).exists():
            _put(one.file, into / name)
    names = {one.sent: name for one, name in arranged.kept}
    return Received("", saved=list(names.values()), refused=arranged.refused, noted=arranged.noted), names


def _put(source: Path, target: Path) -> None:
    with source.open("rb") as file:
        write_atomic(target, lambda copy: shutil.copyfileobj(file, copy))


def _write_captions(folder: Path, captions: Mapping[str, str], ending: str, received: Received) -> None:
    files = CaptionFiles(list_folder(folder), ending)
    for name, text in captions.items():
        caption = " ".join(text.split())
        if not caption:
            continue
        if files.name_for(name):
            received.noted.append({"name": name, "message": "It has a caption there already, which stays."})
        else:
            write_text_atomic(folder / f"{Path(name).stem}{ending}", f"{caption}\n")


def _texts(body: dict[str, Any], field: str) -> dict[str, str]:
    """Texts by name in the body. Raises Refusal (400) for anything else."""
    given = body.get(field, {})
    if not isinstance(given, dict) or not all(isinstance(text, str) for text in given.values()):
        raise Refusal(400, f"{field!r} is no object of texts by the names of pictures.")
    return given
