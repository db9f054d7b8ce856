"""The metadata of a LoRA file: kohya's `ss_*` values and Stability's `modelspec.*` (SAI model spec 1.0.1). No torch.

All values are text, written as Python's `str` of the value; lists and dictionaries are JSON where kohya's are. The two hashes
(`sshs_*`) are added by `files.save`, which sees the bytes.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..options.trained import EMBEDDING, MODEL, WITH_NETWORK, WITH_WORD

if TYPE_CHECKING:
    from ..options.train import TrainOptions

IMPLEMENTATION = f"lora-trainer/{__version__}"

# With --no_metadata only these ss_* values stay: what a program must know to use the file.
NEEDED = (
    "ss_base_model_version", "ss_network_alpha", "ss_network_args", "ss_network_dim", "ss_network_module", "ss_v2",
)  # fmt: skip

# ss_* values that are options of the same name, or of the name behind the colon.
FROM_OPTIONS = (
    "adaptive_noise_scale", "cache_latents", "caption_dropout_every_n_epochs", "caption_dropout_rate",
    "caption_tag_dropout_rate", "clip_skip", "debiased_estimation:debiased_estimation_loss", "face_crop_aug_range", "fp8_base",
    "fp8_base_unet", "full_fp16", "gradient_accumulation_steps", "gradient_checkpointing", "huber_c", "huber_scale",
    "huber_schedule", "ip_noise_gamma", "ip_noise_gamma_random_strength", "learning_rate", "loss_type", "lowram",
    "lr_scheduler", "lr_warmup_steps", "max_grad_norm", "max_token_length", "max_validation_steps", "min_snr_gamma",
    "mixed_precision", "multires_noise_discount", "multires_noise_iterations", "network_dropout", "network_module",
    "noise_offset", "noise_offset_random_strength", "prior_loss_weight", "resize_interpolation", "scale_weight_norms", "seed",
    "training_comment", "unet_lr", "validate_every_n_epochs", "validate_every_n_steps", "validation_seed",
    "validation_split",
)  # fmt: skip
# modelspec.* values that are an option metadata_* and stand only when it is given.
SPEC_FROM_OPTIONS = (
    "author", "description", "license", "tags", "usage_hint", "trigger_phrase", "thumbnail", "merged_from", "preprocessor",
    "is_negative_embedding",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What only a running training knows. Made once; each saved file has its own `stem`, `step`, `epoch`, `finished_at`.

    `recipe` is `recipe.texts`' (what makes the run again). `compiled` is how the UNet was, "" where it was not.
    `base_hashes` and `vae_hashes` are (old, new) of `files.file_hashes`, or None when the model is no single file; `data` is
    the data plan's metadata; times are seconds since 1970; `epoch` is the number of finished epochs at a save by epochs or at
    the end, and of the epochs before the running one at a save by steps.
    """

    stem: str
    step: int
    epoch: int
    max_train_steps: int
    num_epochs: int
    network_dim: int
    network_alpha: float
    optimizer: str
    started_at: float
    finished_at: float
    session_id: int = field(default_factory=lambda: random.SystemRandom().randrange(10**9, 2**32))
    network_args: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    family: str = "sd1"
    v_parameterization: bool = False
    zero_terminal_snr: bool = False
    base_hashes: tuple[str, str] | None = None
    vae_hashes: tuple[str, str] | None = None
    num_validation_images: int = 0
    seed: int | None = None
    recipe: Mapping[str, str] = field(default_factory=dict)
    compiled: str = ""


def build(options: TrainOptions, facts: Facts) -> dict[str, str]:
    """Return the whole metadata of one file (less the hashes), all values text.

    With `no_metadata`, only what programs need (NEEDED) and modelspec. `ss_output_name` is the file's own stem, so that the
    Web UI finds each saved file under its own name.
    """
    values = _flat(options)
    training = _training(values, facts)
    if values["trains"] not in WITH_NETWORK:
        no_use = ("ss_network_", "ss_unet_lr", "ss_text_encoder_lr")
        training = {key: value for key, value in training.items() if not key.startswith(no_use)}
    if values["trains"] in WITH_WORD:
        training |= {f"ss_{name}": str(values[name]) for name in ("token_string", "init_word", "num_vectors_per_token")}
    if values["trains"] == MODEL:
        training |= {f"ss_{name}": str(values[name]) for name in _OF_MODELS if values[name] not in (None, False)}
    if values["no_metadata"]:
        needed = {*NEEDED, "ss_zero_terminal_snr"} if facts.zero_terminal_snr else NEEDED  # pictures are drawn by it
        training = {key: value for key, value in training.items() if key in needed}
        return {**training, **modelspec(options, facts)}
    return {**training, **modelspec(options, facts), **facts.recipe}


def _training(values: Mapping[str, Any], facts: Facts) -> dict[str, str]:
    result: dict[str, Any] = {}
    for entry in FROM_OPTIONS:
        key, _, option = entry.partition(":")
        result[f"ss_{key}"] = values[option or key]
    base = values["pretrained_model_name_or_path"]
    result |= {
        "ss_base_model_version": base_model_version(facts.family, facts.v_parameterization),
        "ss_epoch": facts.epoch,
        "ss_max_train_steps": facts.max_train_steps,
        "ss_network_alpha": facts.network_alpha,
        "ss_network_dim": facts.network_dim,
        "ss_num_epochs": facts.num_epochs,
        "ss_num_validation_images": facts.num_validation_images,
        "ss_optimizer": facts.optimizer,
        "ss_output_name": facts.stem,
        "ss_sd_model_name": Path(base).name if base else None,
        "ss_sd_scripts_commit_hash": f"({IMPLEMENTATION})",
        "ss_session_id": facts.session_id,
        "ss_steps": facts.step,
        "ss_text_encoder_lr": _rates(values["text_encoder_lr"]),
        "ss_training_finished_at": f"{facts.finished_at:.6f}",
        "ss_training_started_at": f"{facts.started_at:.6f}",
        "ss_v2": facts.family == "sd2",  # also where the option was left out: the Web UI goes by it
        "ss_zero_terminal_snr": facts.zero_terminal_snr,  # also where the model's own mark says so
    }
    if values["torch_compile"]:
        result["ss_torch_compile"] = facts.compiled or False  # it may have been found not to pay
    if values["ema_decay"]:
        result["ss_ema_decay"] = values["ema_decay"]
    if _makes_its_rate(values):
        result["ss_lr_scheduler"] = f"adafactor:{values['learning_rate']}"  # the schedule that counts
    if facts.seed is not None:
        result["ss_seed"] = facts.seed
    if values["network_args"]:
        result["ss_network_args"] = json.dumps({**facts.network_args, "dropout": values["network_dropout"]})
    if facts.base_hashes:
        result["ss_sd_model_hash"], result["ss_new_sd_model_hash"] = facts.base_hashes
    if values["vae"]:
        result["ss_vae_name"] = Path(values["vae"]).name
        if facts.vae_hashes:
            result["ss_vae_hash"], result["ss_new_vae_hash"] = facts.vae_hashes
    return {**{key: str(value) for key, value in result.items()}, **facts.data}


_OF_MODELS = (
    "train_text_encoder", "stop_text_encoder_training", "learning_rate_te", "learning_rate_te1", "learning_rate_te2",
    "block_lr", "no_token_padding",
)  # fmt: skip


def modelspec(options: TrainOptions, facts: Facts) -> dict[str, str]:
    """Return the `modelspec.*` values (https://github.com/Stability-AI/ModelSpec, 1.0.1)."""
    values = _flat(options)
    moment = datetime.fromtimestamp(int(facts.finished_at))
    what = {EMBEDDING: "/textual-inversion", MODEL: ""}.get(values["trains"], "/lora")
    is_network = values["trains"] in WITH_NETWORK
    called = {EMBEDDING: "TextualInversion", MODEL: "Checkpoint"}.get(values["trains"], "LoRA")
    spec: dict[str, Any] = {
        "architecture": f"{ARCHITECTURES[facts.family, facts.v_parameterization]}{what}",
        "date": moment.isoformat(),
        "implementation": "diffusers" if is_network and facts.family != "sdxl" else _STABILITY,
        "implementation_version": IMPLEMENTATION,
        "prediction_type": "v" if facts.v_parameterization else "epsilon",
        "resolution": _resolution(values["resolution"], facts),
        "sai_model_spec": "1.0.1",
        "title": values["metadata_title"] or values["output_name"] or f"{called}@{facts.finished_at}",
    }
    if values["trains"] in WITH_WORD:
        spec["trigger_phrase"] = values["token_string"]
    if values["clip_skip"] is not None:
        spec["encoder_layer"] = values["clip_skip"]
    if values["min_timestep"] is not None or values["max_timestep"] is not None:
        least, most = values["min_timestep"], values["max_timestep"]
        spec["timestep_range"] = f"{0 if least is None else least},{1000 if most is None else most}"
    spec |= {key: values[f"metadata_{key}"] for key in SPEC_FROM_OPTIONS if values[f"metadata_{key}"]}
    return {f"modelspec.{key}": str(value) for key, value in spec.items()}


def base_model_version(family: str, v_parameterization: bool) -> str:
    """`ss_base_model_version`, by which the Web UI tells families apart."""
    if family == "sdxl":
        return "sdxl_base_v1-0"
    return f"sd_v{2 if family == 'sd2' else 1}{'_v' if v_parameterization else ''}"


def optimizer_text(optimizer_class: type, arguments: Mapping[str, Any]) -> str:
    """`ss_optimizer`: the class, and its arguments in brackets when there are any."""
    name = f"{optimizer_class.__module__}.{optimizer_class.__qualname__}"
    given = ",".join(f"{key}={value}" for key, value in arguments.items())
    return f"{name}({given})" if given else name


_STABILITY = "https://github.com/Stability-AI/generative-models"
ARCHITECTURES = {
    ("sd1", False): "stable-diffusion-v1",
    ("sd1", True): "stable-diffusion-v1",
    ("sd2", False): "stable-diffusion-v2-512",
    ("sd2", True): "stable-diffusion-v2-768-v",
    ("sdxl", False): "stable-diffusion-xl-v1-base",
    ("sdxl", True): "stable-diffusion-xl-v1-base",
}


def _resolution(given: Any, facts: Facts) -> str:
    """`WIDTHxHEIGHT` of the option resolution ("512" or "512,768"), or of the family when it is not given."""
    if not given:
        given = 1024 if facts.family == "sdxl" else 768 if facts.family == "sd2" and facts.v_parameterization else 512
    parts = [part.strip() for part in given.split(",")] if isinstance(given, str) else given
    sides = list(parts) if isinstance(parts, Sequence) else [parts]
    return f"{sides[0]}x{sides[-1]}"


def _rates(given: Any) -> Any:
    """One rate as a number, several as a list, as kohya writes them."""
    if isinstance(given, Sequence):
        return given[0] if len(given) == 1 else list(given)
    return given


def _makes_its_rate(values: Mapping[str, Any]) -> bool:
    from ..options.optimizer_kinds import makes_its_rate

    return makes_its_rate(values["optimizer_type"], values["optimizer_args"])


def _flat(options: TrainOptions) -> dict[str, Any]:
    from ..options.train import flat

    return flat(options)
