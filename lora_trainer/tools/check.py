"""`check_lora`: what is in a LoRA file, and what is wrong with it.

python -m lora_trainer check_lora frog.safetensors --picture norms.png
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from .. import modelfile
from ..checkpoints.opening import open_checkpoint
from ..errors import InputError
from ..models.weights import Weights, open_weights
from ..networks import bundled, files
from ..networks.blocks import block_of
from ..networks.functional import delta_norm
from ..options.tool_cli import parse
from ..options.tools.check_lora import CheckLora
from .families import FAMILY_TITLES, family_of, said_family
from .layers import places
from .lorafile import refuse_existing

_OTHER_NAMES = "its keys are another program's; convert_lora writes kohya's, which most programs read."
_MOST_KEYS = 5
_BAR = 40  # characters of the longest bar


@dataclass(frozen=True, kw_only=True)
class Report:
    """What was found. `norms` is the Frobenius norm of the effect of each block, in the model's order; `problems` is what makes
    the file unfit, `notes` what one should know."""

    modules: int = 0
    text_modules: int = 0
    conv_modules: int = 0
    family: str | None = None
    ranks: Mapping[int, int] = field(default_factory=dict)
    alphas: Mapping[float, int] = field(default_factory=dict)
    dtypes: Mapping[str, int] = field(default_factory=dict)
    norms: Mapping[str, float] = field(default_factory=dict)
    problems: Sequence[str] = ()
    notes: Sequence[str] = ()


def main(argv: Sequence[str]) -> int:
    """Print the report; returns 0 when the file is sound, else 1. Raises InputError(s) and BaseModelError."""
    options = parse(CheckLora, "check_lora", argv)
    assert options.model
    path = Path(options.model)
    if options.picture:
        target = Path(options.picture)
        if target.suffix.lower() != ".png":
            raise InputError(
                f"{target} is no .png file.", field="picture", where="--picture", advice="Give a name ending in .png."
            )
        refuse_existing(target, [path], overwrite=target.exists() and target.resolve() != path.resolve())
    with open_weights(path) as opened:
        if options.show_all_keys:
            sys.stdout.write("".join(f"{name}  {list(shape)}\n" for name, shape in sorted(opened.shapes.items())))
        metadata = files.read_metadata(path)
        weights = in_kohya_names(opened, metadata)
        report = check(weights, metadata)
        if report.modules and weights.shapes.keys() - opened.shapes.keys():
            report = replace(report, notes=[*report.notes, _OTHER_NAMES])
        if options.sd_model:
            with open_checkpoint(Path(options.sd_model)) as checkpoint:
                report = replace(report, problems=[*report.problems, *unfit(weights, checkpoint)])
    sys.stdout.write(text(path, report))
    if options.picture:
        draw(report, Path(options.picture))
    return 1 if report.problems else 0


def in_kohya_names(weights: Weights, metadata: Mapping[str, str]) -> Weights:
    """The same open file with kohya's names for the tensors, and an alpha for each that the metadata tells of.

    Raises LoraFileError when it has a tensor under two names.
    """
    keys, alphas = files.kohya_names(weights.shapes, metadata, weights.path)
    back = {ours: key for key, ours in keys.items()}
    told = {f"{module}.{files.ALPHA}": torch.tensor(alpha) for module, alpha in alphas.items()}
    shapes = {**{ours: weights.shapes[key] for ours, key in back.items()}, **dict.fromkeys(told, ())}
    return replace(weights, shapes=shapes, tensor=lambda name: told[name] if name in told else weights.tensor(back[name]))


def check(weights: Weights, metadata: Mapping[str, str]) -> Report:
    """Look at every tensor of an open file, one at a time."""
    kind, _ = modelfile.classify(weights.shapes)
    if kind != "lora":
        return Report(problems=[f"it is {modelfile.TITLES[kind]}, not a LoRA."])
    modules: dict[str, dict[str, str]] = {}
    strange, notes = [], []
    # The alphas of another kind of network are no modules of a plain LoRA.
    others = {key.partition(".")[0] for key in weights.shapes if files.other_kind(key)}
    for key in sorted(weights.shapes):
        name, _, part = key.partition(".")
        if bundled.is_bundled(key):
            continue
        if name in others and part == files.ALPHA and f"{name}.{files.DOWN}" not in weights.shapes:
            continue
        if part in (files.DOWN, files.UP, files.ALPHA) and name.startswith("lora_"):
            modules.setdefault(name, {})[part] = key
        else:
            strange.append(key)
    problems = _strange(strange)
    dtypes = Counter(str(weights.tensor(key).dtype).removeprefix("torch.") for key in weights.shapes)
    found = _Modules()
    for name, parts in modules.items():
        problems += found.look_at(name, parts, weights)
    if found.without_alpha:
        count = len(found.without_alpha)
        notes.append(
            f"{count} of {len(modules)} modules have no alpha (it is taken as the rank), e.g. {found.without_alpha[0]}."
        )
    if found.without_effect:
        notes.append(f"{len(found.without_effect)} modules have no effect (zero), for example {found.without_effect[0]}.")
    if words := bundled.names_in(weights.shapes):
        notes.append(f"it brings words of its own, known while it is in the prompt: {', '.join(words)}.")
    if not metadata:
        notes.append("there is no metadata.")
    family, version = family_of(found.layers, metadata), metadata.get("ss_base_model_version", "")
    if family and said_family(version) not in (None, family):
        notes.append(f"ss_base_model_version says {version}, but the layers are those of {FAMILY_TITLES[family]}.")
    said = metadata.get("sshs_model_hash")
    if said and files.tensor_hash(weights.path) != said:
        notes.append("sshs_model_hash is not the hash of these tensors: the file was changed after it was hashed.")
    return Report(
        modules=len(modules),
        text_modules=sum(name.startswith("lora_te") for name in modules),
        conv_modules=found.conv3x3,
        family=family,
        ranks=dict(sorted(found.ranks.items())),
        alphas=dict(sorted(found.alphas.items())),
        dtypes=dict(dtypes),
        norms={name: math.sqrt(square) for name, square in sorted(found.squares.items(), key=lambda item: _order(item[0]))},
        problems=problems,
        notes=notes,
    )


def _strange(keys: Sequence[str]) -> list[str]:
    """What is wrong about keys that are no plain LoRA's; the first few by name, all of another kind of network together."""
    kinds = Counter(kind for key in keys if (kind := files.other_kind(key)))
    problems = [f"{count} of its keys are {kind}'s, not a plain LoRA's." for kind, count in kinds.items()]
    rest = [key for key in keys if not files.other_kind(key)]
    problems += [f"{key} is no key of a LoRA for Stable Diffusion 1, 2 or XL." for key in rest[:_MOST_KEYS]]
    return [*problems, f"{len(rest) - _MOST_KEYS} other keys are not, either."] if len(rest) > _MOST_KEYS else problems


class _Modules:
    """What is gathered over the modules."""

    def __init__(self) -> None:
        self.ranks: Counter[int] = Counter()
        self.alphas: Counter[float] = Counter()
        self.layers: dict[str, tuple[int, ...]] = {}
        self.squares: dict[str, float] = {}
        self.without_alpha: list[str] = []
        self.without_effect: list[str] = []
        self.conv3x3 = 0

    def look_at(self, name: str, parts: Mapping[str, str], weights: Weights) -> list[str]:
        """Take one module in; returns what is wrong with it."""
        missing = [half for half in (files.DOWN, files.UP) if half not in parts]
        if missing:
            return [f"{name} has no {' and no '.join(missing)}."]
        tensors = {part: weights.tensor(key) for part, key in parts.items()}
        problems = [
            f"{name}.{part} holds {int((~torch.isfinite(tensor.float())).sum())} values that are NaN or infinite."
            for part, tensor in tensors.items()
            if not torch.isfinite(tensor.float()).all()
        ]
        down, up = tensors[files.DOWN], tensors[files.UP]
        if (
            down.ndim not in (2, 4)
            or up.ndim != down.ndim
            or down.shape[0] != up.shape[1]
            or math.prod(up.shape[2:]) != 1
            or not down.numel()
        ):
            return [*problems, f"{name} has lora_down {list(down.shape)} and lora_up {list(up.shape)}, which are no pair."]
        alpha = tensors.get(files.ALPHA)
        if alpha is not None and alpha.numel() != 1:
            return [*problems, f"{name} has an alpha of shape {list(alpha.shape)}, expected one number."]
        rank = down.shape[0]
        value = float(rank) if alpha is None else float(alpha)
        if alpha is None:
            self.without_alpha.append(name)
        self.ranks[rank] += 1
        self.alphas[value] += 1
        self.layers[name] = (up.shape[0], *down.shape[1:])
        self.conv3x3 += math.prod(down.shape[2:]) > 1
        if not problems:
            norm = float(delta_norm(down, up, value / rank))
            block = _block(name)
            self.squares[block] = self.squares.get(block, 0.0) + norm**2
            if norm == 0.0:
                self.without_effect.append(name)
        return problems


def unfit(weights: Weights, checkpoint: Weights) -> list[str]:
    """The modules that fit no layer of `checkpoint`, each as a sentence."""
    known = places(checkpoint.shapes)
    problems = []
    for key, shape in sorted(weights.shapes.items()):
        name, _, part = key.partition(".")
        if part != files.DOWN or f"{name}.{files.UP}" not in weights.shapes:
            continue
        if name not in known:
            problems.append(f"{name} is no layer of {checkpoint.path.name}.")
            continue
        place = known[name]
        theirs, own = checkpoint.shapes[place.key], (weights.shapes[f"{name}.{files.UP}"][0], *shape[1:])
        if not place.fits(theirs, own):
            problems.append(f"{name} is for a layer of shape {list(own)}, {place.key} has {list(theirs)}.")
    return problems


def _block(name: str) -> str:
    """TE for SD's text encoder (TE1, TE2 for SDXL's), else the number of the UNet's block."""
    part = name.split("_")[1]
    if part != "unet":
        return part.upper()
    number = block_of(name)
    return "other" if number is None else f"{number:02d}"


def _order(block: str) -> tuple[bool, str]:
    return not block.startswith("TE"), block


def text(path: Path, report: Report) -> str:
    """The report as lines of text."""
    lines = [f"{path}"]
    if report.modules and report.ranks:
        kind = "LoRA-C3Lier" if report.conv_modules else "LoRA-LierLa"
        family = FAMILY_TITLES.get(report.family or "", "unknown model")
        lines += [
            f"  {kind} for {family}: {report.modules} modules, {report.text_modules} of the text encoder, "
            f"{report.conv_modules} on 3x3 convolutions",
            f"  rank {_counts(report.ranks)}; alpha {_counts(report.alphas)}; {_counts(report.dtypes)}",
            "  norm of the effect per block:",
        ]
        longest = max(report.norms.values(), default=0.0) or 1.0
        lines += [f"    {b:>5} {norm:10.4g} {'#' * round(_BAR * norm / longest)}" for b, norm in report.norms.items()]
    lines += [f"  note: {note}" for note in report.notes]
    lines += [f"  PROBLEM: {problem}" for problem in report.problems]
    count = len(report.problems)
    lines.append(f"  {count} problem{'s' if count > 1 else ''}" if count else "  sound")
    return "\n".join(lines) + "\n"


def _counts(counts: Mapping[Any, int]) -> str:
    if len(counts) == 1:
        return f"{next(iter(counts)):g}" if not isinstance(next(iter(counts)), str) else next(iter(counts))
    return ", ".join(f"{value} ({count}x)" for value, count in counts.items())


def draw(report: Report, path: Path) -> None:
    """Draw the norms as bars, one a block, into a PNG file."""
    from PIL import Image, ImageDraw

    from ..paths import write_atomic

    wide, high, margin = 28, 240, 40
    longest = max(report.norms.values(), default=0.0) or 1.0
    title = f"norm of the effect per block (highest {longest:.4g})"
    letters = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    room = max(wide * len(report.norms), math.ceil(letters.textlength(title)))
    image = Image.new("RGB", (2 * margin + room, high + 2 * margin), "white")
    pen = ImageDraw.Draw(image)
    pen.text((margin, 12), title, fill="black")
    for number, (block, norm) in enumerate(report.norms.items()):
        left, bottom = margin + number * wide, margin + high
        colour = "#b0642d" if block.startswith("TE") else "#2d6fb0"
        pen.rectangle((left + 3, bottom - high * norm / longest, left + wide - 3, bottom), fill=colour)
        pen.text((left + 6, bottom + 8), block, fill="black")
    pen.line((margin, margin + high, image.width - margin, margin + high), fill="black")
    write_atomic(path, lambda file: image.save(file, "PNG"))
