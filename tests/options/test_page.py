"""The form's description, the basic fields and presets, and the generated page of options."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.options import OPTIONS, OPTIONS_BY_NAME
from lora_trainer.options import config_file as files
from lora_trainer.options.cli import parse
from lora_trainer.options.data_spec import NO_CAPTIONS
from lora_trainer.options.dataset_config import load
from lora_trainer.options.docs import TARGET, main, markdown
from lora_trainer.options.form_spec import form_spec
from lora_trainer.options.presets import PRESETS, presets, starting_values
from lora_trainer.options.resolve import train_options
from lora_trainer.options.simple import SIMPLE_BY_NAME, split_values, to_files

from .valid import make_valid

MAIN_PATH = [
    "pretrained_model_name_or_path",
    "image_dir",
    "identifier",
    "class_name",
    "caption_source",
    "reg_dir",
    "output_name",
    "resolution",
    "max_train_steps",
    "network_dim",
    "learning_rate",
]


@pytest.fixture
def page(tmp_path: Path) -> dict[str, object]:
    """What the page sends for a small valid run."""
    valid = make_valid(tmp_path)
    (tmp_path / "reg").mkdir()
    return {
        "pretrained_model_name_or_path": valid["pretrained_model_name_or_path"],
        "output_dir": valid["output_dir"],
        "output_name": "frog",
        "resolution": 512,
        "learning_rate": 1e-4,
        "network_dim": 16,
        "max_train_steps": 20,
        "vae": "",
        "seed": None,
        "image_dir": str(tmp_path / "images" / "2_sls frog"),
        "identifier": "sls",
        "class_name": "frog",
        "caption_source": "txt",
        "num_repeats": 10,
        "reg_dir": str(tmp_path / "reg"),
        "prompts": "sls frog --d 1\n\n",
    }


def made(values, folder):
    simple, options = split_values(values)
    return to_files(simple, options, folder=folder)


def refused(values, folder=Path()):
    with pytest.raises(InputErrors) as raised:
        made(values, folder)
    return {error.field: str(error) for error in raised.value.errors}


def test_the_form_shows_every_supported_option_once_and_the_main_path_first():
    for language in ("en", "ko"):
        sections = form_spec(language)
        assert json.loads(json.dumps(sections)) == sections
        names = [control["name"] for section in sections for control in section["controls"]]
        wanted = {option.name for option in OPTIONS if option.form and option.supported} | set(SIMPLE_BY_NAME)
        assert len(names) == len(set(names)) and set(names) == wanted
        assert [control["name"] for control in sections[0]["controls"]] == MAIN_PATH
        for section in sections:
            assert section["title"] and section["advanced"] is (section["id"] != "basic")
            for control in section["controls"]:
                assert control["help"] and control["label"]
                assert control["label"] != control["name"] or control["name"] == "xformers", "declare a label"
                assert (control["kind"] == "choice") == bool(control["choices"]), control
    assert form_spec("ko")[0]["title"] != form_spec("en")[0]["title"]


def test_the_form_offers_only_what_works_and_starts_with_what_it_is_given():
    controls = {c["name"]: c for section in form_spec(start={"network_dim": 16}) for c in section["controls"]}
    assert (controls["network_dim"]["value"], controls["network_dim"]["default"]) == (16, 4)
    assert [choice["value"] for choice in controls["optimizer_type"]["choices"]][:2] == ["AdamW", "AdamW8bit"]
    assert controls["learning_rate"]["kind"] == "number" and controls["cache_latents"]["kind"] == "toggle"
    assert controls["image_dir"]["kind"] == "folder" and controls["prompts"]["kind"] == "lines"


def test_the_files_of_a_run_repeat_it_without_the_page(page, tmp_path):
    folder = tmp_path / "run with space"
    folder.mkdir()
    run = made(page, folder)
    (folder / "config.toml").write_text(run.config_toml, encoding="utf-8")
    (folder / "dataset.toml").write_text(run.dataset_toml, encoding="utf-8")
    (folder / "prompts.txt").write_text(run.prompts, encoding="utf-8")
    again = train_options({}, files.read(folder / "config.toml"))
    assert again == run.options
    assert load(folder / "dataset.toml", again) == run.data
    assert parse(shlex.split(run.command_line)[len(files.COMMAND) :]) == run.options
    assert run.options.network.network_module == "networks.lora"
    assert run.prompts == "sls frog --d 1\n"
    images, reg = run.data.datasets[0].subsets
    assert (images.class_tokens, images.num_repeats, images.caption_extension, images.is_reg) == ("sls frog", 10, ".txt", False)
    assert (reg.class_tokens, reg.num_repeats, reg.is_reg) == ("frog", 1, True)
    assert run.data.datasets[0].resolution == (512, 512)


def test_the_kind_of_network_is_the_forms_and_lora_where_an_older_form_had_none(page, tmp_path):
    assert made({**page, "network_module": None}, tmp_path).options.network.network_module == "networks.lora"
    args = ["conv_dim=16", "unit=4", "down_lr_weight=sine+.25"]
    run = made({**page, "network_module": "networks.dylora", "network_args": args}, tmp_path)
    assert (run.options.network.network_module, run.options.network.network_args) == ("networks.dylora", tuple(args))
    assert "network_args" in refused({**page, "network_module": "networks.dylora", "network_args": ["unit=3"]}, tmp_path)
    assert "network_args" in refused({**page, "network_args": ["unit=4"]}, tmp_path), "unit is DyLoRA's"


@pytest.mark.parametrize(
    ("source", "more", "ending"),
    [("words", {}, NO_CAPTIONS), ("caption", {}, ".caption"), ("other", {"caption_extension": ".tags"}, ".tags")],
)
def test_where_captions_come_from(page, tmp_path, source, more, ending):
    run = made({**page, "caption_source": source, **more}, tmp_path)
    assert {subset.caption_extension for subset in run.data.datasets[0].subsets} == {ending}


def test_what_the_page_lacks_is_told_at_the_field(page):
    assert "no images yet" in refused({**page, "image_dir": ""})["image_dir"]
    assert "does not exist" in refused({**page, "image_dir": "/no/such"})["image_dir"]
    assert "does not exist" in refused({**page, "reg_dir": "/no/such"})["reg_dir"]
    assert "identifier" in refused({**page, "caption_source": "words", "identifier": " ", "class_name": "", "reg_dir": ""})
    assert "class" in refused({**page, "class_name": ""})["class_name"]
    assert "caption_extension" in refused({**page, "caption_source": "other"})
    assert "resolution" in refused({**page, "resolution": ""})
    found = refused({**page, "num_repeats": 0, "output_name": "", "network_dim": "many", "imagedir": "x"})
    assert set(found) == {"num_repeats", "output_name", "network_dim", "imagedir"}


@pytest.mark.parametrize("cuda", [True, False])
@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_every_preset_that_can_be_chosen_is_a_valid_run(preset, cuda, page, tmp_path):
    values = next(shown for shown in presets("ko", cuda=cuda) if shown["id"] == preset.id)["values"]
    run = made({**page, **values}, tmp_path)
    assert run.options.optimizer.optimizer_type == preset.values.get("optimizer_type", "AdamW8bit" if cuda else "AdamW")
    assert run.options.training.mixed_precision == ("fp16" if cuda else "no")
    assert set(preset.values) <= set(OPTIONS_BY_NAME) | set(SIMPLE_BY_NAME)


def test_presets_that_save_memory_compute_no_more_twice_than_the_memory_asks_for():
    """SD1.5 keeps 896 MiB for the backward pass, XL 6,512: computing it twice where that fits is a third of the time."""
    chosen = {preset.id: preset.values.get("gradient_checkpointing_blocks") for preset in PRESETS}
    saving = {preset.id for preset in PRESETS if preset.values.get("gradient_checkpointing")}
    assert saving == {"low_memory", "character_sdxl"} and {chosen[name] for name in saving} == {"auto"}


def test_the_page_starts_from_values_that_are_options():
    assert set(starting_values(cuda=True)) <= set(OPTIONS_BY_NAME)


def test_the_page_of_options_is_current():
    assert TARGET.read_text(encoding="utf-8") == markdown(), "run: python -m lora_trainer docs"


def test_the_page_of_options_can_be_written_elsewhere(tmp_path, capsys):
    assert main([str(tmp_path / "x.md")]) == 0
    assert (tmp_path / "x.md").read_text(encoding="utf-8").count("\n| `") > 195


@pytest.mark.parametrize("kind", ["model", "embedding"])
@pytest.mark.parametrize("language", ["en", "ko"])
def test_what_the_form_says_of_another_training_is_not_about_a_lora(kind, language):
    """Where a LoRA is named all the same, it is told apart from what is trained."""
    apart = {"en": ("whole model", "embedding"), "ko": ("모델 전체", "임베딩")}[language]
    for section in form_spec(language):
        for control in section["controls"]:
            if (control["only"] and kind not in control["only"]) or control["name"] in ("trains", "base_weights"):
                continue
            for text in (control["label"], control["help"]):
                assert "LoRA" not in text or any(word in text for word in apart), (control["name"], text)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.id)
def test_each_kind_of_training_begins_with_rates_of_its_size(preset):
    """A rate of 1e-4, usual for a LoRA, spoils a whole model; a factor on a rate that an optimizer finds is every kind's."""
    shown = next(shown for shown in presets(cuda=True) if shown["id"] == preset.id)
    rates = {kind: {**shown["values"], **own}["learning_rate"] for kind, own in shown["kinds"].items()}
    finds = shown["values"]["optimizer_type"] == "Prodigy"
    assert rates == ({"embedding": 1.0, "model": 1.0} if finds else {"embedding": 5e-3, "model": 5e-6})
    assert all(name in OPTIONS_BY_NAME for own in shown["kinds"].values() for name in own)


@pytest.mark.parametrize(
    ("more", "drawn"),
    [
        ({"trains": "embedding", "token_string": "zzq"}, "zzq"),
        ({"trains": "embedding", "token_string": "zzq", "identifier": "", "class_name": ""}, "zzq"),
        ({"trains": "embedding", "token_string": "zzq", "identifier": "ZZQ", "class_name": "frog"}, "ZZQ frog"),
        ({"trains": "pivotal", "token_string": "zzq", "identifier": "sls", "class_name": "frog"}, "zzq"),
        ({"identifier": "sls", "class_name": "frog"}, "sls frog"),
    ],
)
def test_samples_say_the_word_that_is_learned_where_nobody_wrote_prompts(page, tmp_path, more, drawn):
    prompts = made({**page, "prompts": "", "reg_dir": "", "init_word": "frog", **more}, tmp_path).prompts
    assert prompts.partition(" --w")[0] == drawn
