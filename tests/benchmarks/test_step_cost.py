"""What a training step costs, counted on the meta device: it may fall, and does not grow unnoticed."""

from __future__ import annotations

import pytest
import torch

from benchmarks import step_cost
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
