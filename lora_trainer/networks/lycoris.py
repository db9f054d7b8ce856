"""LyCORIS' networks (LoHa, LoKr and others) from its own package, behind the interface of our Network.

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
from .files import load, read_metadata
from .network import LoadReport, rate_groups
from .targets import TEXT_BLOCKS, UNET_BLOCKS, UNET_CONV_BLOCKS, Part, as_list

INSTALL = "pip install lycoris-lora"

# LyCORIS' preset "full" for the families that there are here. Its own one (of 4.1) names the time embedding's layers twice.
_FULL = {
    "enable_conv": True,
    "unet_target_module": sorted(UNET_BLOCKS | UNET_CONV_BLOCKS),
    "unet_target_name": ["conv_in", "conv_out", "time_embedding.linear_1", "time_embedding.linear_2"],
    "text_encoder_target_module": sorted(TEXT_BLOCKS),
    "text_encoder_target_name": [],
}


class LycorisNetwork(nn.Module):
    """LyCORIS' network of one model, with what a training and a picture need of `Network`. Its state dict has LyCORIS' keys."""

    def __init__(self, theirs: Any, multiplier: float) -> None:
        super().__init__()
        self._theirs = [theirs]  # in a list, so that its modules stand under their own names here
        self._on_model = False
        self._left_out: set[str] = set()
        self._enabled = True
        for module in self.adapters():
            self.add_module(module.lora_name, module)
        if not self.adapters():
            raise InputError("LyCORIS found no layer to train.", field="network_args", advice="Choose another preset.")
        self.set_multiplier(multiplier)

    def adapters(self, part: Part | None = None, index: int | None = None) -> list[Any]:
        """LyCORIS' modules of one part (all when None), of one text encoder when `index` is given."""
        theirs = self._theirs[0]
        found = [] if part == "unet" else list(theirs.text_encoder_loras)
        if index is not None:
            found = [module for module in found if _encoder(module.lora_name) == index]
        return found + ([] if part == "text_encoder" else list(theirs.unet_loras))

    @property
    def shape(self) -> Shape:
        """Rank and alpha of the first module, for the metadata."""
        first = self.adapters()[0]
        return Shape(int(first.lora_dim), float(first.alpha))

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """Set the factors on the effect of the two parts; one number sets both."""
        self.multiplier = (float(text_encoder), float(text_encoder if unet is None else unet))
        for part, factor in zip(("text_encoder", "unet"), self.multiplier, strict=True):
            for module in self.adapters(part):
                module.multiplier = factor if self._enabled else 0.0

    def set_enabled(self, enabled: bool) -> None:
        """Switch the whole effect off or on, keeping the multipliers."""
        self._enabled = enabled
        self.set_multiplier(*self.multiplier)

    def apply_to(
        self, text_encoders: Any, unet: nn.Module | None, apply_text_encoder: bool = True, apply_unet: bool = True
    ) -> None:
        """Put the network on the model that it was made for. A part that is not applied leaves the network."""
        assert not self._on_model, "the network is already on a model: restore() it first"
        theirs = self._theirs[0]
        for wanted, part in ((apply_text_encoder, "text_encoder_loras"), (apply_unet, "unet_loras")):
            if not wanted:
                for module in getattr(theirs, part):
                    self._left_out.add(module.lora_name)
                    del self._modules[module.lora_name]
                setattr(theirs, part, [])
        if not self.adapters():
            raise InputError("no part of the network is left.", advice="Train the UNet, the text encoder, or both.")
        for module in self.adapters():
            module.apply_to()
        self._on_model = True

    def restore(self) -> None:
        """Take the network off the model."""
        for module in reversed(self.adapters() if self._on_model else []):
            module.restore()
        self._on_model = False

    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """See `Network.parameter_groups`."""
        encoders = sorted({_encoder(module.lora_name) for module in self.adapters("text_encoder")})
        texts = [self.adapters("text_encoder", index) for index in encoders]
        return rate_groups(texts, [("unet", self.adapters("unet"), 1.0)], text_encoder_lr, unet_lr, default_lr)

    def trained_parameters(self, part: Part | None = None) -> list[nn.Parameter]:
        """See `Network.trained_parameters`."""
        return [parameter for module in self.adapters(part) for parameter in module.parameters() if parameter.requires_grad]

    def start_step(self, step: int) -> None:
        """Nothing differs from step to step."""

    def apply_max_norm(self, max_norm: float) -> tuple[int, float, float]:
        """Shrink by LyCORIS' own rule; returns (modules shrunk, mean length, greatest length) after it."""
        found = [module.apply_max_norm(max_norm, None) for module in self.adapters()]
        known = [(bool(shrunk), float(norm)) for shrunk, norm in found if shrunk is not None]
        norms = [norm for _, norm in known] or [0.0]
        return sum(shrunk for shrunk, _ in known), sum(norms) / len(norms), max(norms)

    def load_state_dict(self, state_dict: Mapping[str, Tensor], strict: bool = True, assign: bool = False) -> LoadReport:
        """Load tensors in LyCORIS' names. Raises LoraFileError for modules that fit no layer, or lack when `strict`."""
        report = self._load(state_dict, "the file")
        if strict and report.fresh:
            raise LoraFileError(f"the file lacks {len(report.fresh)} of the network's modules, for example {report.fresh[0]}.")
        return report

    def load_weights(self, file: str | Path) -> LoadReport:
        """Load a file to go on from (option network_weights)."""
        return self._load(load(Path(file))[0], str(file))

    def _load(self, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
        grouped: dict[str, dict[str, Tensor]] = {}
        for key, tensor in state_dict.items():
            name, _, suffix = key.partition(".")
            grouped.setdefault(name, {})[suffix] = tensor
        modules = {module.lora_name: module for module in self.adapters()}
        strange = [name for name in grouped if name not in modules and name not in self._left_out]
        if strange:
            raise _unfit(where, strange)
        for name, tensors in grouped.items():
            if name not in modules:
                continue
            try:
                lacking, unknown = modules[name].load_state_dict(tensors, strict=False)
            except RuntimeError as error:
                advice = "Set algo, network_dim and the other network_args as they were when the file was trained."
                raise LoraFileError(f"{where} does not fit: {name}: {error}", advice=advice) from error
            if unknown or lacking:
                advice = "Set algo and the other network_args as they were when the file was trained."
                raise LoraFileError(f"{where} does not fit: {name} has {[*unknown] or 'no ' + str(lacking)}.", advice=advice)
        return LoadReport(
            loaded=tuple(name for name in grouped if name in modules),
            fresh=tuple(name for name in modules if name not in grouped),
            left_out=tuple(name for name in grouped if name in self._left_out),
        )


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
    return LycorisNetwork(theirs, multiplier)


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
        weights_sd, _ = load(Path(file))
    weights = dict(weights_sd)
    theirs = _as_trained(file, text_encoder, unet, set(_names(weights))) or _rebuilt(package, file, text_encoder, unet, weights)
    network = LycorisNetwork(theirs, multiplier)
    if for_inference:
        network.requires_grad_(False).eval()
    return network, weights


def _as_trained(file: str | Path | None, text_encoder: Any, unet: Any, names: set[str]) -> Any:
    """LyCORIS' network as the file's metadata describe it, with the modules that are in the file; None when they do not."""
    if file is None or Path(file).suffix.lower() != ".safetensors" or not is_file(Path(file)):
        return None
    metadata = read_metadata(file)
    try:
        arguments = json.loads(metadata["ss_network_args"])
        rank, alpha = int(metadata["ss_network_dim"]), float(metadata["ss_network_alpha"])
        network = create_network(1.0, rank, alpha, None, text_encoder, unet, **arguments)
    except (KeyError, ValueError, TypeError, InputError, InputErrors):
        return None
    if not names <= set(network._modules):
        return None
    theirs = network._theirs[0]
    theirs.text_encoder_loras = [module for module in theirs.text_encoder_loras if module.lora_name in names]
    theirs.unet_loras = [module for module in theirs.unet_loras if module.lora_name in names]
    return theirs


def _rebuilt(package: Any, file: object, text_encoder: Any, unet: Any, weights: dict[str, Tensor]) -> Any:
    """LyCORIS' network as it guesses it from the shapes."""
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
    for module in [*theirs.text_encoder_loras, *theirs.unet_loras]:
        if type(module).__name__ == "FullModule":  # whose tensors are added to what it holds when they are loaded
            for parameter in module.parameters():
                parameter.data.zero_()
    strange = sorted(set(_names(weights)) - {module.lora_name for module in [*theirs.text_encoder_loras, *theirs.unet_loras]})
    if strange:
        raise _unfit(str(file or "the file"), strange)
    return theirs


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
