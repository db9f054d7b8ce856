"""The metadata of the files of one training."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from ..data import plan as data
from ..foreign.reading import is_file
from ..models import Model
from ..networks import files
from ..networks.arguments import parse_network_args
from ..networks.metadata import Facts, build
from ..options import TrainOptions
from .trained import Trained


def file_metadata(
    options: TrainOptions,
    model: Model,
    trained: Trained,
    plan: data.DataPlan,
    counts: data.StepCounts,
    optimizer: str,
    seed: int,
    started: float,
) -> Callable[[str, int, int], dict[str, str]]:
    """Return the function (file's stem, step, finished epochs) -> metadata of a file of this training.

    The hashes of base model and VAE are worked out beside the training, which need not wait for them before the first save.
    """
    base = _later(options.model.pretrained_model_name_or_path)
    vae = _later(options.model.vae)
    chosen = options.network
    facts = Facts(
        stem="",
        step=0,
        epoch=0,
        max_train_steps=counts.total_steps,
        num_epochs=counts.epochs,
        network_dim=trained.shape.rank if chosen.dim_from_weights else chosen.network_dim,
        network_alpha=trained.shape.alpha if chosen.dim_from_weights else chosen.network_alpha,
        optimizer=optimizer,
        started_at=started,
        finished_at=started,
        network_args=parse_network_args(chosen.network_args),
        data=data.metadata(plan, dataset_config=bool(options.dataset.dataset_config)),
        family=model.family.name,
        v_parameterization=model.prediction_type == "v_prediction",
        seed=seed,
    )

    def metadata(stem: str, step: int, epoch: int) -> dict[str, str]:
        now = time.time()
        hashes = {"base_hashes": base.result(), "vae_hashes": vae.result()}
        return build(options, replace(facts, stem=stem, step=step, epoch=epoch, finished_at=now, **hashes))

    return metadata


def _later(path: str | None) -> Future[tuple[str, str] | None]:
    """The hashes of the file `path`, worked out by a thread; None when it is no file that can be read."""
    pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
    future = pool.submit(_hashes, path)
    pool.shutdown(wait=False)
    return future


def _hashes(path: str | None) -> tuple[str, str] | None:
    try:
        return files.file_hashes(Path(path).expanduser()) if path and is_file(Path(path).expanduser()) else None
    except OSError:
        return None
