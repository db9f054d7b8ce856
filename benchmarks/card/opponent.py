"""The opponent: the step of diffusers' own LoRA script (PEFT's layers, autocast), on the same sizes, with none of our code.

The frozen UNet is kept in half precision, the LoRA weights in float32, texts and latents are ready on the card, and AdamW
is torch's: what `train_text_to_image_lora.py` does for each step, without its data loader, logging and files.
"""

from __future__ import annotations

import time
from typing import Any

import torch

from .cases import Case
from .models import UNETS

# The layers that kohya's LierLa trains: every linear layer and 1x1 convolution of the transformer blocks.
_LAYERS = r".*attentions.*(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|ff\.net\.0\.proj|ff\.net\.2)"


def measure(case: Case, device: torch.device, *, size: str, seconds: float, steps: int) -> dict[str, Any]:
    """Return the opponent's seconds_per_step, samples_per_second and, on a card, peak_reserved and peak_allocated in bytes.

    Raises ImportError without PEFT.
    """
    unet = _unet(case, size, device)
    parameters = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    latents = torch.randn(case.batch, 4, *[case.resolution(size) // 8] * 2, device=device)
    inputs = _inputs(unet.config, case.batch, device)
    wait = torch.cuda.synchronize if device.type == "cuda" else (lambda: None)
    times: list[float] = []
    while len(times) <= steps + _WARM or times[-1] - times[_WARM] < seconds:
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, 1000, (case.batch,), device=device)
        with torch.autocast(device.type, torch.bfloat16):
            prediction = unet((latents + noise).bfloat16(), timesteps, return_dict=False, **inputs)[0]
        loss = torch.nn.functional.mse_loss(prediction.float(), noise)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()  # the script logs it at each step
        wait()
        times.append(time.perf_counter())
    mean = (times[-1] - times[_WARM]) / (len(times) - 1 - _WARM)
    found = {"seconds_per_step": mean, "samples_per_second": case.batch / mean}
    if device.type == "cuda":
        found["peak_reserved"] = torch.cuda.max_memory_reserved(device)
        found["peak_allocated"] = torch.cuda.max_memory_allocated(device)
    return found


_WARM = 4


def _unet(case: Case, size: str, device: torch.device) -> Any:
    from diffusers import UNet2DConditionModel
    from peft import LoraConfig

    config = dict(UNETS[case.family])
    if size == "small":
        config.update(block_out_channels=(32,) * len(config["block_out_channels"]), attention_head_dim=1)
    with torch.device(device):
        unet = UNet2DConditionModel(**config).to(torch.bfloat16).requires_grad_(False)
    unet.add_adapter(LoraConfig(r=16, lora_alpha=16, target_modules=_LAYERS, init_lora_weights="gaussian"))
    for parameter in unet.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if case.options.get("gradient_checkpointing"):
        unet.enable_gradient_checkpointing()
    return unet.to(device).train()


def _inputs(config: Any, batch: int, device: torch.device) -> dict[str, Any]:
    half = {"device": device, "dtype": torch.bfloat16}
    inputs: dict[str, Any] = {"encoder_hidden_states": torch.randn(batch, 77, config.cross_attention_dim, **half)}
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
        sizes = torch.tensor([[1024.0, 1024.0, 0.0, 0.0, 1024.0, 1024.0]] * batch, device=device)
        inputs["added_cond_kwargs"] = {"text_embeds": torch.randn(batch, pooled, **half), "time_ids": sizes}
    return inputs
