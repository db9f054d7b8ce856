"""What hardly suits the chosen optimizer or the model's family is said, and nothing is said of what does."""

from __future__ import annotations

import pytest

from lora_trainer.options.doubts import doubts
from lora_trainer.options.family_checks import hints
from lora_trainer.options.optimizer import OptimizerOptions
from lora_trainer.options.optimizer_hints import optimizer_hints
from lora_trainer.options.train import flat
from tests.given import given

RELATIVE = ("scale_parameter=True", "warmup_init=True")
FIXED = ("relative_step=False",)


def fields(**chosen) -> list[str]:
    found = list(optimizer_hints(OptimizerOptions(**chosen)))
    assert all(message.endswith(".") and (not advice or advice.endswith(".")) for _, message, advice in found)
    return [field for field, _, _ in found]


@pytest.mark.effect("optimizer_args", "max_grad_norm", "lr_scheduler")
@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ({}, []),
        ({"optimizer_type": "AdamW", "lr_scheduler": "cosine"}, []),
        # Adafactor as its documents recommend it, both ways, and everything that they warn of
        ({"optimizer_type": "adafactor", "optimizer_args": RELATIVE}, ["learning_rate"]),
        ({"optimizer_type": "AdaFactor", "unet_lr": 1e-4}, ["learning_rate"]),
        ({"optimizer_type": "AdaFactor", "lr_scheduler": "adafactor:1e-4"}, ["learning_rate"]),
        ({"optimizer_type": "AdaFactor", "lr_scheduler": "cosine"}, ["learning_rate", "lr_scheduler"]),
        ({"optimizer_type": "AdaFactor", "lr_warmup_steps": 10}, ["learning_rate", "lr_scheduler"]),
        (
            {"optimizer_type": "AdaFactor", "optimizer_args": (*FIXED, "warmup_init=True")},
            ["optimizer_args", "learning_rate"],
        ),
        (
            {
                "optimizer_type": "AdaFactor",
                "optimizer_args": FIXED,
                "lr_scheduler": "constant_with_warmup",
                "max_grad_norm": 0.0,
            },
            [],
        ),
        ({"optimizer_type": "AdaFactor", "optimizer_args": FIXED}, ["max_grad_norm", "lr_scheduler"]),
        (
            {
                "optimizer_type": "AdaFactor",
                "optimizer_args": (*FIXED, "clip_threshold=2"),
                "lr_scheduler": "constant_with_warmup",
                "max_grad_norm": 0.0,
            },
            ["optimizer_args"],
        ),
        ({"optimizer_type": "Prodigy", "learning_rate": 1.0}, []),
        ({"optimizer_type": "Prodigy", "learning_rate": 1e-4}, ["learning_rate"]),
        ({"optimizer_type": "DAdaptation", "learning_rate": 0.1}, ["learning_rate"]),
        ({"optimizer_type": "DAdaptAdam", "learning_rate": 2e-6, "unet_lr": 1.0, "text_encoder_lr": [0.5]}, []),
        ({"optimizer_type": "Prodigy", "learning_rate": 1.0, "text_encoder_lr": [1e-5]}, ["text_encoder_lr"]),
        ({"optimizer_type": "Prodigy", "learning_rate": 1.0, "unet_lr": 1e-4}, ["unet_lr"]),
        ({"optimizer_type": "AdamWScheduleFree"}, []),
        ({"optimizer_type": "AdamWScheduleFree", "lr_scheduler": "cosine"}, ["lr_scheduler"]),
        ({"optimizer_type": "RAdamScheduleFree", "lr_scheduler_type": "StepLR"}, ["lr_scheduler"]),
        ({"fused_backward_pass": True, "max_grad_norm": 0.0}, []),
        ({"fused_backward_pass": True}, ["max_grad_norm"]),
    ],
)
def test_what_hardly_suits_the_optimizer(chosen, expected):
    assert fields(**{"learning_rate": 1e-4, **chosen}) == expected


@pytest.mark.parametrize(("name", "rate", "wrong"), [("Prodigy", 1.0, False), ("DAdaptation", 5.0, True), ("AdamW", 1.0, True)])
def test_a_rate_of_one_is_right_for_those_that_find_theirs(name, rate, wrong):
    values = flat(given(optimizer_type=name, learning_rate=rate))
    assert any(field == "learning_rate" for field, *_ in doubts(values, images=0, shown=0, total_steps=10)) is wrong


@pytest.mark.parametrize(
    ("chosen", "wrong"),
    [
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 10}, True),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 9}, False),
        ({"lr_scheduler": "cosine", "lr_warmup_steps": 0.9}, False),
        ({"optimizer_type": "Adafactor", "lr_scheduler": "cosine", "lr_warmup_steps": 100}, False),  # has its own schedule
    ],
)
def test_a_warm_up_as_long_as_the_training_is_doubted(chosen, wrong):
    found = doubts(flat(given(**chosen)), images=0, shown=0, total_steps=10)
    assert any(field == "lr_warmup_steps" for field, *_ in found) is wrong


@pytest.mark.parametrize(("rate", "wrong"), [(1e-4, True), (5e-3, False), (0.1, False), (0.5, True)])
def test_an_embeddings_rate_is_another_one_than_a_networks(rate, wrong):
    options = given(trains="embedding", network_module=None, token_string="x", learning_rate=rate)
    assert any(field == "learning_rate" for field, *_ in doubts(flat(options), images=0, shown=0, total_steps=10)) is wrong


@pytest.mark.effect("v_parameterization")
@pytest.mark.parametrize(
    ("kind", "v_parameterization", "said"), [("sd1", True, 1), ("sd1", False, 0), ("sd2", True, 0), ("sdxl", True, 0)]
)
def test_predicting_velocity_with_a_model_of_the_first_version_is_doubted(kind, v_parameterization, said):
    found = list(hints(kind, clip_skip=None, v_parameterization=v_parameterization, sizes=[(1024, 1024)]))
    assert [field for field, _ in found] == ["v_parameterization"] * said
