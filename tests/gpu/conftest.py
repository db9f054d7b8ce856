"""The tests of this folder need a CUDA card: they are marked `gpu` and skipped without one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.training.conftest import options_for, pictures  # noqa: F401 - fixtures

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    without = pytest.mark.skip(reason="needs a CUDA card")
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.gpu)
            if not torch.cuda.is_available():
                item.add_marker(without)
