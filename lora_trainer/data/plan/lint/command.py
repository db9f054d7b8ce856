"""`check_dataset`: what would spoil a training, told before it.

python -m lora_trainer check_dataset "pictures/10_sls frog"
python -m lora_trainer check_dataset --config_file run.toml --json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ....errors import InputError, InputErrors
from ....foreign.reading import is_folder
from ....options import TrainOptions, cli
from ....options.config_file import tables_to_toml
from ....options.data_spec import NO_CAPTIONS, DataSpec
from ....options.dataset_config import data_spec, from_file
from ....options.dataset_folders import parse_folder_name
from ....options.located import parse
from ....options.resolve import train_options
from ....paths import user_path
from ..build import make_plan
from ..caption_files import ENDINGS
from ..files import list_folder
from ..model import DataPlan, Finding
from ..steps import count_steps
from ..words import count
from .checking import LintSettings, lint
from .telling import told

USAGE = """Usage: python -m lora_trainer check_dataset FOLDER ... [--json] [OPTIONS]
       python -m lora_trainer check_dataset --config_file FILE [--json] [OPTIONS]

Looks at the pictures and captions of a training and tells what would spoil it, why, and what mends it.

  FOLDER   a folder of pictures, called like "10_sls frog" (repeats, then words), or one that holds such folders
  --json   tell it as JSON
  OPTIONS  of train_network (see its --help): resolution, caption_extension, dataset_config, train_batch_size, ...

The exit status is 0 where nothing worse than a remark was found, 1 for warnings, 2 for what keeps a training from starting.
"""
# What a training needs and a look at its pictures does not.
_NOT_LOOKED_AT = {
    "pretrained_model_name_or_path": "user/model",
    "network_module": "networks.lora",
    "output_dir": ".",
    "output_name": "x",
}
_STATUS = {"info": 0, "warning": 1, "error": 2}


def main(argv: Sequence[str]) -> int:
    """Print the findings; returns the exit status. Raises InputError(s) for what cannot be read."""
    words = list(argv)
    if not words or {"-h", "--help"} & set(words):
        sys.stdout.write(USAGE)
        return 0 if words else 2
    as_json = "--json" in words
    words = [word for word in words if word != "--json"]
    first = next((place for place, word in enumerate(words) if word.startswith("--")), len(words))
    given = cli.given_options(words[first:])
    folders = [_folder(word) for word in words[:first]]
    if folders:
        options, spec = _of_folders(folders, given)
    else:
        options = _options(given)
        spec = data_spec(options)
    plan = make_plan(spec, seed=0, prior_loss_weight=options.training.prior_loss_weight)
    found = findings(plan, options, knows_steps=not folders or bool({"max_train_steps", "max_train_epochs"} & given.keys()))
    sys.stdout.write(_as_json(plan, found) if as_json else as_text(plan, found))
    return max((_STATUS[finding.level] for finding in found), default=0)


def findings(plan: DataPlan, options: TrainOptions, *, knows_steps: bool) -> list[Finding]:
    """Everything that is found about a plan, the worst first."""
    chosen = options.training
    steps = None
    if knows_steps and plan.batches_per_epoch:
        steps = count_steps(
            plan,
            max_train_steps=chosen.max_train_steps,
            max_train_epochs=chosen.max_train_epochs,
            gradient_accumulation_steps=chosen.gradient_accumulation_steps,
        ).total_steps
    settings = LintSettings(
        max_tokens=options.model.max_token_length or 75,
        total_steps=steps,
        accumulation=chosen.gradient_accumulation_steps,
        weighted=options.model.weighted_captions,
    )
    found = [*plan.findings, *lint(plan, settings).findings]
    return sorted(found, key=lambda finding: -_STATUS[finding.level])


def _folder(word: str) -> Path:
    folder = user_path(word).absolute()
    if not is_folder(folder):
        raise InputError(f"{word!r} is no folder.", advice="Options begin with --; see check_dataset --help.")
    return folder


def _options(given: Mapping[str, Any], *to_come: str) -> TrainOptions:
    """The options, with anything in the place of what is missing or wrong and makes no difference here."""
    try:
        return train_options(given, to_come=to_come)
    except InputErrors as wrong:
        instead = {name: text for name, text in _NOT_LOOKED_AT.items() if name in {error.field for error in wrong.errors}}
        if not instead:
            raise
        return train_options({**given, **instead}, to_come=to_come)


def _of_folders(folders: Sequence[Path], given: Mapping[str, Any]) -> tuple[TrainOptions, DataSpec]:
    """Folders of pictures as one data set; a folder of folders is what train_data_dir takes."""
    basic = {"resolution": "512", "enable_bucket": "true", "caption_extension": ".txt", **given}
    if len(folders) == 1 and not list_folder(folders[0]).images:
        options = _options({**basic, "train_data_dir": str(folders[0])})
        return options, data_spec(options)
    subsets = [_subset(folder, str(given.get("caption_extension") or "")) for folder in folders]
    file = Path("dataset.toml")  # it is never written
    options = _options({**basic, "dataset_config": str(file)}, "dataset_config")
    spec = from_file(parse(file, tables_to_toml({"datasets": [{"subsets": subsets}]})), options)
    return options, replace(spec, source=None)


def _subset(folder: Path, ending: str) -> dict[str, Any]:
    names = list_folder(folder).names
    found = next((one for one in ENDINGS if any(name.lower().endswith(one) for name in names)), NO_CAPTIONS)
    repeats, words = parse_folder_name(folder.name) or (1, "")
    return {"image_dir": str(folder), "num_repeats": repeats, "class_tokens": words, "caption_extension": ending or found}


def _as_json(plan: DataPlan, found: Sequence[Finding]) -> str:
    content = {"images": len(plan.images), "findings": [told(finding) for finding in found]}
    return json.dumps(content, ensure_ascii=False, indent=2) + "\n"


def as_text(plan: DataPlan, found: Sequence[Finding]) -> str:
    """Findings as lines to read."""
    lines = [f"{count(len(plan.images), 'picture', 'pictures')} in {count(len(plan.subsets), 'folder', 'folders')}."]
    for one in map(told, found):
        where = f"{one['where']}: " if one["where"] else ""
        lines.append(f"{one['level'].upper()} {one['code']}\n  {where}{one['message']}")
        lines += [f"  Why: {one['why']}"] if one["why"] else []
        lines += [f"  Mend: {one['fix']['label']}."] if one["fix"] else []
    lines += [] if found else ["Nothing was found."]
    return "\n".join(lines) + "\n"
