"""What is to be said about the captions of one folder: what lacks, and what of them is not trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ...options.data_spec import NO_CAPTIONS
from .caption_files import ENDINGS, Caption, CaptionFiles
from .caption_marks import marks_without_effect
from .files import Listing
from .model import Finding, Fix
from .words import count, name_some

if TYPE_CHECKING:
    from ...options.dataset_config import SubsetSpec


def report_captions(
    captions: dict[str, Caption | None], files: CaptionFiles, listing: Listing, spec: SubsetSpec, findings: list[Finding]
) -> None:
    """Add findings about `captions` (image -> its caption): nothing of a caption file is dropped without a word.

    A folder with neither captions nor class tokens is an error, unless class_tokens = "" says that this is meant.
    """
    reporter = _Reporter(captions, files, listing, spec, findings)
    reporter.missing()
    reporter.contents()
    reporter.names()


class _Reporter:
    def __init__(
        self,
        captions: dict[str, Caption | None],
        files: CaptionFiles,
        listing: Listing,
        spec: SubsetSpec,
        findings: list[Finding],
    ) -> None:
        self.captions = captions
        self.files = files
        self.listing = listing
        self.spec = spec
        self.findings = findings

    def missing(self) -> None:
        """Images without a caption, and what they are trained with instead."""
        spec, missing = self.spec, [name for name, caption in self.captions.items() if caption is None]
        hint = self._other_ending(missing)
        if not missing:
            return
        if len(missing) < len(self.captions):
            words = repr(spec.class_tokens) if spec.class_tokens else "an empty caption"
            lacking = f"{len(missing)} of {len(self.captions)} images have no caption ({name_some(missing)})"
            message = f"{lacking}; {words} is trained instead.{hint}"
            self._add("warning", message, code="no_caption", images=missing, fix=self._words())
        elif spec.class_tokens is None:
            self._add(
                "error",
                f"no image has a caption ({spec.caption_extension} file) and there are no class tokens, so nothing says what"
                f" the images show. Write captions, or name an identifier and a class.{hint}",
                "class_tokens",
                code="no_caption",
            )
        elif not spec.class_tokens:
            without = f"no image has a caption ({spec.caption_extension} file) and the class tokens are empty"
            self._add("warning", f"{without}; all are trained with an empty caption.{hint}", "class_tokens", code="no_caption")
        elif spec.caption_extension == NO_CAPTIONS:
            first, *others = spec.class_tokens.split("\n")
            text = f"all images are trained as {first!r}."
            if others:
                text = f"all images are trained with {len(others) + 1} sentences in turns, such as {first!r}."
            self._add("info", text, "class_tokens")
        else:
            text = f"no image has a caption ({spec.caption_extension} file); all are trained as {spec.class_tokens!r}.{hint}"
            self._add("warning" if hint else "info", text, code="no_caption", fix=self._words())

    def contents(self) -> None:
        """Captions that are blank, or of which lines are not trained."""
        there = {name: caption for name, caption in self.captions.items() if caption is not None}
        empty = {name: caption.file for name, caption in there.items() if not caption.text}
        more = {name: caption.file for name, caption in there.items() if caption.whole != caption.text}
        blank, longer = sorted(set(empty.values())), sorted(set(more.values()))
        if blank:
            message = f"{count(len(blank), 'caption is', 'captions are')} blank: {name_some(blank)}."
            self._add("warning", message, code="empty_caption", images=empty, fix=self._words())
        if longer:
            message = (
                f"{count(len(longer), 'caption has', 'captions have')} more than one line, of which only the first is trained:"
                f" {name_some(longer)}. Write it on one line, or switch enable_wildcard on: it takes any of them each time."
            )
            self._add("warning", message, "enable_wildcard", "more_lines", more, Fix("join_lines"))
        for option, message in marks_without_effect({name: caption.text for name, caption in there.items()}, self.spec):
            self._add("warning", message, option)

    def names(self) -> None:
        """Captions with another name than their image, and those that belong to no image."""
        alike = [
            f"{name} ({caption.file})"
            for name, caption in self.captions.items()
            if caption is not None and self.files.is_look_alike(name, caption.file)
        ]
        if alike:
            is_named = count(len(alike), "caption is not named", "captions are not named")
            self._add(
                "info", f"{is_named} exactly like the image, but used all the same: {name_some(alike)}.", code="caption_name"
            )
        ending = self.spec.caption_extension
        if unused := self.files.unused():
            files = count(len(unused), f"{ending} file is", f"{ending} files are")
            advice = "A caption has the name of its image."
            self._add(
                "warning", f"{files} no image's caption and not used: {name_some(unused)}. {advice}", code="unused_caption"
            )
        if others := self._not_wanted():
            files = count(len(others), "caption file of another ending is", "caption files of other endings are")
            self._add("info", f"{files} not used: {name_some(others)}.")

    def _not_wanted(self) -> list[str]:
        """Caption files with other endings, of images that have a caption or are not to have one."""
        found: dict[str, None] = {}
        if self.spec.caption_extension == NO_CAPTIONS:
            wanted = list(self.captions)
        else:
            wanted = [name for name, caption in self.captions.items() if caption is not None]
        for files in self._others():
            found |= {file: None for name in wanted if (file := files.name_for(name))}
        return sorted(found)

    def _other_ending(self, missing: list[str]) -> str:
        """Tell of caption files of another ending, which are the usual reason for missing captions."""
        if self.spec.caption_extension == NO_CAPTIONS:
            return ""
        for files in self._others():
            found = [file for name in missing if (file := files.name_for(name))]
            if found:
                have = count(len(found), "of them has", "of them have")
                ending = files.extension
                return f" {have} a {ending} file ({name_some(found, 1)}): set caption_extension to {ending} to use it."
        return ""

    def _others(self) -> list[CaptionFiles]:
        """The files of each other ending that occurs in the folder."""
        present = [end for end in ENDINGS if any(name.lower().endswith(end) for name in self.listing.names)]
        return [CaptionFiles(self.listing, end) for end in present if end != self.files.extension.lower()]

    def _words(self) -> Fix | None:
        """Write the words of the folder as the caption, where it has any."""
        return Fix("write_captions", {"text": self.spec.class_tokens}) if self.spec.class_tokens else None

    def _add(
        self,
        level: str,
        message: str,
        field: str = "caption_extension",
        code: str = "",
        images: Iterable[str] = (),
        fix: Fix | None = None,
    ) -> None:
        folder = self.spec.place
        files = tuple(str(folder / name) for name in images)
        self.findings.append(Finding(level, message, str(folder), field, code, files, fix))  # type: ignore[arg-type]
