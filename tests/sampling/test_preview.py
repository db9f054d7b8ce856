import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lora_trainer.errors import InputErrors
from lora_trainer.models import load
from lora_trainer.networks import registry
from lora_trainer.sampling import preview, sample_requests
from lora_trainer.sampling.prompts import SamplePrompt, parse_prompt_line

PROMPTS = [
    SamplePrompt(prompt="a cat", width=64, height=64, sample_steps=2, seed=5, enum=0),
    SamplePrompt(prompt="a dog", width=64, height=72, sample_steps=2, enum=1),
]
GOLDEN = Path(__file__).parents[1] / "golden" / "metadata.json"


def make_network(model):
    """A network with an effect and with dropout, on the model."""
    network = registry.get("networks.lora").create_network(
        1.0, 4, 4, None, model.text_encoders, model.unet, neuron_dropout=0.5, module_dropout="0.2"
    )
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.adapters():
            module.lora_up.weight.normal_(std=0.02, generator=generator)
    network.apply_to(model.text_encoders, model.unet)
    return network


@pytest.fixture
def trained(loaded):
    """(model, network) in the middle of a training: train mode, dropout on, the network on the model."""
    network = make_network(loaded)
    loaded.unet.train()
    network.train()
    yield loaded, network
    network.restore()
    loaded.unet.eval()


def read(sample):
    return np.asarray(Image.open(sample.path)).astype(int)


def test_names_are_those_of_the_reference():
    recorded = re.search(r'"sample_dir": (\["[^]]+\])', GOLDEN.read_text(encoding="utf-8"))
    names = {re.sub(r"_\d{14}", "_YYYYMMDDhhmmss", name) for name in (
        preview.file_name("", step=step, epoch=epoch, enum=enum, seed=seed)
        for step, epoch in [(3, None), (6, None), (0, 0)] for enum, seed in [(0, 5), (1, None)]
    )}  # fmt: skip
    assert names == set(json.loads(recorded[1]))
    assert re.fullmatch(r"sls_e000002_00_\d{14}\.png", preview.file_name("sls", step=9, epoch=2, enum=0, seed=None))


def test_a_sample_without_a_seed_is_the_same_at_every_step_and_follows_the_training_seed(trained, tmp_path):
    model, network = trained
    first, second = (preview.draw(model, PROMPTS, tmp_path, network=network, step=step, seed=1) for step in (1, 2))
    assert [sample.path.name[:9] for sample in first] == ["000001_00", "000001_01"]
    assert first[0].seed == 5 and read(first[1]).shape == (72, 64, 3)
    for one, two in zip(first, second, strict=True):
        assert np.array_equal(read(one), read(two))
    other = preview.draw(model, PROMPTS, tmp_path, network=network, step=3, seed=2)
    assert np.array_equal(read(other[0]), read(first[0])) and other[1].seed != first[1].seed


def test_drawing_changes_nothing_of_the_training(trained, tmp_path):
    model, network = trained
    modules = [*model.unet.modules(), *model.vae.modules(), *model.text_encoders[0].modules(), *network.modules()]
    modes = [module.training for module in modules]
    assert any(modes) and not all(modes)
    weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.manual_seed(3)
    state, expected = torch.get_rng_state(), torch.randn(4)
    torch.set_rng_state(state)
    preview.draw(model, PROMPTS, tmp_path, network=network, step=1, sampler="euler_a")
    assert torch.equal(torch.randn(4), expected)
    assert [module.training for module in modules] == modes
    assert all(torch.equal(tensor, weights[name]) for name, tensor in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.is_grad_enabled()


def test_the_mode_comes_back_even_when_drawing_fails(trained, tmp_path, monkeypatch):
    model, network = trained
    monkeypatch.setattr(preview, "generate", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("full")))
    with pytest.raises(RuntimeError):
        preview.draw(model, PROMPTS, tmp_path, network=network)
    assert model.unet.training and network.training


def test_the_network_in_training_shows_in_the_sample(trained, tmp_path):
    model, network = trained
    with_it = preview.draw(model, PROMPTS[:1], tmp_path, network=network, step=1)
    network.set_multiplier(0)
    without = preview.draw(model, PROMPTS[:1], tmp_path, network=network, step=2)
    network.set_multiplier(1)
    assert np.abs(read(with_it[0]) - read(without[0])).mean() > 0


def test_works_inside_autocast_with_frozen_weights_in_half_precision_and_a_network_in_float32(tiny_sd1, tmp_path):
    model = load(tiny_sd1, dtype=torch.bfloat16, device="cpu")
    network = make_network(model)
    assert network.adapters()[0].lora_up.weight.dtype == torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with_it = preview.draw(model, PROMPTS[:1], tmp_path, network=network, step=1)
        network.set_multiplier(0)
        without = preview.draw(model, PROMPTS[:1], tmp_path, network=network, step=2)
    assert read(with_it[0]).std() > 1 and np.abs(read(with_it[0]) - read(without[0])).mean() > 0


def test_stop_leaves_the_samples_that_are_finished(trained, tmp_path):
    model, network = trained
    told = []
    samples = preview.draw(
        model, PROMPTS, tmp_path, network=network, progress=lambda *it: told.append(it), should_stop=lambda: len(told) >= 3
    )
    assert len(samples) == 1 and told == [(1, 4), (2, 4), (3, 4)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a <lora:x:1>", "p.txt:4: a sample prompt cannot load LoRA"),
        ("a --ss plsm", "p.txt:4: the sampler 'plsm' is not known"),
        ("a --cn c.png", "p.txt:4: controlnet_image has no effect"),
        ("a --w 9000", "p.txt:4: width is 9000"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_training(line, message):
    with pytest.raises(InputErrors) as caught:
        sample_requests.check([parse_prompt_line(line, "p.txt:4"), parse_prompt_line("fine")])
    assert message in str(caught.value)


def test_defaults_and_sizes_are_those_of_the_reference():
    request = sample_requests.request_of(parse_prompt_line("a cat"))
    assert (request.width, request.height, request.steps, request.cfg_scale) == (512, 512, 30, 7.5)
    assert (request.sampler, request.negative_prompt) == ("ddim", "")
    request = sample_requests.request_of(parse_prompt_line("a --w 0 --h 775 --ss k_euler_a"), clip_skip=2)
    assert (request.width, request.height, request.sampler, request.clip_skip) == (64, 768, "euler_a", 2)
