"""The table of commands: what is called, what is printed, with which exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lora_trainer import commands
from lora_trainer.errors import InputError, InputErrors, LoraTrainerError, SaveError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def command(monkeypatch, request):
    """A command whose target does what the test says."""

    def install(target):
        fake = commands.Command("train_network", "", (), "fake:main")
        monkeypatch.setattr(commands.Command, "load", lambda self: target)
        monkeypatch.setattr(commands, "COMMANDS", (fake,))

    return install


def raising(error):
    def target(argv):
        raise error

    return target


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InputError("12 is odd.", where="--n", advice="Give 14."), 2, "Error:\n  --n: 12 is odd. Give 14.\n"),
        (InputErrors([InputError("a."), InputError("b.")]), 2, "2 errors:\n  a.\n  b.\n"),
        (SaveError("the disk is full.", advice="Free some."), 1, "Error:\n  the disk is full. Free some.\n"),
        (LoraTrainerError("no."), 1, "Error:\n  no.\n"),
        (KeyboardInterrupt(), 130, "Interrupted.\n"),
    ],
)
def test_errors_for_the_user_are_text_and_an_exit_code(command, capsys, error, code, said):
    command(raising(error))
    assert commands.run(["train_network"]) == code
    assert capsys.readouterr().err == said


def test_arguments_and_exit_code_are_passed_on(command):
    seen = []
    command(lambda argv: seen.append(argv) or 7)
    assert commands.run(["train_network.py", "--a", "b"]) == 7 and seen == [["--a", "b"]]
    assert commands.run(["train-network"]) == 7


def test_half_of_a_command_is_taken_for_the_first_that_begins_with_it(capsys):
    assert commands.run(["train", "--seed=1"]) == 2
    assert "Did you mean train_network?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("networks/merge_lora.py", "merge_lora"),
        ("networks\\merge_lora.py", "merge_lora"),
        (r"tools\resize_images_to_resolution.py", "resize_images_to_resolution"),
        (r"C:\sd scripts\networks\extract-lora-from-dylora.py", "extract_lora_from_dylora"),
        ("./train_network.py", "train_network"),
        ("/home/me/sd-scripts/sdxl_train_network.py", "sdxl_train_network"),
        ("networks/svd_merge_lora", "svd_merge_lora"),
        ("networks/check_lora_weights.py", "check_lora"),
        ("networks/sdxl_merge_lora.py", "merge_lora"),
    ],
)
def test_scripts_are_found_by_the_names_of_the_documents(word, expected):
    assert commands._find(word).name == expected


SPECIFIED = """train_network train_db fine_tune train_textual_inversion prepare_buckets_latents merge_dd_tags_to_metadata
    merge_captions_to_metadata networks\\merge_lora networks\\svd_merge_lora finetune\\make_captions clean_captions_and_tags
    tag_images_by_wd14_tagger tools\\resize_images_to_resolution networks\\extract_lora_from_models gen_img_diffusers
    networks\\extract_lora_from_dylora tools/convert_diffusers20_original_sd"""


@pytest.mark.parametrize("script", SPECIFIED.split())
def test_every_script_of_the_documents_is_there_or_said_to_be_missing(script, capsys, monkeypatch):
    monkeypatch.setattr(commands.Command, "load", lambda self: lambda argv: 0)
    code, said = commands.run([f"{script}.py", "--x"]), capsys.readouterr().err
    assert code == 0 if not said else (code == 2 and "is not in this program." in said), said


def test_a_missing_command_says_what_to_do_instead(capsys):
    assert commands.run([r"finetune\flux_train.py", "--train_batch_size", "8"]) == 2
    said = capsys.readouterr().err
    assert "the command flux_train is not in this program." in said and "see train_network --help" in said
    assert not set(commands.MISSING) & {command.name for command in commands.COMMANDS}, "it has come by now"


OTHERS = """train_controlnet train_control_net sdxl_train_control_net sdxl_train_control_net_lllite flux_train_control_net
    sdxl_train_control_net_lllite_old sd3_train sd3_train_network flux_train flux_train_network lumina_train anima_train
    lumina_train_network anima_train_network hunyuan_image_train_network flux_minimal_inference sdxl_minimal_inference"""


@pytest.mark.parametrize("script", OTHERS.split())
def test_what_training_cannot_do_here_is_refused_by_name_with_a_sentence(script, capsys):
    assert commands.run([f"{script}.py", "--train_batch_size=8"]) == 2
    said = capsys.readouterr().err
    assert f"the command {script} is not in this program." in said
    wanted = "A ControlNet" if "control" in script else "drawn by generate" if "inference" in script else "SD1, SD2 and SDXL"
    assert wanted in said


def test_a_mistake_of_ours_is_not_hidden(command):
    command(raising(ValueError("bug")))
    with pytest.raises(ValueError, match="bug"):
        commands.run(["train_network"])


def test_an_unknown_command_names_the_nearest(capsys):
    assert commands.run(["train_netwrok"]) == 2
    assert "Did you mean train_network?" in capsys.readouterr().err
    assert commands.run(["zzz"]) == 2
    assert "generate_server" in capsys.readouterr().err


def test_without_a_command_the_commands_are_listed(capsys):
    assert commands.run([]) == 2 and commands.run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(command.name in shown for command in commands.COMMANDS)


@pytest.mark.parametrize("command", commands.COMMANDS, ids=lambda command: command.name)
def test_every_target_is_in_this_package(command):
    module, _, function = command.target.partition(":")
    path = ROOT / (module.replace(".", "/") + ".py")
    assert path.is_file() and f"def {function}(" in path.read_text(encoding="utf-8"), command.target


def test_the_help_of_a_training_does_not_import_torch():
    code = (
        "import sys; from lora_trainer.commands import run; code = run(['train_network', '--help']); "
        "sys.stderr.write(str(sorted({'torch', 'diffusers', 'transformers', 'accelerate'} & set(sys.modules)))); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0 and done.stderr == "[]", done.stderr
    assert "--network_dim" in done.stdout
