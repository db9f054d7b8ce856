"""What a tool is, as the command line, the page and the host see it: the words of its file in this room are made of these.

Everything that is said of an option stands in its `opt(...)`, its name on the page too; `Shown` is what a page says besides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from ..schema import Option, Title, opt, options_of

PRECISIONS = ("float", "fp16", "bf16")


@dataclass(frozen=True)
class Shown:
    """An option on the page: its help there (None: that of the declaration) and `choices`' names, where they need one.

    `kind` is lora, loras (with a ratio each) or checkpoint for options that name files, which the page has lists of; folder,
    path, written (a file to write) or hub (a model's folder, or its name on Hugging Face) for what a person types. `more` is
    seldom needed. `start` is what the page starts with where that is not the default. `below` names the field of a LoRA file
    whose rank this one, a rank, is to stay below: half of it is proposed.
    """

    name: str
    kind: str = ""
    required: bool = False
    more: bool = False
    start: Any = None
    below: str = ""
    help: Title | None = None
    choices: Mapping[str, Title] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class PageTool:
    """One tool of the page: a command with some of its options.

    `writes` is what its result is: "lora", "checkpoint", "captions" beside pictures, "metadata" (a file that the page names),
    "removal" of files that it finds (they are gone then), or "" when it only tells something.
    `confirm` is asked before it starts, unless its field `harmless` is on: a question, and what the button says.
    `suggest` makes the result's name
    until the person writes one: its parts, each with a field's value, are joined; none is made while the first one is empty.
    `package` is one of installing.extras that it needs. `command` and `declared` are those of the Tool that it belongs to.
    """

    name: str
    title: Title
    help: Title
    shown: tuple[Shown, ...]
    writes: str = "lora"
    suggest: tuple[str, ...] = ()
    package: str = ""
    confirm: tuple[Title, Title] | None = None
    harmless: str = ""
    command: str = ""
    declared: type = object

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of its options."""
        return tuple(one.name for one in self.shown)

    @property
    def required(self) -> tuple[str, ...]:
        """The names of those that have to be given."""
        return tuple(one.name for one in self.shown if one.required)

    def options(self) -> list[tuple[Shown, Option]]:
        """What is shown, with its declaration."""
        known = {option.name: option for option in options_of(self.declared)}
        return [(one, known[one.name]) for one in self.shown]


@dataclass(frozen=True)
class Tool:
    """One command: what it is for, `module:function` of its code, its options (`declared`), and what the page makes of it.

    `declared.REQUIRED` are the options that must be given, `POSITIONAL` those that may be given without their name, in this
    order. Option names are those of kohya-ss' scripts where they have the option.
    """

    command: str
    purpose: str
    target: str
    declared: type
    pages: tuple[PageTool, ...] = ()

    def page_tools(self) -> list[PageTool]:
        """Its tools of the page."""
        return [replace(page, command=self.command, declared=self.declared) for page in self.pages]


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a tool writes."""

    TITLE: ClassVar[Title] = Title("Result", "결과")
    REQUIRED: ClassVar[tuple[str, ...]] = ("save_to",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ()

    save_to: str | None = opt(
        None,
        "The file to write; its ending (.safetensors, .ckpt) chooses the format.",
        "저장할 파일입니다. 확장자(.safetensors, .ckpt)가 형식을 정합니다.",
        path="any",
    )
    overwrite: bool = opt(
        False,
        "Replace a file that is there already. An input is never replaced.",
        "이미 있는 파일을 덮어씁니다. 입력 파일은 덮어쓰지 않습니다.",
    )
    save_precision: str | None = opt(
        None,
        "Number format of the result; left out, that of the calculation.",
        "결과의 숫자 형식입니다. 생략하면 계산에 쓴 형식입니다.",
        choices=PRECISIONS,
        label="Number format",
        label_ko="숫자 형식",
    )


def models_option(help: str, ko: str) -> Any:
    """LoRA files."""
    return opt(None, help, ko, path="files", label="LoRAs and how strongly each goes in", label_ko="LoRA와 각각의 비율")


def ratios_option() -> Any:
    """One number for each of the LoRA files."""
    return opt(
        None,
        "How strongly each of the models goes in, one number a model; may be negative.",
        "각 모델을 얼마나 세게 합칠지 모델마다 하나씩 적습니다. 음수도 됩니다.",
    )


def device_option() -> Any:
    """Where decompositions are computed."""
    return opt("cpu", "Where to compute: cpu, cuda, cuda:1.", "계산할 장치입니다: cpu, cuda, cuda:1.")


def no_metadata_option() -> Any:
    """Whether the result says where it comes from."""
    return opt(
        False,
        "Write only the metadata that programs need to use the file.",
        "파일을 쓰는 데 꼭 필요한 메타데이터만 저장합니다.",
    )


def models_shown() -> Shown:
    """The field `models` of a page, with a ratio for each file."""
    return Shown(
        "models",
        kind="loras",
        required=True,
        help=Title(
            "1 takes a LoRA as it is, 0.5 half as strongly; a number below 0 takes it away.",
            "1은 그대로, 0.5는 절반의 세기이며, 음수는 그 LoRA를 뺍니다.",
        ),
    )


def precision(start: str | None = None) -> Shown:
    """The field `save_precision` of a page."""
    return Shown(
        "save_precision",
        more=True,
        start=start,
        help=Title(
            "fp16 is half the size, and what most LoRAs have. Left as it is: that of the file, or float.",
            "fp16은 크기가 절반이며 대부분의 LoRA가 쓰는 형식입니다. 정하지 않으면 원래 파일의 형식이나 float입니다.",
        ),
        choices={
            "float": Title("float (exact, twice the size)", "float (정확, 크기 두 배)"),
            "bf16": Title("bf16 (half the size, coarser)", "bf16 (절반 크기, 덜 정밀)"),
            "fp16": Title("fp16 (half the size)", "fp16 (절반 크기)"),
        },
    )
