"""The metadata of a tool's result: what programs need, and where it comes from (kohya's `ss_*`, Stability's `modelspec.*`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..networks.metadata import ARCHITECTURES, IMPLEMENTATION, base_model_version
from .lorafile import Factors, Lora


def needed(
    *, version: str, dim: object, alpha: object, arguments: Mapping[str, Any] | None = None, module: str = "networks.lora"
) -> dict[str, str]:
    """The ss_* values without which programs cannot tell what the file is. `arguments` None leaves network_args out."""
    values = {
        "ss_base_model_version": version,
        "ss_network_alpha": str(alpha),
        "ss_network_dim": str(dim),
        "ss_network_module": module,
        "ss_v2": str("sd_v2" in version),
    }
    if arguments is not None:
        values["ss_network_args"] = json.dumps(arguments)
    return values


def version_of(loras: Iterable[Lora], family: str | None) -> str:
    """`ss_base_model_version`: what the first file that has it says, else that of the family."""
    said = (lora.metadata.get("ss_base_model_version") for lora in loras)
    return next((version for version in said if version and version != "None"), base_model_version(family or "sd1", False))


def modelspec(path: Path, version: str, *, merged_from: Sequence[str] = (), lora: bool = True) -> dict[str, str]:
    """The modelspec.* values of a file written now to `path` (https://github.com/Stability-AI/ModelSpec, 1.0.1)."""
    family = "sdxl" if "sdxl" in version else "sd2" if "sd_v2" in version else "sd1"
    predicts_v = version.endswith("_v")
    side = 1024 if family == "sdxl" else 768 if family == "sd2" and predicts_v else 512
    values = {
        "architecture": ARCHITECTURES[family, predicts_v] + ("/lora" if lora else ""),
        "date": datetime.now().isoformat(timespec="seconds"),
        "implementation": "https://github.com/Stability-AI/generative-models" if family == "sdxl" else "diffusers",
        "implementation_version": IMPLEMENTATION,
        "prediction_type": "v" if predicts_v else "epsilon",
        "resolution": f"{side}x{side}",
        "sai_model_spec": "1.0.1",
        "title": path.stem,
    }
    if merged_from:
        values["merged_from"] = ", ".join(merged_from)
    return {f"modelspec.{key}": value for key, value in values.items()}


def one_or_dynamic(values: Iterable[float]) -> str:
    """The only value there is, as text; "Dynamic" when the modules differ."""
    different = set(values)
    return str(different.pop()) if len(different) == 1 else "Dynamic"


def shape_of(modules: Mapping[str, Factors]) -> tuple[str, str]:
    """(dim, alpha) of a network with these modules, as ss_network_dim and ss_network_alpha have them."""
    every = modules.values()
    return one_or_dynamic(module.rank for module in every), one_or_dynamic(module.alpha for module in every)
