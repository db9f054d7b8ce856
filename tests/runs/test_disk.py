import pytest

from lora_trainer.runs.disk import size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (1023, "1023 B"), (208_896, "204 KB"), (5_000_000, "4.8 MB"), (499e6, "476 MB"), (5e13, "45.5 TB")],
)
def test_a_size_is_written_as_the_page_writes_it_beside(size, text):
    assert size_text(size) == text
