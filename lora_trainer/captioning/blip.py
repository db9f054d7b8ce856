"""`make_captions`: a sentence for each picture by BLIP (Li et al. 2022, arXiv 2201.12086).

python -m lora_trainer make_captions --batch_size 8 train_data
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    BlipForConditionalGeneration,
    BlipImageProcessor,
    LogitsProcessorList,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from .. import log
from ..data.resize import Pixels
from ..errors import InputError
from ..options.tool_cli import parse
from ..options.tools.make_captions import BLIP, MakeCaptions
from ..paths import user_path
from . import devices, sentences
from .pictures import Picture, find
from .running import carry_out
from .writing import caption_sink

_PROMPT = "a picture of"  # BLIP was taught to go on from it
_LIKELIEST, _REPETITION = 50, 1.1  # of the words one is drawn; how much a word is avoided that was said already
_MEMORY = 3 << 30  # bytes that the large model needs with a few pictures


def main(argv: Sequence[str]) -> int:
    """Caption as the arguments say; returns the exit code. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    return run(parse(MakeCaptions, "make_captions", argv))


def run(options: MakeCaptions) -> int:
    """Caption as `options` say; returns the exit code (130 when it was stopped)."""
    assert options.train_data_dir
    if options.min_length >= options.max_length:
        raise InputError(
            f"min_length is {options.min_length}, but max_length {options.max_length}.",
            field="min_length",
            where="--min_length",
            advice="A caption may be longer than it has to be.",
        )
    source = sentences.source_of(options.caption_weights, "caption_weights", BLIP)
    found = find(Path(user_path(options.train_data_dir)), recursive=options.recursive)
    sink = caption_sink(options, found)
    return carry_out(options, found, sink, Blip(source, options))


class Blip:
    """BLIP, as the run through the pictures wants it."""

    batch_size = None

    def __init__(self, source: str, options: MakeCaptions) -> None:
        self._options = options
        self._device = devices.choose(options.device, _MEMORY)
        model, self._images, self._tokenizer = sentences.load(BlipForConditionalGeneration, BlipImageProcessor, source, "blip")
        self._model: Any = model.to(self._device)
        self._prompt = self._tokenizer(_PROMPT, return_tensors="pt").input_ids
        if options.max_length <= self._prompt.shape[1]:
            raise InputError(
                f"max_length is {options.max_length}, but BLIP begins with {self._prompt.shape[1]} tokens.",
                field="max_length",
                where="--max_length",
                advice="Give 20 or more.",
            )

    def prepare(self, pixels: Pixels) -> NDArray[np.float32]:
        """[3, side, side], as BLIP was taught."""
        return sentences.prepared(self._images, pixels)

    def describe(self, pictures: Sequence[Picture], prepared: Sequence[NDArray[np.float32]]) -> list[list[str]]:
        """A sentence for each."""
        options = self._options
        how: dict[str, Any] = {"num_beams": options.num_beams}
        if not options.beam_search:
            drawn = sentences.DrawnByNoise(options.seed, [picture.name for picture in pictures])
            warpers = [TopKLogitsWarper(_LIKELIEST), TopPLogitsWarper(options.top_p), drawn]
            how = {"num_beams": 1, "repetition_penalty": _REPETITION, "logits_processor": LogitsProcessorList(warpers)}
        with torch.inference_mode():
            tokens = self._model.generate(
                pixel_values=sentences.stacked(prepared, self._device),
                input_ids=self._prompt.repeat(len(pictures), 1).to(self._device),
                max_length=options.max_length,
                min_length=options.min_length,
                do_sample=False,
                **how,
            )
        said = tokens[:, self._prompt.shape[1] - 1 :]  # behind the prompt, whose last token is the mark of the end
        return [sentences.one_line(text) for text in self._tokenizer.batch_decode(said, skip_special_tokens=True)]
