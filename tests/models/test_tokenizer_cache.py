"""tokenizer_cache_dir: the tokenizer that lies there is used; where none does, ours is put there."""

from __future__ import annotations

import json

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.models import load, tokenizer_cache


@pytest.fixture
def model(tiny_sd1):
    return load(tiny_sd1, dtype=torch.float32, device="cpu")


@pytest.mark.effect("tokenizer_cache_dir")
def test_a_tokenizer_is_kept_there_and_used_the_next_time(model, tiny_sd1, tmp_path):
    cache = tmp_path / "made" / "tokenizers"
    tokenizer_cache.use(model, str(cache))
    kept = cache / "openai_clip-vit-large-patch14"
    assert [path.name for path in cache.iterdir()] == [kept.name], "nothing half written beside it"
    again = load(tiny_sd1, dtype=torch.float32, device="cpu")
    words = "sls frog, (wearing: a hat)"
    assert again.tokenizers[0].tokenize(words) == model.tokenizers[0].tokenize(words)

    table = json.loads((kept / "vocab.json").read_text(encoding="utf-8"))
    table["frog</w>"], table["cat</w>"] = table["cat</w>"], table["frog</w>"]  # a vocabulary that somebody changed
    (kept / "vocab.json").write_text(json.dumps(table), encoding="utf-8")
    before = again.encode(["a frog"]).states
    tokenizer_cache.use(again, str(cache))
    assert torch.equal(again.encode(["a cat"]).states, before)
    assert again.tokenizers[0].pad_token_id == model.tokenizers[0].pad_token_id


@pytest.mark.parametrize("family", ["sd2-linear", "sdxl"])
def test_each_family_has_its_own_folders(tiny_model, tmp_path, family):
    made = load(tiny_model(family), dtype=torch.float32, device="cpu")
    tokenizer_cache.use(made, str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(tokenizer_cache.FOLDERS[made.family.name])
    wanted = [one.pad_token_id for one in made.tokenizers]
    states = made.encode(["a frog"]).states
    tokenizer_cache.use(made, str(tmp_path))
    assert [one.pad_token_id for one in made.tokenizers] == wanted
    assert torch.equal(made.encode(["a frog"]).states, states)


@pytest.mark.parametrize(
    ("vocabulary", "told"),
    [("{", "cannot be read"), ("[]", "cannot be read"), ('{"<|startoftext|>": 49406, "<|endoftext|>": 99999}', "99999")],
)
def test_a_damaged_one_is_named(model, tmp_path, vocabulary, told):
    folder = tmp_path / "openai_clip-vit-large-patch14"
    folder.mkdir()
    (folder / "vocab.json").write_text(vocabulary)
    (folder / "merges.txt").write_text("#version: 0.2\n")
    with pytest.raises(InputError, match=told) as found:
        tokenizer_cache.use(model, str(tmp_path))
    assert str(folder) in str(found.value) and found.value.field == "tokenizer_cache_dir"
