"""Rules that more than one option decides, as data: which options, what is wrong, what to do.

Those of what is trained, besides a network, stand in `trained_rules`.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator

from . import memory_rules, trained_rules
from .optimizer_kinds import OLD_NAMES, kind_of, makes_its_rate
from .rule import Rule, Values
from .rule import exclude as _exclude
from .rule import needs as _needs
from .trained import MODEL, NETWORK, WITH_NETWORK

IMPLIED = {  # an option -> the option that is on with it
    "cache_latents_to_disk": "cache_latents",
    "cache_text_encoder_outputs_to_disk": "cache_text_encoder_outputs",
    "diffusers_xformers": "xformers",
}

NO_PROMPTS = "Sample pictures are asked for, but there are no prompts."
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}", re.ASCII)


def _required(name: str, what: str, advice: str) -> Rule:
    """Nothing is trained without it (debug_dataset trains nothing)."""
    return Rule((name,), lambda v: not v[name] and not v["debug_dataset"], f"{what} is missing ({name}).", advice)


def _needs_logs(option: str) -> Rule:
    return Rule(
        (option, "log_with", "logging_dir"),
        lambda v: bool(v[option]) and not v["log_with"] and not v["logging_dir"],
        f"{option} has no effect without logs.",
        f"Give logging_dir or log_with too, or leave {option} out.",
    )


def _not_fused(option: str, broken: Callable[[Values], bool], why: str) -> Rule:
    advice = "Leave fused_backward_pass out: for a LoRA it saves little."
    return Rule(("fused_backward_pass", option), lambda v: v["fused_backward_pass"] and broken(v), why, advice)


def _not_assignment(name: str, example: str) -> Rule:
    return Rule(
        (name,),
        lambda v: any(not item.partition("=")[0].strip() or "=" not in item for item in v[name] or ()),
        f"{name} has to hold name=value entries, but it is {{{name}}}.",
        f"Write for example {example}, without spaces around the equals sign.",
    )


def _endless(name: str) -> Rule:
    """A number among name=value entries is NaN or infinite (as 1e999 is)."""
    return Rule(
        (name,),
        lambda v: any(_is_endless(part) for item in v[name] or () for part in item.partition("=")[2].split(",")),
        f"{name} holds a number that is not finite: {{{name}}}.",
        "Write an ordinary number.",
    )


def _is_endless(text: str) -> bool:
    try:
        return not math.isfinite(float(text.strip(" ()[]'\"")))
    except ValueError:
        return False


def _no_data(values: Values) -> bool:
    return not (values["train_data_dir"] or values["dataset_config"] or values["in_json"])


def _no_rate(values: Values) -> bool:
    """Every part that is trained has a learning rate of 0."""
    if values["trains"] == MODEL:
        return not (values["learning_rate"] or values["block_lr"] or trained_rules.trains_text(values))
    if values["trains"] not in WITH_NETWORK:
        return not values["learning_rate"]
    unet = values["learning_rate"] if values["unet_lr"] is None else values["unet_lr"]
    texts = values["text_encoder_lr"] or (values["learning_rate"],)
    rates = [] if values["network_train_text_encoder_only"] else [unet]
    rates += [] if values["network_train_unet_only"] else texts
    return bool(rates) and not any(rates)


def _trains_text(values: Values) -> bool:
    return trained_rules.trains_text(values) or (
        values["trains"] == NETWORK
        and not values["network_train_unet_only"]
        and any(values["text_encoder_lr"] or (values["learning_rate"],))
    )


def _is_scheduled(values: Values) -> bool:
    """Whether lr_scheduler has an effect: neither a class is given, nor an optimizer that makes its rate by itself."""
    return not (values["lr_scheduler_type"] or makes_its_rate(values["optimizer_type"], values["optimizer_args"]))


def _varies(values: Values) -> bool:
    """Whether the weights that take part in a step differ from step to step."""
    given = dict(item.partition("=")[::2] for item in values["network_args"] or ())
    return values["network_module"] == "networks.dylora" or given.get("module_dropout", "0").strip() not in ("", "0", "0.0")


def _sizes(values: Values) -> list[int]:
    """The sides of the resolution in pixels; one that fits everything when it is given elsewhere."""
    return [int(size) for size in (values["resolution"] or "512").split(",")]


def _undivided(values: Values) -> bool:
    """Without buckets every image gets this very size."""
    return not values["enable_bucket"] and any(size % 8 for size in _sizes(values))


def _bucket_limits(values: Values) -> tuple[int, int]:
    """Smallest and largest side of a bucket, as multiples of the step; (0, infinity) when another place decides."""
    if not values["enable_bucket"] or values["dataset_config"] or not values["resolution"]:
        return 0, sys.maxsize
    step = values["bucket_reso_steps"]
    return values["min_bucket_reso"] // step * step, -(-values["max_bucket_reso"] // step) * step


RULES: tuple[Rule, ...] = (
    _required("pretrained_model_name_or_path", "The base model", "Choose the .safetensors or .ckpt file to train on."),
    Rule(
        ("network_module",),
        lambda v: v["trains"] in WITH_NETWORK and not v["network_module"] and not v["debug_dataset"],
        "The kind of network is missing (network_module).",
        "Give networks.lora for a LoRA.",
    ),
    _required("output_dir", "The folder for the result", "Name a folder; it is made when it does not exist."),
    Rule(
        ("output_name", "trains"),
        lambda v: not v["output_name"] and not v["debug_dataset"] and v["trains"] != MODEL,
        "The name of the result is missing (output_name).",
        "Give the LoRA a name, without ending: it is used as <lora:name:1>.",
    ),
    Rule(
        ("train_data_dir", "dataset_config", "in_json"),
        _no_data,
        "There are no training images: none of train_data_dir, dataset_config and in_json is given.",
        "Name the folder that holds your image folders, or a data set file.",
    ),
    Rule(
        ("resolution", "dataset_config"),
        lambda v: not v["resolution"] and not v["dataset_config"] and not _no_data(v),
        "The training resolution is missing (resolution).",
        "Give 512 for Stable Diffusion 1, 1024 for XL.",
    ),
    Rule(
        ("resolution",),
        lambda v: bool(v["resolution"]) and not v["dataset_config"] and _undivided(v),
        "{resolution} cannot be divided by 8, which every size has to be when images are not sorted into buckets.",
        "Choose for example 512, or switch enable_bucket on.",
    ),
    Rule(
        ("min_bucket_reso", "resolution", "bucket_reso_steps"),
        lambda v: _bucket_limits(v)[0] > min(_sizes(v)),
        "min_bucket_reso {min_bucket_reso} is larger than the resolution {resolution}.",
        "Make it smaller, or raise the resolution.",
    ),
    Rule(
        ("max_bucket_reso", "resolution", "bucket_reso_steps"),
        lambda v: _bucket_limits(v)[1] < max(_sizes(v)),
        "max_bucket_reso {max_bucket_reso} is smaller than the resolution {resolution}.",
        "Make it larger, or lower the resolution.",
    ),
    Rule(
        ("bucket_reso_steps",),
        lambda v: v["bucket_reso_steps"] % 8 != 0,
        "{bucket_reso_steps} cannot be divided by 8.",
        "64 is right for nearly everything.",
    ),
    Rule(
        ("max_bucket_reso", "min_bucket_reso"),
        lambda v: v["max_bucket_reso"] < v["min_bucket_reso"],
        "max_bucket_reso {max_bucket_reso} is smaller than min_bucket_reso {min_bucket_reso}.",
        "Make max_bucket_reso the larger one.",
    ),
    Rule(
        ("caption_separator",),
        lambda v: v["caption_separator"] == "",
        "caption_separator is empty, so that captions cannot be taken apart.",
        "Leave it out to use a comma.",
    ),
    _exclude(
        "cache_latents",
        "random_crop",
        "random_crop changes the images at each use, so that their latents cannot be cached.",
        "Switch cache_latents or random_crop off.",
    ),
    _exclude(
        "cache_latents",
        "face_crop_aug_range",
        "face_crop_aug_range changes the images at each use, so that their latents cannot be cached.",
        "Switch cache_latents off, or leave face_crop_aug_range out.",
    ),
    _exclude(
        "cache_latents",
        "color_aug",
        "color_aug changes the images at each use, so that their latents cannot be cached.",
        "Switch cache_latents or color_aug off.",
    ),
    Rule(
        ("cache_text_encoder_outputs", "network_train_unet_only"),
        lambda v: v["cache_text_encoder_outputs"] and v["trains"] == NETWORK and _trains_text(v),
        "cache_text_encoder_outputs does not go with training the text encoders: what they make of a caption changes.",
        "Give network_train_unet_only too, or leave cache_text_encoder_outputs out.",
    ),
    Rule(
        ("cache_text_encoder_outputs", "train_text_encoder"),
        lambda v: v["cache_text_encoder_outputs"] and v["trains"] == MODEL and _trains_text(v),
        "cache_text_encoder_outputs does not go with training the text encoders: what they make of a caption changes.",
        "Leave train_text_encoder or cache_text_encoder_outputs out.",
    ),
    _exclude(
        "network_train_unet_only",
        "network_train_text_encoder_only",
        "network_train_unet_only and network_train_text_encoder_only exclude each other: nothing would be left to train.",
        "Give one of them, or neither to train both parts.",
    ),
    Rule(
        ("learning_rate", "unet_lr", "text_encoder_lr"),
        _no_rate,
        "the learning rate of every part that is trained is 0, so that nothing would be learned.",
        "1e-4 is a good start for LoRA.",
    ),
    Rule(
        ("lr_warmup_steps", "lr_scheduler"),
        lambda v: bool(v["lr_warmup_steps"]) and v["lr_scheduler"] == "constant" and _is_scheduled(v),
        "lr_scheduler constant has no warm-up, but lr_warmup_steps is {lr_warmup_steps}.",
        "Use lr_scheduler constant_with_warmup, or lr_warmup_steps 0.",
    ),
    _exclude(
        "xformers", "mem_eff_attn", "Two kinds of attention are chosen.", "Choose one of xformers, sdpa and mem_eff_attn."
    ),
    _exclude(
        "xformers",
        "deterministic",
        "xformers computes gradients in no fixed order, so that nothing could be repeated exactly.",
        "Use sdpa instead of xformers, or leave deterministic out.",
    ),
    _exclude("xformers", "sdpa", "Two kinds of attention are chosen.", "Choose one of xformers, sdpa and mem_eff_attn."),
    _needs("dim_from_weights", "network_weights"),
    Rule(
        ("ddp_static_graph", "network_module", "network_args"),
        lambda v: v["ddp_static_graph"] and _varies(v),
        "ddp_static_graph does not go with DyLoRA or module_dropout: other weights take part in each step.",
        "Leave ddp_static_graph out.",
    ),
    *memory_rules.RULES,
    _needs("base_weights_multiplier", "base_weights"),
    Rule(
        ("log_with", "logging_dir"),
        lambda v: v["log_with"] in ("tensorboard", "all") and not v["logging_dir"],
        "log_with {log_with} has no folder to write into.",
        "Give logging_dir, for example logs.",
    ),
    *(_needs(f"huggingface_{name}", "huggingface_repo_id") for name in ("repo_type", "path_in_repo", "repo_visibility")),
    _needs("async_upload", "huggingface_repo_id"),
    _needs("save_state_to_huggingface", "huggingface_repo_id"),
    Rule(
        ("save_state_to_huggingface",),
        lambda v: v["save_state_to_huggingface"] and not (v["save_state"] or v["save_state_on_train_end"]),
        "save_state_to_huggingface has no effect without save_state or save_state_on_train_end.",
        "Give save_state too, or leave save_state_to_huggingface out.",
    ),
    _needs("resume_from_huggingface", "resume"),
    Rule(
        ("huggingface_repo_id",),
        lambda v: bool(v["huggingface_repo_id"]) and not _REPOSITORY.fullmatch(v["huggingface_repo_id"]),
        "{huggingface_repo_id} is no name of a repository on Hugging Face.",
        "Write your name there, a slash and the repository: me/frogs.",
    ),
    _needs("log_prefix", "logging_dir"),
    *(_needs_logs(name) for name in ("log_tracker_name", "log_tracker_config", "log_config")),
    Rule(
        ("base_weights_multiplier", "base_weights"),
        lambda v: bool(v["base_weights"]) and len(v["base_weights_multiplier"] or ()) > len(v["base_weights"]),
        "base_weights_multiplier has more numbers than base_weights has files.",
        "Give one number for each file.",
    ),
    _needs("conditioning_data_dir", "masked_loss"),
    _needs("adaptive_noise_scale", "noise_offset"),
    _needs("noise_offset_random_strength", "noise_offset"),
    _needs("ip_noise_gamma_random_strength", "ip_noise_gamma"),
    _needs("scale_v_pred_loss_like_noise_pred", "v_parameterization"),
    Rule(
        ("min_timestep", "max_timestep"),
        lambda v: (v["min_timestep"] or 0) >= (1000 if v["max_timestep"] is None else v["max_timestep"]),
        "min_timestep {min_timestep} is not below max_timestep {max_timestep}, so that no noise level is left.",
        "The range goes from 0 to 1000.",
    ),
    Rule(
        ("full_fp16", "mixed_precision"),
        lambda v: v["full_fp16"] and v["mixed_precision"] != "fp16",
        "full_fp16 needs mixed_precision fp16.",
    ),
    Rule(
        ("full_bf16", "mixed_precision"),
        lambda v: v["full_bf16"] and v["mixed_precision"] != "bf16",
        "full_bf16 needs mixed_precision bf16.",
    ),
    Rule(
        ("sample_prompts", "sample_every_n_steps", "sample_every_n_epochs", "sample_at_first"),
        lambda v: (
            bool(v["sample_every_n_steps"] or v["sample_every_n_epochs"] or v["sample_at_first"]) and not v["sample_prompts"]
        ),
        NO_PROMPTS,
        "Name a text file with one prompt a line in sample_prompts.",
    ),
    Rule(
        ("use_8bit_adam", "optimizer_type"),
        lambda v: v["use_8bit_adam"] and v["optimizer_type"] != OLD_NAMES["use_8bit_adam"],
        "use_8bit_adam and optimizer_type {optimizer_type} contradict each other.",
        "use_8bit_adam is an old name for optimizer_type AdamW8bit: give only optimizer_type.",
    ),
    Rule(
        ("use_lion_optimizer", "optimizer_type"),
        lambda v: v["use_lion_optimizer"] and v["optimizer_type"] != OLD_NAMES["use_lion_optimizer"],
        "use_lion_optimizer and optimizer_type {optimizer_type} contradict each other.",
        "use_lion_optimizer is an old name for optimizer_type Lion: give only optimizer_type.",
    ),
    _not_fused(
        "optimizer_type",
        lambda v: kind_of(v["optimizer_type"]).whole,
        "fused_backward_pass does not go with {optimizer_type}: its step needs all gradients at once.",
    ),
    _not_fused(
        "gradient_accumulation_steps",
        lambda v: v["gradient_accumulation_steps"] > 1,
        "fused_backward_pass does not go with gradient_accumulation_steps {gradient_accumulation_steps}: a step has one batch.",
    ),
    _not_fused(
        "mixed_precision",
        lambda v: v["mixed_precision"] == "fp16",
        "fused_backward_pass does not go with mixed_precision fp16: all gradients have to be scaled back first.",
    ),
    Rule(
        ("scale_weight_norms", "optimizer_type"),
        lambda v: bool(v["scale_weight_norms"]) and kind_of(v["optimizer_type"]).averages,
        "scale_weight_norms does not go with {optimizer_type}: the weights that it changes are not those that are saved.",
        "Leave scale_weight_norms out, or choose another optimizer.",
    ),
    _not_assignment("optimizer_args", "weight_decay=0.01"),
    _not_assignment("lr_scheduler_args", "num_cycles=2"),
    _endless("optimizer_args"),
    _endless("lr_scheduler_args"),
    *trained_rules.RULES,
)


def broken_rules(values: Values, known_bad: set[str]) -> Iterator[Rule]:
    """The rules that `values` break; those about an option in `known_bad`, whose value was refused already, are left out."""
    for rule in RULES:
        if not known_bad.intersection(rule.fields) and rule.broken(values):
            yield rule
