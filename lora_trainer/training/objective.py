"""What is minimised: from latents, conditioning and drawn noise to one loss per sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..models import Model
from ..models.conditioning import Conditioning
from ..options.training import TrainingOptions
from ..sampling.schedules import alphas_cumprod, zero_terminal
from . import loss
from .noise import DrawnNoise, add_noise, velocity
from .precision import Precision


@dataclass(frozen=True)
class Objective:
    """The loss of one training, with its tables on the device. `prediction_type` is "epsilon" or "v_prediction"."""

    prediction_type: str
    alphas_cumprod: torch.Tensor  # [T] float32
    snr: torch.Tensor  # [T] float32
    settings: loss.LossSettings

    @classmethod
    def of(
        cls, options: TrainingOptions, prediction_type: str, device: torch.device, *, zero_terminal_snr: bool = False
    ) -> Objective:
        """What the options minimise for a model that predicts `prediction_type`.

        `zero_terminal_snr`: its last noise level is pure noise. Noise, target and weights go by the one schedule.
        """
        alphas = zero_terminal(alphas_cumprod()) if zero_terminal_snr else alphas_cumprod()
        return cls(
            prediction_type=prediction_type,
            alphas_cumprod=alphas.to(device),
            snr=loss.signal_to_noise(alphas).to(device),
            settings=loss.LossSettings.of(options),
        )

    def losses(
        self,
        model: Model,
        latents: torch.Tensor,
        conditioning: Conditioning,
        drawn: DrawnNoise,
        precision: Precision,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss of each sample, [B] float32, with the weight of its timestep.

        `latents` [B, 4, h, w] float32, the conditioning and `masks` [B, h, w] float32 (how much of each latent counts, 0 to 1)
        are on the UNet's device.
        """
        prediction, target = self._prediction(model, latents, conditioning, drawn, precision)
        elements = loss.elementwise(prediction, target, self.settings.loss_type, self._threshold(drawn.timesteps))
        return loss.per_sample(elements, masks) * self._weights(drawn.timesteps)

    def errors(
        self,
        model: Model,
        latents: torch.Tensor,
        conditioning: Conditioning,
        noise: torch.Tensor,
        timesteps: torch.Tensor,
        precision: Precision,
        masks: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the plain mean squared error of each sample, [B] float32, whatever the settings of the loss; of what `masks`
        show, where they are given."""
        drawn = DrawnNoise(noise, noise, timesteps)
        return loss.per_sample(loss.elementwise(*self._prediction(model, latents, conditioning, drawn, precision)), masks)

    def _prediction(
        self, model: Model, latents: torch.Tensor, conditioning: Conditioning, drawn: DrawnNoise, precision: Precision
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the model finds in the noisy latents, and what it should find, both float32."""
        noisy = add_noise(latents, drawn.added, drawn.timesteps, self.alphas_cumprod)
        with precision.training():
            prediction = model.predict(noisy.to(precision.dtype), drawn.timesteps, conditioning)
        is_v = self.prediction_type == "v_prediction"
        target = velocity(latents, drawn.noise, drawn.timesteps, self.alphas_cumprod) if is_v else drawn.noise
        return prediction.float(), target

    def _threshold(self, timesteps: torch.Tensor) -> torch.Tensor | None:
        chosen = self.settings
        if chosen.loss_type not in {"huber", "smooth_l1"}:
            return None
        return loss.huber_threshold(
            timesteps, self.alphas_cumprod, schedule=chosen.huber_schedule, c=chosen.huber_c, scale=chosen.huber_scale
        )

    def _weights(self, timesteps: torch.Tensor) -> torch.Tensor:
        chosen = self.settings
        return loss.timestep_weights(
            timesteps,
            self.snr,
            min_snr_gamma=chosen.min_snr_gamma,
            v_parameterization=self.prediction_type == "v_prediction",
            scale_v_pred_loss_like_noise_pred=chosen.scale_v_pred_loss_like_noise_pred,
            v_pred_like_loss=chosen.v_pred_like_loss,
            debiased_estimation_loss=chosen.debiased_estimation_loss,
        )
