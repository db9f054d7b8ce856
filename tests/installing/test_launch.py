"""What `python launch.py WORDS` starts."""

import importlib.util
from pathlib import Path

import pytest

spec = importlib.util.spec_from_file_location("launch", Path(__file__).parents[2] / "launch.py")
launch = importlib.util.module_from_spec(spec)
spec.loader.exec_module(launch)


@pytest.mark.parametrize(
    ("words", "started"),
    [
        ([], ["ui"]),
        (["--port", "7900", "--no-browser"], ["ui", "--port", "7900", "--no-browser"]),
        (["--listen"], ["ui", "--listen"]),
        (["ui", "--port", "1"], ["ui", "--port", "1"]),
        (["train_network", "--help"], ["train_network", "--help"]),
    ],
)
def test_options_without_a_command_are_those_of_the_page(words, started):
    assert launch.command(words) == started
