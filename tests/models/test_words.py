"""Words that a model did not know: found in captions as the Web UI finds them, read by the text encoders, forgotten again."""

from __future__ import annotations

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.models import load, text, words
from lora_trainer.sampling import conditioning


@pytest.fixture
def model(tiny_sd1):
    return load(tiny_sd1, dtype=torch.float32, device="cpu")


def vectors(model, count: int, seed: int = 0) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return [torch.randn((count, one.get_input_embeddings().weight.shape[1]), generator=draw) for one in model.text_encoders]


def test_an_added_word_is_read_where_its_tokens_stand_in_either_case(model):
    words.teach(model, "sls-frog", vectors(model, 3))
    tokenizer = model.tokenizers[0]
    found = [len(unit) for unit in words.units(tokenizer, "a SLS-frog, sls frog and sls-frogs")]
    assert found.count(3) == 1, "the name alone means it"
    assert text.count_tokens(tokenizer, "a sls-frog") == 4
    ids = text.tokenize(tokenizer, ["a sls-frog"])[0, 0]
    assert ids[2:5].tolist() == [words.FIRST, words.FIRST + 1, words.FIRST + 2]


def test_of_words_that_begin_alike_the_longer_one_is_meant(model):
    words.teach(model, "red", vectors(model, 1))
    words.teach(model, "red frog", vectors(model, 2, 1))
    units = words.units(model.tokenizers[0], "red frog red")
    assert units == [(words.FIRST + 1, words.FIRST + 2), (words.FIRST,)]


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_the_text_states_are_those_of_the_tokens_whose_vectors_were_taken(tiny_model, family):
    """A word made of the vectors of two tokens says what the two tokens say, and forgotten it is an ordinary word again."""
    model = load(tiny_model(family), dtype=torch.float32, device="cpu")
    before = model.encode(["a qqq on grass"])
    wanted = model.encode(["a red frog on grass"])
    made, note = words.start_vectors(model, "red frog", 2, 0)
    words.teach(model, "qqq", made)
    told = model.encode(["a qqq on grass"])
    assert torch.equal(told.states, wanted.states) and not torch.equal(told.states, before.states) and not note
    assert (told.pooled is None) or torch.equal(told.pooled, wanted.pooled)
    words.forget(model, "qqq")
    assert torch.equal(model.encode(["a qqq on grass"]).states, before.states)
    assert type(model.tokenizers[0]).__name__ == "CLIPTokenizer"


def test_gradients_reach_the_vectors_and_nothing_else(model):
    parameters = [torch.nn.Parameter(one) for one in vectors(model, 2)]
    words.teach(model, "qqq", parameters)
    model.encode(["a qqq"]).states.square().mean().backward()
    assert parameters[0].grad is not None and bool(parameters[0].grad.abs().sum() > 0)
    assert all(parameter.grad is None for encoder in model.text_encoders for parameter in encoder.parameters())


def test_a_word_stays_in_one_chunk_of_a_prompt(model):
    words.teach(model, "qqq", vectors(model, 6))
    ids, weights = conditioning.tokenize(model.tokenizers[0], "a " * 72 + "(qqq:1.5) b")
    assert ids.shape[0] == 2 and ids[1, 1:7].tolist() == list(range(words.FIRST, words.FIRST + 6))
    assert weights[1, 1:7].tolist() == [1.5] * 6 and int((ids[0] >= words.FIRST).sum()) == 0


def test_a_start_word_with_fewer_tokens_is_repeated_and_one_with_more_is_cut_and_said(model):
    (one,), note = words.start_vectors(model, "frog", 3, 0)
    assert torch.equal(one[0], one[2]) and not note
    (cut,), note = words.start_vectors(model, "red frog", 1, 0)
    assert len(cut) == 1 and "2 tokens" in note
    drawn = [words.start_vectors(model, None, 2, seed)[0][0] for seed in (0, 0, 1)]
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])
    with pytest.raises(InputError, match="no token"):
        words.start_vectors(model, "  ", 1, 0)


def test_vectors_of_another_family_are_refused(model):
    with pytest.raises(InputError, match="numbers for a token"):
        words.teach(model, "qqq", [torch.zeros(2, 7)])
    with pytest.raises(InputError, match="is no word"):
        words.teach(model, " ", vectors(model, 1))
