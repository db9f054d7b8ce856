"""networks.dylora: DyLoRA."""

from __future__ import annotations

from ..network_arguments import DyLoRAArguments
from .kind import NetworkKind

KIND = NetworkKind(
    name="networks.dylora",
    title="DyLoRA",
    title_ko="DyLoRA",
    purpose="one file that holds a LoRA of every rank",
    purpose_ko="여러 랭크의 LoRA를 한 파일에 담는 DyLoRA는",
    place=2,
    implementation="lora_trainer.networks.dylora",
    check=DyLoRAArguments.of,
    blocks=lambda given: DyLoRAArguments.of(given, None).lora.blocks,
    editor=("conv", "plus", "blocks", "unit"),
)
