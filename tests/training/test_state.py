"""What a state keeps of the pieces of a training: all of it, exactly, through files."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lora_trainer.errors import InputError, SaveError
from lora_trainer.runs import states
from lora_trainer.training.precision import Precision
from lora_trainer.training.state import OptimizerState, ScalerState, TrainedState, restore, writers

from .test_optimizer_steps import HERE, Problem, same
from .test_update import make_step, needs_cpu_scaler, updater_for


class Remembers:
    """A piece that remembers whatever it is given."""

    def __init__(self, value=None) -> None:
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state) -> None:
        self.value = state["value"]


def through_files(folder, saved, *, into) -> None:
    info = states.write_state(folder / "x-state", writers(saved), {"step": 1, "epoch": 0, "batch": 1})
    restore(states.read_state(info), into)


def test_a_piece_comes_back_as_it_was(tmp_path):
    """Tensors of every dtype and shape, numbers to the last bit, infinity, None, tuples, and keys that are no texts."""
    draw = torch.Generator().manual_seed(1)
    wide = torch.randn(3, 4, generator=draw)
    value = {
        "numbers": [1, 0.1, -1e-300, 2**60, math.inf, -math.inf, True, None, "text"],
        "betas": (0.9, (0.99, [1, 2])),
        "tensors": [wide, wide.to(torch.bfloat16), wide.half(), wide.double(), (wide * 9).to(torch.uint8), wide[:0], wide > 0],
        "not in one piece": wide.t()[1:],
        "one": torch.tensor(3.0),
        3: {"__tensor__": "a text"},
        "empty": {},
    }
    found = Remembers()
    through_files(tmp_path, {"a": Remembers(value), "b": Remembers("other")}, into={"a": found})
    assert repr(found.value) == repr(value)  # dtypes and shapes; a NaN would be no number
    flat = [*value["tensors"], value["not in one piece"], value["one"]]
    again = [*found.value["tensors"], found.value["not in one piece"], found.value["one"]]
    assert all(torch.equal(one, two) and one.dtype == two.dtype for one, two in zip(flat, again, strict=True))
    assert found.value["betas"] == value["betas"] and found.value["numbers"][3] == 2**60


def test_numbers_of_numpy_are_numbers_and_what_no_file_can_hold_is_said(tmp_path):
    """A class of another package may remember anything: the training goes on, without states."""
    found = Remembers()
    through_files(tmp_path, {"a": Remembers([np.float64(0.1), np.int64(3), np.bool_(True)])}, into={"a": found})
    assert found.value == [0.1, 3, True]
    with pytest.raises(SaveError, match="optimizer/value/0 is a dtype"):
        writers({"optimizer": Remembers([torch.float32])})


def test_spoilt_weights_are_no_state():
    """The states of before stay: whoever goes on from them can lower the learning rate."""
    trained = torch.nn.Linear(2, 2)
    trained.training_state = lambda: dict(trained.named_parameters())
    assert len(writers({"network": TrainedState(trained)})) == 2
    with torch.no_grad():
        trained.weight[0, 0] = math.nan
    with pytest.raises(SaveError, match="became NaN or infinite"):
        writers({"network": TrainedState(trained)})


def test_a_state_of_very_many_small_parts_is_read(tmp_path):
    """More values than are read of other JSON files, as DyLoRA's blocks come to on SDXL."""
    found, many = Remembers(), [0] * 1_200_000
    through_files(tmp_path, {"a": Remembers(many)}, into={"a": found})
    assert found.value == many


def test_a_state_that_lacks_a_piece_or_has_another_is_refused(tmp_path):
    states.write_state(tmp_path / "x-state", writers({"a": Remembers(1)}), {"step": 1, "epoch": 0, "batch": 1})
    info = states.read_state(tmp_path / "x-state")
    with pytest.raises(InputError, match="nothing of the ema"):
        restore(info, {"ema": Remembers()})
    other = Remembers()
    other.load_state_dict = lambda state: state["else"]
    with pytest.raises(InputError, match="does not fit"):
        restore(info, {"a": other})


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
@pytest.mark.parametrize("kind", HERE, ids=lambda kind: kind.name)
def test_every_optimizer_goes_on_from_its_files_to_the_same_bytes(tmp_path, kind, schedule):
    """Adaptive rates, averages and counters, which some keep in their groups and some beside their tensors."""
    whole, first, second = (Problem(kind, ratio=0.5, schedule=schedule) for _ in range(3))
    saved, into = (
        {"optimizer": OptimizerState(one.updater.optimizer), "schedule": one.updater.schedule, "updater": one.updater}
        for one in (first, second)
    )
    whole.train(12)
    first.train(7)
    through_files(tmp_path, saved, into=into)
    with torch.no_grad():
        second.down.copy_(first.down)
        second.up.copy_(first.up)
    second.updater.steps = first.updater.steps
    second.train(5)
    assert same(whole.weights, second.weights) and whole.updater.rates == second.updater.rates
    with whole.shown(), second.shown():
        assert same(whole.weights, second.weights)


def optimizer(*, lr: float = 0.1, decay: float = 0.0, dtype: torch.dtype = torch.bfloat16, names=("a", "b")):
    groups = [{"params": [torch.nn.Parameter(torch.ones(3, dtype=dtype))], "name": name} for name in names]
    made = torch.optim.AdamW(groups, lr=lr, weight_decay=decay)
    return made, OptimizerState(made)


def test_the_dtype_of_what_an_optimizer_remembers_is_not_that_of_the_weights(tmp_path):
    """torch's own load_state_dict would round these numbers to bf16."""
    one, saved = optimizer()
    parameter = one.param_groups[0]["params"][0]
    one.state[parameter] = {"step": torch.tensor(3.0), "exp_avg": torch.full((3,), 0.1), "exp_avg_sq": torch.ones(3).double()}
    two, into = optimizer()
    through_files(tmp_path, {"optimizer": saved}, into={"optimizer": into})
    (found,) = two.state.values()
    assert found["exp_avg"].dtype == torch.float32 and torch.equal(found["exp_avg"], torch.full((3,), 0.1))
    assert found["exp_avg_sq"].dtype == torch.float64 and found["step"].device.type == "cpu"


def test_settings_that_the_user_has_changed_count_and_those_that_the_optimizer_changed_go_on(tmp_path):
    one, saved = optimizer(decay=0.1)
    for group in one.param_groups:
        group["d"], group["betas"] = 0.25, (0.5, 0.5)  # as an adaptive optimizer does
    two, into = optimizer(decay=0.2)
    through_files(tmp_path, {"optimizer": saved}, into={"optimizer": into})
    assert [(group["weight_decay"], group["d"], group["betas"]) for group in two.param_groups] == [(0.2, 0.25, (0.5, 0.5))] * 2


def test_another_optimizer_or_other_groups_are_refused(tmp_path):
    _, saved = optimizer()
    with pytest.raises(InputError, match="other groups of parameters: a, b; now they are a"):
        through_files(tmp_path / "1", {"optimizer": saved}, into={"optimizer": optimizer(names=("a",))[1]})
    other = OptimizerState(torch.optim.SGD([torch.nn.Parameter(torch.ones(3))], lr=0.1))
    with pytest.raises(InputError, match="of the optimizer torch.optim.adamw.AdamW"):
        through_files(tmp_path / "2", {"optimizer": saved}, into={"optimizer": other})


@needs_cpu_scaler
def test_the_scale_of_fp16_and_its_growth_go_on(tmp_path):
    """Three overflows in a row, then steps that grow the scale again: a scaler that began anew would be elsewhere."""

    def made():
        parameter = torch.nn.Parameter(torch.ones(2))
        updater = updater_for(parameter, fp16=True)
        updater.scaler.set_growth_interval(3)
        named = {"scaler": ScalerState(updater.scaler), "optimizer": OptimizerState(updater.optimizer), "updater": updater}
        return parameter, updater, {**named, "schedule": updater.schedule}

    factors = [math.inf, 1.0, math.inf, math.inf, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]
    for cut in (4, 6):
        (whole, updater, _), (first, before, saved), (second, after, into) = made(), made(), made()
        for factor in factors:
            make_step(updater, (whole * factor).sum())
        for factor in factors[:cut]:
            make_step(before, (first * factor).sum())
        through_files(tmp_path / str(cut), saved, into=into)
        with torch.no_grad():
            second.copy_(first)
        assert after._overflows == before._overflows == (2 if cut == 4 else 0)
        for factor in factors[cut:]:
            make_step(after, (second * factor).sum())
        assert torch.equal(whole, second) and after.scaler.get_scale() == updater.scaler.get_scale()
        assert after.scaler.state_dict() == updater.scaler.state_dict()


def test_a_precision_without_a_scaler_has_nothing_to_restore(tmp_path):
    plain = ScalerState(Precision(torch.device("cpu"), torch.float32).scaler())
    through_files(tmp_path, {"scaler": plain}, into={"scaler": plain})
