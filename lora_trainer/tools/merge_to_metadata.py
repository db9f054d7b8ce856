"""`merge_captions_to_metadata` and `merge_dd_tags_to_metadata`: text files beside images into one metadata file.

python -m lora_trainer merge_captions_to_metadata --full_path frogs meta_cap.json
python -m lora_trainer merge_dd_tags_to_metadata --full_path frogs --in_json meta_cap.json meta.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from .. import log
from ..data.plan.caption_files import CaptionFiles, read_lines
from ..data.plan.files import Listing, list_folder, list_tree
from ..data.plan.metadata_file import CAPTION, TAGS, Entries, read_entries, replace_entries
from ..data.plan.words import count, name_some
from ..errors import InputError, InputErrors
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.merge_to_metadata import MergeCaptions, MergeTags
from ..options.tools.reporting import Report
from ..paths import user_path

Options = MergeCaptions | MergeTags


def captions(argv: Sequence[str]) -> int:
    """Merge captions as the arguments say; returns 0. Raises InputError(s) and SaveError."""
    log.setup()
    run(parse(MergeCaptions, "merge_captions_to_metadata", argv))
    return 0


def tags(argv: Sequence[str]) -> int:
    """The same for tags."""
    log.setup()
    run(parse(MergeTags, "merge_dd_tags_to_metadata", argv))
    return 0


def run(options: Options) -> Entries:
    """Merge as `options` say; returns what was written.

    Images without a text file keep what they have. Nothing is written, and InputErrors raised, when a text file cannot be
    read or none is there.
    """
    assert options.train_data_dir and options.out_json
    part = CAPTION if isinstance(options, MergeCaptions) else TAGS
    if options.recursive and not options.full_path:
        raise InputError(
            "images of several folders may have one name.",
            field="recursive",
            where="--recursive",
            advice="Give --full_path too, so that the keys are paths.",
        )
    out = user_path(options.out_json)
    known = user_path(options.in_json) if options.in_json else out
    entries = read_entries(known, field="in_json" if options.in_json else "out_json") if known.is_file() else {}
    report = Report()
    found = _texts(options, report)
    for key, text in found.items():
        entries.setdefault(key, {})[part] = text
        if options.debug:
            logger.info("%s: %s", key, text)
    replace_entries(out, entries)
    new, whole = (count(number, "image", "images") for number in (len(found), len(entries)))
    if part == CAPTION:
        report.say("info", f"The captions of {new} were written into {out}, which names {whole}.")
    else:
        report.say("info", f"The tags of {new} were written into {out}, which names {whole}.")
    report.write(options.report)
    return entries


def _texts(options: Options, report: Report) -> dict[str, str]:
    """Key -> text of every image that has a text file. Raises InputErrors."""
    found: dict[str, str] = {}
    without, errors, images = [], [], 0
    for folder, listing in _folders(options):
        files = CaptionFiles(listing, options.caption_extension)
        for name in listing.images:
            images += 1
            text_file = files.name_for(name)
            if text_file is None:
                without.append(name)
                continue
            try:
                found[_key(folder / name, options)] = _text(folder / text_file)
            except InputError as error:
                errors.append(error)
    if errors:
        raise InputErrors(errors)
    if not found:
        raise _nothing(options, images, without)
    if without:
        ending, names = options.caption_extension, name_some(without)
        report.say("warning", f"Of {count(images, 'image', 'images')} {len(without)} had no {ending} file: {names}.")
    return found


def _folders(options: Options) -> Iterator[tuple[Path, Listing]]:
    folder = user_path(str(options.train_data_dir))
    try:
        yield from list_tree(folder) if options.recursive else [(folder, list_folder(folder))]
    except OSError as error:
        message = f"the folder {error.filename or folder} cannot be read: {error.strerror or error}."
        raise InputError(message, field="train_data_dir", where="train_data_dir") from error


def _key(image: Path, options: Options) -> str:
    return str(image) if options.full_path else image.stem


def _text(file: Path) -> str:
    """All lines with text; "" for a file of no bytes, as a tagger leaves it for an image in which it found nothing."""
    return "\n".join(read_lines(file)) if file.stat().st_size else ""


def _nothing(options: Options, images: int, names: list[str]) -> InputError:
    where = str(options.train_data_dir)
    if not images:
        inside = "" if options.recursive else " Images in folders inside are taken with --recursive --full_path."
        return InputError(f"there are no images in the folder.{inside}", field="train_data_dir", where=where)
    return InputError(
        f"none of {images} images has a {options.caption_extension} file ({name_some(names)}), so nothing was written.",
        field="caption_extension",
        where=where,
        advice="Give the ending of the text files as --caption_extension.",
    )
