r"""`python -m lora_trainer gen_img_diffusers`: pictures with networks, by the options and prompt lines of kohya-ss' script.

python -m lora_trainer gen_img_diffusers --ckpt v1-5.safetensors --outdir out --sampler euler_a --images_per_prompt 4 \
    --network_module networks.lora networks.lora --network_weights sls.safetensors ink.safetensors --network_mul 0.8 0.4 \
    --prompt "a photo of sls {frog|cat} --n blurry --d 1,2,3,4"
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ... import log, modelfile
from ...embeddings import files as embedding_files
from ...errors import InputError, InputErrors, LoraTrainerError
from ...foreign.reading import is_there
from ...log import logger
from ...models.words import check as check_word
from ...networks import files
from ...options import tool_cli
from ...options.gen_img import GenImg
from ..generate import Details, LoraFolders, draw, save_png, without_tags
from ..names import Names
from ..prompts import read_lines
from ..request import ImageRequest
from ..session import Session
from . import start_images
from .checks import check, check_family, merged_networks
from .networks import Networks, chosen
from .plan import Job, plan

if TYPE_CHECKING:
    from ...models import Model
    from ..lora_folders import LoraUse


def main(argv: Sequence[str]) -> int:
    """Draw what the arguments ask for; returns 0. Raises InputError(s) and other LoraTrainerErrors."""
    options = tool_cli.parse(GenImg, "gen_img_diffusers", argv)
    log.setup(options.console_log_level or "INFO", options.console_log_file, simple=options.console_log_simple)
    run(options)
    return 0


def run(options: GenImg) -> None:
    """Everything that can be wrong without the model is found before it is loaded."""
    check(options)
    uses = chosen(options)
    starts = start_images.find(Path(options.image_path)) if options.image_path else []
    source = str(options.ckpt)
    kind = modelfile.probe(Path(source)).kind if is_there(Path(source)) else "unknown"
    check_family(options, kind, source)
    changeable = len(uses) - merged_networks(options)

    folders = LoraFolders([Path(path) for path in options.lora_dir or ()])

    def planned(lines: Sequence[tuple[str, str]]) -> list[Job]:
        # Of a model on Hugging Face the family is known when it is loaded.
        jobs = plan(options, lines, starts=starts, networks=changeable, sdxl=kind in ("sdxl", "unknown"))
        _check_tags(jobs, folders)
        return jobs

    jobs = None if options.interactive else planned(_lines(options))
    given = (*(options.textual_inversion_embeddings or ()), *(options.XTI_embeddings or ()))
    words = {Path(path).stem: Path(path) for path in given}
    vectors = {word: embedding_files.load(path) for word, path in words.items()}
    if options.network_show_meta:
        _show_metadata(uses)
    model = _load(options)
    check_family(options, model.family.name, source)
    for word in words:  # one that was asked for by its file must not be left out
        check_word(model, word, vectors[word])
    names = Names(Path(options.outdir), sequential=options.sequential_file_name)
    with Networks(model, uses, options) as networks:
        if jobs is not None:
            _draw(options, model, networks, names, folders, words, jobs)
            return
        for number, line in enumerate(_asked(), 1):
            try:
                _draw(options, model, networks, names, folders, words, planned([(f"prompt {number}", line)]))
            except LoraTrainerError as error:
                sys.stderr.write(f"{error}\n")


def _lines(options: GenImg) -> list[tuple[str, str]]:
    """(place, text) of the prompt lines."""
    if options.prompt:
        return [("--prompt", options.prompt)]
    lines = read_lines(Path(str(options.from_file)))
    if not lines:
        raise InputError(
            "there is no prompt in this file.", field="from_file", where=str(options.from_file), advice="Write one a line."
        )
    return lines


def _asked() -> Iterator[str]:
    """The lines that the user types, up to an empty one or the end."""
    while True:
        sys.stderr.write("Prompt (an empty line ends): ")
        sys.stderr.flush()
        line = sys.stdin.readline().strip()
        if not line:
            return
        yield line


def _show_metadata(uses: Iterable[LoraUse]) -> None:
    for use in uses:
        metadata = files.read_metadata(use.path)
        sys.stdout.write(f"{use.path}: {json.dumps(metadata, ensure_ascii=False, indent=2, sort_keys=True)}\n")


def _load(options: GenImg) -> Model:
    logger.info("loading %s", options.ckpt)
    model = Session().model(
        str(options.ckpt),
        vae=options.vae,
        precision="fp16" if options.fp16 else "bf16" if options.bf16 else "fp32",
        device=options.device,
        attention="torch" if options.sdpa or not (options.xformers or options.diffusers_xformers) else "xformers",
        no_half_vae=options.no_half_vae,
        prediction_type="v_prediction" if options.v_parameterization else None,
    )
    if options.zero_terminal_snr and model.prediction_type != "v_prediction":
        raise InputError(
            f"zero_terminal_snr is for models that predict velocity, but {options.ckpt} predicts noise.",
            field="zero_terminal_snr",
            advice="Leave zero_terminal_snr out, or choose another model.",
        )
    model.zero_terminal_snr |= options.zero_terminal_snr
    if options.opt_channels_last:
        model.unet.to(memory_format=torch.channels_last)
    return model


def _check_tags(jobs: Iterable[Job], folders: LoraFolders) -> None:
    """Raise InputErrors for `<lora:...>` that cannot be used, with their lines."""
    errors: dict[str, InputError] = {}
    for request, where in dict.fromkeys((job.request, job.prompt.where) for job in jobs):
        try:
            without_tags(request, folders)
        except InputError as error:
            placed = InputError(error.message, field=error.field, where=where, advice=error.advice)
            errors[str(placed)] = placed
    if errors:
        raise InputErrors(errors.values())


def _draw(
    options: GenImg,
    model: Model,
    networks: Networks,
    names: Names,
    folders: LoraFolders,
    words: Mapping[str, Path],
    jobs: Sequence[Job],
) -> None:
    count, done = sum(len(job.seeds) for job in jobs), 0
    for job in jobs:
        networks.set_multipliers(job.prompt.multipliers)
        start = start_images.read(job.start) if job.start else None
        request = job.sized(*(start_images.natural_size(start) if start else (model.family.size,) * 2))
        details = Details(
            seeds=job.seeds,
            start=start,
            strength=job.strength,
            negative_scale=job.negative_scale,
            max_chunks=options.max_embeddings_multiples,
            sizes=job.sizes,
            hashes=networks.hashes,
            multipliers=networks.multipliers,
        )
        name = job.prompt.file_name or (job.start.stem if job.start and options.use_original_file_name else None)
        for picture in draw(model, request, loras=folders, words=words, details=details):
            path = names.path(picture.seed, name)
            save_png(path, picture, _texts(options, job, request, picture.seed))
            done += 1
            logger.info("%d / %d written: %s", done, count, path)
            if options.interactive and not options.no_preview:
                picture.image.show(title=path.name)


def _texts(options: GenImg, job: Job, request: ImageRequest, seed: int) -> dict[str, str]:
    """What is written into the picture besides the Web UI's text: the reference's keys."""
    texts = {
        "prompt": request.prompt,
        "seed": seed,
        "sampler": options.sampler,
        "steps": request.steps,
        "scale": request.cfg_scale,
        "negative-prompt": request.negative_prompt,
        "negative-scale": job.negative_scale,
        "raw-prompt": job.raw,
        **{name.replace("_", "-"): value for name, value in job.sizes.items()},
    }
    return {key: str(value) for key, value in texts.items() if value is not None}
