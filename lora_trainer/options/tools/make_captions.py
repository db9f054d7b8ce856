"""`make_captions` and `make_captions_by_git`: options, and what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from . import captioning
from .captioning import Captioning
from .declaring import PageTool, Shown, Tool

BLIP, GIT = "Salesforce/blip-image-captioning-large", "microsoft/git-large-textcaps"


@dataclass(frozen=True, kw_only=True)
class MakeCaptions(Captioning):
    """make_captions."""

    TITLE: ClassVar[Title] = Title("BLIP captions", "BLIP 캡션")

    caption_weights: str = opt(
        BLIP,
        "The BLIP model in the form of transformers: a folder, or its name on Hugging Face.",
        "transformers 형식의 BLIP 모델입니다. 폴더나 Hugging Face의 이름을 적습니다.",
        label="BLIP model",
        label_ko="BLIP 모델",
    )
    caption_extension: str = opt(
        ".caption",
        "Ending of the caption files.",
        "캡션 파일의 확장자입니다.",
        label="Ending of the caption files",
        label_ko="캡션 파일 확장자",
    )
    beam_search: bool = opt(
        False,
        "Take the likeliest sentence, found by beam search, instead of drawing one (nucleus sampling).",
        "문장을 무작위로 뽑는 대신(nucleus sampling) 빔 서치로 가장 그럴듯한 문장을 고릅니다.",
        label="The likeliest sentence",
        label_ko="가장 그럴듯한 문장",
    )
    num_beams: int = opt(
        1,
        "Beams of the beam search; more is better and slower.",
        "빔 서치의 빔 수입니다. 많으면 좋아지지만 느립니다.",
        minimum=1,
        maximum=64,
        label="Beams",
        label_ko="빔 수",
    )
    top_p: float = opt(
        0.9,
        "Draw among the likeliest words that have this share together; lower is safer and less varied.",
        "합친 확률이 이 값이 되는 그럴듯한 단어 가운데서 뽑습니다. 낮추면 무난하고 단조로워집니다.",
        above=0.0,
        maximum=1.0,
    )
    max_length: int = opt(
        75,
        "Tokens of a caption at most.",
        "캡션의 최대 토큰 수입니다.",
        minimum=1,
        maximum=500,
        label="Longest caption (tokens)",
        label_ko="최대 길이 (토큰)",
    )
    min_length: int = opt(5, "Tokens of a caption at least.", "캡션의 최소 토큰 수입니다.", minimum=0, maximum=500)
    seed: int = opt(
        42,
        "Where drawing begins: the same number gives the same captions, each picture its own, however many there are.",
        "난수 시드입니다. 같은 수는 이미지마다 같은 캡션을 만들며, 이미지가 몇 장이든 달라지지 않습니다.",
        minimum=0,
    )


@dataclass(frozen=True, kw_only=True)
class MakeCaptionsByGit(Captioning):
    """make_captions_by_git."""

    TITLE: ClassVar[Title] = Title("GIT captions", "GIT 캡션")

    model_id: str = opt(
        GIT,
        "The GIT model in the form of transformers: a folder, or its name on Hugging Face.",
        "transformers 형식의 GIT 모델입니다. 폴더나 Hugging Face의 이름을 적습니다.",
        label="GIT model",
        label_ko="GIT 모델",
    )
    caption_extension: str = opt(
        ".caption",
        "Ending of the caption files.",
        "캡션 파일의 확장자입니다.",
        label="Ending of the caption files",
        label_ko="캡션 파일 확장자",
    )
    max_length: int = opt(
        50,
        "Tokens of a caption at most.",
        "캡션의 최대 토큰 수입니다.",
        minimum=1,
        maximum=500,
        label="Longest caption (tokens)",
        label_ko="최대 길이 (토큰)",
    )
    remove_words: bool = opt(
        False,
        "Leave out what the model claims to read in the picture (with the words ..., that says ...).",
        "모델이 그림에서 읽었다고 하는 글자 표현(with the words ..., that says ...)을 뺍니다.",
        label="Without what it claims to read",
        label_ko="읽었다고 하는 글자 빼기",
    )


TOOL = Tool(
    "make_captions",
    "describe pictures in sentences (BLIP)",
    "lora_trainer.captioning.blip:main",
    MakeCaptions,
    pages=(
        PageTool(
            name="make_captions",
            title=Title("Sentences (BLIP)", "문장 (BLIP)"),
            help=Title(
                "Looks at pictures and writes a sentence beside each: a woman with a red hat. Best for photos.",
                "이미지를 보고 a woman with a red hat 같은 문장을 옆에 씁니다. 사진에 좋습니다.",
            ),
            writes="captions",
            shown=(
                captioning.FOLDER,
                captioning.EXISTING,
                Shown("beam_search", start=True),
                Shown("num_beams", start=3),
                Shown("max_length", more=True),
                Shown("caption_weights", kind="hub", more=True),
                *captioning.REST_AS_TEXT,
            ),
        ),
    ),
)
BY_GIT = Tool(
    "make_captions_by_git",
    "describe pictures in sentences (GIT)",
    "lora_trainer.captioning.git:main",
    MakeCaptionsByGit,
    pages=(
        PageTool(
            name="make_captions_by_git",
            title=Title("Sentences (GIT)", "문장 (GIT)"),
            help=Title(
                "The same by another model: shorter sentences; it reads signs and titles, at times ones that are not there.",
                "다른 모델로 하는 같은 일입니다. 문장이 더 짧고 그림 속 글자도 읽지만, 없는 글자를 지어낼 때가 있습니다.",
            ),
            writes="captions",
            shown=(
                captioning.FOLDER,
                captioning.EXISTING,
                Shown("remove_words", start=True),
                Shown("max_length", more=True),
                Shown("model_id", kind="hub", more=True),
                *captioning.REST_AS_TEXT,
            ),
        ),
    ),
)
