"""`prepare_buckets_latents`: options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ..schema import Title, opt
from .declaring import Tool


@dataclass(frozen=True, kw_only=True)
class PrepareBucketsLatents:
    """prepare_buckets_latents. Options that are read and change nothing are those that command lines of sd-scripts have."""

    TITLE: ClassVar[Title] = Title("Latents before the training", "학습 전에 잠재값 만들기")
    REQUIRED: ClassVar[tuple[str, ...]] = ("train_data_dir", "in_json", "out_json", "model_name_or_path")
    POSITIONAL: ClassVar[tuple[str, ...]] = REQUIRED

    train_data_dir: str | None = opt(None, "Folder of the images.", "이미지 폴더입니다.", path="folder")
    in_json: str | None = opt(None, "The metadata file to read.", "읽을 메타데이터 파일입니다.", path="file")
    out_json: str | None = opt(
        None,
        "The metadata file to write: with train_resolution of each image. One that is there is kept as a backup (.bak).",
        "저장할 메타데이터 파일입니다. 이미지마다 train_resolution을 적습니다. 이미 있으면 백업(.bak)으로 남깁니다.",
        path="written",
    )
    model_name_or_path: str | None = opt(
        None,
        "The model, or the VAE, that the training will use.",
        "학습에 쓸 모델 또는 VAE입니다.",
        path="model",
    )
    batch_size: int = opt(1, "Images encoded at once.", "한 번에 인코딩할 이미지 수입니다.", minimum=1)
    max_resolution: str = opt(
        "512,512", "Width and height whose area the images get.", "이미지가 가질 넓이를 가로,세로로 적습니다."
    )
    min_bucket_reso: int = opt(256, "The smallest side.", "한 변의 가장 작은 크기입니다.", minimum=8, maximum=16384)
    max_bucket_reso: int = opt(1024, "The largest side.", "한 변의 가장 큰 크기입니다.", minimum=8, maximum=16384)
    bucket_reso_steps: int = opt(64, "Sides are multiples of this.", "변은 이 값의 배수입니다.", minimum=8, maximum=8192)
    bucket_no_upscale: bool = opt(False, "Never enlarge small images.", "작은 이미지를 키우지 않습니다.")
    mixed_precision: str = opt(
        "no",
        "That of the training: with fp16 the VAE computes in fp16, else in float32, as in the training.",
        "학습의 정밀도입니다. fp16이면 VAE도 fp16으로, 아니면 학습과 같이 float32로 계산합니다.",
        choices=("no", "fp16", "bf16"),
    )
    full_path: bool = opt(False, "The keys of the metadata are paths.", "메타데이터의 키가 경로입니다.")
    recursive: bool = opt(
        False,
        "Take the images of the folders inside as well. Needs full_path.",
        "하위 폴더의 이미지도 넣습니다. full_path가 필요합니다.",
    )
    flip_aug: bool = opt(False, "Encode the mirrored images, too.", "좌우로 뒤집은 이미지도 인코딩합니다.")
    skip_existing: bool = opt(
        False,
        "Trust what is there without comparing it with the images. What fits is never encoded again in any case.",
        "이미 있는 것을 이미지와 비교하지 않고 믿습니다. 맞는 것은 어차피 다시 인코딩하지 않습니다.",
    )
    max_data_loader_n_workers: int | None = opt(
        None, "Changes nothing: images are always read ahead.", "효과가 없습니다. 이미지는 항상 미리 읽습니다.", minimum=0
    )
    alpha_mask: str = opt(
        "", "Changes nothing: masks are read when the training starts.", "효과가 없습니다. 마스크는 학습이 시작될 때 읽습니다."
    )
    v2: bool = opt(False, "Changes nothing: the model says of which family it is.", "효과가 없습니다. 모델을 보고 압니다.")


TOOL = Tool(
    "prepare_buckets_latents",
    "encode the images of a metadata file before the training",
    "lora_trainer.tools.prepare_latents:main",
    PrepareBucketsLatents,
)
