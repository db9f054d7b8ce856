import pytest

from lora_trainer.datasets.store import Store
from lora_trainer.errors import LoraTrainerError


def test_a_full_disk_is_told_as_such_and_the_store_goes_on_when_there_is_room(tmp_path):
    store = Store(tmp_path / "datasets.db")
    (pages,) = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")  # a full disk ends SQLite's transaction by itself
    with pytest.raises(LoraTrainerError, match="disk is full"):
        for number in range(200):
            store.folder_id(tmp_path / ("x" * 200) / str(number))
    store._db.execute("PRAGMA max_page_count = 100000")
    assert store.folder_id(tmp_path / "roomy") == store.folder_id(tmp_path / "roomy")
