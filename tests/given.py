"""Options of a training, from some of them: for tests of what a single option does."""

from __future__ import annotations

from typing import Any

from lora_trainer.options import TrainOptions
from lora_trainer.options.resolve import train_options

NEEDED = {
    "pretrained_model_name_or_path": "no/model",
    "network_module": "networks.lora",
    "train_data_dir": "nowhere",
    "resolution": "64",
    "output_dir": "nowhere",
    "output_name": "x",
}


def given(**changed: Any) -> TrainOptions:
    """The options as somebody gives them, with what every training needs; no file has to be there, and none is looked at."""
    return train_options({**NEEDED, **changed}, check_paths=False)
