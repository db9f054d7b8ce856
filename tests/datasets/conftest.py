import pytest
from PIL import Image

from lora_trainer.datasets.library import Library


@pytest.fixture
def library(tmp_path):
    library = Library(tmp_path / "user")
    yield library
    library.close()


@pytest.fixture
def folder(tmp_path):
    """Six pictures 0.png to 5.png of 16x8, 24x8, ... with captions `frog, N`; the last has none."""
    folder = tmp_path / "frogs"
    folder.mkdir()
    for number in range(6):
        Image.new("RGB", (16 + 8 * number, 8), (number * 40, 90, 30)).save(folder / f"{number}.png")
        if number < 5:
            (folder / f"{number}.txt").write_text(f"frog, number {number}")
    return folder


@pytest.fixture
def frogs(library, folder):
    """That folder as a data set."""
    return library.open([folder])
