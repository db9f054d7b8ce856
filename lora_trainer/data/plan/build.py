"""make_plan: from the specification of the data to what will be trained."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .aside import kept_aside
from .buckets import Fit
from .check import check_dataset
from .faces import report_faces
from .files import FACTS, FactsCache, Reading
from .fitting import Fitter
from .folder import FoundImage, read_folder, shorten
from .masks import MaskReader
from .memory import FolderMemory
from .metadata_images import read_metadata
from .model import DataPlan, DatasetPlan, Finding, PlannedImage, Size, SubsetPlan
from .regularisation import balance_regularisation
from .word import lacking, taken
from .words import count

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec, DataSpec, SubsetSpec

_MEMORY, _MASKS = FolderMemory(), MaskReader()
_OFTEN_AGAIN = 10  # times that an epoch shows one regularisation image: then it is learned by heart
MAX_SAMPLES = 10_000_000  # of an epoch: its order is held in memory


def make_plan(
    spec: DataSpec,
    *,
    seed: int = 0,
    prior_loss_weight: float = 1.0,
    world_size: int = 1,
    verify: bool = True,
    until: float | None = None,
    facts: FactsCache = FACTS,
) -> DataPlan:
    """Look at every folder of `spec` and plan the training. Never raises for bad data: see `DataPlan.findings`.

    `world_size` is the number of processes that share each batch; `verify` decodes every image to its end, so that a
    truncated one is found now. What is known of a file is remembered until it changes. With `until` (of time.monotonic) no
    image is begun to be decoded after that time: `DataPlan.unread` says how many are left; ask again for them.
    """
    if spec.skip_cache_check:
        facts, until = FactsCache(), None  # what is trusted here is not for others, and forgotten before one asks again
    memory = _MEMORY if facts is FACTS else FolderMemory()
    builder = _Builder(Reading(facts, verify, until), memory, spec.masked_loss, spec.skip_cache_check)
    builder.findings += [Finding("warning", message, str(spec.source or "")) for message in spec.skipped]
    for dataset in spec.datasets:
        builder.add_dataset(dataset)
    builder.count(seed)
    samples = sum(dataset.samples for dataset in builder.datasets)
    if samples > MAX_SAMPLES:
        repeats = max(subset.spec.num_repeats for subset in builder.subsets)
        builder.findings.append(
            Finding(
                "error",
                f"an epoch would show {samples:,} images, at most {MAX_SAMPLES:,} can be. Lower the repeats ({repeats:,}).",
                str(spec.source or ""),
                "num_repeats",
            )
        )
    if not any(image.repeats for image in builder.images):
        where = str(spec.source or "")
        if any(image.is_reg for image in builder.images):
            builder.findings.append(
                Finding("error", "there are regularisation images only, nothing to train.", where, "train_data_dir")
            )
        elif not any(finding.level == "error" for finding in builder.findings):
            builder.findings.append(Finding("error", "there are no images to train.", where, "train_data_dir"))
    if spec.word:
        builder.findings += [*taken(spec.word), *lacking(spec.word, builder.images, builder.subsets)]
    return DataPlan(
        datasets=tuple(builder.datasets),
        subsets=tuple(builder.subsets),
        images=tuple(builder.images),
        findings=tuple(shorten(builder.findings)),
        seed=seed,
        prior_loss_weight=prior_loss_weight,
        world_size=world_size,
        unread=builder.unread,
    )


@dataclass
class _Found:
    """An image on its way into the plan."""

    image: FoundImage
    fit: Fit
    subset: int
    repeats: int
    is_reg: bool
    mask: str
    kept_aside: bool = False


def _place(folder: Path) -> object:
    """What is the same for one folder however it is written: with `..`, in other case, through a link or another drive."""
    with contextlib.suppress(OSError, ValueError):
        stat = folder.stat()
        if stat.st_ino:
            return stat.st_dev, stat.st_ino
    return os.path.normcase(Path(folder).absolute())


@dataclass
class _Builder:
    reading: Reading
    memory: FolderMemory
    masked_loss: bool = False
    trusting: bool = False
    findings: list[Finding] = field(default_factory=list)
    datasets: list[DatasetPlan] = field(default_factory=list)
    subsets: list[SubsetPlan] = field(default_factory=list)
    images: list[PlannedImage] = field(default_factory=list)
    found: list[tuple[DatasetSpec, Fitter, list[_Found]]] = field(default_factory=list)
    unread: int = 0

    def add_dataset(self, spec: DatasetSpec) -> None:
        self.findings += check_dataset(spec)
        fitter = Fitter.of(spec, self.findings)
        found: list[_Found] = []
        for subset in self._used_subsets(spec):
            read = functools.partial(self._read, subset)
            images = self.memory.look(subset, self.reading.verify, read, self.findings)
            if not images:
                continue
            self.unread += sum(image.is_unread for image in images)
            report_faces(subset, images, self.findings)
            masks = _MASKS.find(subset, images, self.masked_loss, self.findings)
            for image in images:
                fit = fitter.fit(image, subset, self.findings)
                if fit is not None:
                    mask = masks.get(image.path, "")
                    found.append(_Found(image, fit, len(self.subsets), subset.num_repeats, subset.is_reg, mask))
            captions = sum(image.has_caption for image in images)
            self.subsets.append(SubsetPlan(subset, len(self.found), len(images), captions))
        self.found.append((spec, fitter, found))

    def count(self, seed: int) -> None:
        """Keep images aside, and count what is trained. `seed` is that of a split that has none of its own."""
        aside: set[str] = set()
        for spec, _, found in self.found:
            aside |= kept_aside(spec, (item.image.path for item in found if not item.is_reg), seed, self.findings)
        for spec, fitter, found in self.found:
            kept = [item for item in found if not item.is_reg and item.image.path in aside]  # also where another set keeps them
            for item in kept:
                item.repeats, item.kept_aside = 0, True
                subset = self.subsets[item.subset]
                captions = subset.captions_found - item.image.has_caption
                self.subsets[item.subset] = replace(
                    subset, images=subset.images - 1, captions_found=captions, kept_aside=subset.kept_aside + 1
                )
            if kept:
                whole = sum(not item.is_reg for item in found)
                message = f"{len(kept)} of {whole} images are kept aside to measure the loss on; no step learns from them."
                self.findings.append(Finding("info", message, str(Path(kept[0].image.path).parent), "validation_split"))
            self._count(spec, fitter, found)

    def _read(self, subset: SubsetSpec, findings: list[Finding]) -> list[FoundImage]:
        if subset.metadata_file:
            return read_metadata(subset, self.reading, findings=findings)
        return read_folder(subset, self.reading, findings=findings, trusting=self.trusting)

    def _used_subsets(self, spec: DatasetSpec) -> Iterable[SubsetSpec]:
        """The subsets that count, in order; as in kohya-ss, one without repeats or named twice is left out, but we say so."""
        seen: dict[object, SubsetSpec] = {}
        for subset in spec.subsets:
            folder = str(subset.place)
            if subset.num_repeats < 1:
                message = f"the folder is left out, because its num_repeats is {subset.num_repeats}."
                if subset.metadata_file:
                    message = f"the metadata file is left out, because its num_repeats is {subset.num_repeats}."
                self.findings.append(Finding("warning", message, folder, "num_repeats"))
                continue
            first = seen.setdefault(_place(subset.place), subset)
            if first is not subset:
                message = "the folder is named twice in one data set; the second is left out. num_repeats shows it more often."
                if subset.metadata_file:
                    message = "the metadata file is named twice in one data set; the second is left out."
                if first.is_reg != subset.is_reg:
                    message = "the folder is named for training and for regularisation images; the second is left out."
                code = "" if first.is_reg == subset.is_reg else "reg_is_folder"
                field = "metadata_file" if subset.metadata_file else "image_dir"
                self.findings.append(Finding("warning", message, folder, field, code))
                continue
            yield subset

    def _count(self, spec: DatasetSpec, fitter: Fitter, found: list[_Found]) -> None:
        train = sum(item.repeats for item in found if not item.is_reg)
        reg = [item for item in found if item.is_reg]
        reg_total = sum(item.repeats for item in reg)
        for item, shown in zip(reg, balance_regularisation([item.repeats for item in reg], train), strict=True):
            item.repeats = shown
        self._tell_balance(reg, reg_total, train)
        buckets: dict[Size, int] = {}
        errors = []
        for item in found:
            if item.repeats:
                buckets[item.fit.bucket] = buckets.get(item.fit.bucket, 0) + item.repeats
                errors.append(abs(item.fit.aspect_error))
            self.images.append(self._planned(item))
        self.datasets.append(
            DatasetPlan(
                spec=spec,
                resolution=spec.resolution,
                train_images=train,
                reg_images=reg_total,
                samples=sum(buckets.values()),
                buckets=dict(sorted(buckets.items())),
                mean_aspect_error=sum(errors) / len(errors) if errors and spec.enable_bucket else None,
                min_bucket_reso=fitter.limits[0] if spec.enable_bucket else None,
                max_bucket_reso=fitter.limits[1] if spec.enable_bucket else None,
            )
        )
        fitter.report([(item.image, item.fit) for item in found], self.findings)

    def _tell_balance(self, reg: list[_Found], reg_total: int, train: int) -> None:
        """How the regularisation images fill the places that the training images ask for, in words."""
        if not reg or not train:
            return
        unused = [item for item in reg if not item.repeats]
        where = str(Path((unused or reg)[0].image.path).parent)
        if unused:
            message = (
                f"{len(reg) - len(unused)} of {len(reg)} regularisation images are used in an epoch, as many as there are"
                f" training images with their repeats ({train}); the next epoch goes on with the others."
            )
            self.findings.append(Finding("info", message, where, "num_repeats", "reg_unused"))
        elif reg_total < train:
            times = train / len(reg)
            often = f"{times:.0f}" if times >= 10 else f"{times:.1f}".removesuffix(".0")
            message = (
                f"{count(len(reg), 'regularisation image fills', 'regularisation images fill')} {train:,} places: each is used"
                f" about {often} times in an epoch."
            )
            level: Literal["warning", "info"] = "warning" if times >= _OFTEN_AGAIN else "info"
            self.findings.append(Finding(level, message, where, "num_repeats", "reg_few"))

    def _planned(self, item: _Found) -> PlannedImage:
        return PlannedImage(
            id=len(self.images),
            path=item.image.path,
            size=item.image.size,
            bucket=item.fit.bucket,
            resized=item.fit.resized,
            caption=item.image.caption,
            has_caption=item.image.has_caption,
            repeats=item.repeats,
            is_reg=item.is_reg,
            subset=item.subset,
            dataset=len(self.datasets),
            kept_aside=item.kept_aside,
            mask=item.mask,
            tags=item.image.tags,
        )
