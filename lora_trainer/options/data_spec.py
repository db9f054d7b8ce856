"""What to train on, fully resolved: the result of reading a data set file or a folder of named folders.

Field names are the keys of the data set TOML; inheritance, command line and defaults have been applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CHANGING = ("color_aug", "random_crop", "face_crop_aug_range")  # an image is another one each time: no latents of it are kept
NO_CAPTIONS = ".no-captions"  # an ending that no file has: the class tokens are every image's caption, and that is meant


@dataclass(frozen=True, kw_only=True)
class SubsetSpec:
    """Images that are treated alike: those of one folder, or those that a metadata file names (image_dir may be None then)."""

    image_dir: Path | None = None
    num_repeats: int = 1
    is_reg: bool = False
    class_tokens: str | None = None
    caption_extension: str = ".caption"
    caption_separator: str = ","
    shuffle_caption: bool = False
    keep_tokens: int = 0
    keep_tokens_separator: str = ""
    secondary_separator: str | None = None
    enable_wildcard: bool = False
    caption_prefix: str | None = None
    caption_suffix: str | None = None
    caption_dropout_rate: float = 0.0
    caption_dropout_every_n_epochs: int = 0
    caption_tag_dropout_rate: float = 0.0
    token_warmup_min: int = 1
    token_warmup_step: float = 0.0
    color_aug: bool = False
    flip_aug: bool = False
    random_crop: bool = False
    face_crop_aug_range: tuple[float, float] | None = None
    resize_interpolation: str | None = None
    alpha_mask: bool = False
    cache_info: bool = False
    exclude: tuple[str, ...] | None = None
    custom_attributes: Mapping[str, Any] | None = None
    metadata_file: Path | None = None
    conditioning_data_dir: Path | None = None

    @property
    def place(self) -> Path:
        """What the images are known by: the metadata file that names them, else their folder."""
        place = self.metadata_file or self.image_dir
        assert place is not None, "whoever makes a subset gives one of the two"
        return place


@dataclass(frozen=True, kw_only=True)
class DatasetSpec:
    """Subsets that share a resolution, buckets and batches. `resolution` is (width, height) in pixels."""

    resolution: tuple[int, int]
    subsets: tuple[SubsetSpec, ...]
    batch_size: int = 1
    enable_bucket: bool = False
    min_bucket_reso: int = 256
    max_bucket_reso: int = 1024
    bucket_reso_steps: int = 64
    bucket_no_upscale: bool = False
    network_multiplier: float = 1.0
    resize_interpolation: str | None = None
    validation_seed: int | None = None
    validation_split: float = 0.0


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Everything to train on.

    `source` is the data set file or training folder it was read from; `skipped` are messages about folders and settings
    that were left out, to be shown as findings. `masked_loss`: masks that are pictures count.
    `skip_cache_check`: what cache_info wrote is not compared with the files. `word`: what captions have to hold, or nothing is
    learned from their pictures.
    """

    datasets: tuple[DatasetSpec, ...]
    source: Path | None = None
    masked_loss: bool = False
    skip_cache_check: bool = False
    skipped: tuple[str, ...] = ()
    word: str | None = None
