"""LyCORIS' networks (LoHa, LoKr and others) from its own package, as one of our networks.

The package (lycoris-lora, https://github.com/KohakuBlueleaf/LyCORIS) makes the modules and their maths; here are their seeds,
their learning rates, the checks of a file, and taking them off again.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, InputErrors, LoraFileError, NotInstalledError
from ..foreign.reading import is_file
from ..options.block_arguments import Shape
from ..options.lycoris_arguments import lycoris_arguments
from ..randomness import seed_of
from . import bundled
from .base import AdapterNetwork, LoadReport
from .files import load, read_metadata
from .targets import TEXT_BLOCKS, UNET_BLOCKS, UNET_CONV_BLOCKS, Target, as_list

INSTALL = "pip install lycoris-lora"

# LyCORIS' preset "full" for the families that there are here. Its own one (of 4.1) names the time embedding's layers twice.
_FULL = {
    "enable_conv": True,
    "unet_target_module": sorted(UNET_BLOCKS | UNET_CONV_BLOCKS),
    "unet_target_name": ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"],
    "text_encoder_target_module": sorted(TEXT_BLOCKS),
    "text_encoder_target_name": [],
}


class LycorisNetwork(AdapterNetwork[Any]):
    """LyCORIS' modules of one model. Its state dict has LyCORIS' keys."""

    needs_autocast = True

    def _nothing(self) -> InputError:
        return InputError("LyCORIS found no layer to train.", field="network_args", advice="Choose another preset.")

    @property
    def shape(self) -> Shape:
        """Rank and alpha of the first module, for the metadata."""
        first = self.adapters()[0]
        return Shape(int(first.lora_dim), float(first.alpha))

    def _set_effect(self, module: Any, factor: float) -> None:
        module.multiplier = factor

    def _put(self, layer: nn.Module, module: Any) -> None:
        module.apply_to()

    def _remove(self, layer: nn.Module, module: Any) -> None:
        module.restore()

    def apply_max_norm(self, max_norm: float) -> Tensor:
        """Shrink by LyCORIS' own rule; returns [3]: modules shrunk, mean length, greatest length after it."""
        found = [module.apply_max_norm(max_norm, None) for module in self.adapters()]
        known = [(bool(shrunk), float(norm)) for shrunk, norm in found if shrunk is not None]
        norms = [norm for _, norm in known] or [0.0]
        return torch.tensor([sum(shrunk for shrunk, _ in known), sum(norms) / len(norms), max(norms)])

    def _load(self, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state_dict.items():
            name, _, suffix = key.partition(".")
            grouped.setdefault(name, {})[suffix] = tensor
        strange = self._strange(grouped)
        if strange:
            raise _unfit(where, strange)
        report = self._report(list(grouped))
        for name in report.loaded:
            try:
                lacking, unknown = self._modules[name].load_state_dict(grouped[name], strict=False)
            except RuntimeError as error:
                advice = "Set algo, network_dim and the other network_args as they were when the file was trained."
                raise LoraFileError(f"{where} does not fit: {name}: {error}", advice=advice) from error
            if unknown or lacking:
                advice = "Set algo and the other network_args as they were when the file was trained."
                raise LoraFileError(f"{where} does not fit: {name} has {[*unknown] or 'no ' + str(lacking)}.", advice=advice)
        return report


def _pairs(theirs: Any) -> list[tuple[Target, Any]]:
    """The modules of LyCORIS' network, each with its layer."""
    texts = [
        Target(module.lora_name, module.org_module[0], "text_encoder", _encoder(module.lora_name))
        for module in theirs.text_encoder_loras
    ]
    unet = [Target(module.lora_name, module.org_module[0], "unet") for module in theirs.unet_loras]
    return list(zip([*texts, *unet], [*theirs.text_encoder_loras, *theirs.unet_loras], strict=True))


def create_network(
    multiplier: float,
    network_dim: int | None,
    network_alpha: float | None,
    vae: object,
    text_encoders: nn.Module | Sequence[nn.Module] | None,
    unet: nn.Module | None,
    *,
    neuron_dropout: float | None = None,
    seed: int = 0,
    **network_args: str,
) -> LycorisNetwork:
    """Return a new network of the `algo` in network_args (see `options.lycoris_arguments`); alpha 1 when None.

    Raises NotInstalledError without the package, InputError(s) for arguments that are wrong.
    """
    arguments = lycoris_arguments(network_args)
    if neuron_dropout is not None:
        arguments.setdefault("dropout", neuron_dropout)
    package = _package()
    if arguments.setdefault("preset", "full") == "full":
        arguments["preset"] = "lora-trainer-full"
        package.PRESET["lora-trainer-full"] = _FULL
    arguments["warn_on_unmatched"] = False  # it lists all families' classes
    rank, alpha = 4 if network_dim is None else network_dim, 1.0 if network_alpha is None else network_alpha
    encoders = as_list(text_encoders)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, "network/lycoris") % 2**63)
        try:
            theirs = package.create_network(1.0, rank, alpha, vae, _one_or_list(encoders), unet, **arguments)
        except (ValueError, TypeError, KeyError, AssertionError) as error:
            raise InputError(f"LyCORIS does not accept these arguments: {error}", field="network_args") from error
    return LycorisNetwork(_pairs(theirs), multiplier)


def create_network_from_weights(
    multiplier: float,
    file: str | Path | None,
    vae: object,
    text_encoder: nn.Module | Sequence[nn.Module] | None,
    unet: nn.Module | None,
    weights_sd: Mapping[str, Tensor] | None = None,
    for_inference: bool = False,
    *,
    neuron_dropout: float | None = None,
    seed: int = 0,
    **network_args: str,
) -> tuple[LycorisNetwork, dict[str, Tensor]]:
    """Return (network, weights): a network of just the modules that a file has; see `networks.lora`.

    What the file's metadata say about its network counts; LyCORIS guesses from the shapes where they say nothing. Raises
    LoraFileError when a module fits no layer of the model, and NotInstalledError without the package.
    """
    package = _package()
    if weights_sd is None:
        assert file is not None, "either file or weights_sd"
        weights_sd, _ = bundled.split(load(Path(file))[0])
    weights = dict(weights_sd)
    names = set(_names(weights))
    pairs = _as_trained(file, text_encoder, unet, names) or _rebuilt(package, file, text_encoder, unet, weights)
    network = LycorisNetwork(pairs, multiplier)
    if for_inference:
        network.requires_grad_(False).eval()
    return network, weights


def _as_trained(file: str | Path | None, text_encoder: Any, unet: Any, names: set[str]) -> list[tuple[Target, Any]]:
    """The file's modules, made as its metadata describe them; none when they do not."""
    if file is None or Path(file).suffix.lower() != ".safetensors" or not is_file(Path(file)):
        return []
    metadata = read_metadata(file)
    try:
        arguments = json.loads(metadata["ss_network_args"])
        rank, alpha = int(metadata["ss_network_dim"]), float(metadata["ss_network_alpha"])
        network = create_network(1.0, rank, alpha, None, text_encoder, unet, **arguments)
    except (KeyError, ValueError, TypeError, InputError, InputErrors):
        return []
    if network._strange(names):
        return []
    return [(target, network._modules[name]) for name, target in network._targets.items() if name in names]


def _rebuilt(package: Any, file: object, text_encoder: Any, unet: Any, weights: dict[str, Tensor]) -> list[tuple[Target, Any]]:
    """The file's modules, as LyCORIS guesses them from the shapes."""
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            encoders = _one_or_list(as_list(text_encoder))
            package.LycorisNetworkKohya.apply_preset(_FULL)  # it makes a network of its preset first, and that fails
            theirs, _ = package.create_network_from_weights(1.0, None, None, encoders, unet, weights)
    except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
        raise LoraFileError(
            f"{file or 'the file'}: LyCORIS cannot work out its network from the shapes: {error}",
            advice="Use a file with the metadata of its training.",
        ) from error
    pairs = _pairs(theirs)
    for _, module in pairs:
        if type(module).__name__ == "FullModule":  # whose tensors are added to what it holds when they are loaded
            for parameter in module.parameters():
                parameter.data.zero_()
    strange = sorted(set(_names(weights)) - {target.name for target, _ in pairs})
    if strange:
        raise _unfit(str(file or "the file"), strange)
    return pairs


def _names(weights: Iterable[str]) -> list[str]:
    """The modules that tensors of these names belong to."""
    return [key.partition(".")[0] for key in weights]


def check_installed() -> None:
    """Raise NotInstalledError when the package is missing: asked before a base model is loaded."""
    _package()


def _package() -> Any:
    try:
        return importlib.import_module("lycoris.kohya")
    except ImportError as error:
        raise NotInstalledError(
            f"the package LyCORIS cannot be used: {error}.", advice=f"Install it in the training environment: {INSTALL}"
        ) from error


def _one_or_list(encoders: list[nn.Module]) -> Any:
    """LyCORIS numbers text encoders (lora_te1_) when it is given a list."""
    return encoders if len(encoders) > 1 else encoders[0] if encoders else None


def _encoder(name: str) -> int:
    return 1 if name.startswith("lora_te2_") else 0


def _unfit(where: str, strange: Sequence[str]) -> LoraFileError:
    return LoraFileError(
        f"{where}: {len(strange)} of its modules fit no layer of this model, for example {strange[0]}.",
        advice="Use a base model of the family that the file was made for.",
    )
