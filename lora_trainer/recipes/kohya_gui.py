"""The configurations that kohya_ss' GUI saves (.json), and its own defaults (config.toml): its names for our options.

What it does with each value before it starts sd-scripts is done here too: percent become shares, 0 means "not given", kinds
of LoRA become a network module with arguments.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from typing import Any

from ..errors import InputError, InputErrors
from ..options.cli import given_options
from ..options.resolve import ALIASES
from .gui_names import (
    ACCELERATE,
    FOR_NETWORK,
    GUI_SECTIONS,
    LYCORIS,
    MARKS,
    NETWORKS,
    NOT_FOR_LORA,
    OTHER_MODELS,
    OTHERS,
    RENAMED,
    TRAINED_ELSEWHERE,
    ZERO_IS_NOTHING,
    Network,
)
from .recipe import GUI, Recipe, is_nothing


def is_gui(values: Mapping[str, Any]) -> bool:
    """Whether these are the GUI's names and not sd-scripts' own."""
    return len(MARKS & values.keys()) >= 2


def flattened(data: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a file in any sections. The GUI's defaults have some names in several: those of its first sections are the
    LoRA tab's, and some sections are of the GUI alone."""
    found: dict[str, Any] = {}
    for name, content in data.items():
        if name in GUI_SECTIONS and isinstance(content, dict):
            continue
        for key, value in content.items() if isinstance(content, dict) else [(name, content)]:
            found.setdefault(key, value)
    return found


def from_gui(name: str, values: Mapping[str, Any]) -> Recipe:
    """Read a configuration of the GUI's LoRA tab. Raises InputError for one of a model that is not trained here."""
    for flag, title in TRAINED_ELSEWHERE.items():
        if values.get(flag) is True:
            raise InputError(
                f"{name} is a configuration for {title}; this program trains Stable Diffusion 1, 2 and XL.",
                advice="Choose a configuration for one of these.",
            )
    recipe = Recipe(name=name, kind=GUI, maker="kohya_ss GUI")
    rest = dict(values)
    if "LoRA_type" not in rest:
        recipe.options["network_module"] = "networks.lora"
        recipe.note(
            "This is no configuration of the GUI's LoRA tab: what means the same for a LoRA was taken over.",
            field="network_module",
        )
    for step in (_switches, _steps, _noise, _network, _parts, _prompts):
        step(recipe, rest)
    for key in sorted(rest):
        _one(recipe, key, rest[key])
    _additional(recipe, str(values.get("additional_parameters") or ""))
    _warm_up(recipe)
    return recipe


def _one(recipe: Recipe, key: str, raw: Any) -> None:
    """A value that means the same here under its own name or another; or why it is left out."""
    if is_nothing(raw) or _is_idle(key, raw):
        return
    if key in OTHER_MODELS or key in OTHERS:
        return  # said nothing: they have no meaning for the models that are trained here, or are the GUI's own buttons
    if key in ACCELERATE:
        recipe.drop(key, raw, "it belongs to the launcher: start with accelerate launch from the command line.")
    elif key in NOT_FOR_LORA:
        recipe.drop(key, raw, NOT_FOR_LORA[key])
    else:
        recipe.take(key, _listed(key, raw), RENAMED.get(key, ""))


def _is_idle(key: str, raw: Any) -> bool:
    """Whether the GUI hands this value on to nobody."""
    if key in ACCELERATE or key in NOT_FOR_LORA:
        return raw is False or (raw is not True and raw in (0, 1, "0", "1"))
    return key in ZERO_IS_NOTHING and _number(raw) == 0


def _listed(key: str, raw: Any) -> Any:
    """Texts of several settings as the GUI takes them apart: quotation marks go, spaces part."""
    if key in ("optimizer_args", "lr_scheduler_args") and isinstance(raw, str):
        return raw.replace('"', "").replace("'", "").split()
    return raw


def _number(raw: Any) -> float | None:
    try:
        number = float(raw)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _switches(recipe: Recipe, rest: dict[str, Any]) -> None:
    """Which attention; what counts for SDXL alone."""
    attention = rest.pop("xformers", None)
    if attention in (True, "xformers", "sdpa"):
        recipe.take("xformers", True, "sdpa" if attention == "sdpa" else "xformers")
    is_sdxl = rest.pop("sdxl", rest.pop("sdxl_checkbox", False)) is True
    for key, option in (
        ("sdxl_no_half_vae", "no_half_vae"),
        ("sdxl_cache_text_encoder_outputs", "cache_text_encoder_outputs"),
    ):
        raw = rest.pop(key, False)
        if raw is True and is_sdxl:
            recipe.take(key, True, option)
    if rest.pop("use_wandb", False) is True and is_nothing(rest.get("log_with")):
        recipe.take("use_wandb", "wandb", "log_with")


def _steps(recipe: Recipe, rest: dict[str, Any]) -> None:
    """max_train_epochs wins over max_train_steps, and both over `epoch`; warm-up in percent or steps."""
    names = ("max_train_epochs", "max_train_steps", "epoch")
    given = {key: rest.pop(key, None) for key in names}
    for key in names:
        if _number(given[key]):
            recipe.take(key, int(float(given[key])), "max_train_steps" if key == "max_train_steps" else "max_train_epochs")
            break
    percent, steps = _number(rest.pop("lr_warmup", None)), _number(rest.pop("lr_warmup_steps", None))
    if steps:
        recipe.take("lr_warmup_steps", int(steps))
    elif percent:
        recipe.take("lr_warmup", percent / 100, "lr_warmup_steps")
    for key in ("stop_text_encoder_training", "stop_text_encoder_training_pct"):
        raw = rest.pop(key, None)
        if _number(raw):
            recipe.drop(key, raw, "sd-scripts does not do it for a LoRA either; the GUI says so and goes on.")


def _warm_up(recipe: Recipe) -> None:
    if recipe.options.get("lr_scheduler", "constant") == "constant" and recipe.options.get("lr_warmup_steps"):
        value = recipe.forget("lr_warmup_steps")
        recipe.drop("lr_warmup", value, "the schedule constant has no warm-up; constant_with_warmup has.")


def _noise(recipe: Recipe, rest: dict[str, Any]) -> None:
    """The kind of noise decides which of the values count."""
    is_pyramid = rest.pop("noise_offset_type", "Original") == "Multires"
    idle = (
        ("noise_offset", "adaptive_noise_scale", "noise_offset_random_strength")
        if is_pyramid
        else ("multires_noise_iterations", "multires_noise_discount")
    )
    for key in idle:
        raw = rest.pop(key, None)
        if _number(raw):
            kind = "Multires" if is_pyramid else "Original"
            recipe.drop(key, raw, f"noise_offset_type is {kind}, so that the GUI does not use it.")
    if not _number(rest.get("noise_offset")):
        for key in ("adaptive_noise_scale", "noise_offset_random_strength"):
            rest.pop(key, None)
    if not _number(rest.get("multires_noise_iterations")):
        rest.pop("multires_noise_discount", None)
    if not _number(rest.get("ip_noise_gamma")):
        rest.pop("ip_noise_gamma_random_strength", None)
    for key, whole in (("min_timestep", 0), ("max_timestep", 1000)):
        if _number(rest.get(key)) in (None, 0, whole):
            rest.pop(key, None)


def _network(recipe: Recipe, rest: dict[str, Any]) -> None:
    """LoRA_type and the values that belong to it."""
    kind = str(rest.pop("LoRA_type", "") or "Standard")
    given = {key: rest.pop(key) for key in FOR_NETWORK if key in rest}
    network = NETWORKS.get(kind)
    if network is None:
        recipe.drop("LoRA_type", kind, "this kind of network is not trained here: a LoRA (networks.lora) stands in its place.")
        recipe.miss(f"{kind} is not trained here.", field="network_module", advice="Choose another kind of network.")
        network = NETWORKS["Standard"]
    if recipe.options.get("network_module") != network.module:
        recipe.take("LoRA_type", network.module, "network_module")
    recipe.take("LoRA_type", _arguments(network, given), "network_args")


def _arguments(network: Network, given: Mapping[str, Any]) -> list[str]:
    """`name=value` of the values that this kind of network is given."""
    arguments = [f"algo={network.algo}"] if network.algo else []
    for key in network.keys:
        raw = given.get(key)
        name = LYCORIS.get(key, key) if network.algo else key
        if is_nothing(raw) or raw is False or (key not in ("conv_dim", "conv_alpha", "factor") and _number(raw) == 0):
            continue
        if key == "factor" and _number(raw) == -1:
            continue
        number = _number(raw)
        whole = number is not None and not isinstance(raw, bool) and number == int(number)
        arguments.append(f"{name}={int(number) if whole and number is not None else raw}")
    return arguments


def _parts(recipe: Recipe, rest: dict[str, Any]) -> None:
    """Rates of 0 say which part is trained."""
    text, unet = (_number(rest.get(key)) for key in ("text_encoder_lr", "unet_lr"))
    if text == 0 and unet:
        recipe.take("text_encoder_lr", True, "network_train_unet_only")
    elif unet == 0 and text:
        recipe.take("unet_lr", True, "network_train_text_encoder_only")
    for key, value in (("text_encoder_lr", text), ("unet_lr", unet)):
        if not value:
            rest.pop(key, None)


def _prompts(recipe: Recipe, rest: dict[str, Any]) -> None:
    """The GUI keeps the prompts themselves."""
    raw = rest.pop("sample_prompts", None)
    if isinstance(raw, str) and raw.strip():
        recipe.prompts = raw.strip()


def _additional(recipe: Recipe, text: str) -> None:
    """The field "additional parameters": words of a command line, which win."""
    if not text.strip():
        return
    try:
        found = given_options(shlex.split(text))
    except (ValueError, InputError, InputErrors) as error:
        recipe.drop("additional_parameters", text, str(error))
        return
    for key, raw in found.items():
        option = ALIASES.get(key, key)
        recipe.forget(option)
        recipe.take(key, raw, option)
