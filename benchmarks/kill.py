"""N trainings that are killed (SIGKILL) at a random moment and go on: N equal hashes of their files.

    python benchmarks/kill.py 10
    python benchmarks/kill.py 50 --seed 3 --steps 40

A small model made for it is trained, without a kill first. Then each training is killed once, every third while a state is
being written, and resumed from its newest whole state; its file's tensors, metadata (apart from times and the session) and the
losses that it told must be those of the first.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lora_trainer import repeatable  # noqa: E402

repeatable.set_up()

from lora_trainer.networks.files import tensor_hash  # noqa: E402
from tests.tiny import make_checkpoint  # noqa: E402
from tests.training.conftest import make_images  # noqa: E402
from tests.training.kills import Killer  # noqa: E402


def main(argv: Sequence[str]) -> int:
    """Print a line per kill; 1 when one of the files differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kills", type=int)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args(argv)
    if os.name != "posix":
        sys.stderr.write("Windows has no SIGKILL.\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        return _kill(Path(folder), given.kills, given.seed, given.steps)


def _kill(folder: Path, kills: int, seed: int, steps: int) -> int:
    make_images(folder / "images" / "1_sls frog")
    options = {
        "pretrained_model_name_or_path": str(make_checkpoint(folder / "tiny.safetensors")),
        "train_data_dir": str(folder / "images"),
        "output_name": "x",
        "network_module": "networks.lora",
        "caption_extension": ".txt",
        "resolution": "64",
        "learning_rate": 1e-3,
        "lr_scheduler": "cosine",
        "gradient_accumulation_steps": 2,
        "shuffle_caption": True,
        "network_dropout": 0.1,
        "max_train_steps": steps,
        "seed": 5,
        "deterministic": True,
        "cache_latents": True,
    }
    killer = Killer(folder, options)
    expected = tensor_hash(killer.undisturbed().path)
    sys.stdout.write(f"never killed: {expected}\n")
    draw, equal = random.Random(seed), 0
    for number in range(1, kills + 1):
        try:
            outcome = killer.killed(draw, while_saving=number % 3 == 0)
        except AssertionError as error:
            sys.stdout.write(f"kill {number}: DIFFERENT: {error}\n")
            continue
        found = tensor_hash(outcome.path)
        equal += found == expected
        at = "before a state was whole" if outcome.resumed_at is None else f"went on after step {outcome.resumed_at} of {steps}"
        sys.stdout.write(f"kill {number}: {found} ({at})\n")
        sys.stdout.flush()
    half = killer.unfinished_states
    sys.stdout.write(f"{killer.kills} kills ({half} while a state was being written), {equal} equal hashes\n")
    return 0 if equal == kills else 1


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
