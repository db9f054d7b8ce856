"""Every option and data set key that is accepted has a test that shows its effect; docs/options.md names it."""

from __future__ import annotations

import pytest

from lora_trainer.options import OPTIONS
from lora_trainer.options.dataset_keys import KEYS
from lora_trainer.options.effects import effects

SHOWN = effects()
ACCEPTED = {option.name for option in OPTIONS if option.supported} | {key.name for key in KEYS.values() if key.option.supported}


@pytest.mark.parametrize("name", sorted(ACCEPTED))
def test_an_accepted_option_has_a_test_that_shows_its_effect(name):
    assert SHOWN.get(name), f"mark the test of what {name} does with @pytest.mark.effect({name!r})"


def test_what_a_test_shows_is_an_option_that_is_accepted():
    assert set(SHOWN) <= ACCEPTED, set(SHOWN) - ACCEPTED


@pytest.mark.parametrize(
    "text",
    [
        'import pytest\npytestmark = pytest.mark.effect("seed")\n',
        "import pytest\n@pytest.mark.effect(NAME)\ndef test_a(): ...\n",
    ],
)
def test_a_marker_that_would_count_for_nobody_is_an_error(text, tmp_path):
    (tmp_path / "test_x.py").write_text(text)
    with pytest.raises(ValueError, match=r"test_x\.py"):
        effects(tmp_path)
