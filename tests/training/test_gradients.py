"""A memory that is full in the middle of a training ends it, or, when asked for, cuts the batches into parts."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.errors import OutOfMemoryError
from lora_trainer.training.gradients import cut
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder


@pytest.fixture
def full_memory(monkeypatch):
    """full_memory(most, from_step): a card on which more than `most` samples do not fit; returns the sizes computed."""
    real, sizes = Trainee.batch_loss, []

    def make(most: int, from_step: int = 1) -> list[int]:
        def limited(self, batch, *, step, **rest):
            if step >= from_step and len(batch["captions"]) > most:
                real(self, batch, step=step, **rest).backward()  # what was computed until then must not count
                raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            sizes.append(len(batch["captions"]))
            return real(self, batch, step=step, **rest)

        monkeypatch.setattr(Trainee, "batch_loss", limited)
        return sizes

    return make


# An eps far above the gradients: AdamW's step is then linear in them, so that their rounding is not made a change of sign.
SPLITTING = {"split_batch_when_full": True, "train_batch_size": 4, "optimizer_args": ["eps=1"], "learning_rate": 0.1}


@pytest.mark.effect("split_batch_when_full")
@pytest.mark.parametrize(("most", "sizes", "accumulation"), [(3, {2}, 1), (1, {1}, 2)])
def test_a_full_memory_halves_the_batch_and_the_training_goes_on_with_the_same_losses(
    options_for, full_memory, most, sizes, accumulation
):
    settings = {**SPLITTING, "max_train_steps": 4, "gradient_accumulation_steps": accumulation}
    whole, cut_up = Recorder(), Recorder()
    train(options_for(output_name="whole", **settings), reporter=whole)
    seen = full_memory(most, from_step=2)
    train(options_for(output_name="cut", **settings), reporter=cut_up)
    assert set(seen) == {4, *sizes}, "the first step was whole, the others in parts"
    assert cut_up.losses[0] == whole.losses[0]
    assert cut_up.losses == pytest.approx(whole.losses, rel=1e-4)
    (said,) = [event["message"] for event in cut_up.of("warning") if "memory was full at step 2" in event["message"]][-1:]
    assert f"in {4 // max(sizes)} parts" in said


def test_a_memory_that_holds_no_single_sample_says_what_to_lower(options_for, full_memory):
    full_memory(0, from_step=2)
    reporter = Recorder()
    with pytest.raises(OutOfMemoryError) as error:
        train(options_for(**SPLITTING, max_train_steps=4), reporter=reporter)
    assert "split_batch_when_full" not in error.value.advice and "resolution" in error.value.advice
    assert reporter.saved == ["x-step00000001.safetensors"]


def test_without_the_option_the_training_ends_and_names_it(options_for, full_memory):
    full_memory(2)
    with pytest.raises(OutOfMemoryError) as error:
        train(options_for(**{**SPLITTING, "split_batch_when_full": False}), reporter=Recorder())
    assert "split_batch_when_full" in error.value.advice


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_the_parts_of_a_batch_are_the_batch(count, parts):
    batch = {
        "latents": torch.arange(count * 2.0).reshape(count, 2),
        "captions": [str(number) for number in range(count)],
        "indices": torch.arange(count) + 5,
        "global_size": 8,
        "epoch": 1,
        "batch": 2,
    }
    found = cut(batch, parts)
    assert len(found) == max(1, min(parts, count))
    assert torch.equal(torch.cat([part["latents"] for part in found]), batch["latents"])
    assert torch.equal(torch.cat([part["indices"] for part in found]), batch["indices"])
    assert sum((part["captions"] for part in found), []) == batch["captions"]
    assert all((part["global_size"], part["epoch"], part["batch"]) == (8, 1, 2) for part in found)
    assert max(len(part["captions"]) for part in found) - min(len(part["captions"]) for part in found) <= 1
