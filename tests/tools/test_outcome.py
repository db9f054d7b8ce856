"""What the tools' results do: the merged model draws what the network draws, extraction gives the LoRA back."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.models import load
from lora_trainer.networks.files import save
from lora_trainer.networks.lora import create_network, create_network_from_weights
from tests.closeness import SIDE, assert_same_outputs

from .conftest import close, deltas, metadata


def outputs(model) -> tuple[torch.Tensor, torch.Tensor]:
    """(text states, UNet output) on fixed inputs."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, SIDE, SIDE, generator=generator)
    context = torch.randn(1, 7, model.unet.config.cross_attention_dim, generator=generator)
    with torch.no_grad():
        ids = torch.tensor([[49406, 320, 1125, 49407]])
        return model.text_encoders[0](ids).last_hidden_state, model.unet(x, torch.tensor([400]), context).sample


def trained(model, path, *, seed: int, rank: int = 4, dtype=None, **arguments):
    """Save a LoRA for `model` with random weights, as if it had been trained."""
    network = create_network(1.0, rank, rank / 2, None, model.text_encoders, model.unet, seed=seed, **arguments)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for adapter in network.adapters():
            adapter.lora_up.weight.normal_(0.0, 0.1, generator=generator)
    save(path, network.state_dict(), {"ss_base_model_version": "sd_v1"}, dtype)
    return path


@pytest.fixture(scope="module")
def model(tiny_sd1):
    return load(tiny_sd1, dtype=torch.float32, device="cpu")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    made = tmp_path_factory.mktemp("loras")
    trained(model, made / "one.safetensors", seed=1)
    trained(model, made / "two.safetensors", seed=2, rank=6, conv_dim="3", conv_alpha="1.5")
    return made


def merge(base, target, *rest) -> None:
    assert run(["merge_lora", "--sd_model", str(base), "--save_to", str(target), *map(str, rest)]) == 0


@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_the_merged_checkpoint_does_what_the_applied_networks_do(model, folder, tiny_sd1, tmp_path, ending):
    target = tmp_path / f"merged.{ending}"
    files = [folder / "one.safetensors", folder / "two.safetensors"]
    merge(tiny_sd1, target, "--models", *files, "--ratios", 0.8, -0.5)
    plain = outputs(model)
    networks = []
    for file, ratio in zip(files, (0.8, -0.5), strict=True):
        network, weights = create_network_from_weights(ratio, file, None, model.text_encoders, model.unet)
        network.apply_to(model.text_encoders, model.unet)
        network.load_state_dict(weights)
        networks.append(network)
    applied = outputs(model)
    for network in networks:
        network.restore()
    merged = outputs(load(target, dtype=torch.float32, device="cpu"))
    for two, before in zip(applied, plain, strict=True):
        assert (two - before).norm() > 0.01 * before.norm()
    assert_same_outputs(merged, applied)


def test_a_ckpt_goes_in_and_safe_tensors_alone_come_out(folder, tiny_sd1, tmp_path):
    tensors = load_file(tiny_sd1)
    torch.save({"state_dict": tensors, "global_step": 3}, tmp_path / "base.ckpt")
    one, two = tmp_path / "from_ckpt.safetensors", tmp_path / "from_st.safetensors"
    for base, target in ((tmp_path / "base.ckpt", one), (tiny_sd1, two)):
        merge(base, target, "--models", folder / "one.safetensors", "--ratios", 1, "--save_precision", "fp16")
    assert {name: t.dtype for name, t in load_file(one).items()} == {name: t.dtype for name, t in load_file(two).items()}
    close(load_file(one), load_file(two), 0.0)
    assert {t.dtype for t in load_file(one).values() if t.is_floating_point()} == {torch.float16}


def test_merge_then_extract_gives_the_lora_back(folder, tiny_sd1, tmp_path):
    merged, back = tmp_path / "merged.safetensors", tmp_path / "back.safetensors"
    merge(tiny_sd1, merged, "--models", folder / "two.safetensors", "--ratios", 1)
    words = ["extract_lora_from_models", "--model_org", str(tiny_sd1), "--model_tuned", str(merged), "--save_to", str(back)]
    assert run([*words, "--dim", "6", "--conv_dim", "3"]) == 0
    expected = deltas(folder / "two.safetensors")
    close(deltas(back), expected, 1e-5)
    assert max(float(delta.abs().max()) for delta in expected.values()) > 1e-2


def test_merging_and_taking_away_gives_the_checkpoint_back(folder, tiny_sd1, tmp_path):
    there, back = tmp_path / "there.safetensors", tmp_path / "back.safetensors"
    merge(tiny_sd1, there, "--models", folder / "one.safetensors", "--ratios", 0.7)
    merge(there, back, "--models", folder / "one.safetensors", "--ratios", -0.7)
    close(load_file(back), load_file(tiny_sd1), 1e-6)


def test_svd_merge_with_all_the_energy_is_the_whole_sum(folder, tmp_path):
    target = tmp_path / "both.safetensors"
    files = [str(folder / "one.safetensors"), str(folder / "two.safetensors")]
    words = ["svd_merge_lora", "--models", *files, "--ratios", "0.6", "0.4", "--save_to", str(target)]
    assert run([*words, "--kept_energy", "1"]) == 0
    expected = {name: 0.4 * delta for name, delta in deltas(files[1]).items()}
    for name, delta in deltas(files[0]).items():
        expected[name] = expected[name] + 0.6 * delta
    close(deltas(target), expected, 1e-5)
    assert metadata(target)["ss_network_dim"] == "Dynamic"
    ranks = {t.shape[0] for name, t in load_file(target).items() if name.endswith("lora_down.weight")}
    assert max(ranks) == 10


@pytest.mark.parametrize(("share", "least"), [("0.5", 0.5), ("0.9", 0.9)])
def test_svd_merge_keeps_the_energy_that_was_asked_for(folder, tmp_path, share, least):
    target, whole = tmp_path / "some.safetensors", folder / "two.safetensors"
    words = ["svd_merge_lora", "--models", str(whole), "--ratios", "1", "--save_to", str(target), "--kept_energy", share]
    assert run(words) == 0
    found, expected = deltas(target), deltas(whole)
    for name, delta in expected.items():
        assert 1 - float((found[name] - delta).square().sum() / delta.square().sum()) >= least - 1e-5, name
    assert target.stat().st_size < whole.stat().st_size


def test_resizing_up_changes_nothing_and_leaves_room_to_learn(folder, tmp_path):
    target = tmp_path / "larger.safetensors"
    assert run(["resize_lora", "--model", str(folder / "one.safetensors"), "--new_rank", "8", "--save_to", str(target)]) == 0
    close(deltas(target), deltas(folder / "one.safetensors"), 1e-6)
    for name, tensor in load_file(target).items():
        if name.endswith("lora_down.weight"):
            assert tensor.shape[0] == 8 and (tensor.flatten(1).norm(dim=1) > 0).all()


OPEN_CLIP = "{}transformer.resblocks.0.{}"


@pytest.mark.parametrize(
    ("prefix", "module"),
    [("cond_stage_model.model.", "lora_te_"), ("conditioner.embedders.1.model.", "lora_te2_")],
    ids=["sd2", "sdxl"],
)
def test_open_clips_joint_matrix_is_changed_in_the_rows_of_each_module(prefix, module, tmp_path):
    generator = torch.Generator().manual_seed(0)
    base = {
        OPEN_CLIP.format(prefix, "attn.in_proj_weight"): torch.randn(24, 8, generator=generator),
        OPEN_CLIP.format(prefix, "attn.in_proj_bias"): torch.randn(24, generator=generator),
        OPEN_CLIP.format(prefix, "mlp.c_fc.weight"): torch.randn(32, 8, generator=generator),
        "model.diffusion_model.input_blocks.4.1.proj_in.weight": torch.randn(8, 8, generator=generator),
        "model.diffusion_model.input_blocks.1.0.in_layers.2.weight": torch.randn(8, 4, 3, 3, generator=generator),
    }
    unet = "lora_unet_input_blocks_4_1_proj_in" if "te2" in module else "lora_unet_down_blocks_1_attentions_0_proj_in"
    names = {f"{module}text_model_encoder_layers_0_{part}": out for part, out in _PARTS.items()} | {unet: 8}
    lora = {}
    for name, out in names.items():
        # A 1x1 convolution in the LoRA for a linear layer in the checkpoint: SD2's and SDXL's other form.
        spread = (1, 1) if name == unet else ()
        lora[f"{name}.lora_down.weight"] = torch.randn(2, 8, *spread, generator=generator)
        lora[f"{name}.lora_up.weight"] = torch.randn(out, 2, *spread, generator=generator)
        lora[f"{name}.alpha"] = torch.tensor(1.0)
    save_file(base, tmp_path / "base.safetensors")
    save_file(lora, tmp_path / "lora.safetensors")
    merge(tmp_path / "base.safetensors", tmp_path / "out.safetensors", "--models", tmp_path / "lora.safetensors", "--ratios", 2)
    merged, change = load_file(tmp_path / "out.safetensors"), deltas(tmp_path / "lora.safetensors")
    expected = dict(base)
    joint = [change[f"{module}text_model_encoder_layers_0_self_attn_{part}_proj"] for part in "qkv"]
    joint_name, fc, conv = list(base)[0], list(base)[2], list(base)[3]
    expected[joint_name] = base[joint_name] + 2 * torch.cat(joint)
    expected[fc] = base[fc] + 2 * change[f"{module}text_model_encoder_layers_0_mlp_fc1"]
    expected[conv] = base[conv] + 2 * change[unet].flatten(1)
    close(merged, expected, 1e-5)
    words = ["extract_lora_from_models", "--model_org", str(tmp_path / "base.safetensors"), "--dim", "2"]
    words += ["--model_tuned", str(tmp_path / "out.safetensors"), "--save_to", str(tmp_path / "back.safetensors")]
    assert run(words) == 0
    back = deltas(tmp_path / "back.safetensors")
    close({name: back[name].flatten(1) for name in change}, {name: 2 * d.flatten(1) for name, d in change.items()}, 1e-5)


_PARTS = {"self_attn_q_proj": 8, "self_attn_k_proj": 8, "self_attn_v_proj": 8, "mlp_fc1": 32}
