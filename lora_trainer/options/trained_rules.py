"""Rules about what is trained: what a kind of training needs, and what means nothing to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .rule import Rule, Values
from .trained import BUNDLED, EMBEDDING, MODEL, NETWORK, PIVOTAL, WITH_NETWORK, WITH_WORD

# Which kinds of training an option means something to. Those of _SHAPE have values in every form and preset, also where unused.
_OF_WORDS = ("token_string", "init_word", "num_vectors_per_token", "weights", "use_object_template", "use_style_template")
_OF_NETWORKS = (
    "network_weights", "dim_from_weights", "network_args", "network_dropout", "network_train_unet_only",
    "network_train_text_encoder_only", "unet_lr", "text_encoder_lr",
)  # fmt: skip
_OF_CONSTANT_TEXTS = ("cache_text_encoder_outputs", "cache_text_encoder_outputs_to_disk")
_OF_BOTH = ("embedding_lr", "stop_embedding_training", "save_embedding")
_OF_MODELS = (
    "train_text_encoder", "stop_text_encoder_training", "learning_rate_te", "learning_rate_te1", "learning_rate_te2",
    "block_lr", "no_token_padding", "use_safetensors", "shard_model",
)  # fmt: skip
_BESIDE_A_MODEL = (
    "base_weights", "base_weights_multiplier", "scale_weight_norms", "fp8_base", "fp8_base_unet", "blocks_to_swap",
    "save_live_every_n_steps",
)  # fmt: skip
_SHAPE = ("network_module", "network_dim", "network_alpha")
_KINDS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_WORDS, WITH_WORD),
    **dict.fromkeys(_OF_NETWORKS, WITH_NETWORK),
    **dict.fromkeys(_OF_CONSTANT_TEXTS, (NETWORK, MODEL)),
    **dict.fromkeys(_OF_BOTH, (PIVOTAL,)),
    "vectors_per_layer": (EMBEDDING,),
    **dict.fromkeys(_OF_MODELS, (MODEL,)),
    **dict.fromkeys(_BESIDE_A_MODEL, (NETWORK, EMBEDDING, PIVOTAL)),
}
_DEFAULTS = {"num_vectors_per_token": 1, "save_embedding": BUNDLED}

# Options of other trainings that do not go with that of a whole model: why, and what to do instead.
_EIGHT_BITS = (
    "A whole model cannot be trained in 8 bits: they are too few for weights that change a little at each step.",
    "Use mixed_precision bf16.",
)
_NOT_WHOLE = {
    "fp8_base": _EIGHT_BITS,
    "fp8_base_unet": _EIGHT_BITS,
    "blocks_to_swap": (
        "blocks_to_swap does not go with the training of a whole model: all its weights change, and stay on the card.",
        "Use fused_backward_pass to save memory.",
    ),
    "scale_weight_norms": (
        "scale_weight_norms limits what is added to a model, and nothing is where the whole model is trained.",
        "Leave scale_weight_norms out.",
    ),
    "base_weights": (
        "base_weights does not go with the training of a whole model: the LoRA would become a part of it.",
        "Merge it first with merge_lora, and train the result.",
    ),
    "save_live_every_n_steps": (
        "save_live_every_n_steps would write a whole checkpoint each time.",
        "Use save_every_n_steps.",
    ),
}
FOLDERS = ("diffusers", "diffusers_safetensors")  # values of save_model_as that are no single file
BLOCKS = 23  # of SDXL's UNet: values of block_lr


def only_for(option: str) -> tuple[str, ...]:
    """The kinds of training that an option is for: the page shows it with no other. () for those of every kind."""
    return WITH_NETWORK if option in _SHAPE else _KINDS.get(option, ())


def shown_in_form(values: Mapping[str, Any], identifier: str = "") -> dict[str, Any]:
    """The form's values less those of options that it does not show for the kind of training that is chosen.

    The word of an embedding is by default the name that the person gave the result, by which the Web UI knows it; that of a
    LoRA the `identifier`, which captions have.
    """
    trains = values.get("trains") or NETWORK
    shown = {name: value for name, value in values.items() if trains in (only_for(name) or (trains,))}
    if trains == EMBEDDING:
        shown["token_string"] = shown.get("token_string") or values.get("output_name")
    if trains == PIVOTAL:
        shown["token_string"] = shown.get("token_string") or identifier
    return shown


def kind_meant(values: Mapping[str, Any]) -> str:
    """The kind of training where nobody says it: with a word a LoRA learns that, too."""
    return PIVOTAL if values.get("token_string") else NETWORK


def trains_text(values: Values) -> bool:
    """Whether a text encoder of a whole model is trained."""
    rates = [values[name] for name in ("learning_rate_te", "learning_rate_te1", "learning_rate_te2")]
    steps, own = values["stop_text_encoder_training"], [rate for rate in rates if rate is not None]
    return (
        values["trains"] == MODEL
        and bool(values["train_text_encoder"])
        and (steps is None or steps > 0)
        and (any(own) or (not own and bool(values["learning_rate"])))
    )


def block_rates(text: str | None) -> tuple[float, ...]:
    """The rates of block_lr; none where it is not given. Raises ValueError for what is no rate."""
    rates = tuple(float(part) for part in text.split(",")) if text else ()
    if any(not 0 <= rate < math.inf for rate in rates):
        raise ValueError(text)
    return rates


def _wrong_blocks(values: Values) -> bool:
    try:
        return bool(values["block_lr"]) and len(block_rates(values["block_lr"])) != BLOCKS
    except ValueError:
        return True


def _is_given(values: Values, option: str) -> bool:
    return values[option] not in (None, False, (), "", 0, _DEFAULTS.get(option)) or (
        option.startswith("learning_rate_te") and values[option] is not None
    )


def _alone(option: str, kinds: tuple[str, ...]) -> Rule:
    """`option` means nothing when something else than one of `kinds` is trained."""
    return Rule(
        (option, "trains"),
        lambda v: v["trains"] not in kinds and _is_given(v, option) and not (v["trains"] == MODEL and option in _NOT_WHOLE),
        f"{option} has no effect when {{trains}} is trained.",
        f"Give trains {' or '.join(kinds)}, or leave {option} out.",
    )


def _not_whole(option: str) -> Rule:
    return Rule((option, "trains"), lambda v: v["trains"] == MODEL and _is_given(v, option), *_NOT_WHOLE[option])


def _needs_text(option: str) -> Rule:
    return Rule(
        (option, "train_text_encoder"),
        lambda v: v["trains"] == MODEL and v[option] is not None and v[option] != -1 and not v["train_text_encoder"],
        f"{option} has no effect without train_text_encoder.",
        f"Give train_text_encoder too, or leave {option} out.",
    )


RULES = (
    Rule(
        ("token_string",),
        lambda v: v["trains"] in WITH_WORD and not (v["token_string"] or "").strip() and not v["debug_dataset"],
        "The word that is learned is missing (token_string).",
        "Give a word that captions hold, for an embedding the same as the result's name, for example frog-emb.",
    ),
    Rule(
        ("token_string",),
        lambda v: v["trains"] == PIVOTAL and "." in (v["token_string"] or "") and v["save_embedding"] == BUNDLED,
        "The word {token_string} has a dot: in a LoRA's file the Web UI reads a word's name up to the first one.",
        "Take another word, or save_embedding beside.",
    ),
    Rule(
        ("use_style_template", "use_object_template"),
        lambda v: v["use_object_template"] and v["use_style_template"],
        "use_object_template and use_style_template exclude each other.",
        "Give use_object_template for a thing, use_style_template for a way of painting.",
    ),
    Rule(
        ("init_word", "weights"),
        lambda v: bool(v["init_word"]) and bool(v["weights"]),
        "init_word has no effect: the vectors begin with those of weights.",
        "Give one of them.",
    ),
    *(_alone(option, kinds) for option, kinds in _KINDS.items()),
    *(_not_whole(option) for option in _NOT_WHOLE),
    *(
        _needs_text(option)
        for option in ("stop_text_encoder_training", "learning_rate_te", "learning_rate_te1", "learning_rate_te2")
    ),
    Rule(
        ("block_lr",),
        _wrong_blocks,
        "block_lr has to be 23 learning rates with commas between them, but it is {block_lr}.",
        "Write one for each block of the UNet of Stable Diffusion XL; 0 leaves a block as it is.",
    ),
    Rule(
        ("no_token_padding", "max_token_length"),
        lambda v: v["no_token_padding"] and (v["max_token_length"] or 75) > 75,
        "no_token_padding does not go with max_token_length {max_token_length}: long captions are read in parts of 75 tokens.",
        "Leave one of them out.",
    ),
    Rule(
        ("ddp_static_graph", "stop_text_encoder_training"),
        lambda v: v["ddp_static_graph"] and v["trains"] == MODEL and (v["stop_text_encoder_training"] or 0) > 0,
        "ddp_static_graph does not go with stop_text_encoder_training: other weights take part in later steps.",
        "Leave ddp_static_graph out.",
    ),
    Rule(
        ("save_model_as", "trains"),
        lambda v: v["trains"] != MODEL and v["save_model_as"] in FOLDERS,
        "save_model_as {save_model_as} is for whole models: what is trained here is one file.",
        "Give save_model_as safetensors.",
    ),
    Rule(
        ("save_model_as", "trains"),
        lambda v: v["trains"] == MODEL and v["save_model_as"] == "pt",
        "save_model_as pt is no format of whole models.",
        "Give safetensors, ckpt, diffusers or diffusers_safetensors.",
    ),
)
