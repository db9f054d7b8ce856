"""Large data sets: time and memory of plan, check and first step, and pictures per second from the disk.

    python -m benchmarks.data                              # 100,000 small images, and 32 photographs of 1600x1200
    python -m benchmarks.data --images 2000 --photos 8     # quicker

Everything is made in a temporary folder. Each measurement of the data set runs in a process of its own, whose peak of memory is
its own, too. The opponent of the loading is a plain PyTorch data set that opens a picture with Pillow, resizes it with the same
function, cuts the middle out and makes a tensor of it, read by as many processes; both read the same files in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.dataset import EpochStream, TrainDataset
from lora_trainer.data.latents_store import LatentsStore
from lora_trainer.data.plan import DataPlan, make_plan
from lora_trainer.data.plan.digest import digests
from lora_trainer.data.plan.files import FactsCache
from lora_trainer.data.plan.lint import Looks
from lora_trainer.data.resize import resize
from lora_trainer.datasets import planning as planning_of_edits
from lora_trainer.datasets import queries
from lora_trainer.datasets.edits import read_edit
from lora_trainer.datasets.library import Library
from lora_trainer.options import config_file
from lora_trainer.options.data_spec import DatasetSpec, DataSpec, SubsetSpec
from lora_trainer.options.resolve import train_options

ROOT = Path(__file__).resolve().parents[1]
_DISTINCT = 64  # pictures; the others are links to them, so that a folder is made quickly
_SIDE = 64


def make_folder(folder: Path, count: int) -> Path:
    """A folder of `count` captioned images of a few sizes, 64 different ones."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    first = []
    for number in range(min(count, _DISTINCT)):
        size = (_SIDE + 16 * (number % 3), _SIDE + 16 * (number % 2))
        path = folder / f"{number:06}.png"
        Image.fromarray(random.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)).save(path)
        os.utime(path, (time.time() - 100,) * 2)
        first.append(path)
    for number in range(len(first), count):
        os.link(first[number % len(first)], folder / f"{number:06}.png")
    for number in range(count):
        (folder / f"{number:06}.txt").write_text(f"sls frog, colour {number % 5000}, {number % 7} legs\n")
    return folder


def spec_of(folder: Path, resolution: int) -> DataSpec:
    """A data set of one folder, with buckets."""
    subset = SubsetSpec(image_dir=folder, class_tokens="x", caption_extension=".txt")
    limits = {"min_bucket_reso": resolution // 2, "max_bucket_reso": 2 * resolution, "bucket_reso_steps": 16}
    return DataSpec(
        datasets=(DatasetSpec(subsets=(subset,), resolution=(resolution, resolution), enable_bucket=True, **limits),)
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """(what `work` returns, seconds that it took)."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def planning(folder: str) -> dict[str, float]:
    """Seconds of planning, of a second look (what the page's check costs while one types), of the digest and of a batch."""
    spec = spec_of(Path(folder), _SIDE)
    plan, first = timed(lambda: make_plan(spec))
    _, again = timed(lambda: make_plan(spec))
    _, record = timed(lambda: digests(plan))
    _, batch = timed(lambda: TrainDataset(plan)[0, 0])
    return {"plan": first, "check again": again, "digest of all pictures": record, "order and first batch": batch}


class Blocks:
    """Stands for a VAE that costs next to nothing, so that what is left is the disk."""

    def posterior(self, images: torch.Tensor) -> torch.Tensor:
        mean = torch.nn.functional.avg_pool2d(images, 8)
        return torch.cat([mean, mean[:, :1], torch.zeros_like(mean), torch.zeros_like(mean[:, :1])], 1)

    def __call__(self, images: torch.Tensor, ids: list[int]) -> torch.Tensor:
        return self.draw(self.posterior(images), ids)

    @staticmethod
    def draw(posterior: torch.Tensor, ids: Any) -> torch.Tensor:
        return posterior.chunk(2, dim=1)[0]


def caching(folder: str) -> dict[str, float]:
    """Seconds in which the latents of all images are made and written, and found again."""
    plan = make_plan(spec_of(Path(folder), _SIDE))

    def build() -> Any:
        return LatentsCache.build(plan, Blocks(), batch_size=8, store=LatentsStore({"vae": "blocks"}))

    first, again = timed(build)[1], timed(build)[1]
    return {"latents made and written": first, "latents found again": again}


def editing(folder: str) -> dict[str, float]:
    """Seconds of what the data set page asks of its host: opening, filters, the tag table, a look before a bulk edit of all
    captions, the edit and its undo."""
    library = Library(Path(folder).parent / "data set page")
    try:
        dataset, opened = timed(lambda: library.open([Path(folder)], ".txt"))
        _, read = timed(lambda: dataset.wait(3600))
        every, found = timed(lambda: queries.matching(dataset, "NOT untagged AND name:*9*"))
        _, words = timed(lambda: queries.matching(dataset, "/colour [0-9]+7/"))
        edit = read_edit({"kind": "add", "tags": ["seen"], "at": "end"})
        ids = [one.id for one in queries.matching(dataset, "")]
        _, looked = timed(lambda: planning_of_edits.preview(dataset, edit, dataset.in_order(), {}))
        _, edited = timed(lambda: library.edit(dataset, edit, ids))
        _, undone = timed(lambda: library.undo(dataset))
    finally:
        library.close()
    assert every, "the filter finds some"
    return {
        "data set page: shown": opened,
        "every caption and size read": read,
        "a filter": found,
        "a regular expression": words,
        "look before an edit of all captions": looked,
        "the edit": edited,
        "its undo": undone,
    }


def looking(folder: str) -> dict[str, float]:
    """Milliseconds of the processor that one photograph costs: what a listing reads of it, what tells whether it is whole,
    what the lint looks at, and when all of it is known."""
    paths = [str(path) for path in sorted(Path(folder).iterdir()) if path.suffix == ".jpg"]
    known = FactsCache()
    known.look_at(paths)
    works: dict[str, Callable[[], Any]] = {
        "the header alone, as a page is answered": lambda: FactsCache().look_at(paths, verify=False),
        "read to its end, behind the answer": lambda: FactsCache().look_at(paths),
        "looked at by the lint, behind the answer": lambda: Looks().at(paths),
        "known already": lambda: known.look_at(paths),
    }
    return {name: 1000 * processor(work) / len(paths) for name, work in works.items()}


def in_process(name: str, folder: Path) -> dict[str, float]:
    """What the measurement `name` returns in a new process, with its peak of memory in MiB."""
    code = (
        "import json, resource, sys\n"
        "from benchmarks import data\n"
        "found = getattr(data, sys.argv[1])(sys.argv[2])\n"
        "found['MiB'] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "print(json.dumps(found))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", code, name, str(folder)]
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def first_step(model: Path, data: Path, root: Path) -> dict[str, float]:
    """Seconds of each phase of a training from its start to the end of its first step."""
    from benchmarks.start import start_once  # brings the models' packages, which the other measurements do without

    given = {
        "pretrained_model_name_or_path": str(model), "train_data_dir": str(data), "output_dir": str(root / "out"),
        "output_name": "x", "network_module": "networks.lora", "caption_extension": ".txt", "resolution": str(_SIDE),
        "enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 16, "learning_rate": 1e-4,
        "max_train_steps": 1, "max_data_loader_n_workers": 0, "network_train_unet_only": True, "seed": 1,
    }  # fmt: skip
    return start_once(root / "run", config_file.to_toml(train_options(given)))


def make_photos(folder: Path, count: int, size: tuple[int, int] = (1600, 1200)) -> Path:
    """`count` JPEG files with the grain of photographs."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(1)
    for number in range(count):
        coarse = Image.fromarray(random.integers(0, 255, (30, 40, 3), dtype=np.uint8)).resize(size)
        grain = random.normal(0, 6, (size[1], size[0], 3))
        Image.fromarray(np.clip(np.asarray(coarse) + grain, 0, 255).astype(np.uint8)).save(folder / f"{number}.jpg", quality=90)
    return folder


class Plain(Dataset[torch.Tensor]):
    """What a data set comes to that is written in ten lines: open, resize, cut the middle out, a tensor in -1..1."""

    def __init__(self, plan: DataPlan, epochs: int) -> None:
        self.images = [(image.path, image.resized, image.bucket) for image in plan.images] * epochs

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int) -> torch.Tensor:
        path, resized, (width, height) = self.images[number]
        with Image.open(path) as image:
            pixels = resize(np.asarray(image.convert("RGB")), resized)
        top, left = (resized[1] - height) // 2, (resized[0] - width) // 2
        pixels = np.ascontiguousarray(pixels[top : top + height, left : left + width].transpose(2, 0, 1))
        return torch.from_numpy(pixels).float() / 127.5 - 1


def loading(folder: Path, resolution: int, workers: int, least: int = 64, rounds: int = 3) -> dict[str, float]:
    """Pictures per second of `least` or more: ours, the plain loader's, and latents read from the disk in their place."""
    subset = SubsetSpec(image_dir=folder, class_tokens="x")
    plan = make_plan(DataSpec(datasets=(DatasetSpec(subsets=(subset,), resolution=(resolution, resolution)),)))
    cached = LatentsCache.build(plan, Blocks(), store=LatentsStore({"vae": "blocks"}), memory=0)

    epochs = -(-least // len(plan.images))

    def ours(latents: LatentsCache | None, epochs: int) -> DataLoader:
        stream = EpochStream(plan, epochs)
        return DataLoader(TrainDataset(plan, latents=latents), batch_size=None, sampler=stream, num_workers=workers)

    found: dict[str, list[float]] = {"ours": [], "plain": [], "latents": []}
    for _ in range(rounds):
        found["ours"].append(rate(ours(None, epochs)))
        found["plain"].append(rate(DataLoader(Plain(plan, epochs), batch_size=1, num_workers=workers)))
        found["latents"].append(rate(ours(cached, 20 * epochs)))
    plain, own = Plain(plan, 1), TrainDataset(plan)
    few = range(min(8, len(plan.images)))
    cost = {"ours, ms": processor(lambda: [own[0, n] for n in few]), "plain, ms": processor(lambda: [plain[n] for n in few])}
    rates = {name: statistics.median(rates) for name, rates in found.items()}
    return {**rates, **{name: 1000 * seconds / len(few) for name, seconds in cost.items()}}


def processor(work: Callable[[], Any]) -> float:
    """Seconds of the processor that `work` takes, whatever else the machine does: the least of three times."""

    def once() -> float:
        began = time.process_time()
        work()
        return time.process_time() - began

    return min(once() for _ in range(3))


def rate(loader: DataLoader) -> float:
    """Pictures per second, one a batch; without the start of the processes, which comes before the first."""
    count, began = -1, 0.0
    for _ in loader:
        began = began or time.perf_counter()
        count += 1
    return count / (time.perf_counter() - began)


def table(results: dict[str, Any]) -> str:
    """The results as two tables in Markdown."""
    count = results["images"]
    lines = [f"| {count:,} images of 64 pixels | seconds | MiB at most |", "|---|---|---|"]
    for part in ("planning", "caching", "editing"):
        found = results[part]
        lines += [f"| {name} | {value:.1f} | {found['MiB']:.0f} |" for name, value in found.items() if name != "MiB"]
    lines += [f"| training: {name} | {value:.1f} | |" for name, value in results["first step"].items() if value >= 0.5]
    lines += [
        "",
        "| photographs, 1600x1200 | ours, pictures/s | plain loader | cached latents | ours, ms of processor | plain | ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    for resolution, found in results["loading"].items():
        speed = f"{found['ours']:.1f} | {found['plain']:.1f} | {found['latents']:.0f}"
        cost = f"{found['ours, ms']:.0f} | {found['plain, ms']:.0f} | {found['ours, ms'] / found['plain, ms']:.2f}"
        lines.append(f"| to {resolution}x{resolution} | {speed} | {cost} |")
    least = results["looking"]["the header alone, as a page is answered"]
    lines += ["", "| one photograph, 1600x1200 | ms of processor | times its header |", "|---|---|---|"]
    lines += [f"| {name} | {ms:.2f} | {ms / least:.1f} |" for name, ms in results["looking"].items() if name != "MiB"]
    return "\n".join(lines)


def measure(images: int, photos: int, workers: int, root: Path) -> dict[str, Any]:
    """All measurements, in the folder `root`."""
    from tests.tiny import make_checkpoint

    folder = make_folder(root / "data" / "1_sls frog", images)
    results: dict[str, Any] = {"images": images, "planning": in_process("planning", folder)}
    results["first step"] = first_step(make_checkpoint(root / "model.safetensors"), folder.parent, root)
    results["caching"] = in_process("caching", folder)
    results["editing"] = in_process("editing", folder)
    pictures = make_photos(root / "photos", photos)
    results["looking"] = in_process("looking", pictures)
    results["loading"] = {resolution: loading(pictures, resolution, workers) for resolution in (512, 1024)}
    return results


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--photos", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2, help="processes that read, of both loaders")
    given = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="lora-data-"))
    try:
        print(table(measure(given.images, given.photos, given.workers, root)))  # noqa: T201
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
