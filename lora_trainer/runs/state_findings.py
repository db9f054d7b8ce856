"""What differs between a training state and the training that is to go on from it: asked before anything starts. No torch."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..options.optimizer_kinds import OLD_NAMES, kind_of
from ..options.train import OPTIONS, OPTIONS_BY_NAME, TrainOptions, flat
from .states import StateInfo

# What a state is made of: with another one there is nothing to go on from.
FIXED = (
    "trains", "token_string", "num_vectors_per_token", "vectors_per_layer", "network_module", "network_dim", "network_alpha",
    "dim_from_weights", "train_text_encoder", "network_train_unet_only", "network_train_text_encoder_only", "full_fp16",
    "full_bf16",
)  # fmt: skip
_LOOSE_ARGUMENTS = {"dropout", "rank_dropout", "module_dropout"}  # of network_args: they change no shape
# Of the sections that decide what is learned, the options that do not, or that the data's digest or `_optimizer` stand for.
_NO_MATTER = {
    "train_data_dir", "reg_data_dir", "dataset_config", "in_json", "dataset_class", "debug_dataset", "cache_latents_to_disk",
    "cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk", "skip_cache_check", "cache_info", "vae_batch_size",
    "validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps", "tokenizer_cache_dir", "lowram", "highvram",
    "disable_mmap_load_safetensors", "max_data_loader_n_workers", "persistent_data_loader_workers", "ddp_timeout",
    "ddp_gradient_as_bucket_view", "ddp_static_graph", "gradient_checkpointing",
    "gradient_checkpointing_blocks", "cpu_offload_checkpointing",
    "split_batch_when_full", "optimizer_type", "use_8bit_adam", "use_lion_optimizer", "network_args", "seed",
    "save_embedding",
}  # fmt: skip
LENGTH = ("max_train_steps", "max_train_epochs")  # what further steps change
_SECTIONS = ("trained", "model", "network", "dataset", "optimizer", "training")
_NAMED = 5  # pictures
_MACHINE = {"torch": "PyTorch", "device": "the device", "precision": "the precision"}


@dataclass(frozen=True, kw_only=True)
class ResumeFinding:
    """One difference: an `error` keeps the training from going on. `old` and `new` are the two values as texts."""

    level: Literal["error", "warning"]
    field: str
    message: str
    old: str = ""
    new: str = ""


def settings(options: TrainOptions) -> dict[str, Any]:
    """The options as a state keeps them: without what is secret."""
    kept = {name: value for name, value in flat(options).items() if not OPTIONS_BY_NAME[name].secret}
    found: dict[str, Any] = json.loads(json.dumps(kept))
    return found


def resume_findings(
    info: StateInfo,
    options: TrainOptions,
    *,
    data: Mapping[str, Any] | None = None,
    machine: Mapping[str, Any] | None = None,
) -> list[ResumeFinding]:
    """What is another than when the state was saved, of all that decides the result; errors first.

    `data` is `data.plan.digest.data_facts` of what would be trained now, `machine` what `training.resuming.machine` says;
    None leaves that out. Empty: going on gives the bytes of a training that was never stopped (on the same machine).
    """
    found = [*_of_settings(info, settings(options))]
    found += _of_seed(info, options.training.seed)
    found += _of_data(info.table("data"), data) if data is not None else []
    found += _of_machine(info.table("machine"), machine) if machine is not None else []
    return sorted(found, key=lambda one: one.level != "error")


def of_schedule(schedule: str | None, total_steps: int) -> str:
    """What further steps do to the learning rate, where it is not the same all the way; else an empty text."""
    if str(schedule or "constant").startswith("constant"):
        return ""
    return (
        f"the learning rate follows its schedule ({schedule}) over all {total_steps} steps, so it does not go on from where it "
        "had come to."
    )


def _of_settings(info: StateInfo, new: Mapping[str, Any]) -> Iterator[ResumeFinding]:
    old = {option.name: json.loads(json.dumps(option.default)) for option in OPTIONS} | info.table("settings")
    for option in OPTIONS:
        decides = option.section in _SECTIONS and option.name not in _NO_MATTER and not option.secret
        if decides and old[option.name] != new[option.name]:
            yield _changed(option.name, old[option.name], new[option.name], fixed=option.name in FIXED)
    if _optimizer(old) != _optimizer(new):
        yield _changed("optimizer_type", _optimizer(old), _optimizer(new), fixed=True)
    before, now = _arguments(old["network_args"]), _arguments(new["network_args"])
    for name in sorted(before.keys() | now.keys()):
        if before.get(name) != now.get(name):
            yield _changed(
                "network_args", *(f"{name}={one.get(name)}" for one in (before, now)), fixed=name not in _LOOSE_ARGUMENTS
            )


def _of_seed(info: StateInfo, seed: int | None) -> Iterator[ResumeFinding]:
    """A seed that is not given is the state's, which may have been drawn."""
    if seed is not None and seed != info.manifest.get("seed"):
        yield _changed("seed", info.manifest.get("seed"), seed)


def _changed(field: str, old: Any, new: Any, *, fixed: bool = False) -> ResumeFinding:
    before, now = _text(old), _text(new)
    if fixed:
        message = f"{field} was {before} when the state was saved and is {now} now; that cannot be changed on the way."
    else:
        message = f"{field} was {before} when the state was saved and is {now} now: from here on it is another training."
    return ResumeFinding(level="error" if fixed else "warning", field=field, message=message, old=before, new=now)


def _of_data(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ResumeFinding]:
    if (old.get("digest"), old.get("settings")) == (new["digest"], new["settings"]):
        return
    before, now = ({str(one["name"]): one for one in each.get("folders", ())} for each in (old, new))
    for name in sorted(before.keys() | now.keys()):
        images = [str(one[name]["images"]) if name in one else "" for one in (before, now)]
        messages = []
        if name not in now:
            messages = [f"the folder {name} is not trained any more."]
        elif name not in before:
            messages = [f"the folder {name} was not trained when the state was saved."]
        elif before[name]["digest"] != now[name]["digest"]:
            messages = _of_pictures(name, before[name].get("pictures"), now[name].get("pictures"))
        for message in messages:
            yield ResumeFinding(level="warning", field="train_data_dir", message=message, old=images[0], new=images[1])
    if old.get("settings") != new["settings"]:
        message = "repeats, sizes, batches or the treatment of captions are not those of the time when the state was saved."
        yield ResumeFinding(level="warning", field="train_data_dir", message=message)


def _of_pictures(folder: str, old: Any, new: Any) -> list[str]:
    """Which pictures of a folder are gone, new or others, where both times are known by name."""
    old, new = ({} if not isinstance(each, dict) else each for each in (old, new))
    gone, added = sorted(old.keys() - new.keys()), sorted(new.keys() - old.keys())
    other = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    found = []
    if old and new and gone:
        found.append(f"the following images of {folder} were trained and are not there any more: {_some(gone)}.")
    if old and new and added:
        found.append(f"the following images of {folder} were not trained when the state was saved: {_some(added)}.")
    if old and new and other:
        found.append(f"the following images of {folder} or their captions have changed since: {_some(other)}.")
    return found or [f"the images or captions of {folder} are not those that were trained when the state was saved."]


def _some(names: list[str]) -> str:
    return ", ".join(names[:_NAMED]) + (f", … ({len(names)})" if len(names) > _NAMED else "")


def _of_machine(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[ResumeFinding]:
    for key, name in _MACHINE.items():
        if key in old and old[key] != new.get(key):
            before, now = _text(old[key]), _text(new.get(key))
            message = (
                f"{name} was {before} when the state was saved and is {now} now: the last digits of the result can differ."
            )
            yield ResumeFinding(level="warning", field="", message=message, old=before, new=now)
    if "processes" in old and old["processes"] != new.get("processes"):
        before, now = _text(old["processes"]), _text(new.get("processes"))
        message = f"{before} processes trained when the state was saved and {now} do now: the batches are others."
        yield ResumeFinding(level="warning", field="", message=message, old=before, new=now)


def _optimizer(values: Mapping[str, Any]) -> str:
    """The optimizer that is meant, by one name however it is written."""
    old = next((name for option, name in OLD_NAMES.items() if values[option]), None)
    return kind_of(str(old or values["optimizer_type"] or "AdamW")).name


def _arguments(given: Any) -> dict[str, str]:
    return {name.strip(): value.strip() for name, _, value in (str(one).partition("=") for one in given or ())}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value)
    if value is None or value == "":
        return "not given"
    return str(value).lower() if isinstance(value, bool) else str(value)
