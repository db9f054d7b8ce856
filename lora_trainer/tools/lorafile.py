"""A LoRA file as the tools see it: one pair of factors a module. And where results may be written."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, LoraFileError
from ..foreign.reading import is_folder, is_there
from ..log import logger
from ..networks import bundled, files
from .families import possible_families


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
    def largest_rank(self) -> int:
        """The largest rank that a change of this layer can have: more would be without effect."""
        return min(self.up.shape[0], self.down[0].numel())

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
    """A LoRA file in memory. `modules` in the file's order of names; a missing alpha was taken as the rank. `words` are the
    tensors of words that were trained with it, by their names in the file (`networks.bundled`)."""

    path: Path
    modules: Mapping[str, Factors]
    metadata: Mapping[str, str]
    words: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """The number format of the factors (of the first module)."""
        return next(iter(self.modules.values())).down.dtype

    def metadata_for(self, path: Path) -> dict[str, str]:
        """The metadata for a file that is made of this one: prompts would find it by the name that is written there."""
        return {**self.metadata, **({"ss_output_name": path.stem} if "ss_output_name" in self.metadata else {})}

    @functools.cached_property
    def families(self) -> set[str]:
        """Those of sd1, sd2 and sdxl that it may be for (`families.possible_families`)."""
        return possible_families({name: module.layer_shape for name, module in self.modules.items()}, self.metadata)

    @property
    def family(self) -> str | None:
        """sd1, sd2 or sdxl; None when several are possible."""
        return next(iter(self.families)) if len(self.families) == 1 else None


def read(path: str | Path) -> Lora:
    """Read a LoRA file in kohya's names.

    Raises LoraFileError when it is missing, damaged, of another kind, incomplete, or holds NaN, and for keys that are unknown:
    nothing is dropped in silence.
    """
    path = Path(path)
    loaded, metadata = files.load(path)
    tensors, words = bundled.split(loaded)
    grouped = files.group_keys(tensors, str(path))
    modules = {name: _factors(name, parts, path) for name, parts in sorted(grouped.items())}
    if any(module.down.element_size() == 1 or module.up.element_size() == 1 for module in modules.values()):
        logger.info("%s: its float8 numbers are read as fp16, which holds them exactly.", path.name)
        modules = {name: Factors(_wider(m.down), _wider(m.up), m.alpha) for name, m in modules.items()}
    return Lora(path=path, modules=modules, metadata=metadata, words=words)


def _factors(name: str, parts: Mapping[str, Tensor], path: Path) -> Factors:
    down, up = parts[files.DOWN], parts[files.UP]
    if up.ndim != down.ndim:
        raise LoraFileError(
            f"{path} is damaged: {name} has lora_down {list(down.shape)} and lora_up {list(up.shape)}, which are no pair.",
            advice="Use another copy of the file.",
        )
    if not (down.is_floating_point() and up.is_floating_point()):
        raise LoraFileError(f"{path} is damaged: the factors of {name} are whole numbers ({down.dtype}, {up.dtype}).")
    alpha = parts.get(files.ALPHA)
    return Factors(down, up, float(down.shape[0]) if alpha is None else float(alpha))


def _wider(tensor: Tensor) -> Tensor:
    """Numbers of 8 bits, with which nothing can be computed, in 16 (in 32 where they are larger than those can be)."""
    if tensor.element_size() != 1:
        return tensor
    half = tensor.half()
    return half if bool(half.isfinite().all()) else tensor.float()


def tensors_of(modules: Mapping[str, Factors], words: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """The tensors of a file with these modules, in kohya's names, and the `words` of `Lora`."""
    result: dict[str, Tensor] = dict(words or {})
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


def words_of_all(loras: Sequence[Lora]) -> dict[str, Tensor]:
    """The words of files that become one: they stay what they are, whatever the ratio. Raises InputError where two files have
    different vectors for one word."""
    found: dict[str, Tensor] = {}
    for lora in loras:
        for key, tensor in lora.words.items():
            if key in found and not torch.equal(found[key], tensor):
                raise InputError(
                    f"{lora.path.name} and another of the files both bring the word {bundled.names_in([key])[0]}, which can "
                    "mean one thing alone.",
                    field="models",
                    where="--models",
                    advice="Merge files whose words differ.",
                )
            found[key] = tensor
    return found


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
    if is_folder(path):
        raise InputError(f"{path} is a folder, a file name is expected.", field="save_to", where="--save_to")
    if any(is_there(Path(given)) and is_there(path) and path.samefile(given) for given in inputs):
        raise InputError(
            f"{path} is an input: it would be overwritten.", field="save_to", where="--save_to", advice="Give another name."
        )
    if is_there(path) and not overwrite:
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
