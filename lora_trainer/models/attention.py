"""How attention is computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

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

    unet.set_attn_processor(AttnProcessor2_0())
    if vae is not None:
        vae.set_attn_processor(AttnProcessor2_0())
    return "torch"
