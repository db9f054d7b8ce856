"""The demo model's trainings: they learn, they can be cut in two, and what they export is a model like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lora_trainer.demo import export, judge, parts, score, state, train_unet, train_vae, world
from lora_trainer.errors import InputError
from lora_trainer.models import load
from lora_trainer.models import vae as vae_latents

VAE = train_vae.VaeSettings(steps=4, batch=2)
UNET = train_unet.UnetSettings(steps=4, batch=4, pool=16, channels=(32, 32, 64, 64))


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Before `trained`, too: sums of two threads round in another way."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the states after four steps of each training."""
    out = tmp_path_factory.mktemp("demo")
    train_vae.train(VAE, out, minutes=9, resume=False)
    train_unet.train(UNET, out, minutes=9, resume=False)
    return out


def same(a: Path, b: Path) -> bool:
    """Whether two states hold the same, to the bit."""
    first, second = (torch.load(path, weights_only=True) for path in (a, b))
    for part in ("module", "average"):
        assert first[part].keys() == second[part].keys()
        if not all(torch.equal(tensor, second[part][name]) for name, tensor in first[part].items()):
            return False
    return first["step"] == second["step"] and first["losses"] == second["losses"]


def test_the_vae_begins_with_mean_colours():
    vae = parts.make_vae(0).eval()
    pictures = train_vae.batch(train_vae.VaeSettings(free=0), 0)
    with torch.no_grad():
        latents = vae.quant_conv(vae.encoder(pictures))[:, :3]
        again = vae.decoder(vae.post_quant_conv(vae.quant_conv(vae.encoder(pictures))[:, :4]))
    colours = torch.nn.functional.avg_pool2d(pictures, 8)
    for found in (latents, torch.nn.functional.avg_pool2d(again, 8)):
        assert torch.corrcoef(torch.stack([found.flatten(), colours.flatten()]))[0, 1] > 0.92


def test_leaving_out_what_is_zero_changes_nothing():
    vae = parts.make_vae(0).eval()
    pictures = train_vae.batch(VAE, 0)
    with torch.no_grad():
        whole = vae(pictures).sample
        with parts.skipped(vae):
            assert torch.equal(vae(pictures).sample, whole)
        vae.get_submodule(parts.IDENTITIES[0]).conv2.bias.fill_(1.0)
        assert not torch.equal(vae(pictures).sample, whole), "the block is not put back"


def test_the_vae_learns():
    vae = parts.make_vae(1)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=1e-4)
    pictures, noise = train_vae.batch(train_vae.VaeSettings(batch=4), 0), torch.zeros(4, 4, 8, 8)
    losses = []
    for _ in range(8):
        with parts.skipped(vae):
            loss = train_vae.loss_of(vae, pictures, noise, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]


def test_the_unet_learns(tmp_path):
    settings = train_unet.UnetSettings(steps=12, batch=8, pool=8, warmup=2, channels=(32, 32, 64, 64))
    state.Training(parts.make_vae(1), state.Schedule(1e-3, 1), tmp_path / "vae.pt").save()
    training = train_unet.train(settings, tmp_path, minutes=9, resume=False)
    assert training.losses[0] == pytest.approx(1.0, abs=0.2)  # it predicts nothing, and the noise has variance 1
    assert min(training.losses[-3:]) < 0.8 * training.losses[0]
    assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in training.module["text"].parameters())


@pytest.mark.long
def test_a_training_cut_in_two_gives_the_same(trained, tmp_path):
    cut = tmp_path / "cut"
    for steps in (2, 4):
        stop_after(steps, train_vae.train, VAE, cut)
    assert same(cut / "vae.pt", trained / "vae.pt")
    (cut / "latents.safetensors").write_bytes((trained / "latents.safetensors").read_bytes())
    for steps in (1, 4):
        stop_after(steps, train_unet.train, UNET, cut)
    assert same(cut / "unet.pt", trained / "unet.pt")


def stop_after(steps: int, train, settings, out: Path) -> None:
    """Resume, and stop when `steps` steps are done in all."""
    run = state.Training.run

    def shorter(self: state.Training, gradients, *, minutes: float) -> None:
        while self.step < steps:
            self.update(gradients)
        self.save()

    state.Training.run = shorter
    try:
        train(settings, out, minutes=9, resume=True)
    finally:
        state.Training.run = run


def test_threads_do_not_change_what_is_learned():
    words = train_unet.Words()
    batches = train_unet.Batches(UNET, words, torch.randn(16, 4, 8, 8, generator=torch.Generator().manual_seed(0)))
    module = train_unet.module_of(UNET, words)
    torch.nn.init.normal_(module["unet"].conv_out.weight, std=0.1)
    whole = batches.loss(module, 3)
    whole.backward()
    parameters = list(module.parameters())
    expected = [parameter.grad.clone() for parameter in parameters if parameter.grad is not None]
    total = train_unet.Halves(module, parameters, 2).gradients(lambda part: batches.loss(module, 3, part, 2))
    assert total == pytest.approx(whole.item(), rel=1e-5)
    got = [parameter.grad for parameter in parameters if parameter.grad is not None]
    for ours, theirs in zip(got, expected, strict=True):
        assert (ours - theirs).norm() <= 0.01 * theirs.norm() + 1e-5


def test_a_frozen_encoder_stays(trained, tmp_path):
    (tmp_path / "vae.pt").write_bytes((trained / "vae.pt").read_bytes())
    before = torch.load(trained / "vae.pt", weights_only=True)["average"]
    settings = train_vae.VaeSettings(steps=5, batch=2)
    after = train_vae.train(settings, tmp_path, minutes=9, resume=True, freeze_encoder=True).average.state_dict()
    for name, tensor in before.items():
        stays = name.startswith(("encoder.", "quant_conv."))
        if stays:
            assert torch.equal(after[name], tensor), name
    assert not torch.equal(after["decoder.conv_out.weight"], before["decoder.conv_out.weight"])


def test_a_state_of_another_size_is_refused(trained, tmp_path):
    training = state.Training(torch.nn.Linear(2, 2), state.Schedule(1e-3, 1), trained / "vae.pt")
    with pytest.raises(InputError, match="other sizes"):
        training.resume()


def test_the_export_is_a_model_like_any_other(trained, tmp_path):
    path = export.export(trained, tmp_path / "demo.safetensors", UNET)
    assert path.stat().st_size <= 40 * 2**20
    model = load(path, dtype=torch.float32, device="cpu")
    pictures = train_vae.to_tensor(np.stack([world.draw(scene) for scene in train_unet.scenes(UNET)]))
    latents = vae_latents.encode(model.vae, pictures)
    assert latents.mean((0, 2, 3)).abs().max() < 0.05
    assert (latents.std((0, 2, 3)) - 1).abs().max() < 0.05, "latents * 0.18215 have no unit variance"
    # The picture is the same as before the scale was folded in.
    plain = train_unet.load_vae(trained)
    with torch.no_grad():
        expected = plain.decoder(plain.post_quant_conv(plain.quant_conv(plain.encoder(pictures))[:, :4])).clamp(-1, 1)
    assert (vae_latents.decode(model.vae, latents) - expected).abs().mean() < 2e-3
    # Words that no training saw are neither weaker nor stronger than the others.
    table = model.text_encoders[0].get_input_embeddings().weight
    used = torch.zeros(len(table), dtype=torch.bool)
    used[train_unet.Words().used] = True
    assert table[~used].std() == pytest.approx(table[used].std().item(), rel=0.1)
    drawn = score.pictures(model, ["a red circle", "a blue ring"], score.Sampling(steps=2))
    assert drawn.shape == (2, 3, 64, 64) and drawn.isfinite().all()
    again = score.pictures(model, ["a red circle"], score.Sampling(steps=2))
    assert torch.allclose(again, drawn[:1], atol=1e-4), "a picture depends on its neighbours"


def test_a_missing_part_is_named(tmp_path):
    with pytest.raises(InputError, match="vae.pt is missing.*demo vae"):
        export.export(tmp_path, tmp_path / "x.safetensors")


def test_the_judge_learns_to_read(tmp_path):
    reader = judge.train(judge.JudgeSettings(steps=60, batch=32))
    right = judge.accuracy(reader, count=200)
    assert right["background"] > 0.9 and right["colour"] > 0.7 and right["shape"] > 0.4
    judge.save(reader, tmp_path / "judge.safetensors")
    assert (tmp_path / "judge.safetensors").stat().st_size < 1_000_000
    pictures, _ = judge.batch(1, "test", 0, 20, worn=False)
    assert judge.load(tmp_path / "judge.safetensors").read(pictures)[0].keys() == judge.WORDS.keys()


def test_scores_count_what_is_right():
    class Blind:
        def read(self, pictures):
            return [{"shape": "circle", "colour": "red", "background": "white", "size": "large"}] * len(pictures)

    captions = ["a large red circle on a white background", "a medium red star on a pink background", "a circle"]
    pictures = torch.zeros(3, 3, 64, 64)
    shares = score.score(Blind(), pictures, captions)
    assert shares == {"size": 0.5, "colour": 1.0, "shape": pytest.approx(2 / 3), "background": 0.5}
    assert score.confusions(Blind(), pictures[:2], captions[:2], "shape") == {"star > circle": 1}
    asked = score.held_out_captions(100)
    assert len(asked) == 100 and len(set(asked)) == 2 * len(world.triplets(True))
