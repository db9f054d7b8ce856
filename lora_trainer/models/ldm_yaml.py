"""What the tensors of a single file cannot tell, from an LDM configuration `NAME.yaml` beside `NAME.safetensors`.

The Web UI reads the same file, so that a model of unusual sizes gives the same pictures there and here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BaseModelError


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """0 heads mean the family's own number. `prediction_type` is "epsilon" or "v_prediction"."""

    unet_heads: int = 0
    clip_heads: int = 0
    prediction_type: str = "epsilon"


def read_overrides(checkpoint: Path) -> Overrides:
    """Return what the YAML beside `checkpoint` says; the defaults when there is none.

    Raises BaseModelError when it is damaged.
    """
    path = checkpoint.with_suffix(".yaml")
    if not path.is_file():
        return Overrides()
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BaseModelError(f"{path} is no YAML: {error}.", advice="Mend it, or remove it for an ordinary model.") from error
    model = _inside(content, "model", "params")
    unet = _inside(model, "unet_config", "params")
    heads = unet.get("num_heads", 0)
    if not isinstance(heads, int) or heads < 0:
        if unet.get("num_head_channels", -1) != -1:
            raise BaseModelError(
                f"{path}: num_head_channels is not that of Stable Diffusion 1, expected num_heads.",
                advice="Remove the file for an ordinary model.",
            )
        heads = 0
    return Overrides(
        unet_heads=heads,
        clip_heads=_clip_heads(path, _inside(model, "cond_stage_config", "params").get("version")),
        prediction_type="v_prediction" if model.get("parameterization") == "v" else "epsilon",
    )


def _inside(content: Any, *keys: str) -> Mapping[str, Any]:
    """Return the table at `keys`, an empty one where there is none."""
    for key in keys:
        content = content.get(key) if isinstance(content, Mapping) else None
    return content if isinstance(content, Mapping) else {}


def _clip_heads(path: Path, version: object) -> int:
    """Return the heads in the config.json of the local folder that stands for CLIP's version; 0 when there is none."""
    if not isinstance(version, str):
        return 0
    file = path.parent / version / "config.json"  # an absolute version replaces the parent
    if not file.is_file():
        return 0
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
        return int(config.get("text_config", config).get("num_attention_heads", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise BaseModelError(f"{file} is damaged: {error}.", advice="Mend it, or remove the YAML that names it.") from error
