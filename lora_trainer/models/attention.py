"""How attention is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import InputError
from ..log import logger

if TYPE_CHECKING:
    from diffusers import AutoencoderKL, UNet2DConditionModel

CHOICES = ("torch", "xformers")


def set_attention(unet: UNet2DConditionModel, vae: AutoencoderKL | None, kind: str) -> str:
    """Let `unet` (and `vae`) compute attention by torch's own function or by xformers; return what is used in the end.

    Both give the same numbers but for rounding. Where xformers is missing or does not fit (no CUDA), torch's is used with a
    warning, so that a command line that asks for it trains everywhere. Raises InputError for another `kind`.
    """
    if kind not in CHOICES:
        raise InputError(f"attention is {kind!r}, expected one of {', '.join(CHOICES)}.", field="attention")
    if kind == "xformers":
        try:
            unet.enable_xformers_memory_efficient_attention()
        except Exception as error:  # xformers fails in many ways where its build does not fit torch or the card
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            logger.warning("xformers cannot be used (%s); torch's own attention is, which is about as fast.", reason)
        else:
            return "xformers"
    from diffusers.models.attention_processor import AttnProcessor2_0

    from .plain_attention import PlainAttention

    unet.set_attn_processor(PlainAttention())
    if vae is not None:
        vae.set_attn_processor(AttnProcessor2_0())
    return "torch"


_KERNELS = {0: "math", 1: "flash", 2: "memory-efficient", 3: "cuDNN"}  # torch.nn.attention.SDPBackend


def told(unet: nn.Module, device: torch.device, dtype: torch.dtype) -> str:
    """What computes the attention of `unet` on `device` in `dtype`: xformers, or PyTorch's kernels by the sizes of their heads.

    Its weights are not asked: they may lie elsewhere, and in 8 bits."""
    modules = [module for module in unet.modules() if hasattr(module, "processor") and hasattr(module, "to_q")]
    kinds = {type(module.processor).__name__ for module in modules}
    if any("XFormers" in kind for kind in kinds):
        return "xformers"
    found: dict[str, set[int]] = {}
    for size, module in {module.to_q.out_features // module.heads: module for module in modules}.items():
        found.setdefault(_kernel(size, module.heads, device, dtype), set()).add(size)
    told = ", ".join(f"{kernel} (heads of {', '.join(map(str, sorted(sizes)))})" for kernel, sizes in sorted(found.items()))
    return f"PyTorch: {told}" if told else "PyTorch"


@torch.no_grad()
def _kernel(size: int, heads: int, device: torch.device, dtype: torch.dtype) -> str:
    """The kernel that PyTorch chooses for heads of `size` numbers, as it tells."""
    try:
        tokens = torch.zeros(1, heads, 64, size, dtype=dtype, device=device)
        return _KERNELS.get(int(torch._fused_sdp_choice(tokens, tokens, tokens)), "another")
    except (AssertionError, AttributeError, RuntimeError, TypeError):  # not a public function
        return "one that it does not tell"
