"""What the lint finds in a draft's data, in the words and fields of the form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data.plan import DataPlan, Finding
from ..data.plan.lint import Lint, LintSettings, Words, lint, told
from ..data.plan.model import printable
from ..options import concepts, simple
from ..options.simple import RunFiles
from ..paths import user_path
from .drafts import Draft

_MOST_FILES = 100  # named in an answer
# Keys of the data set file that the form does not have, and the field that stands for each.
_FORM_FIELDS = {
    "": "image_dir",
    "train_data_dir": "image_dir",
    "class_tokens": "identifier",
    "caption_extension": "caption_source",
    "reg_data_dir": "reg_dir",
}


def look(draft: Draft, files: RunFiles, plan: DataPlan, total_steps: int | None, *, until: float | None) -> Lint:
    """What spoils the training of a draft. Pictures that there was no time for are counted as `waiting`."""
    settings = LintSettings(
        max_tokens=files.options.model.max_token_length or 75,
        total_steps=total_steps,
        accumulation=files.options.training.gradient_accumulation_steps,
        weighted=files.options.model.weighted_captions,
        words=_words(draft),
    )
    return lint(plan, settings, until=until)


def problem(finding: Finding, draft: Draft) -> dict[str, Any]:
    """A finding as a Problem of docs/api.md. Of its files the first are named; what mends it is a change of the form, or
    the name of a mend of the data set's."""
    shown = told(finding)
    shown["count"] = len(finding.files)
    shown["folder"] = printable(str(Path(finding.files[0]).parent)) if finding.files else ""
    shown["files"] = [Path(path).name for path in shown["files"][:_MOST_FILES]]
    shown["field"] = form_field(finding, draft) if draft.is_form else finding.field
    shown["advice"] = ""
    if shown["fix"]:
        shown["fix"] = _fix(shown["fix"], draft)
        _name_words(shown["fix"], finding, draft)
    return shown


def _fix(fix: dict[str, Any], draft: Draft) -> dict[str, Any]:
    """`{name, label, values}` without paths: of repeats the fields of the form, of copies nothing but that there are some."""
    values = {name: value for name, value in fix["values"].items() if name not in ("files", "repeats")}
    if fix["name"] == "set_repeats":
        wanted, folders = fix["values"]["repeats"], _folders(draft)
        values = {f"{prefix}num_repeats": wanted[folder] for prefix, folder in folders.items() if folder in wanted}
        return {**fix, "name": "set", "values": values}
    return {**fix, "values": values}


def _name_words(fix: dict[str, Any], finding: Finding, draft: Draft) -> None:
    """The words of a folder are two fields of the form: a word that they lack becomes the identifier."""
    if draft.is_form and fix["name"] == "set" and "class_tokens" in fix["values"]:
        word = fix["values"]["class_tokens"]
        field = form_field(replace(finding, field="class_tokens"), draft)
        fix.update(values={field: word}, label=f"Write {word!r} into Identifier")


def _concepts(draft: Draft) -> list[tuple[str, concepts.Concept]]:
    """(beginning of the names of its fields, concept) of those that are trained; none for a script."""
    if not draft.is_form:
        return []
    return list(simple.active_concepts(simple.read_simple(simple.split_values(draft.base)[0], [])))


def _folders(draft: Draft) -> dict[str, str]:
    return {prefix: str(user_path(one.image_dir or "").absolute()) for prefix, one in _concepts(draft)}


def _words(draft: Draft) -> dict[str, Words]:
    """Folder -> identifier and class as they stand in the form."""
    folders = _folders(draft)
    return {
        folders[prefix]: Words((one.identifier or "").strip(), (one.class_name or "").strip())
        for prefix, one in _concepts(draft)
    }


def form_field(finding: Finding, draft: Draft) -> str:
    """The field of the form that a finding about the data belongs to: of folders in each other, the innermost one's."""
    around = [
        (len(folder.parts), prefix, name, concept)
        for prefix, concept in _concepts(draft)
        for name, text in concepts.paths_of(concept)
        if Path(finding.where).is_relative_to(folder := user_path(text).absolute())
    ]
    plain = _FORM_FIELDS.get(finding.field, finding.field)
    for prefix, concept in _concepts(draft):
        if finding.where and concepts.metadata_of(concept) == Path(finding.where) and plain in concepts.FIELDS_BY_NAME:
            return f"{prefix}{plain}"
    if not finding.where or not around:
        return plain
    _, prefix, place, concept = max(around, key=lambda one: one[0])
    if place != "image_dir":
        return f"{prefix}{place}"
    if finding.field in (concept.settings or {}):
        return f"{prefix}{concepts.SETTINGS}.{finding.field}"
    return f"{prefix}{plain}" if plain in concepts.FIELDS_BY_NAME else plain
