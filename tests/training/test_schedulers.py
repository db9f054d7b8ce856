"""Learning rates at each step, compared with the reference's; what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options.cli import given_options
from lora_trainer.options.optimizer import OptimizerOptions
from lora_trainer.training import optimizers, rates, schedulers
from lora_trainer.training.arguments import parse_arguments
from lora_trainer.training.schedulers import ScheduleSettings, create, factor
from tests.given import given

CASES = json.loads((Path(__file__).parents[1] / "golden" / "lr_schedules.json").read_text())["cases"]


def options_of(argv: list[str]) -> OptimizerOptions:
    """Read a recorded command line."""
    return given(**given_options(argv)).optimizer


def is_ours(case: dict) -> bool:
    """Cosine is cosine, and 1.0 is one step. Adafactor's own rates depend on its tensors: the test below."""
    argv = case["argv"]
    own = "Adafactor" in argv and "relative_step=False" not in argv
    return not own and not {"1.0", "Cosine"} & set(argv)


RATES = [case for case in CASES if "lr_group_1" in case and is_ours(case)]
ERRORS = [case for case in CASES if "error" in case and is_ours(case)]


def test_most_recorded_cases_are_read():
    assert len(RATES) == 32 and len(ERRORS) == 7


@pytest.mark.effect("lr_scheduler", "lr_warmup_steps", "lr_decay_steps", "lr_scheduler_num_cycles", "lr_scheduler_power")
@pytest.mark.effect("lr_scheduler_timescale", "lr_scheduler_min_lr_ratio", "lr_scheduler_args", "lr_scheduler_type")
@pytest.mark.parametrize("case", RATES, ids=lambda case: " ".join(case["argv"][5:]))
def test_rates_of_a_hundred_steps(case):
    options = options_of(case["argv"])
    schedulers.check(options, total_steps=100)
    groups = [{"params": [torch.nn.Parameter(torch.ones(4))], "lr": options.learning_rate / part} for part in (1, 2)]
    args = parse_arguments(options.optimizer_args or (), option="optimizer_args")
    optimizer = optimizers.create(options.optimizer_type, groups, learning_rate=options.learning_rate, args=args).optimizer
    scheduler = create(optimizer, ScheduleSettings.of(options), total_steps=100)
    found = []
    for _ in range(100):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(case["lr_group_1"], rel=1e-9, abs=1e-18)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"] / 2, rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: " ".join(case["argv"][5:]))
def test_what_the_reference_refuses_is_refused_with_the_option_named(case):
    with pytest.raises((InputErrors, InputError)) as raised:
        schedulers.check(options_of(case["argv"]), total_steps=100)
    (error,) = getattr(raised.value, "errors", [raised.value])
    assert error.field.startswith("lr_") and error.field.removeprefix("lr_").partition("_")[0] in error.message


@pytest.mark.effect("lr_scheduler", "optimizer_args")
@pytest.mark.parametrize("warmup_init", [False, True])
@pytest.mark.parametrize("scale", [False, True])
def test_adafactor_tells_the_rate_that_it_makes(warmup_init, scale):
    """min(1e-2, 1/sqrt(step)), or from 1e-6 * step with warmup_init; times the size of each tensor with scale_parameter."""
    argv = ["--learning_rate", "1e-4", "--optimizer_type", "adafactor", "--lr_scheduler", "adafactor:1e-4"]
    options = options_of([*argv, "--optimizer_args", f"warmup_init={warmup_init}", f"scale_parameter={scale}"])
    parameters = [torch.nn.Parameter(torch.full((4,), size)) for size in (1.0, 3.0)]
    args = parse_arguments(options.optimizer_args, option="optimizer_args")
    built = optimizers.create("AdaFactor", [{"params": parameters, "lr": 1e-4, "name": "unet"}], learning_rate=1e-4, args=args)
    schedule = create(built.optimizer, ScheduleSettings.of(options), total_steps=20)
    for step in range(1, 20):
        sizes = [max(1e-3, parameter.norm().item() / 2) if scale else 1.0 for parameter in parameters]
        before = parameters[0].detach().clone()
        for parameter in parameters:
            parameter.grad = torch.full((4,), 0.1)
        started = rates.before_step(built.optimizer)
        built.optimizer.step()
        schedule.step()
        base = min(1e-6 * step if warmup_init else 1e-2, step**-0.5)
        assert rates.after_step(built.optimizer, started)["unet"] == pytest.approx(base * sum(sizes) / 2, rel=1e-5)
        moved = (before - parameters[0]).abs().max().item()
        assert moved <= base * sizes[0] * 1.01 + 1.2e-7, "clip_threshold limits it to the rate, but for rounding of 1.0"


@pytest.mark.effect("lr_scheduler", "lr_scheduler_args")
@pytest.mark.parametrize("rules", ["1:10,0.1:20,0.01:30,0.005", "0.5", "2:5,0", "0.1:20,1:10,0.3"])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_piecewise_constant_is_that_of_diffusers(rules, quote):
    from diffusers.optimization import get_piecewise_constant_schedule

    reference = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    expected = get_piecewise_constant_schedule(reference, rules).lr_lambdas[0]
    options = options_of(["--lr_scheduler", "piecewise_constant", "--lr_scheduler_args", f"step_rules={quote}{rules}{quote}"])
    found = factor(ScheduleSettings.of(options), total_steps=40, rate=1e-4)
    assert [found(step) for step in range(40)] == [expected(step) for step in range(40)]


@pytest.mark.parametrize("rules", ["", "1:10", "1:10,", "x:10,1", "1:x,1", "-1:3,1", "0.1:5:6,1"])
def test_piecewise_rules_that_cannot_be_read_are_refused(rules):
    options = options_of(["--lr_scheduler", "piecewise_constant", "--lr_scheduler_args", f"step_rules={rules}"])
    with pytest.raises(InputError, match="step_rules") as error:
        schedulers.check(options, total_steps=10)
    assert error.value.field == "lr_scheduler_args" and "step_rules=1:100" in error.value.advice


CLASSES = {
    "ConstantLR": ["factor=0.5", "total_iters=7"],
    "CosineAnnealingLR": ["T_max=30"],
    "CosineAnnealingWarmRestarts": ["T_0=5", "T_mult=2"],
    "CyclicLR": ["base_lr=1e-5", "max_lr=1e-3", "step_size_up=4"],
    "ExponentialLR": ["gamma=0.9"],
    "LinearLR": ["start_factor=0.1", "total_iters=12"],
    "MultiStepLR": ["milestones=[3,11]", "gamma=0.5"],
    "OneCycleLR": ["max_lr=1e-3", "total_steps=30"],
    "PolynomialLR": ["total_iters=20", "power=2"],
    "StepLR": ["step_size=4"],
}


@pytest.mark.effect("lr_scheduler_type", "lr_scheduler_args")
@pytest.mark.parametrize("name", CLASSES)
def test_a_class_of_torch_sets_what_torch_sets_and_goes_on_from_a_number(name):
    def make() -> torch.optim.AdamW:
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1e-4, 5e-5)]
        return torch.optim.AdamW(groups, lr=1e-4)

    theirs, ours = make(), make()
    options = options_of(["--lr_scheduler_type", name, "--scheduler_args", *CLASSES[name]])
    schedulers.check(options, total_steps=30)
    given_args = parse_arguments(CLASSES[name], option="lr_scheduler_args")
    expected = getattr(torch.optim.lr_scheduler, name)(theirs, **given_args)
    schedule = create(ours, ScheduleSettings.of(options), total_steps=30)
    states = []
    for step in range(30):
        state = [{key: group[key] for key in ("lr", "betas")} for group in ours.param_groups]
        assert state == [{"lr": float(group["lr"]), "betas": group["betas"]} for group in theirs.param_groups], step
        states.append(state)
        theirs.step()
        expected.step()
        schedule.step()
    for step in (0, 17, 3):
        schedule.load_state_dict({"steps": step})
        assert [{key: group[key] for key in ("lr", "betas")} for group in ours.param_groups] == states[step]


def test_every_class_that_is_offered_is_tested_and_every_other_of_torch_says_why_not():
    from lora_trainer.options.schedule_names import OF_TORCH
    from lora_trainer.training.torch_schedules import UNUSABLE

    assert set(CLASSES) == set(OF_TORCH)
    module = torch.optim.lr_scheduler
    found = {one for one in module.__all__ if isinstance(getattr(module, one), type)} | {"LRScheduler"}
    assert found == set(CLASSES) | UNUSABLE
    for name in UNUSABLE:
        with pytest.raises(InputError, match="needs more than numbers"):
            schedulers.check(options_of(["--lr_scheduler_type", f"torch.optim.lr_scheduler.{name}"]), total_steps=5)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["StepLR", "--lr_scheduler_args", "size=4"], "no argument 'size'"),
        (["StepLR"], "does not accept"),
        (["StepLR", "--lr_scheduler_args", "step_size=4", "--lr_warmup_steps", "10"], "has no warm-up"),
        (["torch.optim.lr_scheduler.NoSuch"], "no class NoSuch"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_class_that_cannot_be_made_is_refused(words, match):
    with pytest.raises(InputError, match=match) as error:
        schedulers.check(options_of(["--lr_scheduler_type", *words]), total_steps=100)
    assert error.value.field.startswith("lr_")


def test_a_class_that_ends_before_the_training_says_so():
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    options = options_of(["--lr_scheduler_type", "OneCycleLR", "--lr_scheduler_args", "max_lr=1", "total_steps=3"])
    schedule = create(optimizer, ScheduleSettings.of(options), total_steps=9)
    with pytest.raises(InputError, match="no rate for step 5"):
        for _ in range(9):
            schedule.step()


@pytest.mark.parametrize("cycles", [1, 2, 3, 5])
def test_num_cycles_counts_half_waves_where_the_reference_passes_half_of_it(cycles):
    """The reference's schedules are those of transformers, called with half of lr_scheduler_num_cycles."""
    from transformers.optimization import get_cosine_with_min_lr_schedule_with_warmup, get_wsd_schedule

    def theirs(make, **given):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = make(optimizer, num_cycles=cycles / 2, num_warmup_steps=10, **given)
        return [scheduler.lr_lambdas[0](step) for step in range(100)]

    def ours(**given):
        found = factor(ScheduleSettings(warmup=10, num_cycles=cycles, min_lr_ratio=0.1, **given), total_steps=100, rate=1.0)
        return [found(step) for step in range(100)]

    expected = theirs(get_cosine_with_min_lr_schedule_with_warmup, num_training_steps=100, min_lr_rate=0.1)
    assert ours(name="cosine_with_min_lr") == pytest.approx(expected, rel=1e-12)
    expected = theirs(get_wsd_schedule, num_stable_steps=60, num_decay_steps=30, min_lr_ratio=0.1)
    found = ours(name="warmup_stable_decay", decay=30)  # later versions of transformers warm up from the lowest rate
    assert found[10:] == pytest.approx(expected[10:], rel=1e-12)
    given = {"name": "cosine_with_min_lr", "args": {"num_cycles": cycles / 2}}  # written out, it wins
    assert ours(**given) == ours(name="cosine_with_min_lr")


def test_a_misspelt_schedule_names_the_nearest():
    with pytest.raises(InputError, match="Did you mean 'cosine_with_restarts'"):
        factor(ScheduleSettings(name="cosine_restarts"), total_steps=10, rate=1e-4)


def test_an_argument_that_a_schedule_has_not_is_refused():
    with pytest.raises(InputError, match="num_cycles"):
        factor(ScheduleSettings(name="cosine", args={"cycles": 2}), total_steps=10, rate=1e-4)
    with pytest.raises(InputError, match="not a number"):
        factor(ScheduleSettings(name="cosine", args={"num_cycles": "two"}), total_steps=10, rate=1e-4)


def test_a_rate_of_zero_stays_zero():
    for name in ("linear", "cosine", "polynomial", "constant", "inverse_sqrt"):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.0)
        scheduler = create(optimizer, ScheduleSettings(name=name), total_steps=5)
        for _ in range(5):
            assert optimizer.param_groups[0]["lr"] == 0.0
            optimizer.step()
            scheduler.step()


def test_arguments_are_parsed_and_never_evaluated():
    assert parse_arguments(["betas=.9,.999", "weight_decay = 0.1", "fused=None", "a=True"], option="optimizer_args") == {
        "betas": (0.9, 0.999),
        "weight_decay": 0.1,
        "fused": None,
        "a": True,
    }
    for bad in ("weight_decay", "weight_decay=abc", "=1", "a b=1", "x=__import__('os')"):
        with pytest.raises(InputError) as error:
            parse_arguments([bad], option="optimizer_args")
        assert error.value.field == "optimizer_args" and bad in str(error.value)
