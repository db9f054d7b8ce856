"""What a person or script asked for, made into the files of a run; or everything that is wrong with it.

Two forms: {"values": {...}} as the page sends it (fields of options.simple and options by name), and for scripts
{"options": {...train_network's options...}, "dataset": {...tables of a data set file...}, "prompts": text}.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from ..foreign.reading import is_there
from ..options import OPTIONS, concepts, config_file, dataset_config, located, simple
from ..options.presets import starting_values
from ..options.resolve import train_options
from ..options.simple import RunFiles
from ..options.trained_rules import shown_in_form
from ..paths import typed_path, user_path
from .answers import Refusal

_ABOUT_CAPTIONS = ("caption_extension", "identifier")
_MODEL = "pretrained_model_name_or_path"
_ATTEMPTS = 5  # a mistake can hide another
# In place of what a draft lacks, so that it can be planned: what looks like a hub id, and a word.
PLACEHOLDERS = {"pretrained_model_name_or_path": "user/model", "token_string": "word"}


@dataclass(frozen=True, kw_only=True)
class Draft:
    """`base` holds the form's values or the script's options, `dataset` the script's tables or None, `words` the words
    that call the subject up. `is_form` tells the two forms apart."""

    is_form: bool
    base: Mapping[str, Any]
    dataset: Mapping[str, Any] | None
    prompts: str
    overwrite: bool
    left_out: simple.LeftOut = lambda _: ()  # images of a folder that the form's run does not train

    @property
    def name(self) -> str:
        """The wanted name of the result, "" when none was given."""
        return str(self.base.get("output_name") or "").strip()

    @property
    def words(self) -> str:
        if self.is_form:
            return simple.activation_words(simple.read_simple(simple.split_values(self.base)[0], []))
        for table in (self.dataset or {}).get("datasets") or []:
            for subset in table.get("subsets") or []:
                if subset.get("class_tokens") and not subset.get("is_reg"):
                    return str(subset["class_tokens"])
        return ""


def read(body: Mapping[str, Any], left_out: simple.LeftOut = lambda _: ()) -> Draft:
    """What a request asks for; `left_out` names the images of a folder that are not trained.

    Raises Refusal (400) when the body has neither form.
    """
    forms = [name for name in ("values", "options") if name in body]
    if len(forms) != 1 or not isinstance(body[forms[0]], dict):
        raise Refusal(400, 'Expected {"values": {...}}, or {"options": {...}} with or without "dataset": {...}.')
    dataset = body.get("dataset")
    if dataset is not None and (forms == ["values"] or not isinstance(dataset, dict)):
        raise Refusal(400, '"dataset" is an object that goes with "options".')
    prompts, overwrite = body.get("prompts", ""), body.get("overwrite", False)
    if not isinstance(prompts, str) or not isinstance(overwrite, bool):
        raise Refusal(400, '"prompts" is a text and "overwrite" true or false.')
    given = body[forms[0]]
    if forms == ["values"]:
        given = {**page_start(), **given}
    return Draft(
        is_form=forms == ["values"],
        base=_with_typed_paths(given),
        dataset=dataset,
        prompts=prompts,
        overwrite=overwrite,
        left_out=left_out,
    )


def page_start() -> dict[str, Any]:
    """What the form starts with on this machine."""
    return starting_values(cuda=shutil.which("nvidia-smi") is not None)


def files(draft: Draft, folder: Path, name: str) -> RunFiles:
    """The files of the run that will lie in `folder` and whose result is called `name`. Raises InputErrors."""
    if not draft.name:
        missing = InputError(
            "The result has no name yet.", field="output_name", advice="It is what you write in <lora:name:0.8>."
        )
        try:
            _files(draft, folder, "draft", {})
        except InputErrors as others:
            raise InputErrors([missing, *others.errors]) from None
        raise InputErrors([missing])
    return _files(draft, folder, name, {})


def files_in_spite(draft: Draft, folder: Path, wrong: InputErrors) -> RunFiles | None:
    """The same with what is `wrong` left out, only to look at the data; None when the data is what is wrong.

    A field of the form goes back to what the page starts with, so that one wrong number does not empty the whole plan.
    """
    start = simple.split_values(page_start())[1] if draft.is_form else {}
    base, instead = dict(draft.base), {_MODEL: PLACEHOLDERS[_MODEL]}
    for attempt in range(_ATTEMPTS):
        before = dict(base)
        for name in {error.field for error in wrong.errors}:
            if name in PLACEHOLDERS:
                instead[name] = PLACEHOLDERS[name]
            prefix, _, plain = name.rpartition(".")
            if plain in _ABOUT_CAPTIONS and not concepts.value_at(base, name):  # what is missing belongs to another choice
                base = concepts.without(base, f"{prefix}.caption_source" if prefix else "caption_source")
            value = base.get(name)
            base = concepts.without(base, name)
            if name in start and value != start[name]:
                base[name] = start[name]
        is_stuck = attempt > 0 and base == before  # at first a missing model, say, is replaced without a change of `base`
        if is_stuck or draft.is_form and all(table.get("is_off") for _, table in concepts.raw_concepts(base)):
            return None
        try:
            return _files(replace(draft, base=base), folder, "draft", dict(instead))
        except InputErrors as others:  # what was hidden behind the first mistakes, or came by leaving something out
            wrong = others
    return None


def _files(draft: Draft, folder: Path, name: str, instead: dict[str, Any]) -> RunFiles:
    fields, options = simple.split_values(draft.base) if draft.is_form else ({}, dict(draft.base))
    if draft.is_form:
        # Before the result has another name than was asked for.
        options = shown_in_form(options, str(fields.get("identifier") or ""))
    options |= instead | {"output_dir": str(folder / "output"), "output_name": name}
    options = _with_whole_paths(options)
    if draft.is_form:
        return simple.to_files(fields, options, folder=folder, windows=os.name == "nt", left_out=draft.left_out)
    return _files_of_script(draft, options, folder)


def _files_of_script(draft: Draft, given: dict[str, Any], folder: Path) -> RunFiles:
    to_come: tuple[str, ...] = ()
    dataset_text = ""
    if draft.dataset is not None:
        dataset_text = config_file.tables_to_toml(draft.dataset)
        given["dataset_config"] = str(folder / "dataset.toml")
        to_come = ("dataset_config",)
    if draft.prompts.strip():
        given["sample_prompts"] = str(folder / "prompts.txt")
        to_come = (*to_come, "sample_prompts")
    options = train_options(given, to_come=to_come)
    if draft.dataset is None:
        data = dataset_config.data_spec(options)
    else:
        read = dataset_config.from_file(located.parse(folder / "dataset.toml", dataset_text), options)
        data = dataset_config.as_trained(read, options)
    return RunFiles(
        config_toml=config_file.to_toml(options),
        dataset_toml=dataset_text,
        prompts=draft.prompts.strip() + "\n",
        command_line=config_file.command_line(config_file.to_arguments(options), windows=os.name == "nt"),
        options=options,
        data=data,
    )


def _with_typed_paths(given: Mapping[str, Any]) -> dict[str, Any]:
    """Paths as they were meant: see paths.typed_path."""
    names = {option.name for option in (*simple.SIMPLE, *OPTIONS) if option.path} | set(concepts.PATHS)
    return concepts.changed(given, lambda name, value: _each(typed_path, value) if name in names else value)


def _each(change: Callable[[str], str], value: Any) -> Any:
    """The text `value`, or each text of a list, changed; what is of another kind stays for `resolve` to report."""
    if isinstance(value, (list, tuple)):
        return [_each(change, one) for one in value]
    return change(value) if isinstance(value, str) and value.strip() else value


def _with_whole_paths(given: Mapping[str, Any]) -> dict[str, Any]:
    """Paths relative to this program's folder made absolute: the worker has another current folder."""
    whole = dict(given)
    for option in OPTIONS:
        if option.path and option.name in whole:
            may_be_elsewhere = option.path == "model"
            whole[option.name] = _each(lambda text, hub=may_be_elsewhere: _whole(text, hub), whole[option.name])
    return whole


def _whole(text: str, may_be_elsewhere: bool) -> str:
    path = user_path(text)
    return text if may_be_elsewhere and not is_there(path) else str(path.absolute())
