"""`prepare_buckets_latents`: the latents of the images of a metadata file, made before a training, and the sizes in the file.

python -m lora_trainer prepare_buckets_latents --full_path frogs meta_clean.json meta_lat.json model.safetensors --batch_size 4

A training with cache_latents_to_disk, the same model and the same settings of the buckets then encodes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from .. import log
from ..checkpoints.stream import Progress
from ..data.cache import LatentsCache
from ..data.latents_store import LatentsStore
from ..data.plan import DataPlan, make_plan
from ..data.plan.files import list_tree
from ..data.plan.metadata_file import Entries, read_entries, replace_entries
from ..data.plan.words import count
from ..errors import InputError
from ..log import logger
from ..modelfile import probe
from ..models import identity, loading, vae
from ..options.data_spec import NO_CAPTIONS, DatasetSpec, DataSpec, SubsetSpec
from ..options.tool_cli import parse
from ..options.tools.prepare_buckets_latents import PrepareBucketsLatents
from ..paths import user_path


def main(argv: Sequence[str]) -> int:
    """Prepare as the arguments say; returns 0. Raises InputError(s), BaseModelError and SaveError."""
    log.setup()
    run(parse(PrepareBucketsLatents, "prepare_buckets_latents", argv))
    return 0


def run(options: PrepareBucketsLatents, progress: Progress | None = None) -> Entries:
    """Encode what is not kept yet, and write the metadata with `train_resolution`; returns it.

    Nothing is written, and InputErrors raised, when an image cannot be read.
    """
    entries = read_entries(user_path(str(options.in_json)), field="in_json")
    plan = _plan(options)
    plan.raise_errors()
    store = _encode(options, plan, progress)
    for image in plan.images:
        entry = entries.setdefault(_key(Path(image.path), entries, options.full_path), {})
        entry["train_resolution"] = [side - side % vae.FACTOR for side in image.bucket]
    replace_entries(user_path(str(options.out_json)), entries)
    for told in store.damaged:
        logger.warning("made again: %s", told)
    if store.shelves.full:
        logger.warning("%s The rest is encoded when the training starts.", store.shelves.full.message)
    for dataset in plan.datasets:
        for bucket, samples in dataset.buckets.items():
            logger.info("%dx%d: %s", *bucket, count(samples, "image", "images"))
    logger.info("%s written into %s", count(len(plan.images), "size", "sizes"), options.out_json)
    return entries


def _plan(options: PrepareBucketsLatents) -> DataPlan:
    folder = user_path(str(options.train_data_dir))
    if options.recursive and not options.full_path:
        raise InputError(
            "images of several folders may have one name.",
            field="recursive",
            where="--recursive",
            advice="Give --full_path too, so that the keys are paths.",
        )
    match = re.fullmatch(r"\s*(\d{1,5})(?:\s*,\s*(\d{1,5}))?\s*", options.max_resolution)
    if match is None:
        message = f"{options.max_resolution!r} is no resolution."
        raise InputError(message, field="max_resolution", where="--max_resolution", advice="Write 512,512 (width,height).")
    resolution = int(match[1]), int(match[2] or match[1])
    folders = [one for one, listing in list_tree(folder) if listing.images] if options.recursive else [folder]
    subsets = (
        SubsetSpec(image_dir=one, class_tokens="", caption_extension=NO_CAPTIONS, flip_aug=options.flip_aug)
        for one in folders or [folder]
    )
    dataset = DatasetSpec(
        subsets=tuple(subsets),
        resolution=resolution,
        enable_bucket=True,
        min_bucket_reso=options.min_bucket_reso,
        max_bucket_reso=options.max_bucket_reso,
        bucket_reso_steps=options.bucket_reso_steps,
        bucket_no_upscale=options.bucket_no_upscale,
    )
    return make_plan(DataSpec(datasets=(dataset,)))


def _key(image: Path, entries: Entries, full_path: bool) -> str:
    """The key of an image: the one that is there, with or without the ending; else as the reference writes it."""
    names = [str(image), image.name] if full_path else [image.name, image.stem]
    return next((name for name in names if name in entries), str(image) if full_path else image.stem)


@dataclass(frozen=True)
class _Encoder:
    """The VAE for `LatentsCache.build`, as the training has it; what is drawn is of no use here."""

    autoencoder: Any

    def posterior(self, images: torch.Tensor) -> torch.Tensor:
        return vae.posterior_to_keep(self.autoencoder, images)

    def draw(self, posterior: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        return posterior.chunk(2, dim=1)[0]

    def __call__(self, images: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
        return self.draw(self.posterior(images), ids)


def _encode(options: PrepareBucketsLatents, plan: DataPlan, progress: Progress | None) -> LatentsStore:
    path = str(options.model_name_or_path)
    dtype = torch.float16 if options.mixed_precision == "fp16" else torch.float32
    device = "cuda" if torch.cuda.is_available() else "cpu"
    autoencoder = loading.load_vae(path, dtype=dtype, device=device)
    suffix = "sdxl" if probe(user_path(path)).kind == "sdxl" else "sd"
    store = LatentsStore(identity.of_vae(autoencoder), trusting=options.skip_existing, suffix=suffix)
    told = _Told()
    LatentsCache.build(
        plan, _Encoder(autoencoder), batch_size=options.batch_size, store=store, memory=0, progress=progress or told
    )
    return store


class _Told:
    """Says how far it is at every tenth."""

    def __init__(self) -> None:
        self._tenths = 0

    def __call__(self, done: int, total: int) -> None:
        if total and done * 10 // total > self._tenths:
            self._tenths = done * 10 // total
            logger.info("%d of %d", done, total)
