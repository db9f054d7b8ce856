"""The right torch for the machine is a table."""

from __future__ import annotations

import pytest

from lora_trainer.installing.torch_choice import PYTORCH_INDEX, TORCH, Machine, choose

VERSION = TORCH.split("==")[1]


def index(*wheels: str):
    """A wheel index that knows `wheels` ("cu128/cp311-win_amd64") and does not answer for other builds."""

    def read(url: str) -> str | None:
        build = url.removeprefix(PYTORCH_INDEX).split("/")[0]
        tags = [wheel.split("/")[1] for wheel in wheels if wheel.split("/")[0] == build]
        names = [f"torch-{VERSION}%2B{build}-{tag.split('-')[0]}-{tag}.whl" for tag in tags]
        return "".join(f'<a href="/{build}/{name}">{name}</a>' for name in names) or None

    return read


TABLE = [
    # system, cuda of the driver, what the indexes have, override -> index
    ("Windows", (12, 8), ["cu128/cp311-win_amd64", "cu126/cp311-win_amd64"], "auto", PYTORCH_INDEX + "cu128"),
    ("Windows", (13, 1), ["cu130/cp311-win_amd64", "cu128/cp311-win_amd64"], "auto", PYTORCH_INDEX + "cu130"),
    ("Windows", (12, 8), ["cu126/cp311-win_amd64"], "auto", PYTORCH_INDEX + "cu126"),  # the fitting index has no such wheel
    ("Windows", (12, 8), ["cu128/cp310-win_amd64", "cu126/cp311-win_amd64"], "auto", PYTORCH_INDEX + "cu126"),  # other Python
    ("Windows", (12, 8), [], "auto", PYTORCH_INDEX + "cu128"),  # no index answers: pip shall say what is wrong
    ("Windows", (11, 0), [], "auto", PYTORCH_INDEX + "cu126"),
    ("Windows", None, ["cpu/cp311-win_amd64"], "auto", PYTORCH_INDEX + "cpu"),
    ("Windows", None, [], "auto", None),
    ("Linux", (12, 8), ["cpu/cp311-manylinux_2_28_x86_64"], "auto", None),
    ("Linux", None, ["cpu/cp311-manylinux_2_28_x86_64"], "auto", PYTORCH_INDEX + "cpu"),
    ("Linux", None, ["cpu/cp311-win_amd64"], "auto", None),
    ("Linux", None, [], "auto", None),
    ("Darwin", None, [], "auto", None),
    ("Linux", (12, 8), ["cpu/cp311-manylinux_2_28_x86_64"], "cpu", PYTORCH_INDEX + "cpu"),
    ("Windows", None, ["cu126/cp311-win_amd64"], "cuda", PYTORCH_INDEX + "cu126"),
    ("Windows", (12, 8), ["cu128/cp311-win_amd64"], "pypi", None),
    ("Linux", None, [], "https://example.org/whl/rocm", "https://example.org/whl/rocm"),
]


@pytest.mark.parametrize(("system", "cuda", "wheels", "override", "expected"), TABLE)
def test_the_build_fits_the_machine(system, cuda, wheels, override, expected):
    choice = choose(Machine(system, "x86_64", cuda, (3, 11)), override, index(*wheels))
    assert choice.index == expected
    assert choice.requirement == TORCH
    assert choice.pip_arguments() == [TORCH] + (["--index-url", expected] if expected else [])
    assert choice.size and choice.reason


def test_an_unknown_override_names_the_choices():
    with pytest.raises(ValueError, match="cuda11.*auto, cuda, cpu, pypi"):
        choose(Machine("Linux", "x86_64", None, (3, 11)), "cuda11", index())
