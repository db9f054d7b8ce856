"""A LoRA file as the tools see it: one pair of factors a module. And where results may be written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, LoraFileError
from ..networks import files

FAMILY_TITLES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}
_BY_WIDTH = {768: "sd1", 1024: "sd2", 2048: "sdxl"}  # of the text states, which the UNet's cross attention reads


@dataclass(frozen=True)
class Factors:
    """One module: `down` [r, in(, kh, kw)], `up` [out, r(, 1, 1)], in the file's dtype, and alpha."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def strength(self) -> float:
        """What up @ down is multiplied by: alpha / rank."""
        return self.alpha / self.rank

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """Shape of the layer's weight, [out, in(, kh, kw)]."""
        return (self.up.shape[0], *self.down.shape[1:])

    @property
    def is_conv(self) -> bool:
        """Whether the layer is a convolution, a 1x1 one too."""
        return self.down.ndim == 4

    @property
    def is_conv3x3(self) -> bool:
        """Whether it is a convolution over more than one pixel."""
        return math.prod(self.down.shape[2:]) > 1


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A LoRA file in memory. `modules` in the file's order of names; a missing alpha was taken as the rank."""

    path: Path
    modules: Mapping[str, Factors]
    metadata: Mapping[str, str]

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the factors (of the first module)."""
        return next(iter(self.modules.values())).down.dtype

    @property
    def family(self) -> str | None:
        """sd1, sd2 or sdxl, from the names, the shapes and last the metadata; None when nothing tells."""
        return family_of({name: module.layer_shape for name, module in self.modules.items()}, self.metadata)


def read(path: str | Path) -> Lora:
    """Read a LoRA file in kohya's names.

    Raises LoraFileError when it is missing, damaged, of another kind, incomplete, or holds NaN, and for keys that are unknown:
    nothing is dropped in silence.
    """
    path = Path(path)
    tensors, metadata = files.load(path)
    grouped = files.group_keys(tensors, str(path))
    modules = {name: _factors(name, parts, path) for name, parts in sorted(grouped.items())}
    return Lora(path=path, modules=modules, metadata=metadata)


def _factors(name: str, parts: Mapping[str, Tensor], path: Path) -> Factors:
    down, up = parts[files.DOWN], parts[files.UP]
    if down.ndim not in (2, 4) or up.ndim != down.ndim or math.prod(up.shape[2:]) != 1:
        raise LoraFileError(
            f"{path} is damaged: {name} has lora_down {list(down.shape)} and lora_up {list(up.shape)}, which are no pair.",
            advice="Use another copy of the file.",
        )
    if not (down.is_floating_point() and up.is_floating_point()):
        raise LoraFileError(f"{path} is damaged: the factors of {name} are whole numbers ({down.dtype}, {up.dtype}).")
    alpha = parts.get(files.ALPHA)
    if alpha is not None and alpha.numel() != 1:
        raise LoraFileError(f"{path} is damaged: the alpha of {name} has the shape {list(alpha.shape)}, expected one number.")
    return Factors(down, up, float(down.shape[0]) if alpha is None else float(alpha))


def family_of(layers: Mapping[str, Sequence[int]], metadata: Mapping[str, str]) -> str | None:
    """The family of a LoRA from {module name: shape of its layer} and its metadata; None when nothing tells."""
    for name in layers:
        if name.startswith(("lora_te1_", "lora_te2_")) or "_input_blocks_" in name or "_output_blocks_" in name:
            return "sdxl"
    for name, shape in layers.items():
        wide = name.endswith(("attn2_to_k", "attn2_to_v")) or name.startswith("lora_te_") and name.endswith("self_attn_q_proj")
        if wide and shape[1] in _BY_WIDTH:
            return _BY_WIDTH[shape[1]]
    version = metadata.get("ss_base_model_version", "")
    return next((family for mark, family in (("sdxl", "sdxl"), ("sd_v2", "sd2"), ("sd_v1", "sd1")) if mark in version), None)


def common_family(loras: Sequence[Lora]) -> str | None:
    """The family of all; raises InputError when they are of different ones, or when a module's layers differ in shape."""
    known = [(lora, lora.family) for lora in loras if lora.family]
    for lora, family in known:
        if family != known[0][1]:
            first, other = FAMILY_TITLES[known[0][1] or ""], FAMILY_TITLES[family or ""]
            raise InputError(
                f"{known[0][0].path.name} was made for {first}, {lora.path.name} for {other}: they cannot be merged.",
                field="models",
                advice="Merge only LoRAs of one family.",
            )
    shapes: dict[str, tuple[Lora, tuple[int, ...]]] = {}
    for lora in loras:
        for name, module in lora.modules.items():
            first_lora, shape = shapes.setdefault(name, (lora, module.layer_shape))
            if _flat(shape) != _flat(module.layer_shape):
                raise InputError(
                    f"{name} belongs to a layer of shape {list(shape)} in {first_lora.path.name} and "
                    f"{list(module.layer_shape)} in {lora.path.name}: they were made for different models.",
                    field="models",
                    advice="Merge only LoRAs of one family.",
                )
    return known[0][1] if known else None


def _flat(shape: Sequence[int]) -> tuple[int, ...]:
    """A 1x1 convolution and a linear layer are the same."""
    return tuple(shape[:2]) if math.prod(shape[2:]) == 1 else tuple(shape)


def tensors_of(modules: Mapping[str, Factors]) -> dict[str, Tensor]:
    """The tensors of a file with these modules, in kohya's names."""
    result: dict[str, Tensor] = {}
    for name, module in modules.items():
        result[f"{name}.{files.ALPHA}"] = torch.tensor(module.alpha, dtype=torch.float32)
        result[f"{name}.{files.DOWN}"] = module.down
        result[f"{name}.{files.UP}"] = module.up
    return result


def read_all(paths: Sequence[str], ratios: Sequence[float]) -> list[Lora]:
    """Read the files of `--models`; raises InputError when there are not as many ratios."""
    if len(paths) != len(ratios):
        raise InputError(
            f"{len(paths)} models, but {len(ratios)} ratios were given.",
            field="ratios",
            where="--ratios",
            advice="Give one ratio for each model, in the same order.",
        )
    return [read(path) for path in paths]


def output_path(save_to: str, inputs: Iterable[str | Path], *, overwrite: bool) -> Path:
    """`save_to` as a path that may be written. Raises InputError when it is an input, is there already or ends oddly."""
    path = Path(save_to).expanduser()
    if path.suffix.lower() not in (".safetensors", ".ckpt", ".pt"):
        raise InputError(
            f"{save_to} ends in {path.suffix!r}: the ending chooses the format of the file."
            if path.suffix
            else f"{save_to} has no ending, which chooses the format of the file.",
            field="save_to",
            where="--save_to",
            advice="Use .safetensors or .ckpt.",
        )
    refuse_existing(path, inputs, overwrite=overwrite)
    return path


def refuse_existing(path: Path, inputs: Iterable[str | Path], *, overwrite: bool) -> None:
    """Raise InputError when writing `path` would replace an input, or (without `overwrite`) any file."""
    if path.is_dir():
        raise InputError(f"{path} is a folder, a file name is expected.", field="save_to", where="--save_to")
    if any(Path(given).exists() and path.exists() and path.samefile(given) for given in inputs):
        raise InputError(
            f"{path} is an input: it would be overwritten.", field="save_to", where="--save_to", advice="Give another name."
        )
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} exists already.", field="save_to", where="--save_to", advice="Give another name, or --overwrite."
        )


def device_of(name: str) -> torch.device:
    """The torch device called `name`; raises InputError when there is none."""
    try:
        device = torch.device(name)
        torch.empty(1, device=device, dtype=torch.float64)  # which Apple's cards have not
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"the device {name!r} cannot be used here: {reason}", field="device", where="--device", advice="Use --device cpu."
        ) from error
    return device
