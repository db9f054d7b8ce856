"""The base model, and how it is held in memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model is trained on, and how it runs."""

    TITLE: ClassVar[Title] = Title("Base model", "기본 모델")

    pretrained_model_name_or_path: str | None = opt(
        None,
        (
            "The model that the training begins with: a .safetensors or .ckpt file, a folder in diffusers format, or the "
            'name of a model on Hugging Face such as "user/model".'
        ),
        (
            '학습을 시작할 기본 모델입니다. .safetensors 또는 .ckpt 파일, diffusers 형식의 폴더, 또는 "user/model" '
            "같은 Hugging Face 모델 이름을 적습니다."
        ),
        path="model",
        label="Base model",
        label_ko="기본 모델",
        basic=1,
        needed=True,
    )
    v2: bool = opt(
        False,
        (
            "The base model is Stable Diffusion 2.x. This is found out from the model itself; with the option, another kind of "
            "model is refused."
        ),
        "기본 모델이 Stable Diffusion 2.x입니다. 모델에서 자동으로 알아내며, 켜면 다른 종류의 모델을 거부합니다.",
        label="Stable Diffusion 2 model",
        label_ko="Stable Diffusion 2 모델",
    )
    v_parameterization: bool = opt(
        False,
        (
            "The base model predicts velocity instead of noise (for example the 768 pixel version of Stable Diffusion 2.x). "
            "Most models of Stable Diffusion 2 and XL tell this by themselves; with the option it is so in any case."
        ),
        (
            "기본 모델이 노이즈 대신 속도(velocity)를 예측합니다 (예: Stable Diffusion 2.x의 768 픽셀 버전). Stable Diffusion "
            "2와 XL 모델은 대부분 자동으로 알아내며, 켜면 언제나 그렇게 학습합니다."
        ),
        label="Model predicts velocity",
        label_ko="v 예측 모델",
    )
    vae: str | None = opt(
        None,
        (
            "Another VAE (the part that turns pictures into latents) to use in place of the base model's own: a file, a "
            "folder, or a name on Hugging Face."
        ),
        (
            "기본 모델에 들어 있는 VAE(그림을 잠재값으로 바꾸는 부분) 대신 사용할 VAE입니다. 파일, 폴더, 또는 Hugging "
            "Face 이름을 적습니다."
        ),
        path="model",
        label="Other VAE",
        label_ko="다른 VAE",
    )
    tokenizer_cache_dir: str | None = opt(
        None,
        (
            "Folder in which tokenizers are kept, laid out as sd-scripts does: one that is there is used for a checkpoint "
            "file, else the one that is part of this program is put there. Nothing is downloaded."
        ),
        (
            "토크나이저를 sd-scripts와 같은 구조로 보관할 폴더입니다. 거기 있는 것을 체크포인트 파일에 쓰고, 없으면 이 "
            "프로그램에 들어 있는 것을 넣어 둡니다. 내려받는 것은 없습니다."
        ),
        path="output",
        form=False,
    )
    clip_skip: int | None = opt(
        None,
        (
            "Which layer of the text encoder is used, counted from the end. 1 (or nothing) is the last; many anime "
            "models were made with 2. It has no effect on Stable Diffusion 2 and XL."
        ),
        (
            "텍스트 인코더의 끝에서 몇 번째 층을 쓸지 정합니다. 1(또는 비움)은 마지막 층이고, 많은 애니메이션 모델은 2로 "
            "만들어졌습니다. Stable Diffusion 2와 XL에는 효과가 없습니다."
        ),
        minimum=1,
        maximum=12,
        label="Clip skip",
        label_ko="Clip skip",
    )
    max_token_length: int | None = opt(
        None,
        (
            "How many tokens (pieces of words) of a caption are used: 75 (also when nothing is given), 150 or 225. What "
            "is longer is cut off."
        ),
        "캡션에서 사용할 토큰(단어 조각) 수입니다. 75(비워도 같음), 150 또는 225입니다. 더 긴 부분은 잘립니다.",
        choices=(75, 150, 225),
        label="Longest caption",
        label_ko="캡션의 최대 길이",
    )
    weighted_captions: bool = opt(
        False,
        "Understand emphasis in captions as the Web UI does: (word), [word], (word:1.3).",
        "캡션의 강조 표기 (word), [word], (word:1.3)를 Web UI처럼 해석합니다.",
        label="Emphasis in captions",
        label_ko="캡션의 강조 문법",
    )
    xformers: bool = opt(
        False,
        "Use xformers' attention, which saves memory and time. It has to be installed.",
        "메모리와 시간을 아끼는 xformers 어텐션을 사용합니다. xformers가 설치되어 있어야 합니다.",
        label="xformers",
        label_ko="xformers",
    )
    sdpa: bool = opt(
        False,
        "Use PyTorch's own memory-saving attention. This is what happens when no kind of attention is chosen.",
        "PyTorch에 들어 있는 메모리 절약 어텐션을 사용합니다. 어텐션 종류를 고르지 않으면 이것을 씁니다.",
        label="PyTorch's attention",
        label_ko="PyTorch 어텐션",
    )
    mem_eff_attn: bool = opt(
        False,
        "Memory-saving attention that needs nothing installed; here the same as sdpa.",
        "따로 설치할 것이 없는 메모리 절약 어텐션입니다. 여기서는 sdpa와 같습니다.",
        label="Memory-saving attention",
        label_ko="메모리 절약 어텐션",
    )
    no_half_vae: bool = opt(
        False,
        "Run the VAE in full precision even when training in half precision; for a VAE that gives black pictures.",
        "학습을 반정밀도로 하더라도 VAE는 전체 정밀도로 계산합니다. 검은 그림을 내는 VAE에 씁니다.",
        label="VAE in full precision",
        label_ko="VAE를 32비트로",
    )
    fp8_base: bool = opt(
        False,
        (
            "Hold the base model (UNet and text encoder) in 8 bits a number: half the memory of fp16 for nearly the same "
            "pictures; a step takes a little longer. It is computed in mixed_precision."
        ),
        (
            "기본 모델(UNet과 텍스트 인코더)을 숫자당 8비트로 보관합니다. 그림은 거의 같고 메모리는 fp16의 절반이며, 한 스텝이 "
            "조금 느려집니다. 계산은 mixed_precision으로 합니다."
        ),
        label="Base model in 8 bits",
        label_ko="기본 모델을 8비트로",
    )
    fp8_base_unet: bool = opt(
        False,
        "Hold only the UNet in 8 bits a number; the text encoder keeps its precision.",
        "UNet만 숫자당 8비트로 보관하고 텍스트 인코더는 원래 정밀도를 유지합니다.",
        label="Only the UNet in 8 bits",
        label_ko="UNet만 8비트로",
    )
    blocks_to_swap: int = opt(
        0,
        (
            "Keep the weights of this many of the UNet's blocks (38 in version 1.5, 87 in XL; the largest first) in main "
            "memory and bring each to the card when it computes. For small cards; steps get slower. Needs "
            "gradient_checkpointing."
        ),
        (
            "UNet 블록 가운데 이 수만큼(1.5는 38개, XL은 87개, 큰 것부터) 가중치를 주 메모리에 두고 계산할 때만 카드로 "
            "옮깁니다. 메모리가 적은 카드용이며 스텝이 느려집니다. gradient_checkpointing이 필요합니다."
        ),
        minimum=0,
        label="Blocks in main memory",
        label_ko="주 메모리에 둘 블록 수",
        ours="sd-scripts has it for FLUX and SD3 alone",
    )
    lowram: bool = opt(
        False,
        (
            "For machines with less main memory than the card has: the VAE and the text encoders stay on the card when they "
            "are not needed. (The model is read straight to the card in any case.)"
        ),
        (
            "주 메모리가 그래픽 카드 메모리보다 적은 컴퓨터용입니다. VAE와 텍스트 인코더를 쓰지 않을 때도 카드에 둡니다. "
            "(모델은 언제나 카드로 바로 읽습니다.)"
        ),
        label="Little main memory",
        label_ko="주 메모리가 적음",
    )
    highvram: bool = opt(
        False,
        "For graphics cards with much memory: nothing leaves the card, and its memory is not freed after caching and drawing.",
        "그래픽 카드 메모리가 넉넉할 때 씁니다. 아무것도 카드에서 내리지 않고, 캐시나 그림을 만든 뒤 메모리를 비우지 않습니다.",
        label="Much memory on the card",
        label_ko="카드 메모리가 넉넉함",
    )
    disable_mmap_load_safetensors: bool = opt(
        False,
        "Read the base model's file piece by piece in place of mapping it: for network drives where loading is slow or fails.",
        "기본 모델 파일을 메모리에 매핑하지 않고 조금씩 읽습니다. 네트워크 드라이브에서 느리거나 실패할 때 씁니다.",
        label="Read without mapping",
        label_ko="매핑하지 않고 읽기",
    )
