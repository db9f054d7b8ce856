"""Starting points for the form, as data. A preset holds only what it sets apart from the page's own starting values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .trained import EMBEDDING, MODEL


@dataclass(frozen=True)
class Preset:
    """`values` by option or simple field. `family` is the kind of base model (modelfile.TITLES) that it is made for; without
    one it is for those that have no preset of their own."""

    id: str
    title: str
    title_ko: str
    note: str
    note_ko: str
    values: Mapping[str, Any]
    family: str = ""


# What the page starts from where it differs from the command line's defaults, which are those kohya-ss users expect.
PAGE_VALUES: Mapping[str, Any] = {
    "resolution": "512",
    "network_module": "networks.lora",
    "network_dim": 16,
    "network_alpha": 8.0,
    "learning_rate": 1e-4,
    "lr_scheduler": "cosine",
    "train_batch_size": 1,
    "max_train_steps": 1500,
    "enable_bucket": True,
    "cache_latents": True,
    "seed": 42,
    "max_data_loader_n_workers": 2,
    "persistent_data_loader_workers": True,
    "save_precision": "fp16",
    "split_batch_when_full": True,
    "save_state_every_n_minutes": 5.0,
    "save_state_on_train_end": True,
}
# What the other kinds of training start from where a preset says what suits a network: rates are of another size.
OF_KINDS: Mapping[str, Mapping[str, Any]] = {
    EMBEDDING: {"learning_rate": 5e-3},
    MODEL: {"learning_rate": 5e-6, "gradient_checkpointing": True},
}
WITH_CUDA: Mapping[str, Any] = {"optimizer_type": "AdamW8bit", "mixed_precision": "fp16"}
WITHOUT_CUDA: Mapping[str, Any] = {"optimizer_type": "AdamW", "mixed_precision": "no"}

PRESETS: tuple[Preset, ...] = (
    Preset(
        "character",
        "Character",
        "캐릭터",
        "A person or figure, with captions. For anime models set clip_skip to 2.",
        "캡션이 있는 인물이나 캐릭터. 애니메이션 모델이라면 clip_skip을 2로 하세요.",
        {
            "network_dim": 16,
            "network_alpha": 8.0,
            "text_encoder_lr": 5e-5,
            "learning_rate": 1e-4,
            "lr_scheduler": "cosine",
            "train_batch_size": 2,
            "resolution": "512",
            "max_train_steps": 1500,
            "min_snr_gamma": 5.0,
            "shuffle_caption": True,
            "keep_tokens": 1,
            "caption_dropout_rate": 0.05,
        },
    ),
    Preset(
        "style",
        "Style",
        "화풍",
        "A way of drawing, from many different pictures with captions. Only the UNet is trained.",
        "여러 그림과 캡션으로 화풍을 배웁니다. UNet만 학습합니다.",
        {
            "network_dim": 32,
            "network_alpha": 16.0,
            "learning_rate": 1e-4,
            "network_train_unet_only": True,
            "lr_scheduler": "cosine",
            "train_batch_size": 4,
            "resolution": "512",
            "max_train_steps": 2000,
            "min_snr_gamma": 5.0,
            "noise_offset": 0.035,
            "shuffle_caption": True,
        },
    ),
    Preset(
        "concept",
        "Concept or object",
        "사물이나 개념",
        "One thing, by identifier and class, best with regularisation images.",
        "식별자와 클래스로 사물 하나를 배웁니다. 정규화 이미지와 함께 쓰면 좋습니다.",
        {
            "network_dim": 8,
            "network_alpha": 4.0,
            "text_encoder_lr": 1e-5,
            "learning_rate": 1e-4,
            "lr_scheduler": "constant_with_warmup",
            "lr_warmup_steps": 0.1,
            "train_batch_size": 2,
            "resolution": "512",
            "max_train_steps": 1000,
            "caption_source": "words",
        },
    ),
    Preset(
        "low_memory",
        "Low memory (6 GB)",
        "적은 메모리 (6 GB)",
        "For graphics cards with 6 GB: small, UNet only, everything that saves memory switched on.",
        "6 GB 그래픽 카드용입니다. 작게, UNet만 학습하고 메모리를 아끼는 설정을 모두 켭니다.",
        {
            "network_dim": 8,
            "network_alpha": 4.0,
            "learning_rate": 1e-4,
            "network_train_unet_only": True,
            "lr_scheduler": "cosine",
            "train_batch_size": 1,
            "resolution": "512",
            "cache_latents": True,
            "gradient_checkpointing": True,
            "gradient_checkpointing_blocks": "auto",
            "sdpa": True,
        },
    ),
    Preset(
        "character_sdxl",
        "Character (SDXL)",
        "캐릭터 (SDXL)",
        "For base models of Stable Diffusion XL, at 1024 pixels. Only the UNet is trained.",
        "Stable Diffusion XL 모델에 1024 픽셀로 학습합니다. UNet만 학습합니다.",
        {
            "network_dim": 32,
            "network_alpha": 16.0,
            "learning_rate": 1e-4,
            "network_train_unet_only": True,
            "lr_scheduler": "cosine",
            "train_batch_size": 1,
            "resolution": "1024",
            "max_bucket_reso": 2048,
            "max_train_steps": 2000,
            "min_snr_gamma": 5.0,
            "gradient_checkpointing": True,
            "gradient_checkpointing_blocks": "auto",
            "no_half_vae": True,
        },
        family="sdxl",
    ),
    Preset(
        "hands_off",
        "Hands-off (Prodigy)",
        "알아서 (Prodigy)",
        "Finds the learning rate by itself: learning_rate stays 1. Needs the small package prodigyopt.",
        "학습률을 스스로 찾으므로 learning_rate는 1로 둡니다. 작은 패키지 prodigyopt가 필요합니다.",
        {
            "optimizer_type": "Prodigy",
            "optimizer_args": ["decouple=True", "weight_decay=0.01", "use_bias_correction=True", "safeguard_warmup=True"],
            "learning_rate": 1.0,
            "lr_scheduler": "constant",
        },
    ),
)


def starting_values(*, cuda: bool) -> dict[str, Any]:
    """What the form holds before anything is chosen, on a machine with or without an NVIDIA card."""
    return {**PAGE_VALUES, **(WITH_CUDA if cuda else WITHOUT_CUDA)}


def presets(language: str = "en", *, cuda: bool) -> list[dict[str, Any]]:
    """The presets for the page: {id, title, note, values, kinds, family}; `values` go over the form's starting values,
    so that choosing another preset first takes everything back, and those of the kind of training (`kinds`) over them."""
    korean = language == "ko"
    return [
        {
            "id": preset.id,
            "title": preset.title_ko if korean else preset.title,
            "note": preset.note_ko if korean else preset.note,
            "values": (values := {**starting_values(cuda=cuda), **preset.values}),
            "kinds": _of_kinds(values),
            "family": preset.family,
        }
        for preset in PRESETS
    ]


def _of_kinds(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What of OF_KINDS counts: a rate that is no network's own (the factor of an optimizer that finds its rate) stays."""
    kept = {"learning_rate"} if values["learning_rate"] != PAGE_VALUES["learning_rate"] else set()
    return {kind: {name: value for name, value in own.items() if name not in kept} for kind, own in OF_KINDS.items()}
