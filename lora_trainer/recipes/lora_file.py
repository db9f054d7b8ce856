"""The run of a LoRA file, or of another of ours, from its metadata: ours tells all, kohya-ss' the most, others their shapes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..errors import LoraFileError
from ..foreign.json_text import parse_json
from ..foreign.reading import UnreadableError
from ..foreign.safetensors_header import Header
from ..modelfile import TITLES, classify
from ..networks import recipe as own
from ..networks.files import ranks
from ..networks.metadata import FROM_OPTIONS, SPEC_FROM_OPTIONS
from ..options.network_kinds import KINDS, find
from ..options.train import OPTIONS_BY_NAME
from .recipe import LORA, Origin, Recipe, Wanted, is_nothing
from .tables import from_kohya, from_record

_RESIZED = re.compile(
    r"(?:Dynamic resize with .* from (\d+)|dimension is resized from (\d+) to|split from DyLoRA, rank (\d+) to)"
)
_LONGEST = 4000  # characters of a text that is searched
_OPTIMIZER = re.compile(r"\s*([\w.]+)\s*(?:\((.*)\))?\s*", re.DOTALL)
_PRECISIONS = {"F16": "fp16", "BF16": "bf16", "F32": "float"}
_OTHER_FAMILIES = ("flux", "sd3", "lumina", "hunyuan", "anima", "sd_v3", "stable-diffusion-3", "wan", "chroma")
# Settings of the folder form that stand in the metadata beside each other, and their options.
_OF_DATA = {
    "batch_size_per_device": "train_batch_size", "resolution": "resolution", "enable_bucket": "enable_bucket",
    "bucket_no_upscale": "bucket_no_upscale", "min_bucket_reso": "min_bucket_reso", "max_bucket_reso": "max_bucket_reso",
    "color_aug": "color_aug", "flip_aug": "flip_aug", "random_crop": "random_crop", "shuffle_caption": "shuffle_caption",
    "keep_tokens": "keep_tokens",
}  # fmt: skip
_NOT_IN_KOHYAS = ("caption_extension", "bucket_reso_steps", "sample_every_n_steps", "save_every_n_steps")


def from_lora(name: str, header: Header) -> Recipe:
    """Read the recipe of a LoRA, or of a whole model or an embedding of ours, out of its header. Raises LoraFileError when it
    is another kind of file."""
    kind, _ = classify(header.shapes)
    told = _json(header.metadata.get(own.SETTINGS))
    if not header.shapes or (kind not in ("lora", "unknown") and not isinstance(told, dict)):
        title = TITLES.get(kind, "another file")
        raise LoraFileError(f"{name} is not a LoRA file: it is {title}.", advice="Choose a LoRA file, or a configuration.")
    recipe = Recipe(name=name, kind=LORA)
    metadata = header.metadata
    if isinstance(told, dict):
        _ours(recipe, metadata, told)
    elif metadata.get("ss_network_module") or metadata.get("ss_learning_rate"):
        _kohyas(recipe, metadata)
        _from_tensors(recipe, header)
    else:
        _nothing_told(recipe, header)
    _models(recipe, metadata)
    _whether_changed(recipe, metadata)
    return recipe


def _ours(recipe: Recipe, metadata: Mapping[str, str], told: dict[str, Any]) -> None:
    record, versions = (_table(metadata.get(key)) for key in (own.DATA, own.VERSIONS))
    recipe.maker = f"LoRA Trainer {versions.get('lora_trainer', '')}".strip()
    for key, value in told.items():
        declared = OPTIONS_BY_NAME.get(key)
        if declared is not None and declared.path and own.is_told(declared):
            for one in value if isinstance(value, list) else [value]:
                if key in ("pretrained_model_name_or_path", "vae"):
                    recipe.wanted[key] = Wanted(str(one))
                else:
                    recipe.take(key, value)
                    break
            continue
        if declared is not None and not own.is_told(declared):
            continue
        recipe.take(key, value)
    from_record(recipe, record)
    recipe.prompts = metadata.get(own.PROMPTS, "")
    recipe.origin = Origin(settings=told, data=record, versions=versions)


def _kohyas(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    said = metadata.get("ss_sd_scripts_commit_hash", "")
    recipe.maker = "LoRA Trainer" if "lora-trainer" in said else "kohya-ss"
    for entry in FROM_OPTIONS:
        key, _, option = entry.partition(":")
        raw = metadata.get(f"ss_{key}")
        if raw and OPTIONS_BY_NAME[option or key].many:  # as Python writes a list
            raw = raw.strip("()[]").replace(",", " ")
        recipe.take(f"ss_{key}", raw, option or key)
    for key, option in _OF_DATA.items():
        raw = metadata.get(f"ss_{key}", "").strip("()[]")
        sides = raw.replace(" ", "").split(",")
        recipe.take(f"ss_{key}", sides[0] if len(sides) == 2 and sides[0] == sides[1] else raw, option)
    recipe.take("ss_network_dim", metadata.get("ss_network_dim"), "network_dim")
    recipe.take("ss_network_alpha", metadata.get("ss_network_alpha"), "network_alpha")
    recipe.take("ss_max_train_steps", metadata.get("ss_max_train_steps"), "max_train_steps")
    recipe.take("ss_text_encoder_lr", metadata.get("ss_text_encoder_lr", "").strip("()[]").replace(",", " "), "text_encoder_lr")
    if metadata.get("ss_output_name") not in (None, "None", "last"):
        recipe.take("ss_output_name", metadata.get("ss_output_name"), "output_name")
    _network(recipe, metadata)
    _optimizer(recipe, metadata.get("ss_optimizer", ""))
    _modelspec(recipe, metadata)
    from_kohya(recipe, metadata)
    kept = ", ".join(_NOT_IN_KOHYAS)
    recipe.note(f"A file of kohya-ss does not tell these settings, which stay as the form starts with: {kept}.")
    _processes(recipe, metadata)


def _network(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    """The arguments, and a kind of network that is trained here."""
    module = metadata.get("ss_network_module", "")
    if not is_nothing(module) and find(module) is None:
        recipe.forget("network_module")
        known = ", ".join(kind.name for kind in KINDS)
        recipe.dropped[:] = [line for line in recipe.dropped if line.key != "ss_network_module"]
        recipe.drop("ss_network_module", module, f"this kind of network is not trained here; these are: {known}.")
        return
    told = _json(metadata.get("ss_network_args"))
    if isinstance(told, dict):
        given = [f"{key}={value}" for key, value in told.items() if key != "dropout" and not is_nothing(value)]
        recipe.take("ss_network_args", given, "network_args")


def _optimizer(recipe: Recipe, told: str) -> None:
    """`torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))`."""
    found = _OPTIMIZER.fullmatch(told[:_LONGEST])
    if is_nothing(told) or not found:
        return
    recipe.take("ss_optimizer", found[1].rpartition(".")[2], "optimizer_type")
    given = re.findall(r"(\w+)\s*=\s*(\([^)]*\)|\[[^\]]*\]|[^,]+)", found[2] or "")
    recipe.take("ss_optimizer", [f"{name}={value.strip().replace(' ', '')}" for name, value in given], "optimizer_args")


def _modelspec(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    for name in SPEC_FROM_OPTIONS:
        recipe.take(f"modelspec.{name}", metadata.get(f"modelspec.{name}"), f"metadata_{name}")
    title = metadata.get("modelspec.title", "")
    if title and not title.startswith("LoRA@") and title != recipe.options.get("output_name"):
        recipe.take("modelspec.title", title, "metadata_title")
    least, comma, most = metadata.get("modelspec.timestep_range", "").partition(",")
    if comma:
        recipe.take("modelspec.timestep_range", least, "min_timestep")
        recipe.take("modelspec.timestep_range", most, "max_timestep")
    if metadata.get("modelspec.prediction_type") in ("v", "v_prediction"):
        recipe.take("modelspec.prediction_type", True, "v_parameterization")


def _processes(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    each, total = metadata.get("ss_batch_size_per_device", ""), metadata.get("ss_total_batch_size", "")
    if each.isdecimal() and total.isdecimal() and int(each) and int(total) > int(each):
        recipe.note(
            f"It was trained on {int(total) // int(each)} cards at once, {total} images a step in all.",
            field="train_batch_size",
            advice="On one card, gradient_accumulation_steps of that number gives the same.",
        )


def _from_tensors(recipe: Recipe, header: Header) -> None:
    """What kohya's metadata does not say, but the tensors do: which parts were trained, and the precision."""
    texts, unet = (any(key.startswith(start) for key in header.shapes) for start in ("lora_te", "lora_unet"))
    if unet and not texts:
        recipe.take("tensors", True, "network_train_unet_only")
    elif texts and not unet:
        recipe.take("tensors", True, "network_train_text_encoder_only")
    common = Counter(header.dtypes.values()).most_common(1)
    if common and common[0][0] in _PRECISIONS:
        recipe.take("tensors", _PRECISIONS[common[0][0]], "save_precision")


def _nothing_told(recipe: Recipe, header: Header) -> None:
    recipe.note(
        "The file tells nothing of its training: its metadata were removed, or it never had any.",
        advice="What its tensors show was taken over; the rest stays as it is.",
    )
    found = Counter(rank for rank in ranks(header.shapes).values() if rank > 1 or header.dtypes)
    if found:
        recipe.take("tensors", found.most_common(1)[0][0], "network_dim")
        recipe.note("Its alpha stands among the tensors: check_lora shows it.", field="network_alpha")
    _from_tensors(recipe, header)
    _modelspec(recipe, header.metadata)


def _models(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    """The names and hashes of base model and VAE; whether it was made for a model that is trained here."""
    for option, name, short, whole in (
        ("pretrained_model_name_or_path", "ss_sd_model_name", "ss_sd_model_hash", "ss_new_sd_model_hash"),
        ("vae", "ss_vae_name", "ss_vae_hash", "ss_new_vae_hash"),
    ):
        said = recipe.wanted.get(option, Wanted()).name or metadata.get(name, "")
        if is_nothing(said) and is_nothing(metadata.get(short)):
            continue
        hashes = ["" if is_nothing(metadata.get(key)) else metadata[key].lower() for key in (short, whole)]
        recipe.wanted[option] = Wanted("" if is_nothing(said) else own.file_name(said), *hashes)
    family = f"{metadata.get('ss_base_model_version', '')} {metadata.get('modelspec.architecture', '')}".lower()
    if any(other in family for other in _OTHER_FAMILIES):
        recipe.miss(
            f"It was trained for another kind of model ({family.split()[0]}), which is not trained here.",
            field="pretrained_model_name_or_path",
            advice="The settings can be used with a model of Stable Diffusion 1, 2 or XL.",
        )


def _whether_changed(recipe: Recipe, metadata: Mapping[str, str]) -> None:
    """A file that a tool made of another, or of an earlier moment of the run."""
    resized = _RESIZED.search(metadata.get("ss_training_comment", "")[:_LONGEST])
    if resized:
        rank = next(filter(None, resized.groups()))
        recipe.note(
            f"The file was changed by a tool after its training, which had rank {rank}.",
            field="network_dim",
            advice="A new run gives the file as it was before.",
        )
        recipe.take("ss_training_comment", rank, "network_dim")
        recipe.forget("training_comment")
        recipe.take("ss_training_comment", metadata["ss_training_comment"].partition("; ")[2], "training_comment")
    if not is_nothing(metadata.get("modelspec.merged_from")):
        recipe.note("The file was merged from others: no training gives it.")
    done, total = metadata.get("ss_steps", ""), metadata.get("ss_max_train_steps", "")
    if done.isdecimal() and total.isdecimal() and 0 < int(done) < int(total):
        recipe.note(
            f"The file was saved at step {done} of {total}.",
            field="save_every_n_steps",
            advice=f"save_every_n_steps {done} saves a new run at that step, too.",
        )


def _table(text: str | None) -> dict[str, Any]:
    found = _json(text)
    return found if isinstance(found, dict) else {}


def _json(text: str | None) -> Any:
    try:
        return parse_json(text) if text and not is_nothing(text) else None
    except UnreadableError:
        return None
