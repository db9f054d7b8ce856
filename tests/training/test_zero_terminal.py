"""zero_terminal_snr from the option, or the model's own mark, to the file and to the pictures drawn with it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.errors import InputError
from lora_trainer.models import load
from lora_trainer.networks.files import read_metadata
from lora_trainer.sampling.generate import ImageRequest, LoraFolders, generate
from lora_trainer.sampling.loras import LoraUse, Standing, applied
from lora_trainer.sampling.schedules import train_sigmas
from lora_trainer.training.train import train

from .conftest import Recorder


@pytest.fixture(scope="module")
def marked(tiny_model, tmp_path_factory) -> Path:
    """An XL model with the marks of NoobAI's: velocity, and pure noise at the end."""
    path = tmp_path_factory.mktemp("marked") / "noob.safetensors"
    save_file({**load_file(tiny_model("sdxl")), "v_pred": torch.zeros(1), "ztsnr": torch.zeros(1)}, path)
    return path


@pytest.fixture
def first_levels(monkeypatch) -> list[float]:
    """The noise level of the first step of each picture that is drawn."""
    from lora_trainer.sampling.denoiser import Denoiser

    seen, call = [], Denoiser.__call__

    def spied(self, x, sigma):
        seen.append(sigma)
        return call(self, x, sigma)

    monkeypatch.setattr(Denoiser, "__call__", spied)
    return seen


@pytest.mark.effect("zero_terminal_snr", "v_parameterization")
def test_the_samples_and_the_pictures_of_the_lora_begin_at_pure_noise(tiny_model, options_for, tmp_path, first_levels):
    base = tiny_model("sd2-v")
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a frog --w 64 --h 64 --s 2\n")
    options = options_for(
        pretrained_model_name_or_path=str(base),
        zero_terminal_snr=True,
        v_parameterization=True,
        min_snr_gamma=5,
        sample_prompts=str(prompts),
        sample_every_n_steps=3,
    )
    reporter = Recorder()
    path = train(options, reporter=reporter).path
    last = pytest.approx(float(train_sigmas(True)[-1]))
    assert torch.tensor(reporter.losses).isfinite().all() and first_levels[0] == last
    assert read_metadata(path)["ss_zero_terminal_snr"] == "True"

    model, usual = load(base, dtype=torch.float32, device="cpu"), pytest.approx(float(train_sigmas()[-1]))
    request = {"width": 64, "height": 64, "steps": 2, "sampler": "euler", "seed": 1}
    for prompt, expected in (("a frog", usual), ("a frog <lora:x:0.8>", last), ("a frog <lora:x:0>", usual)):
        first_levels.clear()
        generate(model, ImageRequest(prompt=prompt, **request), loras=LoraFolders([path.parent]))
        assert first_levels[0] == expected and not model.zero_terminal_snr
    standing = Standing(model, [LoraUse(path)])
    standing.set_multipliers([0.0])
    assert not model.zero_terminal_snr
    standing.set_multipliers([0.5])
    assert model.zero_terminal_snr
    standing.restore()
    for_noise = load(base, dtype=torch.float32, device="cpu", prediction_type="epsilon")
    with applied(for_noise, [LoraUse(path)]):
        assert not for_noise.zero_terminal_snr  # pure noise tells it nothing


def test_a_model_with_the_mark_is_trained_and_drawn_with_so_by_itself(marked, options_for, tmp_path):
    model = load(marked, dtype=torch.float32, device="cpu")
    assert model.zero_terminal_snr and model.prediction_type == "v_prediction"
    assert not load(marked, dtype=torch.float32, device="cpu", prediction_type="epsilon").zero_terminal_snr
    options = options_for(pretrained_model_name_or_path=str(marked), max_train_steps=1, network_train_unet_only=True)
    assert read_metadata(train(options, reporter=Recorder()).path)["ss_zero_terminal_snr"] == "True"
    short = options_for(
        pretrained_model_name_or_path=str(marked), max_train_steps=1, network_train_unet_only=True, no_metadata=True
    )
    found = read_metadata(train(short, reporter=Recorder()).path)
    assert found["ss_zero_terminal_snr"] == "True" and "ss_learning_rate" not in found


@pytest.mark.parametrize(
    ("family", "name", "value", "word"),
    [
        ("sd1", "zero_terminal_snr", True, "predicts noise"),
        ("sd2-v", "v_pred_like_loss", 0.5, "predicts velocity"),
    ],
)
def test_an_option_for_the_other_kind_of_prediction_is_refused_before_anything_is_trained(
    family, name, value, word, tiny_model, options_for
):
    options = options_for(pretrained_model_name_or_path=str(tiny_model(family)), **{name: value})
    reporter = Recorder()
    with pytest.raises(InputError, match=word) as wrong:
        train(options, reporter=reporter)
    assert wrong.value.field == name and not reporter.of("step") and not reporter.of("saved")
