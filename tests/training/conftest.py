"""A small data set, options for a short training on the tiny checkpoint, and a reporter that keeps the events."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lora_trainer.options import TrainOptions
from lora_trainer.options.resolve import train_options
from lora_trainer.runs.control import Control


class Recorder:
    """A reporter that keeps all events; `on(event)` may return a Control that is in force from then on."""

    def __init__(self, on: Callable[[dict[str, Any]], Control | None] | None = None) -> None:
        self.events: list[dict[str, Any]] = []
        self._on = on
        self._control = Control()

    def emit(self, event: dict[str, Any]) -> None:
        self.events.append(event)
        asked = self._on(event) if self._on else None
        self._control = asked or self._control

    def control(self) -> Control:
        return self._control

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def losses(self) -> list[float]:
        return [event["loss"] for event in self.of("step")]

    @property
    def saved(self) -> list[str]:
        return [Path(event["path"]).name for event in self.of("saved")]


def make_images(folder: Path, count: int = 4, *, size: tuple[int, int] = (64, 64), first: int = 0) -> Path:
    """Write `count` pictures of plain colours with a stripe, each with a caption of its own."""
    folder.mkdir(parents=True)
    for i in range(first, first + count):
        picture = Image.new("RGB", size, ((i * 61) % 256, (i * 97 + 80) % 256, (i * 151 + 40) % 256))
        picture.paste((255, 255, 255), (8 * (i % 6), 0, 8 * (i % 6) + 8, size[1]))
        picture.save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"sls frog, colour {i}\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training folder with 4 captioned pictures of 64 x 64, each shown once."""
    root = tmp_path_factory.mktemp("pictures")
    make_images(root / "1_sls frog")
    return root


def short_training(model: Path, data: Path, out: Path, **changed: Any) -> TrainOptions:
    """Options of a short training on the tiny checkpoint; keywords change or add some (None leaves one out)."""
    given: dict[str, Any] = {
        "pretrained_model_name_or_path": str(model),
        "train_data_dir": str(data),
        "output_dir": str(out),
        "output_name": "x",
        "network_module": "networks.lora",
        "caption_extension": ".txt",
        "resolution": "64",
        "learning_rate": 1e-3,
        "max_train_steps": 3,
        "max_data_loader_n_workers": 0,
        "cache_latents": True,
        "seed": 5,
        "deterministic": True,
    }
    return train_options({key: value for key, value in (given | changed).items() if value is not None})


@pytest.fixture
def options_for(tiny_sd1: Path, pictures: Path, tmp_path: Path) -> Callable[..., TrainOptions]:
    """short_training with the session's model and pictures, into the test's folder."""
    return partial(short_training, tiny_sd1, pictures, tmp_path / "out")
