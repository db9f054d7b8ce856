"""LoRA on one layer, and the builders of LoRA networks (LierLa, and C3Lier with `conv_dim`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import LoraFileError
from . import functional
from .arguments import LoRAArguments, number_of, share_of
from .files import group_keys, load
from .network import Network
from .targets import Target, find_lierla_names, find_targets


@dataclass(frozen=True)
class Dropouts:
    """Shares (0 <= p < 1, 0 = off) of what is left out while training: inner values, whole ranks, whole modules."""

    neuron: float = 0.0
    rank: float = 0.0
    module: float = 0.0


class LoRAModule(nn.Module):
    """The trained pair of one Linear or Conv2d layer: adds strength * up(down(x)) to the layer's output.

    `lora_down.weight` [rank, in(, kh, kw)], `lora_up.weight` [out, rank(, 1, 1)] and the scalar `alpha` are float32 and
    named as in kohya's files. `alpha` 0 means alpha = rank. strength = multiplier * alpha / rank; 0 when disabled.
    """

    def __init__(
        self, name: str, layer: nn.Module, *, rank: int, alpha: float, seed: int = 0, dropouts: Dropouts | None = None
    ) -> None:
        super().__init__()
        assert rank > 0, rank
        self.lora_name = name
        self.rank = rank
        self.dropouts = dropouts or Dropouts()
        self._drops = any((self.dropouts.neuron, self.dropouts.rank, self.dropouts.module))
        self.is_conv = isinstance(layer, nn.Conv2d)
        down, up = functional.layer_shapes(tuple(layer.weight.shape), rank)
        if self.is_conv:
            geometry = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "bias": False}
            self.lora_down = nn.utils.skip_init(nn.Conv2d, layer.in_channels, rank, layer.kernel_size, **geometry)
            self.lora_up = nn.utils.skip_init(nn.Conv2d, rank, layer.out_channels, 1, bias=False)
        else:
            self.lora_down = nn.utils.skip_init(nn.Linear, layer.in_features, rank, bias=False)
            self.lora_up = nn.utils.skip_init(nn.Linear, rank, layer.out_features, bias=False)
        assert tuple(self.lora_down.weight.shape) == down and tuple(self.lora_up.weight.shape) == up, (down, up)
        with torch.no_grad():
            self.lora_down.weight.copy_(functional.initial_down(down, seed, name))
            self.lora_up.weight.zero_()
        self.register_buffer("alpha", torch.tensor(float(alpha) or float(rank)))
        self.multiplier = 1.0
        self.enabled = True
        self.refresh()

    def refresh(self) -> None:
        """Work out `scale` and `strength` again, after alpha, the multiplier or `enabled` has changed."""
        self.scale = float(self.alpha) / self.rank
        self.strength = self.multiplier * self.scale if self.enabled else 0.0

    def factors(self) -> tuple[Tensor, Tensor]:
        """(down, up), detached copies in float32."""
        return self.lora_down.weight.detach().float().clone(), self.lora_up.weight.detach().float().clone()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y + strength * up(down(x)), in the dtype of `y`; `x` and `y` are input and output of the frozen layer."""
        dtype = self.lora_down.weight.dtype
        if x.dtype != dtype and not _autocast(x.device.type):
            x = x.to(dtype)
        if self._drops and self.training:
            return self._forward_with_dropout(x, y)
        change = self.lora_up(self.lora_down(x))
        return torch.add(y, change.to(y.dtype), alpha=self.strength)

    def _forward_with_dropout(self, x: Tensor, y: Tensor) -> Tensor:
        drop, strength = self.dropouts, self.strength
        if drop.module and torch.rand(()).item() < drop.module:
            return y
        inner = self.lora_down(x)
        if drop.neuron:
            inner = nn.functional.dropout(inner, drop.neuron)
        if drop.rank:
            mask = torch.rand(inner.shape[0], self.rank, device=inner.device) > drop.rank
            spread = (-1, self.rank, 1, 1) if self.is_conv else (-1, *(1,) * (inner.ndim - 2), self.rank)
            inner = inner * mask.view(spread)
            strength /= 1.0 - drop.rank
        return y + (self.lora_up(inner) * strength).to(y.dtype)


def _autocast(device_type: str) -> bool:
    try:
        return torch.is_autocast_enabled(device_type)
    except TypeError:  # torch before 2.4 takes no argument
        return torch.is_autocast_cpu_enabled() if device_type == "cpu" else torch.is_autocast_enabled()


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
) -> Network:
    """Return a new network: rank `network_dim` (4 when None) on Linear and 1x1 convolutions, alpha 1 when None, rank when 0.

    network_args (text or numbers): `conv_dim`, `conv_alpha` (3x3 convolutions and resnets too; alpha 1 when left out),
    `rank_dropout`, `module_dropout`. The weights depend on `seed` and the modules' names alone. `vae` is not used.
    Raises InputError(s) for arguments that are unknown or out of their range.
    """
    arguments = LoRAArguments.of(network_args)
    rank = number_of("network_dim", 4 if network_dim is None else network_dim, int, field="network_dim", minimum=1)
    alpha = number_of("network_alpha", 1.0 if network_alpha is None else network_alpha, float, field="network_alpha")
    dropouts = _dropouts(neuron_dropout, arguments)
    lierla = find_lierla_names(text_encoders, unet)
    pairs = []
    for target in find_targets(text_encoders, unet):
        if arguments.conv_dim is None and target.name not in lierla:
            continue
        conv = target.is_conv3x3
        shape = {"rank": arguments.conv_dim if conv else rank, "alpha": arguments.conv_alpha if conv else alpha}
        pairs.append((target, LoRAModule(target.name, target.layer, seed=seed, dropouts=dropouts, **shape)))
    return Network(pairs, multiplier)


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
    **network_args: str,
) -> tuple[Network, dict[str, Tensor]]:
    """Return (network, weights): a network of just the modules, ranks and alphas that a file has, not yet loaded.

        network, weights = create_network_from_weights(0.8, "frog.safetensors", None, text_encoder, unet)
        network.apply_to(text_encoder, unet)
        network.load_state_dict(weights)

    `weights_sd` are tensors that were read already (then `file` may be None). A missing alpha means alpha = rank.
    `for_inference` makes a network that asks for no gradients. Raises LoraFileError when the file is no LoRA, or does not
    fit the model, and InputError for network_args (`rank_dropout`, `module_dropout`) that are wrong.
    """
    dropouts = _dropouts(neuron_dropout, LoRAArguments.of(network_args))
    if weights_sd is None:
        assert file is not None, "either file or weights_sd"
        weights_sd, _ = load(Path(file))
    where = str(file) if file is not None else "the LoRA"
    targets = {target.name: target for target in find_targets(text_encoder, unet)}
    grouped = group_keys(weights_sd, where)
    strange = [name for name in grouped if name not in targets]
    if strange:
        raise _unfit(where, strange, targets)
    pairs: list[tuple[Target, LoRAModule]] = []
    for name, target in targets.items():
        if name in grouped:
            rank = grouped[name]["lora_down.weight"].shape[0]
            alpha = float(grouped[name]["alpha"]) if "alpha" in grouped[name] else float(rank)
            pairs.append((target, LoRAModule(name, target.layer, rank=rank, alpha=alpha, dropouts=dropouts)))
    network = Network(pairs, multiplier)
    if for_inference:
        network.requires_grad_(False).eval()
    return network, dict(weights_sd)


def _unfit(where: str, strange: list[str], targets: Mapping[str, Target]) -> LoraFileError:
    sdxl_file = any("_input_blocks_" in name or name.startswith("lora_te2_") for name in strange)
    kind = " It was made for SDXL." if sdxl_file and not any("_input_blocks_" in name for name in targets) else ""
    return LoraFileError(
        f"{where}: {len(strange)} of its modules fit no layer of this model, for example {strange[0]}.{kind}",
        advice="Use a base model of the family that the LoRA was made for.",
    )


def _dropouts(neuron: float | None, arguments: LoRAArguments) -> Dropouts:
    share = share_of("network_dropout", neuron, field="network_dropout")
    return Dropouts(neuron=share, rank=arguments.rank_dropout, module=arguments.module_dropout)
