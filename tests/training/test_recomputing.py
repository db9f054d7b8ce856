"""Which blocks of the UNet are computed twice: what that saves, what the memory decides, and that the bytes stay the same."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.models import checkpointing, load
from lora_trainer.training.gradients import Gradients
from lora_trainer.training.objective import Objective
from lora_trainer.training.recomputing import Cost, Measuring, Recomputing, cheapest, known
from lora_trainer.training.rehearsal.savings import Sizes, savings
from lora_trainer.training.train import train

from .conftest import Recorder, short_training

AUTO = {"gradient_checkpointing": True, "gradient_checkpointing_blocks": "auto"}
EVERY = ("down0", "down1", "down2", "down3", "mid", "up0", "up1", "up2", "up3")


def trained(options):
    reporter = Recorder()
    return reporter, load_file(train(options, reporter=reporter).path)


def same(one, other):
    return one[0].losses == other[0].losses and all(torch.equal(one[1][name], other[1][name]) for name in one[1])


@pytest.fixture(scope="module")
def two_steps(tiny_sd1, pictures, tmp_path_factory):
    """Options of a training of two steps with a dropout; keywords change some."""
    chosen = {"max_train_steps": 2, "network_dropout": 0.2}
    return lambda **more: short_training(tiny_sd1, pictures, tmp_path_factory.mktemp("out"), **(chosen | more))


@pytest.fixture(scope="module")
def plain(two_steps):
    """What it trains without checkpointing."""
    return trained(two_steps())


@pytest.fixture
def passes(monkeypatch):
    """How often the second residual block of each of the UNet's blocks has computed, by the names of the blocks."""
    counts: Counter[str] = Counter()
    of = Recomputing.of

    def watched(options, model):
        made = of(options, model)
        for name, block in checkpointing.blocks(model.unet).items():
            block.resnets[1].register_forward_pre_hook(lambda *_, name=name: counts.update([name]))
        return made

    monkeypatch.setattr(Recomputing, "of", watched)
    return counts


def test_the_sets_that_save_enough_come_in_the_order_of_what_they_cost():
    costs = {"down0": Cost(500, 3.0), "mid": Cost(10, 0.1), "up0": Cost(300, 1.0)}
    assert next(cheapest(costs, 0)) == () and next(cheapest(costs, -5)) == ()
    assert next(cheapest(costs, 5)) == ("mid",)
    assert list(cheapest(costs, 305)) == [("mid", "up0"), ("down0",), ("down0", "mid"), ("down0", "up0"), (*costs,)]
    assert list(cheapest(costs, 811)) == []


@pytest.mark.effect("gradient_checkpointing_blocks", "gradient_checkpointing")
@pytest.mark.parametrize(("named", "twice"), [("all", EVERY), ("down0, up3", ("down0", "up3"))])
def test_the_blocks_that_are_named_are_computed_twice_and_train_the_bytes_of_no_checkpointing(
    two_steps, plain, passes, named, twice
):
    found = trained(two_steps(gradient_checkpointing=True, gradient_checkpointing_blocks=named))
    assert passes == {name: 4 if name in twice else 2 for name in EVERY}
    assert same(plain, found)


def test_as_few_blocks_as_the_memory_allows_are_computed_twice(options_for, monkeypatch):
    """Against torch's own record of what is allocated."""
    told = {}

    def choose(self, trainee, updater, batch, *_):
        measuring = Measuring(self.model, trainee, updater, batch)
        measuring.count()
        told["saved"] = {name: cost.saved for name, cost in measuring.counted.items()}
        for names in (None, ()):
            measuring._let(names)
            told[names] = measuring.working()
        there = (told[()] + told[None]) // 2
        told["chosen"] = measuring._choose(there)
        assert measuring.working() <= 1.05 * there, "it was tried; what passes by differs a little from one time to the next"
        raise KeyboardInterrupt

    counts = Measuring.count

    def count(self):
        """How long a block takes differs on a busy machine: here as long as it has much to keep."""
        kept = counts(self)
        self.counted = {name: Cost(cost.saved, cost.saved / 1e6) for name, cost in self.counted.items()}
        return kept

    monkeypatch.setattr(Measuring, "count", count)
    monkeypatch.setattr(Recomputing, "choose", choose)
    with pytest.raises(KeyboardInterrupt):
        train(options_for(**AUTO), reporter=Recorder())
    saved = told["saved"]
    assert set(saved) == set(EVERY) and saved["down0"] > saved["down3"] and saved["up3"] > saved["up0"]
    most = told[()] - told[None]
    assert 0.9 * most < sum(saved.values()) < 1.7 * most, "what is computed again in one place is not saved there"
    assert 0 < len(told["chosen"]) < len(EVERY)


def test_what_would_need_less_offers_as_few_blocks_as_fit(options_for):
    sizes = Sizes(model=100, texts=0, vae=0, trained=10, optimizer=20, working=1000, checkpointed=200, chosen=500)
    found = {str(one.values): one for one in savings(options_for(), sizes, {"step": 1130}, on_card=True)}
    auto = found["{'gradient_checkpointing': True, 'gradient_checkpointing_blocks': 'auto'}"]
    assert (auto.needed, auto.measured) == (630, True)
    assert found["{'gradient_checkpointing': True}"].needed == 330
    none = savings(options_for(gradient_checkpointing=True), sizes, {"step": 1130}, on_card=True)
    assert not any("gradient_checkpointing_blocks" in one.values for one in none)


def test_a_memory_that_gets_full_later_has_all_blocks_computed_twice_and_nothing_is_lost(two_steps, plain, monkeypatch):
    losses, calls = Objective.losses, []

    def full(self, model, *args):
        calls.append(model.unet.mid_block.gradient_checkpointing)
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("full")
        return losses(self, model, *args)

    monkeypatch.setattr(Objective, "losses", full)
    monkeypatch.setattr(Measuring, "choose", lambda self, room: ("down0",))
    found = trained(two_steps(**AUTO))
    assert same(plain, found)
    assert "from now on all of the UNet is computed twice" in found[0].of("warning")[-1]["message"]
    assert calls == [False, False, True]


def test_what_was_chosen_goes_on_with_the_training(tiny_sd1, two_steps):
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    before = Recomputing.of(two_steps(**AUTO).training, model)
    assert not before.is_decided and before.state_dict() == {}
    before.set(("down0", "mid"))
    before.is_decided = True
    kept = Gradients(None, None, None, recomputing=before).state_dict()
    after = Recomputing.of(two_steps(**AUTO).training, model)
    Gradients(None, None, None, recomputing=after).load_state_dict(kept)
    assert after.is_decided and after.names == ("down0", "mid")
    twice = {name for name, block in checkpointing.blocks(model.unet).items() if block.gradient_checkpointing}
    assert twice == {"down0", "mid"} and after.told.endswith("computed twice: down0, mid.")
    assert after.all_of_them() and after.told == "All blocks of the UNet are computed twice." and not after.all_of_them()
    named = Recomputing.of(two_steps(gradient_checkpointing=True, gradient_checkpointing_blocks="mid").training, model)
    assert named.is_decided and named.state_dict() == {} and not named.all_of_them(), "who names them has them"


def test_blocks_whose_weights_come_and_go_are_computed_twice_whatever_is_named(two_steps, plain, passes):
    found = trained(two_steps(gradient_checkpointing=True, gradient_checkpointing_blocks="down0", blocks_to_swap=6))
    assert same(plain, found)
    twice = {name for name in EVERY if passes[name] == 4}
    assert "down0" in twice and 1 < len(twice) < 9


@pytest.mark.long  # compiling twice takes a minute
def test_a_compiled_unet_computes_in_another_way_when_that_is_chosen_later(two_steps, monkeypatch):
    """In one piece with some blocks computed twice, and in another one when the memory gets full."""
    import torch._dynamo as dynamo

    plain = trained(two_steps(network_dropout=None))
    dynamo.reset()
    dynamo.utils.counters.clear()
    monkeypatch.setattr(Measuring, "choose", lambda self, room: ("down0",))
    losses, calls = Objective.losses, []

    def full(self, model, *args):
        calls.append(dynamo.utils.counters["stats"]["unique_graphs"])
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("full")
        return losses(self, model, *args)

    monkeypatch.setattr(Objective, "losses", full)
    compiled = {"torch_compile": True, "dynamo_backend": "eager", "dynamo_use_regional_compilation": False}
    found = trained(two_steps(**compiled, network_dropout=None, **AUTO))
    assert found[0].losses == pytest.approx(plain[0].losses, rel=1e-5)
    assert calls == [0, 1, 1] and dynamo.utils.counters["stats"]["unique_graphs"] == 2
    assert not dynamo.utils.counters["graph_break"]


def test_a_block_that_the_model_lacks_is_named():
    three = [torch.nn.Identity()] * 3
    unet = SimpleNamespace(down_blocks=three, mid_block=torch.nn.Identity(), up_blocks=three)
    assert known("up0,down1 ", SimpleNamespace(unet=unet)) == ("down1", "up0")
    with pytest.raises(InputError, match="names down3.*down0, down1, down2, mid, up0, up1, up2"):
        known("down0,down3", SimpleNamespace(unet=unet))


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"gradient_checkpointing_blocks": "auto"}, "has no effect without gradient_checkpointing"),
        ({"gradient_checkpointing": True, "gradient_checkpointing_blocks": "left"}, "is not one of: all, auto, a list such as"),
        (
            {"gradient_checkpointing": True, "gradient_checkpointing_blocks": "auto", "fused_backward_pass": True}
            | {"optimizer_type": "adafactor"},
            "these change the weights",
        ),
        (
            {"gradient_checkpointing": True, "torch_compile": True, "dynamo_backend": "eager", "network_dropout": 0.1},
            "dynamo_backend eager draws other dropouts",
        ),
    ],
)
def test_what_means_nothing_is_refused(options_for, chosen, message):
    with pytest.raises(InputErrors, match=message):
        options_for(**chosen)
