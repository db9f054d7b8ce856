"""The images and captions to train on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from .captions import CaptionOptions
from .schema import Title, opt


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """Where the images are and how they are changed while training."""

    TITLE: ClassVar[Title] = Title("Images", "이미지")

    train_data_dir: str | None = opt(
        None,
        (
            'The folder that holds the image folders, each named like "20_sls frog": repeats, identifier and class. '
            "Not the image folder itself."
        ),
        (
            '"20_sls frog"(반복 횟수, 식별자, 클래스)처럼 이름 붙인 이미지 폴더들이 들어 있는 상위 폴더입니다. 이미지 '
            "폴더 자체가 아닙니다."
        ),
        path="folder",
        form=False,
    )
    reg_data_dir: str | None = opt(
        None,
        'The folder that holds the folders of regularisation images, each named like "1_frog".',
        '"1_frog"처럼 이름 붙인 정규화 이미지 폴더들이 들어 있는 상위 폴더입니다.',
        path="folder",
        form=False,
    )
    dataset_config: str | None = opt(
        None,
        "A .toml file that describes the data set. When it is given, train_data_dir and reg_data_dir are not used.",
        "데이터 세트를 적은 .toml 파일입니다. 지정하면 train_data_dir과 reg_data_dir은 쓰지 않습니다.",
        path="file",
        form=False,
    )
    in_json: str | None = opt(
        None,
        (
            "A metadata file (.json) that names the images, each with its caption and its tags. train_data_dir is then the "
            "image folder itself."
        ),
        (
            "이미지마다 캡션과 태그를 적은 메타데이터(.json) 파일입니다. 이때 train_data_dir은 이미지가 들어 있는 폴더 "
            "자체입니다."
        ),
        path="file",
        form=False,
    )
    dataset_class: str | None = opt(
        None,
        "A data set class of your own (a Python name).",
        "직접 만든 데이터 세트 클래스(파이썬 이름)입니다.",
        form=False,
        refused="a class would have to make the batches of sd-scripts, which nothing here could check, count or resume",
    )
    dataset_repeats: int = opt(
        1,
        "How often each image is used in an epoch, where the data set file says nothing else.",
        "데이터 세트 파일에 따로 적지 않았을 때 한 에포크에서 각 이미지를 몇 번 쓸지 정합니다.",
        minimum=1,
        form=False,
    )
    train_batch_size: int = opt(
        1,
        "How many images are learned from at once. More is steadier and needs more memory.",
        "한 번에 학습할 이미지 수입니다. 많을수록 안정적이지만 메모리가 더 필요합니다.",
        minimum=1,
        label="Batch size",
        label_ko="배치 크기",
    )
    resolution: str | None = opt(
        None,
        (
            "Training size in pixels: one number for a square (512), or width,height (512,768). Stable Diffusion 1 was "
            "made for 512, 2 for 512 or 768, XL for 1024."
        ),
        (
            "학습 크기(픽셀)입니다. 숫자 하나면 정사각형(512)이고, 가로,세로(512,768)로도 적습니다. Stable Diffusion 1은 "
            "512, 2는 512 또는 768, XL은 1024에 맞춰져 있습니다."
        ),
        label="Resolution",
        label_ko="해상도",
        basic=8,
    )
    flip_aug: bool = opt(
        False,
        "Mirror images left to right half of the time. Not for subjects that are not symmetric.",
        "절반의 확률로 이미지를 좌우로 뒤집습니다. 좌우가 다른 대상에는 쓰지 마세요.",
        label="Mirror images",
        label_ko="좌우 뒤집기",
    )
    color_aug: bool = opt(
        False,
        "Change the colours of the images slightly at each use. Cannot be combined with cached latents.",
        "이미지를 쓸 때마다 색을 조금씩 바꿉니다. 잠재값 캐시와 함께 쓸 수 없습니다.",
        label="Change colours",
        label_ko="색 바꾸기",
    )
    random_crop: bool = opt(
        False,
        "Cut a random part out of the image instead of the middle. Cannot be combined with cached latents.",
        "이미지를 자를 때 가운데 대신 아무 곳이나 자릅니다. 잠재값 캐시와 함께 쓸 수 없습니다.",
        label="Random cut",
        label_ko="무작위로 자르기",
    )
    face_crop_aug_range: str | None = opt(
        None,
        (
            "Cut the picture around a face, each time another number of times the face's size in this range, for example "
            "2.0,4.0. The name of the file ends in where the face is: NAME_x_y_width_height.png (middle and size in pixels). "
            "Cannot be combined with cached latents."
        ),
        (
            "얼굴을 중심으로 자르되, 매번 이 범위에서 얼굴 크기의 몇 배로 자를지 고릅니다 (예: 2.0,4.0). 얼굴의 위치는 "
            "파일 이름 끝에 적습니다: 이름_x_y_너비_높이.png (가운데 위치와 크기, 픽셀). 잠재값 캐시와 함께 쓸 수 없습니다."
        ),
        label="Cut around the face",
        label_ko="얼굴을 중심으로 자르기",
    )
    resize_interpolation: str | None = opt(
        None,
        "How images are made smaller or larger. Nothing chooses a good method for each image.",
        "이미지를 줄이거나 키우는 방법입니다. 비우면 이미지마다 알맞은 방법을 고릅니다.",
        choices=("lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area", "box"),
        label="Method of resizing",
        label_ko="크기 조절 방법",
    )
    alpha_mask: bool = opt(
        False,
        "Use the transparency of an image as a mask: what is transparent is not learned.",
        "이미지의 투명도를 마스크로 씁니다. 투명한 부분은 배우지 않습니다.",
        label="Transparency is the mask",
        label_ko="투명도를 마스크로 쓰기",
    )
    masked_loss: bool = opt(
        False,
        (
            "Learn only from the part of each image that its mask shows in white. The mask of frog.jpg is frog-masklabel.png "
            "beside it, or frog.png in the folder of masks."
        ),
        (
            "각 이미지에서 마스크에 흰색으로 칠한 부분만 배웁니다. frog.jpg의 마스크는 그 옆의 frog-masklabel.png, 또는 마스크 "
            "폴더의 frog.png입니다."
        ),
        label="Learn only what the mask shows",
        label_ko="마스크가 가리키는 부분만 배우기",
    )
    conditioning_data_dir: str | None = opt(
        None,
        "Folder with the mask of each image, of the same name: white is learned, black is not, grey in part.",
        "각 이미지와 이름이 같은 마스크가 들어 있는 폴더입니다. 흰색은 배우고 검은색은 배우지 않으며 회색은 그만큼 배웁니다.",
        path="folder",
        label="Folder of masks",
        label_ko="마스크 폴더",
    )
    debug_dataset: bool = opt(
        False,
        (
            "Show the first batches as the model will see them (in the terminal, and as a page in output_dir), and stop. Needs "
            "no base model."
        ),
        "모델이 보게 될 첫 배치들을 터미널과 output_dir의 웹 페이지로 보여 주고 끝냅니다. 기본 모델이 없어도 됩니다.",
        form=False,
    )


@dataclass(frozen=True, kw_only=True)
class BucketOptions:
    """How images of different shapes are grouped."""

    TITLE: ClassVar[Title] = Title("Buckets (image shapes)", "버킷 (이미지 비율)")

    enable_bucket: bool = opt(
        False,
        "Keep the shape of tall and wide images: they are grouped by shape instead of being cut to the training size.",
        "세로나 가로로 긴 이미지의 비율을 살립니다. 학습 크기로 자르는 대신 비슷한 비율끼리 모읍니다.",
        label="Keep the shape of images",
        label_ko="이미지 비율 유지",
    )
    min_bucket_reso: int = opt(
        256,
        "The smallest side, in pixels, that a group may have.",
        "버킷 한 변의 가장 작은 크기(픽셀)입니다.",
        minimum=8,
        maximum=16384,
        label="Smallest side",
        label_ko="가장 짧은 변",
    )
    max_bucket_reso: int = opt(
        1024,
        "The largest side, in pixels, that a group may have.",
        "버킷 한 변의 가장 큰 크기(픽셀)입니다.",
        minimum=8,
        maximum=16384,
        label="Largest side",
        label_ko="가장 긴 변",
    )
    bucket_reso_steps: int = opt(
        64,
        "Sides of the groups are multiples of this many pixels.",
        "버킷의 변은 이 값(픽셀)의 배수가 됩니다.",
        minimum=8,
        maximum=8192,
        label="Sides are multiples of",
        label_ko="변의 배수 단위",
    )
    bucket_no_upscale: bool = opt(
        False,
        "Never enlarge small images; they are grouped by their own size.",
        "작은 이미지를 키우지 않고 원래 크기에 따라 모읍니다.",
        label="Never enlarge",
        label_ko="확대하지 않기",
    )


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """What is computed once before training."""

    TITLE: ClassVar[Title] = Title("Cached latents", "잠재값 캐시")

    cache_latents: bool = opt(
        False,
        "Turn every image into latents once, before training. Saves memory and time; only flip_aug can be used with it.",
        (
            "학습 전에 모든 이미지를 한 번만 잠재값으로 바꿉니다. 메모리와 시간을 아끼며, 함께 쓸 수 있는 변형은 "
            "flip_aug뿐입니다."
        ),
        label="Encode images once",
        label_ko="이미지를 한 번만 인코딩",
    )
    cache_latents_to_disk: bool = opt(
        False,
        (
            "Keep the latents in a folder beside the images, so that the next training on them starts at once. An edited "
            "image, another VAE or another size is encoded anew."
        ),
        (
            "잠재값을 이미지 옆의 폴더에 저장해, 다음 학습이 바로 시작되게 합니다. 고친 이미지, 다른 VAE, 다른 크기는 새로 "
            "인코딩합니다."
        ),
        label="Keep them on the disk",
        label_ko="디스크에 저장",
    )
    cache_text_encoder_outputs: bool = opt(
        False,
        (
            "Work out the text of every caption once, before training, and free the text encoders' memory. This happens "
            "whenever it can; with the option, a training in which it cannot is refused."
        ),
        (
            "학습 전에 모든 캡션을 한 번만 텍스트 인코더로 계산하고 그 메모리를 비웁니다. 가능하면 언제나 그렇게 하며, 켜면 "
            "그렇게 할 수 없는 학습을 거부합니다."
        ),
        form=False,
    )
    cache_text_encoder_outputs_to_disk: bool = opt(
        False,
        (
            "Keep what the text encoders made of the captions in a folder beside the images, so that the next training starts "
            "sooner. A changed caption and another text encoder are worked out anew."
        ),
        (
            "텍스트 인코더가 캡션을 계산한 결과를 이미지 옆의 폴더에 저장해, 다음 학습이 빨리 시작되게 합니다. 바뀐 캡션과 "
            "다른 텍스트 인코더는 새로 계산합니다."
        ),
        form=False,
    )
    vae_batch_size: int = opt(
        1,
        "How many images are turned into latents at once.",
        "한 번에 잠재값으로 바꿀 이미지 수입니다.",
        minimum=1,
        label="Images encoded at once",
        label_ko="한 번에 인코딩할 이미지 수",
    )
    skip_cache_check: bool = opt(
        False,
        (
            "Take what is kept on the disk without looking whether the images have changed, and the .npz files of kohya-ss "
            "without knowing of which VAE they are."
        ),
        (
            "이미지가 바뀌었는지 확인하지 않고 디스크에 저장된 것을 그대로 씁니다. kohya-ss의 .npz 파일도 어느 VAE의 것인지 "
            "모르는 채로 씁니다."
        ),
        label="Trust what is on the disk",
        label_ko="디스크의 캐시를 그대로 믿기",
    )
    cache_info: bool = opt(
        False,
        "Keep the size and caption of every image in a file beside them, so that the next start opens only what has changed.",
        "이미지의 크기와 캡션을 이미지 옆의 파일에 저장해, 다음에는 바뀐 파일만 열어 빨리 시작합니다.",
        label="Remember sizes and captions",
        label_ko="크기와 캡션 기억",
    )


@dataclass(frozen=True, kw_only=True)
class ValidationOptions:
    """Images that are kept aside to measure the loss on."""

    TITLE: ClassVar[Title] = Title("Validation", "검증")

    validation_split: float = opt(
        0.0,
        (
            "Share of the images (0 to 1) that is kept aside: no step learns from them, and the loss on them shows when the "
            "training begins to learn by heart. 0.1 is usual."
        ),
        (
            "따로 두는 이미지의 비율입니다 (0에서 1). 이 이미지로는 배우지 않고, 여기서 잰 손실로 언제부터 외우기 시작하는지 "
            "알 수 있습니다. 보통 0.1입니다."
        ),
        minimum=0.0,
        maximum=1.0,
        label="Share kept aside",
        label_ko="따로 둘 비율",
    )
    validation_seed: int | None = opt(
        None,
        "Number that decides which images are kept aside, and the noise on them; nothing takes the seed of the training.",
        "어떤 이미지를 따로 두고 어떤 노이즈로 잴지 정하는 숫자입니다. 비우면 학습의 시드를 씁니다.",
        minimum=0,
        label="Seed of the choice",
        label_ko="고르는 시드",
    )
    validate_every_n_steps: int | None = opt(
        None,
        "Measure the loss on the images kept aside every this many steps.",
        "따로 둔 이미지의 손실을 몇 스텝마다 잴지 정합니다.",
        minimum=1,
        label="Measure every … steps",
        label_ko="잴 스텝 간격",
    )
    validate_every_n_epochs: int | None = opt(
        None,
        "Measure it every this many epochs; with neither of the two at the end of each epoch.",
        "몇 에포크마다 잴지 정합니다. 둘 다 비우면 에포크가 끝날 때마다 잽니다.",
        minimum=1,
        label="Measure every … epochs",
        label_ko="잴 에포크 간격",
    )
    max_validation_steps: int | None = opt(
        None,
        "Measure on at most this many batches of the images kept aside.",
        "따로 둔 이미지 가운데 최대 이 수만큼의 배치로 잽니다.",
        minimum=1,
        label="Batches measured at most",
        label_ko="잴 배치 수 (최대)",
    )


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(ValidationOptions, CacheOptions, CaptionOptions, BucketOptions, ImageOptions):
    """Everything about the training images."""
