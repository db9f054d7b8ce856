"""Every option of the program, declared once (standard library and `toml` only)."""

from __future__ import annotations

from .train import OPTIONS, OPTIONS_BY_NAME, SECTIONS, TrainOptions, flat

__all__ = ["OPTIONS", "OPTIONS_BY_NAME", "SECTIONS", "TrainOptions", "flat"]
