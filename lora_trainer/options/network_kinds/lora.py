"""networks.lora: LoRA (LierLa, and C3Lier with conv_dim)."""

from __future__ import annotations

from ..network_arguments import LoRAArguments
from .kind import NetworkKind

KIND = NetworkKind(
    name="networks.lora",
    title="LoRA (LierLa, C3Lier)",
    title_ko="LoRA (LierLa, C3Lier)",
    purpose="LoRA",
    purpose_ko="LoRA는",
    place=1,
    implementation="lora_trainer.networks.lora",
    check=lambda given, _: LoRAArguments.of(given),
    blocks=lambda given: LoRAArguments.of(given).blocks,
    editor=("conv", "plus", "blocks", "ranks"),
)
