"""`python -m lora_trainer try`: teach the demo base model a new subject, and show what it learnt.

A drawn data set, an ordinary training, and one picture: the same prompts before the training and with the LoRA at rising
strength. Two to three minutes on two processor cores; nothing is downloaded.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import log
from ..errors import InputError
from ..options import simple
from ..paths import write_text_atomic
from ..runs.control import Control
from . import files, recipe, world

if TYPE_CHECKING:
    from PIL import Image

    from ..models import Model

STRENGTHS = (0.4, 0.8, 1.0)
PICTURE, IMAGES, REGULARISATION, CONFIG = "trial.png", "images", "regularisation", "config.toml"
OTHERS = ("a large cyan circle on a black background", "a large red star on a white background")  # what should stay


def main(argv: Sequence[str]) -> int:
    """Run the trial; return the exit code: 0, or 130 when it was interrupted. Raises LoraTrainerErrors."""
    given = _parser().parse_args(list(argv))
    out: Path = given.out.expanduser().absolute()
    _check_folder(out)
    base = files.needed()
    log.setup("WARNING", simple=True)
    started = time.monotonic()

    say(f"1/4  Drawing {recipe.SUBJECT_PICTURES} pictures of a striped heart, which the demo base model has never seen, ")
    say(f"     and {recipe.CLASS_PICTURES} of what it knows, as regularisation images: {out}")
    recipe.write_data(out / IMAGES, out / REGULARISATION)
    from ..models import load  # brings torch: seconds
    from ..training.train import train

    say("2/4  Drawing with the base model alone ...")
    model = load(base, dtype=_float32(), device="cpu")
    prompts = [*recipe.subject_prompts(), *OTHERS]
    rows = [("before", "no LoRA", _pictures(model, prompts, None, out))]
    say(f"3/4  Training a LoRA, {given.steps} steps. Ctrl+C stops and keeps what was learnt.")
    files_of_run = _write_config(out, base, given.steps, given.seed)
    progress = Progress()
    result = train(files_of_run.options, reporter=progress)
    progress.close()
    if result.path is None:
        say("     Stopped before the first step: there is no LoRA. The pictures are in the folder.")
        return 130
    if result.reason == "stopped":
        say(f"     Stopped at step {result.step}: the LoRA so far is saved and tried out. Ctrl+C again leaves that out.")
    say("4/4  Drawing with the LoRA ...")
    for strength in STRENGTHS:
        rows.append((f"{strength:.1f}", f"<lora:...:{strength:.1f}>", _pictures(model, prompts, strength, out)))
    _keep_sheet(rows, prompts, [out / PICTURE, *([given.picture] if given.picture else [])])
    _say_goodbye(out, base, time.monotonic() - started)
    return 130 if result.reason == "stopped" else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lora_trainer try",
        description="Teach the small demo model that ships a new subject: two to three minutes, no graphics card, no download.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--out", type=Path, default=Path("trial"), metavar="FOLDER", help="folder for everything (default: trial)"
    )
    parser.add_argument("--steps", type=_count, default=recipe.STEPS, help=f"training steps (default: {recipe.STEPS})")
    parser.add_argument("--seed", type=int, default=recipe.SEED, help=f"seed of the training (default: {recipe.SEED})")
    parser.add_argument("--picture", type=Path, metavar="FILE", help="write the picture to this .png as well")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of steps; expected 1 or more")
    return int(text)


def _check_folder(out: Path) -> None:
    """Raise InputError for a folder that holds something that no earlier trial left."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, expected a folder.", field="out")
    if out.is_dir() and any(out.iterdir()) and not (out / IMAGES / "0000.png").is_file():
        raise InputError(f"{out} holds other files.", field="out", advice="Give an empty or a new folder with --out.")


def _write_config(out: Path, base: Path, steps: int, seed: int) -> simple.RunFiles:
    """Write config.toml and dataset.toml into `out`, from which train_network repeats the training."""
    values = recipe.values(base, out / IMAGES, out / REGULARISATION, steps=steps, seed=seed, samples=False)
    fields, options = simple.split_values(values)
    made = simple.to_files(fields, {**options, "output_dir": str(out)}, folder=out)
    for name, text in ((CONFIG, made.config_toml), ("dataset.toml", made.dataset_toml)):
        write_text_atomic(out / name, text)
    return made


def _pictures(model: Model, prompts: Sequence[str], strength: float | None, folder: Path) -> list[Image.Image]:
    """Return one picture for each prompt, by the ordinary way: `<lora:name:strength>` in the prompt."""
    from ..sampling.generate import ImageRequest, LoraFolders, generate

    drawn = []
    for number, prompt in enumerate(prompts):
        text = prompt if strength is None else recipe.tagged(prompt, strength)
        request = ImageRequest(prompt=text, seed=number, **recipe.DRAWN)
        drawn.append(generate(model, request, loras=LoraFolders([folder]))[0].image)
    return drawn


def _keep_sheet(rows: Sequence[tuple[str, str, list[Image.Image]]], prompts: Sequence[str], paths: Sequence[Path]) -> None:
    from . import trial_sheet

    picture = trial_sheet.sheet(rows, prompts, recipe.WORDS[0])
    for path in paths:
        trial_sheet.save(picture, path)


def _say_goodbye(out: Path, base: Path, seconds: float) -> None:
    lora = out / f"{recipe.NAME}.safetensors"
    prompt = recipe.tagged(recipe.subject_prompts()[0], 0.8)
    size, drawn = world.SIDE, recipe.DRAWN
    say(f"\nDone in {_clock(seconds)}.")
    say(f"  The picture  {out / PICTURE}")
    say(f"  The LoRA     {lora}  ({lora.stat().st_size / 2**20:.1f} MiB)")
    say("  Draw with it:")
    say(f'  python launch.py generate --ckpt "{base}" --lora_dir "{out}" --W {size} --H {size} --sampler {drawn["sampler"]} \\')
    say(f'    --scale {drawn["cfg_scale"]:g} --prompt "{prompt}"')


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02} min" if seconds >= 60 else f"{seconds:.0f} s"


def _float32() -> Any:
    import torch

    return torch.float32


class Progress:
    """What the training tells, as one line that moves on a terminal, else as a line now and then."""

    WIDTH = 28

    def __init__(self, *, seconds: float = 10.0) -> None:
        self._moves = sys.stdout.isatty()
        self._seconds = 0.2 if self._moves else seconds
        self._last = -math.inf
        self._total = 0

    def control(self) -> Control:
        """Nobody but Ctrl+C asks for anything."""
        return Control()

    def emit(self, event: Mapping[str, Any]) -> None:
        if event["type"] == "started":
            self._total = int(event["total_steps"])
        elif event["type"] == "step":
            self._step(event)
        elif event["type"] == "warning":
            self.close()
            say(f"     {event['message']}")

    def close(self) -> None:
        """End the line that moves."""
        if self._moves and self._last > 0:
            say("")
        self._last = -math.inf

    def _step(self, event: Mapping[str, Any]) -> None:
        now, step = time.monotonic(), int(event["step"])
        if now - self._last < self._seconds and step != self._total:
            return
        self._last = now
        full = self.WIDTH * step // max(1, self._total)
        bar = "#" * full + "." * (self.WIDTH - full)
        line = f"     [{bar}] {step}/{self._total}  loss {event['loss_average']:.4f}  {_clock(event['seconds_left'])} left"
        sys.stdout.write(f"\r{line:<78}" if self._moves else line + "\n")
        sys.stdout.flush()
