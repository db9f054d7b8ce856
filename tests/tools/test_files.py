"""Checking, converting and describing files, and smaller copies of images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.networks import files
from lora_trainer.tools import block_weights, check, convert, images, layers

from .conftest import GOLDEN, close, deltas, metadata, source

TRAINED = str(GOLDEN / "lora_sd15_sd_scripts.safetensors")


def golden_names(name: str) -> dict[str, list[int]]:
    return dict(json.loads((GOLDEN / name).read_text(encoding="utf-8"))["state_dict"])


# ---- check_lora ------------------------------------------------------------------------------------------------------
def test_a_sound_file_is_described(capsys, tmp_path):
    assert run(["check_lora", TRAINED, "--picture", str(tmp_path / "norms.png")]) == 0
    shown = capsys.readouterr().out
    assert "LoRA-LierLa for Stable Diffusion 1: 264 modules, 72 of the text encoder" in shown and "rank 2; alpha 1" in shown
    blocks = [line.split()[0] for line in shown.splitlines() if line.startswith("    ")]
    assert blocks == ["TE", "01", "02", "04", "05", "07", "08", "12", *(f"{n:02d}" for n in range(16, 25))]
    picture = Image.open(tmp_path / "norms.png")
    assert picture.format == "PNG" and picture.width > 17 * 20


def test_the_picture_has_room_for_its_title(tmp_path):
    """A file with one block and one with none: nothing is cut, that is, the last columns are white."""
    for norms in ({"TE": 0.25}, {}):
        check.draw(check.Report(norms=norms), tmp_path / "norms.png")
        picture = np.asarray(Image.open(tmp_path / "norms.png").convert("L"))
        assert (picture[:40, -20:] == 255).all() and (picture[:40, :-20] < 128).any()


def test_the_norms_are_those_of_the_whole_effect(capsys):
    assert run(["check_lora", source("c")]) == 0
    shown = {
        line.split()[0]: float(line.split()[1]) for line in capsys.readouterr().out.splitlines() if line.startswith("    ")
    }
    whole = deltas(source("c"))
    text = sum(float(delta.square().sum()) for name, delta in whole.items() if name.startswith("lora_te"))
    assert shown["TE"] == pytest.approx(text**0.5, rel=1e-3)


def test_everything_that_is_wrong_is_listed(tmp_path, capsys):
    tensors = load_file(source("a"))
    names = sorted({name.partition(".")[0] for name in tensors})
    del tensors[f"{names[0]}.lora_up.weight"]
    del tensors[f"{names[1]}.alpha"]
    tensors[f"{names[2]}.lora_down.weight"][0, 0] = torch.nan
    tensors[f"{names[3]}.lora_up.weight"] = torch.ones(16, 5)
    tensors[f"{names[4]}.alpha"] = torch.ones(2)
    tensors["strange.weight"] = torch.ones(1)
    tensors[f"{names[5]}.lora_up.weight"].zero_()
    path = tmp_path / "bad.safetensors"
    save_file(tensors, path)
    assert run(["check_lora", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    problems = "\n".join(line for line in lines if "PROBLEM" in line)
    notes = "\n".join(line for line in lines if "note" in line)
    assert "5 problems" in lines[-1]
    assert f"{names[0]} has no lora_up" in problems and f"{names[2]}.lora_down.weight holds 1 values" in problems
    assert (
        f"{names[3]} has lora_down [4, 16] and lora_up [16, 5]" in problems
        and f"{names[4]} has an alpha of shape [2]" in problems
    )
    assert "strange.weight" in problems
    assert "1 of 13 modules have no alpha" in notes and names[5] in notes and "no metadata" in notes


def test_a_module_that_fits_no_layer_of_a_checkpoint_is_named(base, capsys):
    assert run(["check_lora", source("a"), "--sd_model", str(base)]) == 0
    capsys.readouterr()
    assert run(["check_lora", TRAINED, "--sd_model", str(base)]) == 1
    shown = capsys.readouterr().out
    assert "is no layer of base.safetensors" in shown and "is for a layer of shape" in shown


def test_a_file_that_was_changed_after_its_hash_is_noted(tmp_path, capsys):
    files.save(tmp_path / "a.safetensors", load_file(source("a")), {})
    save_file(load_file(source("b")), tmp_path / "b.safetensors", metadata(tmp_path / "a.safetensors"))
    assert run(["check_lora", str(tmp_path / "b.safetensors")]) == 0
    assert "sshs_model_hash is not the hash" in capsys.readouterr().out


def test_a_merged_checkpoint_keeps_the_configuration_beside_it(base, tmp_path):
    (tmp_path / "model.safetensors").write_bytes(base.read_bytes())
    (tmp_path / "model.yaml").write_text("model: {params: {parameterization: v}}", encoding="utf-8")
    merge = ["merge_lora", "--sd_model", str(tmp_path / "model.safetensors"), "--models", source("a"), "--ratios", "1"]
    assert run([*merge, "--save_to", str(tmp_path / "merged.safetensors")]) == 0
    assert (tmp_path / "merged.yaml").read_bytes() == (tmp_path / "model.yaml").read_bytes()
    (tmp_path / "again.yaml").write_text("mine", encoding="utf-8")
    assert run([*merge, "--save_to", str(tmp_path / "again.safetensors")]) == 0
    assert (tmp_path / "again.yaml").read_text(encoding="utf-8") == "mine"


# ---- convert_lora ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "to"), [("a", "webui"), ("c", "peft"), ("c", "webui"), ("trained", "diffusers")])
def test_there_and_back_is_the_same_file(name, to, tmp_path):
    """To the last bit, metadata too: alpha / rank is a power of two here, as nearly everywhere."""
    path, there, back = tmp_path / "first.safetensors", tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    assert run(["convert_lora", TRAINED if name == "trained" else source(name), "--save_to", str(path)]) == 0
    close(load_file(path), load_file(TRAINED if name == "trained" else source(name)), 0.0)
    assert run(["convert_lora", str(path), "--to", to, "--save_to", str(there)]) == 0
    keys = load_file(there)
    assert not any(key.startswith("lora_") for key in keys)
    assert any(key.endswith("alpha") for key in keys) == (to == "webui")
    assert run(["convert_lora", str(there), "--save_to", str(back)]) == 0
    assert back.read_bytes() == path.read_bytes()


def test_an_alpha_that_is_no_power_of_two_costs_no_bit_of_a_half_precision_file(tmp_path):
    tensors = {key: value.half() for key, value in load_file(source("a")).items()}
    for key in tensors:
        if key.endswith("alpha"):
            tensors[key] = torch.tensor(3.0).half()
    files.save(tmp_path / "first.safetensors", tensors, {})
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    assert run(["convert_lora", str(tmp_path / "first.safetensors"), "--to", "peft", "--save_to", str(there)]) == 0
    moved = load_file(there)
    assert any(tensor.dtype == torch.float32 for tensor in moved.values())
    for name, delta in deltas(tmp_path / "first.safetensors").items():
        path = convert.dotted(name)
        down, up = moved[f"{path}.lora_A.weight"].float(), moved[f"{path}.lora_B.weight"].float()
        assert torch.allclose(torch.einsum("or,r...->o...", up.flatten(1), down), delta, rtol=1e-5, atol=1e-7)
    assert run(["convert_lora", str(there), "--save_to", str(back)]) == 0
    assert back.read_bytes() == (tmp_path / "first.safetensors").read_bytes()


def test_every_tool_reads_the_names_of_other_programs(base, tmp_path, capsys):
    other = tmp_path / "other.safetensors"
    assert run(["convert_lora", source("c"), "--to", "diffusers", "--save_to", str(other)]) == 0
    assert run(["check_lora", str(other), "--sd_model", str(base)]) == 0
    assert "its keys are another program's" in capsys.readouterr().out
    results = []
    for path in (source("c"), str(other)):
        commands = {
            "merged": ["merge_lora", "--sd_model", str(base), "--models", path, "--ratios", "0.5"],
            "svd": ["svd_merge_lora", "--models", path, "--ratios", "0.5", "--new_rank", "4"],
            "resized": ["resize_lora", "--model", path, "--new_rank", "4"],
        }
        for name, words in commands.items():
            assert run([*words, "--save_to", str(tmp_path / f"{name}{len(results)}.safetensors")]) == 0
            results.append(tmp_path / f"{name}{len(results)}.safetensors")
    merged, svd, resized, *theirs = results
    close(load_file(theirs[0]), load_file(merged), 1e-6)
    for one, two in ((svd, theirs[1]), (resized, theirs[2])):
        close(deltas(two), deltas(one), 1e-6)


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_every_module_has_its_path(family):
    """Each name goes to the path of a layer of the real UNet and back."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**(SDXL if family == "sdxl" else {"cross_attention_dim": 768, "attention_head_dim": 8}))
    known = {name for name, _ in unet.named_modules()}
    names = {key.partition(".")[0] for key in golden_names(f"modules_{family}_lora_dim4_alpha1_conv_dim4_conv_alpha1.json")}
    for name in names:
        path = convert.dotted(name)
        if path.startswith("unet."):
            assert path.removeprefix("unet.") in known, path


SDXL = {
    "sample_size": 128, "block_out_channels": (320, 640, 1280), "cross_attention_dim": 2048, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816, "use_linear_projection": True,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "transformer_layers_per_block": (1, 2, 10),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"), "attention_head_dim": (5, 10, 20),
}  # fmt: skip


def test_keys_of_other_models_are_refused(tmp_path, capsys):
    for key in ("transformer.blocks.0.attn.lora_A.weight", "unet.conv_in.bias"):
        save_file({key: torch.ones(2, 2), "unet.mid_block.x.lora_A.weight": torch.ones(2, 2)}, tmp_path / "x.safetensors")
        assert run(["convert_lora", str(tmp_path / "x.safetensors"), "--save_to", str(tmp_path / "y.safetensors")]) in (1, 2)
        assert key.partition(".")[0] in capsys.readouterr().err


# ---- metadata --------------------------------------------------------------------------------------------------------
def test_metadata_is_shown_and_edited(tmp_path, capsys):
    path, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    files.save(path, load_file(source("a")), {"ss_dataset_dirs": "{}", "ss_datasets": '[{"n": 1}]', "ss_network_dim": "4"})
    assert run(["show_metadata", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ss_datasets"] == [{"n": 1}]
    words = [
        "edit_metadata",
        str(path),
        "--set",
        "ss_training_comment=a=b c",
        "--remove",
        "ss_dataset*",
        "--save_to",
        str(target),
    ]
    assert run(words) == 0
    assert run(["show_metadata", str(target), "--key", "ss_training_comment"]) == 0
    assert capsys.readouterr().out == "ss_training_comment: a=b c\n"
    expected = files.save(tmp_path / "c.safetensors", load_file(path), {"ss_network_dim": "4", "ss_training_comment": "a=b c"})
    assert metadata(target) == expected and target.read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_the_old_hash_of_a_large_file_is_brought_up_to_date(tmp_path):
    tensors = {"lora_unet_x.lora_down.weight": torch.randn(300_000, generator=torch.manual_seed(0))}
    files.save(tmp_path / "a.safetensors", tensors, {"ss_a": "1"})
    words = ["edit_metadata", str(tmp_path / "a.safetensors"), "--set", "ss_a=22", "--save_to", str(tmp_path / "b.safetensors")]
    assert run(words) == 0
    assert metadata(tmp_path / "b.safetensors") == files.save(tmp_path / "c.safetensors", tensors, {"ss_a": "22"})


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--set", "novalue"], "is not key=value"),
        (["--remove", "ss_network_dm"], "Did you mean ss_network_dim?"),
        (["--save_precision", "fp16"], "not touched"),
    ],
)
def test_wrong_edits(words, expected, tmp_path, capsys):
    assert run(["edit_metadata", source("a"), *words, "--save_to", str(tmp_path / "b.safetensors")]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "b.safetensors").exists()


# ---- images ----------------------------------------------------------------------------------------------------------
CASES = json.loads((GOLDEN / "captioning_tools.json").read_text(encoding="utf-8"))["resize_images"]


def make_images(folder: Path, sizes: dict[str, list[int]]) -> Path:
    folder.mkdir()
    for name, (width, height) in sizes.items():
        ramp = np.linspace(0, 255, width)[None, :, None] * np.ones((height, 1, 3))
        Image.fromarray(ramp.astype(np.uint8)).save(folder / name)
    (folder / "i0.txt").write_text("a frog", encoding="utf-8")
    (folder / "note.md").write_text("note", encoding="utf-8")
    return folder


@pytest.mark.parametrize("number", range(len(CASES)))
def test_the_recorded_files_are_made_without_distortion(number, tmp_path):
    """Names, copies and the sizes of square images as recorded; the reference distorts the others."""
    case = CASES[number]
    folder = make_images(tmp_path / "in", case["sizes"])
    assert run(["resize_images_to_resolution", *case["argv"], str(folder), str(tmp_path / "out")]) == 0
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == sorted(case["output"])
    divisor = int(case["argv"][-1]) if "--divisible_by" in case["argv"] else 1
    for name, path in written.items():
        if case["output"][name] == "copied":
            continue
        width, height = Image.open(path).size
        before = case["sizes"][f"{name.partition('+')[0]}.png"]
        wanted = [int(side) for side in name.partition("+")[2].rpartition(".")[0].split("x")]
        assert width * height <= max(wanted[0] * wanted[1], 0) or before[0] * before[1] <= wanted[0] * wanted[1]
        assert width % divisor == height % divisor == 0
        if before[0] == before[1]:
            assert [width, height] == case["output"][name]
        if divisor == 1:
            assert width / height == pytest.approx(before[0] / before[1], rel=0.02)


def test_the_documents_command_line(tmp_path):
    folder = make_images(tmp_path / "in", {"i0.png": [600, 600]})
    words = ["--max_resolution", "512x512,384x384,256x256", "--save_as_png", "--copy_associated_files"]
    assert run(["resize_images_to_resolution", *words, str(folder), str(tmp_path / "out")]) == 0
    sizes = ("512x512", "384x384", "256x256")
    expected = [f"i0+{size}.{ending}" for size in sizes for ending in ("png", "txt")] + ["i0.txt", "note.md"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(expected)


@pytest.mark.parametrize("interpolation", ["area", "cubic", "lanczos4", "nearest", "linear", "box"])
def test_originals_come_along_and_every_interpolation_shrinks(interpolation, tmp_path):
    folder = make_images(tmp_path / "in", {"i0.png": [80, 40]})
    words = ["--max_resolution", "40x20,Original", "--save_as_png", "--copy_associated_files", "--interpolation", interpolation]
    assert run(["resize_images_to_resolution", *words, str(folder), str(tmp_path / "out")]) == 0
    written = {path.name: path for path in (tmp_path / "out").iterdir()}
    assert sorted(written) == ["i0+40x20.png", "i0+40x20.txt", "i0.png", "i0.txt", "note.md"]
    assert written["i0.png"].read_bytes() == (folder / "i0.png").read_bytes()
    small = np.asarray(Image.open(written["i0+40x20.png"]))[:, :, 0].astype(float)
    expected = np.linspace(0, 255, 80).reshape(40, 2).mean(1)
    assert small.shape == (20, 40) and np.abs(small - expected)[:, 2:-2].max() < 4


def test_nothing_is_enlarged_and_edges_are_cut_evenly():
    ramp = np.broadcast_to(np.arange(100, dtype=np.uint8)[None, :, None], (50, 100, 3))
    assert images.shrunk(ramp, (512, 512)).shape == (50, 100, 3)
    cut = images.shrunk(ramp, (512, 512), 64)
    assert cut.shape == (50, 64, 3) and cut[0, 0, 0] == 18


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--max_resolution", "512"], "'512' is no size"),
        (["--max_resolution", "512x512,512x512"], "twice"),
        (["--divisible_by", "0"], "too small"),
        (["--interpolation", "lanczos"], "Did you mean lanczos4?"),
    ],
)
def test_wrong_settings(words, expected, tmp_path, capsys):
    folder = make_images(tmp_path / "in", {"i0.png": [64, 64]})
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out"), *words]) == 2
    assert expected in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_images_that_would_get_one_name_and_files_that_are_there(tmp_path, capsys):
    folder = make_images(tmp_path / "in", {"i0.png": [64, 64], "i0.jpg": [64, 64]})
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 2
    assert "i0.jpg and i0.png" in capsys.readouterr().err
    (folder / "i0.jpg").unlink()
    assert run(["resize_images_to_resolution", str(folder), str(folder)]) == 2
    assert "one folder" in capsys.readouterr().err
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 0
    assert run(["resize_images_to_resolution", str(folder), str(tmp_path / "out")]) == 2
    assert "exist already" in capsys.readouterr().err


def test_the_families_of_golden_names_are_told_apart():
    from lora_trainer.tools.lorafile import family_of

    for name, family in (("modules_sd15_lora_dim4_alpha1.json", "sd1"), ("modules_sdxl_lora_dim4_alpha1.json", "sdxl")):
        keys = golden_names(name)
        modules = {key.partition(".")[0] for key in keys}
        shapes = {m: (keys[f"{m}.lora_up.weight"][0], *keys[f"{m}.lora_down.weight"][1:]) for m in modules}
        assert family_of(shapes, {}) == family
    assert family_of({"lora_unet_x_attn2_to_k": (320, 1024)}, {}) == "sd2" and family_of({}, {}) is None


@pytest.mark.parametrize(
    ("length", "name", "place"),
    [
        (17, "lora_te_text_model_encoder_layers_3_mlp_fc1", 0),
        (17, "lora_unet_down_blocks_0_attentions_0_proj_in", 1),
        (17, "lora_unet_down_blocks_2_attentions_1_proj_in", 6),
        (17, "lora_unet_mid_block_attentions_0_proj_in", 7),
        (17, "lora_unet_up_blocks_1_attentions_0_proj_in", 8),
        (17, "lora_unet_up_blocks_3_attentions_2_proj_in", 16),
        (17, "lora_unet_down_blocks_0_downsamplers_0_conv", None),
        (26, "lora_unet_down_blocks_0_downsamplers_0_conv", 4),
        (26, "lora_unet_up_blocks_0_upsamplers_0_conv", 16),
        (12, "lora_te2_text_model_encoder_layers_3_mlp_fc1", 0),
        (12, "lora_unet_input_blocks_4_1_proj_in", 1),
        (12, "lora_unet_middle_block_1_proj_in", 5),
        (12, "lora_unet_output_blocks_5_1_proj_in", 11),
        (12, "lora_unet_output_blocks_8_0_in_layers_2", None),
        (20, "lora_unet_input_blocks_8_1_proj_in", 9),
        (20, "lora_unet_middle_block_2_in_layers_2", 10),
        (20, "lora_unet_output_blocks_8_0_in_layers_2", 19),
    ],
)
def test_the_number_of_a_block_in_the_extensions_lists(length, name, place):
    weights = dict(zip(("BASE", *block_weights.FORMS[length]), range(2, length + 2), strict=True))
    assert block_weights.weight_of(name, weights) == (1.0 if place is None else place + 2)


def test_the_layers_of_a_checkpoint_are_those_that_kohya_names():
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8)
    found = layers.places({n: tuple(t.shape) for n, t in model_convert.checkpoint_tensors(unet, None, None).items()})
    for file, plain in (("modules_sd15_lora_dim4_alpha1.json", True),
                        ("modules_sd15_lora_dim4_alpha1_conv_dim4_conv_alpha1.json", False)):  # fmt: skip
        expected = {key.partition(".")[0] for key in golden_names(file) if key.startswith("lora_unet")}
        assert {name for name, place in found.items() if place.lierla or (place.c3lier and not plain)} == expected


def test_the_layers_of_an_sdxl_checkpoint_are_those_that_kohya_names():
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert

    with torch.device("meta"):
        state = UNet2DConditionModel(**SDXL).state_dict()
    known = {name: tensor for name, tensor in state.items() if not name.startswith("add_embedding.")}
    ldm = model_convert.unet_names(known)
    shapes = {f"model.diffusion_model.{ldm[name]}": tuple(tensor.shape) for name, tensor in known.items()}
    shapes["model.diffusion_model.label_emb.0.0.weight"] = (1280, 2816)
    for number in range(12):
        for part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.out_proj", "mlp.fc1", "mlp.fc2"):
            shapes[f"conditioner.embedders.0.transformer.text_model.encoder.layers.{number}.{part}.weight"] = (768, 768)
    for number in range(32):
        for part in ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight", "ln_1.weight"):
            shapes[f"conditioner.embedders.1.model.transformer.resblocks.{number}.{part}"] = (3840, 1280)
    for file, plain in (("modules_sdxl_lora_dim4_alpha1.json", True),
                        ("modules_sdxl_lora_dim4_alpha1_conv_dim4_conv_alpha1.json", False)):  # fmt: skip
        expected = {key.partition(".")[0] for key in golden_names(file)}
        assert {
            name for name, place in layers.places(shapes).items() if place.lierla or (place.c3lier and not plain)
        } == expected


def test_the_layers_of_an_sd2_checkpoint_are_those_of_the_network():
    """SD2's real sizes, without memory: the names are those of a network on diffusers' models."""
    from diffusers import UNet2DConditionModel

    from lora_trainer.models import convert as model_convert
    from lora_trainer.networks.targets import find_lierla_names, find_targets

    with torch.device("meta"):
        unet = UNet2DConditionModel(
            cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20], use_linear_projection=True, sample_size=96
        )
    shapes = {name: tuple(tensor.shape) for name, tensor in model_convert.checkpoint_tensors(unet, None, None).items()}
    shapes["cond_stage_model.model.ln_final.weight"] = (1024,)
    found = layers.places(shapes)
    assert {name for name, place in found.items() if place.c3lier} == {target.name for target in find_targets(None, unet)}
    assert {name for name, place in found.items() if place.lierla} == find_lierla_names(None, unet)


@pytest.mark.skipif(not Path("/proc/self/statm").is_file(), reason="reads /proc")
def test_merging_into_a_checkpoint_needs_the_memory_of_one_tensor(tmp_path):
    from benchmarks.merge import Peak
    from lora_trainer.models.weights import open_weights
    from lora_trainer.tools.lorafile import read
    from lora_trainer.tools.merge import into_checkpoint

    size, count = 1024, 24  # 24 tensors of 4 MiB: 96 MiB
    base = {
        f"model.diffusion_model.input_blocks.1.1.transformer_blocks.{n}.attn1.to_q.weight": torch.zeros(size, size)
        for n in range(count)
    }
    save_file(base, tmp_path / "base.safetensors")
    del base
    start = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_"
    lora = {f"{start}{n}_attn1_to_q.lora_down.weight": torch.ones(2, size) for n in range(count)}
    lora |= {f"{start}{n}_attn1_to_q.lora_up.weight": torch.ones(size, 2) for n in range(count)}
    save_file(lora, tmp_path / "lora.safetensors")
    loras = [read(tmp_path / "lora.safetensors")]
    with open_weights(tmp_path / "base.safetensors") as weights, Peak() as peak:
        into_checkpoint(weights, loras, [1.0], tmp_path / "out.safetensors", torch.float32, torch.float32, {})
    assert peak.mib < 40
    assert float(load_file(tmp_path / "out.safetensors")[next(iter(weights.shapes))][0, 0]) == 2.0
