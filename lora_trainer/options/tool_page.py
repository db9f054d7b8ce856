"""The tools of the page: THE table from which the page draws its form and the host builds a command line.

A tool's options, their help and their limits are those of its command (`tools`); here stand only which of them the page shows
and what they are called there. Files are chosen from lists of names, so no path comes from the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ..errors import InputError, InputErrors
from .schema import Option, Title, options_of
from .tool_page_texts import CHOICES, HELP, LABELS
from .tools import CheckLora, ConvertLora, ExtractLora, MergeLora, ResizeLora, SplitDylora, SvdMergeLora
from .values import BadValue, convert, did_you_mean

_KINDS = {"model": "lora", "models": "loras", "sd_model": "checkpoint", "model_org": "checkpoint", "model_tuned": "checkpoint"}
_MANY = 32  # LoRA files in one merge
_METHOD, _NUMBER = "dynamic_method", "dynamic_param"  # the one means nothing without the other


@dataclass(frozen=True, kw_only=True)
class PageTool:
    """One tool of the page: `command` with the options `fields` of `declared`, of which `more` are seldom needed.

    `writes` is what its result is: "lora", "checkpoint", or "" when it only tells something. `start` holds what a field of the
    page starts with, where that is not the default.
    """

    name: str
    command: str
    declared: type
    title: Title
    help: Title
    fields: tuple[str, ...]
    required: tuple[str, ...]
    more: tuple[str, ...] = ()
    writes: str = "lora"
    start: Mapping[str, Any] = field(default_factory=dict)

    def options(self) -> list[Option]:
        """The options of its fields, in the order of the fields."""
        known = {option.name: option for option in options_of(self.declared)}
        return [known[name] for name in self.fields]


TOOLS = (
    PageTool(
        name="svd_merge_lora",
        command="svd_merge_lora",
        declared=SvdMergeLora,
        title=Title("Merge LoRAs", "LoRA 병합"),
        help=Title("Several LoRAs become one of the rank you want.", "여러 LoRA를 원하는 랭크의 LoRA 하나로 합칩니다."),
        fields=("models", "new_rank", "new_conv_rank", "kept_energy", "save_precision"),
        required=("models",),
        more=("new_conv_rank", "kept_energy", "save_precision"),
        start={"new_rank": 32, "save_precision": "fp16"},
    ),
    PageTool(
        name="merge_lora",
        command="merge_lora",
        declared=MergeLora,
        title=Title("Join LoRAs exactly", "LoRA 그대로 잇기"),
        help=Title(
            "Nothing is lost: the ranks add up (16 + 16 = 32), and so do the sizes.",
            "잃는 것이 없습니다. 랭크와 파일 크기가 더해집니다 (16 + 16 = 32).",
        ),
        fields=("models", "concat", "save_precision"),
        required=("models",),
        more=("concat", "save_precision"),
        start={"concat": True, "save_precision": "fp16"},
    ),
    PageTool(
        name="merge_into_checkpoint",
        command="merge_lora",
        declared=MergeLora,
        title=Title("Merge into a checkpoint", "체크포인트에 병합"),
        help=Title("A new checkpoint with the LoRAs built in.", "LoRA를 합친 새 체크포인트를 만듭니다."),
        fields=("sd_model", "models", "save_precision"),
        required=("sd_model", "models"),
        more=("save_precision",),
        writes="checkpoint",
        start={"save_precision": "fp16"},
    ),
    PageTool(
        name="resize_lora",
        command="resize_lora",
        declared=ResizeLora,
        title=Title("Change the rank", "랭크 바꾸기"),
        help=Title("A smaller file that does nearly the same.", "효과는 거의 같고 크기는 더 작은 파일을 만듭니다."),
        fields=("model", "new_rank", "new_conv_rank", "dynamic_method", "dynamic_param", "save_precision"),
        required=("model",),
        more=("new_conv_rank", "dynamic_method", "dynamic_param", "save_precision"),
        start={"new_rank": 16},
    ),
    PageTool(
        name="extract_lora_from_models",
        command="extract_lora_from_models",
        declared=ExtractLora,
        title=Title("Extract from two checkpoints", "두 체크포인트에서 추출"),
        help=Title("The difference of two checkpoints as a LoRA.", "두 체크포인트의 차이를 LoRA로 만듭니다."),
        fields=("model_org", "model_tuned", "dim", "conv_dim", "save_precision"),
        required=("model_org", "model_tuned"),
        more=("conv_dim", "save_precision"),
        start={"dim": 32, "save_precision": "fp16"},
    ),
    PageTool(
        name="extract_lora_from_dylora",
        command="extract_lora_from_dylora",
        declared=SplitDylora,
        title=Title("Split a DyLoRA", "DyLoRA 나누기"),
        help=Title("The smaller LoRAs inside it, one file a rank.", "안에 든 작은 LoRA들을 랭크마다 파일 하나로 꺼냅니다."),
        fields=("model", "unit", "save_precision"),
        required=("model", "unit"),
        more=("save_precision",),
    ),
    PageTool(
        name="convert_lora",
        command="convert_lora",
        declared=ConvertLora,
        title=Title("Convert the names", "키 이름 변환"),
        help=Title(
            "For use in other programs, or from them.", "다른 프로그램에서 쓰거나 다른 프로그램의 파일을 가져올 때 씁니다."
        ),
        fields=("model", "to", "save_precision"),
        required=("model",),
        more=("save_precision",),
    ),
    PageTool(
        name="check_lora",
        command="check_lora",
        declared=CheckLora,
        title=Title("Check a file", "파일 검사"),
        help=Title("What is in it, and what is wrong with it.", "무엇이 들어 있고 무엇이 잘못되었는지 봅니다."),
        fields=("model", "sd_model"),
        required=("model",),
        writes="",
    ),
)


def page_tools(language: str) -> list[dict[str, Any]]:
    """The tools in `language` ("en" or "ko"), JSON-able: {name, title, help, writes, fields}. A field is {name, label, kind,
    help, choices: [{value, label}], value, required, more}; kind is lora, loras (with a ratio each), checkpoint, toggle, choice
    or number; `more` says that it is seldom needed."""
    place = 1 if language == "ko" else 0
    return [
        {
            "name": tool.name,
            "title": tool.title[place],
            "help": tool.help[place],
            "writes": tool.writes,
            "fields": [_field(tool, option, place) for option in tool.options()],
        }
        for tool in TOOLS
    ]


def _field(tool: PageTool, option: Option, place: int) -> dict[str, Any]:
    kind = "choice" if option.choices else "toggle" if option.kind == "bool" else "number"
    said = HELP.get((tool.name, option.name)) or HELP.get(option.name)
    return {
        "name": option.name,
        "label": LABELS[option.name][place],
        "kind": _KINDS.get(option.name, kind),
        "help": said[place] if said else option.help_in(("en", "ko")[place]),
        "choices": [
            {"value": value, "label": CHOICES[value][place] if value in CHOICES else value} for value in option.choices
        ],
        "value": tool.start.get(option.name, option.default),
        "required": option.name in tool.required,
        "more": option.name in tool.more,
    }


def tool_named(name: Any) -> PageTool:
    """The tool of the page called `name`. Raises InputError."""
    found = next((tool for tool in TOOLS if tool.name == name), None)
    if found is None:
        names = [tool.name for tool in TOOLS]
        raise InputError(f"there is no tool {name!r}.", field="tool", advice=f"The tools are: {', '.join(names)}.")
    return found


def arguments(tool: PageTool, values: Mapping[str, Any], files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    """The words of `tool`'s command line for the page's `values`, without --save_to.

    files: {"lora": {name: path}, "checkpoint": {name: path}}, all that can be chosen. A value of kind "loras" is a list of
    {"name", "ratio"}. Raises InputErrors with everything that is wrong.
    """
    words: list[str] = []
    errors = [
        InputError("this tool has no such field.", field=name, advice=did_you_mean(name, tool.fields))
        for name in values
        if name not in tool.fields
    ]
    for option in tool.options():
        given = values.get(option.name)
        try:
            if not given and option.name in tool.required:
                raise BadValue("Nothing is chosen here.")
            words += _words(tool, option, given, files)
        except BadValue as problem:
            errors.append(InputError(str(problem), field=option.name))
    if values.get(_METHOD) and values.get(_NUMBER) in (None, ""):
        advice = "For example 0.95, or 20 for sv_ratio."
        errors.append(InputError("The method above needs a number.", field=_NUMBER, advice=advice))
    if errors:
        raise InputErrors(errors)
    return words


def _words(tool: PageTool, option: Option, given: Any, files: Mapping[str, Mapping[str, Path]]) -> list[str]:
    kind = _KINDS.get(option.name)
    if kind == "loras":
        return _ratios(tool, given, files["lora"])
    if kind is not None:
        return [f"--{option.name}", str(_file(given, files[kind]))] if given else []
    value = convert(option, given, loose=True)
    if value == option.default or value is None:
        return []
    return [f"--{option.name}"] if value is True else [f"--{option.name}", _number(value)]


def _ratios(tool: PageTool, given: Any, loras: Mapping[str, Path]) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise BadValue('A list of {"name", "ratio"} is expected.')
    if len(given) > _MANY:
        raise BadValue(f"At most {_MANY} files can be merged at once.")
    ratio = next(option for option in options_of(tool.declared) if option.name == "ratios")
    paths = [str(_file(one.get("name"), loras)) for one in given]
    numbers = [convert(ratio, [one.get("ratio", "")], loose=True) for one in given]
    return ["--models", *paths, "--ratios", *(_number(one[0]) for one in numbers)]


def _file(name: Any, known: Mapping[str, Path]) -> Path:
    if not isinstance(name, str) or name not in known:
        raise BadValue(f"There is no file {name!r} in the list." if name else "Nothing is chosen here.")
    return known[name]


def _number(value: Any) -> str:
    """As it is typed: 0.00001 and not 1e-05, which a command line does not take with a minus."""
    return format(Decimal(repr(value)), "f") if isinstance(value, float) else str(value)
