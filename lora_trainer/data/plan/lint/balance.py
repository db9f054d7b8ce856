"""How often what is shown: buckets that fill no batch, concepts out of balance, too few or many steps."""

from __future__ import annotations

from collections.abc import Iterator

from ..model import DataPlan, Finding, Fix
from ..words import count, name_some

_UNBALANCED = 3.0  # times as often as another concept
_SELDOM, _OFTEN = 20, 600  # times that a training shows one picture
_FEW_STEPS = 600  # a training of thousands of pictures shows each of them seldom, and is none of the short ones
_FEW_PICTURES = 5
_USUAL = 150
_COARSE_STEPS = 128  # pixels between buckets


def findings(plan: DataPlan, total_steps: int | None, accumulation: int) -> Iterator[Finding]:
    """Findings about numbers: what an epoch, and the training, shows how often."""
    for index in range(len(plan.datasets)):
        yield from _unfilled(plan, index)
        yield from _concepts(plan, index)
    if total_steps:
        yield from _shown(plan, total_steps, accumulation)


def _unfilled(plan: DataPlan, index: int) -> Iterator[Finding]:
    """Buckets with fewer samples than a batch: their steps learn from fewer pictures than the others."""
    dataset = plan.datasets[index]
    size = plan.global_batch_size(index)
    unfilled = {bucket: samples for bucket, samples in dataset.buckets.items() if samples < size}
    if size < 2 or len(dataset.buckets) < 2 or not unfilled:
        return
    some = name_some(f"{width}x{height}" for width, height in unfilled)
    buckets = count(len(unfilled), "bucket has", "buckets have")
    message = f"{buckets} fewer pictures than the batch of {size} takes ({some})."
    images = [image for image in plan.images if image.dataset == index and image.repeats and image.bucket in unfilled]
    coarser = dataset.spec.bucket_reso_steps < _COARSE_STEPS <= min(dataset.resolution)
    fix = Fix("set", {"bucket_reso_steps": _COARSE_STEPS}) if coarser else None
    files = tuple(image.path for image in images)
    yield Finding("info", message, "", "bucket_reso_steps", "unfilled_bucket", files, fix)


def _concepts(plan: DataPlan, index: int) -> Iterator[Finding]:
    """Folders with words of their own, of which one is shown much more often than another."""
    shown: dict[int, int] = {}
    for image in plan.images:
        if image.dataset == index and not image.is_reg and not image.kept_aside:
            shown[image.subset] = shown.get(image.subset, 0) + image.repeats
    if len(shown) < 2:
        return
    most, least = max(shown, key=shown.__getitem__), min(shown, key=shown.__getitem__)
    if not shown[least] or shown[most] < _UNBALANCED * shown[least]:
        return
    often, seldom = plan.subsets[most], plan.subsets[least]
    message = (
        f"{seldom.name} is shown {shown[least]:,} times in an epoch, but {often.name} is shown {shown[most]:,} times. "
        "More repeats balance them."
    )
    repeats = {str(plan.subsets[one].spec.place): _balanced(plan, one, shown[most]) for one in shown}
    where = str(seldom.spec.place)
    yield Finding("warning", message, where, "num_repeats", "unbalanced", fix=Fix("set_repeats", {"repeats": repeats}))


def _balanced(plan: DataPlan, subset: int, most: int) -> int:
    return max(1, round(most / max(1, plan.subsets[subset].images)))


def _shown(plan: DataPlan, total_steps: int, accumulation: int) -> Iterator[Finding]:
    """How often the training shows a picture, where there is more than a handful and less than is plainly wrong."""
    images = [image for image in plan.images if image.repeats and not image.is_reg]
    samples = sum(dataset.samples for dataset in plan.datasets)
    if len(images) < _FEW_PICTURES or not plan.batches_per_epoch:
        return
    of_an_epoch = sum(image.repeats for image in images) / samples
    times = total_steps * accumulation * samples / plan.batches_per_epoch * of_an_epoch / len(images)
    wanted = max(1, round(total_steps * _USUAL / max(times, 1e-9)))
    fix = Fix("set", {"max_train_steps": wanted, "max_train_epochs": None})
    if 1 <= times < _SELDOM and total_steps < _FEW_STEPS:
        many = "is shown once" if round(times) == 1 else f"is shown {times:.0f} times"
        message = f"each of the {len(images):,} pictures {many} in {total_steps:,} steps, which is little."
        yield Finding("info", message, "", "max_train_steps", "shown_seldom", fix=fix)
    elif _OFTEN < times <= 1000:
        message = f"each of the {len(images):,} pictures is shown {times:,.0f} times, which is much."
        yield Finding("info", message, "", "max_train_steps", "shown_often", fix=fix)
