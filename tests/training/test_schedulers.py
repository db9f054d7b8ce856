"""Learning rates at each step, compared with the reference's; what is refused and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options.cli import given_options
from lora_trainer.training.schedulers import ScheduleSettings, create, factor, parse_arguments
from tests.given import given

CASES = json.loads((Path(__file__).parents[1] / "golden" / "lr_schedules.json").read_text())["cases"]


def settings_of(argv: list[str]) -> tuple[float, ScheduleSettings]:
    """Read a recorded command line."""
    chosen = given(**given_options(argv)).optimizer
    return chosen.learning_rate, ScheduleSettings.of(chosen)


def is_ours(case: dict) -> bool:
    """Adafactor and classes of torch by name are not offered; Cosine is cosine, and 1.0 is one step."""
    argv = case["argv"]
    return not {"Adafactor", "--lr_scheduler_type", "1.0", "Cosine"} & set(argv)


RATES = [case for case in CASES if "lr_group_1" in case and is_ours(case)]
ERRORS = [case for case in CASES if "error" in case and is_ours(case)]


def test_most_recorded_cases_are_read():
    assert len(RATES) == 29 and len(ERRORS) == 5


@pytest.mark.effect("lr_scheduler", "lr_warmup_steps", "lr_decay_steps", "lr_scheduler_num_cycles", "lr_scheduler_power")
@pytest.mark.effect("lr_scheduler_timescale", "lr_scheduler_min_lr_ratio", "lr_scheduler_args")
@pytest.mark.parametrize("case", RATES, ids=lambda case: " ".join(case["argv"][5:]))
def test_rates_of_a_hundred_steps(case):
    rate, settings = settings_of(case["argv"])
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p], "lr": r} for p, r in zip(parameters, (rate, rate / 2), strict=True)], lr=rate)
    scheduler = create(optimizer, settings, total_steps=100)
    found = []
    for _ in range(100):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert found == pytest.approx(case["lr_group_1"], rel=1e-9, abs=1e-18)
    assert optimizer.param_groups[1]["lr"] == pytest.approx(optimizer.param_groups[0]["lr"] / 2, rel=1e-12, abs=1e-20)


@pytest.mark.parametrize("case", ERRORS, ids=lambda case: " ".join(case["argv"][5:]))
def test_what_the_reference_refuses_is_refused_with_the_option_named(case):
    with pytest.raises(InputErrors) as raised:
        settings_of(case["argv"])
    (error,) = raised.value.errors
    assert error.field.startswith("lr_") and error.field.removeprefix("lr_") in error.message


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
