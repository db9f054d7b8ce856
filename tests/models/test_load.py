"""Base models load from every form, to the same numbers; what cannot be used is refused with what was found."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.errors import BaseModelError, InputError
from lora_trainer.models import load, load_vae
from tests.tiny import make_checkpoint, make_parts


def load32(path, **options):
    return load(path, dtype=torch.float32, device="cpu", **options)


@pytest.fixture(scope="module")
def parts():
    return make_parts()


@pytest.fixture(scope="module")
def tensors(tiny_sd1) -> dict[str, torch.Tensor]:
    return load_file(tiny_sd1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory, parts) -> Path:
    """The tiny model as a diffusers folder, its text encoder as a .bin."""
    root = tmp_path_factory.mktemp("diffusers")
    unet, vae, text_encoder = parts
    unet.save_pretrained(root / "unet")
    vae.save_pretrained(root / "vae")
    text_encoder.save_pretrained(root / "text_encoder", safe_serialization=False)
    (root / "scheduler").mkdir()
    (root / "scheduler" / "scheduler_config.json").write_text(
        '{"prediction_type": "v_prediction", "rescale_betas_zero_snr": true}'
    )
    (root / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return root


def same_weights(model, parts) -> None:
    for module, original in zip((model.unet, model.vae, model.text_encoders[0]), parts, strict=True):
        state, expected = module.state_dict(), original.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_a_safetensors_file_gives_the_very_outputs_of_the_modules_it_was_made_from(tiny_sd1, parts):
    model = load32(tiny_sd1)
    same_weights(model, parts)
    unet, vae, text_encoder = parts
    latents, steps = torch.randn(2, 4, 8, 8), torch.tensor([1, 999])
    ids = model.tokenizers[0](["a cat", ""], padding="max_length", return_tensors="pt").input_ids
    with torch.no_grad():
        states = text_encoder(ids).last_hidden_state
        conditioning = model.encode(["a cat", ""])
        assert torch.equal(conditioning.states, states)
        assert torch.equal(model.predict(latents, steps, conditioning), unet(latents, steps, states).sample)
        assert torch.equal(model.vae.decode(latents).sample, vae.decode(latents).sample)
    assert (model.prediction_type, model.family.name, model.source) == ("epsilon", "sd1", str(tiny_sd1))


def test_the_model_is_frozen_and_in_the_compute_precision_and_the_vae_may_have_its_own(tiny_sd1):
    model = load(tiny_sd1, dtype=torch.bfloat16, device="cpu", vae_dtype=torch.float32)
    for module, dtype in ((model.unet, torch.bfloat16), (model.text_encoders[0], torch.bfloat16), (model.vae, torch.float32)):
        assert not module.training
        assert all(not p.requires_grad and p.dtype == dtype and p.is_contiguous() for p in module.parameters())
    assert (model.dtype, model.device.type) == (torch.bfloat16, "cpu")


def test_nothing_loaded_points_into_the_file(tmp_path, parts):
    path = make_checkpoint(tmp_path / "m.safetensors")
    model = load32(path)
    with path.open("r+b") as file:  # in place: a mapping would see it
        size = path.stat().st_size
        file.seek(size // 2)
        file.write(b"\xff" * (size // 2))
    same_weights(model, parts)


@pytest.mark.parametrize("wrapped", [True, False])
@pytest.mark.parametrize("legacy", [True, False])
def test_a_ckpt_loads_with_and_without_wrapper_in_both_formats(tmp_path, tensors, parts, wrapped, legacy):
    path = tmp_path / "m.ckpt"
    content = {"state_dict": tensors, "global_step": 3} if wrapped else tensors
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    same_weights(load32(path), parts)


def test_what_other_programs_leave_in_a_file_does_not_matter(tmp_path, tensors, parts):
    """fp16, EMA copies, position_ids, the schedule, linear proj_in and VAE attention, other names of the VAE's attention."""
    changed = {
        "alphas_cumprod": torch.zeros(1000),
        "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.ones(1, 77),
    }
    spellings = {"q": "to_q", "k": "to_k", "v": "to_v", "proj_out": "to_out.0"}
    for name, tensor in tensors.items():
        if ".1.proj_in.weight" in name or ".1.proj_out.weight" in name or ".attn_1." in name and tensor.dim() == 4:
            tensor = tensor[:, :, 0, 0].contiguous()
        if ".attn_1." in name and "decoder" in name:
            stem, part, last = name.partition("attn_1.")[0], *name.partition("attn_1.")[2].rsplit(".", 1)
            name = f"{stem}attn_1.{spellings.get(part, part)}.{last}"
        changed[name] = tensor
        if name.startswith("model.diffusion_model."):
            changed["model_ema." + name.removeprefix("model.").replace(".", "")] = torch.zeros_like(tensor)
    save_file(changed, tmp_path / "m.safetensors")
    same_weights(load32(tmp_path / "m.safetensors"), parts)


def test_a_text_encoder_without_the_text_model_prefix_loads(tmp_path, tensors, parts):
    save_file({name.replace(".text_model.", "."): tensor for name, tensor in tensors.items()}, tmp_path / "m.safetensors")
    same_weights(load32(tmp_path / "m.safetensors"), parts)


def test_sizes_are_read_from_the_tensors(tmp_path):
    sizes = {"model_channels": 64, "channel_mult": (1, 1, 1, 2), "context_dim": 128, "clip_layers": 3, "vae_mult": (1, 2, 2, 2)}
    model = load32(make_checkpoint(tmp_path / "m.safetensors", **sizes))
    assert list(model.unet.config.block_out_channels) == [64, 64, 64, 128]
    assert model.unet.config.cross_attention_dim == 128
    assert model.text_encoders[0].config.num_attention_heads == 2  # 64 wide each
    assert model.text_encoders[0].config.num_hidden_layers == 3
    assert list(model.vae.config.block_out_channels) == [32, 64, 64, 64]
    assert {m.heads for n, m in model.unet.named_modules() if n.endswith("attn1")} == {8}


def test_heads_and_prediction_come_from_a_yaml_beside_the_file(tmp_path, tiny_sd1):
    path = tmp_path / "m.safetensors"
    shutil.copyfile(tiny_sd1, path)
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip" / "config.json").write_text('{"num_attention_heads": 4}')
    params = {
        "parameterization": "v",
        "unet_config": {"params": {"num_heads": 4}},
        "cond_stage_config": {"params": {"version": "clip"}},
    }
    path.with_suffix(".yaml").write_text(json.dumps({"model": {"params": params}}))
    model = load32(path)
    assert {m.heads for n, m in model.unet.named_modules() if n.endswith("attn1")} == {4}
    assert model.text_encoders[0].config.num_attention_heads == 4
    assert model.prediction_type == "v_prediction"
    path.with_suffix(".yaml").write_text("model: [")
    with pytest.raises(BaseModelError, match=r"m\.yaml is no YAML"):
        load32(path)


def test_a_diffusers_folder_loads(folder, parts):
    model = load32(folder)
    same_weights(model, parts)
    assert model.prediction_type == "v_prediction" and model.zero_terminal_snr
    assert len(model.tokenizers[0]) == 49408


def test_a_folder_with_fp16_files_only_loads(tmp_path, folder):
    copy = tmp_path / "model"
    shutil.copytree(folder, copy)
    stem = copy / "unet" / "diffusion_pytorch_model.safetensors"
    stem.rename(stem.with_name("diffusion_pytorch_model.fp16.safetensors"))
    load32(copy)
    shutil.rmtree(copy / "vae")
    with pytest.raises(BaseModelError, match=r"vae has no file with weights"):
        load32(copy)


def test_progress_counts_the_tensors_of_each_part(tiny_sd1):
    seen: dict[str, tuple[int, int]] = {}
    load32(tiny_sd1, progress=lambda part, done, total: seen.update({part: (done, total)}))
    assert seen.keys() == {"the UNet", "the VAE", "the text encoder"}
    assert all(done == total > 30 for done, total in seen.values())


class TestVae:
    def changed(self, parts):
        vae = make_parts(seed=7)[1]
        assert not torch.equal(vae.decoder.conv_in.weight, parts[1].decoder.conv_in.weight)
        return vae

    @pytest.mark.parametrize("form", ["ldm", "prefixed", "checkpoint", "ckpt", "diffusers", "old", "folder", "model"])
    def test_another_vae_replaces_the_model_s_own_in_every_form(self, tmp_path, tiny_sd1, parts, form):
        from lora_trainer.models import convert

        vae = self.changed(parts)
        state = vae.state_dict()
        ldm = {name: t.contiguous() for name, t in convert.to_ldm(state, convert.vae_names(state), "").items()}
        path = tmp_path / "v.safetensors"
        if form == "ldm":
            save_file(ldm, path)
        elif form == "prefixed":
            save_file({f"first_stage_model.{name}": tensor for name, tensor in ldm.items()}, path)
        elif form == "checkpoint":
            save_file(load_file(tiny_sd1) | {f"first_stage_model.{name}": tensor for name, tensor in ldm.items()}, path)
        elif form == "ckpt":
            path = tmp_path / "v.vae.pt"
            torch.save({"state_dict": ldm | {"loss.logvar": torch.zeros(())}}, path)
        elif form == "diffusers":
            save_file(state, path)
        elif form == "old":
            renamed = {}
            for name, tensor in state.items():
                for new, old in convert.OLD_VAE_ATTENTION.items():
                    name = name.replace(f".attentions.0.{new}.", f".attentions.0.{old}.")
                renamed[name] = tensor
            save_file(renamed, path)
        else:
            path = tmp_path / "v"
            vae.save_pretrained(path if form == "folder" else path / "vae")
        same_weights(load32(tiny_sd1, vae=path), (parts[0], vae, parts[2]))
        assert torch.equal(load_vae(path, dtype=torch.float32, device="cpu").decoder.conv_in.weight, vae.decoder.conv_in.weight)

    def test_a_checkpoint_without_vae_needs_one(self, tmp_path, tensors, tiny_sd1, parts):
        path = tmp_path / "m.safetensors"
        save_file({name: tensor for name, tensor in tensors.items() if not name.startswith("first_stage_model.")}, path)
        with pytest.raises(BaseModelError, match=r"m\.safetensors has no VAE in it\. Give a VAE file"):
            load32(path)
        same_weights(load32(path, vae=tiny_sd1), parts)

    @pytest.mark.parametrize(
        ("make", "message"),
        [
            (lambda path: None, "v.safetensors does not exist"),
            (lambda path: save_file({"x.lora_down.weight": torch.zeros(1)}, path), "v.safetensors is a LoRA file"),
            (lambda path: path.mkdir(), "no config.json"),
            (
                lambda path: save_file(
                    {
                        "encoder.down.0.block.0.conv1.weight": torch.zeros(32, 32, 3, 3),
                        "decoder.conv_in.weight": torch.zeros(32, 16, 3, 3),
                    },
                    path,
                ),
                "the VAE has 16 latent channels, expected 4",
            ),
        ],
    )
    def test_what_is_no_vae_is_refused(self, tmp_path, tiny_sd1, make, message):
        path = tmp_path / "v.safetensors"
        make(path)
        with pytest.raises(BaseModelError, match=message):
            load32(tiny_sd1, vae=path)


class TestRefused:
    def refuses(self, path, *words):
        with pytest.raises(BaseModelError) as caught:
            load32(path)
        message = str(caught.value)
        assert all(word in message for word in (str(path), *words)), message
        assert caught.value.advice
        return message

    def test_a_missing_tensor_and_one_of_another_shape(self, tmp_path, tensors):
        name = "model.diffusion_model.output_blocks.3.1.proj_in.bias"
        path = tmp_path / "m.safetensors"
        save_file({key: tensor for key, tensor in tensors.items() if key != name}, path)
        self.refuses(path, "lacks 1 of the 684 tensors of the UNet", name)
        save_file(tensors | {name: torch.zeros(3)}, path)
        self.refuses(path, name, "[3]", "[64]")

    def test_a_missing_text_encoder(self, tmp_path, tensors):
        path = tmp_path / "m.safetensors"
        save_file({key: tensor for key, tensor in tensors.items() if not key.startswith("cond_stage_model.")}, path)
        self.refuses(path, "no CLIP text encoder")

    def test_another_number_of_blocks(self, tmp_path, tensors):
        path = tmp_path / "m.safetensors"
        save_file({key: tensor for key, tensor in tensors.items() if "input_blocks.11." not in key}, path)
        self.refuses(path, "11 input blocks")

    def test_an_inpainting_ckpt_whose_shapes_only_the_load_sees(self, tmp_path):
        self.refuses(make_checkpoint(tmp_path / "m.ckpt", in_channels=9), "inpainting", "9 channels")

    def test_a_file_cut_short(self, tmp_path, tiny_sd1):
        for suffix in (".safetensors", ".ckpt"):
            path = (
                make_checkpoint(tmp_path / f"m{suffix}")
                if suffix == ".ckpt"
                else Path(shutil.copy(tiny_sd1, tmp_path / "m.safetensors"))
            )
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size // 2)
            self.refuses(path, "cut short")

    def test_an_old_ckpt_cut_short(self, tmp_path, tensors):
        path = tmp_path / "m.ckpt"
        torch.save(tensors, path, _use_new_zipfile_serialization=False)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size - 1000)
        self.refuses(path, "cut short or damaged")

    def test_a_pickle_with_code_is_not_run(self, tmp_path, tensors):
        import os

        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        for number, (zipped, protocol) in enumerate([(True, 2), (False, 2), (True, 4)]):
            path = tmp_path / f"{number}.ckpt"
            content = {"state_dict": tensors, "x": Evil()}
            torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=protocol)
            message = self.refuses(path, "more than tensors", "safetensors")
            assert "mkdir" in message
        assert not (tmp_path / "ran").exists()

    def test_a_ckpt_that_is_no_table(self, tmp_path, monkeypatch):
        from lora_trainer.models import weights

        torch.save([torch.zeros(1)], tmp_path / "m.ckpt")
        with pytest.raises(BaseModelError, match="holds a list"), weights.open_weights(tmp_path / "m.ckpt"):
            pass

    def test_an_unknown_attention(self, tiny_sd1):
        with pytest.raises(InputError, match="flash"):
            load32(tiny_sd1, attention="flash")


def test_lightning_s_callback_in_stability_s_first_files_is_no_obstacle(tmp_path, tensors, parts, monkeypatch):
    if not hasattr(torch.serialization, "safe_globals"):
        pytest.skip("this torch cannot be told about a harmless class")
    import sys
    import types

    module = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
    with monkeypatch.context() as patch:
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
            patch.setitem(sys.modules, name, types.ModuleType(name))
        patch.setitem(sys.modules, module.__name__, module)
        torch.save({"state_dict": tensors, "callbacks": {module.ModelCheckpoint: {"best": None}}}, tmp_path / "m.ckpt")
    same_weights(load32(tmp_path / "m.ckpt"), parts)


class TestHub:
    @pytest.fixture
    def here_already(self, hub_offline):
        """here_already(folder): the folder is "someone/tiny", fetched before the network was gone."""

        def store(folder):
            revision, repository = "0" * 40, hub_offline / "models--someone--tiny"
            shutil.copytree(folder, repository / "snapshots" / revision)
            (repository / "refs").mkdir()
            (repository / "refs" / "main").write_text(revision)

        return store

    def test_a_hub_id_that_is_here_already_loads_offline(self, here_already, folder, parts):
        here_already(folder)
        same_weights(load32("someone/tiny"), parts)

    @pytest.mark.parametrize("form", ["the VAE alone", "a whole model"])
    def test_the_vae_is_one_of_the_hub(self, here_already, tmp_path, tiny_sd1, parts, form):
        vae = make_parts(seed=7)[1]
        vae.save_pretrained(tmp_path / "v" / ("" if form == "the VAE alone" else "vae"))
        here_already(tmp_path / "v")
        same_weights(load32(tiny_sd1, vae="someone/tiny"), (parts[0], vae, parts[2]))

    def test_what_is_no_vae_on_the_hub_is_said(self, here_already, tmp_path, tiny_sd1):
        (tmp_path / "v" / "unet").mkdir(parents=True)
        here_already(tmp_path / "v")
        with pytest.raises(BaseModelError, match=r"someone/tiny on the Hugging Face hub is no VAE of diffusers\."):
            load32(tiny_sd1, vae="someone/tiny")
        with pytest.raises(BaseModelError, match=r"someone/absent is neither a file nor a folder here"):
            load32(tiny_sd1, vae="someone/absent")

    @pytest.mark.usefixtures("hub_offline")
    def test_offline_says_what_was_looked_for_where(self):
        with pytest.raises(
            BaseModelError, match=r"someone/absent is neither a file nor a folder here, and could not be fetched"
        ):
            load32("someone/absent")

    def test_a_missing_file_is_no_hub_id(self):
        with pytest.raises(BaseModelError, match=r"models/sd\.safetensors does not exist"):
            load32("models/sd.safetensors")
