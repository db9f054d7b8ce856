import pytest
import torch

from lora_trainer.models.conditioning import Conditioning
from lora_trainer.sampling import conditioning
from lora_trainer.sampling.prompt_parts import composed


@pytest.fixture(scope="module")
def tokenizer(loaded):
    return loaded.tokenizers[0]


def words(tokenizer, ids):
    """The tokens of one chunk, without start, end and padding."""
    row = ids.tolist()
    return tokenizer.convert_ids_to_tokens(row[1 : row.index(tokenizer.eos_token_id)])


def test_a_short_prompt_is_one_chunk_padded_with_the_end(tokenizer):
    ids, weights = conditioning.tokenize(tokenizer, "a (cat:1.5)")
    assert ids.shape == weights.shape == (1, 77)
    assert ids[0, :4].tolist() == [49406, 320, 2368, 49407] and set(ids[0, 4:].tolist()) == {49407}
    assert weights[0, :4].tolist() == [1.0, 1.0, 1.5, 1.0]


def test_the_empty_prompt_is_one_chunk(tokenizer):
    assert conditioning.tokenize(tokenizer, "")[0].shape == (1, 77)


def test_a_long_prompt_without_commas_is_cut_after_75_tokens(tokenizer):
    ids, _ = conditioning.tokenize(tokenizer, "x " * 76)
    assert [len(words(tokenizer, row)) for row in ids] == [75, 1]


def test_a_full_chunk_is_cut_after_a_near_comma_and_the_weights_move_along(tokenizer):
    ids, weights = conditioning.tokenize(tokenizer, "x " * 60 + ", " + "(y:2)" + " y" * 20)
    first, second = (words(tokenizer, row) for row in ids)
    assert first == ["x</w>"] * 60 + [",</w>"]
    assert second == ["y</w>"] * 21
    assert weights[0].tolist() == [1.0] * 77
    assert weights[1, :3].tolist() == [1.0, 2.0, 1.0]


def test_a_comma_that_is_too_far_back_does_not_cut(tokenizer):
    ids, _ = conditioning.tokenize(tokenizer, "x " * 50 + ", " + "y " * 30)
    assert [len(words(tokenizer, row)) for row in ids] == [75, 6]


def test_break_ends_a_chunk_also_inside_brackets(tokenizer):
    ids, weights = conditioning.tokenize(tokenizer, "(a BREAK b:2) BREAK")
    assert [words(tokenizer, row) for row in ids] == [["a</w>"], ["b</w>"]]
    assert weights[1, 1] == 2.0
    assert [words(tokenizer, row) for row in conditioning.tokenize(tokenizer, "BREAKFAST")[0]] == [["breakfast</w>"]]


def test_chunks_are_encoded_alone_and_joined_whole(loaded):
    with torch.no_grad():
        both = conditioning.encode(loaded, "a cat BREAK a dog").states
        parts = [conditioning.encode(loaded, text).states for text in ("a cat", "a dog")]
    assert both.shape[1] == 154
    assert torch.allclose(both, torch.cat(parts, dim=1), atol=1e-6)


def test_a_weight_multiplies_its_token_and_the_mean_is_restored(loaded):
    with torch.no_grad():
        plain = conditioning.encode(loaded, "a cat dog").states[0]
        heavy = conditioning.encode(loaded, "a (cat:1.5) dog").states[0]
    expected = plain.clone()
    expected[2] *= 1.5
    expected *= plain.mean() / expected.mean()
    assert torch.allclose(heavy, expected, atol=1e-5)


def test_clip_skip_takes_an_earlier_layer(loaded):
    with torch.no_grad():
        last, before = (conditioning.encode(loaded, "a cat", layer).states for layer in (1, 2))
        assert not torch.allclose(last, before)


def test_sizes_that_are_given_go_before_the_pictures_own():
    told = Conditioning(torch.zeros(1, 77, 8))
    assert conditioning.with_sizes(told, 64, 72, {}, negative=False).sizes.tolist() == [[64, 72, 0, 0, 64, 72]]
    sizes = {"original_height": 900, "original_width": 800, "original_width_negative": 5, "crop_top": 1, "crop_left": 2}
    assert conditioning.with_sizes(told, 64, 72, sizes, negative=False).sizes.tolist() == [[900, 800, 1, 2, 64, 72]]
    assert conditioning.with_sizes(told, 64, 72, sizes, negative=True).sizes.tolist() == [[900, 5, 1, 2, 64, 72]]


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a cat", [("a cat", 1.0)]),
        ("the ratio 16:9", [("the ratio 16:9", 1.0)]),
        ("a cat AND a dog", [("a cat", 1.0), (" a dog", 1.0)]),
        ("a cat :1.2 AND a (dog:1.3) : -.5 AND b", [("a cat", 1.2), (" a (dog:1.3)", -0.5), (" b", 1.0)]),
        ("SAND AND\nIRELAND", [("SAND", 1.0), ("\nIRELAND", 1.0)]),
    ],
)
def test_and_parts_a_prompt(prompt, parts):
    assert composed(prompt) == parts


def test_a_long_run_of_spaces_in_a_part_takes_no_time():
    assert composed("a" + " " * 200_000 + "b AND c") == [("a" + " " * 200_000 + "b", 1.0), (" c", 1.0)]
