"""From an option to what a whole training does of it: what is computed, how often, and what is learned."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.training.train import train

from .conftest import Recorder, make_images


def trained(options, folder: Path) -> tuple[list[float], torch.Tensor]:
    """The losses of a training, and all that it learned as one vector."""
    reporter = Recorder()
    train(options, reporter=reporter)
    tensors = load_file(folder / "out" / "x.safetensors")
    return reporter.losses, torch.cat([tensors[name].flatten() for name in sorted(tensors) if "lora_up" in name])


@pytest.mark.effect("gradient_accumulation_steps", "train_batch_size")
def test_batches_that_are_added_up_teach_what_one_large_batch_does(options_for, tmp_path):
    make_images(tmp_path / "same" / "4_sls frog", 1)  # whatever the order
    chosen = {"train_data_dir": str(tmp_path / "same"), "max_train_steps": 1}
    losses, learned = trained(options_for(train_batch_size=4, **chosen), tmp_path)
    added_losses, added = trained(options_for(gradient_accumulation_steps=4, **chosen), tmp_path)
    single_losses, _ = trained(options_for(**chosen), tmp_path)
    assert added_losses == pytest.approx(losses, rel=1e-4) and single_losses != pytest.approx(losses, rel=1e-2)
    # Adam's first steps are as large as the rate whatever the gradient: where that is next to nothing, rounding decides.
    assert (added - learned).norm() < 0.05 * learned.norm()


@pytest.mark.effect("max_grad_norm")
def test_gradients_are_cut_to_the_length_that_is_allowed(options_for, tmp_path):
    """Adam takes full steps for gradients far above its eps of 1e-8, and hardly any for those far below."""
    full, cut = (trained(options_for(max_train_steps=1, max_grad_norm=limit), tmp_path)[1].norm() for limit in (0, 1e-10))
    assert cut < 0.01 * full


@pytest.mark.effect("gradient_checkpointing")
def test_checkpointing_computes_the_blocks_twice_and_learns_the_same(options_for, tmp_path, monkeypatch):
    from diffusers.models.resnet import ResnetBlock2D

    calls, real = [], ResnetBlock2D.forward
    monkeypatch.setattr(ResnetBlock2D, "forward", lambda self, *args, **rest: calls.append(self) or real(self, *args, **rest))
    results, counts = [], []
    for checkpointing in (False, True):
        calls.clear()
        results.append(trained(options_for(max_train_steps=1, gradient_checkpointing=checkpointing), tmp_path)[0])
        counts.append(sum(block.time_emb_proj is not None for block in calls))  # the VAE's have no time
    assert counts[1] >= 1.9 * counts[0] > 0 and results[0] == pytest.approx(results[1], rel=1e-5)


@pytest.mark.effect("cache_latents", "vae_batch_size")
@pytest.mark.parametrize(
    ("options", "encoded"),
    [
        ({"cache_latents": False}, [1] * 2),
        ({"cache_latents": True}, [1] * 4),
        ({"cache_latents": True, "vae_batch_size": 3}, [3, 1]),
    ],
    ids=str,
)
def test_images_are_encoded_once_and_so_many_at_once_or_at_every_step(options_for, monkeypatch, options, encoded):
    from lora_trainer.models import vae

    seen, real = [], vae.posterior
    monkeypatch.setattr(vae, "posterior", lambda model, images: seen.append(len(images)) or real(model, images))
    train(options_for(max_train_steps=2, **options), reporter=Recorder())
    assert seen == encoded
