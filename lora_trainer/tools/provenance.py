"""The metadata of a tool's result: what programs need, and where it comes from (kohya's `ss_*`, Stability's `modelspec.*`)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from ..log import logger
from ..models.family import V_PREDICTION
from ..models.prediction import told_by_metadata
from ..networks.metadata import ARCHITECTURES, IMPLEMENTATION, base_model_version
from .families import said_family
from .lorafile import Factors, Lora

_WHOSE = ("author", "license", "trigger_phrase", "usage_hint", "tags")


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
    """`ss_base_model_version`: what the first file that has one of the `family` says, else the family's own."""
    said = [version for lora in loras if (version := lora.metadata.get("ss_base_model_version", "")) not in ("", "None")]
    fitting = [version for version in said if family is None or said_family(version) in (None, family)]
    return fitting[0] if fitting else base_model_version(family or "sd1", False)


def modelspec(
    path: Path,
    version: str,
    *,
    merged_from: Sequence[str] = (),
    lora: bool = True,
    predicts_v: bool | None = None,
    sure: bool = True,
) -> dict[str, str]:
    """The modelspec.* values of a file written now to `path` (https://github.com/Stability-AI/ModelSpec, 1.0.1).

    `predicts_v` None is what `version` says; not `sure` leaves out what depends on it.
    """
    family = "sdxl" if "sdxl" in version else "sd2" if "sd_v2" in version else "sd1"
    predicts_v = version.endswith("_v") if predicts_v is None else predicts_v
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
    if not sure:
        values = {key: value for key, value in values.items() if key not in ("architecture", "prediction_type", "resolution")}
    return {f"modelspec.{key}": value for key, value in values.items()}


def merged_modelspec(path: Path, version: str, loras: Sequence[Lora]) -> dict[str, str]:
    """The modelspec.* values of LoRAs merged with each other: also what they predict, whose they are, under which licence."""
    said = [told_by_metadata(lora.metadata) for lora in loras]
    known = [kind == V_PREDICTION for kind in said if kind]
    if len(set(known)) > 1:
        logger.warning("some of the LoRAs were made for models that predict noise, some for velocity: the sum suits neither.")
    merged_from = [lora.path.stem for lora in loras]
    result = modelspec(path, version, merged_from=merged_from, predicts_v=known[0] if known else None)
    return result | whose([lora.metadata for lora in loras])


def whose(sources: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What the metadata of all `sources` together say of rights and use, each thing once."""
    result = {}
    for key in (f"modelspec.{name}" for name in _WHOSE):
        said = dict.fromkeys(text for metadata in sources if (text := metadata.get(key, "").strip()))
        if said:
            result[key] = "; ".join(said)
    return result


def one_or_dynamic(values: Iterable[float]) -> str:
    """The only value there is, as text; "Dynamic" when the modules differ."""
    different = set(values)
    return str(different.pop()) if len(different) == 1 else "Dynamic"


def shape_of(modules: Mapping[str, Factors]) -> tuple[str, str]:
    """(dim, alpha) of a network with these modules, as ss_network_dim and ss_network_alpha have them."""
    every = modules.values()
    return one_or_dynamic(module.rank for module in every), one_or_dynamic(module.alpha for module in every)
