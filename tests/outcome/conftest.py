"""The fixtures of tests/training."""

from tests.training.conftest import options_for, pictures

__all__ = ["options_for", "pictures"]
