"""The names of learning-rate schedules."""

from __future__ import annotations

ADAFACTOR_RATE = r"adafactor:[0-9.eE+-]+"  # adafactor:INITIAL_LR
TORCH_SCHEDULES = "torch.optim.lr_scheduler."  # classes that everybody may name
# The classes there that need nothing but numbers and texts.
OF_TORCH = (
    "ConstantLR",
    "CosineAnnealingLR",
    "CosineAnnealingWarmRestarts",
    "CyclicLR",
    "ExponentialLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "PolynomialLR",
    "StepLR",
)
