"""What a model is, told by the names and shapes of its tensors, so that renamed and merged files are recognised too."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# What a kind is called in messages. Only SUPPORTED can be trained on.
TITLES = {
    "sd1": "a Stable Diffusion 1 model",
    "sd2": "a Stable Diffusion 2 model",
    "sdxl": "a Stable Diffusion XL model",
    "sdxl_refiner": "Stable Diffusion XL's refiner",
    "sd3": "a Stable Diffusion 3 model",
    "flux": "a Flux model",
    "lora": "a LoRA file",
    "vae": "a VAE alone",
    "no_unet": "a checkpoint without its UNet",
    "ema": "a checkpoint whose UNet is there only as a running average (EMA)",
    "unet": "a UNet alone, in diffusers' names",
    "unet_ldm": "a UNet alone, in the original names",
    "text_encoder": "a text encoder alone",
    "embedding": "a textual inversion embedding",
    "controlnet": "a ControlNet",
    "unknown": "no model that is known here",
}
SUPPORTED = ("sd1", "sd2", "sdxl")
SIDES = {"sd1": 512, "sd2": 768, "sdxl": 1024}  # of the pictures that they were made for, in pixels

DEMO_WIDTH, DEMO_SIDE = 64, 64  # channels of the demo model's UNet (Stable Diffusion's has 320), and pixels of its pictures

_FIRST = "model.diffusion_model.input_blocks.0.0.weight"
_SD2_WIDTH = 1024  # of the text states
_REFINER_WIDTH = 1280  # the same: the refiner reads the second text encoder alone


def unet_width(shapes: Mapping[str, tuple[int, ...]]) -> int | None:
    """Return the channels of the UNet's first layer, None where that is not known."""
    first = shapes.get(_FIRST, ())
    return first[0] if len(first) == 4 else None


def classify(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, int | None]:
    """Return (kind, UNet's input channels or None) of a file with these tensors; see TITLES for the kinds.

    Shapes may be empty tuples where only the names are known.
    """

    def some(pattern: str) -> bool:
        expression = re.compile(pattern)
        return any(expression.search(name) for name in shapes)

    if some(r"^control_model\."):
        return "controlnet", None
    if _FIRST in shapes:  # whatever was left in it beside the model
        first = shapes[_FIRST]
        return _unet_kind(shapes, some), (first[1] if len(first) == 4 else None)
    if some(r"\.lora_(down|up|A|B)\.|\.lora\.(down|up)\.|_lora\.(down|up)\.|\.hada_w|\.lokr_w|\.(oft_|dora_)"):
        return "lora", None
    if some(r"^controlnet_|^input_hint_block\."):
        return "controlnet", None
    if some(r"joint_blocks\.\d"):
        return "sd3", None
    if some(r"double_blocks\.\d"):
        return "flux", None
    if some(r"^model\.diffusion_model\.input_blocks\."):
        return _unet_kind(shapes, some), None
    if some(r"^model_ema\."):
        return "ema", None
    if some(r"^(diffusion_model\.)?input_blocks\.\d"):
        return "unet_ldm", None
    if some(r"^(unet\.)?down_blocks\.\d"):
        return "unet", None
    if some(r"^first_stage_model\.") and some(r"^(cond_stage_model|conditioner)\."):
        return "no_unet", None
    if some(r"^(first_stage_model\.)?(encoder\.down|decoder\.up|encoder\.mid)(_block)?"):
        return "vae", None
    if some(r"^(cond_stage_model\.|text_model\.|transformer\.text_model\.)"):
        return "text_encoder", None
    if some(r"^(emb_params|string_to_param|string_to_token|clip_[gl]|IN01)$"):
        return "embedding", None
    return "unknown", None


def _unet_kind(shapes: Mapping[str, tuple[int, ...]], some: Any) -> str:
    """Tell SD1, SD2, SDXL and its refiner apart: by the text encoder where there is one, else by the UNet."""
    if some(r"^conditioner\.embedders\.0\.model\.") and not some(r"^conditioner\.embedders\.1\."):
        return "sdxl_refiner"
    if some(r"^conditioner\.embedders\.|^model\.diffusion_model\.label_emb\."):
        return "sdxl"
    if some(r"^cond_stage_model\.model\."):
        return "sd2"
    context = shapes.get("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", ())
    return "sd2" if context[1:2] == (_SD2_WIDTH,) else "sd1"


def classify_configs(pipeline: str, unet: Mapping[str, Any], text: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return (kind, UNet's input channels) of a diffusers model from its pipeline's class name and two configurations.

    SD1's text encoder is CLIP's, with the quick GELU; SD2's is OpenCLIP's, with the plain one.
    """
    if pipeline.startswith("Flux"):
        return "flux", None
    if pipeline.startswith("StableDiffusion3"):
        return "sd3", None
    if not unet:
        return "unknown", None
    in_channels = unet.get("in_channels", 4)
    if not isinstance(in_channels, int):
        return "unknown", None
    if unet.get("addition_embed_type") == "text_time" and unet.get("cross_attention_dim") == _REFINER_WIDTH:
        return "sdxl_refiner", in_channels
    if "XL" in pipeline or unet.get("addition_embed_type") == "text_time":
        return "sdxl", in_channels
    if pipeline.startswith("StableDiffusion") or not pipeline:
        sd2 = (
            text.get("hidden_act") == "gelu"
            or unet.get("use_linear_projection")
            or unet.get("cross_attention_dim") == _SD2_WIDTH
        )
        return ("sd2" if sd2 else "sd1"), in_channels
    return "unknown", in_channels


# ---- tensors whose numbers mean something else -------------------------------------------------------------------------
_MARKS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        (r"(^|\.)(scaled_fp8|comfy_quant)$|\.(scale_weight|scale_input|(weight|input|output)_scale(_\d|_inv)?)$",
         "scaled float8 numbers"),
        (r"\.(nested_)?(absmax|quant_map)$|\.quant_state(\.|$)|\.SCB$|\.weight_format$|bitsandbytes__",
         "bitsandbytes' 8 or 4 bits"),
        (r"\.(qweight|qzeros|g_idx|wscales|W_q)$", "numbers of few bits (GPTQ, AWQ, HQQ or SVDQuant)"),
        (r"\.weight\._(data|scale|shift)$", "quanto's numbers of few bits"),
        (r"^edm_(mean|std|vpred\.)|^denoiser\.edm_", "a schedule of noise (EDM) that is not that of Stable Diffusion"),
    )
)  # fmt: skip
_PARTS = ("model.diffusion_model.", "cond_stage_model.", "conditioner.", "first_stage_model.")
_FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
_NOT_TRAINED = re.compile(r"(^|\.)(loss|model_ema)\.|(^|\.)(position_ids|running_mean|running_var|num_batches_tracked)$")
PLAIN_MODEL = "Choose the same model with plain numbers: its fp16, bf16 or fp32 file."


def strange_tensor(shapes: Mapping[str, object], dtypes: Mapping[str, str]) -> str:
    """What keeps a base model's numbers from being what they say, with a tensor's name ("holds ..."); "" when nothing does.

    Marks of the known kinds of quantisation; whole numbers where weights belong; and anything that stands beside a layer's
    weight and bias, as all ways to store weights otherwise have it. `dtypes` (safetensors' words) may lack names.
    """
    for name in shapes:
        for pattern, what in _MARKS:
            if pattern.search(name):
                return f"holds {what}: its tensor {name} says so"
    for name in shapes:
        if _NOT_TRAINED.search(name):
            continue
        dtype = dtypes.get(name, "F32")
        if dtype not in _FLOATS and name.startswith(_PARTS):
            return f"holds numbers of the type {dtype} in {name}, expected floating-point numbers"
        if layer := _layer_beside(name, shapes):
            return f"holds {name}, which is neither weight nor bias of the layer {layer}: it is not understood"
    return ""


def _layer_beside(name: str, shapes: Mapping[str, object]) -> str:
    """The layer, one with a weight, that the tensor `name` belongs to without being its weight or bias; "" for none."""
    place = name.find(".")
    while place >= 0:
        if f"{name[:place]}.weight" in shapes and name[place + 1 :] not in ("weight", "bias"):
            return name[:place]
        place = name.find(".", place + 1)
    return ""
