"""What the options of `gen_img_diffusers` have to be together: asked before anything is loaded. No torch here."""

from __future__ import annotations

from pathlib import Path

from ...errors import InputError, InputErrors
from ...foreign.reading import is_folder, is_there
from ...options.gen_img import GenImg
from .plan import SIZES

_EXCLUSIVE = (
    ("prompt", "from_file", "interactive"),
    ("fp16", "bf16"),
    ("xformers", "sdpa"),
    ("diffusers_xformers", "sdpa"),
    ("v1", "v2", "sdxl"),
    ("sequential_file_name", "use_original_file_name"),
    ("network_merge", "network_merge_n_models"),
    ("network_merge", "network_pre_calc"),
)
_NEEDS = {
    "strength": "image_path",
    "use_original_file_name": "image_path",
    **dict.fromkeys(
        (
            "network_module", "network_mul", "network_args", "network_merge", "network_merge_n_models", "network_pre_calc",
            "network_show_meta",
        ),
        "network_weights",
    ),
}  # fmt: skip
_FAMILIES = {"v1": "sd1", "v2": "sd2", "sdxl": "sdxl"}
_TITLES = {"sd1": "Stable Diffusion 1", "sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}


def check(options: GenImg) -> None:
    """Raise InputErrors for options that do not go together."""
    errors = []
    for names in _EXCLUSIVE:
        given = [f"--{name}" for name in names if getattr(options, name)]
        if len(given) > 1:
            errors.append(_error(given[0][2:], f"{' and '.join(given)} exclude each other.", "Leave all but one of them out."))
    for name, needed in _NEEDS.items():
        if getattr(options, name) not in (None, False) and not getattr(options, needed):
            errors.append(_error(name, f"has no effect without --{needed}.", f"Give --{needed}, or leave it out."))
    if not (options.prompt or options.from_file or options.interactive):
        errors.append(_error("prompt", "nothing is asked for.", "Give --prompt, --from_file or --interactive."))
    for name in ("W", "H"):
        value = getattr(options, name)
        if value and value % 8:
            errors.append(_error(name, f"{value} is no multiple of 8.", f"Choose {value - value % 8}."))
    for folder in options.lora_dir or ():
        if not is_folder(Path(folder)):
            errors.append(_error("lora_dir", f"the folder {folder} does not exist.", "Check the path for typing errors."))
    if options.image_path and not is_there(Path(options.image_path)):
        errors.append(_error("image_path", f"{options.image_path} does not exist.", "Check the path for typing errors."))
    errors += _network_errors(options)
    if errors:
        raise InputErrors(errors)


def check_family(options: GenImg, family: str, source: str) -> None:
    """Raise InputErrors when the model is of another family than the options say."""
    errors = []
    for name, meant in _FAMILIES.items():
        if getattr(options, name) and family in _TITLES and family != meant:
            message = f"{source} is a model of {_TITLES[family]}, not of {_TITLES[meant]}."
            errors.append(_error(name, message, f"Leave --{name} out."))
    if family == "sdxl" and options.clip_skip is not None:
        errors.append(_error("clip_skip", "has no effect on Stable Diffusion XL.", "Leave it out."))
    if family in _TITLES and family != "sdxl":
        for name in SIZES:
            if getattr(options, name) is not None:
                errors.append(_error(name, "has an effect on Stable Diffusion XL only.", "Leave it out."))
    if errors:
        raise InputErrors(errors)


def merged_networks(options: GenImg) -> int:
    """How many of the networks, from the first on, become part of the model's weights for good."""
    return len(options.network_weights or ()) if options.network_merge else options.network_merge_n_models or 0


def _network_errors(options: GenImg) -> list[InputError]:
    files = len(options.network_weights or ())
    errors = []
    if not files:
        return errors
    for name, what in (("network_mul", "multipliers"), ("network_args", "texts")):
        given = len(getattr(options, name) or ())
        if given not in (0, files):
            advice = f"Give one for each file of --network_weights, or leave --{name} out."
            if name == "network_args":
                advice += " Several arguments of one file are written as one text: unit=4;conv_dim=8"
            errors.append(_error(name, f"{given} {what} for {files} network files.", advice))
    modules = len(options.network_module or ())
    if modules not in (0, 1, files):
        advice = "Give one for all files, or one for each of them."
        errors.append(_error("network_module", f"{modules} modules for {files} network files.", advice))
    merged = options.network_merge_n_models
    if merged is not None and merged > files:
        errors.append(_error("network_merge_n_models", f"{merged} of {files} networks.", f"Give at most {files}."))
    return errors


def _error(name: str, message: str, advice: str) -> InputError:
    return InputError(message, field=name, where=f"--{name}", advice=advice)
