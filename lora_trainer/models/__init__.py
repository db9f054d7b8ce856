"""Base models: loading them, and using their parts (text, latents, the UNet's prediction).

model = load("v1-5.safetensors", dtype=torch.float16, device="cuda")
"""

from .family import Family, Model
from .loading import load, load_vae

__all__ = ["Family", "Model", "load", "load_vae"]
