"""Whether the options suit the base model's family, which is seen from its header alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .. import modelfile
from ..errors import InputError
from ..foreign.reading import is_there
from ..paths import user_path

_MODEL = "pretrained_model_name_or_path"
_FIXED_LAYER = {"sd2": "Stable Diffusion 2", "sdxl": "Stable Diffusion XL"}  # the text encoder's layer cannot be chosen
_LEAST_SIDE = {"sdxl": 768}  # pixels; pictures fall apart below
_COMMANDS = {
    "sdxl_train_network": "train_network",
    "sdxl_train_textual_inversion": "train_textual_inversion",
    "sdxl_train": "fine_tune",
}  # of one family -> of all
_OF_XL = ("learning_rate_te1", "learning_rate_te2", "block_lr")


def v2_problem(values: Mapping[str, Any]) -> InputError | None:
    """What is wrong with the option v2, or None."""
    kind = _kind(values[_MODEL]) if values["v2"] else ""
    if kind and kind != "sd2":
        return InputError(
            f"v2 is given, but {values[_MODEL]} is {modelfile.TITLES[kind]}.",
            field="v2",
            advice="Leave v2 out (the family is read from the model), or choose a model of Stable Diffusion 2.",
        )
    return None


def xl_problem(values: Mapping[str, Any]) -> InputError | None:
    """Why an option that is for SDXL alone is not taken with another model, or None."""
    given = next((name for name in _OF_XL if values[name] is not None), None)
    kind = _kind(values[_MODEL]) if given else ""
    if given and kind and kind != "sdxl":
        return InputError(
            f"{given} is for {modelfile.TITLES['sdxl']}, but {values[_MODEL]} is {modelfile.TITLES[kind]}.",
            field=given,
            advice=f"Leave {given} out: learning_rate and learning_rate_te are for every model.",
        )
    return None


def vae_problem(values: Mapping[str, Any]) -> InputError | None:
    """Why the VAE of another model cannot be used, or None: its latents are none that the base model knows.

    A VAE alone does not tell of which family it is.
    """
    kind = _kind(values[_MODEL]) if values["vae"] else ""
    other = _kind(values["vae"]) if kind else ""
    if other and (other == "sdxl") != (kind == "sdxl"):
        return InputError(
            f"{values['vae']} is {modelfile.TITLES[other]}, whose VAE does not go with {modelfile.TITLES[kind]}.",
            field="vae",
            advice=modelfile.VAE_ADVICE,
        )
    return None


def layers_problem(values: Mapping[str, Any]) -> InputError | None:
    """Why a word cannot have vectors for each layer of this model, or None."""
    kind = _kind(values[_MODEL]) if values["vectors_per_layer"] else ""
    if kind == "sdxl":
        return InputError(
            f"vectors_per_layer (XTI) is for Stable Diffusion 1 and 2, but {values[_MODEL]} is {modelfile.TITLES[kind]}.",
            field="vectors_per_layer",
            advice="Use sdxl_train_textual_inversion, or leave vectors_per_layer out.",
        )
    return None


def command_problem(command: str, model: str | None) -> InputError | None:
    """Why `model` cannot be trained by this command, or None; a command without sdxl_ takes every family."""
    kind = _kind(model)
    if command in _COMMANDS and kind and kind != "sdxl":
        return InputError(
            f"{command} is for {modelfile.TITLES['sdxl']}, but {model} is {modelfile.TITLES[kind]}.",
            field=_MODEL,
            where=f"--{_MODEL}",
            advice=f"Use {_COMMANDS[command]}, which finds the family by itself, or choose another model.",
        )
    return None


def hints(
    kind: str, *, clip_skip: int | None, v_parameterization: bool, sizes: Iterable[tuple[int, int]]
) -> Iterator[tuple[str, str]]:
    """(option, warning) of what has no effect on this family of models (`modelfile.TITLES`), or is not what it was made for.

    `sizes` (width, height) are those of the training, in pixels.
    """
    if clip_skip is not None and kind in _FIXED_LAYER:
        yield "clip_skip", f"clip_skip has no effect: {_FIXED_LAYER[kind]} always reads the next-to-last layer."
    if v_parameterization and kind == "sd1":
        yield (
            "v_parameterization",
            "v_parameterization is given, but nearly every model of Stable Diffusion 1 predicts noise: unless this one was "
            "made to predict velocity, the training will spoil its pictures.",
        )
    least = _LEAST_SIDE.get(kind, 0)
    for width, height in dict.fromkeys(sizes):
        if width * height < least * least:
            yield (
                "resolution",
                f"Stable Diffusion XL was made for pictures of 1024 x 1024 pixels; at {width} x {height} it learns and draws "
                "poorly. Choose a resolution of 1024, or 768 to save memory.",
            )


def _kind(model: str | None) -> str:
    """The family of a model that is here and can be trained on; "" for any other, which is somebody else's finding."""
    path = user_path(model) if model else None
    if path is None or not is_there(path):
        return ""
    info = modelfile.probe(path)
    return "" if info.problem else info.kind
