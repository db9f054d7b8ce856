"""Train small LoRAs on the demo base model with the ordinary training, draw with them, and let the judge read the pictures.

    path = lab.train(trial.subject_pictures(30), learning_rate=1e-3)
    seen = lab.draw(["a large red sks heart on a white background"], LoraUse(path, te=0.8, unet=0.8))
    assert seen.share("shape", "heart") >= 0.8

What is asked for twice in a session, a training or pictures, is made once. `Lab.seed` moves the seeds of all trainings and
pictures: what a test asserts has to hold for any.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save

from lora_trainer.demo import judge, score, trial, world
from lora_trainer.models import load
from lora_trainer.options.resolve import train_options
from lora_trainer.paths import write_atomic
from lora_trainer.sampling.embeddings import known
from lora_trainer.sampling.loras import LoraUse, applied
from lora_trainer.training.train import train
from tests.training.conftest import Recorder

SETTINGS: dict[str, Any] = {
    **trial.TEACHES,
    "network_dim": 32,
    "network_alpha": 32.0,
    "network_module": "networks.lora",
    "resolution": str(world.SIDE),
    "max_train_steps": 70,
    "cache_latents": True,
    "vae_batch_size": 8,
    "max_data_loader_n_workers": 0,
    "seed": 1,
}
WORDS = f"{trial.IDENTIFIER} heart"
NONSENSE = "vrk"  # a word that the base model has never read
STYLE = "at dusk"  # words that a LoRA of a style brings
NEW_WORDS = {trial.IDENTIFIER, *STYLE.split()}

SUBJECT = trial.subject_pictures(24)
REGULARISATION = trial.base_pictures(32, seed=1)
PAIRS = [(colour, background) for background in world.BACKGROUNDS for colour in world.COLOURS]
HEARTS = [f"a large {colour} {WORDS} on a {background} background" for colour, background in PAIRS][:20]
FEW = HEARTS[:12]
OTHERS = score.held_out_captions(20)


@dataclass(frozen=True)
class Seen:
    """Pictures [B,3,H,W] in -1..1, and what the judge thinks of the S squares of 64x64 that they have in all.

    `captions`: for each square what it should show. `likely`: for each question of the judge the probabilities [S, words].
    """

    pictures: torch.Tensor
    captions: Sequence[str]
    likely: dict[str, torch.Tensor]

    def share(self, part: str, word: str | None = None) -> float:
        """Return the share of squares whose `part` ("shape", "colour", ...) is `word`, or what the caption says."""
        read = self.likely[part].argmax(1)
        return float((read == self._wanted(part, word)).float().mean())

    def belief(self, part: str, word: str | None = None) -> float:
        """Return the same as the judge's mean probability, which moves in smaller steps."""
        return float(self.likely[part].gather(1, self._wanted(part, word)[:, None]).mean())

    def _wanted(self, part: str, word: str | None) -> torch.Tensor:
        words = judge.WORDS[part]
        return torch.tensor([words.index(word or world.parse(bare(caption))[part]) for caption in self.captions])


def distance(seen: Seen, other: Seen) -> float:
    """The mean difference of two rows of pictures; 2 is from black to white."""
    return float((seen.pictures - other.pictures).abs().mean())


def bare(caption: str) -> str:
    """Return the caption without the words that the demo world does not have."""
    return " ".join(word for word in caption.split() if word not in NEW_WORDS)


@dataclass
class Lab:
    """The base model, the judge, and a folder for what is trained and drawn, which several processes may share."""

    model_file: Path
    judge_file: Path
    folder: Path
    seed: int = 0
    how: score.Sampling = field(default_factory=lambda: score.Sampling(steps=10, cfg=3.0, batch=20))

    def __post_init__(self) -> None:
        self.model = load(self.model_file, dtype=torch.float32, device="cpu")
        self.model.vae.to(memory_format=torch.channels_last)  # faster on some CPUs
        self.judge = judge.load(self.judge_file)

    def subject(self, **options: Any) -> Path:
        """Return the LoRA of the new subject, trained with captions, without regularisation images."""
        return self.train(SUBJECT, **options)

    def train(
        self,
        pictures: Iterable[trial.Pair],
        regularisation: Iterable[trial.Pair] = (),
        *,
        captions: bool = True,
        masks: Sequence[np.ndarray] = (),
        again: int = 0,
        **options: Any,
    ) -> Path:
        """Return the LoRA file of a training on `pictures`; `options` are the command line's, changed from SETTINGS.

        `masks` uint8 [H,W] are those of `pictures`, beside them. Without `captions` every picture has the folder's name, WORDS,
        as its caption. `again` makes the same training anew.
        """
        data, reg = list(pictures), list(regularisation)
        given = SETTINGS | options
        given["seed"] += self.seed
        shown = [(caption, picture.shape, sha256(picture.tobytes()).hexdigest()) for picture, caption in data + reg]
        shown += [("mask", mask.shape, sha256(mask.tobytes()).hexdigest()) for mask in masks]
        key = sha256(repr((sorted(given.items()), captions, again, shown)).encode()).hexdigest()[:16]
        path = self.folder / f"{key}.safetensors"
        if path.is_file():
            return path
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as made:
            root = Path(made)
            trial.write(data, root / "train" / f"1_{WORDS}")
            for number, mask in enumerate(masks):
                Image.fromarray(mask).save(root / "train" / f"1_{WORDS}" / f"{number:04}-masklabel.png")
            given |= {
                "pretrained_model_name_or_path": str(self.model_file),
                "train_data_dir": str(root / "train"),
                "output_dir": str(root),
                "output_name": "lora",
                "caption_extension": ".txt" if captions else ".none",
            }
            if reg:
                trial.write(reg, root / "reg" / "1_shape")
                given["reg_data_dir"] = str(root / "reg")
            options = train_options({name: value for name, value in given.items() if value is not None})
            train(options, reporter=Recorder(), losses_to=self.losses(path))
            if (root / "lora-best.safetensors").is_file():
                os.replace(root / "lora-best.safetensors", self.best(path))
            os.replace(root / "lora.safetensors", path)
        return path

    @staticmethod
    def losses(path: Path) -> Path:
        """The losses of each picture of the training that `train` returned `path` of."""
        return path.with_name(f"{path.stem}.losses.json")

    @staticmethod
    def best(path: Path) -> Path:
        """The best file of the training (save_best) that `train` returned `path` of."""
        return path.with_name(f"{path.stem}-best.safetensors")

    def draw(
        self,
        captions: Sequence[str],
        *loras: LoraUse | Path,
        words: Mapping[str, Path] | None = None,
        size: tuple[int, int] = (world.SIDE, world.SIDE),
        seed: int = 0,
    ) -> Seen:
        """Return one picture of size (width, height), multiples of 64, for each of `captions`; `words` are embedding files."""
        uses = [one if isinstance(one, LoraUse) else LoraUse(one) for one in loras]
        how = replace(self.how, seed=seed + self.seed)
        files = [self.model_file, *(one.path for one in uses), *(words or {}).values()]
        stamps = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        asked = (
            tuple(captions),
            sorted(words or {}),
            [vars(one) for one in uses],
            stamps,
            size,
            how,
            self.model.prediction_type,
        )
        path = self.folder / "drawn" / f"{sha256(repr(asked).encode()).hexdigest()[:24]}.safetensors"
        if not path.is_file():
            with applied(self.model, uses), known(self.model, words or {}, captions):
                drawn = score.pictures(self.model, captions, how, *size)
            write_atomic(path, lambda file: file.write(save({"drawn": drawn.contiguous()})))
        return self.look(load_file(path)["drawn"], captions)

    @torch.no_grad()
    def look(self, drawn: torch.Tensor, captions: Sequence[str]) -> Seen:
        """Return what the judge reads in `drawn` [B,3,H,W]; in a larger picture than 64x64, in each of its squares."""
        side = world.SIDE
        squares = drawn.unfold(2, side, side).unfold(3, side, side).permute(0, 2, 3, 1, 4, 5).reshape(-1, 3, side, side)
        each = [caption for caption in captions for _ in range(len(squares) // len(drawn))]
        return Seen(drawn, each, {question: one.softmax(1) for question, one in self.judge(squares).items()})
