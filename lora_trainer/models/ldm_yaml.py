"""What the tensors of a single file cannot tell, from an LDM configuration `NAME.yaml` beside `NAME.safetensors`.

The Web UI reads the same file, so that a model of unusual sizes gives the same pictures there and here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import BaseModelError
from ..foreign.json_text import read_json
from ..foreign.reading import errors_as, is_file, read_text

_LIMIT = 256 << 10  # bytes; LDM's own have 2 KB


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """0 heads, and heads of 0 channels, mean the family's own number.

    `prediction_type` is "epsilon" or "v_prediction", None when there is no configuration; `path` is its file.
    """

    unet_heads: int = 0
    unet_head_channels: int = 0
    clip_heads: int = 0
    prediction_type: str | None = None
    path: Path | None = None


def read_overrides(checkpoint: Path) -> Overrides:
    """Return what the YAML beside `checkpoint` says; the defaults when there is none.

    Raises BaseModelError when it is damaged.
    """
    path = checkpoint.with_suffix(".yaml")
    if not is_file(path):
        return Overrides()
    import yaml

    mend = "Mend it, or remove it for an ordinary model."
    with errors_as(BaseModelError, path):
        text = read_text(path, limit=_LIMIT)
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError, TypeError) as error:
        raise BaseModelError(f"{path} is no YAML: {str(error)[:300]}.", advice=mend) from error
    model = _inside(content, "model", "params")
    unet = _inside(model, "unet_config", "params") or _inside(model, "network_config", "params")
    return Overrides(
        unet_heads=_count(path, unet, "num_heads"),
        unet_head_channels=_count(path, unet, "num_head_channels"),
        clip_heads=_clip_heads(path, _inside(model, "cond_stage_config", "params").get("version")),
        prediction_type=_prediction_type(model) if model else None,
        path=path,
    )


def _prediction_type(model: Mapping[str, Any]) -> str:
    """LDM's configurations say `parameterization: v`, those of SDXL's code name the scaling of the output."""
    scaling = str(_inside(model, "denoiser_config", "params", "scaling_config").get("target", ""))
    velocity = model.get("parameterization") == "v" or scaling.rpartition(".")[2].startswith("VScaling")
    return "v_prediction" if velocity else "epsilon"


def _count(path: Path, unet: Mapping[str, Any], key: str) -> int:
    """A number of heads or channels; 0 for none, which LDM writes as -1."""
    value = unet.get(key, -1)
    if not isinstance(value, int) or value == 0:
        found = repr(value)[:100] if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
        raise BaseModelError(
            f"{path}: {key} is {found}, expected a whole number.", advice="Mend it, or remove the file for an ordinary model."
        )
    return max(value, 0)


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
    if not is_file(file):
        return 0
    try:
        config = read_json(file)
        return int(config.get("text_config", config).get("num_attention_heads", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise BaseModelError(f"{file} is damaged: {error}.", advice="Mend it, or remove the YAML that names it.") from error
