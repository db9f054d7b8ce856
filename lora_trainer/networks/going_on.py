"""What keeps a training from going on from a LoRA file (network_weights), told from the file's header. No torch."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..model_kinds import TITLES
from ..options.block_arguments import SHAPES
from ..options.network import NetworkOptions
from ..options.network_arguments import LoRAArguments, parse_network_args
from . import bundled, files
from .key_names import kohya_keys

_MADE_OF_RANKS = ("networks.lora", "networks.dylora")


def words_of(path: Path | str) -> list[str]:
    """The words that were trained with the LoRA and lie in its file. Raises LoraFileError as `files.read_header` does."""
    return bundled.names_in(files.read_header(path)[0])


def check_words(path: Path | str, word: str | None, *, init_word: str | None = None) -> None:
    """Raise InputError where a training of `word` (None: of none) would lose a word of the file, or init_word has no effect."""
    there = words_of(path)
    lost = [name for name in there if name != word]
    if lost:
        named = ", ".join(lost)
        raise InputError(
            f"{path} holds the word {named}, which was trained with the LoRA and would be lost.",
            field="network_weights",
            advice=f"Give token_string {lost[0]} to train it on (trains pivotal)."
            if len(there) == 1
            else "A training knows one word: go on from a LoRA that has no more.",
        )
    if there and init_word:
        message = f"init_word has no effect: the word {word} of {path} is trained on."
        raise InputError(message, field="init_word", advice="Leave init_word out.")


def check_ranks(path: Path | str, options: NetworkOptions) -> None:
    """Raise InputError where no module of the file has the rank that the options give its kind: nothing would fit.

    Said from the header, for the loading comes after the images were encoded. Ranks of blocks are not looked at.
    """
    given = parse_network_args(options.network_args)
    if options.dim_from_weights or options.network_module not in _MADE_OF_RANKS or any(name in given for name in SHAPES):
        return
    shapes = files.read_header(path)[0]
    names = kohya_keys(shapes)
    downs = [shape for key, shape in shapes.items() if shape and names[key].endswith(".lora_down.weight")]
    convolutions = {shape[0] for shape in downs if shape[2:] not in ((), (1, 1))}
    linear = {shape[0] for shape in downs if shape[2:] in ((), (1, 1))}
    if linear and options.network_dim not in linear:
        advice = f"Give network_dim {max(linear)}, or dim_from_weights." if len(linear) == 1 else "Give dim_from_weights."
        message = f"{path} has rank {_ranks(linear)}, but network_dim is {options.network_dim}."
        raise InputError(message, field="network_weights", advice=advice)
    conv_dim = LoRAArguments.of({"conv_dim": given.get("conv_dim")}).conv_dim
    if convolutions and conv_dim not in convolutions:
        one = f"Give network_args conv_dim={max(convolutions)}, or dim_from_weights."
        advice = one if len(convolutions) == 1 else "Give dim_from_weights."
        message = f"{path} has rank {_ranks(convolutions)} in its 3x3 convolutions, but conv_dim is {conv_dim or 'not given'}."
        raise InputError(message, field="network_weights", advice=advice)


def check_family(path: Path | str, family: str) -> None:
    """Raise InputError where the file's modules are named as those of SDXL and `family` (sd1, sd2, sdxl) is another, or the
    other way round."""
    shapes = files.read_header(path)[0]
    names = [name for name in kohya_keys(shapes).values() if name.startswith("lora_")]
    is_xl = any("_input_blocks_" in name or name.startswith(("lora_te1_", "lora_te2_")) for name in names)
    is_other = any("_down_blocks_" in name or name.startswith("lora_te_") for name in names)
    if (is_other and not is_xl) if family == "sdxl" else (is_xl and not is_other):
        made = "Stable Diffusion 1 or 2" if family == "sdxl" else "Stable Diffusion XL"
        message = f"{path} was made for {made}, and the base model is {TITLES[family]}."
        raise InputError(message, field="network_weights", advice="Go on from a LoRA that was made for this base model.")


def _ranks(ranks: set[int]) -> str:
    return f"{min(ranks)} to {max(ranks)}" if len(ranks) > 1 else str(max(ranks))
