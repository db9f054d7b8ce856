"""What is minimised: from latents, conditioning and drawn noise to one loss per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from ..models import Model
from ..models.conditioning import Conditioning
from ..options import TrainOptions
from ..sampling.schedules import alphas_cumprod
from . import loss
from .noise import DrawnNoise, add_noise, velocity
from .precision import Precision


@dataclass(frozen=True)
class Objective:
    """The loss of one training, with its tables on the device. `prediction_type` is "epsilon" or "v_prediction"."""

    prediction_type: str
    alphas_cumprod: torch.Tensor  # [T] float32
    snr: torch.Tensor  # [T] float32
    loss_type: str
    huber: dict[str, Any]
    weights: dict[str, Any]

    def losses(
        self, model: Model, latents: torch.Tensor, conditioning: Conditioning, drawn: DrawnNoise, precision: Precision
    ) -> torch.Tensor:
        """Return the loss of each sample, [B] float32, with the weight of its timestep.

        `latents` [B, 4, h, w] float32 and the conditioning are on the UNet's device.
        """
        noisy = add_noise(latents, drawn.added, drawn.timesteps, self.alphas_cumprod)
        with precision.autocast():
            prediction = model.predict(noisy.to(precision.dtype), drawn.timesteps, conditioning)
        is_v = self.prediction_type == "v_prediction"
        target = velocity(latents, drawn.noise, drawn.timesteps, self.alphas_cumprod) if is_v else drawn.noise
        threshold = None
        if self.loss_type in {"huber", "smooth_l1"}:
            threshold = loss.huber_threshold(drawn.timesteps, self.alphas_cumprod, **self.huber)
        elements = loss.elementwise(prediction.float(), target, self.loss_type, threshold)
        return loss.per_sample(elements) * loss.timestep_weights(
            drawn.timesteps, self.snr, v_parameterization=is_v, **self.weights
        )


def objective(options: TrainOptions, prediction_type: str, device: torch.device) -> Objective:
    """Return what `options` minimise for a model that predicts `prediction_type`."""
    chosen = options.training
    alphas = alphas_cumprod()
    return Objective(
        prediction_type=prediction_type,
        alphas_cumprod=alphas.to(device),
        snr=loss.signal_to_noise(alphas).to(device),
        loss_type=chosen.loss_type,
        huber={"schedule": chosen.huber_schedule, "c": chosen.huber_c, "scale": chosen.huber_scale},
        weights={
            "min_snr_gamma": chosen.min_snr_gamma,
            "scale_v_pred_loss_like_noise_pred": chosen.scale_v_pred_loss_like_noise_pred,
            "v_pred_like_loss": chosen.v_pred_like_loss,
            "debiased_estimation_loss": chosen.debiased_estimation_loss,
        },
    )
