"""A valid command line on real (nearly empty) files, for the tests of this folder."""

from __future__ import annotations

import json
from pathlib import Path


def write_header(path: Path, *names: str) -> Path:
    """A .safetensors file with tensors of these names, which hold nothing: enough to tell what kind of file it is."""
    header = json.dumps({name: {"dtype": "F16", "shape": [0], "data_offsets": [0, 0]} for name in names}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    return path


def make_valid(folder: Path) -> dict[str, str]:
    """Make the files that a small valid training names in `folder`; return its options."""
    images = folder / "images" / "2_sls frog"
    images.mkdir(parents=True)
    (images / "1.png").write_bytes(b"")
    base = folder / "base.safetensors"
    write_header(base, "cond_stage_model.transformer.x", "model.diffusion_model.input_blocks.0.0.weight")
    return {
        "pretrained_model_name_or_path": str(base),
        "train_data_dir": str(folder / "images"),
        "output_dir": str(folder / "out"),
        "output_name": "frog",
        "resolution": "512",
        "network_module": "networks.lora",
        "learning_rate": "1e-4",
    }
