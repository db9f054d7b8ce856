"""BLIP and GIT from a folder of transformers' form, random and small, by the real loading code."""

from __future__ import annotations

import pytest
import torch
from transformers import (
    BertTokenizerFast,
    BlipConfig,
    BlipForConditionalGeneration,
    BlipImageProcessor,
    BlipProcessor,
    CLIPImageProcessor,
    GitConfig,
    GitForCausalLM,
    GitProcessor,
)

from lora_trainer import commands
from lora_trainer.captioning import sentences
from lora_trainer.captioning.git import without_read_words

from .small_tagger import captions, write_pictures

WORDS = "a picture of frog on the red green blue hat with is sitting in grass water and tree sky leaf stone".split()  # noqa: SIM905
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]"]


def tokenizer(folder):
    vocabulary = folder / "vocab.txt"
    vocabulary.write_text("\n".join([*SPECIAL, *WORDS]) + "\n")
    names = ["input_ids", "attention_mask"]
    return BertTokenizerFast(str(vocabulary), model_input_names=names, additional_special_tokens=["[DEC]"])


@pytest.fixture(scope="module")
def blip(tmp_path_factory):
    """A BLIP of the real architecture with random numbers, as transformers saves it."""
    torch.manual_seed(5)
    folder = tmp_path_factory.mktemp("blip")
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    text = {**layers, "vocab_size": len(SPECIAL) + len(WORDS), "bos_token_id": 5, "eos_token_id": 3, "sep_token_id": 3}
    text |= {"pad_token_id": 0, "encoder_hidden_size": 32, "projection_dim": 16, "initializer_range": 0.5}
    config = BlipConfig(
        text_config=text,
        vision_config={**layers, "image_size": 32, "patch_size": 8, "initializer_range": 0.5},
        projection_dim=16,
    )
    model = BlipForConditionalGeneration(config)
    with torch.no_grad():  # words and the end alone: marks would not be seen in the text
        model.text_decoder.cls.predictions.bias[[0, 1, 2, 4, 5]] = -1e4
    model.save_pretrained(folder)
    BlipProcessor(BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer(folder)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def git(tmp_path_factory):
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("git")
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    config = GitConfig(
        vision_config={**layers, "image_size": 32, "patch_size": 8}, vocab_size=len(SPECIAL) + len(WORDS), **layers,
        bos_token_id=2, eos_token_id=3, pad_token_id=0, initializer_range=0.5,
    )  # fmt: skip
    GitForCausalLM(config).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    GitProcessor(images, tokenizer(folder)).save_pretrained(folder)
    return folder


def run(images, model, *words, by="make_captions", option="--caption_weights") -> int:
    return commands.run([f"finetune\\{by}.py", str(images), option, str(model), "--device", "cpu", *map(str, words)])


def made(images, model, tmp_path, *words, ending=".caption"):
    for path in images.glob(f"*{ending}"):
        path.unlink()
    assert run(images, model, *words) == 0
    return captions(images, ending)


@pytest.fixture
def images(tmp_path):
    return write_pictures(tmp_path / "images", "red.png", "green.jpg", "blue.png", "white.png")


def test_a_sentence_is_drawn_for_each_picture_whatever_is_in_its_batch(images, blip, tmp_path):
    one = made(images, blip, tmp_path, "--max_length", 14)
    assert set(one) == {"red.caption", "green.caption", "blue.caption", "white.caption"}
    assert all(set(text.split()) <= set(WORDS) and text.strip() for text in one.values())
    assert made(images, blip, tmp_path, "--max_length", 14, "--batch_size", 3) == one
    (images / "green.jpg").unlink()
    fewer = made(images, blip, tmp_path, "--max_length", 14, "--batch_size", 2)
    assert fewer == {name: text for name, text in one.items() if name != "green.caption"}
    assert made(images, blip, tmp_path, "--max_length", 14, "--seed", 43) != fewer
    assert made(images, blip, tmp_path, "--max_length", 14, "--top_p", "0.01") == made(
        images, blip, tmp_path, "--max_length", 14, "--top_p", "0.01", "--seed", 7
    ), "only the likeliest word is left"


def test_beams_lengths_and_endings_do_what_they_say(images, blip, tmp_path):
    beams = made(images, blip, tmp_path, "--beam_search", "--num_beams", 3, "--max_length", 12)
    assert made(images, blip, tmp_path, "--beam_search", "--num_beams", 3, "--max_length", 12, "--seed", 7) == beams
    short = made(images, blip, tmp_path, "--max_length", 7, "--caption_extension", ".txt", ending=".txt")
    assert all(len(text.split()) <= 3 for text in short.values())
    long = made(images, blip, tmp_path, "--max_length", 16, "--min_length", 15)
    assert all(len(text.split()) >= 9 for text in long.values()), long


def test_words_are_drawn_by_their_shares():
    shares = torch.tensor([0.5, 0.3, 0.2])
    drawn = sentences.DrawnByNoise(1, [str(number) for number in range(4000)])(torch.empty(0), shares.log().repeat(4000, 1))
    found = torch.bincount(drawn.argmax(1), minlength=3) / 4000
    assert (found - shares).abs().max() < 4 * (0.25 / 4000) ** 0.5  # four standard errors
    again = sentences.DrawnByNoise(1, ["7"])(torch.empty(0), shares.log()[None])
    assert torch.equal(again[0], drawn[7]), "a picture's noise is its own"
    assert torch.isinf(sentences.DrawnByNoise(1, ["7"])(torch.empty(0), torch.tensor([[0.0, -torch.inf]])))[0, 1]


def test_git_describes_pictures_too(images, git, tmp_path):
    assert run(images, git, "--max_length", 8, "--batch_size", 3, by="make_captions_by_git", option="--model_id") == 0
    found = captions(images, ".caption")
    assert set(found) == {"red.caption", "green.caption", "blue.caption", "white.caption"}
    assert all(0 < len(text.split()) <= 8 for text in found.values())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('a man with the words "hello there" on it', "a man"),
        ("a frog with the number 7 on the shirt in grass", "a frog in grass"),
        ('a red hat that says "frog" on it', "a red hat"),
        ("a tree with a sign that says stop", "a tree"),
        ("a frog with the red hat", "a frog with the red hat"),
        ("the words of a book", "the words of a book"),
    ],
)
def test_words_that_git_claims_to_read_can_be_left_out(text, left):
    assert without_read_words(text) == left


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("model_large_caption.pth", "is one file"),
        ("https://storage.googleapis.com/sfr-vision-language-research/BLIP/models/model_large_caption.pth", "is an address"),
        ("blip.safetensors", "is one file"),
    ],
)
def test_the_original_file_is_answered_with_what_to_give_instead(images, capsys, name, said):
    assert run(images, name) == 2
    told = capsys.readouterr().err
    assert said in told and "Salesforce/blip-image-captioning-large" in told


def test_a_model_of_another_kind_or_damaged_is_refused_in_words(images, git, blip, tmp_path, capsys):
    assert run(images, git) == 1 and "a model of the kind git, expected one of the kind blip" in capsys.readouterr().err
    assert run(images, tmp_path) == 1 and "config.json" in capsys.readouterr().err
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for path in blip.iterdir():
        (damaged / path.name).write_bytes(path.read_bytes()[:2000] if path.suffix == ".safetensors" else path.read_bytes())
    assert run(images, damaged) == 1 and f"{damaged} cannot be used" in capsys.readouterr().err
    assert not captions(images, ".caption")


def test_without_a_network_the_sentence_says_what_to_do(images, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub._is_offline_mode", True)
    assert run(images, "Someone/blip-that-is-not-here") == 1
    told = capsys.readouterr().err
    assert "Someone/blip-that-is-not-here is not on this computer" in told and "give a folder" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--min_length", 80], "min_length is 80"), (["--max_length", 4, "--min_length", 1], "BLIP begins with")],
)
def test_lengths_that_cannot_be_are_refused(images, blip, capsys, words, said):
    assert run(images, blip, *words) == 2 and said in capsys.readouterr().err
