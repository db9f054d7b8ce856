"""`python -m lora_trainer make_reg_images`: regularisation pictures drawn with the base model, as the page's button makes them.

python -m lora_trainer make_reg_images --ckpt v1-5.safetensors --class_name dog --count 200 --outdir reg/dog
python -m lora_trainer make_reg_images --ckpt v1-5.safetensors --class_name dog --dataset_config dataset.toml --outdir reg/dog
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from .. import log, modelfile
from ..data.plan import make_plan
from ..errors import InputError
from ..log import logger
from ..options import TrainOptions, dataset_config
from ..paths import user_path
from ..runs.reg_images import MOST, Series, Size, shares
from .generate import draw, save_png
from .request import ImageRequest, from_mapping
from .samplers import SAMPLERS, find
from .session import PRECISIONS, Session


def main(argv: Sequence[str]) -> int:
    """Draw what lacks; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    log.setup()
    options = parser().parse_args(argv)
    series = _series(options)
    requests = [(part, from_mapping(series.asked(*part))) for part in series.parts(options.batch_size)]  # all checked first
    lacking = len(series.missing())
    logger.info("%d of %d pictures are there in %s", series.total - lacking, series.total, series.folder)
    if requests:
        _draw(options, series, requests)
    return 0


def _draw(options: argparse.Namespace, series: Series, requests: list[tuple[tuple[Size, int, int], ImageRequest]]) -> None:
    logger.info("loading %s", options.ckpt)
    model = Session().model(options.ckpt, vae=options.vae, precision=options.precision, device=options.device)
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "drawn.png"
        for (size, first, count), request in requests:
            together = replace(request, batch_size=count, batch_count=1)
            for at, picture in enumerate(draw(model, together)):
                save_png(drawn, picture)
                series.keep(drawn, size, first + at)
                logger.info("%d / %d", series.total - len(series.missing()), series.total)


def parser() -> argparse.ArgumentParser:
    """The options of `make_reg_images`."""
    result = argparse.ArgumentParser(
        prog="lora_trainer make_reg_images",
        description="Draw regularisation pictures with the base model. Those that are there are kept: it can be called again.",
        allow_abbrev=False,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = result.add_argument
    add("--ckpt", "--pretrained_model_name_or_path", required=True, metavar="MODEL", help="base model: file, folder or hub id")
    add("--vae", help="VAE in place of the model's own")
    add("--class_name", required=True, help="the class, such as dog: the caption of every picture, and the prompt")
    add("--outdir", required=True, help="folder for the pictures and their captions (.txt)")
    add("--count", type=int, help="how many; left out: as many as an epoch of --dataset_config asks for, else 200")
    add("--dataset_config", metavar="FILE", help="data set file whose buckets the pictures get")
    add("--resolution", metavar="W,H", help="size without --dataset_config; left out: the model's own")
    add("--prompt", help="what to draw; left out: the class")
    add("--negative_prompt", default="", help="what not to draw")
    add("--steps", type=int, default=20, help="sampler steps")
    add("--scale", "--cfg_scale", dest="scale", type=float, default=7.0, help="how strictly the prompt is followed (CFG)")
    add("--seed", type=int, default=1, help="seed of the first picture of each size, each further one has the next")
    add("--sampler", default="euler_a", help=f"one of {', '.join(SAMPLERS)}")
    add("--batch_size", type=int, default=1, help="pictures drawn at once")
    add("--precision", default="auto", choices=["auto", *PRECISIONS], help="auto: fp16 on an NVIDIA or AMD card, else fp32")
    add("--device", default="auto", help="auto, cuda, cuda:1, mps or cpu")
    return result


def _series(options: argparse.Namespace) -> Series:
    words = options.class_name.strip()
    if not words:
        raise InputError("the class is missing: it is what is drawn.", field="class_name", advice='For example "dog".')
    if not 1 <= options.batch_size <= 64:
        raise InputError(f"{options.batch_size} is no number from 1 to 64.", field="batch_size")
    buckets = _buckets(options, words)
    count = options.count if options.count is not None else sum(buckets.values()) if options.dataset_config else 200
    if not 1 <= count <= MOST:
        raise InputError(f"{count} is no number from 1 to {MOST}.", field="count", advice="Give --count.")
    request = {
        "prompt": options.prompt or words,
        "negative_prompt": options.negative_prompt,
        "steps": options.steps,
        "cfg_scale": options.scale,
        "sampler": find(options.sampler, field="sampler").name,
    }
    folder = user_path(options.outdir).absolute()
    return Series(folder=folder, counts=shares(buckets, count), caption=words, request=request, seed=options.seed)


def _buckets(options: argparse.Namespace, words: str) -> Counter[Size]:
    """How often an epoch shows each size: of the pictures of this class, where the data set has such."""
    if not options.dataset_config:
        return Counter({_size(options): 1})
    plan = make_plan(dataset_config.load(Path(options.dataset_config), _with_resolution(options)), verify=False)
    plan.raise_errors()
    mine = [image for image in plan.images if not image.is_reg]
    named = [image for image in mine if (plan.subsets[image.subset].spec.class_tokens or "").endswith(words)]
    found: Counter[Size] = Counter()
    for image in named or mine:
        found[image.bucket] += image.repeats
    return found


def _with_resolution(options: argparse.Namespace) -> TrainOptions:
    """Defaults, with the size that a data set file may leave to the command line."""
    usual = TrainOptions()
    return replace(usual, dataset=replace(usual.dataset, resolution=",".join(map(str, _size(options))), enable_bucket=True))


def _size(options: argparse.Namespace) -> Size:
    if options.resolution is None:
        side = modelfile.probe(options.ckpt).side or 512
        return side, side
    found = re.fullmatch(r"(\d{2,5})(?:[,x](\d{2,5}))?", options.resolution.replace(" ", ""))
    if not found:
        raise InputError(f"{options.resolution!r} is no size.", field="resolution", advice="Write 512, or 512,768.")
    return int(found[1]), int(found[2] or found[1])
