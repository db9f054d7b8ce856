"""The same training in a checkout of sd-scripts, which is no part of this repository: `benchmarks.gpu --reference FOLDER`.

Run as a file in that checkout (`python reference.py REQUEST SCRIPT WORDS...`) it runs the script with the script's own progress
bar as the clock: each `update` of the bar "steps" follows a step whose loss has been read, so the card has finished it.
"""

from __future__ import annotations

import json
import runpy
import sys
import time
from pathlib import Path
from typing import Any

SCRIPTS = {"sd1": "train_network.py", "sdxl": "sdxl_train_network.py"}
# Where sd-scripts looks for the tokenizers that it would fetch; without network they are written there from our vocabulary.
TOKENIZERS = ("openai_clip-vit-large-patch14", "laion_CLIP-ViT-bigG-14-laion2B-39B-b160k")
_WARM = 6


def words(arguments: dict[str, Any], tokenizers: Path) -> list[str]:
    """The command line of sd-scripts for our options."""
    made = [
        "--sdpa",
        f"--tokenizer_cache_dir={tokenizers}",
        "--max_data_loader_n_workers=2",
        "--persistent_data_loader_workers",
    ]
    for key, value in arguments.items():
        if value is True:
            made.append(f"--{key}")
        elif value not in (False, None):
            made.append(f"--{key}={value}")
    return made


def write_tokenizers(folder: Path) -> Path:
    """Write CLIP's tokenizer under the names that sd-scripts looks for; return `folder`."""
    from lora_trainer.models.text_encoders import tokenizer

    for name in TOKENIZERS:
        if not (folder / name).is_dir():
            tokenizer().save_pretrained(folder / name)
    return folder


def main() -> None:
    request = json.loads(sys.argv[1])
    script, rest = sys.argv[2], sys.argv[3:]
    import torch
    import tqdm

    times: list[float] = []
    update = tqdm.tqdm.update

    def timed(bar: Any, n: float = 1) -> Any:
        result = update(bar, n)
        if str(bar.desc).startswith("steps"):
            times.append(time.perf_counter())
            if len(times) > _WARM + request["steps"] and times[-1] - times[_WARM] >= request["seconds"]:
                _tell(times, request, torch)
                raise SystemExit(0)
        return result

    tqdm.tqdm.update = timed
    sys.path.insert(0, str(Path(script).resolve().parent))
    sys.argv = [script, *rest]
    runpy.run_path(script, run_name="__main__")


def _tell(times: list[float], request: dict[str, Any], torch: Any) -> None:
    mean = (times[-1] - times[_WARM]) / (len(times) - 1 - _WARM)
    found = {"seconds_per_step": mean, "samples_per_second": request["batch"] / mean}
    if torch.cuda.is_available():
        found["peak_reserved"] = torch.cuda.max_memory_reserved()
        found["peak_allocated"] = torch.cuda.max_memory_allocated()
    sys.stdout.write("\n" + json.dumps(found) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
