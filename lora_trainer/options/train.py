"""All options of a training in their sections, and as one flat list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .dataset import DatasetOptions
from .model import ModelOptions
from .network import NetworkOptions
from .optimizer import OptimizerOptions
from .sampling import SamplingOptions
from .saving import SavingOptions
from .schema import Option, options_of
from .trained import TrainedOptions
from .training import TrainingOptions

SECTIONS: Mapping[str, type] = {
    "trained": TrainedOptions,
    "model": ModelOptions,
    "network": NetworkOptions,
    "dataset": DatasetOptions,
    "optimizer": OptimizerOptions,
    "training": TrainingOptions,
    "sampling": SamplingOptions,
    "saving": SavingOptions,
}


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """Everything that decides a training, checked (by `resolve.train_options`) and complete."""

    trained: TrainedOptions = field(default_factory=TrainedOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    network: NetworkOptions = field(default_factory=NetworkOptions)
    dataset: DatasetOptions = field(default_factory=DatasetOptions)
    optimizer: OptimizerOptions = field(default_factory=OptimizerOptions)
    training: TrainingOptions = field(default_factory=TrainingOptions)
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    saving: SavingOptions = field(default_factory=SavingOptions)


OPTIONS: tuple[Option, ...] = tuple(
    option for section, declared in SECTIONS.items() for option in options_of(declared, section)
)
OPTIONS_BY_NAME: Mapping[str, Option] = {option.name: option for option in OPTIONS}
assert len(OPTIONS_BY_NAME) == len(OPTIONS), "an option is declared twice"


def flat(options: TrainOptions) -> dict[str, Any]:
    """All values by option name, in the order of declaration."""
    return {option.name: getattr(getattr(options, option.section), option.name) for option in OPTIONS}
