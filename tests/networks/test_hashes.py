"""Hashes of model files are the reference's."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lora_trainer.networks import files

GOLDEN = Path(__file__).parents[1] / "golden"


def test_hashes_of_the_recorded_file():
    recorded = json.loads((GOLDEN / "metadata.json").read_text(encoding="utf-8"))["hashes"]
    path = GOLDEN / recorded["file"]
    found = recorded["model_hash (ss_sd_model_hash form)"], recorded["calculate_sha256 (ss_new_sd_model_hash form)"]
    assert (files.short_hash(path), files.file_hashes(path)) == (found[0], found)


def test_the_legacy_hash_is_of_64_kib_at_1_mib(tmp_path):
    content = bytes(range(251)) * 6000
    (tmp_path / "m").write_bytes(content)
    old, new = hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8], hashlib.sha256(content).hexdigest()
    assert (files.short_hash(tmp_path / "m"), files.file_hashes(tmp_path / "m")) == (old, (old, new))
