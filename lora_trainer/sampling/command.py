"""`python -m lora_trainer generate`: pictures from the command line.

python -m lora_trainer generate --ckpt v1-5.safetensors --prompt "a photo of sls frog <lora:sls:0.8>" --lora_dir output
python -m lora_trainer generate --ckpt v1-5.safetensors --from_file prompts.txt --network_weights sls.safetensors
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from .. import log, modelfile
from ..errors import InputError, InputErrors
from ..foreign.reading import is_folder
from ..log import logger
from ..networks import registry
from . import embeddings
from .generate import LoraFolders, LoraUse, draw, save_png, without_tags
from .lora_tags import checked_multiplier
from .names import Names
from .prompts import SamplePrompt, parse_prompt_file
from .request import ImageRequest
from .samplers import SAMPLERS, find
from .session import PRECISIONS, Session


def main(argv: Sequence[str]) -> int:
    """Draw what the arguments ask for; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    options = parser().parse_args(argv)
    networks = _networks(options)
    requests = _requests(options)
    folders = LoraFolders(_folders(options.lora_dir, "lora_dir"))
    words = embeddings.in_folders(_folders(options.embeddings_dir, "embeddings_dir"))
    for request in requests:
        without_tags(request, folders)
    logger.info("loading %s", options.ckpt)
    model = Session().model(
        options.ckpt,
        vae=options.vae,
        precision=options.precision,
        device=options.device,
        attention="xformers" if options.xformers else "torch",
    )
    names = Names(Path(options.outdir))
    for request in requests:
        for picture in draw(model, request, loras=folders, networks=networks, words=words):
            path = names.path(picture.seed)
            save_png(path, picture)
            logger.info("written: %s", path)
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of `generate`. Where gen_img.py of kohya-ss has the same option, it has the same name."""
    result = argparse.ArgumentParser(
        prog="lora_trainer generate",
        description="Draw pictures; <lora:NAME:0.8> in the prompt uses a LoRA file of --lora_dir.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = result.add_argument
    add("--ckpt", "--pretrained_model_name_or_path", required=True, metavar="MODEL", help="base model: file, folder or hub id")
    add("--vae", help="VAE in place of the model's own")
    add("--prompt", default="", help="what to draw; (word:1.2) weighs, BREAK begins a new chunk of 75 tokens")
    add("--negative_prompt", default="", help="what not to draw")
    add("--from_file", metavar="FILE", help="prompts, one a line, with --n --w --h --d --l --s --ss (.txt, .toml, .json)")
    add("--W", "--width", dest="width", type=int, help="width in pixels, a multiple of 8; left out: the model's own")
    add("--H", "--height", dest="height", type=int, help="height in pixels, a multiple of 8; left out: the model's own")
    add("--steps", type=int, default=20, help="sampler steps")
    add("--scale", "--cfg_scale", dest="scale", type=float, default=7.5, help="how strictly the prompt is followed (CFG)")
    add("--seed", type=int, default=-1, help="seed of the first picture, each further one has the next; -1 draws one")
    add("--sampler", default="euler_a", help=f"one of {', '.join(SAMPLERS)}")
    add("--batch_size", type=int, default=1, help="pictures drawn at once")
    add("--images_per_prompt", "--batch_count", dest="batch_count", type=int, default=1, help="batches for each prompt")
    add("--clip_skip", type=int, default=1, help="1: the text encoder's last layer, 2: the one before")
    add("--outdir", default="outputs", help="folder for the pictures")
    add("--lora_dir", action="append", default=[], metavar="FOLDER", help="where <lora:...> looks; may be given several times")
    add(
        "--embeddings_dir",
        action="append",
        default=[],
        metavar="FOLDER",
        help="where embeddings lie: a file's name is its word",
    )
    add("--network_module", nargs="*", default=[], metavar="MODULE", help="accepted for kohya's command lines: networks.lora")
    add("--network_weights", nargs="*", default=[], metavar="FILE", help="LoRA files for all prompts")
    add("--network_mul", nargs="*", type=float, default=[], metavar="NUMBER", help="one multiplier for each, 1 where left out")
    add("--precision", default="auto", choices=["auto", *PRECISIONS], help="auto: fp16 on an NVIDIA or AMD card, else fp32")
    add("--fp16", dest="precision", action="store_const", const="fp16", default=argparse.SUPPRESS, help="--precision fp16")
    add("--bf16", dest="precision", action="store_const", const="bf16", default=argparse.SUPPRESS, help="--precision bf16")
    add("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu")
    add("--xformers", action="store_true", help="xformers attention where it is installed")
    return result


def _requests(options: argparse.Namespace) -> list[ImageRequest]:
    """One request for --prompt, or one for each prompt of --from_file, whose values go before the options'."""
    side = modelfile.probe(options.ckpt).side or 512
    shared = {
        "steps": options.steps, "cfg_scale": options.scale, "seed": options.seed, "clip_skip": options.clip_skip,
        "width": options.width or side, "height": options.height or side,
        "batch_size": options.batch_size, "batch_count": options.batch_count,
        "negative_prompt": options.negative_prompt, "sampler": find(options.sampler, field="sampler").name,
    }  # fmt: skip
    if not options.from_file:
        if not options.prompt:
            raise InputError("nothing is asked for.", field="prompt", advice="Give --prompt or --from_file.")
        return [ImageRequest(prompt=options.prompt, **shared)]
    if options.prompt:
        raise InputError("--prompt and --from_file exclude each other.", field="prompt", advice="Leave one of them out.")
    requests, errors = [], []
    for prompt in parse_prompt_file(options.from_file):
        try:
            requests.append(_merged(prompt, shared))
        except InputErrors as several:
            errors += [InputError(e.message, field=e.field, where=prompt.where, advice=e.advice) for e in several.errors]
        except InputError as error:
            errors.append(error)
    if errors:
        raise InputErrors(errors)
    return requests


def _merged(prompt: SamplePrompt, shared: dict[str, object]) -> ImageRequest:
    names = {"sample_steps": "steps", "scale": "cfg_scale", "sample_sampler": "sampler"}
    given = {names.get(key, key): value for key, value in prompt.given().items() if key != "enum"}
    if "sampler" in given:
        given["sampler"] = find(given["sampler"], field="from_file", where=prompt.where).name
    return ImageRequest(**{**shared, **given})


def _networks(options: argparse.Namespace) -> list[LoraUse]:
    for module in options.network_module:
        registry.check_name(module)
    if len(options.network_mul) > len(options.network_weights):
        raise InputError(
            f"{len(options.network_mul)} multipliers for {len(options.network_weights)} network files.",
            field="network_mul",
            advice="Give one number for each file of --network_weights.",
        )
    for factor in options.network_mul:
        checked_multiplier(factor, f"{factor:g}", field="network_mul", where="--network_mul")
    factors = [*options.network_mul, *[1.0] * (len(options.network_weights) - len(options.network_mul))]
    return [LoraUse(Path(path), factor, factor) for path, factor in zip(options.network_weights, factors, strict=True)]


def _folders(paths: Sequence[str], field: str) -> list[Path]:
    missing = [InputError(f"the folder {path} does not exist.", field=field) for path in paths if not is_folder(Path(path))]
    if missing:
        raise InputErrors(missing)
    return [Path(path) for path in paths]
