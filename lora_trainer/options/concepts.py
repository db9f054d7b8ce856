"""What is learned, as the page asks for it: concepts, each a folder of pictures, its words and its regularisation pictures.

The first concept's values stand beside the page's others (`image_dir`, ...); those of further ones are tables in `concepts`.
A value of one has a dotted name wherever it is spoken of: `concepts.0.image_dir`, `settings.keep_tokens`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ..errors import InputError
from ..foreign.reading import is_file, is_folder
from ..paths import user_path
from .data_spec import NO_CAPTIONS
from .dataset_keys import KEYS, SUBSET
from .schema import Option, Title, opt, options_of
from .values import BadValue, convert, did_you_mean

WORDS, TXT, CAPTION, OTHER, METADATA = "words", "txt", "caption", "other", "metadata"
FURTHER, SETTINGS = "concepts", "settings"  # names of what holds tables
MOST = 100  # concepts
# Keys of a subset that stand in fields of their own, or that a concept cannot hold.
_NOT_SETTINGS = {
    "image_dir", "num_repeats", "class_tokens", "is_reg", "caption_extension", "metadata_file", "custom_attributes",
}  # fmt: skip
SETTING_NAMES = tuple(
    name for name, key in KEYS.items() if SUBSET in key.levels and key.option.supported and name not in _NOT_SETTINGS
)
"""The keys of a data set file that a concept can have a value of its own for; where it has none, the training's counts."""


@dataclass(frozen=True, kw_only=True)
class Concept:
    """What the page asks for of one concept."""

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
        (
            "Where the description of each image comes from: identifier and class alone (words), text files beside the images, "
            "or a metadata file that names images with their captions and tags."
        ),
        (
            "각 이미지의 설명을 어디서 가져올지 정합니다. 식별자와 클래스만 쓰거나(words), 이미지 옆의 텍스트 파일이나 "
            "이미지마다 캡션과 태그를 적은 메타데이터 파일을 씁니다."
        ),
        choices={
            WORDS: ("identifier and class only", "식별자와 클래스만"),
            TXT: (".txt files", ".txt 파일"),
            CAPTION: (".caption files", ".caption 파일"),
            OTHER: ("files with another ending", "다른 확장자의 파일"),
            METADATA: ("a metadata file", "메타데이터 파일"),
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
    metadata_file: str | None = opt(
        None,
        "The metadata file (.json). Only the images that it names are trained, each with its caption and its tags.",
        "메타데이터 파일(.json)입니다. 이 파일에 적힌 이미지만, 적힌 캡션과 태그로 학습합니다.",
        path="file",
        label="Metadata file",
        label_ko="메타데이터 파일",
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
    settings: dict[str, Any] | None = opt(
        None,
        "Options of this concept's pictures that differ from those of the training, by their names in a data set file.",
        "이 콘셉트의 이미지에만 다르게 적용할 옵션입니다. 데이터 세트 파일의 이름으로 적습니다.",
        label="Options of this concept",
        label_ko="이 콘셉트의 옵션",
    )
    is_off: bool = opt(
        False,
        "The concept is kept in the form and in the run's recipe, but not trained.",
        "이 콘셉트를 설정과 학습 기록에는 남겨 두고 학습하지는 않습니다.",
        label="Leave it out",
        label_ko="학습에서 제외",
    )


FIELDS: tuple[Option, ...] = options_of(Concept, "simple")
FIELDS_BY_NAME: Mapping[str, Option] = {option.name: option for option in FIELDS}


PATHS: Mapping[str, str] = {option.name: option.path for option in FIELDS if option.path} | {
    name: KEYS[name].option.path for name in SETTING_NAMES if KEYS[name].option.path
}
"""What of a concept names files or folders, and of which kind (see schema.Option)."""


def plain_name(name: str) -> str:
    """`image_dir` of `concepts.0.image_dir`."""
    return name.rpartition(".")[2]


def read_concept(values: Mapping[str, Any], prefix: str, errors: list[InputError]) -> Concept:
    """The checked values of one concept; what is wrong is added to `errors` (their fields begin with `prefix`) and replaced by
    the default."""
    return Concept(**read_fields(FIELDS_BY_NAME, values, prefix, errors))


def read_fields(
    known: Mapping[str, Option],
    values: Mapping[str, Any],
    prefix: str,
    errors: list[InputError],
    others: Iterable[str] = (),
) -> dict[str, Any]:
    """The converted values of `known` fields; `others` are names that may have been meant by one that is not known."""
    read: dict[str, Any] = {}
    for name, raw in values.items():
        option = known.get(name)
        if option is None:
            advice = did_you_mean(name, [*known, *others])
            errors.append(InputError(f"there is no field {name}.", field=f"{prefix}{name}", advice=advice))
            continue
        try:
            read[name] = convert(option, raw, loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=f"{prefix}{name}"))
    if read.get(SETTINGS):
        read[SETTINGS] = _read_settings(read[SETTINGS], f"{prefix}{SETTINGS}.", errors)
    return read


def _read_settings(values: Mapping[str, Any], prefix: str, errors: list[InputError]) -> dict[str, Any]:
    read: dict[str, Any] = {}
    for name, raw in values.items():
        if name not in SETTING_NAMES:
            advice = did_you_mean(name, SETTING_NAMES)
            errors.append(InputError(f"{name} is no option of a concept.", field=f"{prefix}{name}", advice=advice))
            continue
        try:
            value = convert(KEYS[name].option, raw, loose=True)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=f"{prefix}{name}"))
            continue
        if value is not None:
            read[name] = list(value) if isinstance(value, tuple) else value
    return read


def words_of(concept: Concept) -> str:
    """`sls frog`: what stands for the subject in a prompt."""
    return " ".join(word.strip() for word in (concept.identifier, concept.class_name) if word and word.strip())


def caption_ending(concept: Concept) -> str:
    """The ending of the caption files that are trained; NO_CAPTIONS where none are."""
    endings = {TXT: ".txt", CAPTION: ".caption", OTHER: concept.caption_extension or ""}
    return endings.get(concept.caption_source, NO_CAPTIONS)


def metadata_of(concept: Concept) -> Path | None:
    """The metadata file that its captions come from, where they do; whole, as the worker has another current folder."""
    if concept.caption_source != METADATA or not concept.metadata_file:
        return None
    return user_path(concept.metadata_file).absolute()


def subsets_of(concept: Concept) -> list[dict[str, Any]]:
    """The tables of a data set file for one concept: its pictures, and its regularisation pictures."""
    ending = caption_ending(concept)
    own = _subset(concept.image_dir or "", words_of(concept), ending, concept.num_repeats)
    metadata = metadata_of(concept)
    if metadata:
        own = {"image_dir": own["image_dir"], "metadata_file": str(metadata), "num_repeats": concept.num_repeats}
    subsets = [{**own, **_with_whole_paths(concept.settings or {})}]
    if concept.reg_dir:
        reg = _subset(concept.reg_dir, (concept.class_name or "").strip(), ending, concept.reg_repeats)
        subsets.append({"is_reg": True, **reg})
    return subsets


def _with_whole_paths(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Paths relative to this program's folder made absolute: the worker has another current folder."""
    return {name: str(user_path(value).absolute()) if name in PATHS and value else value for name, value in settings.items()}


def _subset(folder: str, words: str, ending: str, repeats: int) -> dict[str, Any]:
    known = {"class_tokens": words} if words else {}
    place = str(user_path(folder).absolute())
    return {"image_dir": place, **known, "caption_extension": ending, "num_repeats": repeats}


def problems(concept: Concept, prefix: str) -> list[InputError]:
    """What is wrong with the values of a concept together, and with the folders it names."""
    found = []

    def add(message: str, field: str, advice: str) -> None:
        found.append(InputError(message, field=f"{prefix}{field}", advice=advice))

    if not concept.image_dir:
        add("There are no images yet.", "image_dir", "Choose a folder, or drop images here.")
    for name, folder in paths_of(concept):
        if not is_folder(user_path(folder)):
            is_there = is_file(user_path(folder))
            what = f"{folder} is a file, not a folder." if is_there else f"The folder {folder} does not exist."
            add(what, name, "Name the folder that it lies in." if is_there else "Check the path.")
    if concept.caption_source == WORDS and not words_of(concept):
        what = "Without caption files, identifier and class are the only words the images could be called by."
        add(what, "identifier", 'Give both, for example "sls" and "frog".')
    if concept.caption_source == OTHER and not (concept.caption_extension or "").strip("."):
        add("The ending of the caption files is missing.", "caption_extension", "Give e.g. .tags.")
    metadata = metadata_of(concept)
    if concept.caption_source == METADATA and not metadata:
        add("The metadata file is missing.", "metadata_file", "Give its whole path, for example of a meta.json.")
    if metadata and not is_file(metadata):
        what = f"{metadata} is a folder, not a file." if is_folder(metadata) else f"The file {metadata} does not exist."
        add(what, "metadata_file", "Check the path.")
    if concept.reg_dir and not (concept.class_name or "").strip():
        add("Regularisation images need a class: it is their caption.", "class_name", 'For example "frog".')
    return found


def paths_of(concept: Concept) -> Iterator[tuple[str, str]]:
    """(name, folder) of the folders that a concept names."""
    for option in FIELDS:
        folder = getattr(concept, option.name)
        if option.path == "folder" and folder:
            yield option.name, folder
    for name, value in (concept.settings or {}).items():
        if KEYS[name].option.path == "folder" and value:
            yield f"{SETTINGS}.{name}", str(value)


# -- values as the page sends them, which nobody has checked yet ------------------------------------------------------


def raw_concepts(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(prefix of its names, its table) of each concept; what is no table is left out. The first one's are among `values`."""
    yield "", values
    further = values.get(FURTHER)
    for number, one in enumerate(further if isinstance(further, (list, tuple)) else ()):
        if isinstance(one, Mapping):
            yield f"{FURTHER}.{number}.", one


def named_values(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of everything that the tables in `values` hold, but not of what stands in `values` itself."""
    for prefix, table in raw_concepts(values):
        own = table.get(SETTINGS)
        yield from ((f"{prefix}{SETTINGS}.{name}", value) for name, value in (own if isinstance(own, Mapping) else {}).items())
        if prefix:
            yield from ((f"{prefix}{name}", value) for name, value in table.items() if name != SETTINGS)


def value_at(values: Mapping[str, Any], name: str) -> Any:
    """The value of a dotted name, None where there is none."""
    return dict(named_values(values)).get(name, values.get(name))


def changed(values: Mapping[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    """The same with `change(plain name, value)` in place of each value, in the tables, too."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        if name == SETTINGS and isinstance(value, Mapping):
            made[name] = changed(value, change)
        elif name == FURTHER and isinstance(value, (list, tuple)):
            made[name] = [changed(one, change) if isinstance(one, Mapping) else one for one in value]
        else:
            made[name] = change(name, value)
    return made


def without(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The same without what has this dotted name; a concept without its pictures is switched off."""
    head, _, rest = name.partition(".")
    made = dict(values)
    if not rest:
        made.pop(name, None)
        return {**made, "is_off": True} if name == "image_dir" else made
    inner = made.get(head)
    if isinstance(inner, Mapping):
        made[head] = without(inner, rest)
    elif isinstance(inner, (list, tuple)):
        number, _, field = rest.partition(".")
        made[head] = [
            without(one, field) if str(at) == number and isinstance(one, Mapping) and field else one
            for at, one in enumerate(inner)
        ]
    return made
