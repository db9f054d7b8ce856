"""The values of `ss_*` metadata that come from the data, in the shapes that kohya-ss writes and other programs read."""

from __future__ import annotations

import json
from typing import Any

from .model import DataPlan, DatasetPlan, SubsetPlan


def metadata(plan: DataPlan, *, dataset_config: bool) -> dict[str, str]:
    """Return the data's `ss_*` values, all of them text.

    `dataset_config` says that a data set file described the data: its settings go into `ss_datasets` then, otherwise there is
    one data set whose settings have keys of their own. Folders appear by name, never by path.
    """
    values: dict[str, Any] = {
        "ss_num_train_images": sum(dataset.train_images for dataset in plan.datasets),
        "ss_num_reg_images": sum(dataset.reg_images for dataset in plan.datasets),
        "ss_num_batches_per_epoch": plan.batches_per_epoch,
        "ss_dataset_dirs": json.dumps(_dirs(plan, is_reg=False)),
        "ss_tag_frequency": json.dumps(_all_tags(plan)),
    }
    if dataset_config or len(plan.datasets) != 1 or not plan.subsets:
        values["ss_datasets"] = json.dumps([_dataset(plan, index) for index in range(len(plan.datasets))])
    else:
        values |= _single_dataset(plan, plan.datasets[0], plan.subsets[0])
    return {name: str(value) for name, value in values.items()}


def _single_dataset(plan: DataPlan, dataset: DatasetPlan, subset: SubsetPlan) -> dict[str, Any]:
    """Settings that all folders share, because they came from the command line."""
    spec = dataset.spec
    return {
        "ss_batch_size_per_device": spec.batch_size,
        "ss_total_batch_size": spec.batch_size * plan.world_size,
        "ss_resolution": tuple(dataset.resolution),
        "ss_color_aug": subset.spec.color_aug,
        "ss_flip_aug": subset.spec.flip_aug,
        "ss_random_crop": subset.spec.random_crop,
        "ss_shuffle_caption": subset.spec.shuffle_caption,
        "ss_enable_bucket": spec.enable_bucket,
        "ss_bucket_no_upscale": spec.enable_bucket and spec.bucket_no_upscale,
        "ss_min_bucket_reso": dataset.min_bucket_reso,
        "ss_max_bucket_reso": dataset.max_bucket_reso,
        "ss_keep_tokens": subset.spec.keep_tokens,
        "ss_reg_dataset_dirs": json.dumps(_dirs(plan, is_reg=True)),
        "ss_bucket_info": json.dumps(_bucket_info(dataset)),
    }


def _dirs(plan: DataPlan, *, is_reg: bool) -> dict[str, dict[str, int]]:
    """Folder name -> repeats and number of images; a name that occurs again becomes `name (2)`."""
    dirs: dict[str, dict[str, int]] = {}
    for subset in plan.subsets:
        if subset.spec.is_reg is not is_reg:
            continue
        name, number = subset.name, 2
        while name in dirs:
            name, number = f"{subset.name} ({number})", number + 1
        dirs[name] = {"n_repeats": subset.spec.num_repeats, "img_count": subset.images}
    return dirs


def _tags(plan: DataPlan, dataset: int) -> dict[str, dict[str, int]]:
    """Folder name -> tag in lower case -> number of images that have it, in order of appearance.

    Of a metadata file its tags alone count, as in kohya-ss: its captions are sentences.
    """
    folders: dict[str, dict[str, int]] = {}
    for image in plan.images:
        if image.dataset != dataset or image.kept_aside:
            continue
        frequency = folders.setdefault(plan.subsets[image.subset].name, {})
        for tag in (image.caption if image.tags is None else image.tags).split(","):
            tag = tag.strip().lower()
            if tag:
                frequency[tag] = frequency.get(tag, 0) + 1
    return folders


def _all_tags(plan: DataPlan) -> dict[str, dict[str, int]]:
    """Tags of all data sets; a folder that several of them use counts once."""
    folders: dict[str, dict[str, int]] = {}
    for index in range(len(plan.datasets)):
        folders = _tags(plan, index) | folders
    return folders


def _bucket_info(dataset: DatasetPlan) -> dict[str, Any] | None:
    if not dataset.spec.enable_bucket:
        return None
    buckets = {
        str(index): {"resolution": list(size), "count": samples}
        for index, (size, samples) in enumerate(dataset.buckets.items())
    }
    return {"buckets": buckets, "mean_img_ar_error": dataset.mean_aspect_error}


def _dataset(plan: DataPlan, index: int) -> dict[str, Any]:
    dataset = plan.datasets[index]
    return {
        "is_dreambooth": all(subset.spec.metadata_file is None for subset in plan.subsets if subset.dataset == index),
        "batch_size_per_device": dataset.spec.batch_size,
        "num_train_images": dataset.train_images,
        "num_reg_images": dataset.reg_images,
        "resolution": list(dataset.resolution),
        "enable_bucket": dataset.spec.enable_bucket,
        "min_bucket_reso": dataset.min_bucket_reso,
        "max_bucket_reso": dataset.max_bucket_reso,
        "tag_frequency": _tags(plan, index),
        "bucket_info": _bucket_info(dataset),
        "resize_interpolation": dataset.spec.resize_interpolation,
        "subsets": [_subset(subset) for subset in plan.subsets if subset.dataset == index],
    }


def _subset(subset: SubsetPlan) -> dict[str, Any]:
    spec = subset.spec
    told = {
        "img_count": subset.images,
        "num_repeats": spec.num_repeats,
        "color_aug": spec.color_aug,
        "flip_aug": spec.flip_aug,
        "random_crop": spec.random_crop,
        "shuffle_caption": spec.shuffle_caption,
        "keep_tokens": spec.keep_tokens,
        "keep_tokens_separator": spec.keep_tokens_separator,
        "secondary_separator": spec.secondary_separator,
        "enable_wildcard": spec.enable_wildcard,
        "caption_prefix": spec.caption_prefix,
        "caption_suffix": spec.caption_suffix,
        "resize_interpolation": spec.resize_interpolation,
    }
    if spec.image_dir is not None:
        told["image_dir"] = spec.image_dir.name
    if spec.metadata_file is not None:
        return {**told, "metadata_file": spec.metadata_file.name}
    return {**told, "class_tokens": spec.class_tokens, "is_reg": spec.is_reg}
