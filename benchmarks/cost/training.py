"""The ordinary training of benchmarks/card/cases.py, of models of the released sizes, on the meta device.

Everything is the program's own (`training.train`), but for what there is no file for: the base model, and the images' latents.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from benchmarks.card import models
from benchmarks.card.cases import Case, write_images
from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.plan import DataPlan
from lora_trainer.models import Model, loading
from lora_trainer.models.attention import set_attention
from lora_trainer.models.text_encoders import tokenizer
from lora_trainer.options.resolve import train_options
from lora_trainer.runs.control import Control
from lora_trainer.training import assembling, prepare
from lora_trainer.training import train as program
from lora_trainer.training.distributed import Processes
from lora_trainer.training.precision import Precision
from lora_trainer.training.trainee import Trainee
from lora_trainer.training.update import Updater

from .counting import CardRules, Counts, Meta, foreach_like_a_card

WARM = 1  # steps before the one that is counted: optimizers make their state in the first
TIMED = 6  # steps whose median is the host's time


@dataclass(frozen=True)
class Cost:
    """What a step of a case costs. `host_milliseconds`: of the processor, of the same step with a model of 32 channels."""

    case: Case
    counts: Counts
    host_milliseconds: float | None = None


class _Reporter:
    """Takes the place of the run's reporter: asks to stop after so many steps, and calls `between` after each."""

    def __init__(self, steps: int, between: Any) -> None:
        self._steps, self._between, self._done = steps, between, 0

    def control(self) -> Control:
        return Control(stop=self._done >= self._steps - 1)

    def emit(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "step":
            self._done += 1
            self._between(self._done)


def count(case: Case, folder: Path, *, narrow: bool = False) -> Counts:
    """What a step of `case` asks of a card; of a model of 32 channels, with as many layers, where it is to be `narrow`.

    A step that mixes tensors of a card with those of main memory fails here, as it would on a card.
    """
    meta, rules = Meta(), CardRules()
    found: list[Counts] = []

    def between(done: int) -> None:
        if done == WARM:
            meta.begin_step()
        elif done == WARM + 1:
            found.append(meta.end_step())

    with ExitStack() as stack:
        forward = meta.within("forward", rules.forward(Trainee.batch_loss))
        backward = meta.within("backward", rules.backward(Updater.backward))
        stack.enter_context(mock.patch.object(Trainee, "batch_loss", forward))
        stack.enter_context(mock.patch.object(Updater, "backward", backward))
        for one in (foreach_like_a_card(), rules, meta):
            stack.enter_context(one)
        model = _model(case.family, **(_narrow(case.family) if narrow else {}))
        _train(case, folder, "small" if narrow else "full", model, _Reporter(WARM + 1, between))
    return found[0]


def host_milliseconds(case: Case, folder: Path, steps: int = TIMED) -> float:
    """Milliseconds of the processor that a step takes whatever its tensors' sizes: a model of 32 channels on the CPU.

    The median of `steps` steps. Its kernels take a little of it, as a card's launches do.
    """
    times: list[float] = []
    model = _model(case.family, **_narrow(case.family), device="cpu")
    _train(case, folder, "small", model, _Reporter(WARM + steps + 1, lambda _: times.append(time.process_time())))
    spent = [after - before for before, after in zip(times[WARM:], times[WARM + 1 :], strict=False)]
    return 1000 * statistics.median(spent)


def _train(case: Case, folder: Path, size: str, model: Model, reporter: _Reporter) -> None:
    """Train `case` with `model`, whose precision is set here."""
    path = folder / "model.safetensors"
    side = case.resolution(size)
    data = folder / f"data-{side}"
    if not data.exists():
        write_images(data, side)
    given = {**case.arguments(path, data, folder / "out", size), "max_data_loader_n_workers": 0}
    device = model.device

    def base_model(options: Any, plan: DataPlan, computed: Precision, emit: Any, dtype: Any = None) -> Model:
        for part in (model.unet, *model.text_encoders):
            part.to(computed.dtype)
        return model

    with (
        mock.patch.object(prepare, "base_model", base_model),
        mock.patch.object(assembling, "cached_latents", lambda options, plan, *_: LatentsCache.build(plan, _latents)),
        mock.patch.object(program, "file_metadata", lambda *_: lambda *_: {}),
    ):
        program.train(train_options(given, check_paths=False), reporter=reporter, processes=Processes(device))


def _latents(images: torch.Tensor, ids: Any) -> torch.Tensor:
    """The images' latents, were they all zeros."""
    count, _, height, width = images.shape
    return torch.zeros(count, 4, height // 8, width // 8)


def _narrow(family: str) -> dict[str, dict[str, Any]]:
    """Arguments for as many layers as the family has, each of the least width."""
    texts = len(models.TEXT_ENCODERS[family])
    unet: dict[str, Any] = {
        "block_out_channels": (32,) * len(models.UNETS[family]["block_out_channels"]),
        "attention_head_dim": 1,
        "cross_attention_dim": _TEXT_WIDTH * texts,
    }
    if texts > 1:
        unet["projection_class_embeddings_input_dim"] = _TEXT_WIDTH + 6 * models.UNETS[family]["addition_time_embed_dim"]
    return {"unet": unet, "text": {"hidden_size": _TEXT_WIDTH, "num_attention_heads": 1}}


_TEXT_WIDTH = 64


def _model(
    family: str, *, unet: Mapping[str, Any] | None = None, text: Mapping[str, Any] | None = None, device: str = "meta"
) -> Model:
    """A base model of the released size, but for these arguments of its parts; frozen. It has no VAE to speak of."""
    from diffusers import UNet2DConditionModel

    with torch.device(device):
        made = UNet2DConditionModel(**{**models.UNETS[family], **(unet or {})})
        encoders = [models.text_encoder({**config, **_fitting(config, text or {})}) for config in models.TEXT_ENCODERS[family]]
    set_attention(made, None, "torch")
    for part in (made, *encoders):
        part.requires_grad_(False).eval()
    return Model(
        family=loading._family(family),
        unet=made,
        vae=torch.nn.Identity(),  # type: ignore[arg-type]
        text_encoders=encoders,
        tokenizers=[tokenizer(), tokenizer(pad_with_zero=True)][: len(encoders)],
        prediction_type="epsilon",
        source="a model without numbers",
    )


def _fitting(config: Mapping[str, Any], text: Mapping[str, Any]) -> Mapping[str, Any]:
    """`text`, and the width of the projection where this encoder has one."""
    return {**text, "projection_dim": text["hidden_size"]} if text and "projection_dim" in config else text
