"""Trained weights in half precision: types, rounding, and that the same training gives the same bytes."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputErrors
from lora_trainer.training import prepare
from lora_trainer.training.narrow import WeightPrecision, round_by
from lora_trainer.training.precision import Precision
from lora_trainer.training.train import train
from lora_trainer.training.update import Updater
from tests.given import given

from .conftest import Recorder

HALVES = [torch.bfloat16, torch.float16]


@pytest.mark.parametrize("dtype", HALVES)
def test_the_mean_of_random_rounding_is_the_value(dtype):
    """Each value has 4096 tries; the mean is within four of its standard errors, which nearest rounding is not."""
    step = torch.finfo(dtype).eps
    values = torch.tensor([1 + step * 0.1, 1 + step * 0.9, -3 - step * 0.3, 2.0**-13 * (1 + step / 4), 1e-7, -4e-8])
    values = values if dtype == torch.float16 else values[:4]
    dropped = 16 if dtype == torch.bfloat16 else 13
    bits = torch.randint(1 << dropped, (4096, len(values)), dtype=torch.int32, generator=torch.Generator().manual_seed(0))
    many = values.expand(4096, -1).contiguous()
    found = round_by(many, bits, dtype).double()
    error = found.std(0) / 64
    assert ((found.mean(0) - values.double()).abs() <= 4 * error).all()
    nearest = values.to(dtype).double()
    assert ((nearest - values.double()).abs() > 4 * error).any()
    neighbours = [{float(one) for one in column} for column in found.T]
    assert all(len(both) == 2 for both in neighbours), "only the two nearest values are taken"


@pytest.mark.parametrize("dtype", HALVES)
def test_values_that_the_type_has_stay_and_so_does_what_is_no_number(dtype):
    every = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    most = torch.full(every.shape, (1 << (16 if dtype == torch.bfloat16 else 13)) - 1, dtype=torch.int32)
    found = round_by(every.float(), most, dtype)
    numbers = ~every.isnan()
    assert torch.equal(found[numbers], every[numbers]) and found[~numbers].isnan().all()


def small_steps(stochastic: bool, seed: int = 0, dtype: torch.dtype = torch.bfloat16, steps: int = 200) -> torch.Tensor:
    """A weight of 1 that falls by 1/4000 in each of `steps` steps: less than half of what bf16 can tell."""
    weight = torch.nn.Parameter(torch.ones(256))
    options = given(full_bf16=True, mixed_precision="bf16", stochastic_rounding=stochastic)
    weights = WeightPrecision.of(options.training, dtype, [weight], seed)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    for step in range(1, steps + 1):
        weight.grad = torch.full_like(weight, 1 / 4000)
        weights.widen([weight])
        optimizer.step()
        weights.narrow([weight], step)
    assert weight.dtype == dtype and weight.grad is None
    return weight.detach().float()


@pytest.mark.effect("stochastic_rounding")
def test_small_changes_add_up_with_random_rounding_and_are_lost_without():
    assert torch.equal(small_steps(False), torch.ones(256)), "each of the steps was rounded away"
    fallen = 1 - small_steps(True).mean().item()
    assert fallen == pytest.approx(200 / 4000, rel=0.05)
    assert torch.equal(small_steps(True), small_steps(True)) and not torch.equal(small_steps(True), small_steps(True, seed=1))


def kinds(path) -> set[torch.dtype]:
    return {tensor.dtype for name, tensor in load_file(path).items() if not name.endswith("alpha")}


@pytest.fixture
def seen(monkeypatch):
    """The types of weights and gradients after each batch, and of the optimizer's own numbers after each step."""
    found: dict[str, set[torch.dtype]] = {"weights": set(), "gradients": set(), "state": set()}
    backward, step = Updater.backward, Updater.step

    def watched_backward(self, loss):
        backward(self, loss)
        found["weights"] |= {parameter.dtype for parameter in self.parameters}
        found["gradients"] |= {parameter.grad.dtype for parameter in self.parameters if parameter.grad is not None}

    def watched_step(self):
        step(self)
        found["state"] |= {state["exp_avg"].dtype for state in self.optimizer.state.values()}

    monkeypatch.setattr(Updater, "backward", watched_backward)
    monkeypatch.setattr(Updater, "step", watched_step)
    return found


@pytest.mark.effect("full_bf16")
def test_full_bf16_keeps_weights_and_gradients_in_bf16(options_for, seen):
    path = train(options_for(mixed_precision="bf16", full_bf16=True), reporter=Recorder()).path
    assert seen == {"weights": {torch.bfloat16}, "gradients": {torch.bfloat16}, "state": {torch.float32}}
    assert kinds(path) == {torch.bfloat16}


@pytest.mark.effect("full_fp16")
def test_full_fp16_keeps_weights_and_gradients_in_fp16(options_for, seen, monkeypatch):
    """As on a card: the CPU computes in fp16 here, which a training alone does not choose."""
    on_the_cpu = Precision(torch.device("cpu"), torch.float16)
    if not torch.cuda.is_available() and not hasattr(torch.amp, "GradScaler"):
        pytest.skip("fp16 on the CPU needs torch 2.3")
    monkeypatch.setattr(prepare, "choose", lambda *_: on_the_cpu)
    path = train(options_for(mixed_precision="fp16", full_fp16=True), reporter=Recorder()).path
    assert seen == {"weights": {torch.float16}, "gradients": {torch.float16}, "state": {torch.float32}}
    assert kinds(path) == {torch.float16}


@pytest.mark.parametrize("network", [{}, {"network_module": "networks.dylora", "network_dim": 4}], ids=["lora", "dylora"])
def test_a_repeated_training_in_bf16_gives_the_same_bytes(options_for, tmp_path, network):
    found = []
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        options = options_for(output_name=name, mixed_precision="bf16", full_bf16=True, seed=seed, **network)
        train(options, reporter=Recorder())
        found.append(load_file(tmp_path / "out" / f"{name}.safetensors"))
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    assert any(not torch.equal(found[0][name], found[2][name]) for name in found[0])


def test_gradients_are_added_up_and_the_norms_limited(options_for, tmp_path):
    options = options_for(
        mixed_precision="bf16", full_bf16=True, gradient_accumulation_steps=2, scale_weight_norms=0.01, max_train_steps=4,
        learning_rate=0.1,
    )  # fmt: skip
    tensors = load_file(train(options, reporter=Recorder()).path)
    names = {name.removesuffix(".alpha") for name in tensors if name.endswith(".alpha")}
    for name in names:
        down, up = (tensors[f"{name}.lora_{half}.weight"].float().flatten(1) for half in ("down", "up"))
        assert (up @ down).norm() * float(tensors[f"{name}.alpha"]) / len(down) <= 0.0101


@pytest.mark.parametrize(("full", "mixed"), [("full_bf16", "fp16"), ("full_fp16", "bf16"), ("full_bf16", "no")])
def test_another_precision_of_the_computation_is_refused(options_for, full, mixed):
    with pytest.raises(InputErrors, match=f"{full} needs mixed_precision {full[-4:]}"):
        options_for(**{full: True, "mixed_precision": mixed})
