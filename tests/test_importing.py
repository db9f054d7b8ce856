"""While large packages are imported the collector rests; afterwards it is as it was."""

from __future__ import annotations

import gc
import sys
import types

import pytest

from lora_trainer import importing


@pytest.fixture(autouse=True)
def counted(monkeypatch):
    """`gc.freeze` counted and not done: what other tests left behind is to be collected one day."""
    frozen: list[bool] = []
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(gc.isenabled()))
    return frozen


def test_the_collector_rests_while_packages_are_imported_and_leaves_them_alone_afterwards(counted, monkeypatch):
    with importing.undisturbed():
        assert not gc.isenabled()
        for number in range(60):
            monkeypatch.setitem(sys.modules, f"lora_trainer_part_{number}", types.ModuleType("part"))
    assert gc.isenabled()
    assert counted == [False], "frozen before the collector comes, who would walk through all of it"


def test_where_nothing_was_imported_nothing_stays_for_good(counted):
    with importing.undisturbed():
        pass
    assert gc.isenabled() and counted == []


def test_several_may_import_at_once_and_what_fails_leaves_the_collector_at_work(counted):
    with importing.undisturbed():
        with pytest.raises(ImportError), importing.undisturbed():
            import lora_trainer_has_no_such_module  # noqa: F401
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(counted):
    gc.disable()
    try:
        with importing.undisturbed():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
