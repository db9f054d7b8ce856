"""One bar for all that a training does before its first step."""

import re
from pathlib import Path

import lora_trainer.training
from lora_trainer.runs.preparing import BEGINS, FIRST, reached
from lora_trainer.runs.progress import Progress

SOURCES = sorted(Path(lora_trainer.training.__file__).parent.glob("*.py"))
TOLD = re.compile(
    r"""(?:\bphase\((?:self\.)?emit, |"type": "phase", "name": |^PHASE = )"([^"]+)"( if info else "([^"]+)")?""", re.MULTILINE
)


def phases(*told):
    progress, seen = Progress(), []
    for name, done, total in told:
        progress.fold({"type": "phase", "name": name, "done": done, "total": total})
        seen.append(progress.prepared)
    return seen


def test_the_bar_never_goes_back_and_comes_to_its_end():
    told = [(name, done, 4) for name in BEGINS for done in (0, 1, 4)]
    seen = phases(*told)
    assert seen == sorted(seen) and seen[0] == 0 and seen[-1] == 1
    assert (
        phases(("encoding the images", 2, 4), ("encoding the captions", 0, 0), ("encoding the images", 0, 4))[-1]
        == BEGINS["encoding the captions"]
    )
    assert phases(("loading the model", 1, 4), ("something new", 0, 0))[-1] == reached(
        0.0, {"name": "loading the model", "done": 1, "total": 4}
    )


def test_another_worker_begins_anew():
    assert phases(("encoding the images", 1, 4), (FIRST, 0, 0))[-1] == 0


def test_every_phase_that_a_training_tells_of_has_its_place():
    told = {
        name for path in SOURCES for found in TOLD.findall(path.read_text("utf-8")) for name in (found[0], found[2]) if name
    }
    assert len(told) > 10
    assert told - set(BEGINS) == {"uploading to Hugging Face"}, "which comes after the steps"
