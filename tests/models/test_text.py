"""Tokens and text states, compared with what the reference recorded."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.models import load, text, text_encoders, words
from tests.tiny import make_parts

GOLDEN = Path(__file__).parents[1] / "golden"
TOKENS = json.loads((GOLDEN / "tokens.json").read_text(encoding="utf-8"))["captions"]
STATES = json.loads((GOLDEN / "text_states.json").read_text(encoding="utf-8"))
CASES = [
    (case["caption"], family, length, case[f"{family}/{length}"])
    for case in TOKENS
    for family in ("sd1", "sd2")
    for length in ("None", "75", "150", "225")
    if f"{family}/{length}" in case
]


@pytest.fixture(scope="module")
def tokenizer():
    return text_encoders.tokenizer()


@pytest.fixture(scope="module")
def tokenizer_that_pads_with_0():
    """SD2's, and SDXL's second one."""
    return text_encoders.tokenizer(pad_with_zero=True)


def rows(recorded: list[dict]) -> list[list[int]]:
    return [row["ids"] + [row["then"][0]] * row["then"][1] for row in recorded]


def test_there_are_cases_of_every_kind():
    assert len(CASES) > 60
    assert {(family, length) for _, family, length, _ in CASES} >= {("sd1", "None"), ("sd1", "150"), ("sd2", "225")}


@pytest.mark.parametrize(("caption", "family", "length", "expected"), CASES, ids=[f"{f}-{n}-{c[:20]}" for c, f, n, _ in CASES])
def test_ids_and_weights_are_the_reference_s(request, tokenizer, caption, family, length, expected):
    if family == "sd2":
        tokenizer = request.getfixturevalue("tokenizer_that_pads_with_0")
    length = None if length == "None" else int(length)
    assert text.tokenize(tokenizer, [caption], length)[0].tolist() == rows(expected["plain"])
    ids, weights = text.tokenize_weighted(tokenizer, [caption], length)
    assert ids[0].tolist() == rows(expected["weighted"])
    for row, runs in zip(weights[0].tolist(), expected["weights"], strict=True):
        assert row == pytest.approx([weight for weight, repeats in runs for _ in range(repeats)], rel=1e-6)


def test_captions_of_a_batch_do_not_change_each_other(tokenizer):
    captions = ["a cat", "", "dog " * 100]
    together = text.tokenize(tokenizer, captions, 150)
    assert together.shape == (3, 2, 77) and together.dtype == torch.int64
    assert all(torch.equal(together[i], text.tokenize(tokenizer, [caption], 150)[0]) for i, caption in enumerate(captions))


def test_padding_with_token_0_leaves_an_exclamation_mark_what_it_is(tokenizer, tokenizer_that_pads_with_0):
    with_end, with_zero = (text.tokenize(t, ["hello! ! a!b"])[0, 0] for t in (tokenizer, tokenizer_that_pads_with_0))
    words = int((with_end == 49407).nonzero()[0])
    assert with_end[: words + 1].tolist() == with_zero[: words + 1].tolist() and 0 not in with_end
    assert with_zero[words + 1 :].unique().tolist() == [0]


def test_tokens_are_counted_without_start_end_and_syntax(tokenizer):
    assert text.count_tokens(tokenizer, "a photo of a cat") == 5
    assert text.count_tokens(tokenizer, "(a cat:1.3)", weighted=True) == 2
    assert text.count_tokens(tokenizer, "word " * 300) == 300


@pytest.mark.parametrize("length", [0, 77, -75])
def test_a_length_that_is_no_multiple_of_75_is_refused(tokenizer, length):
    with pytest.raises(InputError, match=f"max_token_length is {length}, expected a multiple of 75"):
        text.tokenize(tokenizer, ["a"], length)


@pytest.mark.parametrize("case", [case for case in STATES["layout"] if "clip_skip" not in case])
def test_each_position_of_the_states_comes_from_where_the_reference_takes_it(case):
    chunks = (case["max_token_length"] or 75) // 75
    source = 1000.0 * torch.arange(chunks)[:, None] + torch.arange(77)
    joined = text.join_chunks(source[None, :, :, None])
    assert joined.shape == (1, case["positions"], 1)
    expected = [float(value) for first, last in case["runs"] for value in range(int(first), int(last) + 1)]
    assert joined.flatten().tolist() == expected


class FakeEncoder:
    """Hidden states h, h-0.5, h-0.4, h-0.3 and a final norm that adds 0.25; h is the position."""

    device = torch.device("cpu")
    text_model = SimpleNamespace(final_layer_norm=lambda states: states + 0.25)

    def __call__(self, ids, output_hidden_states=False):
        start = torch.arange(77.0).expand(ids.shape)[..., None]
        hidden = (start, start - 0.5, start - 0.4, start - 0.3)
        return SimpleNamespace(last_hidden_state=hidden[-1] + 0.25, hidden_states=hidden if output_hidden_states else None)


def encode(encoder, ids, clip_skip=1):
    return text.join_chunks(text.layer(encoder, ids, clip_skip))


def encode_weighted(encoder, ids, weights, **how):
    return text.join_chunks(text.weigh(text.layer(encoder, ids), weights, **how))


@pytest.mark.parametrize("case", [case for case in STATES["layout"] if "clip_skip" in case])
def test_clip_skip_takes_the_layer_before_and_the_final_norm(case):
    states = encode(FakeEncoder(), torch.zeros(1, 1, 77, dtype=torch.long), case["clip_skip"]).flatten()
    (first, last), *rest = case["runs"]
    assert not rest
    assert states.tolist() == pytest.approx([first + i for i in range(77)], abs=1e-5)
    assert states[-1].item() == pytest.approx(last, abs=1e-5)


@pytest.mark.parametrize("case", STATES["weighted"], ids=lambda case: case["caption"][:20])
def test_weights_multiply_the_states_as_the_reference_does(tokenizer, case):
    ids, weights = text.tokenize_weighted(tokenizer, [case["caption"]], case["max_token_length"])
    plain = encode(FakeEncoder(), ids)
    weighted = encode_weighted(FakeEncoder(), ids, weights)
    factors = (weighted / plain).flatten().tolist()
    assert len(factors) == len(case["factor_at_each_position"])
    assert all(
        b is None or a == pytest.approx(b, rel=1e-5) for a, b in zip(factors, case["factor_at_each_position"], strict=True)
    )


def test_the_mean_is_restored_on_request_in_each_chunk_of_its_own(tokenizer):
    ids, weights = text.tokenize_weighted(tokenizer, ["(cat:1.5) " + "dog " * 100, "dog"], 150)
    plain = encode(FakeEncoder(), ids)
    restored = encode_weighted(FakeEncoder(), ids, weights, restore_mean=True)
    assert torch.allclose(restored[1], plain[1])
    assert not torch.allclose(restored[0, :76], plain[0, :76])
    assert torch.allclose(restored[0, 76:], plain[0, 76:])


def test_chunks_are_encoded_as_if_alone_and_clip_skip_0_layers_off_equals_the_last_layer():
    encoder = make_parts()[2]
    ids = text.tokenize(text_encoders.tokenizer(), ["a cat " * 60], 150)
    with torch.no_grad():
        both = encode(encoder, ids)
        second = encoder(ids[:, 1]).last_hidden_state
        skipped = encode(encoder, ids, 2)
        hidden = encoder(ids[:, 0], output_hidden_states=True).hidden_states[-2]
        assert torch.allclose(both[:, 76:151], second[:, 1:76], atol=1e-6)
        assert torch.allclose(skipped[:, :76], encoder.text_model.final_layer_norm(hidden)[:, :76], atol=1e-6)
        with pytest.raises(InputError, match="clip_skip is 4, but the text encoder has 2 layers"):
            encode(encoder, ids, 4)


def test_a_model_encodes_captions_plain_and_weighted(tiny_sd1):
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    with torch.no_grad():
        plain = model.encode(["a (cat:1.5)", "dog"], max_token_length=225)
        weighted = model.encode(["a (cat:1.5)", "dog"], max_token_length=225, weighted=True)
        assert plain.states.shape == weighted.states.shape == (2, 227, 64)
        assert torch.equal(plain.states[1], weighted.states[1])
        assert torch.allclose(weighted.states[0, 2], 1.5 * model.encode(["a cat"]).states[0, 2], atol=1e-5)


def test_a_text_is_taken_apart_once_however_often_it_comes(tokenizer, monkeypatch):
    first = text.tokenize(tokenizer, ["a frog of a pond that nobody has seen yet", "a frog"])
    monkeypatch.setattr(type(tokenizer), "tokenize", lambda *_, **__: pytest.fail("it is known"))
    again = text.tokenize(tokenizer, ["a frog", "a frog of a pond that nobody has seen yet"])
    assert torch.equal(first.flip(0), again)
    assert words._KNOWN[tokenizer]["a frog"] == tuple(first[1, 0, 1:3].tolist())
