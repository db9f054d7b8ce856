"""The names that kohya_ss' GUI has in its files and sd-scripts has not, as data."""

from __future__ import annotations

from dataclasses import dataclass

# A file with two of these is the GUI's.
MARKS = frozenset(
    {
        "LoRA_type", "max_resolution", "lr_warmup", "optimizer", "model_list", "num_cpu_threads_per_process",
        "noise_offset_type", "additional_parameters", "LyCORIS_preset", "sdxl_no_half_vae", "stop_text_encoder_training_pct",
    }
)  # fmt: skip

RENAMED = {
    "max_resolution": "resolution",
    "optimizer": "optimizer_type",
    "lora_network_weights": "network_weights",
}

# Sections of the GUI's defaults that are of other tabs, or of the program itself.
GUI_SECTIONS = frozenset({"settings", "server", "configuration", "dataset_preparation", "wd14_caption"})

# 0 is the GUI's way to say "not given" of these.
ZERO_IS_NOTHING = frozenset(
    {
        "adaptive_noise_scale", "caption_dropout_every_n_epochs", "caption_dropout_rate", "clip_skip", "ip_noise_gamma",
        "keep_tokens", "max_timestep", "min_snr_gamma", "min_timestep", "multires_noise_iterations", "network_dropout",
        "noise_offset", "sample_every_n_epochs", "sample_every_n_steps", "save_every_n_epochs", "save_every_n_steps",
        "save_last_n_epochs", "save_last_n_epochs_state", "save_last_n_steps", "save_last_n_steps_state", "scale_weight_norms",
        "seed", "v_pred_like_loss", "vae_batch_size", "huber_c",
    }
)  # fmt: skip

ACCELERATE = frozenset({"extra_accelerate_launch_args", "gpu_ids", "main_process_port", "multi_gpu", "num_machines"})

NOT_FOR_LORA = {
    key: "it belongs to another kind of training (Dreambooth, fine-tuning, textual inversion)."
    for key in (
        "learning_rate_te", "learning_rate_te1", "learning_rate_te2", "batch_size", "class_prompt", "instance_prompt",
        "train_text_encoder", "no_token_padding", "init_word", "template",
        "token_string", "num_vectors_per_token", "weights", "block_lr", "caption_metadata_filename",
        "latent_metadata_filename", "image_folder", "train_dir", "create_caption", "create_buckets", "use_latent_files",
        "full_path",
    )
}  # fmt: skip
NOT_FOR_LORA["train_inpainting"] = "models for inpainting are not trained here."

# Of the GUI itself, or with nothing to take over.
OTHERS = frozenset(
    {
        "additional_parameters", "config_dir", "state_dir", "models_dir", "vae_dir", "log_tracker_config_dir",
        "dynamo_mode", "dynamo_use_dynamic", "dynamo_use_fullgraph",
        "lowvram", "model_list", "num_cpu_threads_per_process", "num_processes", "save_as_bool", "v2", "dynamo_backend",
    }
)  # fmt: skip

# Which flag says that the configuration is for a model that is not trained here.
TRAINED_ELSEWHERE = {
    "flux1_checkbox": "FLUX.1",
    "sd3_checkbox": "Stable Diffusion 3",
    "hunyuan_image_checkbox": "HunyuanImage",
    "anima_checkbox": "Anima",
    "lumina_checkbox": "Lumina",
}

# Values for those models, which every file of the GUI holds.
_STARTS = ("flux", "sd3_", "hunyuan_", "anima_", "lumina_", "t5", "clip_", "logit_")


class _OtherModels:
    """What belongs to other models: whole families of names."""

    _NAMES = frozenset(
        {
            "ae", "apply_t5_attn_mask", "blocks_to_swap", "blockwise_fused_optimizers", "discrete_flow_shift",
            "double_blocks_to_swap", "fused_optimizer_groups", "guidance_scale", "mem_eff_save", "mode_scale", "model_type",
            "model_prediction_type", "save_clip", "save_t5xxl", "single_blocks_to_swap", "split_mode",
            "split_qkv", "timestep_sampling", "train_blocks", "weighting_scheme", "img_attn_dim", "img_mlp_dim", "img_mod_dim",
            "single_dim", "single_mod_dim", "txt_attn_dim", "txt_mlp_dim", "txt_mod_dim", "in_dims", "show_timesteps",
            "show_timesteps_resolution", "train_double_block_indices", "train_single_block_indices", "sigmoid_scale",
            "enable_all_linear", "train_t5xxl",
        }
    )  # fmt: skip

    def __contains__(self, key: str) -> bool:
        return key in self._NAMES or (key.startswith(_STARTS) and key != "clip_skip")


OTHER_MODELS = _OtherModels()


@dataclass(frozen=True)
class Network:
    """What a LoRA_type is here: the module, LyCORIS' algorithm, and the values that are handed to it."""

    module: str
    keys: tuple[str, ...]
    algo: str = ""


_BLOCKS = (
    "down_lr_weight", "mid_lr_weight", "up_lr_weight", "block_lr_zero_threshold", "block_dims", "block_alphas",
    "conv_block_dims", "conv_block_alphas", "rank_dropout", "module_dropout",
)  # fmt: skip
_PLUS = ("loraplus_lr_ratio", "loraplus_unet_lr_ratio", "loraplus_text_encoder_lr_ratio")
_COMMON = ("LyCORIS_preset", "conv_dim", "conv_alpha", "use_tucker", "rank_dropout", "module_dropout", "rank_dropout_scale",
           "train_norm")  # fmt: skip
NETWORKS = {
    "Standard": Network("networks.lora", (*_BLOCKS, *_PLUS)),
    "Kohya LoCon": Network("networks.lora", ("conv_dim", "conv_alpha", *_BLOCKS, *_PLUS)),
    "LoCon": Network("networks.lora", ("conv_dim", "conv_alpha", *_BLOCKS, *_PLUS)),
    "Kohya DyLoRA": Network("networks.dylora", ("conv_dim", "conv_alpha", "unit", *_BLOCKS)),
    "LyCORIS/LoCon": Network("lycoris.kohya", (*_COMMON, "bypass_mode", "dora_wd", "use_scalar"), "locon"),
    "LyCORIS/LoHa": Network("lycoris.kohya", (*_COMMON, "bypass_mode", "dora_wd", "use_scalar"), "loha"),
    "LyCORIS/LoKr": Network(
        "lycoris.kohya", (*_COMMON, "bypass_mode", "dora_wd", "use_scalar", "factor", "use_cp", "decompose_both"), "lokr"
    ),
    "LyCORIS/Diag-OFT": Network("lycoris.kohya", (*_COMMON, "constrain", "rescaled"), "diag-oft"),
    "LyCORIS/BOFT": Network("lycoris.kohya", _COMMON, "boft"),
}
# Names of LyCORIS' own for the GUI's.
LYCORIS = {"LyCORIS_preset": "preset", "constrain": "constraint"}
# Values of a network: those that its kind is not given mean nothing.
FOR_NETWORK = sorted({key for network in NETWORKS.values() for key in network.keys} | {"unit", "train_on_input"})
