"""Diffusers folders: their files, and fetching one from the hub."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import modelfile
from ..errors import BaseModelError, NotInstalledError
from ..foreign.json_text import read_json
from ..foreign.reading import UnreadableError, is_file

# In the order of preference: safetensors before pickles, full precision before fp16.
_WEIGHTS = tuple(
    f"{stem}{variant}{suffix}"
    for suffix, stems in (
        (".safetensors", ("diffusion_pytorch_model", "model")),
        (".bin", ("diffusion_pytorch_model", "pytorch_model")),
    )
    for variant in ("", ".fp16")
    for stem in stems
)


def find_weights(folder: Path) -> Path:
    """Return the file with the tensors of the part in `folder`. Raises BaseModelError when there is none."""
    for name in _WEIGHTS:
        if is_file(folder / name):
            return folder / name
    raise BaseModelError(
        f"{folder} has no file with weights, expected one of {', '.join(_WEIGHTS[:2])} or their .fp16 and .bin forms.",
        advice="Download the model's folder again, completely.",
    )


def read_config(path: Path) -> dict[str, Any]:
    """Return the table in a configuration file. Raises BaseModelError when it is missing or damaged."""
    try:
        content = read_json(path)
    except UnreadableError as error:
        raise BaseModelError(f"{path} {error}", advice="Download the model's folder again, completely.") from error
    if not isinstance(content, dict):
        raise BaseModelError(f"{path} holds no table of settings.", advice="Download the model's folder again.")
    return content


def is_hub_id(text: str) -> bool:
    """Whether `text` has the form of a hub id (`owner/name`) and not that of a model file."""
    return bool(re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", text)) and not text.lower().endswith(modelfile.SUFFIXES)


def fetch_from_hub(name: str) -> Path:
    """Return the local folder of the hub's model `name`, fetched where it is not there yet.

    Its kind is checked by the small files before the large ones are fetched. Raises BaseModelError when it cannot be had.
    """
    folder = _fetch(name, ["model_index.json", "unet/config.json"])
    info = modelfile.probe(folder)
    if info.problem:
        problem, advice = (
            modelfile.refusal(name, info.kind, info.in_channels) if info.kind != "unknown" else (info.problem, info.advice)
        )
        raise BaseModelError(problem.replace(str(folder), name), advice=advice)
    parts = ("unet", "vae", "text_encoder", *(("text_encoder_2",) if info.kind == "sdxl" else ()))
    small = [f"{part}/config.json" for part in parts] + ["tokenizer/*", "tokenizer_2/*", "scheduler/*"]
    fetched = _fetch_weights(name, parts, small)
    if fetched is None:
        raise BaseModelError(
            f"{name} on the Hugging Face hub lacks the weights of its UNet, VAE or text encoder.", advice=modelfile.FULL_MODEL
        )
    return fetched


def fetch_vae_from_hub(name: str) -> Path:
    """Return the local folder of the hub's VAE `name`, or of the model `name` with its VAE alone. Raises BaseModelError."""
    folder = _fetch(name, ["config.json", "vae/config.json"])
    part = "vae" if is_file(folder / "vae" / "config.json") else "."
    if not is_file(folder / part / "config.json"):
        raise BaseModelError(f"{name} on the Hugging Face hub is no VAE of diffusers.", advice=modelfile.VAE_ADVICE)
    fetched = _fetch_weights(name, (part,), [])
    if fetched is None:
        raise BaseModelError(f"{name} on the Hugging Face hub lacks the weights of its VAE.", advice=modelfile.VAE_ADVICE)
    return fetched


def _fetch_weights(name: str, parts: Sequence[str], small: Sequence[str]) -> Path | None:
    """Fetch the weights of every one of `parts` (folders; "." is the whole), and `small`; None where one has none."""
    for weights in _WEIGHTS[:2], _WEIGHTS[2:4], _WEIGHTS[4:]:
        files = [(Path(part) / file).as_posix() for part in parts for file in weights]
        folder = _fetch(name, [*small, *files])
        if all(any(is_file(folder / part / file) for file in _WEIGHTS) for part in parts):
            return folder
    return None


def _fetch(name: str, patterns: Sequence[str]) -> Path:
    """Return the local folder of the hub's repository `name` with the files of these patterns, as far as it has them."""
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise NotInstalledError("The package huggingface_hub is missing.", advice="Give a model file instead.") from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))
    except Exception as error:  # the hub's client raises many kinds, from no network to no such name
        raise BaseModelError(
            f"{name} is neither a file nor a folder here, and could not be fetched from the Hugging Face hub: "
            f"{(str(error).strip() or type(error).__name__).splitlines()[0]}",
            advice="Check the spelling and the network (HF_HUB_OFFLINE must not be set), or give a model file.",
        ) from error
