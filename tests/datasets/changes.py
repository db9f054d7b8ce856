"""What the tests of changes of data sets do and look at."""

from lora_trainer.datasets.edits import read_edit

ADD = {"kind": "add", "tags": ["sls"], "at": "start"}


def texts(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix == ".txt"}


def do(library, dataset, edit, names=None, **more):
    ids = [one.id for one in dataset.in_order() if names is None or one.name in names]
    return library.edit(dataset, read_edit(edit), ids, **more)


def captions(dataset):
    return {one.name: one.caption.text for one in dataset.in_order()}


def hidden(folder):
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]
