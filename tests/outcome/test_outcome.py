"""Does the training do what it claims? Small trainings on the tiny checkpoint, and gradients of single steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.data.dataset import TrainDataset
from lora_trainer.data.plan import DataPlan
from lora_trainer.errors import LoraFileError
from lora_trainer.models import load
from lora_trainer.models.checkpointing import checkpoint_gradients
from lora_trainer.options import TrainOptions
from lora_trainer.training import optimizers, precision, prepare
from lora_trainer.training.conditioning import TextStates
from lora_trainer.training.distributed import Processes
from lora_trainer.training.encoding import Encoder, cached_latents
from lora_trainer.training.gradients import cut
from lora_trainer.training.noise import NoiseSettings
from lora_trainer.training.objective import Objective
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee
from tests.training.conftest import Recorder, make_images

pytestmark = pytest.mark.outcome
SIZE = "128"  # at 64 the tiny model's middle has groups of two numbers, whose normalisation makes gradients ill-conditioned


class Bench:
    """A training that is set up but not run: gradients of chosen batches can be asked for."""

    def __init__(self, options: TrainOptions) -> None:
        processes = Processes("cpu")
        computed = precision.choose(options.training.mixed_precision, processes.device)
        self.plan: DataPlan = prepare.data_plan(options, 5, processes, lambda event: None)
        model = prepare.base_model(options.model, self.plan, computed, lambda event: None)
        encoder = Encoder(model, 5, processes.device)
        self.latents = cached_latents(options.dataset, self.plan, encoder, lambda event: None, lambda: False)
        self.network = prepare.network(options.network, model, 5, processes.device)
        with torch.no_grad():  # without this the gradients of all the down halves are zero
            for i, parameter in enumerate(self.network.parameters()):
                generator = torch.Generator().manual_seed(i)
                parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
        if options.training.gradient_checkpointing:
            checkpoint_gradients(model.unet, model.text_encoders)
        optimizers.of(options.optimizer, self.network, lambda event: None)
        text = TextStates.of(options.model, model, self.network, self.plan, computed, lambda event: None)
        objectives = Objective.of(options.training, model.prediction_type, processes.device), NoiseSettings.of(options.training)
        self.trainee = Trainee(model, text, encoder, *objectives, computed, 5)

    def gradient(self, batches: list[dict], samples: int) -> tuple[float, torch.Tensor]:
        """Return (loss, all gradients as one vector) of one optimizer step made of `batches`."""
        self.network.zero_grad(set_to_none=True)
        offset, total = 0, 0.0
        for batch in batches:
            loss = self.trainee.batch_loss(batch, step=1, offset=offset, samples=samples)
            loss.backward()
            total += loss.item()
            offset += len(batch["captions"])
        gradients = [p.grad.flatten() for p in self.network.parameters() if p.grad is not None]
        return total, torch.cat(gradients)

    def batch(self) -> dict:
        """The first batch of the first epoch."""
        return TrainDataset(self.plan, latents=self.latents)[(0, 0)]


def single(batch: dict) -> list[dict]:
    """The batch as batches of one sample, each the first of its own."""
    return [part | {"indices": torch.tensor([0])} for part in cut(batch, len(batch["captions"]))]


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal to rounding."""
    return bool((a - b).norm() <= 1e-4 * b.norm()) and bool(b.norm() > 0)


def change_of(path: Path, part: str) -> float:
    """The length of everything that was learned for a part ("unet" or "te")."""
    return sum(float(t.float().norm()) for name, t in load_file(path).items() if f"lora_{part}_" in name and "lora_up" in name)


def test_loss_on_the_training_images_falls(options_for):
    reporter = Recorder()
    options = options_for(
        max_train_steps=30,
        learning_rate=3e-3,
        network_dim=8,
        network_alpha=8,
        network_args=["conv_dim=8", "conv_alpha=8"],
        network_train_unet_only=True,
    )
    train(options, reporter=reporter)
    first, last = sum(reporter.losses[:5]) / 5, sum(reporter.losses[-5:]) / 5
    assert last < 0.8 * first, (first, last)


@pytest.mark.effect("network_train_unet_only", "network_train_text_encoder_only")
@pytest.mark.parametrize(
    ("option", "trained", "absent"),
    [("network_train_unet_only", "unet", "te"), ("network_train_text_encoder_only", "te", "unet")],
)
def test_training_one_part_trains_and_saves_only_it(options_for, tmp_path, option, trained, absent):
    train(options_for(**{option: True}), reporter=Recorder())
    path = tmp_path / "out" / "x.safetensors"
    assert change_of(path, trained) > 0
    assert not any(f"lora_{absent}_" in name for name in load_file(path))


@pytest.mark.effect("text_encoder_lr", "unet_lr")
@pytest.mark.parametrize(("option", "still", "moved"), [("text_encoder_lr", "te", "unet"), ("unet_lr", "unet", "te")])
def test_a_part_with_a_rate_of_zero_stays_as_it_was(options_for, tmp_path, option, still, moved):
    reporter = Recorder()
    train(options_for(**{option: 0.0}), reporter=reporter)
    path = tmp_path / "out" / "x.safetensors"
    assert change_of(path, still) == 0 and change_of(path, moved) > 0
    assert len(reporter.of("step")[0]["rates"]) == 1


@pytest.mark.effect("network_weights", "dim_from_weights")
def test_network_weights_begin_where_the_other_training_ended(options_for, tmp_path):
    train(options_for(max_train_steps=4, network_dim=2), reporter=Recorder())
    first = tmp_path / "out" / "x.safetensors"
    for changed in ({"network_dim": 2}, {"dim_from_weights": True}):
        bench_options = options_for(network_weights=str(first), **changed)
        model = load(bench_options.model.pretrained_model_name_or_path, dtype=torch.float32, device="cpu")
        network = prepare.network(bench_options.network, model, 9, torch.device("cpu"))
        state = network.state_dict()
        assert all(torch.equal(state[name], tensor) for name, tensor in load_file(first).items())


def test_the_lora_of_the_reference_is_no_lora_of_a_smaller_model(options_for):
    golden = Path(__file__).parents[1] / "golden" / "lora_sd15_sd_scripts.safetensors"
    with pytest.raises(LoraFileError, match="does not fit"):
        train(options_for(network_weights=str(golden), network_dim=2), reporter=Recorder())


def test_accumulating_two_batches_of_one_gives_the_gradient_of_one_batch_of_two(options_for):
    bench = Bench(options_for(resolution=SIZE, train_batch_size=2))
    batch = bench.batch()
    loss, gradient = bench.gradient([batch], 2)
    parts_loss, parts_gradient = bench.gradient(single(batch), 2)
    assert parts_loss == pytest.approx(loss, rel=1e-5) and close(parts_gradient, gradient)


def test_gradient_checkpointing_gives_the_same_gradients(options_for):
    plain, checkpointing = (
        Bench(options_for(resolution=SIZE, train_batch_size=2, gradient_checkpointing=on)) for on in (False, True)
    )
    batch = plain.batch()
    loss, gradient = plain.gradient([batch], 2)
    other_loss, other_gradient = checkpointing.gradient([batch], 2)
    assert other_loss == pytest.approx(loss, rel=1e-6) and close(other_gradient, gradient)


@pytest.mark.parametrize("unet_only", [False, True])
def test_gradient_checkpointing_computes_less_at_once(options_for, unet_only):
    """The blocks are recomputed in the backward pass: their forward is called twice."""
    bench = Bench(options_for(resolution=SIZE, gradient_checkpointing=True, network_train_unet_only=unet_only))
    calls = []
    block = bench.trainee.model.unet.up_blocks[3].resnets[0]
    block.register_forward_pre_hook(lambda *_: calls.append(1))
    bench.gradient([bench.batch()], 1)
    assert len(calls) == 2


@pytest.mark.effect("prior_loss_weight")
def test_regularisation_images_enter_with_their_weight(options_for, tmp_path):
    make_images(tmp_path / "train" / "1_sls frog", 1)
    make_images(tmp_path / "reg" / "1_frog", 1, first=3)
    data = {"train_data_dir": str(tmp_path / "train"), "reg_data_dir": str(tmp_path / "reg"), "train_batch_size": 2}
    results = {}
    for weight in (0.0, 0.5, 1.0):
        bench = Bench(options_for(resolution=SIZE, prior_loss_weight=weight, **data))
        batch = bench.batch()
        assert sorted(batch["loss_weights"].tolist()) == sorted([weight, 1.0])
        results[weight] = bench.gradient([batch], 2)
    middle = (results[0.0][1] + results[1.0][1]) / 2
    assert close(results[0.5][1], middle) and not close(results[0.0][1], results[1.0][1])
    assert results[0.5][0] == pytest.approx((results[0.0][0] + results[1.0][0]) / 2, rel=1e-5)


@pytest.mark.parametrize("loss_type", ["l1", "huber", "smooth_l1"])
def test_every_loss_type_trains(options_for, loss_type):
    reporter = Recorder()
    train(options_for(loss_type=loss_type, min_snr_gamma=5, max_train_steps=2), reporter=reporter)
    assert all(0 < loss < 10 for loss in reporter.losses)


def test_min_snr_changes_the_weight_of_a_step_and_nothing_else(options_for):
    plain, weighted = (
        Bench(options_for(resolution=SIZE, min_snr_gamma=gamma, min_timestep=20, max_timestep=21)) for gamma in (None, 5)
    )
    batch = plain.batch()
    loss, gradient = plain.gradient([batch], 1)
    other_loss, other_gradient = weighted.gradient([batch], 1)
    factor = 0.09520750492811203  # golden/loss.json: min_snr_gamma=5 at timestep 20
    assert other_loss == pytest.approx(loss * factor, rel=1e-4) and close(other_gradient, gradient * factor)
