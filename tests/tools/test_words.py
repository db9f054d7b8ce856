"""Words that were trained with a LoRA: what the tools do with them. No tool drops one in silence."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.commands import run
from lora_trainer.embeddings import files as embedding_files

from .conftest import source, toy_checkpoint

KEY = "bundle_emb.frog.string_to_param.*"
VECTORS = torch.arange(8.0).reshape(2, 4)


def with_word(folder: Path, name: str, vectors: torch.Tensor = VECTORS) -> str:
    path = folder / f"{name}.safetensors"
    save_file({**load_file(source(name)), KEY: vectors}, path)
    return str(path)


@pytest.mark.parametrize(
    "words",
    [
        ["resize_lora", "--model={a}", "--new_rank=2"],
        ["merge_lora", "--models", "{a}", source("b"), "--ratios", "0.5", "0.5"],
        ["merge_lora", "--models", "{a}", "{b}", "--ratios", "0.5", "0.5", "--concat"],
        ["svd_merge_lora", "--models", source("b"), "{a}", "--ratios", "0.5", "0.5", "--new_rank=2"],
        ["extract_lora_from_dylora", "--model={a}", "--unit=2"],
        ["convert_lora", "{a}", "--to=webui"],
    ],
    ids=["resize", "merge", "merge two words that are one", "svd_merge", "split", "convert"],
)
def test_the_word_is_in_the_result(words, tmp_path):
    files = {name: with_word(tmp_path, name) for name in "ab"}
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / "x.safetensors"
    assert run([*(word.format(**files) for word in words), f"--save_to={target}"]) == 0
    (made,) = target.parent.iterdir()
    torch.testing.assert_close(load_file(made)[KEY].float(), VECTORS)


def test_a_word_that_two_files_have_otherwise_is_refused(tmp_path, capsys):
    first, second = with_word(tmp_path, "a"), with_word(tmp_path, "b", VECTORS + 1)
    for command in (["merge_lora"], ["svd_merge_lora", "--new_rank=2"]):
        more = ["--models", first, second, "--ratios", "0.5", "0.5", f"--save_to={tmp_path / 'x.safetensors'}"]
        assert run([*command, *more]) == 2
        assert "both bring the word frog" in capsys.readouterr().err


def test_a_word_has_a_file_of_its_own_where_the_format_has_no_place_for_it(tmp_path, capsys):
    assert run(["convert_lora", with_word(tmp_path, "a"), "--to=peft", f"--save_to={tmp_path / 'x.safetensors'}"]) == 0
    assert KEY not in load_file(tmp_path / "x.safetensors")
    (vectors,) = embedding_files.load(tmp_path / "x_frog.safetensors")
    assert torch.equal(vectors, VECTORS) and "the word frog has no place in such a file" in capsys.readouterr().err


def test_a_merge_into_a_checkpoint_says_that_the_word_is_left_out(tmp_path, capsys):
    model = toy_checkpoint(tmp_path / "model.safetensors", "base")
    target = tmp_path / "m.safetensors"
    words = [f"--sd_model={model}", "--models", with_word(tmp_path, "a"), "--ratios", "1", f"--save_to={target}"]
    assert run(["merge_lora", *words]) == 0
    assert "no place for the word frog" in capsys.readouterr().err
