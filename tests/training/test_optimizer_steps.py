"""Every optimizer that runs on a CPU: it learns, its rates are told, it goes on from its state, and looking changes nothing."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.networks import files
from lora_trainer.options.optimizer_kinds import OPTIMIZERS
from lora_trainer.runs import states
from lora_trainer.training import fused, optimizers, schedulers, state
from lora_trainer.training.distributed import Processes
from lora_trainer.training.precision import Precision
from lora_trainer.training.schedulers import ScheduleSettings
from lora_trainer.training.shown import ShownWeights
from lora_trainer.training.train import train
from lora_trainer.training.update import Updater

from .conftest import Recorder

HERE = [kind for kind in OPTIMIZERS if not kind.full and (kind.name != "Muon" or hasattr(torch.optim, "Muon"))]
RATES = {  # of those that need another than 0.02
    "Lion": 0.01,
    "SGDNesterov": 0.01,
    "SGD": 0.1,
    "Adadelta": 5.0,
    "Rprop": 0.01,
    "Adagrad": 0.1,
    "ASGD": 0.1,
    "SGDScheduleFree": 0.5,
}
# Begin at an estimate, or with a rate, that this small problem can be learned with in so few steps.
ARGUMENTS = {"AdaFactor": {"scale_parameter": False}, "SGDScheduleFree": {"momentum": 0.5}, "DAdaptAdaGrad": {"d0": 0.05}}
STEPS = 60


def rate_of(kind) -> float:
    return 0.3 if kind.finds_its_rate else RATES.get(kind.name, 0.02)


class Problem:
    """Two matrices that have to become the factors of a third, as a LoRA's do; the second is nothing at first."""

    def __init__(self, kind, *, ratio: float = 1.0, schedule: str = "constant", fuse: bool = False) -> None:
        draw = torch.Generator().manual_seed(3)
        self.target = torch.randn(8, 3, generator=draw) @ torch.randn(3, 6, generator=draw)
        self.down = torch.nn.Parameter(torch.randn(3, 6, generator=draw) / 2)
        self.up = torch.nn.Parameter(torch.zeros(8, 3))
        rate = rate_of(kind)
        groups = [
            {"params": [self.down], "lr": rate * ratio, "name": "down"},
            {"params": [self.up], "lr": rate, "name": "up"},
        ]
        args = ARGUMENTS.get(kind.name, {"d0": 1e-3} if kind.finds_its_rate else {})
        built = optimizers.create(kind.name, groups, learning_rate=rate, args=args)
        self.updater = Updater(
            trained=_Nothing(),
            optimizer=built.optimizer,
            schedule=schedulers.create(built.optimizer, ScheduleSettings(name=schedule), total_steps=STEPS),
            scaler=Precision(torch.device("cpu"), torch.float32).scaler(),
            processes=Processes("cpu"),
            max_grad_norm=0.0,
            fused=fused.FusedSteps(built.optimizer, 0.0) if fuse else None,
        )
        self.shown = ShownWeights(built.optimizer)

    def loss(self) -> torch.Tensor:
        return (self.up @ self.down - self.target).square().mean()

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.updater.start()
            self.updater.backward(self.loss())
            self.updater.gather()
            self.updater.step()

    @property
    def weights(self) -> list[torch.Tensor]:
        return [self.down.detach().clone(), self.up.detach().clone()]


class _Nothing:
    def end_step(self) -> None:
        pass

    def start_step(self, step: int) -> None:
        """Nothing is drawn."""


def same(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.effect("optimizer_type")
@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
def test_it_learns_and_its_rates_are_told(kind):
    problem = Problem(kind)
    before = problem.loss().item()
    problem.train(STEPS)
    with problem.shown():
        assert problem.loss().item() < 0.9 * before
    rates = problem.updater.rates
    assert rates.keys() == {"down", "up"} and all(rate > 0 for rate in rates.values())
    group = problem.updater.optimizer.param_groups[1]
    if kind.finds_its_rate:
        assert rates["up"] == pytest.approx(group["d"] * group["lr"], rel=0.5), "the estimate of the last step"
        assert rates["up"] != group["lr"]


@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
def test_one_that_goes_on_from_the_files_of_a_state_makes_the_same_steps(kind, tmp_path):
    """Whatever an optimizer remembers is where a state looks for it, and the schedule is a function of the step."""
    whole, first, second = (Problem(kind, ratio=0.5, schedule="cosine") for _ in range(3))
    whole.train(12)
    kept, again = (
        {"optimizer": state.OptimizerState(one.updater.optimizer), "schedule": one.updater.schedule} for one in (first, second)
    )
    first.train(7)
    folder = states.write_state(tmp_path / "state", state.writers(kept), {"step": 7, "epoch": 0, "batch": 7})
    with torch.no_grad():
        second.down.copy_(first.down)
        second.up.copy_(first.up)
    state.restore(states.read_state(folder), again)
    second.train(5)
    assert same(second.weights, whole.weights) and second.updater.rates == whole.updater.rates


@pytest.mark.parametrize("kind", [kind for kind in HERE if kind.finds_its_rate], ids=lambda kind: kind.name)
def test_parts_may_have_rates_of_their_own_where_the_package_knows_one(kind):
    """`--text_encoder_lr=0.5 --unet_lr=1.0` with D-Adaptation, as its documents say: half the way, on one estimate."""
    halved, even = Problem(kind, ratio=0.5), Problem(kind)
    start = halved.weights
    for _ in range(4):  # the second matrix is 0 at first, so that the first one has no gradient then
        assert same(halved.weights, even.weights)
        halved.train(1)
        even.train(1)
        if not torch.equal(even.down, start[0]):
            break
    rates = halved.updater.rates
    assert rates["down"] == pytest.approx(rates["up"] / 2) and rates["up"] == even.updater.rates["up"]
    assert torch.equal(halved.up, even.up)
    moved, whole = halved.down.detach() - start[0], even.down.detach() - start[0]
    assert torch.allclose(moved, whole / 2, rtol=1e-3, atol=1e-7) and whole.abs().max() > 0


@pytest.mark.parametrize("kind", [kind for kind in HERE if kind.averages], ids=lambda kind: kind.name)
def test_what_is_shown_is_the_average_and_looking_changes_no_bit(kind):
    looked, blind = Problem(kind), Problem(kind)
    for _ in range(12):
        looked.train(1)
        before = looked.weights
        with looked.shown(), looked.shown():
            average = looked.weights
        assert same(looked.weights, before)
        blind.train(1)
    assert not same(average, before) and not same(average, [torch.zeros(3, 6), torch.zeros(8, 3)])
    assert same(looked.weights, blind.weights)


@pytest.mark.effect("fused_backward_pass")
@pytest.mark.parametrize("kind", [kind for kind in HERE if not kind.whole], ids=lambda kind: kind.name)
def test_steps_within_the_backward_pass_give_the_same_bytes_and_keep_no_gradient(kind):
    plain, fast = Problem(kind, ratio=0.5), Problem(kind, ratio=0.5, fuse=True)
    plain.train(5)
    for _ in range(5):
        fast.updater.backward(fast.loss())
        assert fast.down.grad is None and fast.up.grad is None
        assert fast.updater.gather() > 0
        fast.updater.step()
    assert same(plain.weights, fast.weights) and plain.updater.rates == fast.updater.rates


@pytest.mark.effect("fused_backward_pass", "full_bf16")
def test_steps_within_the_backward_pass_round_weights_in_bf16_to_the_same_bytes(options_for):
    found = []
    for within in (False, True):
        options = options_for(
            network_module=None, trains="model", mixed_precision="bf16", full_bf16=True, optimizer_type="AdaFactor",
            optimizer_args=["relative_step=False"], lr_scheduler="constant_with_warmup", max_grad_norm=0.0, max_train_steps=2,
            fused_backward_pass=within, output_name=f"fused{within}",
        )  # fmt: skip
        found.append(load_file(train(options, reporter=Recorder()).path))
    plain, fast = found
    assert all(torch.equal(plain[name], fast[name]) for name in plain)
    assert {tensor.dtype for name, tensor in fast.items() if name.startswith("model.")} == {torch.bfloat16}


@pytest.mark.effect("max_grad_norm")
def test_within_the_backward_pass_each_tensor_is_limited_by_itself_and_one_that_is_no_number_left_out():
    parameters = [torch.nn.Parameter(torch.tensor([1.0, 2.0])) for _ in range(2)]
    optimizer = torch.optim.SGD(parameters, lr=1.0)
    steps = fused.FusedSteps(optimizer, 1.0)
    (parameters[0] * torch.tensor([3.0, 4.0]) + parameters[1] * torch.tensor([0.3, 0.4])).sum().backward()
    assert parameters[0].tolist() == pytest.approx([0.4, 1.2], abs=1e-5)
    assert parameters[1].tolist() == pytest.approx([0.7, 1.6])
    assert steps.take_norm().item() == pytest.approx((25 + 0.25) ** 0.5) and steps.take_norm() is None
    (parameters[0].sum() * float("inf")).backward()
    assert parameters[0].isfinite().all() and not steps.take_norm().isfinite()


@pytest.mark.effect("optimizer_type", "fused_backward_pass")
@pytest.mark.parametrize(
    "chosen",
    [
        {"optimizer_type": "AdaFactor", "fused_backward_pass": True},
        {"optimizer_type": "Prodigy", "learning_rate": 1.0, "text_encoder_lr": 0.5},
        {"optimizer_type": "AdamWScheduleFree", "save_every_n_steps": 2},
    ],
    ids=["adafactor", "prodigy", "schedule-free"],
)
def test_whole_trainings(options_for, tmp_path, chosen):
    reporter = Recorder()
    result = train(options_for(max_train_steps=3, **chosen), reporter=reporter)
    steps = reporter.of("step")
    assert len(steps) == 3 and all(step["rates"]["unet"] > 0 and step["lr"] == step["rates"]["unet"] for step in steps)
    tensors, metadata = files.load(result.path)
    assert any(tensor.abs().max() > 0 for name, tensor in tensors.items() if "lora_up" in name)
    assert chosen["optimizer_type"].lower() in metadata["ss_optimizer"].lower()
    if "text_encoder_lr" in chosen:
        assert steps[-1]["rates"]["text_encoder"] == pytest.approx(steps[-1]["rates"]["unet"] / 2)
    if "save_every_n_steps" in chosen:
        unseen = options_for(max_train_steps=3, output_name="once", optimizer_type=chosen["optimizer_type"])
        once = train(unseen, reporter=Recorder())
        unsaved, _ = files.load(once.path)
        assert all(torch.equal(tensors[name], unsaved[name]) for name in tensors), "saving changed the training"


@pytest.mark.effect("fused_backward_pass")
def test_a_training_with_it_has_no_gradient_left_after_a_backward_pass(options_for, monkeypatch):
    real, left = Updater.backward, []

    def watched(self, loss):
        real(self, loss)
        left.append(sum(parameter.grad is not None for parameter in self.parameters))

    monkeypatch.setattr(Updater, "backward", watched)
    for within in (False, True):
        train(options_for(max_train_steps=1, fused_backward_pass=within), reporter=Recorder())
    assert left[0] > 0 and left[1] == 0
