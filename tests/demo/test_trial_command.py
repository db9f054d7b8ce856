"""`python -m lora_trainer try` on a tiny checkpoint: what it leaves, what it says, how it stops."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("torch")

from lora_trainer.commands import run
from lora_trainer.demo import files, recipe, trial_command, world
from lora_trainer.networks.files import read_metadata
from lora_trainer.options import cli

ROOT = Path(__file__).parents[2]


@pytest.fixture
def quick(monkeypatch, tiny_sd1):
    """The trial with a tiny base model, few pictures, two prompts, and one sampler step a picture."""
    monkeypatch.setenv(files.VARIABLE, str(tiny_sd1))
    monkeypatch.setattr(recipe, "DRAWN", {**recipe.DRAWN, "steps": 1})
    monkeypatch.setattr(recipe, "CLASS_PICTURES", 4)
    monkeypatch.setattr(trial_command, "OTHERS", trial_command.OTHERS[:1])
    first = recipe.subject_prompts()[:1]
    monkeypatch.setattr(recipe, "subject_prompts", lambda: first)


def test_it_leaves_the_data_the_lora_and_one_picture(quick, tmp_path, capsys):
    out, copy = tmp_path / "trial", tmp_path / "docs" / "copy.png"
    assert run(["try", "--out", str(out), "--steps", "3", "--seed", "5", "--picture", str(copy)]) == 0
    assert len(list((out / "images").glob("*.png"))) == len(list((out / "images").glob("*.txt"))) == recipe.SUBJECT_PICTURES
    assert "sks heart" in (out / "images" / "0000.txt").read_text()
    assert not any("sks" in text.read_text() for text in (out / "regularisation").glob("*.txt"))
    metadata = read_metadata(out / "sks_heart.safetensors")
    assert (metadata["ss_steps"], metadata["ss_seed"], metadata["ss_num_reg_images"]) == ("3", "5", "4")
    with Image.open(out / "trial.png") as picture:
        assert picture.height > 4 * 64 and picture.width > 2 * 64
    assert copy.read_bytes() == (out / "trial.png").read_bytes()
    said = capsys.readouterr().out
    assert "3/3" in said and "Done in" in said and "--lora_dir" in said
    trial_command._check_folder(out)  # its own folder may be used again


def test_its_configuration_repeats_the_training(quick, tmp_path):
    out = tmp_path / "trial"
    run(["try", "--out", str(out), "--steps", "2"])
    options = cli.parse([f"--config_file={out / 'config.toml'}"])
    assert options is not None and options.training.max_train_steps == 2
    assert run(["train_network", f"--config_file={out / 'config.toml'}", "--output_name=again"]) == 0
    first, again = (read_metadata(out / f"{name}.safetensors") for name in ("sks_heart", "again"))
    assert first["sshs_model_hash"] == again["sshs_model_hash"]


@pytest.mark.parametrize("shipped", [True, False])
def test_a_missing_demo_model_is_said_before_anything_is_drawn(monkeypatch, tmp_path, capsys, shipped):
    if shipped:
        monkeypatch.delenv(files.VARIABLE, raising=False)
        monkeypatch.setattr(files, "SHIPPED", tmp_path / "none.safetensors")
    else:
        monkeypatch.setenv(files.VARIABLE, str(tmp_path / "none.safetensors"))
    assert run(["try", "--out", str(tmp_path / "trial")]) == 1
    said = capsys.readouterr().err
    assert "none.safetensors" in said and "demo base model is missing" in said
    assert ("Get the program's files again" if shipped else files.VARIABLE) in said
    assert not (tmp_path / "trial").exists()


def test_a_folder_with_other_things_is_not_touched(quick, tmp_path, capsys):
    (tmp_path / "letter.txt").write_text("mine")
    assert run(["try", "--out", str(tmp_path)]) == 2
    assert "holds other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
    assert run(["try", "--out", str(tmp_path / "letter.txt")]) == 2
    assert run(["try", "--steps", "0"]) == 2


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_keeps_what_was_learnt(tiny_sd1, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), files.VARIABLE: str(tiny_sd1), "OMP_NUM_THREADS": "1"}
    code = (
        "import sys; from lora_trainer import commands; from lora_trainer.demo import recipe, trial_command\n"
        "recipe.DRAWN['steps'] = 1; recipe.CLASS_PICTURES = 4; trial_command.OTHERS = ()\n"
        "trial_command.Progress.__init__.__kwdefaults__['seconds'] = 0.0\n"
        f"sys.exit(commands.run(['try', '--out', {str(tmp_path / 'trial')!r}, '--steps', '100000']))"
    )
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", code], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        lines = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            if "/100000 " in line:
                process.send_signal(signal.SIGINT)
                break
        rest, _ = process.communicate(timeout=900)
    finally:
        process.kill()
    assert process.returncode == 130, "".join(lines) + rest
    assert "the LoRA so far is saved" in rest
    assert 0 < int(read_metadata(tmp_path / "trial" / "sks_heart.safetensors")["ss_steps"]) < 100000
    assert (tmp_path / "trial" / "trial.png").is_file()


def test_prompts_shown_are_none_of_the_training(tmp_path):
    recipe.write_data(tmp_path / "images", tmp_path / "reg")
    trained = {text.read_text().strip() for text in (tmp_path / "images").glob("*.txt")}
    assert recipe.subject_prompts() and not trained & set(recipe.subject_prompts())
    for prompt in recipe.subject_prompts():
        assert world.parse(prompt.replace("sks ", ""))["shape"] == "heart"


def test_progress_is_a_line_now_and_then(capsys):
    progress = trial_command.Progress(seconds=1000)
    progress.emit({"type": "started", "total_steps": 3})
    for step in (1, 2, 3):
        progress.emit({"type": "step", "step": step, "loss_average": 0.5, "seconds_left": 61.0})
    progress.emit({"type": "warning", "message": "look out"})
    progress.close()
    said = capsys.readouterr().out.splitlines()
    assert [line.split("]")[1].split()[0] for line in said[:2]] == ["1/3", "3/3"], "the first and the last always"
    assert "1:01 min left" in said[0] and "look out" in said[2]
