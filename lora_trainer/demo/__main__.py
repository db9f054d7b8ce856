"""`python -m lora_trainer.demo draw | vae | text-and-unet | export | webui | judge | score`, see docs/demo-model.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from ..errors import LoraTrainerError
from ..paths import write_atomic
from .state import say


def main(argv: list[str] | None = None) -> int:
    """Run a command; return the exit code: 0, or 1 with the reason on the error output."""
    given = _parser().parse_args(argv)
    import torch

    torch.set_num_threads(given.threads)
    run: Callable[[argparse.Namespace], None] = given.run
    try:
        run(given)
    except LoraTrainerError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lora_trainer.demo", description="The demo base model and its world.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], None], purpose: str, *, out: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=purpose)
        one.set_defaults(run=run)
        one.add_argument("--out", type=Path, required=True, help=out)
        one.add_argument("--threads", type=int, default=2, help="processor threads")
        return one

    draw = command("draw", _draw, "write pictures with captions", out="folder for the pictures")
    draw.add_argument("--count", type=int, default=20)
    draw.add_argument("--seed", type=int, default=0)
    draw.add_argument("--subject", action="store_true", help="the new subject of a LoRA trial, which the base world lacks")

    for name, run, purpose in (("vae", _vae, "train the VAE"), ("text-and-unet", _unet, "train the text encoder and the UNet")):
        one = command(name, run, purpose, out="folder of the training's state")
        one.add_argument("--minutes", type=float, default=float("inf"), help="stop after so many minutes")
        one.add_argument("--steps", type=int, help="length of the schedule")
        one.add_argument("--seed", type=int)
        one.add_argument("--resume", action="store_true", help="go on from the state that is there")
        if name == "vae":
            one.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")

    export = command("export", _export, "write the checkpoint", out="folder of the training's state")
    export.add_argument("--file", type=Path, required=True, help="the .safetensors to write")

    webui = command("webui", _webui, "put a checkpoint where the Web UI loads it", out="the Web UI's models/Stable-diffusion")
    webui.add_argument("--model", type=Path, help="the checkpoint; by default the one that ships")

    command("judge", _judge, "train the judge", out="the .safetensors to write")

    score = command("score", _score, "draw held-out captions and let the judge read them", out="folder for the report")
    score.add_argument("--model", type=Path, required=True)
    score.add_argument("--judge", type=Path, required=True)
    score.add_argument("--count", type=int, default=500)
    score.add_argument("--steps", type=int, default=20)
    score.add_argument("--cfg", type=float, default=3.0)
    score.add_argument("--seed", type=int, default=0)
    return parser


def _chosen(given: argparse.Namespace) -> dict[str, int]:
    return {name: value for name in ("steps", "seed") if (value := getattr(given, name)) is not None}


def _draw(given: argparse.Namespace) -> None:
    from . import trial

    pairs = (trial.subject_pictures if given.subject else trial.base_pictures)(given.count, given.seed)
    say(f"{trial.write(pairs, given.out)} pictures in {given.out}")


def _vae(given: argparse.Namespace) -> None:
    from . import train_vae

    settings = train_vae.VaeSettings(**_chosen(given))
    train_vae.train(settings, given.out, minutes=given.minutes, resume=given.resume, freeze_encoder=given.freeze_encoder)


def _unet(given: argparse.Namespace) -> None:
    from . import train_unet

    train_unet.train(train_unet.UnetSettings(**_chosen(given)), given.out, minutes=given.minutes, resume=given.resume)


def _export(given: argparse.Namespace) -> None:
    from .export import export

    path = export(given.out, given.file)
    say(f"{path}: {path.stat().st_size / 2**20:.1f} MiB")


def _webui(given: argparse.Namespace) -> None:
    from . import files, webui_files

    source = given.model or files.needed()
    path = given.out / source.name
    data = source.read_bytes()
    write_atomic(path, lambda file: file.write(data))
    say(f"{path}, and beside it {webui_files.write(path).name} and the folder {path.with_suffix('.clip').name}")


def _judge(given: argparse.Namespace) -> None:
    from . import judge

    trained = judge.train(judge.JudgeSettings())
    judge.save(trained, given.out)
    say(f"right on held-out drawings: {judge.accuracy(judge.load(given.out))}")


def _score(given: argparse.Namespace) -> None:
    import json

    import torch

    from ..models import load
    from ..paths import write_text_atomic
    from . import judge, score

    captions = score.held_out_captions(given.count)
    model = load(given.model, dtype=torch.float32, device="cpu")
    how = score.Sampling(steps=given.steps, cfg=given.cfg, seed=given.seed)
    drawn = score.pictures(model, captions, how)
    reader = judge.load(given.judge)
    shares = score.score(reader, drawn, captions)
    wrong = {part: score.confusions(reader, drawn, captions, part) for part in shares}
    report = {"count": given.count, "steps": how.steps, "cfg": how.cfg, "seed": how.seed, "right": shares, "wrong": wrong}
    write_text_atomic(given.out / "score.json", json.dumps(report, indent=2) + "\n")
    score.sheet(drawn[:100], given.out / "sheet.png")
    for part, share in shares.items():
        bar = score.BAR.get(part)
        say(f"{part:<12}{100 * share:5.1f} %" + (f"   (bar {100 * bar:.0f} %)" if bar else ""))


if __name__ == "__main__":
    sys.exit(main())
