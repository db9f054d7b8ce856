"""The command lines and data set files of the documents, word for word but for their places."""

from __future__ import annotations

# ---- 001: LoRA ----------------------------------------------------------------------------------------------------------
WHOLE = """accelerate launch --num_cpu_threads_per_process 1 train_network.py
    --pretrained_model_name_or_path={model}
    --dataset_config={dataset}
    --output_dir={out}
    --output_name=frog
    --save_model_as=safetensors
    --prior_loss_weight=1.0
    --max_train_steps=400
    --learning_rate=1e-4
    --optimizer_type="AdamW8bit"
    --xformers
    --mixed_precision="fp16"
    --cache_latents
    --gradient_checkpointing
    --save_every_n_epochs=1
    --network_module=networks.lora"""
BLOCKS = '"block_dims=2,4,4,4,8,8,8,8,12,12,12,12,16,12,12,12,12,8,8,8,8,4,4,4,2"'
LORA = [
    WHOLE,
    "--network_module=network.lora",  # as the page calls it once
    "--network_dim=4",
    "--networkdim=4",  # so misspelt there
    "--network_dim=16 --network_alpha=16",
    "--persistent_data_loader_workers --max_data_loader_n_workers=2",
    "--network_weights={lora}",
    "--network_train_unet_only",
    "--network_train_text_encoder_only",
    "--unet_lr=1e-4 --text_encoder_lr=5e-5",
    '--network_args "conv_dim=4" "conv_alpha=1"',
    '--network_args "conv_dim=4"',
    '--network_module=networks.dylora --network_dim=16 --network_args "unit=4"',
    "--network_module=network.dylora --network_dim=16",
    '--network_module=networks.dylora --network_dim=32 --network_alpha=16 --network_args "unit=4"',
    '--network_module=networks.dylora --network_dim=16 --network_args "conv_dim=16" "unit=4"',
    "--network_module=networks.dylora --network_dim=32 --network_alpha=16 "
    '--network_args "conv_dim=32" "conv_alpha=16" "unit=8"',
    '--network_args "down_lr_weight=0.5,0.5,0.5,0.5,1.0,1.0,1.0,1.0,1.5,1.5,1.5,1.5" "mid_lr_weight=2.0" '
    '"up_lr_weight=1.5,1.5,1.5,1.5,1.0,1.0,1.0,1.0,0.5,0.5,0.5,0.5"',
    '--network_args "block_lr_zero_threshold=0.1" "down_lr_weight=sine+.5" "mid_lr_weight=1.5" "up_lr_weight=cosine+.5"',
    f"--network_args {BLOCKS}",
    f'--network_args {BLOCKS} "conv_block_dims=2,2,2,2,4,4,4,4,6,6,6,6,8,6,6,6,6,4,4,4,4,2,2,2,2"',
    f'--network_args {BLOCKS} "block_alphas=2,2,2,2,4,4,4,4,6,6,6,6,8,6,6,6,6,4,4,4,4,2,2,2,2"',
]
LORA_TOOLS = [
    "python networks\\extract_lora_from_dylora.py --model {dylora} --save_to {out}/dylora-model-split.safetensors --unit 4",
    "python networks\\merge_lora.py --sd_model {model} --save_to {out}/model-char1-merged.safetensors "
    "--models {lora} --ratios 0.8",
    "python networks\\merge_lora.py --sd_model {model} --save_to {out}/model-two-merged.safetensors "
    "--models {lora} {lora2} --ratios 0.8 0.5",
    "python networks\\merge_lora.py --save_to {out}/model-char1-style1-merged.safetensors "
    "--models {lora} {lora2} --ratios 0.6 0.4",
    "python networks\\svd_merge_lora.py --save_to {out}/model-char1-style1-svd.safetensors --models {lora} {lora2} "
    "--ratios 0.6 0.4 --new_rank 32 --device cuda",
    "python networks\\extract_lora_from_models.py --model_org {model} --model_tuned {tuned} "
    "--save_to {out}/lora-weights.safetensors --dim 4",
    "python tools\\resize_images_to_resolution.py --max_resolution 512x512,384x384,256x256 --save_as_png "
    "--copy_associated_files {images} {out}/resized",
]
NETWORK_ARGS_IN_TOML = """network_args = [ "block_dims=2,4,4,4,8,8,8,8,12,12,12,12,16,12,12,12,12,8,8,8,8,4,4,4,2",]
"""

# ---- 003: what all trainings share --------------------------------------------------------------------------------------
SAMPLERS = "ddim pndm heun dpmsolver dpmsolver++ dpmsingle k_lms k_euler k_euler_a k_dpm_2 k_dpm_2_a"
OPTIMIZERS = (
    "AdamW AdamW8bit Lion Lion8bit SGDNesterov SGDNesterov8bit DAdaptation DAdaptAdamPreprint DAdaptAdam "
    "DAdaptAdaGrad DAdaptAdan DAdaptAdanIP DAdaptLion DAdaptSGD AdaFactor"
)
SCHEDULES = "linear cosine cosine_with_restarts polynomial constant constant_with_warmup"
COMMON = [
    "--sample_every_n_steps=100 --sample_prompts={prompts}",
    "--sample_every_n_epochs=1 --sample_every_n_steps=100 --sample_prompts={prompts}",
    *(f"--sample_every_n_epochs=1 --sample_prompts={{prompts}} --sample_sampler={name}" for name in SAMPLERS.split()),
    "--max_train_steps=400 --max_train_epochs=10",
    '--mixed_precision="fp16"',
    '--mixed_precision="bf16"',
    "--gradient_checkpointing",
    "--xformers",
    "--mem_eff_attn",
    "--clip_skip=2",
    "--max_token_length=150",
    "--max_token_length=225",
    "--weighted_captions",
    "--persistent_data_loader_workers",
    "--max_data_loader_n_workers=2",
    "--logging_dir=logs",
    "--logging_dir=logs --log_prefix=db_style1_",
    "--logging_dir=logs --log_with=tensorboard --log_tracker_name=style",
    "--log_with=wandb",
    "--noise_offset=0.1",
    "--noise_offset=0.1 --adaptive_noise_scale=0.01",
    "--noise_offset=0.1 --adaptive_noise_scale -0.01",
    "--multires_noise_iterations=6 --multires_noise_discount=0.3",
    "--multires_noise_iterations=10 --multires_noise_discount 0.8",
    "--vae={model}",
    "--cache_latents",
    "--min_snr_gamma=5",
    "--save_precision=fp16",
    "--save_every_n_epochs=1 --save_state",
    "--save_every_n_epochs=1 --save_every_n_steps=100",
    "--resume={state}",
    '--huggingface_repo_id "your-hf-name/your-model" --huggingface_path_in_repo "path" --huggingface_repo_type model '
    "--huggingface_repo_visibility private --huggingface_token hf_YourAccessTokenHere",
    '--huggingface_repo_id "your-hf-name/your-model" --save_state --save_state_to_huggingface --async_upload',
    "--resume_from_huggingface --resume your-hf-name/your-model/path/test-000002-state:main:model",
    *(f"--optimizer_type={name}" for name in OPTIMIZERS.split()),
    "--use_8bit_adam",
    "--use_lion_optimizer",
    "--optimizer_args weight_decay=0.01 betas=.9,.999",
    "--optimizer_type=DAdaptation --learning_rate=1.0",
    "--optimizer_type=DAdaptation --text_encoder_lr=0.5 --unet_lr=1.0",
    '--optimizer_type=adafactor --optimizer_args "relative_step=True" "scale_parameter=True" "warmup_init=True"',
    '--optimizer_type=adafactor --optimizer_args "relative_step=False" --lr_scheduler="constant_with_warmup" '
    "--max_grad_norm=0.0",
    "--optimizer_type=RMSprop",
    "--optimizer_type=bitsandbytes.optim.lamb.LAMB",
    *(f"--lr_scheduler={name}" for name in SCHEDULES.split()),
    "--lr_scheduler=constant_with_warmup --lr_warmup_steps=100",
    "--lr_scheduler=cosine_with_restarts --lr_scheduler_num_cycles=3",
    "--lr_scheduler=polynomial --lr_scheduler_power=2",
    "--lr_scheduler_type=torch.optim.lr_scheduler.StepLR --scheduler_args step_size=100",
    "--v2",
    "--v2 --v_parameterization",
    "--debug_dataset",
    "--cache_latents_to_disk",
]
FOLDERS = [
    "--train_data_dir={train} --reg_data_dir={reg} --resolution=512",
    "--train_data_dir={train} --caption_extension=.txt --shuffle_caption --resolution=512",
    "--train_data_dir={train} --resolution=448,640",
    "--train_data_dir={train} --resolution=512 --enable_bucket --min_bucket_reso=256 --max_bucket_reso=1024",
    "--train_data_dir={train} --resolution=512 --color_aug --flip_aug",
    '--train_data_dir={train} --resolution=512 --full_fp16 --mixed_precision="fp16"',
    "--train_data_dir={images} --in_json={metadata} --resolution=512",
]
IDENTIFIER = """[general]
enable_bucket = true                        # aspect ratio bucketing

[[datasets]]
resolution = 512
batch_size = 4

  [[datasets.subsets]]
  image_dir = '{images}'
  class_tokens = 'hoge girl'
  num_repeats = 10

  [[datasets.subsets]]
  is_reg = true
  image_dir = '{reg_images}'
  class_tokens = 'girl'
  num_repeats = 1
"""
CAPTIONS = IDENTIFIER.replace("class_tokens = 'hoge girl'", "caption_extension = '.txt'")
FINE_TUNING = """[general]
shuffle_caption = true
keep_tokens = 1

[[datasets]]
resolution = 512
batch_size = 4

  [[datasets.subsets]]
  image_dir = '{images}'
  metadata_file = '{metadata}'
"""
# ---- the pages on fine-tuning and on DreamBooth: whole models ------------------------------------------------------------
MODELS = [
    """accelerate launch --num_cpu_threads_per_process 1 train_db.py
    --pretrained_model_name_or_path={model} --dataset_config={dataset} --output_dir={out} --output_name=frog
    --save_model_as=safetensors --prior_loss_weight=1.0 --max_train_steps=1600 --learning_rate=1e-6
    --optimizer_type="AdamW8bit" --xformers --mixed_precision="fp16" --cache_latents --gradient_checkpointing""",
    """accelerate launch --num_cpu_threads_per_process 1 train_db.py
    --pretrained_model_name_or_path={model} --train_data_dir={train} --reg_data_dir={reg} --output_dir={out} --output_name=frog
    --prior_loss_weight=1.0 --resolution=512 --train_batch_size=1 --learning_rate=1e-6 --max_train_steps=1600
    --use_8bit_adam --xformers --mixed_precision="bf16" --cache_latents --gradient_checkpointing""",
    """accelerate launch --num_cpu_threads_per_process 8 train_db.py
    --pretrained_model_name_or_path={model} --train_data_dir={train} --reg_data_dir={reg} --output_dir={out}
    --resolution=768,512 --train_batch_size=20 --learning_rate=5e-6 --max_train_steps=800 --use_8bit_adam --xformers
    --mixed_precision="bf16" --save_every_n_epochs=1 --save_state --save_precision="bf16" --logging_dir=logs --enable_bucket
    --min_bucket_reso=384 --max_bucket_reso=1280 --color_aug --flip_aug --gradient_checkpointing --seed 42""",
    """accelerate launch --num_cpu_threads_per_process 1 fine_tune.py
    --pretrained_model_name_or_path={model} --output_dir={out} --output_name=frog --dataset_config={dataset}
    --save_model_as=safetensors --learning_rate=5e-6 --max_train_steps=10000 --use_8bit_adam --xformers
    --gradient_checkpointing --mixed_precision=fp16""",
    """accelerate launch --num_cpu_threads_per_process 1 fine_tune.py
    --pretrained_model_name_or_path={model} --in_json {metadata} --train_data_dir={images} --output_dir={out}
    --shuffle_caption --train_batch_size=1 --learning_rate=5e-6 --max_train_steps=10000 --use_8bit_adam --xformers
    --gradient_checkpointing --mixed_precision=bf16 --save_every_n_epochs=4 --resolution=512""",
    """accelerate launch --mixed_precision bf16 sdxl_train.py
    --pretrained_model_name_or_path "{xl}" --dataset_config "{dataset}" --output_dir "{out}" --output_name "sdxl_finetuned"
    --train_text_encoder --learning_rate 1e-5 --learning_rate_te1 5e-6 --learning_rate_te2 2e-6""",
]
WHOLE_MODELS = [
    *(f"--save_model_as={form}" for form in ("ckpt", "safetensors", "diffusers", "diffusers_safetensors")),
    "--use_safetensors",
    "--stop_text_encoder_training=500",
    "--stop_text_encoder_training=-1",
    "--no_token_padding",
    "--learning_rate_te=1e-7",
    "--train_text_encoder",
]

TAGGED = "python tag_images_by_wd14_tagger.py --batch_size 4 {images}"
MERGED = [  # the tools that put what was written into one file
    "python merge_captions_to_metadata.py --full_path {images} meta_cap.json",
    "python merge_dd_tags_to_metadata.py --full_path {images} --in_json meta_cap.json meta_cap_dd.json",
    "python clean_captions_and_tags.py meta_cap_dd.json meta_clean.json",
    "python prepare_buckets_latents.py --full_path {images} meta_clean.json meta_lat.json {model} --batch_size 4",
]
