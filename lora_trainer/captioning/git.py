"""`make_captions_by_git`: a sentence for each picture by GIT (Wang et al. 2022, arXiv 2205.14100).

python -m lora_trainer make_captions_by_git --batch_size 8 --remove_words train_data
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import CLIPImageProcessor, GitForCausalLM

from .. import log
from ..data.resize import Pixels
from ..options.tool_cli import parse
from ..options.tools.make_captions import GIT, MakeCaptionsByGit
from ..paths import user_path
from . import devices, sentences
from .pictures import Picture, find
from .running import carry_out
from .writing import caption_sink

_MEMORY = 3 << 30  # bytes that the large model needs with a few pictures
_SAID = r"""(?:"[^"]*"?|'[^']*'?|\w+)"""
_PLACE = r"(?:\s+(?:is\s+)?(?:on|in)\s+(?:it\b|(?:the|her|his|their|a)\s+\w+|\w+))?"
_READ = re.compile(
    rf"""\s*\b(?:
        (?:has|with|and)\s+the\s+(?:words?|letters?|names?|numbers?)\s*{_SAID}{_PLACE}
      | (?:with\s+a\s+sign\s+)?that\s+says?\s*(?:the\s+word\s*)?{_SAID}{_PLACE}
      | word\s+{_SAID}\s+on\s+it
    )""",
    re.VERBOSE,
)


def main(argv: Sequence[str]) -> int:
    """Caption as the arguments say; returns the exit code. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    return run(parse(MakeCaptionsByGit, "make_captions_by_git", argv))


def run(options: MakeCaptionsByGit) -> int:
    """Caption as `options` say; returns the exit code (130 when it was stopped)."""
    assert options.train_data_dir
    source = sentences.source_of(options.model_id, "model_id", GIT)
    found = find(Path(user_path(options.train_data_dir)), recursive=options.recursive)
    sink = caption_sink(options, found)
    return carry_out(options, found, sink, Git(source, options))


class Git:
    """GIT, as the run through the pictures wants it."""

    batch_size = None

    def __init__(self, source: str, options: MakeCaptionsByGit) -> None:
        self._options = options
        self._device = devices.choose(options.device, _MEMORY)
        model, self._images, self._tokenizer = sentences.load(GitForCausalLM, CLIPImageProcessor, source, "git")
        self._model: Any = model.to(self._device)

    def prepare(self, pixels: Pixels) -> NDArray[np.float32]:
        """[3, side, side], as GIT was taught."""
        return sentences.prepared(self._images, pixels)

    def describe(self, pictures: Sequence[Picture], prepared: Sequence[NDArray[np.float32]]) -> list[list[str]]:
        """A sentence for each, the likeliest word at each place."""
        with torch.inference_mode():
            tokens = self._model.generate(
                pixel_values=sentences.stacked(prepared, self._device), max_length=self._options.max_length, do_sample=False
            )
        texts = self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [sentences.one_line(without_read_words(text) if self._options.remove_words else text) for text in texts]


def without_read_words(text: str) -> str:
    """`text` without what the model claims to read in the picture, which it often makes up."""
    return _READ.sub("", text)
