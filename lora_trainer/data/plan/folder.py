"""One folder of images: what can be trained in it, with which captions, and what is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from .caption_files import Caption, CaptionFiles
from .caption_report import report_captions
from .files import EXTENSIONS, FactsCache, ImageFacts, Listing, list_folder
from .model import Finding, Size
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_MOST_FILES_NAMED = 30


@dataclass(frozen=True)
class FoundImage:
    """An image that can be trained. `caption` is the class tokens where there is no caption file."""

    path: str
    size: Size
    caption: str
    has_caption: bool


def read_folder(spec: SubsetSpec, facts: FactsCache, *, verify: bool, findings: list[Finding]) -> list[FoundImage]:
    """Return the images of a subset that can be trained, sorted by name; what is wrong or odd goes into `findings`."""
    folder = Path(spec.image_dir)
    kind = "regularisation" if spec.is_reg else "training"
    try:
        listing = list_folder(folder)
    except OSError as error:
        why = "does not exist" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror or error})"
        findings.append(Finding("error", f"the folder of {kind} images {why}.", str(folder), "image_dir"))
        return []
    if not listing.images:
        message = f"the folder has no images ({', '.join(EXTENSIONS)}).{_sub_folder_advice(folder)}"
        findings.append(Finding("error", message, str(folder), "image_dir"))
    _report_names(listing, folder, findings)
    looked_at = facts.look_at([str(folder / name) for name in listing.images], verify=verify)
    _report_notes(dict(zip(listing.images, looked_at, strict=True)), folder, findings)
    files = CaptionFiles(listing, spec.caption_extension)
    found = []
    captions: dict[str, Caption | None] = {}
    for name, fact in zip(listing.images, looked_at, strict=True):
        if fact.problem:
            message = f"{fact.problem} {fact.advice}".strip()
            findings.append(Finding("error", message, str(folder / name), "image_dir"))
            continue
        try:
            caption = captions[name] = files.read(name, folder, enable_wildcard=spec.enable_wildcard)
        except InputError as error:
            message = error.message.removeprefix(f"{error.where}: ")
            findings.append(Finding("error", f"{message} {error.advice}".strip(), error.where, error.field))
            continue
        text = caption.text if caption is not None else spec.class_tokens or ""
        found.append(FoundImage(str(folder / name), fact.size, text, caption is not None))
    report_captions(captions, files, listing, spec, findings)
    return found


def _sub_folder_advice(folder: Path) -> str:
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f" Images in its sub-folders ({name_some(inner)}) are not read: name one of them." if inner else ""


def _report_notes(looked_at: dict[str, ImageFacts], folder: Path, findings: list[Finding]) -> None:
    """One warning for each kind of oddity, naming the files."""
    animated = [f"{name} ({note.detail})" for name, fact in looked_at.items() for note in fact.notes if note.kind == "animated"]
    if animated:
        images = count(len(animated), "image", "images")
        message = f"{images} with more than one picture; only the first is trained: {name_some(animated)}."
        findings.append(Finding("warning", message, str(folder), "image_dir"))
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
        findings.append(Finding("warning", message, str(folder), "image_dir"))


def _report_names(listing: Listing, folder: Path, findings: list[Finding]) -> None:
    if listing.others:
        message = (
            f"{count(len(listing.others), 'file is', 'files are')} not trained: {name_some(listing.others)}."
            f" Images must end in {', '.join(EXTENSIONS)}, in lower or in upper case."
        )
        findings.append(Finding("warning", message, str(folder), "image_dir"))
    stems: dict[str, list[str]] = {}
    for name in listing.images:
        stems.setdefault(Path(name).stem, []).append(name)
    doubled = [" and ".join(names) for names in stems.values() if len(names) > 1]
    if doubled:
        message = f"these images share one caption file, and perhaps are the same picture twice: {name_some(doubled)}."
        findings.append(Finding("warning", message, str(folder), "image_dir"))


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
