"""SD2 and SDXL: names and sizes of the real models, every form of file, text states, and who says what they predict."""

from __future__ import annotations

import functools
import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders import single_file_utils as theirs
from safetensors.torch import load_file, save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from lora_trainer.errors import BaseModelError
from lora_trainer.models import convert, load, loading
from lora_trainer.models.conditioning import Conditioning
from lora_trainer.models.weights import Target, Weights
from lora_trainer.sampling import conditioning as drawing
from tests import tiny

GOLDEN = Path(__file__).parents[1] / "golden" / "text_states.json"
VAE = dict(
    block_out_channels=[128, 256, 512, 512],
    down_block_types=["DownEncoderBlock2D"] * 4,
    up_block_types=["UpDecoderBlock2D"] * 4,
    layers_per_block=2,
)
SD2_UNET = dict(
    block_out_channels=[320, 640, 1280, 1280],
    attention_head_dim=[5, 10, 20, 20],
    cross_attention_dim=1024,
    use_linear_projection=True,
)
SDXL_UNET = dict(
    down_block_types=["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    up_block_types=["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[320, 640, 1280],
    transformer_layers_per_block=[1, 2, 10],
    attention_head_dim=[5, 10, 20],
    cross_attention_dim=2048,
    use_linear_projection=True,
    addition_embed_type="text_time",
    addition_time_embed_dim=256,
    projection_class_embeddings_input_dim=2816,
)
H = dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, hidden_act="gelu")
L = dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, hidden_act="quick_gelu")
G = dict(hidden_size=1280, intermediate_size=5120, num_hidden_layers=32, num_attention_heads=20, hidden_act="gelu")


def load32(path, **options):
    return load(path, dtype=torch.float32, device="cpu", **options)


@pytest.fixture(scope="session")
def made(tiny_model):
    """made(family): (path of a tiny checkpoint, its parts), made once; never written to."""
    return functools.cache(lambda family: (tiny_model(family), tiny.make_family(family)))


def same_weights(model, parts) -> None:
    for module, original in zip((model.unet, model.vae, *model.text_encoders), parts, strict=True):
        state, expected = module.state_dict(), original.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize(
    ("family", "unet", "texts", "counts"),
    [
        # tensors of the UNet, and of the text encoders, in the files that were released (without logit_scale)
        ("sd2", SD2_UNET, [H], (686, 292)),
        ("sd2", {**SD2_UNET, "use_linear_projection": False}, [H], (686, 292)),
        ("sdxl", SDXL_UNET, [L, {**G, "projection_dim": 1280}], (1680, 196, 389)),
    ],
)
def test_the_real_models_sizes_are_read_from_their_tensors_and_every_tensor_is_used(family, unet, texts, counts):
    with torch.device("meta"):
        wanted = [
            UNet2DConditionModel(**unet),
            AutoencoderKL(**VAE),
            *((CLIPTextModel, CLIPTextModelWithProjection)[number](CLIPTextConfig(**one)) for number, one in enumerate(texts)),
        ]
    second = wanted[3] if family == "sdxl" else None
    tensors = convert.checkpoint_tensors(*wanted[:3], family=family, text_encoder_2=second)
    prefixes = (convert.UNET, convert.OPEN_CLIP_TEXT)
    if family == "sdxl":
        prefixes = (convert.UNET, convert.SDXL_TEXT, convert.SDXL_OPEN_CLIP_TEXT)
    assert tuple(sum(name.startswith(prefix) for name in tensors) for prefix in prefixes) == counts
    read = set()

    def tensor(name: str) -> torch.Tensor:
        read.add(name)
        return tensors[name]

    weights = Weights(
        path=Path("x.safetensors"),
        shapes={name: tuple(t.shape) for name, t in tensors.items()},
        tensor=tensor,
        metadata={"modelspec.prediction_type": "v"},
    )
    target = Target(dtype=torch.float16, device=torch.device("meta"), vae_dtype=torch.float16)
    parts = loading._family(family).load_file(weights, target, True)
    unused = {name for name in tensors if ".resblocks.23." in name} if family == "sd2" else set()
    assert tensors.keys() - read == unused and len(unused) == (12 if family == "sd2" else 0)
    for found, module in zip((parts.unet, parts.vae, *parts.text_encoders), wanted, strict=True):
        shapes = {name: tensor.shape for name, tensor in found.state_dict().items()}
        assert shapes == {name: tensor.shape for name, tensor in module.state_dict().items()}
    assert {name: parts.unet.config[name] for name in unet} == unet
    for found, config in zip(parts.text_encoders, texts, strict=True):
        assert {name: getattr(found.config, name) for name in config} == config
    assert parts.prediction_type == "v_prediction"


@pytest.mark.parametrize("family", ["sd2-linear", "sd2-conv", "sdxl"])
def test_names_and_numbers_are_those_that_diffusers_reads(family, made):
    path, (unet, _, *texts) = made(family)
    file = load_file(path)
    read = theirs.convert_ldm_unet_checkpoint(dict(file), {**unet.config, "layers_per_block": 2})
    assert read.keys() == unet.state_dict().keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in unet.state_dict().items())
    prefix = convert.SDXL_OPEN_CLIP_TEXT if family == "sdxl" else convert.OPEN_CLIP_TEXT
    state, expected = theirs.convert_open_clip_checkpoint(texts[-1], _with_square_projection(file, prefix), prefix), {}
    for name, tensor in texts[-1].state_dict().items():
        expected[name] = state[name] if name == "text_projection.weight" else tensor
    assert expected.keys() <= state.keys() and all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def _with_square_projection(file, prefix):
    """diffusers takes the width of query, key and value from the projection's, which are equal in the real models."""
    width = file[prefix + "ln_final.weight"].shape[0]
    return {**file, prefix + "text_projection": torch.zeros(width, width)}


@pytest.mark.parametrize("family", ["sd2-linear", "sd2-conv", "sd2-v", "sdxl"])
@pytest.mark.parametrize("form", ["safetensors", "ckpt", "folder"])
def test_every_form_gives_the_very_weights_and_text_states(family, form, made, tmp_path):
    path, parts = made(family)
    if form == "ckpt":
        torch.save({"state_dict": load_file(path)}, tmp_path / "m.ckpt")
        path = tmp_path / "m.ckpt"
    elif form == "folder":
        path = as_folder(tmp_path / "m", family, parts)
    model = load32(path)
    same_weights(model, parts)
    assert model.family.name == family.partition("-")[0]
    assert model.prediction_type == ("v_prediction" if family == "sd2-v" else "epsilon")
    assert [tokenizer.pad_token_id for tokenizer in model.tokenizers] == ([49407, 0] if family == "sdxl" else [0])
    with torch.no_grad():
        found = model.encode(["a cat!", ""])
        rows = [
            tokenizer(["a cat!", ""], padding="max_length", return_tensors="pt").input_ids for tokenizer in model.tokenizers
        ]
        if family == "sdxl":
            outputs = [text(ids, output_hidden_states=True) for text, ids in zip(parts[2:], rows, strict=True)]
            assert torch.equal(found.states, torch.cat([output.hidden_states[-2] for output in outputs], dim=-1))
            assert torch.equal(found.pooled, outputs[1].text_embeds)
        else:
            assert torch.equal(found.states, parts[2](rows[0]).last_hidden_state) and found.pooled is None


def as_folder(root: Path, family: str, parts) -> Path:
    unet, vae, *texts = parts
    unet.save_pretrained(root / "unet")
    vae.save_pretrained(root / "vae")
    for name, text in zip(("text_encoder", "text_encoder_2"), texts, strict=False):
        text.save_pretrained(root / name)
    (root / "scheduler").mkdir()
    kind = "v_prediction" if family == "sd2-v" else "epsilon"
    (root / "scheduler" / "scheduler_config.json").write_text(json.dumps({"prediction_type": kind}))
    pipeline = "StableDiffusionXLPipeline" if family == "sdxl" else "StableDiffusionPipeline"
    (root / "model_index.json").write_text(json.dumps({"_class_name": pipeline}))
    return root


def test_long_captions_have_the_summary_of_their_first_chunk(made):
    path, parts = made("sdxl")
    model = load32(path)
    with torch.no_grad():
        long = model.encode(["cat " * 75 + "dog " * 30], max_token_length=150)
        first = model.encode(["cat " * 75])
        assert long.states.shape[1] == 152 and torch.allclose(long.pooled, first.pooled, atol=1e-6)
        weighted = model.encode(["a (cat:1.5)"], weighted=True)
        plain = model.encode(["a cat"])
    assert torch.allclose(weighted.states[0, 2], 1.5 * plain.states[0, 2], atol=1e-6)
    assert torch.equal(weighted.pooled, plain.pooled)


def test_the_sizes_are_coded_in_the_order_and_with_the_numbers_of_the_reference():
    recorded = json.loads(GOLDEN.read_text(encoding="utf-8"))["sdxl_size_embedding"]
    pairs = [torch.tensor([values], dtype=torch.float32) for values in recorded["input"].values()]
    sizes = Conditioning(torch.zeros(1, 77, 8)).with_sizes(*pairs).sizes
    assert sizes.tolist() == [recorded["order_of_the_six_256_wide_parts"]]
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL_UNET)
    for sample in recorded["samples: value -> first four and last four of the 256"]:
        code = unet.add_time_proj(torch.tensor([float(sample["value"])]))[0]
        assert [*code[:4].tolist(), *code[-4:].tolist()] == pytest.approx(sample["first_and_last"], abs=1e-5)
        assert len(code) == recorded["embedding_dim"]


def test_sizes_stay_exact_in_half_precision_and_go_with_their_samples():
    sizes = torch.tensor([[1023.0, 1021.0], [513.0, 515.0]])
    whole = Conditioning(torch.randn(2, 77, 8), torch.randn(2, 4)).with_sizes(sizes, sizes, sizes).to("cpu", torch.bfloat16)
    assert whole.states.dtype == whole.pooled.dtype == torch.bfloat16 and whole.sizes.dtype == torch.float32
    again = Conditioning.join(whole.rows())
    assert torch.equal(again.sizes, torch.cat([sizes] * 3, dim=1)) and torch.equal(again.pooled, whole.pooled)


def test_an_empty_negative_prompt_is_zeros_for_sdxl_alone(made):
    for family, empty in (("sdxl", True), ("sd2-linear", False)):
        model = load32(made(family)[0])
        with torch.no_grad():
            negative, positive = drawing.encode(model, "", negative=True), drawing.encode(model, "")
        assert bool(negative.states.any()) == (not empty) and positive.states.any()
        assert negative.states.shape == positive.states.shape


class TestPrediction:
    def copy(self, made, tmp_path, family, *, extra=None, metadata=None):
        path = tmp_path / "m.safetensors"
        save_file({**load_file(made(family)[0]), **(extra or {})}, path, metadata=metadata)
        return path

    @pytest.mark.parametrize(
        ("extra", "metadata", "expected"),
        [
            ({"v_pred": torch.zeros(0)}, None, "v_prediction"),
            (None, {"modelspec.prediction_type": "v"}, "v_prediction"),
            (None, {"modelspec.prediction_type": "epsilon"}, "epsilon"),
            (None, None, "epsilon"),
        ],
    )
    def test_sdxl_says_it_in_a_tensor_or_in_the_metadata(self, made, tmp_path, extra, metadata, expected):
        path = self.copy(made, tmp_path, "sdxl", extra=extra, metadata=metadata)
        assert load32(path).prediction_type == expected

    @pytest.mark.parametrize(
        ("model", "expected"),
        [
            ({"parameterization": "v"}, "v_prediction"),
            ({"unet_config": {"params": {"num_head_channels": 32}}}, "epsilon"),
            ({"denoiser_config": {"params": {"scaling_config": {"target": "a.b.VScaling"}}}}, "v_prediction"),
            ({"denoiser_config": {"params": {"scaling_config": {"target": "a.b.EpsScaling"}}}}, "epsilon"),
        ],
    )
    def test_a_yaml_beside_the_file_says_it_above_all(self, made, tmp_path, model, expected):
        path = self.copy(made, tmp_path, "sd2-v", metadata={"modelspec.prediction_type": "v"})
        path.with_suffix(".yaml").write_text(json.dumps({"model": {"params": model}}))
        loaded = load32(path)
        assert loaded.prediction_type == expected
        heads = {module.heads for name, module in loaded.unet.named_modules() if name.endswith("attn1")}
        assert heads == ({1, 2} if "unet_config" in model else {1})

    def test_what_the_user_says_wins_and_a_contradiction_is_told(self, made):
        path = made("sd2-v")[0]
        model = load32(path, prediction_type="epsilon")
        assert model.prediction_type == "epsilon"
        assert "seems to be made for velocity (v-prediction) (the way it answers)" in model.notes[0]
        assert load32(path, prediction_type="v_prediction").notes == ()


class TestRefused:
    @pytest.mark.parametrize(
        ("family", "left_out", "words"),
        [
            ("sd2-linear", "cond_stage_model.model.ln_final.", ["lacks 2 of the", "text encoder", "ln_final.weight"]),
            ("sd2-linear", "cond_stage_model.model.token_", ["no CLIP text encoder", "token_embedding.weight"]),
            ("sdxl", "conditioner.embedders.1.", ["no CLIP text encoder"]),
            ("sdxl", "conditioner.embedders.1.model.text_projection", ["no CLIP text encoder", "text_projection"]),
            ("sdxl", "conditioner.embedders.0.transformer.text_model.final_", ["lacks 2 of the", "the first text encoder"]),
            ("sdxl", "model.diffusion_model.label_emb.0.2.bias", ["lacks 1 of the", "the UNet", "label_emb.0.2.bias"]),
            ("sdxl", "model.diffusion_model.input_blocks.8.", ["8 input blocks, expected the 9 of Stable Diffusion XL"]),
            ("sdxl", "first_stage_model.", ["has no VAE in it", "sdxl_vae.safetensors"]),
        ],
    )
    def test_what_is_missing_is_named(self, made, tmp_path, family, left_out, words):
        path = tmp_path / "m.safetensors"
        save_file({name: t for name, t in load_file(made(family)[0]).items() if not name.startswith(left_out)}, path)
        with pytest.raises(BaseModelError) as caught:
            load32(path)
        assert all(word in str(caught.value) for word in (str(path), *words)), caught.value

    def test_a_file_cut_short_a_refiner_and_a_strange_embedding(self, made, tmp_path):
        path = tmp_path / "m.safetensors"
        shutil.copyfile(made("sdxl")[0], path)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
        with pytest.raises(BaseModelError, match="is cut short"):
            load32(path)
        tensors = load_file(made("sdxl")[0])
        second, first = "conditioner.embedders.1.model.", "conditioner.embedders.0."
        kept = {name: t for name, t in tensors.items() if not name.startswith(first)}
        save_file({name.replace(second, first + "model."): t for name, t in kept.items()}, path)
        with pytest.raises(BaseModelError, match="Stable Diffusion XL's refiner, which cannot be trained on"):
            load32(path)
        save_file({**tensors, "model.diffusion_model.label_emb.0.0.weight": torch.zeros(128, 97)}, path)
        with pytest.raises(BaseModelError, match="adds an embedding of 97 numbers, expected 96 of the text and 6 sizes"):
            load32(path)


def test_the_hub_s_sdxl_brings_both_text_encoders(made, tmp_path, hub_offline):
    folder = as_folder(tmp_path / "m", "sdxl", made("sdxl")[1])
    repository = hub_offline / "models--someone--xl"
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    same_weights(load32("someone/xl"), made("sdxl")[1])
    shutil.rmtree(repository / "snapshots" / ("0" * 40) / "text_encoder_2")
    with pytest.raises(BaseModelError, match="lacks the weights of its UNet, VAE or text encoder"):
        load32("someone/xl")
