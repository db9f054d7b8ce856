"""One folder of images: what can be trained in it, with which captions, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import InputError
from ...options.data_spec import NO_CAPTIONS
from .captions import find_caption, read_caption
from .files import EXTENSIONS, FactsCache, Listing, list_folder
from .model import Finding, Size

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec

_MOST_FILES_NAMED = 30
_CAPTION_EXTENSIONS = (".txt", ".caption")


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
    found = []
    looked_at = facts.look_at([str(folder / name) for name in listing.images], verify=verify)
    for name, fact in zip(listing.images, looked_at, strict=True):
        if fact.problem:
            message = f"the file {fact.problem} {fact.advice}".strip()
            findings.append(Finding("error", message, str(folder / name), "image_dir"))
            continue
        try:
            caption = _caption_of(name, spec, folder, listing)
        except InputError as error:
            message = error.message.removeprefix(f"{error.where}: ")
            findings.append(Finding("error", f"{message} {error.advice}".strip(), error.where, error.field))
            continue
        text = caption if caption is not None else spec.class_tokens or ""
        found.append(FoundImage(str(folder / name), fact.size, text, caption is not None))
    _report_captions(found, spec, listing, findings)
    return found


def _caption_of(name: str, spec: SubsetSpec, folder: Path, listing: Listing) -> str | None:
    caption_name = find_caption(name, spec.caption_extension, listing.names)
    return None if caption_name is None else read_caption(folder / caption_name, enable_wildcard=spec.enable_wildcard)


def _sub_folder_advice(folder: Path) -> str:
    inner = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    return f" Images in its sub-folders ({name_some(inner)}) are not read: name one of them." if inner else ""


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


def _report_captions(found: list[FoundImage], spec: SubsetSpec, listing: Listing, findings: list[Finding]) -> None:
    """Refuse a folder with neither captions nor class tokens; report images without a caption and blank captions."""

    def report(level: str, message: str, field: str = "caption_extension") -> None:
        findings.append(Finding(level, message, str(spec.image_dir), field))  # type: ignore[arg-type]

    missing = [Path(image.path).name for image in found if not image.has_caption]
    blank = [Path(image.path).name for image in found if image.has_caption and not image.caption]
    hint = _other_extension_hint(missing, spec, listing)
    if missing and len(missing) == len(found):
        if not spec.class_tokens:
            report(
                "error",
                f"no image has a caption ({spec.caption_extension} file) and there are no class tokens, so nothing says what"
                f" the images show. Write captions, or name an identifier and a class.{hint}",
                "class_tokens",
            )
        elif spec.caption_extension == NO_CAPTIONS:
            report("info", f"all images are trained as {spec.class_tokens!r}.", "class_tokens")
        else:
            text = f"no image has a caption ({spec.caption_extension} file); all are trained as {spec.class_tokens!r}.{hint}"
            report("warning" if hint else "info", text)
    elif missing:
        instead = f"{spec.class_tokens!r} is trained instead" if spec.class_tokens else "they are trained with an empty caption"
        report("warning", f"{len(missing)} of {len(found)} images have no caption ({name_some(missing)}); {instead}.{hint}")
    if blank:
        report("warning", f"{count(len(blank), 'caption is', 'captions are')} blank: {name_some(blank)}.")


def _other_extension_hint(missing: list[str], spec: SubsetSpec, listing: Listing) -> str:
    """Tell of caption files of another extension, which are the usual reason for missing captions."""
    for extension in _CAPTION_EXTENSIONS:
        number = sum(find_caption(name, extension, listing.names) is not None for name in missing)
        if number and extension != spec.caption_extension:
            have = count(number, "of them has", "of them have")
            return f" {have} a {extension} file: set caption_extension to {extension} to use it."
    return ""


def count(number: int, one: str, many: str) -> str:
    """`1 file is`, `3 files are`."""
    return f"{number:,} {one if number == 1 else many}"


def name_some(names: Iterable[str], most: int = 5) -> str:
    """`a, b, c and 7 more`."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


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
