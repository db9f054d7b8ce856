"""A valid command line on real (empty) files, for the tests of this folder."""

from __future__ import annotations

from pathlib import Path


def make_valid(folder: Path) -> dict[str, str]:
    """Make the files that a small valid training names in `folder`; return its options."""
    images = folder / "images" / "2_sls frog"
    images.mkdir(parents=True)
    (images / "1.png").write_bytes(b"")
    base = folder / "base.safetensors"
    base.write_bytes(b"")
    return {
        "pretrained_model_name_or_path": str(base),
        "train_data_dir": str(folder / "images"),
        "output_dir": str(folder / "out"),
        "output_name": "frog",
        "resolution": "512",
        "network_module": "networks.lora",
        "learning_rate": "1e-4",
    }
