"""From the click to the first step, less the reading of the weights.

    python benchmarks/start.py                             # the demo base model, 16 images, on whatever device there is
    python benchmarks/start.py --model v1-5.safetensors --resolution 512

The clock starts before the worker process is spawned, as the page does it, and stops at its first `step` event. The reading of
the weights is timed apart, in a process that has imported everything already. In turn with each start another process imports
torch and nothing else: the ratios to that say more than the seconds of one machine in one hour. `processor` is the time of the
processor from the click on, whatever else keeps it busy, of the whole process (of one step, and its saving). `ready` is the
same start in a process that was ready before the click (runs.standby), and what main memory that one holds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import torch
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.printing import measured  # noqa: E402
from lora_trainer.demo import files as demo  # noqa: E402
from lora_trainer.hosts.standalone import StandaloneHost  # noqa: E402
from lora_trainer.models import load  # noqa: E402
from lora_trainer.options import config_file  # noqa: E402
from lora_trainer.options.resolve import train_options  # noqa: E402
from lora_trainer.runs import folder as run_folder  # noqa: E402
from lora_trainer.runs import worker  # noqa: E402
from lora_trainer.runs.events import read_events  # noqa: E402
from lora_trainer.runs.folder import RunFolder, WorkerProcess  # noqa: E402
from lora_trainer.runs.standby import Standby  # noqa: E402

NAMED = ("all", "processor")  # what is no phase


def start_once(path: Path, config: str) -> dict[str, float]:
    """Start a worker on a new run; return the seconds that each phase took, `all` to the end of the first step, `processor`."""
    run = run_folder.create(path, config=config, dataset="", prompts="", request={})
    clicked, used = time.time(), processor()
    ended(Standby(StandaloneHost(data_dir=path), path / "standby.txt").start(run))
    return {**phases(run, clicked), "processor": processor() - used}


def start_ready(path: Path, config: str) -> dict[str, float]:
    """The same, where a process is ready before: with its `bytes` of main memory."""
    run = run_folder.create(path, config=config, dataset="", prompts="", request={})
    standby = Standby(StandaloneHost(data_dir=path), path / "standby.txt", is_allowed=lambda: True)
    standby.wanted()
    while not (held := standby.bytes()):
        standby.tick(is_free=True)
        time.sleep(0.05)
    before, clicked, used = psutil.Process(standby.process()).cpu_times(), time.time(), processor()
    ended(standby.start(run))
    return {**phases(run, clicked), "processor": processor() - used - before.user - before.system, "bytes": held}


def ended(process: WorkerProcess) -> None:
    """Wait for it."""
    while worker.is_alive(process):
        time.sleep(0.02)


def phases(run: RunFolder, clicked: float) -> dict[str, float]:
    """The seconds of each phase of a run, from the click to the end of its first step, and `all`."""
    events = read_events(run.events)[0]
    steps = [event for event in events if event["type"] == "step"]
    if not any(event["type"] == "finished" for event in events) or not steps:
        raise SystemExit(run.log.read_text())
    seconds: dict[str, float] = {"starting Python": 0.0}
    last, name = clicked, "starting Python"
    for event in [event for event in events if event["type"] == "phase"] + steps[:1]:
        seconds[name] = seconds.get(name, 0.0) + event["time"] - last
        last, name = event["time"], event.get("name", "")
    return {**seconds, "all": steps[0]["time"] - clicked}


def processor() -> float:
    """Seconds of the processor that the processes took which were started here and have ended; 0 on Windows."""
    times = os.times()
    return times.children_user + times.children_system


def import_torch() -> dict[str, float]:
    """What a Python takes that imports torch and nothing else."""
    started, used = time.perf_counter(), processor()
    subprocess.run([sys.executable, "-c", "import torch"], cwd=ROOT, check=True)
    return {"all": time.perf_counter() - started, "processor": processor() - used}


def read_weights(model: str, times: int) -> float:
    """The median of the seconds that loading the model takes once everything is imported."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    seconds = []
    for _ in range(times + 1):
        started = time.perf_counter()
        load(model, dtype=torch.float32, device=device)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def measure(arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the medians over some starts."""
    model = arguments.model or str(demo.needed())
    images = folder / "data" / "1_sls frog"
    images.mkdir(parents=True)
    for i in range(arguments.images):
        size = (arguments.resolution, arguments.resolution)
        Image.effect_noise(size, 60 + i).convert("RGB").save(images / f"{i}.png")
        (images / f"{i}.txt").write_text(f"sls frog {i}", encoding="utf-8")
    given = {
        "pretrained_model_name_or_path": model,
        "train_data_dir": str(folder / "data"),
        "output_name": "benchmark",
        "network_module": "networks.lora",
        "caption_extension": ".txt",
        "resolution": str(arguments.resolution),
        "max_train_steps": 1,
        "learning_rate": 1e-4,
        "cache_latents": True,
        "seed": 1,
    }

    def config(name: str) -> str:
        return config_file.to_toml(train_options({**given, "output_dir": str(folder / "out" / name)}))

    # The first ones warm the disk.
    found = [
        (import_torch(), start_once(folder / f"run{i}", config("run")), start_ready(folder / f"ready{i}", config("ready")))
        for i in range(arguments.times + arguments.warm)
    ]
    torch_alone, starts, ready = (medians(list(one)) for one in zip(*found[arguments.warm :], strict=True))
    weights = read_weights(model, arguments.times)
    return {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU",
        "seconds_less_weights": round(starts["all"] - weights, 3),
        "seconds_of_weights": round(weights, 3),
        "phases": {name: seconds for name, seconds in starts.items() if name not in NAMED},
        **{name: starts[name] for name in NAMED},
        "import torch": torch_alone,
        "ready": ready,
        "ratios": {name: round(starts[name] / torch_alone[name], 2) for name in NAMED if torch_alone[name]},
        "ratios, ready": {name: round(ready[name] / torch_alone[name], 2) for name in NAMED if torch_alone[name]},
    }


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    """Of each name, over all of them."""
    return {name: round(statistics.median(one.get(name, 0.0) for one in found), 3) for name in found[0]}


def parser() -> argparse.ArgumentParser:
    """The options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument("--model", help="a checkpoint; by default the demo base model")
    result.add_argument("--images", type=int, default=16)
    result.add_argument("--resolution", type=int, default=demo.SIDE)
    result.add_argument("--times", type=int, default=3)
    result.add_argument("--warm", type=int, default=1, help="starts before those that count")
    return result


if __name__ == "__main__":
    measured(parser(), measure)
