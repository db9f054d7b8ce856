"""LoRA Trainer: train LoRA files in the browser, inside the AUTOMATIC1111 Web UI or standing alone."""

__version__ = "0.1.0"
