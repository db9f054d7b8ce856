"""The command lines of the documents that users copy from (kohya-ss' pages on LoRA and on training, in Korean), word for word.

Only names of files and folders are put in, in braces. Every training line is parsed, checked and its images planned as before a
start; every line of a tool is parsed; a few of each really run. The other pages of the same collection have no command lines.

"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

import pytest
import toml
import torch
from safetensors.torch import load_file

from lora_trainer import commands
from lora_trainer.data.plan import make_plan
from lora_trainer.errors import InputError, NotInstalledError
from lora_trainer.networks import files, registry
from lora_trainer.options import cli, config_file, dataset_config
from lora_trainer.training import prepare
from tests.captioning.small_tagger import write_pictures, write_tagger
from tests.documented import (
    CAPTIONS,
    COMMON,
    FINE_TUNING,
    FOLDERS,
    IDENTIFIER,
    LORA,
    LORA_TOOLS,
    MERGED,
    MODELS,
    NETWORK_ARGS_IN_TOML,
    TAGGED,
    WHOLE,
    WHOLE_MODELS,
)
from tests.networks import families
from tests.tiny import make_checkpoint
from tests.training.conftest import make_images
from tests.training.test_base_weights import lora

PACKAGES = ("bitsandbytes", "dadaptation", "lion-pytorch", "wandb")


@pytest.fixture(scope="module")
def places(tiny_sd1, tmp_path_factory) -> dict[str, str]:
    """The files and folders that stand for those of the documents."""
    root = tmp_path_factory.mktemp("documented")
    images = make_images(root / "train" / "20_sls frog", 4)
    reg = make_images(root / "reg" / "1_frog", 2, first=4)
    (root / "prompts.txt").write_text(
        "# prompt 1\nmasterpiece, best quality, 1girl, in white shirts, upper body, looking at viewer, simple background "
        "--n low quality, worst quality, bad anatomy,bad composition, poor, low effort --w 768 --h 768 --d 1 --l 7.5 --s 28\n"
    )
    (root / "piyo_md.json").write_text('{"0.png": {"caption": "a frog"}}')
    (root / "state").mkdir()
    named = {
        "model": tiny_sd1, "train": images.parent, "images": images, "reg": reg.parent, "reg_images": reg,
        "prompts": root / "prompts.txt", "metadata": root / "piyo_md.json", "state": root / "state", "out": root / "out",
        "lora": lora(root / "last.safetensors", 1, rank=4), "lora2": lora(root / "last2.safetensors", 2, rank=4),
        "dataset": root / "dataset.toml", "dylora": dylora(root / "dylora.safetensors"),
        "tuned": make_checkpoint(root / "tuned.safetensors", seed=3),
    }  # fmt: skip
    known = {name: str(path) for name, path in named.items()}
    Path(known["dataset"]).write_text(IDENTIFIER.format(**known))
    return known


def dylora(path: Path) -> Path:
    """A DyLoRA of rank 16 in units of 4, with an effect."""
    texts, unet = families.make("sd1")
    network = registry.get("networks.dylora").create_network(1.0, 16, 8.0, None, texts, unet, unit="4", seed=1)
    files.save(path, {name: tensor + 0.01 for name, tensor in network.state_dict().items()}, {"ss_network_dim": "16"})
    return path


def words_of(line: str, places: dict[str, str]) -> list[str]:
    """The script's name and what follows it, as the shell hands them on."""
    words = [word.format(**places) for word in shlex.split(line.replace("\\", "\\\\"))]
    script = next((number for number, word in enumerate(words) if word.endswith(".py")), None)
    return ["train_network.py", *words] if script is None else words[script:]


def training_words(line: str, places: dict[str, str], *more: str) -> list[str]:
    """A whole command line: an option alone is read as one that is added to the page's whole one."""
    given = words_of(line, places)[1:]
    if line == WHOLE:
        return given
    base = words_of(WHOLE, places)[1:]
    if "mem_eff_attn" in line:  # in the place of xformers
        base.remove("--xformers")
    if "--train_data_dir" in line:  # the older form, without a data set file
        left_out = ("--dataset_config", "--cache_latents") if "color_aug" in line else ("--dataset_config",)
        base = [word for word in base if not word.startswith(left_out)]
    if not any("optimizer" in word or "use_" in word for word in given):
        base = [word.replace("AdamW8bit", "AdamW") for word in base]
    else:
        base = [word for word in base if not word.startswith("--optimizer_type")]
    return [*base, *given, *more]


@pytest.mark.parametrize("line", [*LORA, *COMMON, *FOLDERS], ids=lambda line: line[:60].split("\n")[0])
def test_a_documented_training_is_ready_to_start(line, places, tiny_model):
    if "--v2" in line:
        places = places | {"model": str(tiny_model("sd2-linear"))}
    options = cli.parse(training_words(line, places))
    assert options is not None
    data = dataset_config.data_spec(options)
    assert data.datasets and all(dataset.subsets for dataset in data.datasets)
    if options.dataset.debug_dataset:
        return  # it shows the batches (tests/training/test_debug_dataset.py) and gets nothing ready to train
    try:
        prepare.check(options)
    except (NotInstalledError, InputError) as missing:  # the line is right; the sentence names what it needs
        assert any(package in missing.message for package in PACKAGES), missing
        assert missing.advice


@pytest.mark.parametrize("line", [*MODELS, *WHOLE_MODELS], ids=lambda line: " ".join(line.split()[4:6]) or line[:60])
def test_a_documented_training_of_a_whole_model_is_ready_to_start(line, places, tiny_model):
    """An option alone is added to DreamBooth's whole command line."""
    named = places | {"xl": str(tiny_model("sdxl"))}
    whole = MODELS[0].replace("--save_model_as=safetensors", "" if "save_model_as" in line else "--save_model_as=safetensors")
    script, *words = words_of(line if line in MODELS else f"{whole} {line}", named)
    options = cli.parse(words, commands.script_name(script))
    assert options is not None and options.trained.trains == "model"
    assert options.trained.train_text_encoder is (script != "fine_tune.py")
    assert dataset_config.data_spec(options).datasets
    try:
        prepare.check(options)
    except NotInstalledError as missing:  # the line is right; the sentence names what it needs
        assert any(package in missing.message for package in PACKAGES) and missing.advice, missing


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        (IDENTIFIER, 20),
        (CAPTIONS, 20),
        (FINE_TUNING, 1),
    ],
    ids=["identifier", "captions", "metadata"],
)
def test_a_documented_data_set_file_is_read(text, steps, places, tmp_path):
    file = tmp_path / "dataset.toml"
    file.write_text(text.format(**places))
    options = cli.parse(training_words("--seed=1", places | {"dataset": str(file)}))
    plan = make_plan(dataset_config.data_spec(options), seed=1, prior_loss_weight=1.0)
    plan.raise_errors()
    assert plan.batches_per_epoch == steps  # 4 images 10 times, and as many of the class, in batches of 4


def test_documented_arguments_in_a_toml_file(places, tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(NETWORK_ARGS_IN_TOML)
    options = cli.parse(training_words(f"--config_file={file}", places))
    assert options.network.network_args == tuple(toml.loads(NETWORK_ARGS_IN_TOML)["network_args"])
    assert config_file.to_toml(options)


@pytest.mark.parametrize("line", LORA_TOOLS, ids=lambda line: line.split("\\")[1][:60])
def test_a_documented_tool_does_its_work(line, places, capsys):
    words = words_of(line, places)
    if "cuda" in words and not torch.cuda.is_available():
        assert commands.run(words) == 2 and "cuda" in capsys.readouterr().err
        words[words.index("cuda")] = "cpu"
    out = Path(places["out"])
    before = set(out.rglob("*"))
    assert commands.run(words) == 0
    assert {path for path in out.rglob("*") if path.is_file()} - before


@pytest.mark.parametrize(
    "line",
    [
        '--network_args "conv_dim=4" "conv_alpha=1"',
        '--network_module=networks.dylora --network_dim=16 --network_args "unit=4"',
        "--save_every_n_epochs=1 --save_state",
        '--optimizer_type=adafactor --optimizer_args "relative_step=False" --lr_scheduler="constant_with_warmup" '
        "--max_grad_norm=0.0",
        "--logging_dir=logs --log_prefix=db_style1_",
    ],
    ids=lambda line: line[:60],
)
def test_a_documented_training_trains(line, places, tmp_path, monkeypatch):
    """Two steps of each, on pictures of 64 pixels."""
    assert line in [*LORA, *COMMON]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lora_trainer"])
    small = tmp_path / "small.toml"
    small.write_text(
        IDENTIFIER.format(**places)
        .replace("512", "64")
        .replace("true   ", "false  ", 1)
        .replace("batch_size = 4", "batch_size = 1")
    )
    more = [f"--output_dir={tmp_path / 'out'}", "--max_train_steps=2", "--max_data_loader_n_workers=0"]
    words = training_words(line, places | {"dataset": str(small)}, *more)
    assert commands.run(["train_network.py", *words]) == 0
    weights = load_file(tmp_path / "out" / "frog.safetensors")
    assert any(tensor.any() for name, tensor in weights.items() if "lora_up" in name)
    assert not line.startswith("--logging_dir") or list((tmp_path / "logs").glob("db_style1_*/network_train/events.*"))


def test_documented_dreambooth_trains(places, tmp_path, monkeypatch):
    """Folders named for words and repeats, with pictures of the class: two steps on pictures of 64 pixels."""
    monkeypatch.setattr(sys, "argv", ["lora_trainer"])
    script, *words = words_of(MODELS[1].replace("512", "64"), places | {"out": str(tmp_path)})
    assert commands.run([script, *words, "--max_train_steps=2", "--max_data_loader_n_workers=0"]) == 0
    before, after = load_file(places["model"]), load_file(tmp_path / "frog.safetensors")
    changed = {name.partition(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert after.keys() == before.keys() and changed == {"model", "cond_stage_model"}


def test_the_documented_chain_leads_from_a_folder_of_pictures_to_a_training(places, tmp_path, monkeypatch):
    """Pictures with captions, tagged by a (small) tagger, merged, cleaned, and trained as the documents' data set file says."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["lora_trainer"])
    images = write_pictures(tmp_path / "train_data", "red.png", "blue.png")
    for file in images.glob("*.png"):
        file.with_suffix(".caption").write_text(f"an anime woman in {file.stem}\n")
    named = places | {"images": "train_data", "metadata": "meta_lat.json"}
    tagger = ["--repo_id", str(write_tagger(tmp_path / "tagger"))]
    for line in (TAGGED, *MERGED):  # latents at the size of the pictures
        size = ["--max_resolution=64,64", "--min_bucket_reso=64"] if "prepare" in line else []
        assert commands.run([*words_of(line, named), *size, *(tagger if line == TAGGED else ())]) == 0
    dataset = FINE_TUNING.format(**named).replace("512", "64").replace("batch_size = 4", "batch_size = 1")
    Path("dataset.toml").write_text(dataset)
    more = ["--output_dir=out", "--max_train_steps=2", "--max_data_loader_n_workers=0"]
    words = training_words("--seed=1", named | {"dataset": "dataset.toml"}, *more)
    assert commands.run(["train_network.py", *words]) == 0
    told = files.read_metadata(tmp_path / "out" / "frog.safetensors")
    assert json.loads(told["ss_dataset_dirs"]) == {"meta_lat.json": {"n_repeats": 1, "img_count": 2}}
    assert json.loads(told["ss_tag_frequency"])["meta_lat.json"].keys() >= {"blue sky", "red hair"}
    plan = make_plan(dataset_config.data_spec(cli.parse(words)))
    blue, red = (image.caption for image in plan.images)
    assert blue.startswith("a girl in blue,blue sky") and red.startswith("a girl in red,red hair"), (blue, red)
    assert not [finding for finding in plan.findings if finding.level != "info" and "metadata" in finding.message]
