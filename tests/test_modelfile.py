"""A file's header tells what it is, and what is wrong with it; nothing is loaded or run."""

from __future__ import annotations

import json
import pickle
import struct
import zipfile
from pathlib import Path

import pytest

from lora_trainer.modelfile import classify, probe

UNET = "model.diffusion_model."
CLIP1 = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
GOLDEN = Path(__file__).parent / "golden"


def write(path: Path, shapes: dict[str, tuple[int, ...]], *, missing: int = 0, extra: int = 0, metadata=None) -> Path:
    """Write a .safetensors file of float16 tensors by hand."""
    header, offset = {}, 0
    for name, shape in shapes.items():
        size = 2
        for side in shape:
            size *= side
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    if metadata:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"\0" * (offset - missing + extra))
    return path


SD1 = {f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3), CLIP1: (32,)}
KINDS = {
    "sd1": SD1,
    "sd1 without text encoder": {
        f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3),
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768),
    },
    "sd2": {f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3), "cond_stage_model.model.ln_final.weight": (1024,)},
    "sd2 without text encoder": {
        f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3),
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
    },
    "sd2 with a text encoder in other names": {
        f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3),
        f"{UNET}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024),
        CLIP1: (1024,),
    },
    "sdxl": {f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3), "conditioner.embedders.0.transformer.x": (2,)},
    "sdxl without text encoder": {f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3), f"{UNET}label_emb.0.0.weight": (2,)},
    "sdxl_refiner": {f"{UNET}input_blocks.0.0.weight": (32, 4, 3, 3), "conditioner.embedders.0.model.ln_final.weight": (2,)},
    "sd3": {f"{UNET}joint_blocks.0.context_block.attn.qkv.weight": (3, 3)},
    "flux": {"double_blocks.0.img_attn.qkv.weight": (3, 3)},
    "lora kohya": {"lora_unet_mid_block_x.lora_down.weight": (4, 32)},
    "lora peft": {"unet.mid_block.attn.to_q.lora_A.weight": (4, 32)},
    "lora diffusers": {"unet.mid_block.attn.processor.to_q_lora.down.weight": (4, 32)},
    "lora loha": {"lora_unet_x.hada_w1_a": (4, 32)},
    "vae": {"encoder.down.0.block.0.conv1.weight": (32, 32, 3, 3)},
    "vae prefixed": {"first_stage_model.decoder.up.0.block.0.conv1.weight": (32, 32, 3, 3)},
    "vae diffusers": {"decoder.up_blocks.0.resnets.0.conv1.weight": (32, 32, 3, 3)},
    "unet diffusers": {"down_blocks.0.resnets.0.conv1.weight": (32, 32, 3, 3)},
    "text_encoder": {"text_model.embeddings.token_embedding.weight": (10, 3)},
    "embedding": {"emb_params": (4, 768)},
    "controlnet": {"control_model.input_blocks.0.0.weight": (32, 4, 3, 3)},
    "unknown": {"x": (1,)},
    "unknown empty": {},
}


@pytest.mark.parametrize("case", KINDS)
def test_kinds_are_told_apart_and_only_base_models_of_three_families_pass(tmp_path, case):
    info = probe(write(tmp_path / "m.safetensors", KINDS[case], metadata={"a": "b"}))
    assert info.kind == case.split()[0]
    assert info.metadata == {"a": "b"} and info.shapes == KINDS[case]
    assert bool(info.problem) == (info.kind not in ("sd1", "sd2", "sdxl"))
    if info.problem:
        assert str(info.path) in info.problem and info.advice


def test_a_real_lora_is_one():
    info = probe(GOLDEN / "lora_sd15_sd_scripts.safetensors")
    assert info.kind == "lora" and info.metadata["ss_network_module"] == "networks.lora"
    assert "network_weights" in info.advice


@pytest.mark.parametrize(("channels", "word"), [(9, "inpainting"), (8, "instruct-pix2pix"), (5, "special")])
def test_a_unet_with_other_inputs_is_refused(tmp_path, channels, word):
    info = probe(write(tmp_path / "m.safetensors", SD1 | {f"{UNET}input_blocks.0.0.weight": (32, channels, 3, 3)}))
    assert info.in_channels == channels
    assert word in info.problem and f"{channels} channels" in info.problem


def test_a_file_cut_short_says_how_many_bytes_are_missing(tmp_path):
    path = write(tmp_path / "m.safetensors", SD1, missing=5)
    size = path.stat().st_size
    assert f"is cut short: its header promises {size + 5:,} bytes, the file has {size:,}" in probe(path).problem
    assert "is damaged" in probe(write(path, SD1, extra=5)).problem


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "is empty"),
        (b"abc", "is cut short"),
        (struct.pack("<Q", 500) + b"{}", "is cut short: its header has 500 bytes"),
        (struct.pack("<Q", 2) + b"[]", "its header is no list of tensors"),
        (struct.pack("<Q", 8) + b'{"a": 1}', "its header is no list of tensors"),
        (struct.pack("<Q", 4) + b"\xff\xfe\xff\xfe", "its header is no text"),
        (b"<!DOCTYPE html><html>nothing here</html>", "does not begin with a header"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "does not begin with a header"),
    ],
)
def test_what_is_no_safetensors_file_is_said(tmp_path, content, word):
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    assert word in probe(path).problem
    assert probe(path).kind == "unknown"


def test_missing_files_other_suffixes_and_folders(tmp_path):
    assert "does not exist" in probe(tmp_path / "m.safetensors").problem
    (tmp_path / "m.png").write_bytes(b"x")
    assert "ends in '.png', expected .safetensors, .ckpt" in probe(tmp_path / "m.png").problem
    info = probe(tmp_path)
    assert "no model_index.json" in info.problem and info.advice


def folder(path: Path, pipeline: str, unet: dict | None) -> Path:
    (path / "unet").mkdir(parents=True, exist_ok=True)
    (path / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    if unet is not None:
        (path / "unet" / "config.json").write_text(json.dumps(unet))
    return path


@pytest.mark.parametrize(
    ("pipeline", "unet", "kind", "channels"),
    [
        ("StableDiffusionPipeline", {"in_channels": 4, "cross_attention_dim": 768}, "sd1", 4),
        ("StableDiffusionPipeline", {"in_channels": 4, "use_linear_projection": True}, "sd2", 4),
        ("StableDiffusionPipeline", {"in_channels": 4, "cross_attention_dim": 1024}, "sd2", 4),
        ("StableDiffusionXLInpaintPipeline", {"in_channels": 9}, "sdxl", 9),
        (
            "StableDiffusionXLImg2ImgPipeline",
            {"in_channels": 4, "addition_embed_type": "text_time", "cross_attention_dim": 1280},
            "sdxl_refiner",
            4,
        ),
        ("StableDiffusionInpaintPipeline", {"in_channels": 9}, "sd1", 9),
        ("StableDiffusionXLPipeline", {"in_channels": 4, "addition_embed_type": "text_time"}, "sdxl", 4),
        ("StableDiffusion3Pipeline", None, "sd3", None),
        ("FluxPipeline", None, "flux", None),
        ("AudioLDMPipeline", {"in_channels": 8}, "unknown", 8),
    ],
)
def test_diffusers_folders_are_told_apart(tmp_path, pipeline, unet, kind, channels):
    info = probe(folder(tmp_path, pipeline, unet))
    assert (info.kind, info.in_channels) == (kind, channels)
    assert bool(info.problem) == (kind not in ("sd1", "sd2", "sdxl") or channels != 4)


def test_a_folder_with_a_damaged_configuration(tmp_path):
    folder(tmp_path, "StableDiffusionPipeline", {})
    (tmp_path / "unet" / "config.json").write_text("{")
    assert "damaged configuration" in probe(tmp_path).problem


class TestPickles:
    """Zip files with a data.pkl, and single pickles, as torch.save writes them (tests/models loads real ones)."""

    def zipped(self, path: Path, content: object, protocol: int = 2) -> Path:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=protocol))
        return path

    @pytest.mark.parametrize("protocol", [2, 4])
    @pytest.mark.parametrize("case", ["sd1", "sd2", "sdxl", "lora kohya", "vae"])
    def test_kinds_are_told_apart_by_names(self, tmp_path, case, protocol):
        info = probe(self.zipped(tmp_path / "m.ckpt", {"state_dict": dict.fromkeys(KINDS[case])}, protocol))
        assert info.kind == case.split()[0] and info.in_channels is None
        assert bool(info.problem) == (case not in ("sd1", "sd2", "sdxl"))

    @pytest.mark.parametrize("protocol", [0, 2, 4, 5])
    @pytest.mark.parametrize("zipped", [True, False])
    def test_code_is_found_and_not_run(self, tmp_path, monkeypatch, protocol, zipped):
        import os

        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        content = {"state_dict": dict.fromkeys(SD1), "x": Evil()}
        path = tmp_path / "m.ckpt"
        if zipped:
            self.zipped(path, content, protocol)
        else:
            path.write_bytes(pickle.dumps(content, protocol=protocol))
        info = probe(path)
        assert not (tmp_path / "ran").exists()
        if protocol or zipped:  # protocol 0 without a zip is no checkpoint at all
            assert "holds more than tensors" in info.problem and "mkdir" in info.problem
        assert info.problem and "safetensors" in info.advice + info.problem or "Download" in info.advice

    def test_a_zip_cut_short_and_one_of_something_else(self, tmp_path):
        path = self.zipped(tmp_path / "m.ckpt", SD1)
        path.write_bytes(path.read_bytes()[:-30])
        assert "is cut short" in probe(path).problem
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("picture.png", b"")
        assert "no data.pkl" in probe(path).problem

    @pytest.mark.parametrize(
        ("content", "word"),
        [(b"", "is empty"), (b"<html>", "neither a zip file nor a pickle"), (b"\x80\x02}q\x00(X", "cut short")],
    )
    def test_what_is_no_checkpoint_is_said(self, tmp_path, content, word):
        (tmp_path / "m.ckpt").write_bytes(content)
        assert word in probe(tmp_path / "m.ckpt").problem


def test_a_real_checkpoint_is_what_it_says(tiny_sd1):
    info = probe(tiny_sd1)
    assert (info.kind, info.in_channels, info.problem) == ("sd1", 4, "")
    assert info.size == tiny_sd1.stat().st_size


def test_names_alone_suffice():
    assert classify(dict.fromkeys(SD1, ())) == ("sd1", None)
