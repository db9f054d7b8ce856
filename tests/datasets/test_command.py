"""The command edit_captions does what the page does, with the same history."""

import pytest

from lora_trainer import commands


@pytest.fixture
def call(folder, tmp_path, capsys):
    def run(*words):
        status = commands.run(["edit_captions", str(folder), "--data_dir", str(tmp_path / "user"), *words])
        return status, capsys.readouterr()

    return run


def test_captions_are_edited_in_the_order_of_the_words_and_undone_one_by_one(call, folder):
    status, said = call(
        "--filter", "1 OR untagged", "--dry_run", "--add", "sls, x", "--at", "start", "--rename", "frog", "toad"
    )
    assert status == 0
    assert "  - frog, number 1\n  + sls, x, toad, number 1" in said.out
    assert "2 of 2 captions would change; nothing was written." in said.out
    assert (folder / "1.txt").read_text() == "frog, number 1"
    assert call("--filter", "1 OR untagged", "--add", "sls, x", "--at", "start", "--rename", "frog", "toad")[0] == 0
    assert (folder / "1.txt").read_text() == "sls, x, toad, number 1"
    assert (folder / "5.txt").read_text() == "sls, x\n"
    assert call("--undo")[0] == 0
    assert (folder / "1.txt").read_text() == "sls, x, frog, number 1"
    (folder / "1.txt").write_text("by hand")
    status, said = call("--undo")
    assert (status, "--skip" in said.out, (folder / "5.txt").exists()) == (1, True, True)
    assert call("--undo", "--skip")[0] == 1
    assert ((folder / "1.txt").read_text(), (folder / "5.txt").exists()) == ("by hand", False)


def test_without_an_edit_the_captions_are_listed(call, folder):
    assert f"{folder / '3.png'}: frog, number 3\n" in call("--filter", "tag:frog -1")[1].out


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (["--filter", "(a", "--tidy"], "at character 1"),
        (["--add", " , "], "1 to 200 tags"),
        (["--regex", "(", "x"], "is wrong"),
        (["--undo"], "nothing to undo"),
    ],
)
def test_what_is_wrong_is_told(call, words, what):
    status, said = call(*words)
    assert (status, what in said.err) == (2, True)


def test_a_folder_that_is_none_is_told(call, capsys):
    assert commands.run(["edit_captions", "/nowhere/at/all", "--tidy"]) == 2
    assert "is no folder" in capsys.readouterr().err
