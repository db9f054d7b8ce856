"""lycoris.kohya: a third party's networks, through our adapter."""

from __future__ import annotations

from ..lycoris_arguments import lycoris_arguments
from .kind import NetworkKind

KIND = NetworkKind(
    name="lycoris.kohya",
    title="LyCORIS (LoHa, LoKr, …)",
    title_ko="LyCORIS (LoHa, LoKr 등)",
    purpose="LoHa, LoKr and others of the package lycoris-lora, which has to be installed",
    purpose_ko="LoHa와 LoKr 등은",
    note_ko="lycoris-lora 패키지를 설치해야 합니다",
    place=3,
    implementation="lora_trainer.networks.lycoris",
    check=lambda given, _: lycoris_arguments(given),
)
