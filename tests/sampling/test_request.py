import pytest

from lora_trainer.errors import InputErrors
from lora_trainer.sampling.request import ImageRequest, from_mapping, infotext


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"width": 500}, "width is 500, no multiple of 8. Choose 496."),
        ({"width": 8}, "width is 8; expected 64 to 4096"),
        ({"height": "512"}, "height is '512'; expected a whole number"),
        ({"height": 512.0}, "expected a whole number"),
        ({"steps": 0}, "steps is 0; expected 1 to 1000"),
        ({"steps": 1001}, "1 to 1000"),
        ({"steps": True}, "expected a whole number"),
        ({"cfg_scale": float("nan")}, "cfg_scale is nan; expected a number"),
        ({"seed": -2}, "seed is -2"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"clip_skip": 0}, "clip_skip is 0"),
        ({"prompt": None}, "prompt is None; expected text"),
        ({"promt": "a"}, "'promt' is not known. Did you mean prompt?"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(values, message):
    with pytest.raises(InputErrors) as caught:
        from_mapping(values)
    assert message in str(caught.value)


def test_all_wrong_values_are_reported_together():
    with pytest.raises(InputErrors) as caught:
        from_mapping({"width": 3, "steps": 0, "bogus": 1})
    assert {error.field for error in caught.value.errors} == {"width", "steps", "bogus"}


def test_seed_minus_one_is_drawn_anew_each_time():
    seeds = {ImageRequest().with_seed().seed for _ in range(4)}
    assert len(seeds) == 4 and all(0 <= seed < 2**32 for seed in seeds)
    assert ImageRequest(seed=5).with_seed().seed == 5


def test_the_text_of_a_picture_has_the_form_that_the_web_ui_reads():
    request = ImageRequest(
        prompt="a frog <lora:sls:0.8>",
        negative_prompt="bad,\nugly",
        width=640,
        height=384,
        steps=12,
        cfg_scale=7.0,
        clip_skip=2,
    )
    text = infotext(
        request, 9, label="Euler a", schedule="Automatic", model="v1,5", loras={"sls": "0123456789ab", "b,c": "f" * 12}
    )
    assert text == (
        "a frog <lora:sls:0.8>\nNegative prompt: bad,\nugly\n"
        "Steps: 12, Sampler: Euler a, Schedule type: Automatic, CFG scale: 7, Seed: 9, Size: 640x384, "
        'Model: "v1,5", Clip skip: 2, RNG: CPU, Lora hashes: "sls: 0123456789ab, bc: ffffffffffff"'
    )
