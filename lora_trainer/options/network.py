"""The LoRA network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .network_kinds import KINDS
from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class NetworkOptions:
    """Shape and start of the LoRA network."""

    TITLE: ClassVar[Title] = Title("LoRA network", "LoRA 네트워크")

    network_module: str | None = opt(
        None,
        f"The kind of network: {', '.join(f'{kind.name} for {kind.purpose}' for kind in KINDS)}.",
        (
            f"네트워크의 종류입니다. {', '.join(f'{kind.purpose_ko} {kind.name}' for kind in KINDS)}입니다"
            f"{''.join(f' ({kind.note_ko})' for kind in KINDS if kind.note_ko)}."
        ),
        choices={kind.name: (kind.title, kind.title_ko) for kind in KINDS},
        spellings={kind.name.replace("networks.", "network."): kind.name for kind in KINDS},
        label="Kind of network",
        label_ko="네트워크 종류",
        needed=True,
    )
    network_dim: int = opt(
        4,
        (
            "The rank. A higher rank can hold more detail, but needs more memory, gives a larger file and learns "
            "unwanted things more easily."
        ),
        "랭크입니다. 클수록 더 자세히 배울 수 있지만 메모리와 파일 크기가 늘고, 원하지 않는 것까지 외우기 쉽습니다.",
        aliases=("networkdim",),
        minimum=1,
        maximum=2048,
        label="Rank",
        label_ko="랭크 (rank)",
        basic=10,
    )
    network_alpha: float = opt(
        1.0,
        (
            "Strength of the LoRA relative to its rank: what it learns is multiplied by alpha / rank. Half the rank is a "
            "good start; 0 means the same as the rank."
        ),
        (
            "랭크에 대한 LoRA의 세기입니다. 배운 결과에 alpha / rank를 곱합니다. 랭크의 절반이 무난하며, 0은 랭크와 같은 "
            "값을 뜻합니다."
        ),
        minimum=0,
        label="Alpha",
        label_ko="알파 (alpha)",
    )
    network_dropout: float | None = opt(
        None,
        "Share of the network's inner values that are set to 0 at each step (0 to 0.99), so that it does not learn by heart.",
        "통째로 외우는 것을 막기 위해 매 스텝 0으로 만드는 네트워크 내부 값의 비율입니다 (0에서 0.99).",
        minimum=0.0,
        maximum=0.99,
        label="Dropout",
        label_ko="드롭아웃",
    )
    network_args: tuple[str, ...] | None = opt(
        None,
        (
            "Further settings of the network, each written as name=value: conv_dim, conv_alpha, rank_dropout, module_dropout, "
            "loraplus_lr_ratio (LoRA+, such as 16), unit (DyLoRA), and ranks and learning rates per block (docs/networks.md)."
        ),
        (
            "네트워크의 추가 설정입니다. 각각 이름=값 형식으로 적습니다: conv_dim, conv_alpha, rank_dropout, module_dropout, "
            "loraplus_lr_ratio (LoRA+, 예: 16), unit (DyLoRA), 블록별 랭크와 학습률 (docs/networks.md)."
        ),
        label="More network settings",
        label_ko="네트워크의 추가 설정",
    )
    network_weights: str | None = opt(
        None,
        "A LoRA file to go on training from, instead of starting with an empty one.",
        "빈 LoRA에서 시작하지 않고 이어서 학습할 LoRA 파일입니다.",
        path="file",
        label="Go on from a LoRA",
        label_ko="이어서 학습할 LoRA",
    )
    dim_from_weights: bool = opt(
        False,
        "Take the rank from the file given as network_weights.",
        "network_weights로 지정한 파일에서 랭크를 가져옵니다.",
        label="Rank of that LoRA",
        label_ko="그 LoRA의 랭크 쓰기",
    )
    scale_weight_norms: float | None = opt(
        None,
        "Keep each layer's weights below this length (1 is usual, 0 is off); for results that are to be combined with others.",
        "각 층의 가중치 크기가 이 값을 넘지 않게 합니다 (보통 1, 0이면 끔). 다른 결과와 함께 쓸 때 도움이 됩니다.",
        minimum=0.0,
        label="Limit of the weights",
        label_ko="가중치 크기 제한",
    )
    base_weights: tuple[str, ...] | None = opt(
        None,
        (
            "LoRA files that are merged into the base model before training. What is trained learns what they lack, and is "
            "meant to be used together with them."
        ),
        (
            "학습하기 전에 기본 모델에 합칠 LoRA 파일들입니다. 학습하는 것은 그 파일들에 없는 것을 배우며, 그 파일들과 함께 "
            "쓰도록 만들어집니다."
        ),
        path="files",
        label="LoRAs in the base model",
        label_ko="기본 모델에 합칠 LoRA",
    )
    base_weights_multiplier: tuple[float, ...] | None = opt(
        None,
        "How strongly each of the base_weights is merged in, in their order; 1 where nothing is said.",
        "base_weights의 각 파일을 얼마나 세게 합칠지 차례대로 정합니다. 적지 않은 것은 1입니다.",
        label="Their strengths",
        label_ko="합치는 세기",
    )
    network_train_unet_only: bool = opt(
        False,
        "Train only the UNet part (the picture). Faster, needs less memory, and captions need not teach new words.",
        "UNet 부분(그림)만 학습합니다. 빠르고 메모리를 덜 쓰며, 새로운 단어를 가르칠 필요가 없을 때 좋습니다.",
        label="Picture part only (UNet)",
        label_ko="그림 부분만 (UNet)",
    )
    network_train_text_encoder_only: bool = opt(
        False,
        "Train only the text encoder part (the words).",
        "텍스트 인코더 부분(단어)만 학습합니다.",
        label="Word part only (text encoder)",
        label_ko="단어 부분만 (텍스트 인코더)",
    )
