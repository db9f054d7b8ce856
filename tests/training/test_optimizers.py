"""Optimizers by name, compared with the reference's; refusals that name the option and the nearest known name."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import pytest
import torch
import transformers.optimization  # noqa: F401 - looks for bitsandbytes when it is imported, before there are stand-ins

from lora_trainer.errors import InputError, InputErrors, NotInstalledError
from lora_trainer.installing import extras
from lora_trainer.options.cli import given_options
from lora_trainer.options.optimizer import OptimizerOptions
from lora_trainer.options.optimizer_kinds import OPTIMIZERS, kind_of
from lora_trainer.options.resolve import train_options
from lora_trainer.options.tool_page import TOOLS
from lora_trainer.training import optimizers, python_classes
from lora_trainer.training.arguments import parse_arguments

from .test_update import needs_fused

CASES = json.loads((Path(__file__).parents[1] / "golden" / "optimizers.json").read_text())["cases"]
BUILT = [case for case in CASES if "class" in case]
REFUSED = [case for case in CASES if "error" in case]
# What the reference refuses and we take, and why.
TAKEN = {
    "--fused_backward_pass": "the step of every optimizer that treats its tensors apart can be made for one of them",
    "--optimizer_type AdamW --optimizer_args weight_decay = 0.1": "blanks around the equals sign are no part of the name",
}
PACKAGES = ("bitsandbytes.optim", "lion_pytorch", "dadaptation.experimental", "prodigyopt", "schedulefree")


def groups() -> list[dict]:
    return [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": rate} for rate in (5e-5, 1e-4)]


def build(name: str, args: list[str] = (), **more) -> optimizers.BuiltOptimizer:
    return optimizers.create(name, groups(), learning_rate=1e-4, args=parse_arguments(args, option="optimizer_args"))


def options_of(argv: list[str], *, allow_import: bool = True) -> OptimizerOptions:
    """The options of a recorded command line, with what every training needs."""
    needed = ["--pretrained_model_name_or_path=m", "--train_data_dir=d", "--output_dir=o", "--output_name=n"]
    needed += ["--resolution=64", "--network_module=networks.lora", "--learning_rate=1e-4"]
    given = given_options([*needed, *argv])
    return train_options(given, check_paths=False, allow_import=allow_import).optimizer


@pytest.fixture
def recorded(monkeypatch) -> list[dict]:
    """Stand-ins for the packages that are not part of torch, which note the arguments they are built with."""
    calls: list[dict] = []

    def stand_in(module: str, name: str) -> type:
        def init(self, params, **given):
            calls.append(given)
            torch.optim.Optimizer.__init__(self, params, {"lr": None, **given})

        nothing = {"train": lambda self: None, "eval": lambda self: None, "step": lambda self: None}
        return type(name, (torch.optim.Optimizer,), {"__init__": init, "__module__": module, "__qualname__": name, **nothing})

    for package in PACKAGES:
        parts = package.split(".")
        for depth in range(1, len(parts) + 1):
            monkeypatch.setitem(sys.modules, ".".join(parts[:depth]), types.ModuleType(".".join(parts[:depth])))
    for kind in OPTIMIZERS:
        if kind.package:
            module, _, name = kind.target.rpartition(".")
            setattr(sys.modules[module], name, stand_in(module, name))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    return calls


@pytest.mark.effect("optimizer_type", "optimizer_args", "use_8bit_adam", "use_lion_optimizer")
@pytest.mark.parametrize("case", BUILT, ids=lambda case: " ".join(case["argv"]))
def test_the_class_its_arguments_and_its_name_are_the_references(case, recorded):
    options = options_of(case["argv"])
    parts = types.SimpleNamespace(parameter_groups=lambda text_encoder, unet, both: groups())
    built = optimizers.of(options, parts, lambda event: None)
    told = case["arguments_in_metadata"]
    assert built.description == case["name_in_metadata"] + (f"({told})" if told else "") and not built.warning
    assert f"{type(built.optimizer).__module__}.{type(built.optimizer).__qualname__}" == case["class"]
    found = recorded[0] if recorded else built.optimizer.defaults
    expected = {key: tuple(value) if isinstance(value, list) else value for key, value in case["keyword_arguments"].items()}
    assert {key: found[key] for key in (found if recorded else expected)} == expected
    assert [group["lr"] for group in built.optimizer.param_groups] == case["group_lrs"]
    assert built.makes_its_rate == case["lr_scheduler_after"].startswith("adafactor")


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: " ".join(case["argv"]))
def test_what_the_reference_refuses_is_refused_before_anything_is_loaded(case):
    def check():
        optimizers.check(options_of(case["argv"]))

    if " ".join(case["argv"]) in TAKEN:
        check()
        return
    with pytest.raises((InputError, InputErrors)) as error:
        check()
    problems = error.value.errors if isinstance(error.value, InputErrors) else [error.value]
    assert {one.field for one in problems} <= {"optimizer_type", "optimizer_args", "use_8bit_adam", "use_lion_optimizer"}
    assert all(one.advice or "one of" in one.message or "does not accept" in one.message for one in problems)


def test_every_class_of_torch_is_in_the_table_or_said_to_be_impossible():
    from lora_trainer.options.optimizer_kinds import NOT_POSSIBLE

    found = {name for name in dir(torch.optim) if isinstance(getattr(torch.optim, name), type)} - {"Optimizer", "Adafactor"}
    assert found <= {kind.name for kind in OPTIMIZERS} | set(NOT_POSSIBLE), "decide where a new one belongs"
    for name in NOT_POSSIBLE:
        with pytest.raises(InputError, match="cannot be used: it "):
            build(f"torch.optim.{name}")
    assert build("torch.optim.Adafactor").description.startswith("torch.optim.")


@pytest.mark.parametrize("name", ["os.system", "shutil.rmtree", "nopackage.Opt", "torch.optim.swa_utils.x", "torch.hub.load"])
def test_a_class_of_another_module_is_never_imported_for_a_remote_user(name, monkeypatch):
    monkeypatch.setattr(python_classes.optional_packages, "load", lambda *asked: pytest.fail(f"imported {asked}"))
    for option in ("--optimizer_type", "--lr_scheduler_type"):
        with pytest.raises(InputErrors, match="imported only for who types it on the command line") as error:
            options_of([option, name], allow_import=False)
        assert error.value.errors[0].field == option[2:]


def test_the_local_user_may_name_any_class(tmp_path, monkeypatch):
    (tmp_path / "my_package.py").write_text("import torch\nclass Mine(torch.optim.SGD): pass\nclass Other: pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert build(options_of(["--optimizer_type", "my_package.Mine"]).optimizer_type).description == "my_package.Mine"
    for name, words in (("Other", "no optimizer"), ("Missing", "no class Missing")):
        with pytest.raises(InputError, match=words) as error:
            build(f"my_package.{name}")
        assert error.value.field == "optimizer_type" and error.value.advice


def test_a_misspelt_name_gets_the_nearest_known_one():
    for wrong, right in (("AdamW8bits", "AdamW8bit"), ("Prodgy", "Prodigy"), ("RAdm", "RAdam")):
        with pytest.raises(InputErrors, match=f"Did you mean {right}"):
            options_of(["--optimizer_type", wrong])


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind.full], ids=lambda kind: kind.name)
def test_what_needs_a_card_trains_without_one_as_it_does_in_full_precision_and_says_so(kind, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    built = build(kind.name)
    assert built.description.split("(")[0] == build(kind.full).description.split("(")[0]
    assert kind.name in built.warning and "CUDA" in built.warning and kind.full in built.warning


def test_a_package_that_is_not_there_is_named_with_its_size_and_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "prodigyopt", None)
    monkeypatch.setattr(extras, "own_folder", lambda name: None)
    with pytest.raises(NotInstalledError, match=r"Prodigy needs the package prodigyopt.*11 kB") as error:
        build("prodigy")
    assert "--install_packages" in error.value.advice


@pytest.mark.parametrize(
    ("name", "arg", "said"),
    [
        ("AdamW", "weight_decay=0,1", "weight_decay=0,1: "),
        ("AdamW", "weight_decay='0.1'", "weight_decay='0.1': "),
        ("AdamW", "betas=0.9", "betas=0.9: "),
        ("AdamW", "eps=1e-8,1e-30", "eps=1e-08,1e-30: "),
        ("SGD", "momentum=-1", "momentum=-1: "),
        ("AdamW8bit", "betas=0.9,2", "betas=0.9,2: "),  # without a card AdamW stands in
    ],
)
def test_a_value_that_the_optimizer_does_not_take_is_named_before_anything_is_loaded(name, arg, said):
    with pytest.raises(InputError) as refused:
        optimizers.check(OptimizerOptions(optimizer_type=name, optimizer_args=("maximize=False", arg)))
    assert f"does not accept {said}" in refused.value.message
    assert ("point, not a comma" in refused.value.advice) is (arg == "weight_decay=0,1")


def test_an_argument_that_the_optimizer_has_not_is_refused():
    with pytest.raises(InputError, match="Did you mean 'weight_decay'") as error:
        build("AdamW", ["weight_deca=0.1"])
    assert error.value.field == "optimizer_args"
    with pytest.raises(InputError, match="has no argument 'nesterov'"):
        build("SGDNesterov", ["nesterov=False"])
    with pytest.raises(InputError, match="has no argument 'lr'"):
        build("Prodigy", ["lr=0.1"])
    with pytest.raises(InputError, match="does not accept"):
        build("AdamW", ["betas=2,3"])
    with pytest.raises(InputError, match="does not accept"):
        build("AdamW", ["weight_decay='a lot'"])


def test_the_packages_are_those_that_are_fetched():
    of_tools = {tool.package for tool in TOOLS if tool.package}
    assert {kind.package for kind in OPTIMIZERS if kind.package} | of_tools == set(extras.BY_NAME)
    for kind in OPTIMIZERS:
        assert kind_of(kind.name.lower()) == kind
        assert not kind.package or kind.target.split(".")[0] == extras.BY_NAME[kind.package].module


@pytest.mark.parametrize(
    "cls, told, device, fused",
    [
        (torch.optim.AdamW, {}, "cuda", True),
        (torch.optim.Adam, {"weight_decay": 0.1}, "cuda", True),
        (torch.optim.AdamW, {}, "cpu", False),
        (torch.optim.AdamW, {"foreach": True}, "cuda", False),
        (torch.optim.AdamW, {"capturable": True}, "cuda", False),
        (torch.optim.SGD, {}, "cuda", False),  # its fused kernel fails when a weight first takes part in a later step
    ],
)
def test_on_a_card_adam_changes_all_weights_in_one_launch_unless_a_way_is_chosen(cls, told, device, fused):
    assert optimizers.in_one_launch(cls, told, torch.device(device)) == ({"fused": True} if fused else {})


@needs_fused
def test_the_fused_way_gives_the_same_numbers_to_rounding():
    weights = []
    for args in ([], ["fused=True"]):
        generator, parameters = torch.Generator().manual_seed(2), [torch.nn.Parameter(torch.ones(n, 5)) for n in (3, 40)]
        built = optimizers.create(
            "AdamW",
            [{"params": parameters, "lr": 1e-3}],
            learning_rate=1e-3,
            args=parse_arguments(args, option="optimizer_args"),
        )
        for _ in range(20):
            for parameter in parameters:
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            built.optimizer.step()
        weights.append([parameter.detach() for parameter in parameters])
    for usual, fused in zip(*weights, strict=True):
        torch.testing.assert_close(fused, usual, rtol=1e-5, atol=1e-6)
