"""What a training keeps where, on a card: the same losses, and less of the card's memory."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.models import main_memory
from lora_trainer.training import memory, recomputing
from lora_trainer.training.distributed import Processes
from lora_trainer.training.encoding import Encoder
from lora_trainer.training.recomputing import Measuring
from lora_trainer.training.rehearsal.card import Room
from lora_trainer.training.train import train
from tests.training.conftest import Recorder


def run(options) -> tuple[list[float], int]:
    """(the losses, the most memory of the card that was used at once)."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    reporter = Recorder()
    train(options, reporter=reporter, processes=Processes("cuda"))
    return reporter.losses, torch.cuda.max_memory_allocated()


@pytest.mark.parametrize(
    "chosen",
    [{"blocks_to_swap": 38}, {"blocks_to_swap": 20, "fp8_base": True}, {"cpu_offload_checkpointing": True}],
    ids=["blocks", "blocks in 8 bits", "checkpoints"],
)
def test_main_memory_takes_over_and_the_losses_stay(options_for, chosen):
    shared = {"gradient_checkpointing": True, "mixed_precision": "bf16", "max_train_steps": 6, "fp8_base": "fp8_base" in chosen}
    plain, most = run(options_for(output_name="plain", **shared))
    found, less = run(options_for(output_name="less", **(shared | chosen)))
    assert found == pytest.approx(plain, rel=1e-3)
    assert less < most


def test_8_bits_take_half_of_bf16(options_for):
    _, most = run(options_for(mixed_precision="bf16", output_name="whole", max_train_steps=1))
    losses, less = run(options_for(mixed_precision="bf16", output_name="eight", fp8_base=True, max_train_steps=1))
    assert less < most and losses[0] > 0


@pytest.mark.parametrize("full", ["full_bf16", "full_fp16"])
def test_weights_in_half_precision_train(options_for, full):
    plain, _ = run(options_for(mixed_precision=full[-4:], output_name="plain"))
    found, _ = run(options_for(mixed_precision=full[-4:], output_name="full", **{full: True}))
    assert found == pytest.approx(plain, rel=5e-2)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("backend", ["eager", "aot_eager", "inductor"])
@pytest.mark.parametrize(
    "more", [{}, {"gradient_checkpointing": True, "fp8_base": True}], ids=["plain", "checkpoints in 8 bits"]
)
def test_a_compiled_unet_trains_the_same(options_for, backend, more):
    if backend == "inductor":
        pytest.importorskip("triton")
    plain, _ = run(options_for(output_name="plain", max_train_steps=2, **more))
    chosen = {"torch_compile": True, "dynamo_backend": backend}
    found, _ = run(options_for(output_name="compiled", max_train_steps=2, **more, **chosen))
    assert found == pytest.approx(plain, rel=1e-3)


def test_the_unet_comes_last_where_the_card_is_small_and_the_losses_stay(options_for, monkeypatch):
    plain, _ = run(options_for(mixed_precision="bf16", output_name="plain", max_train_steps=4))
    monkeypatch.setattr(memory, "_PLENTY", 1e9)
    posterior, places = Encoder.posterior, []

    def watched(self, images):
        places.append(self._model.unet.device.type)
        return posterior(self, images)

    monkeypatch.setattr(Encoder, "posterior", watched)
    found, _ = run(options_for(mixed_precision="bf16", output_name="last", max_train_steps=4))
    assert set(places) == {"cpu"} and found == pytest.approx(plain, rel=1e-3)


def test_as_few_blocks_as_the_memory_allows_are_computed_twice_and_the_losses_stay(options_for, monkeypatch):
    shared = {"mixed_precision": "bf16", "max_train_steps": 4, "gradient_checkpointing": True}
    plain, _ = run(options_for(output_name="plain", **shared))
    chosen = []
    choose = Measuring.choose
    for free in (None, 1):  # all of the card, and nothing
        if free:
            monkeypatch.setattr(recomputing, "room", lambda device: Room(1, 1))
        monkeypatch.setattr(Measuring, "choose", lambda self, room: chosen.append(choose(self, room)) or chosen[-1])
        found, _ = run(options_for(output_name=f"auto{free}", gradient_checkpointing_blocks="auto", **shared))
        assert found == pytest.approx(plain, rel=1e-3)
    assert chosen == [(), None]


def test_memory_that_cannot_be_page_locked_spoils_no_later_kernel():
    """CUDA keeps the error of a call that failed for whoever asks next."""
    piece = torch.zeros(1 << 16, dtype=torch.uint8)
    assert main_memory._lock(piece)
    try:
        assert not main_memory._lock(piece)  # it is locked already
        assert float(torch.ones(3, device="cuda").neg().sum()) == -3
    finally:
        torch.cuda.cudart().cudaHostUnregister(piece.data_ptr())
