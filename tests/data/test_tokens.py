"""The counter of tokens agrees with the tokenizer that the training uses, whatever a caption holds."""

import random

import pytest

from lora_trainer.data.plan import tokens

TEXTS = [
    "",
    "a",
    "sls frog, green eyes, sitting on a leaf",
    "1girl, solo, long_hair, (masterpiece:1.2), [bad hands], ;), >_<, :3",
    "It's we'll don't I'VE you're he'd i'm 's",
    "2024 12345 3.14159 100%",
    "supercalifragilisticexpialidocious antidisestablishmentarianism xqzjklw",
    "ein Mädchen mit Hut, café, naïve, Ærøskøbing",
    "개구리 한 마리가 잎에 앉아 있다",
    "一隻青蛙坐在葉子上, カエル, ｆｕｌｌ ｗｉｄｔｈ",
    "emoji 🐸🐸 and ½ ² Ⅷ ٣ …",
    "“curly” ‘quotes’ — dashes – and\tspaces\u00a0here\n\ntwo lines",
    "<|startoftext|>a<|endoftext|> b",
    "a &amp; b &lt;tag&gt;",
    "ALL CAPS WORDS, MiXeD",
    "e\u0301 combining n\u0303",
    "x" * 400,
    "word " * 120,
    "\x01\x02\x03 control",
]


@pytest.fixture(scope="module")
def tokenizer():
    from lora_trainer.models.text_encoders import tokenizer

    return tokenizer()


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_text_has_as_many_tokens_as_the_tokenizer_makes(text, tokenizer):
    assert tokens.count(text) == len(tokenizer(text, truncation=False).input_ids) - 2


def test_so_do_random_texts(tokenizer):
    chance = random.Random(7)
    alphabet = "abcdefghijklmnopqrstuvwxyz ABC 0123456789 .,;:!?'\"()-_/äöüéßñ개구리カエル葉🐸"
    for _ in range(200):
        text = "".join(chance.choice(alphabet) for _ in range(chance.randrange(60)))
        assert tokens.count(text) == len(tokenizer(text, truncation=False).input_ids) - 2, text


def test_the_cut_comes_before_the_word_that_does_not_fit():
    assert tokens.cut("a frog, a leaf") == ("a frog, a leaf", "")
    kept, rest = tokens.cut("word " * 74 + "frog leaf green")
    assert (kept.split()[-1], rest) == ("frog", "leaf green")
    kept, rest = tokens.cut("a " * 74 + "antidisestablishmentarianism")
    assert rest == "antidisestablishmentarianism"
    assert tokens.count(kept) == 74


def test_the_parts_of_a_text_are_the_tokenizers(tokenizer):
    for text in ("sls frog", "xqzvbwkj, 2girls", "개구리"):
        assert tokens.parts(text) == tokenizer.tokenize(text)


def test_common_words_stand_before_rare_ones_in_the_vocabulary():
    assert tokens.rank("frog</w>") < tokens.rank("sls</w>") < tokens.rank("sks</w>")
