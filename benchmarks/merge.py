"""Merging LoRAs: our time and memory beside the straightforward method's, in one run.

    python -m benchmarks.merge                      # all of it, writes benchmarks/merge.md
    python -m benchmarks.merge --case lierla        # lierla, c3lier, sdxl, resize, extract-merged, extract-tuned, checkpoint

"straightforward": form the sum as an (out x in) matrix for each layer, take its full singular value decomposition with
torch.linalg.svd, and cut it; in float32 on the same thread(s). It is timed on one layer of each shape and multiplied by the
number of layers of that shape, because all layers would take minutes to hours. Ours is timed on all layers. Both times are
the processor's (process_time), so that other programs on the machine change neither. The weights are random, with singular
values that fall as those of trained LoRAs do. Set OMP_NUM_THREADS=1: with more, processor time is not the time one waits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from lora_trainer.models.weights import Weights, open_weights
from lora_trainer.networks.functional import delta
from lora_trainer.tools import lowrank
from lora_trainer.tools.extract import extracted
from lora_trainer.tools.lorafile import Factors, Lora
from lora_trainer.tools.merge import into_checkpoint
from lora_trainer.tools.resize import choice, resized_modules
from lora_trainer.tools.sums import svd_merged

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "golden"
RANK = 32
CASES = {
    "lierla": ("two SD1.5 LoRAs (LierLa), rank 32 + 32 -> 32", "modules_sd15_lora_dim4_alpha1.json"),
    "c3lier": ("two SD1.5 LoRAs (C3Lier), rank 32 + 32 -> 32", "modules_sd15_lora_dim4_alpha1_conv_dim4_conv_alpha1.json"),
    "sdxl": ("two SDXL LoRAs (LierLa), rank 32 + 32 -> 32", "modules_sdxl_lora_dim4_alpha1.json"),
}


class Peak:
    """The most private memory (resident, less mapped files) that was in use beyond the start, in MiB. Linux."""

    def __enter__(self) -> Peak:
        self.start = self.most = self._now()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def mib(self) -> float:
        return (self.most - self.start) / 2**20

    def _watch(self) -> None:
        while not self._stop.wait(0.002):
            self.most = max(self.most, self._now())

    @staticmethod
    def _now() -> int:
        _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split())
        return (resident - shared) * os.sysconf("SC_PAGE_SIZE")


def shapes(name: str) -> dict[str, tuple[int, ...]]:
    """{module: shape of its layer} of a recorded network."""
    keys = dict(json.loads((GOLDEN / name).read_text(encoding="utf-8"))["state_dict"])
    modules = sorted({key.partition(".")[0] for key in keys})
    return {m: (keys[f"{m}.lora_up.weight"][0], *keys[f"{m}.lora_down.weight"][1:]) for m in modules}


def random_lora(layers: dict[str, tuple[int, ...]], seed: int, rank: int = RANK) -> Lora:
    """A LoRA whose effect on each layer has falling singular values."""
    generator = torch.Generator().manual_seed(seed)
    fall = 0.9 ** torch.arange(rank)
    modules = {}
    for name, shape in layers.items():
        spread = (1,) * (len(shape) - 2)
        down = torch.randn(rank, *shape[1:], generator=generator) * fall.view(-1, *(1,) * (len(shape) - 1)) / shape[1]
        modules[name] = Factors(down, torch.randn(shape[0], rank, *spread, generator=generator), rank / 2)
    return Lora(path=Path(f"{seed}.safetensors"), modules=modules, metadata={})


def straightforward(matrix: torch.Tensor, rank: int) -> tuple[torch.Tensor, torch.Tensor]:
    left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    return right[:rank], left[:, :rank] * values[:rank]


def against_full_svd(
    layers: dict[str, tuple[int, ...]], whole: Callable[[str], torch.Tensor], ours: dict[str, Factors]
) -> dict[str, float]:
    """Time of the straightforward method for all layers (one of each shape, scaled), and how the results differ."""
    counts = Counter(layers.values())
    seconds = apart = worse = 0.0
    for shape, count in counts.items():
        name = next(name for name, other in layers.items() if other == shape)
        start = time.process_time()
        matrix = whole(name).flatten(1)
        down, up = straightforward(matrix, ours[name].rank)
        seconds += (time.process_time() - start) * count
        theirs = up @ down
        factors = ours[name]
        mine = delta(factors.down, factors.up, factors.strength).flatten(1)
        apart = max(apart, float((mine - theirs).norm() / theirs.norm()))
        errors = [float((matrix.double() - made.double()).norm() / matrix.norm()) for made in (mine, theirs)]
        worse = max(worse, errors[0] - errors[1])
        sys.stderr.write(f"  {shape} x {count}: {seconds:.1f} s so far\n")
    return {"theirs": seconds, "apart": apart, "worse": worse, "sampled": len(counts)}


def row(title: str, layers: int, seconds: float, peak: float, other: dict[str, float]) -> str:
    return (
        f"| {title} | {layers} | {seconds:.2f} s | {peak:.0f} MiB | {other['theirs']:.0f} s ({other['sampled']:.0f} timed) "
        f"| {other['theirs'] / seconds:.0f} x | {other['apart']:.1e} | {other['worse']:+.1e} |"
    )


def merge_case(case: str) -> str:
    title, file = CASES[case]
    layers = shapes(file)
    loras, ratios = [random_lora(layers, 1), random_lora(layers, 2)], [0.6, 0.4]
    svd_merged([random_lora(dict(list(layers.items())[:2]), 3)], [1.0], rank=4, conv_rank=4)  # warm up
    with Peak() as peak:
        start = time.process_time()
        ours = svd_merged(loras, ratios, rank=RANK, conv_rank=RANK)
        seconds = time.process_time() - start

    def whole(name: str) -> torch.Tensor:
        parts = [(lora.modules[name], ratio) for lora, ratio in zip(loras, ratios, strict=True)]
        return sum(delta(f.down, f.up, ratio * f.strength) for f, ratio in parts)  # type: ignore[return-value]

    return row(title, len(layers), seconds, peak.mib, against_full_svd(layers, whole, ours))


def resize_case() -> str:
    layers = shapes(CASES["lierla"][1])
    lora = random_lora(layers, 1, 64)
    with Peak() as peak:
        start = time.process_time()
        ours, _ = resized_modules(lora, rank=16, conv_rank=16, choose=choice(None, None))
        seconds = time.process_time() - start

    def whole(name: str) -> torch.Tensor:
        factors = lora.modules[name]
        return delta(factors.down, factors.up, factors.strength)

    return row("resize an SD1.5 LoRA, rank 64 -> 16", len(layers), seconds, peak.mib, against_full_svd(layers, whole, ours))


def _merged(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """A LoRA of rank 24, as `random_lora`'s."""
    fall = 0.9 ** torch.arange(24)
    down = torch.randn(24, *shape[1:], generator=generator).flatten(1) * fall[:, None] / shape[1]
    return 0.5 * (torch.randn(shape[0], 24, generator=generator) @ down).view(shape)


def _tuned(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """A change of full rank that is larger in some directions than in others, as a full fine-tuning's is."""
    rows, columns = shape[0], torch.Size(shape[1:]).numel()
    weights = [torch.arange(1, n + 1) ** -0.5 for n in (rows, columns)]
    change = torch.randn(rows, columns, generator=generator) * weights[0][:, None] * weights[1]
    for side in range(2):  # turned, so that the directions are not the axes
        basis = torch.randn(change.shape[side], 64, generator=generator)
        basis = torch.linalg.qr(basis).Q
        change = change - 2 * (basis @ (basis.T @ change) if side == 0 else (change @ basis) @ basis.T)
    return 0.02 * change.view(shape)


EXTRACTIONS: dict[str, tuple[str, Callable[[tuple[int, ...], torch.Generator], torch.Tensor]]] = {
    "extract-merged": ("a merged LoRA of rank 24", _merged),
    "extract-tuned": ("a change of full rank", _tuned),
}


def extract_case(case: str) -> str:
    """Two models in fp16, of SD1.5's middle and lowest levels: the rounding of both is what extraction meets."""
    what, change = EXTRACTIONS[case]
    levels = ("lora_unet_down_blocks_1_", "lora_unet_down_blocks_2_", "lora_unet_mid_block_")
    layers = {name: shape for name, shape in shapes(CASES["lierla"][1]).items() if name.startswith(levels)}
    generator = torch.Generator().manual_seed(5)
    base = {name: torch.randn(shape, generator=generator).mul_(0.02).half() for name, shape in layers.items()}
    tuned = {name: (weight.float() + change(layers[name], generator)).half() for name, weight in base.items()}
    models = [_as_checkpoint(state) for state in (base, tuned)]
    extracted(*[_as_checkpoint(dict(list(state.items())[:1])) for state in (base, tuned)], rank=RANK)  # warm up
    wholly: list[str] = []
    original = lowrank._within_spaces

    def counted(*arguments: Any) -> Any:
        found = original(*arguments)
        if found is None:
            wholly.append("")
        return found

    lowrank._within_spaces = counted
    try:
        with Peak() as peak:
            start = time.process_time()
            ours = extracted(models[0], models[1], rank=RANK)
            seconds = time.process_time() - start
    finally:
        lowrank._within_spaces = original
    other = against_full_svd(layers, lambda name: tuned[name].float() - base[name].float(), ours)
    title = f"extract {what} at rank {RANK} from fp16 models ({len(wholly)} layers decomposed as a whole)"
    return row(title, len(layers), seconds, peak.mib, other)


def _ldm_name(module: str) -> str:
    """The checkpoint's name for a module of an SD1.5 UNet: the inverse of what tools.layers reads, by diffusers' names."""
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert

    if not _NAMES:
        with torch.device("meta"):
            state = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8).state_dict()
        for ours, theirs in convert.unet_names(state).items():
            _NAMES["lora_unet_" + ours.removesuffix(".weight").replace(".", "_")] = convert.UNET + theirs
    return _NAMES[module]


_NAMES: dict[str, str] = {}


def _as_checkpoint(state: dict[str, torch.Tensor]) -> Weights:
    named = {_ldm_name(name): tensor for name, tensor in state.items()}
    return Weights(path=Path("model"), shapes={n: tuple(t.shape) for n, t in named.items()}, tensor=named.__getitem__)


def checkpoint_case() -> str:
    """Merge a LoRA into an fp16 checkpoint of SD1.5's UNet layers, beside copying the file."""
    from safetensors.torch import save_file

    layers = {name: shape for name, shape in shapes(CASES["c3lier"][1]).items() if "_unet_" in name}
    lora = random_lora(layers, 1)
    with tempfile.TemporaryDirectory() as folder:
        path, merged, copied = (Path(folder) / f"{name}.safetensors" for name in ("base", "merged", "copy"))
        save_file({_ldm_name(n): torch.empty(s, dtype=torch.float16).normal_(0, 0.02) for n, s in layers.items()}, str(path))
        start = time.perf_counter()
        with path.open("rb") as source, copied.open("wb") as target:
            while chunk := source.read(1 << 24):
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        copying = time.perf_counter() - start
        largest = max(torch.Size(shape).numel() for shape in layers.values()) * 4 / 2**20
        with Peak() as peak, open_weights(path) as weights:
            start = time.perf_counter()
            into_checkpoint(weights, [lora], [0.8], merged, torch.float32, torch.float16, {})
            seconds = time.perf_counter() - start
        size = merged.stat().st_size / 2**20
    return (
        f"Merging a rank {RANK} C3Lier LoRA into an fp16 checkpoint of {size:.0f} MiB: {seconds:.1f} s, {peak.mib:.0f} MiB of "
        f"memory (the largest tensor has {largest:.0f} MiB in float32). Copying the file with fsync takes {copying:.1f} s."
    )


HEAD = """# Merging

Made by `OMP_NUM_THREADS={threads} python -m benchmarks.merge` with torch {torch} on the CPU; processor seconds. The
straightforward method forms each layer's sum and takes its full `torch.linalg.svd`; it was timed on one layer of each shape,
scaled by the number of such layers ("18 timed"). "our memory" is what was used beyond the inputs, the result included.
"apart" is the largest relative difference (Frobenius) of the two reconstructed matrices; "error" the largest difference
(ours - theirs) of the relative distances to the exact sum: below or about 0 means that ours is no worse.

| case | layers | ours | our memory | straightforward | faster | apart | error |
|---|---|---|---|---|---|---|---|
"""


def in_a_fresh_process(case: str) -> str:
    """The line of one case, measured where no memory is left over from another."""
    words = [sys.executable, "-m", "benchmarks.merge", "--case", case]
    return subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--case", choices=[*CASES, "resize", *EXTRACTIONS, "checkpoint"], action="append")
    chosen = arguments.parse_args().case
    makers: dict[str, Callable[[], str]] = {case: lambda case=case: merge_case(case) for case in CASES}  # type: ignore[misc]
    makers["resize"] = resize_case
    makers |= {case: lambda case=case: extract_case(case) for case in EXTRACTIONS}  # type: ignore[misc]
    makers["checkpoint"] = checkpoint_case
    head = HEAD.format(threads=torch.get_num_threads(), torch=torch.__version__.partition("+")[0])
    lines: dict[str, Any] = {}
    for case in chosen or makers:
        sys.stderr.write(f"{case}\n")
        lines[case] = makers[case]() if chosen else in_a_fresh_process(case)
        sys.stdout.write(lines[case] + "\n")
        sys.stdout.flush()
    if not chosen:
        note = lines.pop("checkpoint")
        (ROOT / "benchmarks" / "merge.md").write_text(head + "\n".join(lines.values()) + f"\n\n{note}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
