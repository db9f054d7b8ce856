"""The kinds of network, and weights per block: each is shown to do what it is there for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lora_trainer.demo import trial, world
from lora_trainer.networks.blocks import block_of
from lora_trainer.networks.files import group_keys
from lora_trainer.networks.files import load as load_tensors
from lora_trainer.randomness import rng
from lora_trainer.sampling.loras import LoraUse
from tests.outcome.board import reads
from tests.outcome.held_out import HeldOut, error_left, surely
from tests.outcome.lab import FEW, Lab

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
HEART = reads("shape", "heart")


def striped(count: int, seed: int = 0) -> list[trial.Pair]:
    """Pictures of the base world with a texture: white stripes across the objects. The captions do not tell."""
    pictures = []
    for index in range(count):
        draw = rng(seed, "striped", index)
        scene = world.replace(world.random_scene(draw, held_out=bool(seed)), size="large", striped=True)
        scene = world.place(scene, draw)
        pictures.append((world.draw(scene), scene.caption()))
    return pictures


def stripes(pictures: torch.Tensor) -> torch.Tensor:
    """How much of the texture in the middle of each picture [B] is the world's stripes: the share of its energy at their
    wavelength and direction. 0 is none; drawings of the world have about 0.6."""
    middle = pictures[:, :, 15:49, 15:49].mean(1)
    window = torch.hann_window(middle.shape[-1], periodic=False)
    weight = window[:, None] * window[None, :] / window.sum() ** 2
    wave = middle - (middle * weight).sum((1, 2), keepdim=True)
    place = torch.arange(middle.shape[-1])
    phase = (place[:, None] + place[None, :]) * (2 * torch.pi / world.STRIPE) * 0.5**0.5
    parts = [(wave * weight * function(phase)).sum((1, 2)) for function in (torch.cos, torch.sin)]
    energy = (wave.square() * weight).sum((1, 2)).clamp(min=1e-3)
    return 2 * (parts[0].square() + parts[1].square()) / energy


@pytest.mark.long
def test_c3lier(lab, board):
    """3x3 convolutions learn a texture better.

    White stripes across the base world's shapes, which the base model has never drawn. C3Lier (conv_dim) against LierLa: the
    same rank, steps, rate and seed, drawn with a CFG scale of 1. "stripes" is how much of the texture is at their wavelength
    and direction (drawings have about 60 %); "error left" is what is left of the base model's error when striped pictures that
    no training saw are denoised.
    """
    same = {"network_dim": 8, "network_alpha": 8.0, "learning_rate": 1e-2, "min_timestep": 0, "max_train_steps": 50}
    same["network_train_unet_only"] = True
    convolutions = {"LierLa": None, "C3Lier": ["conv_dim=8", "conv_alpha=8"]}
    paths = {name: lab.train(striped(24), network_args=words, **same) for name, words in convolutions.items()}
    new = striped(40, seed=9)
    captions, unguided = [caption for _, caption in new[:24]], replace(lab, how=replace(lab.how, cfg=1.0))
    rows = {"before": unguided.draw(captions), **{name: unguided.draw(captions, path) for name, path in paths.items()}}
    held_out = HeldOut(lab, new)
    errors = {"before": held_out.errors(), **{name: held_out.errors(path) for name, path in paths.items()}}
    measures = {"stripes": lambda seen: float(stripes(seen.pictures).mean()), "shape": reads("shape")}
    scores = board(rows, **measures, **{"error left": error_left(rows, errors)})
    assert scores["before"]["stripes"] <= 0.1
    for better, worse in (("LierLa", "before"), ("C3Lier", "LierLa")):
        assert surely(errors[better], errors[worse]) and errors[better].mean() <= 0.97 * errors[worse].mean()
        assert surely(stripes(rows[worse].pictures), stripes(rows[better].pictures), 2)


@pytest.mark.long
def test_dylora(lab, board):
    """Every first part of a DyLoRA's ranks is a LoRA.

    A DyLoRA of rank 12 with unit 4: its first 4, 8 and 12 ranks. The more of them, the less error is left when hearts that no
    training saw are denoised. Of a plain LoRA, trained the same way, the first 4 ranks do little: they were not made to stand
    alone.
    """
    same = {"network_dim": 12, "network_alpha": 12.0, "learning_rate": 1e-2, "max_train_steps": 60}
    dylora = lab.subject(network_module="networks.dylora", network_args=["unit=4"], **same)
    uses = {f"first {rank} ranks": LoraUse(dylora, dyn=rank) for rank in (4, 8, 12)}
    uses["plain, first 4 ranks"] = LoraUse(lab.subject(**same), dyn=4)
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, use) for name, use in uses.items()}}
    held_out = HeldOut(lab, trial.subject_pictures(30, seed=9))
    errors = {"before": held_out.errors(), **{name: held_out.errors(use) for name, use in uses.items()}}
    scores = board(rows, heart=HEART, **{"error left": error_left(rows, errors)})
    before, four, eight, twelve, plain = errors.values()
    assert surely(plain, before) and surely(four, plain)
    assert surely(twelve, four, 2) and twelve.mean() < eight.mean() < four.mean()
    assert all(scores[f"first {rank} ranks"]["heart"] >= 0.15 for rank in (4, 8, 12))
    assert scores["plain, first 4 ranks"]["heart"] <= 0.1


TOP, BELOW = {1, 2, 12, 22, 23, 24}, {7, 8, 12, 16, 17, 18}  # blocks; 12 is the middle


def only(blocks: set[int]) -> list[str]:
    """The network_args that give a weight of 1 to these blocks and of 0 to all others."""
    weights = ["1" if block in blocks else "0" for block in range(25)]
    parts = {"down_lr_weight": weights[:12], "mid_lr_weight": weights[12:13], "up_lr_weight": weights[13:]}
    return [f"{name}={','.join(part)}" for name, part in parts.items()]


def levels(lab: Lab, *loras: LoraUse | Path) -> dict[str, torch.Tensor]:
    """What the UNet's levels give out for one fixed input: "down 0" (the top) to "down 3", "middle", "up 0" to "up 3"."""
    unet, found = lab.model.unet, {}
    blocks = {f"down {number}": block for number, block in enumerate(unet.down_blocks)}
    blocks |= {"middle": unet.mid_block, **{f"up {number}": block for number, block in enumerate(unet.up_blocks)}}
    hooks = [
        block.register_forward_hook(
            lambda _module, _inputs, output, name=name: found.update({name: output[0] if isinstance(output, tuple) else output})
        )
        for name, block in blocks.items()
    ]
    HeldOut(lab, trial.subject_pictures(2)).errors(*loras)
    for hook in hooks:
        hook.remove()
    return found


@pytest.mark.long
def test_blocks(lab, board):
    """Weights per block choose where a LoRA is learnt.

    The subject, trained in the UNet's middle and its top level alone (where pictures have their full size), and in the middle
    and its lowest level alone. In this small model outlines are drawn on top: below, a picture is 2x2 places. Blocks of
    weight 0 have no part in the file and give out the same bits as before.
    """
    same = {"network_train_unet_only": True, "learning_rate": 1e-2, "max_train_steps": 50}
    chosen = {"top": TOP, "below": BELOW}
    paths = {name: lab.subject(network_args=only(blocks), **same) for name, blocks in chosen.items()}
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, path) for name, path in paths.items()}}
    held_out = HeldOut(lab, trial.subject_pictures(20, seed=9))
    errors = {"before": held_out.errors(), **{name: held_out.errors(path) for name, path in paths.items()}}
    scores = board(rows, heart=HEART, colour=reads("colour"), **{"error left": error_left(rows, errors)})
    for name, path in paths.items():
        assert {block_of(module) for module in group_keys(load_tensors(path)[0], name)} == chosen[name]
    before, below, everywhere = (levels(lab, *loras) for loras in ((), (paths["below"],), (LoraUse(lab.subject(), te=0.0),)))
    same_bits = {level for level in before if torch.equal(before[level], below[level])}
    assert same_bits == {"down 0", "down 1"}
    assert not any(torch.equal(before[level], everywhere[level]) for level in before)
    assert surely(errors["below"], errors["before"]) and surely(errors["top"], errors["below"])
    assert scores["top"]["heart"] >= scores["before"]["heart"] + 0.25  # twelve pictures tell no finer difference: the errors do
