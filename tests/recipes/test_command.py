"""`recreate` from the command line: what it prints, what it writes, what it refuses."""

from __future__ import annotations

import json

from lora_trainer import commands
from lora_trainer.options import config_file
from lora_trainer.options.resolve import train_options

GUI = {
    "LoRA_type": "Standard",
    "max_resolution": "512,512",
    "optimizer": "AdamW",
    "lr_warmup": 0,
    "network_dim": 12,
    "epoch": 4,
}


def test_a_configuration_is_printed_with_a_report_beside_it(tmp_path, capsys):
    (tmp_path / "gui.json").write_text(json.dumps(GUI | {"no_such_thing": 1, "wandb_api_key": "secret1"}))
    assert commands.run(["recreate", str(tmp_path / "gui.json")]) == 0
    printed = capsys.readouterr()
    assert "network_dim = 12" in printed.out and "max_resolution -> resolution = 512,512" in printed.err
    assert "no_such_thing = 1: there is no such option here." in printed.err
    assert "secret1" not in printed.out + printed.err
    (tmp_path / "printed.toml").write_text(printed.out)
    assert config_file.read(tmp_path / "printed.toml").values["max_train_epochs"] == 4


def test_what_is_written_trains_once_model_and_images_are_there(tmp_path):
    for name in ("3_sls frog", "1_frog"):
        (tmp_path / "here" / name).mkdir(parents=True)
    values = GUI | {"pretrained_model_name_or_path": "user/model", "train_data_dir": str(tmp_path / "here"), "output_name": "x"}
    (tmp_path / "gui.json").write_text(json.dumps(values))
    assert commands.run(["recreate", str(tmp_path / "gui.json"), "--out", str(tmp_path / "again")]) == 0
    options = train_options({}, config_file.read(tmp_path / "again" / "config.toml"))
    assert options.dataset.dataset_config == str(tmp_path / "again" / "dataset.toml")
    text = (tmp_path / "again" / "dataset.toml").read_text()
    assert "class_tokens = 'sls frog'" in text and "num_repeats = 3" in text


def test_nothing_is_overwritten_and_what_is_no_folder_is_said(tmp_path, capsys):
    (tmp_path / "gui.json").write_text(json.dumps(GUI))
    (tmp_path / "config.toml").write_text("mine")
    assert commands.run(["recreate", str(tmp_path / "gui.json"), "--out", str(tmp_path)]) == commands.EXIT_INPUT
    assert (tmp_path / "config.toml").read_text() == "mine" and "not overwritten" in capsys.readouterr().err
    assert commands.run(["recreate", str(tmp_path / "gui.json"), "--models", str(tmp_path / "no")]) == commands.EXIT_INPUT
    assert "is no folder" in capsys.readouterr().err
    assert commands.run(["recreate", str(tmp_path / "gone.json")]) == commands.EXIT_INPUT
