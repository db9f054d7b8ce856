"""`check_dataset`: the findings as text and as JSON, and the exit status by the worst of them."""

import json
from pathlib import Path

import pytest
from dataset_files import make_images

from lora_trainer import commands


@pytest.fixture
def folder(tmp_path):
    made = make_images(tmp_path / "pictures" / "10_sls frog", {f"{name}.png": (512, 512) for name in "abc"})
    for number, name in enumerate("abc"):
        (made / f"{name}.txt").write_text(f"sls frog on the {name}th of {number} green leaves")
    return made


def run(capsys, *words):
    code = commands.run(["check_dataset", *map(str, words)])
    return code, capsys.readouterr().out


def test_a_good_folder_is_told_and_needs_no_model(folder, capsys):
    assert run(capsys, folder) == (0, "3 pictures in 1 folder.\nNothing was found.\n")
    assert run(capsys, folder.parent)[0] == 0


def test_the_status_goes_by_the_worst_finding_which_comes_first(folder, capsys):
    (folder / "a.txt").write_text("a frog")
    code, said = run(capsys, folder)
    assert code == 1 and "WARNING identifier_absent" in said and "Mend: Write 'sls' in front of these captions." in said
    (folder / "b.png").write_bytes(b"")
    code, said = run(capsys, folder)
    assert code == 2 and said.splitlines()[1] == "ERROR damaged"


def test_a_remark_alone_is_no_failure(folder, capsys):
    for path in folder.glob("*.txt"):
        path.write_text("sls frog")
    code, said = run(capsys, folder)
    assert code == 0 and "INFO same_caption" in said


def test_json_has_files_and_mend(folder, capsys):
    (folder / "a.txt").write_text("a frog")
    code, text = run(capsys, folder, "--json")
    (found,) = json.loads(text)["findings"]
    assert (code, found["code"], [Path(path).name for path in found["files"]]) == (1, "identifier_absent", ["a.png"])
    assert found["fix"]["values"] == {"text": "sls"} and found["why"]


def test_a_configuration_is_checked_with_its_steps(folder, tmp_path, capsys):
    config = tmp_path / "run.toml"
    config.write_text(
        f"pretrained_model_name_or_path = 'gone.safetensors'\ntrain_data_dir = '{folder.parent.as_posix()}'\n"
        "caption_extension = '.txt'\nresolution = '512'\nmax_train_steps = 4\n"
    )
    code, said = run(capsys, "--config_file", config)
    assert (code, said) == (0, "3 pictures in 1 folder.\nNothing was found.\n")
    for name in "de":
        make_images(folder.parent / f"1_sls {name}", {f"{name}.png": (512, 511)}, captions=f"sls {name} of all others")
    code, said = run(capsys, "--config_file", config)
    assert code == 1 and "WARNING unbalanced" in said


def test_what_is_no_folder_is_told(tmp_path, capsys):
    assert commands.run(["check_dataset", str(tmp_path / "gone")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert commands.run(["check_dataset"]) == 2
