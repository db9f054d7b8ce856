"""What is in a model file, without loading it: only the header is read. Standard library only.

    info = probe(path)
    if info.problem: show(info.problem, info.advice)      # not a base model that can be trained on, and what to do

The page asks before anything starts; the worker asks again before it loads. The kinds are told apart by the names and shapes
of the tensors, so that renamed and merged files are recognised too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from .foreign.json_text import read_json
from .foreign.model_header import PICKLES, SAFETENSORS, read_model_header
from .foreign.reading import UnreadableError, is_file, is_folder, open_file, shown
from .foreign.safetensors_header import DOWNLOAD_AGAIN
from .model_kinds import (
    DEMO_SIDE,
    DEMO_WIDTH,
    PLAIN_MODEL,
    SIDES,
    SUPPORTED,
    TITLES,
    classify,
    classify_configs,
    strange_tensor,
    unet_width,
)
from .paths import write_atomic

__all__ = [
    "FULL_MODEL", "LORA_SUFFIXES", "SAFETENSORS", "SIDES", "SUFFIXES", "SUPPORTED", "TITLES", "VAE_ADVICE", "ModelFileInfo",
    "classify", "classify_configs", "probe", "problem_as", "refusal", "strange_problem",
]  # fmt: skip
SUFFIXES = (SAFETENSORS, *PICKLES)
LORA_SUFFIXES = (SAFETENSORS, ".pt", ".ckpt")  # of LoRA files, for which the Web UI looks too

FULL_MODEL = "Choose the full checkpoint of a Stable Diffusion 1, 2 or XL model (.safetensors, about 2 to 7 GB)."
VAE_ADVICE = (
    "Choose a VAE of the model's family, for example vae-ft-mse-840000-ema-pruned.safetensors for Stable Diffusion 1 and 2 or "
    "sdxl_vae.safetensors for XL."
)


class _Role(NamedTuple):
    """Another use of a file than as base model: which kinds can be used so, and what to say of the others."""

    kinds: tuple[str, ...]
    expected: str
    advice: str


_ROLES = {
    "vae": _Role(("vae", "no_unet", "ema", *SUPPORTED), "which has no VAE for Stable Diffusion", VAE_ADVICE),
    "lora": _Role(("lora",), "not a LoRA file", "Choose a LoRA file (kohya's format)."),
}


@dataclass(frozen=True, kw_only=True)
class ModelFileInfo:
    """What `probe` found.

    `kind` is a key of TITLES. `problem` is empty when the file can be trained on; otherwise it is the whole message and
    `advice` says what to do. `shapes` holds the tensors' shapes by name; for a .ckpt the names only, with empty shapes.
    `in_channels` is 4, 9 (inpainting), 8 (instruct-pix2pix) or None when the shapes are not known; `width` is the channels of
    the UNet's first layer, None likewise.
    """

    path: Path
    kind: str = "unknown"
    size: int = 0
    in_channels: int | None = None
    width: int | None = None
    problem: str = ""
    advice: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def is_demo(self) -> bool:
        """Whether it is the demo model or was trained from it: the UNet of no real model is so narrow."""
        return self.kind == "sd1" and self.width == DEMO_WIDTH

    @property
    def side(self) -> int:
        """Width and height in pixels of the pictures that it was made for, 0 where that is not known."""
        return DEMO_SIDE if self.is_demo else SIDES.get(self.kind, 0)


def probe(path: Path | str) -> ModelFileInfo:
    """Read the header of the file, or the configurations of the diffusers folder, at `path`; never raises for its content."""
    path = Path(path)
    if is_folder(path):
        return _probe_folder(path)
    try:
        if path.suffix.lower() not in SUFFIXES:
            with open_file(path):
                pass
            found = f"ends in {path.suffix or 'nothing'!r}, expected {', '.join(SUFFIXES)}"
            return ModelFileInfo(path=path, problem=f"{shown(path)} is not a model file: it {found}.", advice=FULL_MODEL)
        header = read_model_header(path)
        size = path.stat().st_size
    except UnreadableError as error:
        return ModelFileInfo(path=path, problem=f"{shown(path)} {error}", advice=error.advice)
    except OSError as error:  # gone meanwhile
        return ModelFileInfo(path=path, problem=f"{shown(path)} cannot be read: {error}.", advice="Check the path.")
    kind, in_channels = classify(header.shapes)
    problem, advice = refusal(path, kind, in_channels)
    if not problem:
        problem, advice = strange_problem(path, header.shapes, header.dtypes)
    return ModelFileInfo(
        path=path,
        kind=kind,
        size=size,
        in_channels=in_channels,
        width=unet_width(header.shapes),
        problem=problem,
        advice=advice,
        shapes=header.shapes,
        metadata=header.metadata,
    )


def problem_as(role: str, path: Path | str) -> tuple[str, str]:
    """Return (problem, advice) of using the file or folder at `path` as a "model" to train on, as its "vae" or as a "lora".

    Two empty texts when its header shows nothing against it.
    """
    path = Path(path)
    if role == "vae" and is_folder(path):
        if is_file(path / "config.json") or is_file(path / "vae" / "config.json"):
            return "", ""
        return f"{shown(path)} is a folder, but not a VAE of diffusers: it has no config.json.", VAE_ADVICE
    info = probe(path)
    if role == "model" or info.kind in _ROLES[role].kinds:
        return (info.problem, info.advice) if role == "model" else ("", "")
    advice = _ROLES[role].advice
    if info.shapes:
        return f"{path} is {TITLES[info.kind]}, {_ROLES[role].expected}.", advice
    return info.problem, advice if info.advice == FULL_MODEL else info.advice


def refusal(path: Path | str, kind: str, in_channels: int | None = 4) -> tuple[str, str]:
    """Return (problem, advice) for a base model of this kind; two empty texts when it can be trained on."""
    if kind in SUPPORTED and in_channels in (4, None):
        return "", ""
    if kind in SUPPORTED:
        purpose = {9: "an inpainting model", 8: "an instruct-pix2pix model"}.get(in_channels or 0, "a special model")
        return (
            f"{path} is {purpose}: its UNet takes {in_channels} channels, expected 4. It cannot be trained on.",
            "Choose the ordinary model that it was made from; the LoRA works with both.",
        )
    if kind in ("sd3", "flux"):
        return f"{path} is {TITLES[kind]}, which is not supported.", "Choose a Stable Diffusion 1, 2 or XL model."
    if kind == "sdxl_refiner":
        advice = "Choose the base model, sd_xl_base_1.0 or one made from it."
        return f"{path} is {TITLES[kind]}, which cannot be trained on.", advice
    if kind == "lora":
        advice = "Choose the base model it was made for; to continue a LoRA, give it as network_weights instead."
        return f"{path} is {TITLES[kind]}, not a base model.", advice
    if kind == "vae":
        return f"{path} is {TITLES[kind]}, not a base model.", f"Give it as the VAE instead. {FULL_MODEL}"
    if kind == "unet":
        return f"{path} is {TITLES[kind]}, not a base model.", "Choose the folder that holds model_index.json and unet."
    if kind == "ema":
        advice = (
            "Have the averaged weights written as the model's own (a tool to prune models does it), or choose another model."
        )
        return f"{path} is {TITLES[kind]}: it has none of its own to train on.", advice
    if kind in ("unet_ldm", "no_unet"):
        lacking = "Text encoder and VAE are missing. " if kind == "unet_ldm" else ""
        return f"{path} is {TITLES[kind]}, not a whole base model.", lacking + FULL_MODEL
    if kind == "unknown":
        return f"{path} is {TITLES[kind]}: no tensors of Stable Diffusion were found in it.", FULL_MODEL
    return f"{path} is {TITLES[kind]}, not a base model.", FULL_MODEL


def strange_problem(path: Path | str, shapes: Mapping[str, object], dtypes: Mapping[str, str]) -> tuple[str, str]:
    """Return (problem, advice) of a base model whose tensors are not the numbers that they seem to be; else two empty texts."""
    found = strange_tensor(shapes, dtypes)
    return (f"{shown(path)} {found}. It cannot be trained on.", PLAIN_MODEL) if found else ("", "")


def _probe_folder(path: Path) -> ModelFileInfo:
    """Classify a diffusers folder by model_index.json and the config.json of UNet and text encoder."""
    index = path / "model_index.json"
    if not is_file(index):
        return ModelFileInfo(
            path=path,
            problem=f"{path} is a folder, but not a diffusers model: it has no model_index.json.",
            advice="Choose a checkpoint file in it, or the folder that holds model_index.json, unet, vae and text_encoder.",
        )
    tables: list[dict[str, Any]] = []
    for file in (index, *(path / part / "config.json" for part in ("unet", "text_encoder"))):
        try:
            content = read_json(file) if file == index or is_file(file) else {}
        except UnreadableError as error:
            return ModelFileInfo(
                path=path, problem=f"{path} has a damaged configuration: {file} {error}", advice=DOWNLOAD_AGAIN
            )
        if not isinstance(content, dict):
            problem = f"{path} has a damaged configuration: {file} holds no table of settings."
            return ModelFileInfo(path=path, problem=problem, advice=DOWNLOAD_AGAIN)
        tables.append(content)
    kind, in_channels = classify_configs(str(tables[0].get("_class_name", "")), *tables[1:])
    problem, advice = refusal(path, kind, in_channels)
    if not problem and any("quantization_config" in table for table in tables[1:]):
        problem, advice = f"{path} is quantised (quantization_config): its numbers are not the model's own.", PLAIN_MODEL
    widths = tables[1].get("block_out_channels")
    width = widths[0] if isinstance(widths, list) and widths and isinstance(widths[0], int) else None
    return ModelFileInfo(path=path, kind=kind, in_channels=in_channels, width=width, problem=problem, advice=advice)


def copy_configuration(checkpoint: Path, result: Path) -> bool:
    """Put the NAME.yaml beside `checkpoint`, which tells what tensors cannot, beside `result`, which was made of it.

    False where there is none, or where it lies there already. Raises OSError and SaveError.
    """
    source, target = checkpoint.with_suffix(".yaml"), result.with_suffix(".yaml")
    if source == target or not is_file(source):
        return False
    content = source.read_bytes()
    write_atomic(target, lambda file: file.write(content))
    return True
