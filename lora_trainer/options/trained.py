"""What is trained: a network on the model, or the vectors of a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt

NETWORK, EMBEDDING = "network", "embedding"


@dataclass(frozen=True, kw_only=True)
class TrainedOptions:
    """The kind of training, and what belongs to the kinds that are no network."""

    TITLE: ClassVar[Title] = Title("What is trained", "무엇을 학습할까")

    trains: str = opt(
        NETWORK,
        (
            "What is trained. A LoRA learns new things in the model. An embedding (textual inversion) changes nothing in it: "
            "it finds vectors for a word, a file of a few kilobytes, for what the model can draw but has no word for."
        ),
        (
            "무엇을 학습할지 정합니다. LoRA는 모델에 새로운 것을 가르칩니다. 임베딩(textual inversion)은 모델을 바꾸지 않고 "
            "단어 하나의 벡터만 찾으며 파일이 몇 킬로바이트입니다. 모델이 그릴 수 있지만 부를 단어가 없는 것에 알맞습니다."
        ),
        choices={NETWORK: ("A LoRA", "LoRA"), EMBEDDING: ("An embedding (textual inversion)", "임베딩 (textual inversion)")},
        label="What is trained",
        label_ko="무엇을 학습할까",
        ours="the reference has a script for each kind of training; train_textual_inversion sets it",
    )
    token_string: str | None = opt(
        None,
        (
            "The word that the embedding is for. Captions have to hold it. In the Web UI the word is the file's name: give "
            "both the same."
        ),
        "임베딩이 나타낼 단어입니다. 캡션에 이 단어가 있어야 합니다. Web UI에서는 파일 이름이 단어이므로 둘을 같게 하세요.",
        label="Word of the embedding",
        label_ko="임베딩의 단어",
    )
    init_word: str | None = opt(
        None,
        "A word of the model whose vectors the new word begins with, the closest there is: cat for a certain cat.",
        "새 단어가 시작할 모델의 단어입니다. 가장 가까운 것을 고르세요. 예를 들어 어떤 고양이라면 cat입니다.",
        label="Begins as the word",
        label_ko="시작 단어",
    )
    num_vectors_per_token: int = opt(
        1,
        (
            "How many vectors the word has. More hold more detail, and take as many of a prompt's 75 tokens; 1 to 8 are "
            "usual, the more the more pictures there are."
        ),
        (
            "단어가 가지는 벡터의 수입니다. 많을수록 자세히 담지만 프롬프트의 75토큰 중 그만큼을 차지합니다. 보통 1에서 8이며 "
            "그림이 많을수록 늘립니다."
        ),
        minimum=1,
        maximum=75,
        label="Vectors of the word",
        label_ko="단어의 벡터 수",
    )
    weights: str | None = opt(
        None,
        "An embedding file to go on training from.",
        "이어서 학습할 임베딩 파일입니다.",
        path="file",
        label="Go on from an embedding",
        label_ko="이어서 학습할 임베딩",
    )
    use_object_template: bool = opt(
        False,
        'Train with sentences for an object, such as "a photo of a WORD", in the place of the pictures\' captions.',
        '그림의 캡션 대신 "a photo of a 단어"처럼 사물에 맞는 문장으로 학습합니다.',
        label="Sentences for an object",
        label_ko="사물용 문장",
    )
    use_style_template: bool = opt(
        False,
        'Train with sentences for a style, such as "a painting in the style of WORD", in the place of the pictures\' captions.',
        '그림의 캡션 대신 "a painting in the style of 단어"처럼 화풍에 맞는 문장으로 학습합니다.',
        label="Sentences for a style",
        label_ko="화풍용 문장",
    )
