"""The loss and the weights of its samples: pure functions of tensors.

All of them work on one batch; nothing here depends on which samples share the batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F

from ..options.training import TrainingOptions

MAX_SNR = 1000.0  # the ratio at the first timestep can be infinite; the weights that divide by it use at most this
MIN_SNR = 1e-8  # and at the last one it can be 0 (zero_terminal_snr): weights that divide by it use at least this


@dataclass(frozen=True, kw_only=True)
class LossSettings:
    """The options of the loss; None, 0 and False turn one off. See `elementwise`, `huber_threshold` and `timestep_weights`."""

    loss_type: str = "l2"
    huber_schedule: str = "snr"
    huber_c: float = 0.1
    huber_scale: float = 1.0
    min_snr_gamma: float | None = None
    scale_v_pred_loss_like_noise_pred: bool = False
    v_pred_like_loss: float | None = None
    debiased_estimation_loss: bool = False

    @classmethod
    def of(cls, options: TrainingOptions) -> LossSettings:
        """What the options say."""
        return cls(**{field.name: getattr(options, field.name) for field in fields(cls)})


def signal_to_noise(alphas_cumprod: torch.Tensor) -> torch.Tensor:
    """Return the signal-to-noise ratio of every timestep, alpha_bar / (1 - alpha_bar), float32 [T]; 0 where alpha_bar is 0."""
    alphas_cumprod = alphas_cumprod.float()
    return (alphas_cumprod.sqrt() / (1.0 - alphas_cumprod).sqrt()) ** 2


def huber_threshold(
    timesteps: torch.Tensor, alphas_cumprod: torch.Tensor, *, schedule: str, c: float, scale: float = 1.0
) -> torch.Tensor:
    """Return the threshold between quadratic and linear loss for each timestep, [B] float32.

    `schedule` is "constant"; "exponential" (from `scale` at t=0 down to scale * c at the last one); or "snr", in which the
    noisier steps come closer to `c` ("Improving Diffusion Models's Data-Corruption Resistance using Scheduled
    Pseudo-Huber Loss", Khrapov et al. 2024). As in the reference, "snr" takes no `scale`.
    """
    if schedule == "constant":
        return torch.full(timesteps.shape, c * scale, dtype=torch.float32, device=timesteps.device)
    if schedule == "exponential":
        return torch.exp(math.log(c) / len(alphas_cumprod) * timesteps.float()) * scale
    if schedule == "snr":
        alpha = alphas_cumprod.float()[timesteps]
        sigma = ((1.0 - alpha) / alpha).sqrt()
        return (1.0 - c) / (1.0 + sigma) ** 2 + c
    raise ValueError(f"unknown huber_schedule {schedule!r}")


def elementwise(
    prediction: torch.Tensor, target: torch.Tensor, kind: str = "l2", threshold: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the loss of every element, same shape as `prediction`.

    `kind` is "l2", "l1", "huber" or "smooth_l1"; the last two take `threshold` [B] (see `huber_threshold`). They are the
    smooth pseudo-Huber forms 2c(sqrt(d^2 + c^2) - c) and 2(sqrt(d^2 + c^2) - c), where d is the difference.
    """
    if kind == "l2":
        return F.mse_loss(prediction, target, reduction="none")
    if kind == "l1":
        return F.l1_loss(prediction, target, reduction="none")
    if kind not in {"huber", "smooth_l1"}:
        raise ValueError(f"unknown loss_type {kind!r}")
    assert threshold is not None, f"loss_type {kind} needs a threshold"
    c = threshold.to(prediction.dtype).reshape(-1, *[1] * (prediction.ndim - 1))
    distance = ((prediction - target) ** 2 + c**2).sqrt() - c
    return 2.0 * c * distance if kind == "huber" else 2.0 * distance


def timestep_weights(
    timesteps: torch.Tensor,
    snr: torch.Tensor,
    *,
    min_snr_gamma: float | None = None,
    v_parameterization: bool = False,
    scale_v_pred_loss_like_noise_pred: bool = False,
    v_pred_like_loss: float | None = None,
    debiased_estimation_loss: bool = False,
) -> torch.Tensor:
    """Return what the loss of each sample is multiplied with because of its timestep, [B] float32.

    `snr` is the table of `signal_to_noise` on the device of `timesteps`. None or 0 turns an option off. All weights are
    finite; where the ratio is 0, those of velocity are their limits (Min-SNR and noise-like: nearly 0, debiased: 1).
    Min-SNR: "Efficient Diffusion Training via Min-SNR Weighting Strategy" (Hang et al. 2023).
    Debiased estimation: "Debias the Training of Diffusion Models" (Yu et al. 2023).
    """
    ratio = snr.float()[timesteps].clamp(min=MIN_SNR)
    bounded = ratio.clamp(max=MAX_SNR)
    noise_like = bounded / (bounded + 1.0)
    weight = torch.ones_like(ratio)
    if min_snr_gamma:
        least = ratio.clamp(max=min_snr_gamma)
        weight = weight * (least / (ratio + 1.0) if v_parameterization else least / ratio)
    if scale_v_pred_loss_like_noise_pred:
        weight = weight * noise_like
    if v_pred_like_loss:
        weight = weight + weight / noise_like * v_pred_like_loss
    if debiased_estimation_loss:
        weight = weight * (1.0 / (bounded + 1.0) if v_parameterization else 1.0 / bounded.sqrt())
    return weight


def per_sample(elements: torch.Tensor, masks: torch.Tensor | None = None) -> torch.Tensor:
    """Return the mean of each sample, [B], of element losses [B, C, h, w], which `masks` [B, h, w] (0 to 1) are multiplied to.

    As in the reference the mean is over all elements: a small masked part counts less than a large one.
    """
    weighed = elements if masks is None else elements * masks[:, None]
    return weighed.flatten(1).mean(dim=1)
