"""An option that we accept has an effect: something outside the declarations reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lora_trainer.options import OPTIONS
from lora_trainer.options.dataset_keys import KEYS

PACKAGE = Path(__file__).parents[2] / "lora_trainer"
WRITTEN_DOWN = (PACKAGE / "networks" / "metadata.py").read_text(encoding="utf-8")  # no effect but in the file's metadata
READERS = "\n".join(
    path.read_text(encoding="utf-8")
    for path in PACKAGE.rglob("*.py")
    if (path.parent.name != "options" or path.name in ("cli.py", "dataset_config.py", "dataset_folders.py"))
    and path.name != "metadata.py"
)
# Accepted, and nobody has to read them: what they ask for is so anyway.
ALWAYS_SO = {
    "sdpa": "PyTorch's attention is what is used when xformers is not asked for",
    "mem_eff_attn": "the same",
    "persistent_data_loader_workers": "one loader goes through all epochs, so its processes always stay",
}


@pytest.mark.parametrize("name", [option.name for option in OPTIONS if option.supported])
def test_an_accepted_option_is_read_by_somebody(name):
    through_the_data_set = {key.command_line for key in KEYS.values() if key.option.supported}
    if name.startswith("metadata_") or name in ("training_comment", "no_metadata"):
        assert name in WRITTEN_DOWN or f'"{name.removeprefix("metadata_")}"' in WRITTEN_DOWN
        return
    assert re.search(rf"\b{name}\b", READERS) or name in through_the_data_set or name in ALWAYS_SO


def test_the_samplers_for_previews_are_those_that_there_are():
    from lora_trainer.options import OPTIONS_BY_NAME
    from lora_trainer.sampling.samplers import SAMPLERS, find

    option = OPTIONS_BY_NAME["sample_sampler"]
    plain = {name for name in SAMPLERS if not name.endswith("_karras")}
    assert {find(name).name for name in option.choices} == plain and not option.ready


def test_the_optimizers_and_schedules_are_those_that_there_are():
    from lora_trainer.options import OPTIONS_BY_NAME
    from lora_trainer.training import optimizers, schedulers

    assert set(OPTIONS_BY_NAME["optimizer_type"].ready) == set(optimizers._TABLE)
    assert set(OPTIONS_BY_NAME["lr_scheduler"].ready) == set(schedulers._SCHEDULES)
