"""The page's own basic fields, declared like options, and what becomes of them: a configuration file, a data set file,
a prompt file and a command line, so that every run started from the page can be repeated without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from ..errors import InputError, InputErrors
from ..foreign.reading import is_file, is_folder
from ..paths import user_path
from . import config_file, dataset_config, located
from .data_spec import NO_CAPTIONS, DataSpec
from .page_defaults import filled_in
from .resolve import train_options
from .schema import Option, Title, opt, options_of
from .train import OPTIONS_BY_NAME, TrainOptions
from .values import BadValue, convert, did_you_mean

WORDS, TXT, CAPTION, OTHER = "words", "txt", "caption", "other"


@dataclass(frozen=True, kw_only=True)
class SimpleOptions:
    """What the page asks for in place of a data set file."""

    TITLE: ClassVar[Title] = Title("Images and words", "이미지와 단어")

    image_dir: str | None = opt(
        None,
        "The folder with the training images, or drop them on the page.",
        "학습할 이미지가 들어 있는 폴더입니다. 페이지에 끌어다 놓아도 됩니다.",
        path="folder",
        label="Images folder",
        label_ko="이미지 폴더",
        basic=2,
        needed=True,
    )
    identifier: str | None = opt(
        None,
        'A rare word for what is learned, for example "sls". You will write it in prompts.',
        '학습 대상을 부를 드문 단어입니다 (예: "sls"). 프롬프트에 이 단어를 씁니다.',
        label="Identifier",
        label_ko="식별자",
        basic=3,
    )
    class_name: str | None = opt(
        None,
        'The kind of thing it is, in a common word: "frog", "1girl", "dog".',
        '학습 대상이 무엇인지 나타내는 흔한 단어입니다 (예: "frog", "1girl", "dog").',
        label="Class",
        label_ko="클래스",
        basic=4,
    )
    caption_source: str = opt(
        TXT,
        "Where the description of each image comes from: identifier and class alone (words), or text files beside the images.",
        "각 이미지의 설명을 어디서 가져올지 정합니다. 식별자와 클래스만 쓰거나(words) 이미지 옆의 텍스트 파일을 씁니다.",
        choices={
            WORDS: ("identifier and class only", "식별자와 클래스만"),
            TXT: (".txt files", ".txt 파일"),
            CAPTION: (".caption files", ".caption 파일"),
            OTHER: ("files with another ending", "다른 확장자의 파일"),
        },
        label="Captions",
        label_ko="캡션",
        basic=5,
    )
    caption_extension: str | None = opt(
        None,
        "Ending of the caption files when it is neither .txt nor .caption.",
        "캡션 파일의 확장자가 .txt도 .caption도 아닐 때 적습니다.",
        label="Caption file ending",
        label_ko="캡션 파일 확장자",
    )
    num_repeats: int = opt(
        10,
        "How often each image is used in an epoch.",
        "한 에포크에서 각 이미지를 몇 번 쓸지 정합니다.",
        minimum=1,
        maximum=10000,
        label="Repeats",
        label_ko="반복 횟수",
    )
    reg_dir: str | None = opt(
        None,
        "A folder with pictures of the class without your subject (regularisation images), so that the class stays as it was.",
        "학습 대상이 아닌 같은 클래스의 그림(정규화 이미지) 폴더입니다. 클래스 자체가 변하지 않게 합니다.",
        path="folder",
        label="Regularisation folder",
        label_ko="정규화 이미지 폴더",
        basic=6,
    )
    reg_repeats: int = opt(
        1,
        "How often each regularisation image is used in an epoch.",
        "한 에포크에서 각 정규화 이미지를 몇 번 쓸지 정합니다.",
        minimum=1,
        maximum=10000,
        label="Regularisation repeats",
        label_ko="정규화 이미지 반복 횟수",
    )
    prompts: str | None = opt(
        None,
        (
            "Prompts for the sample pictures, one a line; each may end with --n --w --h --d --l --s. Without a size they "
            "are drawn at the resolution of the training. Empty: identifier and class. A # alone: no samples."
        ),
        (
            "샘플 이미지의 프롬프트를 한 줄에 하나씩 적습니다. 줄 끝에 --n --w --h --d --l --s를 붙일 수 있습니다. 크기를 "
            "적지 않으면 학습 해상도로 그립니다. 비우면 식별자와 클래스를 씁니다. #만 적으면 샘플을 그리지 않습니다."
        ),
        label="Sample prompts",
        label_ko="샘플 프롬프트",
    )


SIMPLE: tuple[Option, ...] = options_of(SimpleOptions, "simple")
SIMPLE_BY_NAME: Mapping[str, Option] = {option.name: option for option in SIMPLE}


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
    simple_values: Mapping[str, Any], option_values: Mapping[str, Any], *, folder: Path = Path(), windows: bool = False
) -> RunFiles:
    """Turn what the page sent into the files of a run that will lie in `folder`.

    Raises InputErrors with everything that is wrong; each names the field of the page or the option.
    """
    errors: list[InputError] = []
    simple = read_simple(simple_values, errors)
    given = dict(option_values)
    given["network_module"] = given.get("network_module") or "networks.lora"
    given["dataset_config"] = str(folder / "dataset.toml")
    given, prompts = filled_in(given, activation_words(simple), simple.prompts)
    if prompts:
        given["sample_prompts"] = str(folder / "prompts.txt")
    options = None
    try:
        options = train_options(given, to_come=("dataset_config", "sample_prompts"))
        if options.dataset.resolution is None:
            advice = "Give the size of the base model: 512 for Stable Diffusion 1, 1024 for XL, 64 for the demo model."
            errors.append(InputError("The training resolution is missing.", field="resolution", advice=advice))
    except InputErrors as wrong:
        errors += wrong.errors
    if errors or options is None:
        raise InputErrors(errors)
    dataset_toml = dataset_text(simple)
    file = located.parse(folder / "dataset.toml", dataset_toml)
    return RunFiles(
        config_toml=config_file.to_toml(options),
        dataset_toml=dataset_toml,
        prompts=prompts,
        command_line=config_file.command_line(config_file.to_arguments(options), windows=windows),
        options=options,
        data=dataset_config.from_file(file, options, check_paths=False),
    )


def split_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The page's values as (values of simple fields, values of options). Unknown names go with the options."""
    simple = {name: value for name, value in values.items() if name in SIMPLE_BY_NAME}
    return simple, {name: value for name, value in values.items() if name not in SIMPLE_BY_NAME}


def activation_words(simple: SimpleOptions) -> str:
    """`sls frog`: what stands for the subject in a prompt."""
    return " ".join(word.strip() for word in (simple.identifier, simple.class_name) if word and word.strip())


def read_simple(values: Mapping[str, Any], errors: list[InputError]) -> SimpleOptions:
    """The checked simple fields; what is wrong is added to `errors` and replaced by the default."""
    read: dict[str, Any] = {}
    for name, raw in values.items():
        option = SIMPLE_BY_NAME.get(name)
        if option is None:
            advice = did_you_mean(name, [*SIMPLE_BY_NAME, *OPTIONS_BY_NAME])
            errors.append(InputError(f"there is no field {name}.", field=name, advice=advice))
            continue
        try:
            read[name] = convert(option, raw, loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=name))
    simple = SimpleOptions(**read)
    errors += [error for error in _problems(simple) if error.field not in {wrong.field for wrong in errors}]
    return simple


def dataset_text(simple: SimpleOptions) -> str:
    """The data set file for checked simple fields. What is the same for all images comes from the configuration file."""
    ending = caption_ending(simple)
    subsets = [_subset(simple.image_dir or "", activation_words(simple), ending, simple.num_repeats)]
    if simple.reg_dir:
        reg = _subset(simple.reg_dir, (simple.class_name or "").strip(), ending, simple.reg_repeats)
        subsets.append({"is_reg": True, **reg})
    return config_file.tables_to_toml({"datasets": [{"subsets": subsets}]})


def caption_ending(simple: SimpleOptions) -> str:
    """The ending of the caption files that are trained; NO_CAPTIONS where identifier and class are every caption."""
    own = simple.caption_extension or ""
    return {WORDS: NO_CAPTIONS, TXT: ".txt", CAPTION: ".caption", OTHER: own}[simple.caption_source]


def _subset(folder: str, words: str, ending: str, repeats: int) -> dict[str, Any]:
    known = {"class_tokens": words} if words else {}
    place = str(user_path(folder).absolute())
    return {"image_dir": place, **known, "caption_extension": ending, "num_repeats": repeats}


def _problems(simple: SimpleOptions) -> list[InputError]:
    """What is wrong with the fields together, and with the folders they name."""
    problems = []
    if not simple.image_dir:
        problems.append(
            InputError("There are no images yet.", field="image_dir", advice="Choose a folder, or drop images here.")
        )
    for field in fields(simple):
        folder = getattr(simple, field.name)
        if SIMPLE_BY_NAME[field.name].path and folder and not is_folder(user_path(folder)):
            found = is_file(user_path(folder))
            what = f"{folder} is a file, not a folder." if found else f"The folder {folder} does not exist."
            advice = "Name the folder that it lies in." if found else "Check the path."
            problems.append(InputError(what, field=field.name, advice=advice))
    if simple.caption_source == WORDS and not activation_words(simple):
        problems.append(
            InputError(
                "Without caption files, identifier and class are the only words the images could be called by.",
                field="identifier",
                advice='Give both, for example "sls" and "frog".',
            )
        )
    if simple.caption_source == OTHER and not (simple.caption_extension or "").strip("."):
        problems.append(
            InputError("The ending of the caption files is missing.", field="caption_extension", advice="Give e.g. .tags.")
        )
    if simple.reg_dir and not (simple.class_name or "").strip():
        problems.append(
            InputError(
                "Regularisation images need a class: it is their caption.", field="class_name", advice='For example "frog".'
            )
        )
    return problems
