"""A whole model in training (fine-tuning; DreamBooth, Ruiz et al. 2022, arXiv 2208.12242): all weights of its UNet, and of its
text encoders where that is wanted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError
from ..models import Model, convert
from ..models.family import TEXT, UNET, VAE
from ..options.block_arguments import Shape
from . import sharding
from .serving import Shards

_FIRST = {"input_blocks": 1, "middle_block": 10, "output_blocks": 13}  # numbers of SDXL's blocks in block_lr
_LAST = 22


class WholeModel(nn.Module):
    """The trained parts of `model`, which are changed where they are.

    `unet_lr` and `text_lrs` (one for each text encoder) are their rates; a part with 0 is not trained, and kept in `dtype`, the
    one that is computed in. `block_lrs` are rates of the blocks of SDXL's UNet in the place of `unet_lr`. The text encoders are
    trained for `text_steps` steps, None for all. `keeps_dtype`: trained weights are in `dtype` between steps (full_bf16,
    full_fp16); else they are float32, and torch's autocast casts them.
    """

    def __init__(
        self,
        model: Model,
        *,
        unet_lr: float,
        text_lrs: Sequence[float],
        dtype: torch.dtype,
        block_lrs: Sequence[float] = (),
        text_steps: int | None = None,
        keeps_dtype: bool = False,
    ) -> None:
        super().__init__()
        self.needs_autocast = not keeps_dtype
        self.multiplier = (1.0, 1.0)
        self._text_steps = text_steps
        self._modules_of: dict[str, nn.Module] = {}  # the trained parts; a table, so that they stay the model's alone
        self._named: dict[str, nn.Parameter] = {}
        self._groups: dict[str, tuple[float, list[str]]] = {}
        self.shards: Shards | None = None
        modules = {name: module for name, module in model.named.items() if name != VAE}
        for (part, module), rate in zip(modules.items(), (unet_lr, *text_lrs), strict=True):
            own = _block_rates(module, block_lrs) if part == UNET and block_lrs else {}
            for name, parameter in module.named_parameters():
                group, its_rate = own.get(name, (part, rate))
                parameter.requires_grad_(its_rate > 0)
                if its_rate > 0:
                    self._modules_of[part] = module
                    self._named[f"{part}.{name}"] = parameter
                    self._groups.setdefault(group, (its_rate, []))[1].append(f"{part}.{name}")
            if part not in self._modules_of:
                module.to(dtype=dtype)

    def shard(self, group: sharding.Group) -> Shards:
        """Let each process of `group` keep a share of each trained part alone (`sharding`): before anything knows the
        parameters, which are others then."""
        roots = list(self._modules_of.values())
        sharding.shard(roots, group)
        self.shards = Shards(roots, group)
        for part, module in self._modules_of.items():
            there = {f"{part}.{name}": parameter for name, parameter in module.named_parameters()}
            self._named |= {name: there[name] for name in self._named if name in there}
        return self.shards

    def whole(self, tensor: Tensor) -> Tensor:
        """All of a trained tensor, or of what an optimizer remembers of one, where this process has only a part of it."""
        return self.shards.whole(tensor) if self.shards else tensor

    def largest(self) -> float:
        """The largest size of a trained number; NaN or infinite where one is."""
        if self.shards:
            return self.shards.largest()
        return float(torch.stack([parameter.detach().abs().amax().float() for parameter in self.parameters()]).max())

    @property
    def trained_parts(self) -> list[str]:
        """The names of the trained parts: "unet", "text_encoder" (of SDXL "text_encoder1", "text_encoder2")."""
        return list(self._modules_of)

    @property
    def shape(self) -> Shape:
        """There is no rank."""
        return Shape(0, 0.0)

    def set_multiplier(self, text_encoder: float, unet: float | None = None) -> None:
        """The model is what it is: no strength but 1 can be asked for."""
        assert (text_encoder, unet) in ((1.0, None), (1.0, 1.0)), "a model has no strength"

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """The trained weights."""
        return iter(self._named.values())

    def adapters(self, part: str | None = None) -> list[nn.Module]:
        """The trained modules of one part of the model."""
        return [module for name, module in self._modules_of.items() if part is None or name.startswith(part)]

    def parameter_groups(
        self, text_encoder_lr: float | Sequence[float] | None, unet_lr: float | None, default_lr: float | None
    ) -> list[dict[str, Any]]:
        """A group for each trained part, and for each block of the UNet with a rate of its own: the rates are those that it was
        made with. Raises InputError where nothing is trained."""
        if not self._groups:
            advice = "Give a learning rate above 0, for example 1e-6."
            raise InputError("there is nothing to train: every learning rate is 0.", field="learning_rate", advice=advice)
        return [
            {"params": [self._named[one] for one in own], "lr": rate, "name": name}
            for name, (rate, own) in self._groups.items()
        ]

    def trained_parameters(self, part: str | None = None) -> list[nn.Parameter]:
        """The trained weights of one part (all when None)."""
        return [parameter for name, parameter in self._named.items() if part is None or name.startswith(part)]

    def start_step(self, step: int) -> None:
        """The text encoders are trained up to `text_steps`: whatever step a training goes on with, this alone decides."""
        if self._text_steps is not None:
            for parameter in self.trained_parameters(TEXT):
                parameter.requires_grad_(step <= self._text_steps)

    def end_step(self) -> None:
        """Nothing was prepared for it."""

    def apply_max_norm(self, max_norm: float) -> Tensor:
        """Refused where the options are read: nothing is added to the model that could be limited."""
        raise AssertionError("scale_weight_norms is for networks")

    def training_state(self) -> dict[str, Tensor]:
        """The trained weights by part and name."""
        return {name: parameter.detach() for name, parameter in self._named.items()}

    def state_dict(self, *_: Any, **__: Any) -> dict[str, Any]:
        """The same: a model's files hold more than what is trained, and are written by `model_files`."""
        return self.training_state()

    def files_beside(self) -> Mapping[str, Mapping[str, Tensor]]:
        """Nothing is saved beside a model."""
        return {}


def block_of(name: str) -> int:
    """The number in block_lr of a parameter of SDXL's UNet by its LDM name (without prefix): 0 for what codes time and sizes, 1
    to 9 on the way in, 10 to 12 in the middle, 13 to 21 on the way out, 22 for the last layer."""
    place, _, rest = name.partition(".")
    if place in _FIRST:
        return _FIRST[place] + int(rest.partition(".")[0])
    return _LAST if place == "out" else 0


def _block_rates(unet: nn.Module, rates: Sequence[float]) -> Mapping[str, tuple[str, float]]:
    """{name of a parameter of the UNet: (its group, its rate)}, by the rates of block_lr."""
    numbers = {name: block_of(ldm) for name, ldm in convert.unet_names(dict(unet.named_parameters())).items()}
    return {name: (f"unet_block{number}", rates[number]) for name, number in numbers.items()}
