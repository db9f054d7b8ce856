"""The options of `gen_img_diffusers`, with the names of kohya-ss' scripts gen_img_diffusers.py and gen_img.py.

Those that belong to what is not available (ControlNet, upscaling, guidance by pictures, ...) are declared and refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from .samplers import CHOICES
from .schema import Title, opt


def _refused(what: str, ko: str, default: Any = None) -> Any:
    return opt(default, f"{what}.", f"{ko}.", supported=False)


def _side(help: str, ko: str) -> Any:
    return opt(None, f"{help} (SDXL), in pixels.", f"{ko} (SDXL)을 픽셀로 적습니다.", minimum=0, maximum=8192)


@dataclass(frozen=True, kw_only=True)
class _Prompts:
    """What is drawn."""

    TITLE: ClassVar[Title] = Title("Prompts", "프롬프트")

    prompt: str | None = opt(
        None,
        "What to draw, with the options of a prompt line behind it (--n what not to draw); {red|blue} is one of the two.",
        "그릴 내용입니다. 뒤에 프롬프트 줄의 옵션(--n 그리지 않을 내용 등)을 적을 수 있고, {red|blue}는 둘 중 하나입니다.",
    )
    from_file: str | None = opt(
        None,
        "A text file with one prompt line a line; lines that begin with # are left out.",
        "한 줄에 프롬프트 하나씩 적은 텍스트 파일입니다. #으로 시작하는 줄은 건너뜁니다.",
        path="file",
    )
    interactive: bool = opt(
        False,
        "Ask for prompt lines, one after another; an empty line ends it.",
        "프롬프트 줄을 하나씩 입력받습니다. 빈 줄을 넣으면 끝납니다.",
    )
    no_preview: bool = opt(
        False, "With interactive: do not show the pictures in a window.", "interactive와 함께: 그림을 창에 띄우지 않습니다."
    )
    shuffle_prompts: bool = opt(False, "Draw the prompts in an order left to chance.", "프롬프트를 임의의 순서로 그립니다.")
    images_per_prompt: int = opt(1, "Pictures of each prompt.", "프롬프트마다 그릴 장수입니다.", minimum=1, maximum=10_000)
    n_iter: int = opt(1, "How often all prompts are drawn.", "전체 프롬프트를 되풀이할 횟수입니다.", minimum=1, maximum=10_000)
    lora_dir: tuple[str, ...] | None = opt(
        None,
        "Folders in which <lora:NAME:0.8> of a prompt is looked up.",
        "프롬프트의 <lora:이름:0.8>을 찾을 폴더들입니다.",
        ours="the folder in which <lora:NAME:0.8> in a prompt is looked for",
    )
    textual_inversion_embeddings: tuple[str, ...] | None = opt(
        None,
        "Embedding files. A prompt uses one by its name without ending.",
        "임베딩 파일들입니다. 프롬프트에 확장자를 뺀 파일 이름을 적으면 사용됩니다.",
        path="files",
    )
    XTI_embeddings: tuple[str, ...] | None = opt(
        None,
        "Embedding files with vectors for each layer of the UNet (XTI), used as those of textual_inversion_embeddings.",
        "UNet의 층마다 다른 벡터를 가진 임베딩(XTI) 파일들입니다. textual_inversion_embeddings처럼 사용합니다.",
        path="files",
    )
    max_embeddings_multiples: int | None = opt(
        None,
        "Cut prompts off after so many times 75 tokens; left out, they may be of any length.",
        "프롬프트를 75토큰의 이 배수까지만 씁니다. 생략하면 길이에 제한이 없습니다.",
        minimum=1,
        maximum=100,
    )


@dataclass(frozen=True, kw_only=True)
class _Pictures:
    """How it is drawn."""

    TITLE: ClassVar[Title] = Title("Pictures", "그림")

    W: int | None = opt(
        None,
        "Width in pixels, a multiple of 8; left out, what the model was made for (SD1 512, SDXL 1024).",
        "가로 픽셀 수로 8의 배수입니다. 생략하면 모델의 기본 크기입니다 (SD1 512, SDXL 1024).",
        minimum=64,
        maximum=4096,
    )
    H: int | None = opt(None, "Height in pixels, likewise.", "세로 픽셀 수입니다 (위와 같음).", minimum=64, maximum=4096)
    batch_size: int = opt(1, "Pictures of a prompt drawn at once.", "한 번에 그릴 장수입니다.", minimum=1, maximum=64)
    steps: int = opt(50, "Sampler steps.", "샘플러의 스텝 수입니다.", minimum=1, maximum=1000)
    scale: float = opt(
        7.5,
        "How strictly the prompt is followed (CFG scale).",
        "프롬프트를 따르는 정도(CFG)입니다.",
        minimum=0.0,
        maximum=100.0,
    )
    negative_scale: float | None = opt(
        None,
        "A scale of its own for the negative prompt, which then is pushed away from besides the scale for the prompt.",
        "네거티브 프롬프트에 따로 쓰는 배율입니다. 프롬프트의 배율과 별도로 그만큼 멀어집니다.",
        minimum=0.0,
        maximum=100.0,
    )
    sampler: str = opt("ddim", "The method by which pictures are drawn.", "그림을 그리는 방법입니다.", choices=CHOICES)
    seed: int | None = opt(
        None,
        "Seed of the picture; with several pictures, what their seeds are drawn from. Left out: chance.",
        "그림의 시드입니다. 여러 장이면 각 그림의 시드를 여기서 뽑습니다. 생략하면 임의로 정합니다.",
        minimum=0,
    )
    iter_same_seed: bool = opt(
        False,
        "Pictures of one round of n_iter have the same seed, to compare prompts.",
        "n_iter의 한 회차 안에서는 모두 같은 시드를 씁니다. 프롬프트를 비교할 때 씁니다.",
    )
    outdir: str = opt("outputs", "Folder for the pictures.", "그림을 저장할 폴더입니다.", path="output")
    sequential_file_name: bool = opt(
        False,
        "Call the pictures im_000001.png, im_000002.png, ...; going on after those that are there.",
        "파일 이름을 im_000001.png, im_000002.png, ... 로 합니다. 이미 있는 것 다음부터 이어집니다.",
    )
    use_original_file_name: bool = opt(
        False, "Call each picture as its start image.", "시작 이미지와 같은 이름으로 저장합니다."
    )
    image_path: str | None = opt(
        None,
        "Start image, or a folder of them (one for each prompt in turn): the picture is drawn over it.",
        "시작 이미지 또는 그 폴더(프롬프트마다 차례로 하나씩)입니다. 그 위에 그림을 그립니다.",
        path="any",
    )
    strength: float | None = opt(
        None,
        "How much of the start image is drawn anew, 0 to 1 (0.8 when left out).",
        "시작 이미지를 얼마나 새로 그릴지 0에서 1로 적습니다 (생략하면 0.8).",
        minimum=0.0,
        maximum=1.0,
    )
    original_width: int | None = _side("Width of the original that the picture pretends to come from", "원본의 가로 크기")
    original_height: int | None = _side("Its height", "원본의 세로 크기")
    original_width_negative: int | None = _side("The same width for the negative prompt", "네거티브 프롬프트용 원본 가로")
    original_height_negative: int | None = _side("Its height for the negative prompt", "네거티브 프롬프트용 원본 세로")
    crop_top: int | None = _side("How much of the original was cut off above", "원본 위쪽에서 잘린 크기")
    crop_left: int | None = _side("How much was cut off at the left", "원본 왼쪽에서 잘린 크기")


@dataclass(frozen=True, kw_only=True)
class _Model:
    """The base model, and how it runs."""

    TITLE: ClassVar[Title] = Title("Base model", "기본 모델")

    ckpt: str | None = opt(
        None,
        "The base model: a .safetensors or .ckpt file, a diffusers folder, or a name on Hugging Face.",
        "기본 모델입니다. .safetensors 또는 .ckpt 파일, diffusers 폴더, Hugging Face 이름을 적습니다.",
        path="model",
    )
    v1: bool = opt(
        False,
        "The model is Stable Diffusion 1 (recognised anyway; this checks it).",
        "Stable Diffusion 1 모델입니다 (자동으로 알아내며, 맞는지 확인합니다).",
    )
    v2: bool = opt(False, "Likewise, Stable Diffusion 2.", "Stable Diffusion 2 모델입니다 (확인용).")
    sdxl: bool = opt(False, "Likewise, Stable Diffusion XL.", "Stable Diffusion XL 모델입니다 (확인용).")
    v_parameterization: bool = opt(
        False,
        "The model predicts velocity, whatever it says of itself.",
        "모델이 속도(velocity)를 예측합니다. 모델에 적힌 것보다 우선합니다.",
    )
    vae: str | None = opt(
        None,
        "A VAE in place of the model's own: a file, a folder, or a name on Hugging Face.",
        "모델의 VAE 대신 쓸 VAE입니다. 파일, 폴더, Hugging Face 이름을 적습니다.",
        path="model",
    )
    clip_skip: int | None = opt(
        None,
        "Layer of the text encoder, counted from the end: 1 (or nothing) is the last.",
        "텍스트 인코더의 층을 끝에서부터 셉니다. 1(또는 생략)은 마지막 층입니다.",
        minimum=1,
        maximum=12,
    )
    fp16: bool = opt(False, "Compute in fp16: half the memory.", "fp16으로 계산합니다. 메모리를 절반만 씁니다.")
    bf16: bool = opt(False, "Compute in bf16: half the memory.", "bf16으로 계산합니다. 메모리를 절반만 씁니다.")
    no_half_vae: bool = opt(
        False,
        "Compute the VAE in full precision all the same; for one that gives black pictures.",
        "VAE는 전체 정밀도로 계산합니다. 검은 그림이 나오는 VAE에 씁니다.",
    )
    xformers: bool = opt(False, "Attention by xformers, where it is installed.", "xformers 어텐션을 씁니다 (설치된 경우).")
    diffusers_xformers: bool = opt(False, "The same as xformers.", "xformers와 같습니다.")
    sdpa: bool = opt(False, "Attention by PyTorch: what is used anyway.", "PyTorch의 어텐션입니다. 기본으로 쓰는 것입니다.")
    opt_channels_last: bool = opt(
        False,
        "Lay the UNet's numbers out channels last, which some cards compute faster.",
        "UNet의 숫자를 channels last로 배열합니다. 어떤 그래픽 카드에서는 더 빠릅니다.",
    )
    device: str = opt(
        "auto",
        "Where to compute: auto, cuda, cuda:1, mps or cpu.",
        "계산할 장치입니다: auto, cuda, cuda:1, mps, cpu.",
        ours="the reference takes the card, or fails",
    )


@dataclass(frozen=True, kw_only=True)
class _Networks:
    """The networks on it."""

    TITLE: ClassVar[Title] = Title("Networks", "네트워크")

    network_module: tuple[str, ...] | None = opt(
        None,
        "networks.lora, networks.dylora or lycoris.kohya: one for all files or one for each; left out, the file tells.",
        "networks.lora, networks.dylora, lycoris.kohya 중 하나, 또는 파일마다 하나씩 적습니다. 생략하면 파일을 보고 정합니다.",
    )
    network_weights: tuple[str, ...] | None = opt(
        None, "LoRA files for all prompts.", "모든 프롬프트에 쓸 LoRA 파일들입니다.", path="files"
    )
    network_mul: tuple[float, ...] | None = opt(
        None,
        "How strongly each file counts, one number a file (1 when left out); a prompt's --am goes before it.",
        "파일마다 얼마나 세게 적용할지 하나씩 적습니다 (생략하면 1). 프롬프트의 --am이 우선합니다.",
    )
    network_args: tuple[str, ...] | None = opt(
        None,
        "Arguments of the module, one text a file, such as unit=4;conv_dim=8.",
        "모듈의 인수를 파일마다 하나의 글로 적습니다. 예: unit=4;conv_dim=8",
    )
    network_merge: bool = opt(
        False,
        "Add the networks to the model's weights at the start: faster, and --am changes them no more.",
        "시작할 때 네트워크를 모델의 가중치에 더합니다. 더 빠르지만 --am으로 바꿀 수 없습니다.",
    )
    network_merge_n_models: int | None = opt(
        None, "Do so with the first so many networks only.", "처음 몇 개의 네트워크만 그렇게 합니다.", minimum=0
    )
    network_pre_calc: bool = opt(
        False,
        "Add the networks to the weights for each prompt anew: faster pictures, and --am counts.",
        "프롬프트마다 네트워크를 가중치에 더합니다. 그림이 빨라지고 --am도 쓸 수 있습니다.",
    )
    network_show_meta: bool = opt(False, "Print the files' metadata.", "파일의 메타데이터를 보여 줍니다.")


@dataclass(frozen=True, kw_only=True)
class _Messages:
    """Where messages go."""

    TITLE: ClassVar[Title] = Title("Messages", "메시지")

    console_log_level: str | None = opt(
        None,
        "From which importance on messages are shown.",
        "어느 정도 중요한 메시지부터 보여 줄지 정합니다.",
        choices=("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
    )
    console_log_file: str | None = opt(
        None, "Write the messages into this file instead of the screen.", "메시지를 화면 대신 이 파일에 씁니다.", path="written"
    )
    console_log_simple: bool = opt(False, "Show messages as plain lines.", "메시지를 꾸밈없는 줄로 보여 줍니다.")


@dataclass(frozen=True, kw_only=True)
class _Refused:
    """What the reference's scripts have and this program has not."""

    TITLE: ClassVar[Title] = Title("Not available", "쓸 수 없는 것")

    control_net_models: tuple[str, ...] | None = _refused("ControlNet", "ControlNet")
    control_net_lllite_models: tuple[str, ...] | None = _refused("ControlNet-LLLite", "ControlNet-LLLite")
    control_net_preps: tuple[str, ...] | None = _refused("ControlNet", "ControlNet")
    control_net_weights: tuple[float, ...] | None = _refused("ControlNet", "ControlNet")
    control_net_multipliers: tuple[float, ...] | None = _refused("ControlNet", "ControlNet")
    control_net_ratios: tuple[float, ...] | None = _refused("ControlNet", "ControlNet")
    guide_image_path: tuple[str, ...] | None = _refused("Pictures for ControlNet", "ControlNet용 이미지")
    clip_guidance_scale: float = _refused("CLIP guidance", "CLIP 가이드", 0.0)
    clip_image_guidance_scale: float = _refused("CLIP guidance", "CLIP 가이드", 0.0)
    clip_vision_strength: float | None = _refused("CLIP vision conditioning", "CLIP 비전 조건")
    vgg16_guidance_scale: float = _refused("VGG16 guidance", "VGG16 가이드", 0.0)
    vgg16_guidance_layer: int = _refused("VGG16 guidance", "VGG16 가이드", 20)
    mask_path: str | None = _refused("Inpainting", "인페인팅")
    highres_fix_scale: float | None = _refused("Highres fix", "Highres fix")
    highres_fix_steps: int = _refused("Highres fix", "Highres fix", 28)
    highres_fix_strength: float | None = _refused("Highres fix", "Highres fix")
    highres_fix_save_1st: bool = _refused("Highres fix", "Highres fix", False)
    highres_fix_latents_upscaling: bool = _refused("Highres fix", "Highres fix", False)
    highres_fix_upscaler: str | None = _refused("Highres fix", "Highres fix")
    highres_fix_upscaler_args: str | None = _refused("Highres fix", "Highres fix")
    highres_fix_disable_control_net: bool = _refused("Highres fix", "Highres fix", False)
    ds_depth_1: int | None = _refused("Deep shrink", "Deep shrink")
    ds_depth_2: int | None = _refused("Deep shrink", "Deep shrink")
    ds_timesteps_1: int = _refused("Deep shrink", "Deep shrink", 650)
    ds_timesteps_2: int = _refused("Deep shrink", "Deep shrink", 650)
    ds_ratio: float = _refused("Deep shrink", "Deep shrink", 0.5)
    gradual_latent_timesteps: int | None = _refused("Gradual latent", "Gradual latent")
    gradual_latent_ratio: float = _refused("Gradual latent", "Gradual latent", 0.5)
    gradual_latent_ratio_step: float = _refused("Gradual latent", "Gradual latent", 0.125)
    gradual_latent_every_n_steps: int = _refused("Gradual latent", "Gradual latent", 3)
    gradual_latent_s_noise: float = _refused("Gradual latent", "Gradual latent", 1.0)
    gradual_latent_unsharp_params: str | None = _refused("Gradual latent", "Gradual latent")
    network_regional_mask_max_color_codes: int | None = _refused("A network per region", "영역별 네트워크")
    emb_normalize_mode: str = opt(
        "original",
        "How weighted text states are scaled: as the Web UI does (original); the others are refused.",
        "가중치를 준 텍스트 상태의 크기를 맞추는 방법입니다. Web UI와 같은 original만 되고 나머지는 거절합니다.",
        choices=("original", "none", "abs"),
        ready=("original",),
    )
    force_scheduler_zero_steps_offset: bool = _refused("Timesteps from 0", "0부터 시작하는 타임스텝", False)
    zero_terminal_snr: bool = opt(
        False,
        "Begin at pure noise, for velocity models that were trained so; one that is marked so, or a LoRA, does it by itself.",
        "순수한 노이즈에서 시작합니다. 그렇게 학습한 속도 예측 모델용이며, 그렇게 표시된 모델이나 LoRA는 저절로 그렇게 합니다.",
    )
    noise_offset_prob: float | None = _refused("Changed first noise", "처음 노이즈 바꾸기")
    noise_offset_range: tuple[float, ...] | None = _refused("Changed first noise", "처음 노이즈 바꾸기")
    pyramid_noise_prob: float | None = _refused("Changed first noise", "처음 노이즈 바꾸기")
    pyramid_noise_discount_range: tuple[float, ...] | None = _refused("Changed first noise", "처음 노이즈 바꾸기")
    from_module: str | None = _refused("Prompts by Python code", "파이썬 코드로 만드는 프롬프트")
    prompter_module_args: str | None = _refused("Prompts by Python code", "파이썬 코드로 만드는 프롬프트")
    tokenizer_cache_dir: str | None = _refused(
        "Folder for downloaded tokenizers (they are part of the program)", "내려받은 토크나이저 폴더 (프로그램에 들어 있음)"
    )
    vae_batch_size: float | None = _refused("Pictures decoded at once (it is always one)", "한 번에 디코딩할 장수 (항상 한 장)")
    vae_slices: int | None = _refused("Decoding in slices", "나누어 디코딩하기")


@dataclass(frozen=True, kw_only=True)
class GenImg(_Refused, _Messages, _Networks, _Model, _Pictures, _Prompts):
    """gen_img_diffusers. The bases are in the order of --help, from the last."""

    TITLE: ClassVar[Title] = Title("Draw pictures with networks", "네트워크로 그림 그리기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("ckpt",)
    POSITIONAL: ClassVar[tuple[str, ...]] = ()
