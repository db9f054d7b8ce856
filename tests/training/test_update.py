"""One optimizer step: when the weights change, when the schedule goes on, and what a step without gradients does."""

from __future__ import annotations

import pytest
import torch
from torch.utils._foreach_utils import _get_fused_kernels_supported_devices

from lora_trainer.errors import InputError, LoraFileError, NotFiniteError
from lora_trainer.networks import files
from lora_trainer.networks.base import AdapterNetwork
from lora_trainer.networks.module import LoRAModule
from lora_trainer.training.distributed import Processes
from lora_trainer.training.loop import Loop
from lora_trainer.training.precision import Precision
from lora_trainer.training.schedulers import ScheduleSettings, create
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee
from lora_trainer.training.update import Updater

from .conftest import Recorder

needs_fused = pytest.mark.skipif(
    "cpu" not in _get_fused_kernels_supported_devices(), reason="a fused AdamW on the CPU needs torch 2.4"
)
needs_cpu_scaler = pytest.mark.skipif(not hasattr(torch.amp, "GradScaler"), reason="a scaler on the CPU needs torch 2.3")


def updater_for(parameter: torch.nn.Parameter, *, fp16: bool = False, max_grad_norm: float = 1.0) -> Updater:
    optimizer = torch.optim.AdamW([parameter], lr=1.0, weight_decay=0.1)
    precision = Precision(torch.device("cpu"), torch.float16 if fp16 else torch.float32)
    schedule = create(optimizer, ScheduleSettings(name="linear"), total_steps=10)
    return Updater(
        trained=AdapterNetwork.__new__(AdapterNetwork),  # of which the steps alone are asked
        optimizer=optimizer,
        schedule=schedule,
        scaler=precision.scaler(),
        processes=Processes("cpu"),
        max_grad_norm=max_grad_norm,
    )


def make_step(updater: Updater, loss: torch.Tensor) -> None:
    updater.backward(loss)
    updater.gather()
    updater.step()


@needs_cpu_scaler
def test_a_step_that_overflows_in_fp16_changes_nothing_and_does_not_advance_the_schedule():
    parameter = torch.nn.Parameter(torch.ones(2))
    updater = updater_for(parameter, fp16=True)
    make_step(updater, (parameter * float("inf")).sum())
    assert parameter.tolist() == [1.0, 1.0] and updater.rates == {"0": 1.0}
    make_step(updater, parameter.sum())
    assert updater.rates == {"0": 1.0}, "the first step that counts has the schedule's first rate"
    assert (parameter < 1.0).all()
    make_step(updater, parameter.sum())
    assert updater.rates == {"0": pytest.approx(0.9)}


@needs_cpu_scaler
def test_gradients_that_overflow_at_every_scale_are_said():
    parameter = torch.nn.Parameter(torch.ones(2))
    updater = updater_for(parameter, fp16=True)
    with pytest.raises(NotFiniteError, match="too large for fp16"):
        for _ in range(100):
            make_step(updater, (parameter * float("inf")).sum())


@pytest.mark.parametrize("fp16", [False, pytest.param(True, marks=needs_cpu_scaler)])
def test_a_loss_without_gradients_is_a_step_that_changes_nothing(fp16):
    parameter = torch.nn.Parameter(torch.ones(2))
    updater = updater_for(parameter, fp16=fp16)
    make_step(updater, torch.ones(()))
    assert parameter.tolist() == [1.0, 1.0]
    make_step(updater, parameter.sum())
    moved = parameter.detach().clone()
    make_step(updater, torch.ones(()))
    assert torch.equal(parameter, moved), "moved by momentum or weight decay"
    assert updater.schedule.steps == 3


@pytest.mark.parametrize("limit", [1.0, 0.0])
def test_gathering_tells_the_length_of_the_gradients_and_leaves_the_weights(limit):
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    updater = updater_for(parameter, max_grad_norm=limit)
    updater.backward((parameter * torch.tensor([3.0, 4.0])).sum())
    assert updater.gather().item() == 5.0 and parameter.tolist() == [1.0, 2.0]
    assert parameter.grad.norm().item() == pytest.approx(5.0 if limit == 0 else 1.0, rel=1e-5)


@pytest.mark.parametrize("spoilt", ["loss", "gradients"])
@pytest.mark.parametrize("limit, optimizer", [(1.0, ()), (0.0, ()), pytest.param(1.0, ("fused=True",), marks=needs_fused)])
def test_a_step_that_is_no_number_leaves_the_weights_as_they_were_and_saves_them(
    options_for, tmp_path, monkeypatch, spoilt, limit, optimizer
):
    real, seen = Trainee.batch_loss, {}

    def broken(self, batch, *, step, **rest):
        loss = real(self, batch, step=step, **rest)
        if step != 3:
            return loss
        seen.update({name: tensor.clone() for name, tensor in self.model_network.state_dict().items()})
        return loss * float("nan") if spoilt == "loss" else _InfiniteGradient.apply(loss)

    def remember(self, *rest):
        self.gradients.trainee.__dict__["model_network"] = self.updater.trained
        return rest

    run = Loop.run
    monkeypatch.setattr(Loop, "run", lambda self, batches: run(self, *remember(self, batches)))
    monkeypatch.setattr(Trainee, "batch_loss", broken)
    with pytest.raises(NotFiniteError, match=f"{spoilt} became NaN or infinite at step 3") as error:
        train(options_for(max_train_steps=5, max_grad_norm=limit, optimizer_args=optimizer or None), reporter=Recorder())
    good = tmp_path / "out" / "x-step00000002.safetensors"
    assert str(good) in str(error.value)
    saved, _ = files.load(good)
    assert saved.keys() == seen.keys() and all(torch.equal(saved[name], seen[name]) for name in seen)


class _InfiniteGradient(torch.autograd.Function):
    """A number whose derivative is infinite."""

    @staticmethod
    def forward(context, number):
        return number.clone()

    @staticmethod
    def backward(context, gradient):
        return gradient * float("inf")


@pytest.mark.parametrize(
    "chosen",
    [
        {"network_args": ["module_dropout=0.999"]},
        {"network_module": "networks.dylora", "network_args": ["module_dropout=0.999"]},
        {"network_args": ["module_dropout=0.999"], "network_train_text_encoder_only": True},
        {"network_args": ["module_dropout=0.999"], "gradient_checkpointing": True},
    ],
    ids=["lora", "dylora", "text encoder", "checkpointing"],
)
def test_a_training_whose_modules_are_all_left_out_goes_on(options_for, chosen):
    reporter = Recorder()
    assert train(options_for(max_train_steps=3, **chosen), reporter=reporter).reason == "done"
    assert len(reporter.losses) == 3


def test_going_on_from_a_file_without_any_effect_is_refused_and_from_one_with_some_told(options_for, tmp_path, caplog):
    train(options_for(max_train_steps=1, output_name="first"), reporter=Recorder())
    tensors, _ = files.load(tmp_path / "out" / "first.safetensors")
    alphas = [name for name in tensors if name.endswith(".alpha")]
    silent = {name: tensors[name] * (name not in alphas) for name in tensors}
    files.save(tmp_path / "silent.safetensors", silent)
    files.save(tmp_path / "half.safetensors", {**tensors, alphas[0]: torch.tensor(0.0)})
    with pytest.raises(LoraFileError, match="alpha is 0 in every module"):
        train(options_for(network_weights=str(tmp_path / "silent.safetensors")), reporter=Recorder())
    train(options_for(network_weights=str(tmp_path / "half.safetensors"), max_train_steps=1), reporter=Recorder())
    assert f"alpha is 0 in 1 of {len(alphas)} modules" in caplog.text


def test_an_alpha_that_is_nothing_in_float32_is_refused():
    layer = torch.nn.Linear(4, 4)
    with pytest.raises(InputError, match="0 in float32"):
        LoRAModule("x", layer, rank=2, alpha=1e-50)
    assert LoRAModule("x", layer, rank=2, alpha=0).alpha == 2
