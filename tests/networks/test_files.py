"""LoRA files: the same bytes for the same content, hashes, damage of every kind, no torch where none is needed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from lora_trainer import paths
from lora_trainer.errors import LoraFileError, SaveError
from lora_trainer.networks import files

from ..full_disk import needs_limits, room_for
from .conftest import GOLDEN, golden

REFERENCE = GOLDEN / "lora_sd15_sd_scripts.safetensors"
TINY = GOLDEN / "hash_tiny.safetensors"


def tensors(seed: int = 0, modules: int = 3, size: int = 6) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    result = {}
    for index in reversed(range(modules)):
        result[f"lora_unet_m{index}.lora_up.weight"] = torch.randn(size, 2, generator=generator)
        result[f"lora_unet_m{index}.lora_down.weight"] = torch.randn(2, size, generator=generator)
        result[f"lora_unet_m{index}.alpha"] = torch.tensor(1.0)
    return result


def test_saved_file_is_read_by_the_library_with_all_types_and_metadata(tmp_path):
    given = tensors() | {"lora_unet_m9.alpha": torch.tensor(2, dtype=torch.int64), "lora_te_x.alpha": torch.ones(1).bfloat16()}
    metadata = {"ss_training_comment": '청개구리 "quoted"\n\t\u0001 \\ é', "ss_steps": "3", "modelspec.title": "t"}
    written = files.save(tmp_path / "a.safetensors", given, metadata)
    loaded = load_file(tmp_path / "a.safetensors")
    assert loaded.keys() == given.keys()
    assert all(torch.equal(loaded[key], given[key]) and loaded[key].dtype == given[key].dtype for key in given)
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert file.metadata() == written == metadata | {k: written[k] for k in ("sshs_model_hash", "sshs_legacy_hash")}


def test_bytes_of_a_path_that_are_no_text_do_not_stop_the_saving(tmp_path):
    files.save(tmp_path / "a.safetensors", tensors(), {"ss_sd_model_name": "caf\udce9.safetensors"})
    assert files.read_metadata(tmp_path / "a.safetensors")["ss_sd_model_name"] == "caf?.safetensors"


def test_layout_is_that_of_the_library(tmp_path):
    given = tensors() | {"lora_te_x.alpha": torch.ones(3).half()}
    save_file(given, tmp_path / "theirs.safetensors")
    files.save(tmp_path / "ours.safetensors", given)
    ours, theirs = ((tmp_path / name).read_bytes() for name in ("ours.safetensors", "theirs.safetensors"))

    def data(content: bytes) -> bytes:
        return content[8 + int.from_bytes(content[:8], "little") :]

    assert data(ours) == data(theirs)
    assert files.tensor_hash(tmp_path / "ours.safetensors") == hashlib.sha256(data(theirs)).hexdigest()


def test_equal_content_gives_equal_bytes_whatever_the_order(tmp_path):
    given = tensors()
    files.save(tmp_path / "a.safetensors", given, {"b": "1", "a": "2"})
    files.save(tmp_path / "b.safetensors", dict(reversed(given.items())), {"a": "2", "b": "1"})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


@pytest.mark.parametrize("file", [REFERENCE, TINY])
def test_hashes_equal_the_references(file, tmp_path):
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    given = {key: value for key, value in metadata.items() if not key.startswith("sshs_")}
    written = files.save(tmp_path / "again.safetensors", load_file(file), given)
    assert {key: written[key] for key in ("sshs_model_hash", "sshs_legacy_hash")} == {
        key: metadata[key] for key in ("sshs_model_hash", "sshs_legacy_hash")
    }
    assert files.tensor_hash(file) == metadata["sshs_model_hash"]
    assert files.webui_hash(file) == metadata["sshs_model_hash"][:12]


def test_hashes_of_whole_files_equal_the_references():
    recorded = golden("metadata.json")["hashes"]
    assert files.file_hashes(TINY) == (
        recorded["model_hash (ss_sd_model_hash form)"], recorded["calculate_sha256 (ss_new_sd_model_hash form)"],
    )  # fmt: skip
    content = REFERENCE.read_bytes()
    legacy = hashlib.sha256(content[0x100000:0x110000]).hexdigest()[:8]
    assert files.file_hashes(REFERENCE) == (legacy, hashlib.sha256(content).hexdigest())


def test_hash_that_the_web_ui_shows_is_the_metadatas_where_it_has_one(tmp_path):
    save_file(tensors(), tmp_path / "a.safetensors", {"sshs_model_hash": "0123456789abcdef"})
    assert files.webui_hash(tmp_path / "a.safetensors") == "0123456789ab"
    save_file(tensors(), tmp_path / "b.safetensors")
    assert files.webui_hash(tmp_path / "b.safetensors") == files.tensor_hash(tmp_path / "b.safetensors")[:12]


@pytest.mark.parametrize(("precision", "dtype"), [("float", torch.float32), ("fp16", torch.float16), ("bf16", torch.bfloat16)])
def test_precision_of_the_file_counts_for_every_tensor_alpha_too(tmp_path, precision, dtype):
    files.save(tmp_path / "a.safetensors", tensors(), dtype=precision)
    loaded, _ = files.load(tmp_path / "a.safetensors")
    assert {tensor.dtype for tensor in loaded.values()} == {dtype}


def test_ckpt_and_pt_are_written_and_read_as_tensors_alone(tmp_path):
    for suffix in ("ckpt", "pt"):
        files.save(tmp_path / f"a.{suffix}", tensors(), {"ss_steps": "1"}, "fp16")
        loaded, metadata = files.load(tmp_path / f"a.{suffix}")
        assert loaded.keys() == tensors().keys() and metadata == {}
        assert files.read_metadata(tmp_path / f"a.{suffix}") == {}


def test_what_cannot_be_a_good_file_is_not_written(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save(path, tensors())
    good = path.read_bytes()
    spoilt = tensors()
    spoilt["lora_unet_m0.lora_up.weight"][0, 0] = float("nan")
    with pytest.raises(SaveError, match=r"lora_unet_m0\.lora_up\.weight holds NaN"):
        files.save(path, spoilt)
    spoilt["lora_unet_m0.lora_up.weight"][0, 0] = 70000.0
    with pytest.raises(SaveError, match="save_precision=float"):
        files.save(path, spoilt, dtype="fp16")
    files.save(tmp_path / "b.safetensors", spoilt, dtype="bf16")
    assert path.read_bytes() == good


def test_full_disk_is_a_save_error_and_the_old_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    files.save(path, tensors())
    good = path.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(paths.os, "fsync", full)
    with pytest.raises(SaveError, match="No space left on device"):
        files.save(path, tensors(1))
    assert path.read_bytes() == good and list(tmp_path.iterdir()) == [path]


@needs_limits
@pytest.mark.parametrize("room", [100, 1000])
@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.ckpt"])
def test_a_disk_that_fills_up_while_a_file_of_any_kind_is_written_is_a_save_error(tmp_path, name, room):
    """torch.save hides the system's error behind one of its own, which would end a training."""
    files.save(tmp_path / name, tensors())
    good = (tmp_path / name).read_bytes()
    assert len(good) > room
    with room_for(room), pytest.raises(SaveError, match="could not be written"):
        files.save(tmp_path / name, tensors(1))
    assert (tmp_path / name).read_bytes() == good and [one.name for one in tmp_path.iterdir()] == [name]


class Bomb:
    def __reduce__(self):
        return os.system, ("echo hello",)


def cut(path):
    path.write_bytes(path.read_bytes()[:-5])


def cut_header(path):
    path.write_bytes(path.read_bytes()[:20])


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        ("a.safetensors", cut, "cut short"),
        ("a.safetensors", cut_header, "cut short"),
        ("a.safetensors", lambda p: p.write_bytes(b""), "empty"),
        ("a.safetensors", lambda p: p.write_text("<html><body>404", encoding="utf-8"), "not a .safetensors file"),
        ("a.safetensors", lambda p: save_file({"model.diffusion_model.input_blocks.0.0.weight": torch.zeros(3, 4, 3, 3)}, p),
         "it is a Stable Diffusion 1 model"),
        ("a.safetensors", lambda p: save_file({"x": torch.zeros(3)}, p), "not a LoRA file"),
        ("a.safetensors", lambda p: save_file(tensors() | {"lora_unet_m0.alpha": torch.tensor(float("inf"))}, p),
         "NaN or infinity, for example lora_unet_m0.alpha"),
        ("a.safetensors", lambda p: p.unlink(), "does not exist"),
        ("a.pt", lambda p: torch.save({"lora_unet_x.lora_up.weight": Bomb()}, p), "can run code"),
        ("a.ckpt", lambda p: p.write_bytes(pickle.dumps({"lora_unet_x.lora_up.weight": 1, "b": Bomb()})), "can run code"),
        ("a.ckpt", cut, "cut short"),
        ("a.pt", lambda p: torch.save(["lora_unet_x.lora_up.weight"], p), "holds a list, expected a table of tensors"),
    ],
)  # fmt: skip
def test_damaged_and_foreign_files_are_refused_by_name(tmp_path, name, spoil, words):
    path = tmp_path / name
    files.save(path, tensors())
    spoil(path)
    with pytest.raises(LoraFileError) as caught:
        files.load(path)
    assert words in str(caught.value) and str(path) in str(caught.value)


def test_a_file_can_be_replaced_while_its_tensors_are_held(tmp_path):
    path = tmp_path / "a.safetensors"
    files.save(path, tensors(0))
    held, _ = files.load(path)
    files.save(path, tensors(1))
    assert all(torch.equal(held[key], tensor) for key, tensor in tensors(0).items())


def test_header_metadata_hashes_and_facts_need_no_torch(tmp_path):
    shutil.copy(REFERENCE, tmp_path / "a.safetensors")
    code = (
        "import sys, json; sys.modules['torch'] = None; sys.modules['numpy'] = None\n"
        "from lora_trainer.networks import files, metadata\n"
        "path = sys.argv[1]; shapes, _ = files.read_header(path)\n"
        "ranks = sorted(set(files.ranks(shapes).values()))\n"
        "print(json.dumps([files.check_lora(path)['ss_network_dim'], files.webui_hash(path), ranks]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.safetensors")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["2", "3b59408ecde5", [2]]
