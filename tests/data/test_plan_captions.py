"""Captions are found, read and changed as the reference does it (golden/captions.json)."""

import json
from pathlib import Path
from random import Random

import pytest

from lora_trainer.data.plan.captions import find_caption, process_caption, read_caption
from lora_trainer.errors import InputError
from lora_trainer.options.dataset_config import SubsetSpec

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "captions.json").read_text(encoding="utf-8"))
PROCESSING = [case for case in GOLDEN["processing"] if "repl" not in case]


def results(case, runs):
    options = SubsetSpec(image_dir=Path("x"), **case["options"])
    return [
        process_caption(
            case["caption"],
            options,
            Random(seed),
            epoch=case.get("epoch", 1),
            step=case.get("step", 0),
            max_train_steps=100,
        )
        for seed in range(runs)
    ]


@pytest.mark.parametrize("case", PROCESSING, ids=lambda case: case["name"])
def test_processing_gives_the_references_results(case):
    seen = results(case, 20 if "result" in case else 400)
    if "result" in case:
        assert set(seen) == {case["result"]}
    if "possible_results" in case:
        assert set(seen) == set(case["possible_results"])
    if "multiset_when_split_by_comma_space" in case:
        assert all(sorted(text.split(", ")) == sorted(case["multiset_when_split_by_comma_space"]) for text in seen)
        assert all(text.startswith(case["common_prefix"]) and text.endswith(case["common_suffix"]) for text in seen)
        assert len(set(seen)) >= 0.8 * min(case["distinct_results_seen"], 400 * 0.7)


def test_a_dropout_rate_drops_that_share():
    kept = [text for text in results({"caption": "a", "options": {"caption_dropout_rate": 0.25}}, 2000) if text]
    assert len(kept) == pytest.approx(1500, abs=80)


def test_tag_dropout_spares_kept_tokens_and_drops_that_share_of_the_others():
    case = {"caption": "k, a, b, c, d", "options": {"caption_tag_dropout_rate": 0.5, "keep_tokens": 1}}
    texts = [text.split(", ") for text in results(case, 1000)]
    assert all(tags[0] == "k" for tags in texts)
    assert sum(len(tags) - 1 for tags in texts) == pytest.approx(2000, abs=130)


def test_the_same_generator_state_gives_the_same_caption():
    case = {"caption": "a, b, c, d, e", "options": {"shuffle_caption": True}}
    assert results(case, 50) == results(case, 50)


def test_doubled_braces_are_braces():
    case = {"caption": "{{x}} {a|a}", "options": {"enable_wildcard": True}}
    assert set(results(case, 5)) == {"{x} a"}


@pytest.mark.parametrize("case", GOLDEN["caption_files"], ids=lambda case: case["name"])
def test_an_image_gets_the_references_caption_file(case, tmp_path):
    for name, text in case["files"].items():
        data = bytes.fromhex(text.rsplit(" ", 1)[1]) if text.startswith("bytes hex") else text.encode()
        (tmp_path / name).write_bytes(data)
    name = find_caption(case["image"], case["caption_extension"], set(case["files"]))
    if "error" in case:
        with pytest.raises(InputError) as caught:
            read_caption(tmp_path / name, enable_wildcard=case["enable_wildcard"])
        assert name in caught.value.where
    elif name is None:
        assert case["caption"] == (case["class_tokens"] or "")
    else:
        assert read_caption(tmp_path / name, enable_wildcard=case["enable_wildcard"]) == case["caption"]


def test_a_byte_order_mark_is_no_part_of_the_caption(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa cat")
    assert read_caption(tmp_path / "a.txt") == "a cat"


def test_a_wrong_encoding_names_file_and_byte_and_says_what_to_do(tmp_path):
    (tmp_path / "a.txt").write_bytes("개구리".encode("cp949"))
    with pytest.raises(InputError, match=r"a\.txt.*byte 0xb0 at position 0.*UTF-8"):
        read_caption(tmp_path / "a.txt")
