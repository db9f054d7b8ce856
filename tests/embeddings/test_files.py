"""Embedding files of the common programs are read; what is none is told from what it is."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from lora_trainer.embeddings import files
from lora_trainer.errors import EmbeddingFileError

TWO_VECTORS = torch.arange(16.0).reshape(2, 8)


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.safetensors", {"emb_params": TWO_VECTORS}, [TWO_VECTORS]),
        ("a.safetensors", {"clip_g": TWO_VECTORS * 2, "clip_l": TWO_VECTORS}, [TWO_VECTORS, TWO_VECTORS * 2]),
        ("a.safetensors", {"emb_params": TWO_VECTORS.half()}, [TWO_VECTORS]),
        ("a.pt", {"string_to_token": {"*": 265}, "string_to_param": {"*": TWO_VECTORS}, "name": "a", "step": 9}, [TWO_VECTORS]),
        ("a.pt", {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": {"*": TWO_VECTORS}}, [TWO_VECTORS]),
        ("learned_embeds.bin", {"<frog>": TWO_VECTORS[0]}, [TWO_VECTORS[:1]]),
        ("a.pt", {"emb_params": torch.nn.Parameter(TWO_VECTORS)}, [TWO_VECTORS]),
    ],
    ids=["sd-scripts", "SDXL", "half", "Web UI", "Web UI, early", "diffusers", "parameter"],
)
def test_files_of_the_common_programs(tmp_path, name, content, found):
    path = tmp_path / name
    save_file(content, path) if path.suffix == ".safetensors" else torch.save(content, path)
    assert all(torch.equal(*pair) for pair in zip(files.load(path), found, strict=True))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"lora_unet_x.lora_down.weight": TWO_VECTORS, "lora_unet_x.lora_up.weight": TWO_VECTORS},
            "is no embedding, but a LoRA",
        ),
        ({"a": TWO_VECTORS, "b": TWO_VECTORS}, "a file of 2 tensors"),
        ({"emb_params": torch.zeros(76, 8)}, "up to 75 vectors"),
        ({"emb_params": torch.zeros(2, 2, 8)}, "up to 75 vectors"),
        ({"emb_params": torch.zeros(0, 8)}, "up to 75 vectors"),
        ({"emb_params": torch.zeros(2, 8, dtype=torch.int64)}, "up to 75 vectors"),
        ({"emb_params": torch.full((2, 8), float("nan"))}, "NaN"),
        ({"clip_l": TWO_VECTORS, "clip_g": TWO_VECTORS[:1]}, "2 and 1 vectors"),
    ],
)
def test_what_is_no_embedding_is_said(tmp_path, content, message):
    path = tmp_path / "x.safetensors"
    save_file({name: tensor.clone() for name, tensor in content.items()}, path)
    with pytest.raises(EmbeddingFileError, match=message):
        files.load(path)


@pytest.mark.skipif(not hasattr(torch.serialization, "safe_globals"), reason="PyTorch before 2.5 knows no stand-ins")
def test_a_file_of_the_first_textual_inversion_which_keeps_a_module_is_read(tmp_path):
    content = {"string_to_token": {"*": torch.tensor(265)}, "string_to_param": torch.nn.ParameterDict({"*": TWO_VECTORS})}
    torch.save(content, tmp_path / "embeddings_gs-6099.pt")
    assert torch.equal(files.load(tmp_path / "embeddings_gs-6099.pt")[0], TWO_VECTORS)


def test_a_file_that_is_missing_or_damaged_or_runs_code_is_refused(tmp_path):
    with pytest.raises(EmbeddingFileError, match=r"nothing\.pt"):
        files.load(tmp_path / "nothing.pt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{")
    with pytest.raises(EmbeddingFileError):
        files.load(tmp_path / "cut.safetensors")
    torch.save({"emb_params": print}, tmp_path / "code.pt")
    with pytest.raises(EmbeddingFileError):
        files.load(tmp_path / "code.pt")
