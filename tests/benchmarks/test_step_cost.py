"""What a training step costs, counted on the meta device: it may fall, and does not grow unnoticed."""

from __future__ import annotations

import pytest
import torch

from benchmarks import step_cost
from benchmarks.card.cases import Case
from benchmarks.cost.counting import Meta
from benchmarks.cost.training import Cost, count, host_milliseconds


@pytest.fixture(scope="module")
def counted(tmp_path_factory):
    return count(step_cost.CASES[0], tmp_path_factory.mktemp("cost"))


def test_a_step_of_sd15_costs_no_more_than_its_budget(counted):
    found = step_cost.figures(counted)
    assert {what: found[what] for what, most in step_cost.BUDGET.items() if found[what] > most} == {}
    assert found["forward"] > 1000 and found["backward"] > 1000 and found["MiB kept"] > 500, "the whole model took part"


def test_the_table_says_what_was_counted(counted, tmp_path):
    cost = Cost(step_cost.CASES[0], counted, host_milliseconds(step_cost.CASES[0], tmp_path, steps=1))
    row = step_cost.markdown([cost]).splitlines()[-1]
    assert row.startswith("| SD1.5 512 b1 |") and f"| {counted.operations.total():,} |" in row
    assert 0 < cost.host_milliseconds < 60_000
    assert f"mm {counted.names['forward', 'mm']}" in step_cost.details(counted, 3)


def test_operations_casts_waits_and_bytes_kept_are_those_of_the_step():
    meta = Meta()
    weight = torch.empty(8, 8, device="meta", requires_grad=True)

    def forward():
        return (torch.empty(2, 8, device="meta", dtype=torch.bfloat16).float() @ weight).relu().sum()

    with meta:
        meta.begin_step()
        loss = meta.within("forward", forward)()
        meta.within("backward", loss.backward)()
        assert loss.item() == 0.0 and weight.grad.cpu().shape == (8, 8) and not weight.grad.nonzero().numel()
        counts = meta.end_step()
        weight.grad.mul_(2)  # after it
    assert counts.operations == {"forward": 4, "backward": 3} and counts.casts == {"forward": 1, "backward": 0}
    assert counts.kept == {"float32": 2 * 8 * 4 * 2}, "input and result, but not the weight, which stays"
    assert counts.waits == {"_local_scalar_dense": 1, "to the host": 1, "nonzero": 1}


DRAWN = {"noise_offset": 0.1, "adaptive_noise_scale": 0.01, "ip_noise_gamma": 0.1, "ip_noise_gamma_random_strength": True}
WEIGHED = {"loss_type": "huber", "huber_schedule": "snr", "min_snr_gamma": 5.0, "masked_loss": True, "alpha_mask": True}
LEFT_OUT = {"network_dropout": 0.1, "network_args": ["conv_dim=4", "rank_dropout=0.1", "module_dropout=0.1"]}
WORDS = {"trains": "pivotal", "token_string": "sls", "init_word": "frog", "network_train_unet_only": None}


@pytest.mark.parametrize(
    "options",
    [
        {**DRAWN, **WEIGHED, **LEFT_OUT, "scale_weight_norms": 1.0, "ema_decay": 0.9, "gradient_checkpointing": True},
        {
            **WORDS,
            "weighted_captions": True,
            "max_token_length": 225,
            "mixed_precision": "fp16",
            "gradient_accumulation_steps": 2,
        },
    ],
    ids=["noise, loss and network", "texts that are trained"],
)
def test_a_step_mixes_no_tensors_of_the_card_with_those_of_main_memory_and_waits_once(options, tmp_path):
    counts = count(Case("all at once", "sd1", 2, options), tmp_path, narrow=True)
    assert counts.operations.total() > 2000 and counts.waits == {"to the host": 1}
