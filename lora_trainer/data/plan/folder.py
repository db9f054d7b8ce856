"""One folder of images: what can be trained in it, with which captions, and what is wrong with it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...foreign.reading import is_folder
from .caption_files import Caption, CaptionFiles, EmptyError, EncodingError
from .caption_report import report_captions
from .files import ImageFacts, Listing, Reading, list_folder, readable_extensions
from .info import FolderInfo
from .model import Finding, Fix, Size
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_MOST_FILES_NAMED = 30


@dataclass(frozen=True)
class FoundImage:
    """An image that can be trained. `caption` is the class tokens where there is no caption file.

    `tags` are those of a metadata file, which are in the caption; None where there is no such file.
    """

    path: str
    size: Size
    caption: str
    has_caption: bool
    tags: str | None = None
    is_unread: bool = False  # see ImageFacts


def read_folder(spec: SubsetSpec, reading: Reading, *, findings: list[Finding], trusting: bool = False) -> list[FoundImage]:
    """Return the images of a subset that can be trained, sorted by name; what is wrong or odd goes into `findings`.

    `trusting`: what cache_info wrote counts, whatever happened to the files since.
    """
    folder = spec.place
    kind = "regularisation" if spec.is_reg else "training"
    try:
        whole = listing = list_folder(folder)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"
        findings.append(Finding("error", f"the folder of {kind} images {why}.", str(folder), "image_dir"))
        return []
    if spec.exclude:
        listing = _without(listing, spec.exclude, folder, findings)
    elif not listing.images:
        message = f"the folder has no images ({', '.join(readable_extensions())}).{_sub_folder_advice(folder)}"
        findings.append(Finding("error", message, str(folder), "image_dir"))
    _report_names(listing, folder, findings)
    _report_sub_folders(listing, spec, findings)
    info = FolderInfo.load(folder, trusting=trusting) if spec.cache_info else None
    if info:
        info.teach(reading.facts, listing.images)
    looked_at = reading.look_at([str(folder / name) for name in listing.images])
    report_notes(dict(zip(listing.images, looked_at, strict=True)), folder, findings)
    files = CaptionFiles(whole, spec.caption_extension)
    lines_of = info.lines if info else None
    found = []
    captions: dict[str, Caption | None] = {}
    for name, fact in zip(listing.images, looked_at, strict=True):
        if fact.problem:
            message = f"{fact.problem} {fact.advice}".strip()
            file = str(folder / name)
            findings.append(Finding("error", message, file, "image_dir", "damaged", (file,), Fix("put_aside")))
            continue
        try:
            caption = captions[name] = files.read(name, folder, enable_wildcard=spec.enable_wildcard, lines_of=lines_of)
        except InputError as error:
            message = error.message.removeprefix(f"{error.where}: ")
            text, file = f"{message} {error.advice}".strip(), str(folder / name)
            findings.append(Finding("error", text, error.where, error.field, *_mend_of(error, file, spec)))
            continue
        text = caption.text if caption is not None else spec.class_tokens or ""
        found.append(FoundImage(str(folder / name), fact.size, text, caption is not None, is_unread=fact.is_unread))
    report_captions(captions, files, listing, spec, findings)
    if info:
        if reading.verify:
            info.learn(looked_at, listing.images)
        info.save()
    return found


def _without(listing: Listing, names: tuple[str, ...], folder: Path, findings: list[Finding]) -> Listing:
    """The listing without the images `names`, which is told."""
    kept = [name for name in listing.images if name not in names]
    left = len(listing.images) - len(kept)
    if missing := [name for name in names if name not in listing.images]:
        message = f"exclude names {name_some(missing)}, which the folder does not have."
        findings.append(Finding("warning", message, str(folder), "exclude"))
    if left and not kept:
        message = f"all {count(left, 'image', 'images')} of the folder are left out (exclude), so there is nothing to train."
        findings.append(Finding("error", message, str(folder), "exclude"))
    elif left:
        shown = name_some([name for name in listing.images if name in names], 3)
        message = f"{left} of {count(len(listing.images), 'image', 'images')} left out (exclude): {shown}."
        findings.append(Finding("info", message, str(folder), "exclude"))
    return replace(listing, images=kept)


def _mend_of(error: InputError, file: str, spec: SubsetSpec) -> tuple[str, tuple[str, ...], Fix | None]:
    """(code, files, fix) of a caption that cannot be read."""
    if isinstance(error, EncodingError):
        return "encoding", (file,), Fix("reencode")
    if isinstance(error, EmptyError):
        words = spec.class_tokens
        return "empty_caption", (file,), Fix("write_captions", {"text": words}) if words else Fix("drop_empty")
    return "", (file,), None


def _sub_folder_advice(folder: Path) -> str:
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f" Images in its sub-folders ({name_some(inner)}) are not read: name one of them." if inner else ""


def _report_sub_folders(listing: Listing, spec: SubsetSpec, findings: list[Finding]) -> None:
    """Images that lie deeper than those that are trained, and are passed over, unless they are the masks."""
    passed_over = []
    for name in listing.folders if listing.images else ():
        inner = spec.place / name
        if spec.conditioning_data_dir and is_folder(spec.conditioning_data_dir) and inner.samefile(spec.conditioning_data_dir):
            continue
        with contextlib.suppress(OSError):  # one that cannot be read is none of the training's
            passed_over += [name] if list_folder(inner).images else []
    if passed_over:
        message = f"images in sub-folders are not trained: {name_some(passed_over)}. Name each as an image folder of its own."
        findings.append(Finding("warning", message, str(spec.place), "image_dir"))


def report_notes(looked_at: dict[str, ImageFacts], folder: Path, findings: list[Finding]) -> None:
    """One warning for each kind of oddity, naming the files."""
    animated = [f"{name} ({note.detail})" for name, fact in looked_at.items() for note in fact.notes if note.kind == "animated"]
    if animated:
        images = count(len(animated), "image", "images")
        message = f"{images} with more than one picture; only the first is trained: {name_some(animated)}."
        files = tuple(str(folder / name) for name, fact in looked_at.items() if any(n.kind == "animated" for n in fact.notes))
        findings.append(Finding("warning", message, str(folder), "image_dir", "animated", files))
    profiles: dict[str, list[str]] = {}
    for name, fact in looked_at.items():
        for note in fact.notes:
            if note.kind == "colours":
                profiles.setdefault(note.detail, []).append(name)
    for problem, names in profiles.items():
        images = count(len(names), "image", "images")
        message = (
            f"{images} with a colour profile that cannot be applied ({problem}); the colours may be others: {name_some(names)}."
        )
        files = tuple(str(folder / name) for name in names)
        findings.append(Finding("warning", message, str(folder), "image_dir", "colours", files))


def _report_names(listing: Listing, folder: Path, findings: list[Finding]) -> None:
    if listing.others:
        message = (
            f"{count(len(listing.others), 'file is', 'files are')} not trained: {name_some(listing.others)}."
            f" Images must end in {', '.join(readable_extensions())}, in lower or in upper case."
        )
        findings.append(Finding("warning", message, str(folder), "image_dir", "not_trained"))
    stems: dict[str, list[str]] = {}
    for name in listing.images:
        stems.setdefault(Path(name).stem, []).append(name)
    groups = [names for names in stems.values() if len(names) > 1]
    if groups:
        doubled = name_some(" + ".join(names) for names in groups)
        message = f"these images share one caption file, and perhaps are the same picture twice: {doubled}."
        files = tuple(str(folder / name) for names in groups for name in names)
        findings.append(Finding("warning", message, str(folder), "image_dir", "shared_caption", files))


def shorten(findings: list[Finding]) -> list[Finding]:
    """Keep the first of very many findings about single files of one folder, and say how many more there are."""
    kept: list[Finding] = []
    seen: dict[tuple[str, str, str], int] = {}
    for finding in findings:
        key = (finding.level, str(Path(finding.where).parent), finding.field)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= _MOST_FILES_NAMED:
            kept.append(finding)
    for (level, folder, field), number in seen.items():
        if number > _MOST_FILES_NAMED:
            text = f"{number - _MOST_FILES_NAMED:,} more of this kind are not listed."
            kept.append(Finding(level, text, folder, field))  # type: ignore[arg-type]
    return kept
