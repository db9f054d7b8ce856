"""The plan itself: frozen records, the batches of an epoch, and the summary that the page shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from ...errors import InputError, InputErrors
from ...randomness import rng
from .regularisation import shown_by, turn

if TYPE_CHECKING:
    from ...options.dataset_config import DatasetSpec, SubsetSpec

Size = tuple[int, int]  # (width, height) in pixels


def printable(text: str) -> str:
    """`text` with `?` for what cannot be written as UTF-8: bytes of file names in another encoding."""
    return text.encode("utf-8", "replace").decode("utf-8")


@dataclass(frozen=True)
class Fix:
    """What mends a finding: the name of a mend (`lora_trainer.datasets.mending`; `set` changes options), and its values."""

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something the user should know. An `error` keeps training from starting.

    `code` names its kind (`lint.WHY` says why it matters); `files` are the paths of the pictures that it is about.
    """

    level: Literal["error", "warning", "info"]
    message: str
    where: str = ""  # the file or folder
    field: str = ""  # the option or TOML key that can mend it
    code: str = ""
    files: tuple[str, ...] = ()
    fix: Fix | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", printable(self.message))
        object.__setattr__(self, "where", printable(self.where))


@dataclass(frozen=True, slots=True)
class PlannedImage:
    """One image of one subset, and how it is brought to its bucket. Sizes are (width, height), EXIF orientation applied."""

    id: int  # its place in DataPlan.images
    path: str
    size: Size
    bucket: Size  # what is trained
    resized: Size  # before cropping to the bucket; covers it
    caption: str  # as read: not shuffled, without prefix and suffix; class tokens where there is no caption file
    has_caption: bool  # a caption file was found
    repeats: int  # how often the first epoch shows it (see DataPlan.shown); 0 for one kept aside
    is_reg: bool
    subset: int  # index in DataPlan.subsets
    dataset: int  # index in DataPlan.datasets
    kept_aside: bool = False  # the loss is measured on it (validation_split)
    mask: str = ""  # the picture that shows what of it is learned; its own path where its transparency does; "": all of it
    tags: str | None = None  # what a metadata file has as the image's tags, which are in the caption; None for other images


@dataclass(frozen=True)
class SubsetPlan:
    """One folder of one data set, or the images of one metadata file."""

    spec: SubsetSpec
    dataset: int
    images: int  # image files that can be trained
    captions_found: int  # of these
    kept_aside: int = 0  # further images, for validation

    @property
    def name(self) -> str:
        """The name of the folder, or of the metadata file, which a LoRA's metadata shows instead of its path."""
        return self.spec.place.name


@dataclass(frozen=True)
class DatasetPlan:
    """One [[datasets]] table with what was counted in it. Limits of the buckets are None where there are none."""

    spec: DatasetSpec
    resolution: Size
    train_images: int  # with repeats
    reg_images: int  # found, with repeats; not the number used
    samples: int  # per epoch: training images and as many regularisation images as are used
    buckets: dict[Size, int]  # samples per epoch of each bucket in use, sorted by size
    mean_aspect_error: float | None  # mean over images of |bucket's aspect - image's aspect|; None without buckets
    min_bucket_reso: int | None
    max_bucket_reso: int | None


@dataclass(frozen=True, slots=True)
class PlannedBatch:
    """One global batch: what all processes together train on between two backward passes."""

    dataset: int
    size: Size  # (width, height) of every sample
    images: tuple[int, ...]  # ids
    first: int  # number of the first sample within its epoch, counted in the order of the batches

    def share(self, rank: int, world_size: int) -> range:
        """Positions in `images` of one process: contiguous, as even as can be; empty if samples are fewer than processes."""
        per_rank = -(-len(self.images) // world_size)
        return range(min(rank * per_rank, len(self.images)), min((rank + 1) * per_rank, len(self.images)))


@dataclass
class _Bucket:
    """What an epoch takes of a bucket: `train`, ids with repeats; `reg_places` of the regularisation images (id, repeats)."""

    dataset: int
    size: Size
    train: list[int] = field(default_factory=list)
    reg: list[tuple[int, int]] = field(default_factory=list)
    reg_places: int = 0


@dataclass(frozen=True)
class DataPlan:
    """Everything that `make_plan` found out. Pickles; holds no open file."""

    datasets: tuple[DatasetPlan, ...]
    subsets: tuple[SubsetPlan, ...]
    images: tuple[PlannedImage, ...]
    findings: tuple[Finding, ...]
    seed: int
    prior_loss_weight: float
    world_size: int
    epochs: int | None = None  # of the training; None while they are not counted
    unread: int = 0  # images of which nobody knows yet whether they are whole, see make_plan's `until`

    def raise_errors(self) -> None:
        """Raise InputErrors with every finding of level error, if there is one."""
        errors = [InputError(f.message, field=f.field, where=f.where) for f in self.findings if f.level == "error"]
        if errors:
            raise InputErrors(errors)

    @property
    def kept_aside(self) -> tuple[PlannedImage, ...]:
        """The images that the loss is measured on, of all data sets."""
        return tuple(image for image in self.images if image.kept_aside)

    def interpolation(self, image: PlannedImage) -> str | None:
        """The filter that resizes an image: its folder's, else its data set's, else None."""
        return self.subsets[image.subset].spec.resize_interpolation or self.datasets[image.dataset].spec.resize_interpolation

    def global_batch_size(self, dataset: int) -> int:
        """Samples that all processes together take at once."""
        return max(1, self.datasets[dataset].spec.batch_size) * self.world_size

    def batches_of(self, dataset: int, samples: int) -> int:
        """Batches that `samples` samples of one bucket fill; the last may be smaller."""
        return -(-samples // self.global_batch_size(dataset))

    @cached_property
    def batches_per_epoch(self) -> int:
        """Number of global batches in an epoch."""
        return sum(self.batches_of(i, n) for i, dataset in enumerate(self.datasets) for n in dataset.buckets.values())

    @cached_property
    def _samples(self) -> tuple[_Bucket, ...]:
        """What every bucket holds, in a fixed order."""
        groups: dict[tuple[int, Size], _Bucket] = {}
        for image in self.images:
            group = groups.setdefault((image.dataset, image.bucket), _Bucket(image.dataset, image.bucket))
            if image.is_reg:
                group.reg.append((image.id, self.subsets[image.subset].spec.num_repeats))
                group.reg_places += image.repeats
            else:
                group.train += [image.id] * image.repeats
        return tuple(group for _, group in sorted(groups.items()) if group.train or group.reg_places)

    @cached_property
    def shown(self) -> frozenset[int]:
        """The ids of the images that the training shows in its `epochs` (any number, where that is not known)."""
        regularisation = (shown_by(one.reg, one.reg_places, self.epochs) for one in self._samples)
        return frozenset(image for one in self._samples for image in one.train).union(*regularisation)

    def batches(self, epoch: int) -> list[PlannedBatch]:
        """Batches of an epoch (counted from 0): samples shuffled within their bucket, then all batches of all data sets."""
        random = rng(self.seed, "batches", epoch)
        cut: list[tuple[int, Size, tuple[int, ...]]] = []
        for one in self._samples:
            shuffled = sorted([*one.train, *turn(one.reg, one.reg_places, epoch)])
            random.shuffle(shuffled)
            step = self.global_batch_size(one.dataset)
            cut += [(one.dataset, one.size, tuple(shuffled[at : at + step])) for at in range(0, len(shuffled), step)]
        random.shuffle(cut)
        batches, first = [], 0
        for dataset, bucket, ids in cut:
            batches.append(PlannedBatch(dataset, bucket, ids, first))
            first += len(ids)
        return batches

    def summary(self) -> dict[str, Any]:
        """What the page shows, ready for JSON."""
        used = Counter({i: 0 for i in range(len(self.subsets))})
        masks: Counter[int] = Counter()
        for image in self.images:
            used[image.subset] += image.repeats
            masks[image.subset] += bool(image.mask) and not image.kept_aside
        return {
            "folders": [self._folder_summary(subset, used[i], masks[i]) for i, subset in enumerate(self.subsets)],
            "datasets": [self._dataset_summary(i) for i in range(len(self.datasets))],
            "images": len(self.images) - len(self.kept_aside),
            "kept_aside": len(self.kept_aside),
            "train_images": sum(dataset.train_images for dataset in self.datasets),
            "reg_images": sum(dataset.reg_images for dataset in self.datasets),
            "samples_per_epoch": sum(dataset.samples for dataset in self.datasets),
            "batches_per_epoch": self.batches_per_epoch,
            "findings": [asdict(replace(finding, files=tuple(map(printable, finding.files)))) for finding in self.findings],
        }

    def _folder_summary(self, subset: SubsetPlan, samples: int, masks: int) -> dict[str, Any]:
        return {
            "folder": printable(str(subset.spec.place)),
            "name": printable(subset.name),
            "dataset": subset.dataset,
            "images": subset.images,
            "kept_aside": subset.kept_aside,
            "repeats": subset.spec.num_repeats,
            "samples_per_epoch": samples,
            "captions_found": subset.captions_found,
            "captions_missing": subset.images - subset.captions_found,
            "masks_found": masks,
            "class_tokens": subset.spec.class_tokens or "",
            "is_reg": subset.spec.is_reg,
        }

    def _dataset_summary(self, index: int) -> dict[str, Any]:
        dataset = self.datasets[index]
        images = Counter(image.bucket for image in self.images if image.dataset == index and image.repeats)
        return {
            "resolution": list(dataset.resolution),
            "batch_size": dataset.spec.batch_size,
            "enable_bucket": dataset.spec.enable_bucket,
            "samples_per_epoch": dataset.samples,
            "batches_per_epoch": sum(self.batches_of(index, n) for n in dataset.buckets.values()),
            "mean_aspect_error": dataset.mean_aspect_error,
            "buckets": [
                {
                    "width": bucket[0],
                    "height": bucket[1],
                    "images": images[bucket],
                    "samples": samples,
                    "batches": self.batches_of(index, samples),
                }
                for bucket, samples in dataset.buckets.items()
            ],
        }
