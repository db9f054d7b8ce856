"""Pictures on a card that has no room for all of a model: each part comes for its turn, and the picture is the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lora_trainer.models import vae
from lora_trainer.sampling import generate as room
from lora_trainer.sampling import turns
from lora_trainer.sampling.generate import Details, ImageRequest, generate
from lora_trainer.sampling.turns import Turns

SMALL = {"prompt": "a cat", "width": 64, "height": 64, "steps": 2, "seed": 7, "cfg_scale": 5.0, "sampler": "euler"}
GIB = 1 << 30


def pixels(pictures):
    return [np.asarray(picture.image) for picture in pictures]


def test_text_encoders_and_vae_are_there_for_their_part_alone(loaded, monkeypatch):
    names = {loaded.text_encoders[0]: "text", loaded.vae: "vae", loaded.unet: "unet"}
    here: set[str] = set()
    seen: set[tuple[str, ...]] = set()
    move = torch.nn.Module.to

    def to(self, *args, **kwargs):
        here.update([names[self]] if self in names else [])
        return move(self, *args, **kwargs)

    monkeypatch.setattr(torch.nn.Module, "to", to)
    hooks = [
        part.register_forward_pre_hook(lambda *_, name=name: seen.add((name, *sorted(here))))
        for part, name in ((loaded.text_encoders[0], "text"), (loaded.unet, "unet"), (loaded.vae.decoder, "vae"))
    ]
    try:
        plain = generate(loaded, ImageRequest(**SMALL))
        seen.clear()
        here.clear()
        one_by_one = Turns(torch.device("cpu"), lambda *parts: here.difference_update(names[part] for part in parts))
        drawn = generate(loaded, ImageRequest(**SMALL), turns=one_by_one)
    finally:
        for hook in hooks:
            hook.remove()
    assert seen == {("text", "text"), ("unet",), ("vae", "vae")} and not here
    assert np.array_equal(pixels(drawn), pixels(plain))


def test_where_several_pictures_do_not_fit_one_is_drawn_after_the_other(loaded, monkeypatch):
    request = ImageRequest(**{**SMALL, "batch_size": 3, "batch_count": 2})
    whole = pixels(generate(loaded, request))
    sample, told, tried = room._sample, [], []

    def full(function, denoisers, sigmas, seeds, *more):
        tried.append(len(seeds))
        if len(seeds) > 1:
            raise torch.cuda.OutOfMemoryError("full")
        return sample(function, denoisers, sigmas, seeds, *more)

    monkeypatch.setattr(room, "_sample", full)
    apart = generate(loaded, request, progress=lambda done, total: told.append((done, total)))
    assert [picture.seed for picture in apart] == list(range(7, 13))
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(whole, pixels(apart), strict=True)) <= 1
    assert tried == [3, 1, 1, 1, 3, 1, 1, 1] and told[-1] == (12, 12), "each batch is tried: another may fit"
    monkeypatch.setattr(room, "_sample", lambda *_: (_ for _ in ()).throw(torch.cuda.OutOfMemoryError("full")))
    with pytest.raises(room.OutOfMemoryError, match="64x64"):
        generate(loaded, ImageRequest(**SMALL), details=Details(seeds=[1]))


def test_the_memory_that_is_free_decides(loaded, monkeypatch):
    device = torch.device("cuda")
    elsewhere, decoding = turns.needed(loaded, (1024, 1024), device)
    assert elsewhere == sum(
        p.nbytes for part in (*loaded.text_encoders, loaded.vae) for p in (*part.parameters(), *part.buffers())
    )
    assert turns.needed(loaded, (1024, 1024), torch.device("cpu")) == (0, decoding) and decoding > 0

    def chosen(there):
        monkeypatch.setattr(turns, "spare", lambda _: there)
        return turns.turns(loaded, (1024, 1024), device, print)

    assert chosen(None) is None, "there is no card"
    assert chosen(2 * (elsewhere + decoding)) is None
    alone = decoding + sum(p.nbytes for p in loaded.vae.parameters())
    assert chosen(int((alone + elsewhere + decoding) / 2 / 0.92)).tile is None, "each alone finds room, both do not"
    assert chosen(alone // 2).tile == vae.TILE
