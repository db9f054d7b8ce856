"""`--debug_dataset`: the first batches as the model will see them, in the terminal and as a page; nothing is trained.

It needs no base model, no network and no card.
"""

from __future__ import annotations

from pathlib import Path

from .. import log
from ..data.dataset import TrainDataset
from ..data.gallery import write_gallery
from ..log import logger
from ..options import TrainOptions
from ..paths import user_path
from ..runs.events import ConsoleReporter
from . import prepare
from .distributed import Processes


def show(options: TrainOptions) -> Path:
    """Write and tell the first batches of `options`; returns the page that shows them.

    It lies in the folder `NAME-batches` of output_dir. Raises InputError(s) for what is wrong with the data, and SaveError.
    """
    emit = ConsoleReporter().emit
    chosen = options.training
    plan = prepare.data_plan(options, chosen.seed or 0, Processes("cpu"), emit)
    counts = prepare.step_counts(chosen, plan)
    dataset = TrainDataset(
        plan, gradient_accumulation_steps=chosen.gradient_accumulation_steps, max_train_steps=counts.total_steps
    )
    name = options.saving.output_name or "dataset"
    folder = user_path(options.saving.output_dir or ".").absolute() / f"{name}-batches"
    if chosen.seed is None:
        logger.warning("without --seed each training draws other batches; these are those of seed 0.")
    page = write_gallery(dataset, plan, folder, tell=logger.info, progress=log.progress_lines())
    logger.info("the batches are shown in %s", page)
    return page
