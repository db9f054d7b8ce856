"""Tokenizers in a folder of the user's (option tokenizer_cache_dir), laid out as the reference does, so that both share one.

A checkpoint file has no tokenizer of its own. The reference downloads one and keeps it in the folder; the vocabulary of ours
ships with the program, so that there is nothing to download, and a folder that holds one decides. A model in diffusers' form
brings its own, which counts.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from ..errors import InputError
from ..foreign.reading import is_file
from ..log import logger
from ..paths import user_path
from .family import Model
from .text_encoders import tokenizer

_OPENAI, _BIGG = "openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k"
FOLDERS = {"sd1": (_OPENAI,), "sd2": ("stabilityai_stable-diffusion-2",), "sdxl": (_OPENAI, _BIGG)}


def use(model: Model, cache: str | None) -> None:
    """Give a `model` that came from a file the tokenizers in the folder `cache`, and keep there what it lacks of them.

    Raises InputError for a tokenizer that cannot be read, or has words that the text encoder does not know.
    """
    if cache is None or not is_file(user_path(model.source)):
        return
    for number, name in enumerate(FOLDERS[model.family.name]):
        folder = user_path(cache) / name
        if is_file(folder / "vocab.json") and is_file(folder / "merges.txt"):
            model.tokenizers[number] = _read(folder, model, number)
        else:
            _keep(folder, model, number)


def _read(folder: Path, model: Model, number: int) -> object:
    ours = model.tokenizers[number]
    known = model.text_encoders[number].config.vocab_size
    try:
        found = tokenizer(folder, pad_with_zero=ours.pad_token_id == 0)
        largest = max(found.get_vocab().values())
    except (OSError, ValueError, TypeError, AttributeError, LookupError) as error:
        raise _unfit(folder, f"cannot be read: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error
    if largest >= known:
        raise _unfit(folder, f"has words up to number {largest}, the text encoder knows {known}")
    return found


def _unfit(folder: Path, what: str) -> InputError:
    advice = "Delete that folder: the tokenizer that belongs to the model is put there then."
    return InputError(f"the tokenizer in {folder} {what}.", field="tokenizer_cache_dir", advice=advice)


def _keep(folder: Path, model: Model, number: int) -> None:
    """Write a tokenizer to `folder` as a whole; a folder that cannot be written is no reason not to train."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            model.tokenizers[number].save_pretrained(made)
            if not folder.exists():  # another process of this training may have been faster
                os.replace(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        logger.warning("the tokenizer could not be kept in %s: %s", folder, error)
