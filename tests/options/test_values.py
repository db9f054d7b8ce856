"""From what was written to values."""

from __future__ import annotations

import pytest

from lora_trainer.options import OPTIONS_BY_NAME
from lora_trainer.options.values import BadValue, convert, nearest


def loose(name, raw):
    return convert(OPTIONS_BY_NAME[name], raw, loose=True)


def strict(name, raw):
    return convert(OPTIONS_BY_NAME[name], raw, loose=False)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("network_dim", "16", 16),
        ("network_dim", 16.0, 16),
        ("network_alpha", "8", 8.0),
        ("learning_rate", "1e-4", 1e-4),
        ("lr_warmup_steps", "100", 100),
        ("lr_warmup_steps", "0.1", 0.1),
        ("cache_latents", "TRUE", True),
        ("cache_latents", "off", False),
        ("cache_latents", True, True),
        ("seed", "", None),
        ("seed", None, None),
        ("vae", "", None),
        ("caption_separator", "", ""),
        ("mixed_precision", "FP16", "fp16"),
        ("optimizer_type", "adamw8bit", "AdamW8bit"),
        ("max_token_length", "150", 150),
        ("network_args", ["conv_dim=4", "conv_alpha=1"], ("conv_dim=4", "conv_alpha=1")),
        ("network_args", 'conv_dim=4 "a=1, 2"', ("conv_dim=4", "a=1, 2")),
        ("network_args", "", None),
        ("text_encoder_lr", ["1e-5", "5e-6"], (1e-5, 5e-6)),
        ("resolution", "512", "512"),
        ("resolution", "512, 768", "512,768"),
        ("resolution", "512x768", "512,768"),
        ("resolution", 512, "512"),
        ("resolution", [512, 768], "512,768"),
    ],
)
def test_texts_from_the_command_line_and_values_from_the_form(name, raw, value):
    result = loose(name, raw)
    assert result == value and type(result) is type(value)


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("network_dim", "abc", "whole number"),
        ("network_dim", "4.0", "whole number"),
        ("network_dim", "0", "smallest allowed value is 1"),
        ("network_dim", "-1", "smallest allowed value is 1"),
        ("network_dim", "99999", "largest allowed value is 2048"),
        ("train_batch_size", "0", "smallest allowed value is 1"),
        ("max_train_steps", "0", "smallest allowed value is 1"),
        ("learning_rate", "-1", "too small"),
        ("learning_rate", "nan", "finite"),
        ("learning_rate", "inf", "finite"),
        ("min_snr_gamma", "-1", "smallest allowed value is 0"),
        ("caption_dropout_rate", "2", "largest allowed value is 1"),
        ("cache_latents", "images", "true or false"),
        ("save_precision", "int8", "float, fp16, bf16"),
        ("save_precision", "fp61", "Did you mean fp16?"),
        ("max_token_length", "100", "75, 150, 225"),
        ("network_module", "networks.nothing", "networks.lora"),
        ("network_module", "networks.dyloha", "networks.dylora"),
        ("optimizer_type", "Nothing", "is not one of"),
        ("optimizer_type", "lions", "Did you mean Lion"),
        ("resolution", "abc", "not a size"),
        ("resolution", "1,2,3", "3 numbers"),
        ("resolution", "5", "between 64 and 8192"),
        ("resolution", True, "not a size"),
        ("network_args", "'a=1", "quotation mark"),
    ],
)
def test_what_an_option_cannot_be_is_refused_with_what_is_expected(name, raw, said):
    with pytest.raises(BadValue, match=said):
        loose(name, raw)


@pytest.mark.parametrize(
    ("name", "raw", "said"),
    [
        ("learning_rate", "1e-4", "Remove the quotes"),
        ("learning_rate", "fast", "is a text"),
        ("network_dim", 8.0, "whole number"),
        ("network_dim", True, "whole number"),
        ("cache_latents", "true", "true or false"),
        ("cache_latents", 1, "true or false"),
        ("vae", "C:\train", "single quotes"),
        ("output_name", True, "put it in quotes"),
    ],
)
def test_types_count_in_a_file(name, raw, said):
    with pytest.raises(BadValue, match=said):
        strict(name, raw)


def test_a_file_may_give_whole_numbers_for_numbers_and_one_value_for_a_list():
    assert strict("network_alpha", 8) == 8.0
    assert strict("text_encoder_lr", 1e-5) == (1e-5,)
    assert strict("network_args", ["conv_dim=4"]) == ("conv_dim=4",)
    assert strict("output_name", 7) == "7"


def test_the_nearest_name_is_found_whatever_the_separators():
    assert nearest("networkdim", OPTIONS_BY_NAME) == "network_dim"
    assert nearest("Learning-Rate", OPTIONS_BY_NAME) == "learning_rate"
    assert nearest("qqqqqq", OPTIONS_BY_NAME) is None
