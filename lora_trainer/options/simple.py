"""The page's own basic fields, declared like options, and what becomes of them: a configuration file, a data set file,
a prompt file and a command line, so that every run started from the page can be repeated without it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from . import concepts, config_file, dataset_config, located
from .concepts import Concept
from .data_spec import DataSpec
from .page_defaults import filled_in
from .resolve import train_options
from .rules import NO_PROMPTS
from .saving import saved_as
from .schema import Option, opt, options_of
from .train import OPTIONS_BY_NAME, TrainOptions
from .trained import NETWORK, WITH_NETWORK
from .trained_rules import FOLDERS, shown_in_form


@dataclass(frozen=True, kw_only=True)
class SimpleOptions(Concept):
    """What the page asks for in place of a data set file: the first concept, and further ones."""

    concepts: tuple[dict[str, Any], ...] = opt(
        (),
        "Further concepts that are learned together with the first: each a table of fields like those of the first.",
        "첫 번째와 함께 학습할 다른 콘셉트입니다. 각각 첫 번째와 같은 항목으로 이루어진 표입니다.",
        label="Further concepts",
        label_ko="다른 콘셉트",
    )
    prompts: str | None = opt(
        None,
        (
            "Prompts for the sample pictures, one a line; each may end with --n --w --h --d --l --s. Without a size they "
            "are drawn at the resolution of the training. Empty: identifier and class, or "
            "the word that is learned. A # alone: no samples."
        ),
        (
            "샘플 이미지의 프롬프트를 한 줄에 하나씩 적습니다. 줄 끝에 --n --w --h --d --l --s를 붙일 수 있습니다. 크기를 "
            "적지 않으면 학습 해상도로 그립니다. 비우면 식별자와 클래스, 또는 학습할 단어를 씁니다. #만 적으면 샘플을 "
            "그리지 않습니다."
        ),
        label="Sample prompts",
        label_ko="샘플 프롬프트",
    )


SIMPLE: tuple[Option, ...] = options_of(SimpleOptions, "simple")
SIMPLE_BY_NAME: Mapping[str, Option] = {option.name: option for option in SIMPLE}


_WRITE_PROMPTS = "Write them in “Sample prompts” among the images and words, or give an identifier or a class."
LeftOut = Callable[[str], Iterable[str]]


@dataclass(frozen=True)
class RunFiles:
    """The files of a run, the command line that repeats it, and what they were made from."""

    config_toml: str
    dataset_toml: str
    prompts: str
    command_line: str
    options: TrainOptions
    data: DataSpec


def to_files(
    simple_values: Mapping[str, Any],
    option_values: Mapping[str, Any],
    *,
    folder: Path = Path(),
    windows: bool = False,
    left_out: LeftOut = lambda _: (),
) -> RunFiles:
    """Turn what the page sent into the files of a run that will lie in `folder`.

    `left_out` names the images of a folder that are not trained, though nobody deleted them.

    Raises InputErrors with everything that is wrong; each names the field of the page or the option.
    """
    errors: list[InputError] = []
    simple = read_simple(simple_values, errors)
    given = shown_in_form(option_values)
    if (given.get("trains") or NETWORK) in WITH_NETWORK:
        given["network_module"] = given.get("network_module") or "networks.lora"
    given["dataset_config"] = str(folder / "dataset.toml")
    given, prompts = filled_in(given, "\n".join(_drawn_words(simple, given)), simple.prompts)
    if prompts:
        given["sample_prompts"] = str(folder / "prompts.txt")
    options = None
    try:
        options = train_options(given, to_come=("dataset_config", "sample_prompts"))
        if saved_as(options.saving) in FOLDERS:
            message = "A folder of diffusers is not among the checkpoints that can be chosen in the Web UI."
            errors.append(
                InputError(message, field="save_model_as", advice="Choose safetensors, or train on the command line.")
            )
        if options.dataset.resolution is None:
            advice = "Give the size of the base model: 512 for Stable Diffusion 1, 1024 for XL, 64 for the demo model."
            errors.append(InputError("The training resolution is missing.", field="resolution", advice=advice))
    except InputErrors as wrong:
        lacking = InputError(NO_PROMPTS, field="prompts", advice=_WRITE_PROMPTS)  # of the page, whose file is written of it
        errors += (lacking if NO_PROMPTS in one.message else one for one in wrong.errors)
    if errors or options is None:
        raise InputErrors(errors)
    dataset_toml = dataset_text(simple, left_out)
    file = located.parse(folder / "dataset.toml", dataset_toml)
    try:
        data = dataset_config.as_trained(dataset_config.from_file(file, options, check_paths=False), options)
    except InputErrors as wrong:
        raise InputErrors(_of_concepts(wrong.errors, simple)) from wrong
    return RunFiles(
        config_toml=config_file.to_toml(options),
        dataset_toml=dataset_toml,
        prompts=prompts,
        command_line=config_file.command_line(config_file.to_arguments(options), windows=windows),
        options=options,
        data=data,
    )


def _of_concepts(errors: Sequence[InputError], simple: SimpleOptions) -> list[InputError]:
    """The same errors of a data set file, at the fields of the concepts that have options of their own for what is wrong."""
    own = {name: prefix for prefix, concept in active_concepts(simple) for name in concept.settings or {}}
    return [
        InputError(one.message, field=f"{own[one.field]}{concepts.SETTINGS}.{one.field}", advice=one.advice)
        if one.field in own
        else one
        for one in errors
    ]


def split_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The page's values as (values of simple fields, values of options). Unknown names go with the options."""
    simple = {name: value for name, value in values.items() if name in SIMPLE_BY_NAME}
    return simple, {name: value for name, value in values.items() if name not in SIMPLE_BY_NAME}


def concepts_of(simple: SimpleOptions, errors: list[InputError] | None = None) -> list[tuple[str, Concept]]:
    """(prefix of its names, concept) of all concepts, also of those that are switched off; what is wrong with further ones is
    added to `errors`."""
    found = [] if errors is None else errors
    further = concepts.raw_concepts({concepts.FURTHER: simple.concepts})
    return [(prefix, concepts.read_concept(table, prefix, found) if prefix else simple) for prefix, table in further]


def active_concepts(simple: SimpleOptions) -> list[tuple[str, Concept]]:
    """The concepts that are trained."""
    return [(prefix, concept) for prefix, concept in concepts_of(simple) if not concept.is_off]


def words_of_all(simple: SimpleOptions) -> list[str]:
    """Identifier and class of each concept that is trained, each once."""
    return list(dict.fromkeys(words for _, concept in active_concepts(simple) if (words := concepts.words_of(concept))))


def _drawn_words(simple: SimpleOptions, given: Mapping[str, Any]) -> list[str]:
    """What samples are drawn of where nobody wrote prompts: a word that is learned shows in none that does not say it."""
    word, words = str(given.get("token_string") or "").strip(), words_of_all(simple)
    if not word:
        return words
    return list(dict.fromkeys(line if word.casefold() in line.casefold() else word for line in words or [word]))


def activation_words(simple: SimpleOptions) -> str:
    """`sls frog`: what stands for the subjects in a prompt."""
    return ", ".join(words_of_all(simple))


def read_simple(values: Mapping[str, Any], errors: list[InputError]) -> SimpleOptions:
    """The checked simple fields; what is wrong is added to `errors` and replaced by the default."""
    simple = SimpleOptions(**concepts.read_fields(SIMPLE_BY_NAME, values, "", errors, OPTIONS_BY_NAME))
    all_of_them = concepts_of(simple, errors)
    wrong = {error.field for error in errors}
    if len(all_of_them) > concepts.MOST:
        what = f"there are {len(all_of_them)} concepts, at most {concepts.MOST} can be trained at once."
        errors.append(InputError(what, field=concepts.FURTHER, advice="Put pictures of the same words into one folder."))
    if all(concept.is_off for _, concept in all_of_them):
        what = "Every concept is left out, so there is nothing to train."
        errors.append(InputError(what, field="is_off", advice="Take one in again."))
    for prefix, concept in all_of_them:
        if not concept.is_off:
            errors += [error for error in concepts.problems(concept, prefix) if error.field not in wrong]
    return simple


def dataset_text(simple: SimpleOptions, left_out: LeftOut = lambda _: ()) -> str:
    """The data set file for checked simple fields. What is the same for all images comes from the configuration file."""
    subsets = [_without(one, left_out(one["image_dir"])) for one in subsets_of(simple)]
    kinds = ([one for one in subsets if ("metadata_file" in one) == named] for named in (False, True))  # never in one data set
    return config_file.tables_to_toml({"datasets": [{"subsets": alike} for alike in kinds if alike]})


def _without(subset: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """A subset that leaves out the images `names`, besides those that it leaves out already."""
    excluded = list(dict.fromkeys([*(subset.get("exclude") or ()), *names]))
    return {**subset, "exclude": excluded} if excluded else subset


def subsets_of(simple: SimpleOptions) -> list[dict[str, Any]]:
    """The subsets of all concepts that are trained; regularisation pictures that several of them share stand there once."""
    subsets: list[dict[str, Any]] = []
    for _, concept in active_concepts(simple):
        subsets += [one for one in concepts.subsets_of(concept) if not (one.get("is_reg") and one in subsets)]
    return subsets
