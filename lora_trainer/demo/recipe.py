"""The two-minute trial: its data set, and its settings in the words of the page's form. No torch: the host side asks too.

The command (`trial_command`) and the page's button (`api.trial`) train the same from it.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from PIL import Image

from ..options.presets import starting_values
from . import trial, world

NAME = "sks_heart"
STEPS = 300
SEED = 1
WORDS = (trial.IDENTIFIER, "heart")
SUBJECT_PICTURES, CLASS_PICTURES = 24, 60
SAMPLES = 4  # how often sample pictures are drawn after the start, if they are

# How pictures of the demo world come out best; the names are those of a request to draw.
DRAWN: dict[str, Any] = {"width": world.SIDE, "height": world.SIDE, "steps": 20, "cfg_scale": 3.0, "sampler": "dpm++_2m"}

SETTINGS: dict[str, Any] = {
    **starting_values(cuda=False),
    **trial.TEACHES,
    "network_alpha": 20.0,  # 0.8, the strength that everybody tries first, is to show the whole subject
    "learning_rate": 3e-3,  # lower than there, and more steps: the pictures come out cleaner
    "resolution": str(world.SIDE),
    "vae_batch_size": 8,
    "max_data_loader_n_workers": 0,
    "persistent_data_loader_workers": False,
    "caption_source": "txt",
    "num_repeats": 1,
}


@functools.cache
def subject_prompts() -> tuple[str, ...]:
    """Return captions of the new subject, each in another colour, on backgrounds that no picture of the training has it on."""
    every = trial.subject_pictures(len(world.COLOURS) * len(world.BACKGROUNDS))
    by_colour = {_parts(caption)["colour"]: caption for _, caption in every[SUBJECT_PICTURES:]}
    return tuple(by_colour.values())


def _parts(caption: str) -> dict[str, str]:
    return world.parse(caption.replace(f"{WORDS[0]} ", ""))


def shown_pictures() -> list[Image.Image]:
    """Return a few of the training's pictures to show a person: one for each colour, none on white like its stripes."""
    by_colour: dict[str, Image.Image] = {}
    for picture, caption in trial.subject_pictures(SUBJECT_PICTURES):
        parts = _parts(caption)
        if parts["background"] != "white":
            by_colour.setdefault(parts["colour"], Image.fromarray(picture))
    return list(by_colour.values())


def tagged(prompt: str, multiplier: float) -> str:
    """Return `prompt` with the trial's LoRA at a strength."""
    return f"{prompt} <lora:{NAME}:{multiplier:g}>"


def write_data(images: Path, regularisation: Path, seed: int = 0) -> None:
    """Draw the new subject's pictures and those of the base world, with their captions, into two folders."""
    trial.write(trial.subject_pictures(SUBJECT_PICTURES, seed), images)
    trial.write(trial.base_pictures(CLASS_PICTURES, seed), regularisation)


def values(
    model: Path, images: Path, regularisation: Path, *, steps: int = STEPS, seed: int = SEED, samples: bool = True
) -> dict[str, Any]:
    """Return the form's values for the training: fields of `options.simple` and options by name."""
    asked = {
        **SETTINGS,
        "pretrained_model_name_or_path": str(model),
        "image_dir": str(images),
        "reg_dir": str(regularisation),
        "identifier": WORDS[0],
        "class_name": WORDS[1],
        "output_name": NAME,
        "max_train_steps": steps,
        "seed": seed,
    }
    if not samples:
        return {**asked, "prompts": "#"}
    drawn = f"--w {world.SIDE} --h {world.SIDE} --l {DRAWN['cfg_scale']:g} --s 12 --d {seed}"
    return {
        **asked,
        "prompts": "".join(f"{prompt} {drawn}\n" for prompt in subject_prompts()[:3]),
        "sample_every_n_steps": -(-steps // SAMPLES),
        "sample_at_first": True,
        "sample_sampler": "euler",
    }
