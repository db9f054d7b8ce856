"""What the tensors of one module of a file change in its layer: pure maths, for every kind of network that drawing knows.

    change = change_of({"hada_w1_a": ..., "hada_w1_b": ..., "hada_w2_a": ..., "hada_w2_b": ..., "alpha": ...}, layer.weight)

    LoRA    up @ down (Hu et al. 2021, arXiv 2106.09685), with a Tucker core `lora_mid` between them (LoCon)
    LoHa    (w1_a @ w1_b) * (w2_a @ w2_b) (Hyeon-Woo et al. 2022, arXiv 2108.06098)
    LoKr    the Kronecker product of w1 and w2 (Yeh et al. 2024, arXiv 2309.14859), either of which may be a product itself
    OFT     the rows in blocks, each turned by a rotation (Qiu et al. 2023, arXiv 2306.07280)
    (IA)^3  rows or columns stretched (Liu et al. 2022, arXiv 2205.05638)
    full    `diff`, and for norms `w_norm`; `diff_b`, `b_norm` of the bias
    DoRA    `dora_scale`: the lengths of the changed weight's rows or columns (Liu et al. 2024, arXiv 2402.09353)

The names are those of LyCORIS' files. Everything is computed in float32; a change is multiplied as a whole, as in the Web UI.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]
# Kinds that are known by name, and cannot be drawn with.
_UNKNOWN = {"a1.weight": "GLoRA", "lambda_layer": "T-LoRA", "oft_diag": "an early form of OFT"}


def needs_package(tensors: Tensors) -> bool:
    """Whether a file holds a kind whose change is not worked out here but in LyCORIS' own package: BOFT, GLoRA, T-LoRA."""
    return any(
        key.endswith((".a1.weight", ".lambda_layer")) or (key.endswith(".oft_blocks") and tensor.ndim == 4)
        for key, tensor in tensors.items()
    )


class Unfit(Exception):
    """The tensors are of no known kind, or do not fit the layer; says why."""


class Change(NamedTuple):
    """What is added to a layer's weight, and to its bias (None: nothing); float32, in their shapes."""

    weight: Tensor | None
    bias: Tensor | None


def change_of(tensors: Tensors, weight: Tensor) -> Change:
    """The change of a layer with this `weight`; raises Unfit. `tensors` by their names behind the module's."""
    left = {name: tensor.to(weight.device, torch.float32) for name, tensor in tensors.items()}
    alpha = left.pop("alpha", None)
    if alpha is not None and alpha.numel() != 1:
        raise Unfit(f"its alpha has the shape {list(alpha.shape)}, expected one number")
    scale, total = left.pop("dora_scale", None), None
    original = weight.detach().float()
    for names, make in _KINDS:
        if not any(name in left for name in names):
            continue
        used = {name: left.pop(name) for name in names if name in left}
        try:
            made = make(used, None if alpha is None else float(alpha), original)
        except (KeyError, RuntimeError, IndexError) as error:
            raise Unfit(f"its {', '.join(sorted(used))} do not belong together: {str(error).splitlines()[0]}") from error
        if made.numel() != original.numel():
            raise Unfit(f"it was made for a layer of shape {list(made.shape)}, here it is {list(original.shape)}")
        made = made.reshape(original.shape)
        total = made if total is None else total + made
    if scale is not None:
        total = _decomposed(original, torch.zeros_like(original) if total is None else total, scale)
    biases = [left.pop(name) for name in ("diff_b", "b_norm") if name in left]
    if left:
        name = next(iter(left))
        raise Unfit(f"it has {name}, which is {_UNKNOWN.get(name, 'of a kind that is not known here')}")
    return Change(total, sum(biases[1:], biases[0]) if biases else None)


def _strength(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


def _lora(t: Tensors, alpha: float | None, _: Tensor) -> Tensor:
    up, down = t["lora_up.weight"], t["lora_down.weight"]
    if "lora_mid.weight" in t:
        made = torch.einsum("abhw,oa,bi->oihw", t["lora_mid.weight"], up.flatten(1), down.flatten(1))
    else:
        made = (up.flatten(1) @ down.flatten(1)).view(up.shape[0], *down.shape[1:])
    return made * _strength(alpha, down.shape[0])


def _tucker(core: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """[out, in, kh, kw] of core [r, r, kh, kw], left [r, out], right [r, in]."""
    return torch.einsum("abhw,ao,bi->oihw", core, left, right)


def _loha(t: Tensors, alpha: float | None, _: Tensor) -> Tensor:
    halves = []
    for n in (1, 2):
        a, b = t[f"hada_w{n}_a"], t[f"hada_w{n}_b"]
        halves.append(_tucker(t[f"hada_t{n}"], a, b) if f"hada_t{n}" in t else a @ b)
    return halves[0] * halves[1] * _strength(alpha, t["hada_w1_b"].shape[0])


def _lokr(t: Tensors, alpha: float | None, weight: Tensor) -> Tensor:
    rank = next((t[name].shape[0] for name in ("lokr_w1_b", "lokr_w2_b") if name in t), None)
    first = t["lokr_w1"] if "lokr_w1" in t else t["lokr_w1_a"] @ t["lokr_w1_b"]
    if "lokr_w2" in t:
        second = t["lokr_w2"]
    elif "lokr_t2" in t:
        second = _tucker(t["lokr_t2"], t["lokr_w2_a"], t["lokr_w2_b"])
    else:
        second = t["lokr_w2_a"] @ t["lokr_w2_b"]
    made = torch.kron(first.view(*first.shape, *[1] * (second.ndim - 2)), second)
    # Two whole matrices have no rank, and their alpha means nothing.
    return made if rank is None else made * _strength(alpha, rank)


def _oft(t: Tensors, alpha: float | None, weight: Tensor) -> Tensor:
    blocks = t["oft_blocks"]
    if blocks.ndim != 3 or blocks.shape[0] * blocks.shape[1] != weight.shape[0]:
        kind = "BOFT, which cannot be drawn with here" if blocks.ndim == 4 else f"no rotation of {weight.shape[0]} rows"
        raise Unfit(f"its oft_blocks have the shape {list(blocks.shape)}: {kind}")
    skew = blocks - blocks.transpose(1, 2)
    limit = (alpha or 0.0) * weight.shape[0]  # alpha is the constraint here
    norm = float(skew.norm())
    if limit > 0 and norm > limit:
        skew = skew * (limit / norm)
    one = torch.eye(blocks.shape[1], device=blocks.device)
    rotation = (one + skew) @ torch.linalg.inv(one - skew)
    turned = torch.einsum("knm,kn...->km...", rotation, weight.view(*blocks.shape[:2], *weight.shape[1:])).reshape(weight.shape)
    return turned * t.get("rescale", torch.ones((), device=blocks.device)) - weight


def _ia3(t: Tensors, alpha: float | None, weight: Tensor) -> Tensor:
    stretch = t["weight"].flatten()
    shape = (1, -1) if bool(t["on_input"]) else (-1, 1)
    return weight * stretch.view(*shape, *[1] * (weight.ndim - 2))


def _full(t: Tensors, alpha: float | None, _: Tensor) -> Tensor:
    return next(iter(t.values()))


def _sparse(t: Tensors, alpha: float | None, weight: Tensor) -> Tensor:
    shape = [int(side) for side in t["bias_size"]]
    if math.prod(shape) != weight.numel():
        raise Unfit(f"its bias_size is {shape}, the layer's shape {list(weight.shape)}")
    made = torch.zeros(shape, device=weight.device)
    made[tuple(t["bias_indices"].long())] = t["bias_values"]
    return made


_KINDS: tuple[tuple[tuple[str, ...], Callable[[Tensors, float | None, Tensor], Tensor]], ...] = (
    (("lora_up.weight", "lora_down.weight", "lora_mid.weight"), _lora),
    (("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"), _loha),
    (("lokr_w1", "lokr_w1_a", "lokr_w1_b", "lokr_w2", "lokr_w2_a", "lokr_w2_b", "lokr_t2"), _lokr),
    (("oft_blocks", "rescale"), _oft),
    (("weight", "on_input"), _ia3),
    (("diff",), _full),
    (("w_norm",), _full),
    (("bias_indices", "bias_values", "bias_size"), _sparse),
)


def _decomposed(weight: Tensor, change: Tensor, scale: Tensor) -> Tensor:
    """The change with DoRA's lengths: of each output's weights where `scale` has one for each output, else of each input's."""
    changed = weight + change
    outputs = scale.numel() == weight.shape[0] and scale.shape[0] == weight.shape[0]
    kept = 0 if outputs else 1
    if not outputs and scale.numel() != math.prod(weight.shape[1:2]):
        raise Unfit(f"its dora_scale has the shape {list(scale.shape)}, the layer {list(weight.shape)}")
    others = [axis for axis in range(weight.ndim) if axis != kept]
    lengths = torch.linalg.vector_norm(changed, dim=others, keepdim=True).clamp(min=1e-12)
    return changed * (scale.reshape(lengths.shape) / lengths) - weight
