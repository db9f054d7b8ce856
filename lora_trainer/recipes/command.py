"""`recreate`: the configuration that repeats a LoRA's run, or that of another program, with a report.

python -m lora_trainer recreate frog.safetensors --models /models --images /data/frogs --out again
python -m lora_trainer train_network --config_file again/config.toml
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..foreign.reading import is_folder, is_there
from ..paths import user_path, write_text_atomic
from .form import files
from .places import BASE, VAE, Surroundings, settle
from .reading import MODELS, Given, read
from .recipe import Recipe

_DEPTH = 3  # folders below --images that are looked at


def main(argv: Sequence[str]) -> int:
    """Print or write the configuration; returns 0. Raises InputError, LoraFileError and SaveError."""
    given = _parser().parse_args(list(argv))
    models = _models(given.models)
    recipe = read([Given(user_path(name)) for name in given.files]).recipe
    named = {option: models for option in (BASE, VAE, "network_weights", "base_weights")}
    settle(recipe, Surroundings(models=named, folders=_folders(given.images)))
    folder = user_path(given.out) if given.out else Path()
    made = files(recipe, folder)
    sys.stderr.write(report(recipe))
    if not given.out:
        sys.stdout.write("".join(f"# ---- {name}\n{text}\n" if name != "config.toml" else text for name, text in made.items()))
        return 0
    for name in made:
        if is_there(folder / name):
            raise InputError(f"{folder / name} exists already and is not overwritten.", advice="Choose another folder.")
    for name, text in made.items():
        write_text_atomic(folder / name, text)
    sys.stderr.write(f"Written to {folder}. Train it with: train_network --config_file {folder / 'config.toml'}\n")
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="python -m lora_trainer recreate",
        description="Make the configuration that repeats a LoRA's run, or take over one of kohya_ss' GUI or sd-scripts.",
    )
    help_files = (
        "a LoRA (.safetensors .ckpt .pt), a configuration (.json .toml); beside it its data set (.toml), prompts (.txt)"
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help=help_files)
    parser.add_argument("--models", action="append", default=[], metavar="FOLDER", help="look for models by their hash here")
    parser.add_argument("--images", action="append", default=[], metavar="FOLDER", help="look for the folders of images here")
    parser.add_argument("--out", metavar="FOLDER", help="write config.toml and dataset.toml there (else they are printed)")
    return parser


def _models(folders: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for name in folders:
        folder = _there(name, "--models")
        found += sorted(path for path in folder.rglob("*") if path.suffix.lower() in MODELS)
    return found


def _folders(names: Sequence[str]) -> list[Path]:
    found: list[Path] = []
    for name in names:
        top = _there(name, "--images")
        found.append(top)
        found += sorted(path for path in top.rglob("*") if path.is_dir() and len(path.relative_to(top).parts) <= _DEPTH)
    return found


def _there(name: str, where: str) -> Path:
    folder = user_path(name)
    if not is_folder(folder):
        raise InputError(f"{folder} is no folder.", where=where, advice="Check the path.")
    return folder.absolute()


def report(recipe: Recipe) -> str:
    """The report as lines of text."""
    count = len(recipe.taken)
    lines = [f"{recipe.name}: {recipe.maker}" if recipe.maker else recipe.name, f"  taken over: {count}"]
    lines += [f"    {line.option} = {line.value}" for line in recipe.taken]
    lines += ["  renamed:"] if recipe.renamed else []
    lines += [f"    {line.key} -> {line.option} = {line.value}" for line in recipe.renamed]
    lines += ["  not taken over:"] if recipe.dropped else []
    lines += [f"    {line.key} = {line.value}: {line.why}" for line in recipe.dropped]
    lines += [f"  note: {note.message} {note.advice}".rstrip() for note in recipe.notes]
    lines += [f"  MISSING: {note.message} {note.advice}".rstrip() for note in recipe.missing]
    return "\n".join(lines) + "\n"
