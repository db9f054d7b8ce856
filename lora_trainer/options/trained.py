"""What is trained: a network on the model, the vectors of a word, or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt

NETWORK, EMBEDDING, PIVOTAL = "network", "embedding", "pivotal"
WITH_NETWORK = (NETWORK, PIVOTAL)  # the kinds that put a network on the model
WITH_WORD = (EMBEDDING, PIVOTAL)  # the kinds that teach it a word
BUNDLED, BESIDE = "bundled", "beside"


@dataclass(frozen=True, kw_only=True)
class TrainedOptions:
    """The kind of training, and what belongs to the kinds that are no network."""

    TITLE: ClassVar[Title] = Title("What is trained", "무엇을 학습할까")

    trains: str = opt(
        NETWORK,
        (
            "What is trained. A LoRA teaches the model new things and is what most need: a file of 10 to 200 MB. An embedding "
            "(textual inversion) changes nothing in the model: it finds vectors for a word, a file of a few kilobytes, for "
            "what the model can draw but has no word for; it takes about as much memory as a LoRA of low rank. A LoRA and a "
            "word (pivotal tuning) learns both together, for what needs a name of its own and changes in the model too, such "
            "as a certain person: file and memory are a LoRA's, and a step takes a little longer."
        ),
        (
            "무엇을 학습할지 정합니다. LoRA는 모델에 새로운 것을 가르치며 대부분 이것이면 됩니다. 파일은 10~200MB입니다. "
            "임베딩(textual inversion)은 모델을 바꾸지 않고 단어 하나의 벡터만 찾으며 파일이 몇 킬로바이트입니다. 모델이 그릴 "
            "수 있지만 부를 단어가 없는 것에 알맞고, 메모리는 낮은 랭크의 LoRA만큼 듭니다. LoRA와 단어(pivotal tuning)는 "
            "둘을 함께 배웁니다. 특정 인물처럼 자기 이름도 필요하고 모델도 바뀌어야 하는 것에 알맞습니다. 파일과 메모리는 "
            "LoRA와 같고 한 스텝이 조금 더 걸립니다."
        ),
        choices={
            NETWORK: ("A LoRA", "LoRA"),
            EMBEDDING: ("An embedding (textual inversion)", "임베딩 (textual inversion)"),
            PIVOTAL: ("A LoRA and a word (pivotal tuning)", "LoRA와 단어 (pivotal tuning)"),
        },
        label="What is trained",
        label_ko="무엇을 학습할까",
        ours="the reference has a script for each kind of training; train_textual_inversion sets it",
    )
    token_string: str | None = opt(
        None,
        (
            "The word that is learned. Captions have to hold it. In the Web UI the word of an embedding is the file's name: "
            "give both the same. With a LoRA it is known while the LoRA is in the prompt."
        ),
        (
            "학습할 단어입니다. 캡션에 이 단어가 있어야 합니다. Web UI에서 임베딩의 단어는 파일 이름이므로 둘을 같게 하세요. "
            "LoRA와 함께 배운 단어는 프롬프트에 그 LoRA가 있는 동안 쓸 수 있습니다."
        ),
        label="Word that is learned",
        label_ko="학습할 단어",
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
    embedding_lr: float | None = opt(
        None,
        (
            "Learning rate of the word that is trained with a LoRA. Left out, it is ten times learning_rate; with optimizers "
            "that find their rate, the same."
        ),
        (
            "LoRA와 함께 학습하는 단어의 학습률입니다. 비우면 learning_rate의 열 배이고, 학습률을 스스로 찾는 옵티마이저에서는 "
            "그와 같습니다."
        ),
        above=0,
        label="Learning rate of the word",
        label_ko="단어의 학습률",
        ours="pivotal tuning is no kind of training there",
    )
    stop_embedding_training: int | float | None = opt(
        None,
        (
            "From which step on the word stays as it is, while the LoRA learns on: a number of steps, or below 1 a share of "
            "all (0.5: half of them)."
        ),
        (
            "몇 스텝 뒤부터 단어를 고정하고 LoRA만 계속 학습할지 정합니다. 스텝 수이거나, 1보다 작으면 전체에 대한 비율입니다"
            "(0.5는 절반)."
        ),
        above=0,
        label="The word stays from step",
        label_ko="단어를 고정할 스텝",
        ours="pivotal tuning is no kind of training there",
    )
    save_embedding: str = opt(
        BUNDLED,
        (
            "Where the word of a LoRA is saved. In the LoRA's file, from which the Web UI reads it; other programs (Forge, "
            "ComfyUI) want an embedding of its own, which is saved as NAME_emb beside the LoRA."
        ),
        (
            "LoRA와 함께 배운 단어를 저장할 곳입니다. LoRA 파일 안에 넣으면 Web UI가 그대로 읽습니다. 다른 프로그램(Forge, "
            "ComfyUI)에는 따로 된 임베딩이 필요하며, LoRA 옆에 이름_emb로 저장합니다."
        ),
        choices={BUNDLED: ("In the LoRA's file", "LoRA 파일 안에"), BESIDE: ("In a file of its own", "따로 된 파일에")},
        label="Where the word is saved",
        label_ko="단어를 저장할 곳",
        ours="pivotal tuning is no kind of training there",
    )
