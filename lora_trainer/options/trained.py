"""What is trained: a network on the model, the vectors of a word, both, or the model itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt

NETWORK, EMBEDDING, PIVOTAL, MODEL = "network", "embedding", "pivotal", "model"
WITH_NETWORK = (NETWORK, PIVOTAL)  # the kinds that put a network on the model
WITH_WORD = (EMBEDDING, PIVOTAL)  # the kinds that teach it a word
BUNDLED, BESIDE = "bundled", "beside"


@dataclass(frozen=True, kw_only=True)
class KindOptions:
    """The kind of training, and what belongs to those with a word."""

    TITLE: ClassVar[Title] = Title("What is trained", "무엇을 학습할까")

    trains: str = opt(
        NETWORK,
        "What is trained: the first thing to choose. Most need a LoRA.",
        "무엇을 학습할지 가장 먼저 고릅니다. 대부분 LoRA면 됩니다.",
        choices={
            NETWORK: ("A LoRA", "LoRA"),
            EMBEDDING: ("An embedding (textual inversion)", "임베딩 (textual inversion)"),
            PIVOTAL: ("A LoRA and a word (pivotal tuning)", "LoRA와 단어 (pivotal tuning)"),
            MODEL: ("The whole model (fine-tuning, DreamBooth)", "모델 전체 (파인튜닝, DreamBooth)"),
        },
        says={
            NETWORK: (
                "Teaches the model new things: a character, a thing, a style. From 6 GB of card memory (SD1), 10 to 200 MB on "
                "the disk. The usual choice.",
                "인물, 사물, 화풍처럼 새로운 것을 모델에 가르칩니다. 그래픽 카드 메모리 6GB부터(SD1), 디스크는 10~200MB입니다. "
                "보통 이것을 고릅니다.",
            ),
            EMBEDDING: (
                "Changes nothing in the model: finds a word for what it can draw already. Memory as for a LoRA of low rank, a "
                "few kilobytes on the disk. Worth it where the model knows the look but no name for it.",
                "모델을 바꾸지 않고, 이미 그릴 수 있는 것을 부를 단어를 찾습니다. 메모리는 낮은 랭크의 LoRA만큼, 디스크는 몇 "
                "킬로바이트입니다. 모델이 모습은 알지만 이름을 모를 때 좋습니다.",
            ),
            PIVOTAL: (
                "Learns a name and what it stands for together. Memory and disk of a LoRA; a step takes a little longer. "
                "Worth it for a certain person or thing, for which the model has no word.",
                "이름과 그 이름이 뜻하는 것을 함께 배웁니다. 메모리와 디스크는 LoRA와 같고 한 스텝이 조금 더 걸립니다. "
                "모델에 부를 단어가 없는 특정 인물이나 사물에 좋습니다.",
            ),
            MODEL: (
                "Fine-tuning or DreamBooth: every weight learns. Four to six times the memory of a LoRA, and each file is a "
                "whole checkpoint of 2 to 7 GB. Worth it with hundreds of pictures or more.",
                "파인튜닝 또는 DreamBooth입니다. 모든 가중치가 배웁니다. 메모리는 LoRA의 네 배에서 여섯 배, 파일 하나하나가 "
                "2~7GB의 체크포인트입니다. 그림이 수백 장 이상일 때 좋습니다.",
            ),
        },
        label="What is trained",
        label_ko="무엇을 학습할까",
        ours="the reference has a script for each kind of training; train_textual_inversion, fine_tune and train_db set it",
    )
    token_string: str | None = opt(
        None,
        (
            "The word that is learned. Captions have to hold it. In the Web UI the word of an embedding is the file's name: "
            "give both the same. With a LoRA it is known while the LoRA is in the prompt. Left empty on the page, it is the "
            "embedding's name, or a LoRA's identifier."
        ),
        (
            "학습할 단어입니다. 캡션에 이 단어가 있어야 합니다. Web UI에서 임베딩의 단어는 파일 이름이므로 둘을 같게 하세요. "
            "LoRA와 함께 배운 단어는 프롬프트에 그 LoRA가 있는 동안 쓸 수 있습니다. 페이지에서 비워 두면 "
            "임베딩은 결과 이름, LoRA는 식별자를 씁니다."
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
    vectors_per_layer: bool = opt(
        False,
        (
            "Learn other vectors of the word for each of the 16 layers of the UNet that read text (XTI), for SD1 and SD2. Only "
            "this program and sd-scripts read such a file, the Web UI does not."
        ),
        (
            "텍스트를 읽는 UNet의 16개 층마다 다른 벡터를 배웁니다(XTI). SD1과 SD2용입니다. 이런 파일은 이 프로그램과 "
            "sd-scripts만 읽고 Web UI는 읽지 못합니다."
        ),
        label="Vectors for each layer",
        label_ko="층마다 다른 벡터",
        form=False,
        ours="the reference has a script of its own, train_textual_inversion_XTI, which sets it",
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


@dataclass(frozen=True, kw_only=True)
class WholeModelOptions:
    """What belongs to the training of a whole model."""

    TITLE: ClassVar[Title] = Title("The whole model", "모델 전체")

    train_text_encoder: bool = opt(
        False,
        (
            "Train the text encoder together with the UNet, so that words can get another meaning. It takes more memory. The "
            "command train_db does it by itself."
        ),
        (
            "UNet과 함께 텍스트 인코더도 학습하여 단어의 뜻까지 바뀔 수 있게 합니다. 메모리를 더 씁니다. train_db 명령은 "
            "따로 켜지 않아도 이렇게 합니다."
        ),
        label="Train the text encoder too",
        label_ko="텍스트 인코더도 학습",
    )
    stop_text_encoder_training: int | None = opt(
        None,
        (
            "Train the text encoder for this many steps only; -1 does not train it at all. A text encoder that is trained too "
            "long forgets other words."
        ),
        (
            "텍스트 인코더를 이 스텝까지만 학습합니다. -1이면 전혀 학습하지 않습니다. 텍스트 인코더를 너무 오래 학습하면 다른 "
            "단어를 잊습니다."
        ),
        minimum=-1,
        label="Text encoder up to step",
        label_ko="텍스트 인코더를 학습할 스텝 수",
    )
    learning_rate_te: float | None = opt(
        None,
        "Learning rate of the text encoder, when it is to differ from learning_rate. Usually lower; 0 does not train it.",
        "텍스트 인코더의 학습률을 learning_rate와 다르게 할 때 적습니다. 보통 더 작게 하며 0이면 학습하지 않습니다.",
        minimum=0.0,
        label="Learning rate of the text encoder",
        label_ko="텍스트 인코더 학습률",
    )
    learning_rate_te1: float | None = opt(
        None,
        "The same of SDXL's first text encoder (CLIP ViT-L).",
        "SDXL의 첫 번째 텍스트 인코더(CLIP ViT-L)의 학습률입니다.",
        minimum=0.0,
        label="Learning rate of the first text encoder",
        label_ko="첫 번째 텍스트 인코더 학습률",
    )
    learning_rate_te2: float | None = opt(
        None,
        "The same of SDXL's second text encoder (OpenCLIP ViT-bigG).",
        "SDXL의 두 번째 텍스트 인코더(OpenCLIP ViT-bigG)의 학습률입니다.",
        minimum=0.0,
        label="Learning rate of the second text encoder",
        label_ko="두 번째 텍스트 인코더 학습률",
    )
    block_lr: str | None = opt(
        None,
        (
            "A learning rate for each of the 23 blocks of SDXL's UNet, separated by commas: time and sizes, 9 blocks on the "
            "way in, 3 in the middle, 9 on the way out, the last layer. A block with 0 is not trained."
        ),
        (
            "SDXL UNet의 23개 블록 각각의 학습률을 쉼표로 나누어 적습니다. 시간과 크기, 들어가는 쪽 9개, 가운데 3개, 나오는 쪽 "
            "9개, 마지막 층의 순서입니다. 0인 블록은 학습하지 않습니다."
        ),
        label="Learning rates of the blocks (SDXL)",
        label_ko="블록별 학습률 (SDXL)",
    )
    no_token_padding: bool = opt(
        False,
        (
            "Let the UNet read a caption's own tokens alone, up to the longest of the batch, not the empty places behind them "
            "(as DreamBooth of diffusers does)."
        ),
        (
            "UNet이 캡션 뒤의 빈 자리를 읽지 않고 배치에서 가장 긴 캡션의 토큰까지만 읽게 합니다 (diffusers의 DreamBooth와 "
            "같습니다)."
        ),
        label="No padding of captions",
        label_ko="캡션을 채우지 않음",
    )
    fused_optimizer_groups: int | None = opt(
        None,
        "Several optimizers, each of which makes its step as soon as its gradients are there.",
        "여러 옵티마이저가 각자의 기울기가 나오는 대로 스텝을 합니다.",
        refused="fused_backward_pass does it for each tensor by itself, with every optimizer whose step allows it",
    )
    diffusers_xformers: bool = opt(
        False,
        "Another name for xformers: the model here is that of diffusers in any case.",
        "xformers의 다른 이름입니다. 여기서는 언제나 diffusers의 모델을 씁니다.",
        form=False,
    )


@dataclass(frozen=True, kw_only=True)
class TrainedOptions(WholeModelOptions, KindOptions):
    """The kind of training, and what belongs to the kinds that are no network."""

    TITLE: ClassVar[Title] = KindOptions.TITLE
