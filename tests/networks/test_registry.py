"""Which names may be imported, and what is said about others."""

from __future__ import annotations

import sys

import pytest

from lora_trainer.errors import InputError, NotInstalledError
from lora_trainer.networks import registry
from lora_trainer.networks.lora import create_network, create_network_from_weights


@pytest.mark.parametrize("name", ["networks.lora", "lora_trainer.networks.lora"])
def test_lora_is_found_under_the_documents_name_and_ours(name):
    builder = registry.get(name)
    assert builder.create_network is create_network
    assert builder.create_network_from_weights is create_network_from_weights


@pytest.mark.parametrize("name", ["networks.nothing", "os", "lycoris.wrapper", "", None, "networks", "networks/lora.py"])
def test_other_names_are_refused_with_those_that_exist(name):
    with pytest.raises(InputError) as caught:
        registry.get(name)
    assert "networks.lora" in str(caught.value) and caught.value.field == "network_module"


def test_a_third_partys_module_is_imported_only_when_allowed(tmp_path, monkeypatch):
    (tmp_path / "their_network.py").write_text(
        "def create_network(*a, **k): return 1\ndef create_network_from_weights(*a, **k): return 2\n", encoding="utf-8"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError):
        registry.get("their_network")
    assert "their_network" not in sys.modules
    assert registry.get("their_network", allow_import=True).create_network() == 1
    monkeypatch.delitem(sys.modules, "their_network")


def test_allowed_names_that_do_not_exist_or_are_no_networks_are_refused():
    with pytest.raises(NotInstalledError, match="not_there_at_all"):
        registry.get("not_there_at_all.kohya", allow_import=True)
    with pytest.raises(InputError, match="no network module"):
        registry.get("json", allow_import=True)
    with pytest.raises(InputError):
        registry.get("networks.nothing", allow_import=True)
