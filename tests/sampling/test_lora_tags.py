import pytest

from lora_trainer.errors import InputError
from lora_trainer.sampling.lora_tags import LoraTag, extract


@pytest.mark.parametrize(
    ("text", "tag"),
    [
        ("<lora:cat>", LoraTag("cat", 1.0, 1.0)),
        ("<lora:cat:0.8>", LoraTag("cat", 0.8, 0.8)),
        ("<lora:cat:0:0.5>", LoraTag("cat", 0.0, 0.5)),
        ("<lora:cat:1:0.5:4>", LoraTag("cat", 1.0, 0.5, 4)),
        ("<lora:cat:te=0.2>", LoraTag("cat", 0.2, 0.2)),
        ("<lora:cat:unet=0.2>", LoraTag("cat", 1.0, 0.2)),
        ("<lora:cat:0.5:unet=0.2:dyn=3>", LoraTag("cat", 0.5, 0.2, 3)),
        ("<lora:cat:unet=0.2:0.5>", LoraTag("cat", 0.5, 0.2)),
        ("<lyco:My cat, v1.2 고양이:-1>", LoraTag("My cat, v1.2 고양이", -1.0, -1.0)),
        ("<lora:a=b:0.5>", LoraTag("a=b", 0.5, 0.5)),
    ],
)
def test_multipliers_of_a_tag(text, tag):
    assert extract(f"a photo {text} of x") == ("a photo  of x", [tag])


def test_several_tags_keep_their_order_and_leave_the_prompt():
    prompt, tags = extract("x<lora:a:0.1>y <lora:b:0.2> (z:1.2)")
    assert prompt == "xy  (z:1.2)"
    assert [tag.name for tag in tags] == ["a", "b"]


@pytest.mark.parametrize("prompt", ["a < b > c", "<3", "<lora>", "(a:1.2)", ""])
def test_a_prompt_without_tags_stays_as_it_is(prompt):
    assert extract(prompt) == (prompt, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<lora:x:abc>", "'abc' is not a number"),
        ("<lora:x:>", "'' is not a number"),
        ("<lora:x:nan>", "'nan' is not a number"),
        ("<lora:x:te=>", "'' is not a number"),
        ("<lora::1>", "name is missing"),
        ("<lora:x:1:1:0>", "dyn is '0'"),
        ("<lora:x:1:1:2:3>", "4 numbers"),
        ("<lora:x:clip=1>", "'clip' is not known"),
        ("<hypernet:x:1>", "'hypernet'"),
        ("<lora:x:1e300>", "'1e300' is larger than any number"),
        ("<lora:x:te=1:unet=-1e39>", "'-1e39' is larger than any number"),
        ("<lora:x:inf>", "'inf' is larger than any number"),
        ("< lora:x:1>", "has a space behind <"),
        ("<lora :x:1>", "has a space behind <"),
        ("<lora:>", "or no name"),
    ],
)
def test_what_the_web_ui_swallows_is_reported(text, message):
    with pytest.raises(InputError) as caught:
        extract(f"a {text} b")
    assert message in str(caught.value) and text in str(caught.value)


@pytest.mark.parametrize("text", ["a circle <lora:x:1", "<lora:x", "a <lyco:x:0.5, and more words", "a < LoRA:x:1"])
def test_a_tag_that_is_never_closed_is_reported(text):
    with pytest.raises(InputError, match="is never closed with >"):
        extract(text)


@pytest.mark.parametrize("tag", ["＜lora：frog：０.８＞", "<lora：frog:1>", "＜ｌｏｒａ:frog＞", "<LoRA：frog"])
def test_a_tag_in_full_width_signs_is_said_and_not_drawn_as_words(tag):
    with pytest.raises(InputError, match="has full-width signs in place of < : >"):
        extract(f"a frog {tag}")
