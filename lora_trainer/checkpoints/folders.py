"""Folders of diffusers: a model as a folder of parts, each with its settings and its weights."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..models import Model
from ..models.convert import Whole
from ..models.family import TEXT, UNET, V_PREDICTION, text_names
from ..networks import files
from ..paths import as_new, unwritable
from .stream import converted, pickled_size, write_checkpoint

PLAIN = "diffusers"  # the value of save_model_as whose weights are no safetensors
_FORMAT = {"format": "pt"}  # what transformers asks of a file's metadata


def weights_file(folder: Path) -> Path:
    """Where the metadata of such a folder stand: the UNet's weights."""
    return folder / UNET / "diffusion_pytorch_model.safetensors"


def write(
    path: Path,
    model: Model,
    parts: Mapping[str, nn.Module],
    dtype: torch.dtype | None,
    metadata: Mapping[str, str],
    *,
    safe: bool,
    whole: Whole,
) -> None:
    """Write `parts` (`Model.named`) as the folder `path`: all of it, or nothing. A folder that is there is replaced.

    `dtype` None keeps the number formats. `whole` gives all of a tensor of which a part may be elsewhere. `metadata` stand in
    the UNet's file, when it is `safe` (.safetensors). Raises SaveError.
    """
    made: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=path.name[:100] + ".", suffix=".tmp", dir=path.parent))
        _fill(made, model, parts)
        for part, module in parts.items():
            _write_weights(made, part, module, dtype, metadata if part == UNET else {}, whole, safe=safe)
        as_new(made, 0o777)
        _put(made, path)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)


def _put(made: Path, path: Path) -> None:
    """Put the folder `made` in the place of `path`. What is there goes when that is done, and comes back when it fails."""
    earlier = made.with_suffix(".replaced.tmp") if path.exists() else None
    if earlier is None:
        os.replace(made, path)
        return
    path.rename(earlier)
    try:
        os.replace(made, path)
    except OSError:
        earlier.rename(path)
        raise
    shutil.rmtree(earlier, ignore_errors=True)


def size(
    model: Model, parts: Mapping[str, nn.Module], dtype: torch.dtype | None, metadata: Mapping[str, str], *, safe: bool
) -> int:
    """The bytes of the files that `write` would write; of metadata the lengths alone count."""
    with tempfile.TemporaryDirectory(prefix="lora-trainer-size-") as folder:
        _fill(Path(folder), model, parts)
        total = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
    for part, module in parts.items():
        contents = _contents(module, dtype)
        if not safe:
            total += pickled_size(contents, None)
            continue
        table = files.layout(contents)
        own = {**_FORMAT, **(metadata if part == UNET else {})}
        total += len(files.header(table, files.fitting(own))) + max(int(entry["data_offsets"][1]) for entry in table.values())
    return total


def _contents(module: nn.Module, dtype: torch.dtype | None) -> dict[str, tuple[torch.dtype, tuple[int, ...]]]:
    return {name: (dtype or tensor.dtype, tuple(tensor.shape)) for name, tensor in module.state_dict().items()}


def _write_weights(
    folder: Path,
    part: str,
    module: nn.Module,
    dtype: torch.dtype | None,
    metadata: Mapping[str, str],
    whole: Whole,
    *,
    safe: bool,
) -> None:
    state = module.state_dict()
    stem = "model" if part.startswith(TEXT) else "diffusion_pytorch_model"
    path = folder / _folder(part) / f"{stem}.safetensors"

    def make(name: str) -> torch.Tensor:
        tensor = whole(state[name].detach())
        return converted(name, tensor, dtype or tensor.dtype, path).to("cpu")

    if safe:
        write_checkpoint(path, _contents(module, dtype), make, {**_FORMAT, **metadata})
        return
    plain = "pytorch_model.bin" if part.startswith(TEXT) else "diffusion_pytorch_model.bin"
    with path.with_name(plain).open("wb") as file:
        files.write_pickle({name: make(name).clone() for name in state}, file)


def _folder(part: str) -> str:
    """The folder of a part: of two text encoders, text_encoder and text_encoder_2."""
    return {f"{TEXT}1": TEXT, f"{TEXT}2": f"{TEXT}_2"}.get(part, part)


def _fill(folder: Path, model: Model, parts: Mapping[str, nn.Module]) -> None:
    """Everything but the weights: what the pipeline consists of, the parts' settings, tokenizers, and the noise schedule."""
    for part, module in parts.items():
        own = folder / _folder(part)
        own.mkdir()
        if part.startswith(TEXT):
            module.config.architectures = [type(module).__name__]
            module.config.save_pretrained(own)
        else:
            module.save_config(own)
    tokenizers = [name.replace(TEXT, "tokenizer") for name in map(_folder, text_names(len(model.tokenizers)))]
    for name, tokenizer in zip(tokenizers, model.tokenizers, strict=True):
        tokenizer.save_pretrained(folder / name)
    (folder / "scheduler").mkdir()
    _write_json(folder / "scheduler" / "scheduler_config.json", _schedule(model))
    _write_json(folder / "model_index.json", _index(model, parts, tokenizers))


def _index(model: Model, parts: Mapping[str, nn.Module], tokenizers: list[str]) -> dict[str, Any]:
    import diffusers

    is_xl = model.family.name == "sdxl"
    library = {part: "transformers" if part.startswith(TEXT) else "diffusers" for part in parts}
    index: dict[str, Any] = {
        "_class_name": "StableDiffusionXLPipeline" if is_xl else "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "scheduler": ["diffusers", _schedule(model)["_class_name"]],
        **{_folder(part): [library[part], type(module).__name__] for part, module in parts.items()},
        **{name: ["transformers", "CLIPTokenizer"] for name in tokenizers},
    }
    if is_xl:
        index["force_zeros_for_empty_prompt"] = True
    else:
        index |= {"feature_extractor": [None, None], "requires_safety_checker": False, "safety_checker": [None, None]}
    return index


def _schedule(model: Model) -> dict[str, Any]:
    """The noise schedule of Stable Diffusion, and what this model predicts."""
    import diffusers

    return {
        "_class_name": "EulerDiscreteScheduler" if model.family.name == "sdxl" else "DDIMScheduler",
        "_diffusers_version": diffusers.__version__,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction" if model.prediction_type == V_PREDICTION else "epsilon",
        "rescale_betas_zero_snr": model.zero_terminal_snr,
        "set_alpha_to_one": False,
        "steps_offset": 1,
        "timestep_spacing": "trailing" if model.zero_terminal_snr else "leading",
        "trained_betas": None,
    }


def _write_json(path: Path, table: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n", encoding="utf-8")
