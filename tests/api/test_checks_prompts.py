"""`check` refuses the sample prompts that the worker would refuse half a minute later."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lora_trainer.api import trying
from lora_trainer.errors import InputErrors
from lora_trainer.sampling import sample_requests
from lora_trainer.sampling.prompts import parse_prompt_file, parse_prompt_text

LINES = ["a frog --steps 30", "a frog --w abc", "a frog --ss nonsense", "a <lora:x:1> frog", "a frog --g 3"]


@pytest.mark.parametrize("line", LINES)
def test_a_text_and_its_file_are_read_alike(tmp_path, line):
    file = tmp_path / "prompts.txt"
    text = f"# first\nfine --w 64\n{line}\n"
    file.write_text(text)
    said = []
    for read in (lambda: parse_prompt_file(file), lambda: parse_prompt_text(text, str(file))):
        with pytest.raises(InputErrors) as wrong:
            sample_requests.check(read())
        said.append(str(wrong.value))
    assert said[0] == said[1] and f"{file}:3" in said[0]


def test_reading_prompts_needs_no_torch():
    code = "import sys, lora_trainer.api.checks; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("words", "captions", "expected"),
    [
        ("sls frog", ["on a leaf", "a sls frog, pond"], ""),  # another caption says them than the first
        ("sls frog", ["Frog SLS, pond"], ""),
        ("sls frog, zwx toad", ["a zwx toad"], ""),
        ("sls frog", ["on a leaf", "pond"], "sls frog, on a leaf"),  # the words stay in front
        ("sls frog", ["x" * 400], ""),
        ("sls frog", ["one\ntwo"], ""),
        ("sls frog", [], ""),
        ("", ["a frog on a leaf"], "a frog on a leaf"),
    ],
)
def test_a_lora_is_tried_with_the_words_that_call_it_up(words, captions, expected):
    assert trying.prompt(words, captions) == expected
