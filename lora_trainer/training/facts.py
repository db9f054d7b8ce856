"""The metadata of the files of one training."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch

from .. import __version__
from ..data import plan as data
from ..data.plan.digest import data_record, digests
from ..foreign.reading import UnreadableError, is_file, read_text
from ..log import logger
from ..models import Model
from ..networks import files, recipe
from ..networks.arguments import parse_network_args
from ..networks.metadata import Facts, build
from ..options import TrainOptions, flat
from .precision import device_name
from .resuming import Start
from .trained import Trained

Result = TypeVar("Result")
_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "safetensors")


def file_metadata(
    options: TrainOptions,
    model: Model,
    trained: Trained,
    plan: data.DataPlan,
    counts: data.StepCounts,
    optimizer: str,
    start: Start,
    *,
    reads: bool = True,
) -> Callable[[str, int, int], dict[str, str]]:
    """Return the function (file's stem, step, finished epochs) -> metadata of a file of this training.

    The hashes of base model, VAE and pictures are worked out beside the training, which need not wait for them before the first
    save. Where nothing `reads` those files, zeros stand in place of the hashes: the same texts as to their length.
    """
    of_file, of_data = (_hashes, digests) if reads else (_zeros, _no_digests)
    base = _later(lambda: of_file(options.model.pretrained_model_name_or_path), None)
    vae = _later(lambda: of_file(options.model.vae), None)
    told = not options.saving.no_metadata
    record: Future[dict[str, Any]] = _later(lambda: data_record(plan, flat(options), of_data(plan)) if told else {}, {})
    made_with = versions(next(trained.parameters()).device, plan.world_size)
    prompts = _text(options.sampling.sample_prompts) if told else ""
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
        started_at=start.started_at,
        finished_at=start.started_at,
        session_id=start.session,
        network_args=parse_network_args(chosen.network_args),
        data=data.metadata(plan, dataset_config=bool(options.dataset.dataset_config)),
        family=model.family.name,
        v_parameterization=model.prediction_type == "v_prediction",
        zero_terminal_snr=model.zero_terminal_snr,
        num_validation_images=len(plan.kept_aside),
        seed=plan.seed,
    )

    def metadata(stem: str, step: int, epoch: int) -> dict[str, str]:
        now = time.time()
        again = recipe.texts(options, seed=plan.seed, data=record.result(), versions=made_with, prompts=prompts)
        hashes = {"base_hashes": base.result(), "vae_hashes": vae.result()}
        how = model.compiled.way.name if model.compiled is not None else ""
        moment = replace(facts, stem=stem, step=step, epoch=epoch, finished_at=now, recipe=again, compiled=how, **hashes)
        return build(options, moment)

    return metadata


def versions(device: torch.device, processes: int) -> dict[str, Any]:
    """What a training's last bits depend on besides settings and data: programs, machine, threads and processes."""
    found = {"lora_trainer": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    machine = {"device": device_name(device), "processor": platform.machine(), "threads": torch.get_num_threads()}
    return {**found, **machine, "processes": processes}


def _later(work: Callable[[], Result], otherwise: Result) -> Future[Result]:
    """What `work` returns, worked out by a thread. A night's training is not lost for want of it: `otherwise` then, with a
    warning in the log."""

    def carefully() -> Result:
        try:
            return work()
        except Exception as error:  # the drive of the model or of the pictures may be gone by now
            logger.warning("the file's metadata will lack something: %s", error)
            return otherwise

    pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
    future = pool.submit(carefully)
    pool.shutdown(wait=False)
    return future


def _text(path: str | None) -> str:
    """The sample prompts; "" when there are none, or they are in another form than lines of text."""
    try:
        return read_text(path) if path and Path(path).suffix.lower() == ".txt" else ""
    except UnreadableError:
        return ""


def _hashes(path: str | None) -> tuple[str, str] | None:
    """The hashes of the file `path`; None when it is no single file."""
    return files.file_hashes(Path(path).expanduser()) if path and is_file(Path(path).expanduser()) else None


def _zeros(path: str | None) -> tuple[str, str] | None:
    """As long as `_hashes`."""
    return ("0" * 8, "0" * 64) if path and is_file(Path(path).expanduser()) else None


def _no_digests(plan: data.DataPlan) -> tuple[str, list[str]]:
    """As long as `digests`."""
    return "0" * 64, ["0" * 64 for _ in plan.subsets]
