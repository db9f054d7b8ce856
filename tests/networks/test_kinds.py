"""Every kind of network, from the one table of them: declared whole, checked, built, trained in part, saved and loaded again.

A new kind is tested here without a change.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch

from lora_trainer.errors import InputErrors
from lora_trainer.networks import files, registry
from lora_trainer.options import OPTIONS
from lora_trainer.options.form_spec import block_panel
from lora_trainer.options.network_arguments import parse_network_args
from lora_trainer.options.network_findings import block_findings, network_args_problems
from lora_trainer.options.network_kinds import KINDS, find

ROOT = Path(__file__).parents[2]
EDITOR = {"conv", "plus", "blocks", "ranks", "unit"}


def built(kind, parts, **arguments):
    if kind.name == "lycoris.kohya" and importlib.util.find_spec("lycoris") is None:
        pytest.skip("needs the package lycoris-lora")
    return registry.get(kind.name).create_network(1.0, 4, 2.0, None, *parts, **arguments)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
class TestEachKind:
    def test_every_surface_knows_it(self, kind):
        option = next(option for option in OPTIONS if option.name == "network_module")
        assert kind.name in (option.ready or option.choices)
        assert (option.choice_label(kind.name, "en"), option.choice_label(kind.name, "ko")) == (kind.title, kind.title_ko)
        assert all(kind.name in option.help_in(language) for language in ("en", "ko"))
        assert set(kind.editor) <= EDITOR and block_panel()["kinds"][kind.name] == list(kind.editor)
        assert bool(kind.blocks) == ("blocks" in kind.editor)
        assert registry.NETWORKS[kind.name] == kind.implementation
        assert find(kind.name) is find(f"lora_trainer.{kind.name}") is kind

    def test_its_arguments_are_checked_before_anything_is_loaded(self, kind):
        assert network_args_problems(kind.name, (), 4) == network_args_problems(kind.name, None, None) == []
        (wrong,) = network_args_problems(kind.name, ["no_such_argument=1"], 4)
        assert "no_such_argument" in str(wrong) and wrong.field == "network_args"
        with pytest.raises(InputErrors):
            kind.check({"conv_dim": "many"}, 4)

    def test_weights_per_block_are_looked_at_where_it_has_them(self, kind):
        _, notes = block_findings(kind.name, ["down_lr_weight=1,1"], "sd1")
        assert bool(notes) == bool(kind.blocks)

    def test_it_is_built_trained_in_part_saved_and_loaded_again(self, kind, parts, tmp_path):
        network = built(kind, parts, seed=3)
        network.apply_to(*parts)
        network.start_step(1)
        everything = network.trained_parameters()
        assert {id(p) for p in everything} == {id(p) for p in network.parameters()}
        groups = network.parameter_groups(0.0, 1e-4, None)
        trained = network.trained_parameters()
        assert {id(p) for group in groups for p in group["params"]} == {id(p) for p in trained}
        assert trained and not network.trained_parameters("text_encoder") and len(trained) < len(everything)
        for step in (1, 2, 3):  # whatever a step changes belongs to what is trained
            network.start_step(step)
            asked = {id(p) for p in network.parameters() if p.requires_grad}
            assert asked and asked <= {id(p) for p in trained}
        files.save(tmp_path / "x.safetensors", network.state_dict(), {})
        network.restore()
        again = built(kind, parts, seed=4)
        again.load_weights(tmp_path / "x.safetensors")
        for name, tensor in network.state_dict().items():
            assert torch.equal(again.state_dict()[name], tensor), name

    def test_going_on_with_one_part_says_what_of_the_file_is_left_out(self, kind, parts, tmp_path, caplog):
        whole = built(kind, parts)
        files.save(tmp_path / "x.safetensors", whole.state_dict(), {})
        texts = {name.partition(".")[0] for name in whole.state_dict() if name.startswith("lora_te")}
        network = built(kind, parts)
        network.apply_to(*parts, apply_text_encoder=False)
        with caplog.at_level("WARNING", logger="lora_trainer"):
            report = network.load_weights(tmp_path / "x.safetensors")
        network.restore()
        assert set(report.left_out) == texts and report.loaded and not report.fresh
        assert f"{len(texts)} modules of parts or blocks that are not trained are left out" in caplog.text

    def test_what_is_switched_off_stays_off_when_a_multiplier_is_set(self, kind, parts):
        network = built(kind, parts)
        network.set_enabled(False)
        network.set_multiplier(0.5, 0.25)
        assert {module.multiplier for module in network.adapters()} == {0.0} and network.multiplier == (0.5, 0.25)
        network.set_enabled(True)
        factors = [{module.multiplier for module in network.adapters(part)} for part in ("text_encoder", "unet")]
        assert factors == [{0.5}, {0.25}]


def test_a_kind_that_is_not_known_is_said_and_not_passed_over():
    (wrong,) = network_args_problems("networks.oft", ["a=1"], 4)
    assert wrong.field == "network_module" and all(kind.name in str(wrong) for kind in KINDS)
    assert block_findings("networks.oft", ["down_lr_weight=1,1"], "sd1") == ([], [])


def test_the_page_names_no_kind_but_asks_the_host():
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "lora_trainer" / "ui" / "web").rglob("*.js"))
    assert not [kind.name for kind in KINDS if f'"{kind.name}"' in text]


def test_the_kinds_are_in_their_order_and_the_first_is_the_usual_one():
    assert [kind.name for kind in KINDS][:3] == ["networks.lora", "networks.dylora", "lycoris.kohya"]
    assert parse_network_args(["a = 1"]) == {"a": "1"}
