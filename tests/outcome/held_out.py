"""How well the model denoises pictures that no training saw: a number that moves before the pictures do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from lora_trainer.demo.train_vae import to_tensor
from lora_trainer.demo.trial import Pair
from lora_trainer.models import vae
from lora_trainer.models.conditioning import Conditioning
from lora_trainer.randomness import seed_of
from lora_trainer.sampling import conditioning
from lora_trainer.sampling.loras import LoraUse, applied
from lora_trainer.sampling.schedules import alphas_cumprod
from tests.outcome.board import Measure
from tests.outcome.lab import Lab, Seen

TIMESTEPS = (150, 350, 550, 750)


class HeldOut:
    """Pictures with their captions, and fixed noise at fixed timesteps: whatever is compared sees the same."""

    def __init__(self, lab: Lab, pairs: Sequence[Pair]) -> None:
        self.lab, self.captions = lab, [caption for _, caption in pairs]
        self.latents = vae.encode(lab.model.vae, to_tensor(np.stack([picture for picture, _ in pairs])), batch_size=20)

    @torch.no_grad()
    def errors(self, *loras: LoraUse | Path, timesteps: Sequence[int] = TIMESTEPS) -> torch.Tensor:
        """Return the mean squared error of the noise that is found, for each picture [B], with `loras` on the model.

        It is the mean over `timesteps`.
        """
        model, table, found = self.lab.model, alphas_cumprod(), []
        with applied(model, [one if isinstance(one, LoraUse) else LoraUse(one) for one in loras]):
            states = Conditioning.join([conditioning.encode(model, caption) for caption in self.captions])
            for timestep in timesteps:
                generator = torch.Generator().manual_seed(seed_of(self.lab.seed, "held out", timestep) % 2**63)
                noise = torch.randn(self.latents.shape, generator=generator)
                noisy = table[timestep].sqrt() * self.latents + (1 - table[timestep]).sqrt() * noise
                steps = torch.full((len(noisy),), float(timestep))
                found.append((model.predict(noisy, steps, states) - noise).square().mean((1, 2, 3)))
        return torch.stack(found).mean(0)


def error_left(rows: Mapping[str, Seen], errors: Mapping[str, torch.Tensor]) -> Measure:
    """Return the measure "share of the first row's mean error"; `errors` has one entry for each row."""
    first = next(iter(rows))
    shares = {id(seen): float(errors[name].mean() / errors[first].mean()) for name, seen in rows.items()}
    return lambda seen: shares[id(seen)]


def surely(less: torch.Tensor, more: torch.Tensor, errors: float = 3.0) -> bool:
    """Say whether the mean of `less` [B] is below that of `more` [B], pair by pair, by so many standard errors."""
    gap = more - less
    return float(gap.mean()) > errors * float(gap.std()) / len(gap) ** 0.5
