"""DeepDanbooru in the form of its torch file: the real architecture's plan, a small one from file to captions, wrong files."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from lora_trainer import commands
from lora_trainer.captioning import deepdanbooru
from lora_trainer.captioning.deepdanbooru_net import DeepDanbooruNet, plan
from lora_trainer.errors import BaseModelError

from .small_tagger import captions, write_pictures

TAGS = ["blue_sky", "red_hair", "^_^", "rating:safe", "rating:explicit"]
REAL = [(64, 256, 3), (128, 512, 8), (256, 1024, 20), (256, 1024, 20), (512, 2048, 3), (1024, 4096, 3)]
"""(inner channels, channels, blocks) of each stage of model-resnet_custom_v3.pt."""


def shapes_of(stages, first, tags):
    """The shapes of a file's convolutions; a stage that only halves has its shortcut behind the first block."""
    shapes, channels = [(first, 3, 7, 7)], first
    for inner, outer, blocks in stages:
        for block in range(blocks):
            shortcut = [(outer, channels, 1, 1)] if block == 0 else []
            own = [(inner, channels, 1, 1), (inner, inner, 3, 3), (outer, inner, 1, 1)]
            shapes += [*own, *shortcut] if channels == outer else [*shortcut, *own]
            channels = outer
    return dict(enumerate([*shapes, (tags, channels, 1, 1)]))


def test_the_real_files_convolutions_make_the_network_that_they_are_of():
    shapes = shapes_of(REAL, 64, 9176)
    assert len(shapes) == 179
    blocks = plan(shapes)
    halving = sorted(one for block in blocks if block.stride == 2 for one in (block.own[1], block.shortcut))
    assert halving == [11, 13, 36, 38, 98, 100, 158, 160, 168, 170]  # as the file's own code has them
    assert [block.shortcut for block in blocks if block.shortcut] == [1, 11, 36, 100, 158, 168]
    assert len(blocks) == sum(blocks for _, _, blocks in REAL)


STAGES = [(4, 8, 2), (4, 16, 2), (4, 16, 2), (8, 24, 1)]


def small_file(path, tags=TAGS, change=lambda tensors: None):
    """A file of the real form with random convolutions; the last one is set so that the mean colours decide."""
    generator = torch.Generator().manual_seed(3)
    shapes = shapes_of(STAGES, 6, len(tags))
    tensors = {}
    for number, shape in shapes.items():
        tensors[f"n_Conv_{number}.weight"] = torch.randn(shape, generator=generator) / math.sqrt(math.prod(shape[1:]))
        if number != len(shapes) - 1:
            tensors[f"n_Conv_{number}.bias"] = torch.zeros(shape[0])
    tensors["tags"] = list(tags)
    change(tensors)
    torch.save(tensors, path)
    return path


class Reference(nn.Module):
    """The same network written out with torch's layers, for one shape of it."""

    def __init__(self, tensors):
        super().__init__()
        self.tensors = tensors

    def conv(self, number, x, stride=1):
        return functional.conv2d(x, self.tensors[f"n_Conv_{number}.weight"], self.tensors.get(f"n_Conv_{number}.bias"), stride)

    def block(self, x, own, shortcut=None, stride=1):
        pad = nn.ZeroPad2d((0, 1, 0, 1) if stride == 2 else 1)
        inner = torch.relu(self.conv(own[0], x))
        inner = torch.relu(self.conv(own[1], pad(inner), stride))
        return torch.relu(self.conv(own[2], inner) + (x if shortcut is None else self.conv(shortcut, x, stride)))

    def forward(self, x):
        x = torch.relu(self.conv(0, nn.ZeroPad2d((2, 3, 2, 3))(x), 2))
        x = nn.MaxPool2d(3, 2)(nn.ConstantPad2d((0, 1, 0, 1), -1e9)(x))
        x = self.block(x, (2, 3, 4), 1)
        x = self.block(x, (5, 6, 7))
        x = self.block(x, (9, 10, 11), 8, 2)
        x = self.block(x, (12, 13, 14))
        x = self.block(x, (15, 16, 17), 18, 2)
        x = self.block(x, (19, 20, 21))
        x = self.block(x, (23, 24, 25), 22, 2)
        return torch.sigmoid(nn.AdaptiveAvgPool2d(1)(self.conv(26, x)).flatten(1))


def test_the_network_computes_what_its_convolutions_say(tmp_path):
    tensors = torch.load(small_file(tmp_path / "m.pt"), weights_only=True)
    tensors.pop("tags")
    net = DeepDanbooruNet.of(tensors, "m.pt", "")
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(net(images), Reference(tensors)(images))


def tag(images, model, *words):
    return commands.run(["tag_images_by_deepdanbooru", str(images), "--model", str(model), "--device", "cpu", *words])


def test_pictures_get_tags(tmp_path):
    images = write_pictures(tmp_path / "images", "red.png", "blue.png")
    model = small_file(tmp_path / "model-resnet_custom_v3.pt")
    assert tag(images, model, "--thresh", "0", "--batch_size", "2", "--undesired_tags", "^_^") == 0
    assert captions(images) == {"blue.txt": "blue_sky, red_hair\n", "red.txt": "blue_sky, red_hair\n"}
    assert tag(images, model, "--thresh", "0", "--remove_underscore", "--use_rating_tags") == 0
    assert all(text.startswith("blue sky, red hair, ^_^, rating:") for text in captions(images).values())
    assert tag(images, model, "--thresh", "1.1") == 0


def test_a_picture_lies_in_a_square_whose_sides_repeat_its_edges():
    wide = torch.zeros(10, 20, 3, dtype=torch.uint8)
    wide[5:] = 200
    square = deepdanbooru.squared(wide.numpy(), 64)
    assert square.shape == (64, 64, 3) and not square[:16].any() and (square[-16:] == 200).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda tensors: tensors.pop("tags"), "holds no list of tags"),
        (lambda tensors: tensors["tags"].pop(), "says 5 numbers of a picture, but its list of tags has 4"),
        (lambda tensors: tensors.pop("n_Conv_7.weight"), "lacks convolutions"),
        (lambda tensors: tensors.update({"n_Conv_6.weight": torch.zeros(4, 5, 3, 3)}), "block at convolution 5 do not fit"),
        (lambda tensors: tensors.update({"n_Conv_5.weight": torch.zeros(4, 8, 3, 3)}), "convolution 5 begins no block"),
    ],
)
def test_another_file_is_refused_in_words(tmp_path, capsys, change, said):
    images = write_pictures(tmp_path / "images", "red.png")
    model = small_file(tmp_path / "m.pt", change=change)
    assert tag(images, model) == 1
    told = capsys.readouterr().err
    assert said in told and str(model) in told and "model-resnet_custom_v3.pt" in told and not captions(images)


def test_a_file_with_code_in_it_is_not_run_and_tensorflows_form_is_told(tmp_path):
    from lora_trainer.options.tools.tag_images_by_deepdanbooru import TagImagesByDeepDanbooru

    options = TagImagesByDeepDanbooru()
    code = tmp_path / "code.pt"
    torch.save({"tags": TAGS, "n": nn.Linear(1, 1)}, code)
    with pytest.raises(BaseModelError, match="can run code"):
        deepdanbooru.load(code, options)
    with pytest.raises(BaseModelError, match="TensorFlow"):
        deepdanbooru.load(tmp_path / "model-resnet_custom_v3.h5", options)
