"""Configurations of kohya_ss' GUI: what is taken, renamed and dropped, each with its reason."""

from __future__ import annotations

import json

import pytest

from lora_trainer.errors import InputError
from lora_trainer.options.resolve import train_options
from lora_trainer.recipes import kohya_gui
from lora_trainer.recipes.form import files, form_values
from lora_trainer.recipes.places import Surroundings, settle
from lora_trainer.recipes.reading import Given, read

# As the GUI writes one: everything in it, numbers as texts, zeros for what is not given.
COMMON = {
    "LoRA_type": "Standard", "LyCORIS_preset": "full", "adaptive_noise_scale": 0, "additional_parameters": "",
    "block_alphas": "", "block_dims": "", "block_lr_zero_threshold": "", "bucket_no_upscale": True, "bucket_reso_steps": 64.0,
    "cache_latents": True, "caption_dropout_every_n_epochs": 0.0, "caption_dropout_rate": 0, "caption_extension": ".txt",
    "clip_skip": "2", "color_aug": False, "conv_alpha": 4, "conv_dim": 8, "decompose_both": False, "dim_from_weights": False,
    "down_lr_weight": "", "enable_bucket": True, "epoch": 12, "factor": -1, "flip_aug": True, "flux1_checkbox": False,
    "t5xxl": "", "full_bf16": False, "gpu_ids": "", "gradient_accumulation_steps": "2", "gradient_checkpointing": True,
    "guidance_scale": 3.5, "keep_tokens": "1", "learning_rate": "0.0002", "logging_dir": "", "lora_network_weights": "",
    "lr_scheduler": "cosine", "lr_scheduler_args": "", "lr_scheduler_num_cycles": "", "lr_scheduler_power": "",
    "lr_warmup": 10, "main_process_port": 0, "max_bucket_reso": 2048, "max_data_loader_n_workers": "0",
    "max_resolution": "768,512", "max_timestep": 1000, "max_token_length": "225", "max_train_epochs": "",
    "max_train_steps": "", "mid_lr_weight": "", "min_bucket_reso": 256, "min_snr_gamma": 5, "min_timestep": 0,
    "mixed_precision": "bf16", "model_list": "custom", "module_dropout": 0, "multi_gpu": False, "multires_noise_discount": 0.3,
    "multires_noise_iterations": 8, "network_alpha": 16, "network_dim": 32, "network_dropout": 0, "noise_offset": 0.05,
    "noise_offset_type": "Original", "num_cpu_threads_per_process": 2, "num_machines": 1, "num_processes": 1,
    "optimizer": "AdamW8bit", "optimizer_args": "weight_decay=0.1 betas=.9,.99", "output_dir": "d:\\out",
    "output_name": "frog", "pretrained_model_name_or_path": "user/model", "prior_loss_weight": 1.0, "rank_dropout": 0.1,
    "sample_every_n_steps": 50, "sample_prompts": "a sls frog --w 512", "sample_sampler": "euler_a", "save_every_n_epochs": 2,
    "save_every_n_steps": 0, "save_model_as": "safetensors", "save_precision": "fp16", "scale_weight_norms": 0, "sdxl": False,
    "sdxl_no_half_vae": True, "seed": "1234", "shuffle_caption": True, "stop_text_encoder_training": 0,
    "text_encoder_lr": 5e-05, "train_batch_size": 2, "train_data_dir": "d:\\frogs", "training_comment": "mine",
    "unet_lr": 0.0001, "unit": 1, "up_lr_weight": "", "use_wandb": False, "v2": False, "vae": "", "wandb_api_key": "",
    "weighted_captions": False, "xformers": "sdpa",
}  # fmt: skip


def recipe_of(tmp_path, **changed):
    path = tmp_path / "gui.json"
    path.write_text(json.dumps(COMMON | changed))
    recipe = read([Given(path)]).recipe
    assert recipe.kind == "gui"
    return recipe


def test_what_the_gui_would_train_is_what_is_taken(tmp_path):
    assert recipe_of(tmp_path).options == {
        "sdpa": True, "max_train_epochs": 12, "lr_warmup_steps": 0.1, "network_module": "networks.lora",
        "network_args": ("rank_dropout=0.1",), "bucket_no_upscale": True, "bucket_reso_steps": 64, "cache_latents": True,
        "caption_extension": ".txt", "clip_skip": 2, "color_aug": False, "dim_from_weights": False, "enable_bucket": True,
        "flip_aug": True, "full_bf16": False, "gradient_accumulation_steps": 2, "gradient_checkpointing": True,
        "keep_tokens": 1, "learning_rate": 2e-4, "lr_scheduler": "cosine", "max_bucket_reso": 2048,
        "max_data_loader_n_workers": 0, "max_token_length": 225, "min_bucket_reso": 256, "min_snr_gamma": 5.0,
        "mixed_precision": "bf16", "network_alpha": 16.0, "network_dim": 32, "noise_offset": 0.05,
        "optimizer_type": "AdamW8bit",
        "optimizer_args": ("weight_decay=0.1", "betas=.9,.99"), "output_name": "frog",
        "pretrained_model_name_or_path": "user/model", "prior_loss_weight": 1.0, "resolution": "768,512",
        "sample_every_n_steps": 50, "sample_sampler": "euler_a", "save_every_n_epochs": 2, "save_model_as": "safetensors",
        "save_precision": "fp16", "seed": 1234, "shuffle_caption": True, "text_encoder_lr": (5e-5,), "train_batch_size": 2,
        "train_data_dir": "d:\\frogs", "training_comment": "mine", "unet_lr": 1e-4, "weighted_captions": False,
    }  # fmt: skip


def test_each_line_says_what_became_of_a_key(tmp_path):
    recipe = recipe_of(tmp_path)
    assert {(line.key, line.option, line.value) for line in recipe.renamed} == {
        ("epoch", "max_train_epochs", "12"),
        ("lr_warmup", "lr_warmup_steps", "0.1"),
        ("xformers", "sdpa", "True"),
        ("optimizer", "optimizer_type", "AdamW8bit"),
        ("max_resolution", "resolution", "768,512"),
        ("LoRA_type", "network_module", "networks.lora"),
        ("LoRA_type", "network_args", "rank_dropout=0.1"),
    }
    assert {line.key for line in recipe.dropped} == {"multires_noise_iterations", "multires_noise_discount", "output_dir"}
    assert all(line.why for line in recipe.dropped)
    assert recipe.prompts == "a sls frog --w 512"


@pytest.mark.parametrize(
    ("changed", "option", "value"),
    [
        ({"max_train_steps": "900"}, "max_train_steps", 900),
        ({"max_train_steps": "900", "max_train_epochs": "7"}, "max_train_epochs", 7),
        ({"lr_warmup_steps": 40}, "lr_warmup_steps", 40),
        ({"LoRA_type": "Kohya LoCon"}, "network_args", ("conv_dim=8", "conv_alpha=4", "rank_dropout=0.1")),
        ({"LoRA_type": "Kohya DyLoRA", "unit": 4}, "network_module", "networks.dylora"),
        ({"LoRA_type": "LyCORIS/LoHa"}, "network_module", "lycoris.kohya"),
        ({"LoRA_type": "LyCORIS/LoKr", "factor": 8}, "network_args",
         ("algo=lokr", "preset=full", "conv_dim=8", "conv_alpha=4", "rank_dropout=0.1", "factor=8")),
        ({"noise_offset_type": "Multires"}, "multires_noise_iterations", 8),
        ({"text_encoder_lr": 0}, "network_train_unet_only", True),
        ({"unet_lr": 0}, "network_train_text_encoder_only", True),
        ({"sdxl": True}, "no_half_vae", True),
        ({"min_timestep": 100}, "min_timestep", 100),
        ({"additional_parameters": "--max_grad_norm=0.5 --seed 9"}, "seed", 9),
        ({"xformers": True}, "xformers", True),
        ({"down_lr_weight": "0,0,0,0,1,1,1,1,1,1,1,1"}, "network_args",
         ("down_lr_weight=0,0,0,0,1,1,1,1,1,1,1,1", "rank_dropout=0.1")),
    ],
)  # fmt: skip
def test_values_that_the_gui_works_on_come_out_as_it_would_hand_them_on(tmp_path, changed, option, value):
    assert recipe_of(tmp_path, **changed).options[option] == value


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"LoRA_type": "LyCORIS/iA3"}, "LoRA_type", "not trained here"),
        ({"lr_scheduler": "constant"}, "lr_warmup", "no warm-up"),
        ({"stop_text_encoder_training": 30}, "stop_text_encoder_training", "sd-scripts does not"),
        ({"multi_gpu": True}, "multi_gpu", "launcher"),
        ({"wandb_api_key": "abc123"}, "wandb_api_key", "secret"),
        ({"train_inpainting": True}, "train_inpainting", "inpainting"),
        ({"logging_dir": "d:\\logs"}, "logging_dir", "place"),
        ({"network_dim": 100000}, "network_dim", "too large"),
        ({"no_such_thing": 3}, "no_such_thing", "no such option"),
        ({"additional_parameters": "--wandb_api_key abc123"}, "wandb_api_key", "secret"),
        ({"additional_parameters": "loose words"}, "additional_parameters", "belongs to no option"),
    ],
)
def test_what_cannot_be_taken_over_is_dropped_with_its_reason(tmp_path, changed, key, why):
    recipe = recipe_of(tmp_path, **changed)
    (line,) = [line for line in recipe.dropped if line.key == key]
    assert why in line.why and "abc123" not in repr(recipe)


def test_a_configuration_for_another_model_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"FLUX\.1"):
        recipe_of(tmp_path, flux1_checkbox=True)


def test_the_guis_own_defaults_are_read_from_toml(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        "[settings]\nuse_shell = false\n[model]\noutput_name = 'x'\n[basic]\nmax_resolution = '640,640'\noptimizer = 'AdamW'\n"
        "epoch = 3\nlr_warmup = 0\ncaption_extension = '.txt'\n[wd14_caption]\ncaption_extension = '.other'\n"
    )
    recipe = read([Given(path)]).recipe
    assert recipe.kind == "gui"
    assert recipe.options["resolution"] == "640,640" and recipe.options["max_train_epochs"] == 3
    assert recipe.options["caption_extension"] == ".txt" and "use_shell" not in {line.key for line in recipe.dropped}


def test_what_is_taken_trains(tmp_path):
    """The options hold against each other, once model and folders are filled in."""
    recipe = recipe_of(tmp_path)
    settle(recipe, Surroundings())
    assert {note.field for note in recipe.missing} == {"image_dir"}
    places = {"train_data_dir": str(tmp_path), "output_dir": str(tmp_path / "out"), "sample_prompts": "prompts.txt"}
    train_options({**recipe.options, **places}, check_paths=False)


@pytest.mark.parametrize(
    "odd", [[1, {"a": 2}], {"a": 1}, "inf", "nan", -1e400, "'", '"', True, 10**400, "\ud800", "x" * 100_000]
)
def test_odd_values_anywhere_are_dropped_or_taken_and_never_break(tmp_path, odd):
    for key in COMMON.keys() - ({"flux1_checkbox"} if odd is True else set()):  # that one says that it is for another model
        recipe = kohya_gui.from_gui("gui.json", {**COMMON, key: odd})
        settle(recipe, Surroundings())
        form_values(recipe, {})
        files(recipe, tmp_path)
