"""`tag_images_by_deepdanbooru`: tags by DeepDanbooru in the form that the Web UI keeps (model-resnet_custom_v3.pt).

python -m lora_trainer tag_images_by_deepdanbooru --model models/torch_deepdanbooru/model-resnet_custom_v3.pt train_data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .. import log
from ..data.resize import Pixels, resize
from ..errors import BaseModelError
from ..foreign.reading import errors_as
from ..foreign.tensors import read_pickle_beside
from ..log import logger
from ..options.tool_cli import parse
from ..options.tools.tag_images_by_deepdanbooru import TagImagesByDeepDanbooru
from ..paths import user_path
from . import devices
from .deepdanbooru_net import DeepDanbooruNet
from .pictures import Picture, find
from .running import carry_out
from .tag_lists import GENERAL, RATING, Tag, TagList
from .tag_words import Wording, Words, listed
from .writing import caption_sink

SIDE = 512  # pixels
_MEMORY = 3 << 30  # bytes
_WANTED = "Give model-resnet_custom_v3.pt, which the Web UI's Interrogate DeepBooru fetches into models/torch_deepdanbooru."


def main(argv: Sequence[str]) -> int:
    """Tag as the arguments say; returns the exit code. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    return run(parse(TagImagesByDeepDanbooru, "tag_images_by_deepdanbooru", argv))


def run(options: TagImagesByDeepDanbooru) -> int:
    """Tag as `options` say; returns the exit code (130 when it was stopped)."""
    assert options.train_data_dir and options.model
    found = find(Path(user_path(options.train_data_dir)), recursive=options.recursive)
    sink = caption_sink(options, found)
    tagger = load(Path(user_path(options.model)), options)
    code = carry_out(options, found, sink, tagger)
    if options.frequency_tags:
        logger.info("How often each tag was found:")
        for word, times in tagger.words.counts.most_common():
            logger.info("%s: %d", word, times)
    return code


class DeepDanbooru:
    """DeepDanbooru, as the run through the pictures wants it."""

    batch_size = None

    def __init__(self, net: DeepDanbooruNet, words: Words, device: torch.device) -> None:
        self._net, self._device, self.words = net.to(device), device, words

    def prepare(self, pixels: Pixels) -> Pixels:
        """In the middle of a square, whose rest repeats the picture's edges."""
        return squared(pixels, SIDE)

    def describe(self, pictures: Sequence[Picture], prepared: Sequence[Pixels]) -> list[list[str]]:
        """The tags of each."""
        images = torch.from_numpy(np.stack(prepared)).to(self._device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            sureness = self._net(images).float().cpu().numpy()
        return [self.words.of(one) for one in sureness]


def load(path: Path, options: TagImagesByDeepDanbooru) -> DeepDanbooru:
    """The model in the file `path`. Raises BaseModelError for another or a damaged one."""
    if path.suffix.lower() in (".h5", ".zip", ".json") or (path.parent / "project.json").exists():
        raise BaseModelError(f"{path} is DeepDanbooru in the form of TensorFlow, which is not read.", advice=_WANTED)
    with errors_as(BaseModelError, path):
        tensors, tags = read_pickle_beside(path, "tags")
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise BaseModelError(f"{path} holds no list of tags, so it is not DeepDanbooru.", advice=_WANTED)
    net = DeepDanbooruNet.of(tensors, str(path), _WANTED)
    if net.outputs != len(tags):
        raise BaseModelError(
            f"{path} says {net.outputs} numbers of a picture, but its list of tags has {len(tags)}.", advice=_WANTED
        )
    rated = tuple(Tag(tag, RATING if tag.startswith("rating:") else GENERAL) for tag in tags)
    wording = Wording(
        thresholds={GENERAL: options.thresh},
        undesired=frozenset(listed(options.undesired_tags)),
        remove_underscore=options.remove_underscore,
        ratings="last" if options.use_rating_tags else "",
    )
    return DeepDanbooru(net.eval(), Words(TagList(path, rated), wording), devices.choose(options.device, _MEMORY))


def squared(pixels: Pixels, side: int) -> Pixels:
    """[H, W, 3] fitted into [side, side, 3], in the middle, its edges repeated to the sides."""
    height, width = pixels.shape[:2]
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = resize(pixels, size)
    left, top = (side - size[0]) // 2, (side - size[1]) // 2
    around: Any = ((top, side - size[1] - top), (left, side - size[0] - left), (0, 0))
    return np.pad(fitted, around, mode="edge")
