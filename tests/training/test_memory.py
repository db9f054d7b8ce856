"""What a training keeps where, and how it is computed: main memory, blocks that come one by one, compiling."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.models import checkpointing, compiling, streaming
from lora_trainer.networks.files import read_metadata
from lora_trainer.runs.control import Control
from lora_trainer.training import memory, prepare
from lora_trainer.training.objective import Objective
from lora_trainer.training.train import train
from lora_trainer.training.update import Updater

from .conftest import Recorder


@pytest.fixture
def alive(monkeypatch):
    """alive() are the inputs of the UNet's blocks that were still there after the forward passes, and how many there were."""
    counts = [0, 0]
    losses = Objective.losses

    def watched(self, model, *args, **kwargs):
        inputs = []
        blocks = [m for m in model.unet.modules() if type(m).__name__ in ("ResnetBlock2D", "BasicTransformerBlock")]
        hooks = [block.register_forward_pre_hook(lambda _, given: inputs.append(weakref.ref(given[0]))) for block in blocks]
        found = losses(self, model, *args, **kwargs)
        for hook in hooks:
            hook.remove()
        counts[0] += sum(one() is not None for one in inputs)
        counts[1] += len(inputs)
        return found

    monkeypatch.setattr(Objective, "losses", watched)
    return lambda: tuple(counts)


@pytest.mark.effect("cpu_offload_checkpointing")
def test_what_checkpointing_keeps_is_a_copy_in_main_memory_and_trains_the_same_bytes(options_for, alive, monkeypatch):
    copied = []
    copy = checkpointing.to_main_memory
    monkeypatch.setattr(checkpointing, "to_main_memory", lambda tensor: copied.append(tensor.nbytes) or copy(tensor))
    found = {}
    for offload in (False, True):
        reporter = Recorder()
        before = alive()
        options = options_for(
            output_name=f"o{offload}", gradient_checkpointing=True, cpu_offload_checkpointing=offload, max_train_steps=2
        )
        path = train(options, reporter=reporter).path
        there, all_of_them = (after - first for after, first in zip(alive(), before, strict=True))
        found[offload] = (reporter.losses, load_file(path), there / all_of_them, sum(copied))
    plain, offloaded = found[False], found[True]
    assert plain[0] == offloaded[0] and all(torch.equal(plain[1][name], offloaded[1][name]) for name in plain[1])
    assert plain[2] > 0.9 and plain[3] == 0, "without it the inputs themselves stay where they were made"
    assert offloaded[2] < 0.1 and offloaded[3] > 0, "with it they are gone: their copies are kept"


def test_it_means_nothing_without_checkpointing(options_for):
    with pytest.raises(InputErrors, match="cpu_offload_checkpointing has no effect without gradient_checkpointing"):
        options_for(cpu_offload_checkpointing=True)


@pytest.fixture
def fetched(monkeypatch):
    """What is brought to the card: the copies of each block, and the most of them that there were at once, in bytes."""
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    seen = {"count": 0, "most": 0, "blocks": []}
    fetch, made = streaming.Streamed._fetch, streaming.Streamed.__init__

    def watched(self, number):
        copies = fetch(self, number)
        alive.update(copies.tensors)
        seen["count"] += 1
        seen["most"] = max(seen["most"], sum(tensor.untyped_storage().nbytes() for tensor in list(alive)))
        return copies

    def begun(self, blocks, device):
        made(self, blocks, device)
        seen["blocks"] = [sum(t.nbytes for t in (*block.parameters(), *block.buffers())) for block in blocks]

    monkeypatch.setattr(streaming.Streamed, "_fetch", watched)
    monkeypatch.setattr(streaming.Streamed, "__init__", begun)
    seen["alive"] = alive
    return seen


@pytest.mark.effect("blocks_to_swap")
@pytest.mark.parametrize("more", [{}, {"fp8_base": True}, {"mixed_precision": "bf16"}], ids=["float32", "8 bits", "bf16"])
def test_blocks_come_one_after_the_other_and_train_the_same_bytes(options_for, fetched, more):
    found = {}
    for count in (0, 20):
        reporter = Recorder()
        options = options_for(
            output_name=f"s{count}", gradient_checkpointing=True, blocks_to_swap=count, max_train_steps=2, **more
        )
        found[count] = (load_file(train(options, reporter=reporter).path), reporter.losses)
    assert found[0][1] == found[20][1]
    assert all(torch.equal(found[0][0][name], found[20][0][name]) for name in found[0][0])
    assert len(fetched["blocks"]) == 20
    assert 70 <= fetched["count"] <= 20 * 2 * 2 + 1, "forward and backward in each step, and nothing in vain"
    largest = max(fetched["blocks"])
    assert fetched["most"] <= 4 * largest < sum(fetched["blocks"]) / 2, "a block, the next, what the last one keeps"
    gc.collect()
    assert not fetched["alive"], "nothing of it stays"


def test_a_lora_is_merged_and_lycoris_trained_on_blocks_in_main_memory(options_for, tmp_path):
    pytest.importorskip("lycoris")
    first = train(options_for(max_train_steps=1, output_name="first", learning_rate=0.05), reporter=Recorder()).path
    kept = first.rename(tmp_path / "first.safetensors")
    found = []
    for count in (0, 30):
        reporter = Recorder()
        chosen = {"network_module": "lycoris.kohya", "network_args": ["algo=lokr"], "base_weights": [str(kept)]}
        train(options_for(gradient_checkpointing=True, blocks_to_swap=count, **chosen), reporter=reporter)
        found.append(reporter.losses)
    assert found[0] == found[1]


def test_more_blocks_than_there_are_is_refused_with_their_number(options_for):
    with pytest.raises(InputError, match="has 38 blocks"):
        train(options_for(gradient_checkpointing=True, blocks_to_swap=39), reporter=Recorder())


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"blocks_to_swap": 5}, "blocks_to_swap has no effect without gradient_checkpointing"),
        ({"blocks_to_swap": 5, "gradient_checkpointing": True, "torch_compile": True}, "does not go with torch_compile"),
        ({"blocks_to_swap": 5, "gradient_checkpointing": True, "lowram": True}, "lowram keeps them out of it"),
        ({"cpu_offload_checkpointing": True, "gradient_checkpointing": True, "lowram": True}, "what lowram keeps out"),
        ({"dynamo_backend": "eager"}, "dynamo_backend has no effect without torch_compile"),
        ({"dynamo_mode": "reduce-overhead"}, "dynamo_mode has no effect without torch_compile"),
        ({"dynamo_mode": "max-autotune", "torch_compile": True, "dynamo_backend": "eager"}, "eager has no modes"),
        (
            {"dynamo_mode": "reduce-overhead", "torch_compile": True, "gradient_checkpointing": True},
            "reduce-overhead records CUDA graphs; a block that is compiled by itself",
        ),
        (
            {"dynamo_mode": "max-autotune", "torch_compile": True, "gradient_checkpointing": True}
            | {"cpu_offload_checkpointing": True, "dynamo_use_regional_compilation": False},
            "CUDA graphs, which keep what they compute on the card",
        ),
    ],
)
def test_what_cannot_be_together_is_refused(options_for, chosen, message):
    with pytest.raises(InputErrors, match=message):
        options_for(**chosen)


@pytest.mark.effect("lowram", "highvram")
@pytest.mark.parametrize(("chosen", "rests"), [({}, "meta"), ({"lowram": True}, "cpu"), ({"highvram": True}, "cpu")])
def test_what_is_not_needed_leaves_the_card_unless_it_is_to_stay(options_for, monkeypatch, chosen, rests):
    """The device is the CPU here, and where things rest is nowhere: they are not needed any more."""
    models = []
    load = prepare.load
    monkeypatch.setattr(prepare, "load", lambda *args, **kwargs: models.append(load(*args, **kwargs)) or models[-1])
    monkeypatch.setattr(memory, "_REST", torch.device("meta"))
    train(options_for(network_train_unet_only=True, max_train_steps=1, **chosen), reporter=Recorder())
    assert {models[0].vae.device.type, models[0].text_encoders[0].device.type} == {rests}
    assert models[0].unet.device.type == "cpu"


def test_the_cards_spare_memory_is_given_back_but_with_highvram(options_for, monkeypatch):
    given = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: given.append(1))
    counts = []
    for chosen in ({}, {"lowram": True}, {"highvram": True}):
        memory.Resting.of(options_for(**chosen).model, torch.device("cuda")).give_back()
        counts.append(len(given))
    assert counts == [1, 2, 2]


@pytest.mark.effect("torch_compile", "dynamo_backend")
def test_a_compiled_unet_trains_the_same(options_for, tmp_path):
    """As a whole, with the cheapest backend, which shows what PyTorch takes up; tests/gpu has the others and
    tests/models/test_compiling.py the blocks."""
    import torch._dynamo as dynamo

    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a frog --w 72 --h 64 --s 1\n")  # of another size: drawn by what is not compiled
    found = {}
    for compiled in (False, True):
        dynamo.reset()
        dynamo.utils.counters.clear()
        reporter = Recorder()
        whole = {"torch_compile": True, "dynamo_backend": "eager", "dynamo_use_regional_compilation": False}
        chosen = whole if compiled else {}
        options = options_for(
            output_name=f"c{compiled}", max_train_steps=2, sample_prompts=str(prompts), sample_every_n_steps=2, **chosen
        )
        found[compiled] = (reporter, load_file(train(options, reporter=reporter).path))
        if compiled:
            assert dynamo.utils.counters["stats"]["unique_graphs"] == 1, "in one piece, once for all steps, and for no picture"
            assert not dynamo.utils.counters["graph_break"]
    assert found[True][0].losses == pytest.approx(found[False][0].losses, rel=1e-5)
    assert found[True][1].keys() == found[False][1].keys()
    assert len(found[True][0].of("sample")) == 1


@pytest.mark.effect("dynamo_mode")
@pytest.mark.parametrize(
    ("mode", "has_graphs"), [("default", False), ("reduce-overhead", True), ("max-autotune-no-cudagraphs", False)]
)
def test_the_mode_reaches_the_compiler_and_what_graphs_give_out_is_copied(mode, has_graphs, options_for, monkeypatch):
    """There is no card here: that the compiler records graphs is its own affair."""
    asked, parts, forgotten = [], [], []
    monkeypatch.setattr(torch, "compile", lambda plain, **how: asked.append(how) or plain)
    monkeypatch.setattr(compiling.Compiled, "forget", lambda self: forgotten.append(1))
    monkeypatch.setattr(Updater, "backward", _copied(parts, Updater.backward))
    more = {} if mode == "default" else {"mode": mode}
    chosen = {"torch_compile": True, "dynamo_mode": mode, "dynamo_use_regional_compilation": False}
    parks = iter((Control(park=1), Control()))
    reporter = Recorder(lambda event: next(parks, None) if event["type"] in ("step", "parked") else None)
    result = train(options_for(max_train_steps=2, **chosen), reporter=reporter)
    assert asked == [{"backend": "inductor", **more}] and set(parts) == {has_graphs}
    assert len(reporter.of("parked")) == 1 and bool(forgotten) == has_graphs, "graphs know where the weights lay"
    assert read_metadata(result.path)["ss_torch_compile"] == " ".join(["whole inductor", *more.values()])


def _copied(found, backward):
    """Notes whether each gradient is another tensor than the one that came out of the backward pass."""

    def watched(self, loss):
        made = {}
        handles = [
            parameter.register_post_accumulate_grad_hook(lambda parameter: made.update({parameter: parameter.grad.data_ptr()}))
            for parameter in self.parameters
        ]
        backward(self, loss)
        found.extend(parameter.grad.data_ptr() != place for parameter, place in made.items())
        for handle in handles:
            handle.remove()

    return watched


def test_a_backend_that_is_not_here_is_named_before_anything_is_loaded(options_for, monkeypatch):
    monkeypatch.setattr(prepare, "load", lambda *a, **k: pytest.fail("the model was loaded"))
    with pytest.raises(InputError, match="dynamo_backend fx2trt is not part of this PyTorch.*There are: .*inductor"):
        train(options_for(torch_compile=True, dynamo_backend="fx2trt"), reporter=Recorder())
