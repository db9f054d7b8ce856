"""Whatever a file holds, every reader either reads it or says what is wrong with it by its name, in bounded time.

Seeds are fixed: a failure comes again. To look further, raise COUNT.
"""

from __future__ import annotations

import io
import json
import struct
import time
import zipfile

import pytest
import torch
from safetensors.torch import save

from lora_trainer.api import model_files
from lora_trainer.api.answers import answer
from lora_trainer.errors import InputError, InputErrors, LoraTrainerError
from lora_trainer.modelfile import probe
from lora_trainer.models.weights import open_weights
from lora_trainer.networks import files, key_names
from lora_trainer.options import located
from lora_trainer.runs.control import read_control
from lora_trainer.runs.events import read_events
from lora_trainer.runs.folder import RunFolder
from lora_trainer.runs.progress import ProgressBook
from lora_trainer.sampling.prompts import parse_prompt_file
from lora_trainer.tools import lorafile, metadata

from . import mutations

COUNT = 150
SLOW = 10.0  # seconds for one file; the idle time is some milliseconds
NAME = "lora_unet_down_blocks_0_attentions_0_proj_in"
LORA = {
    f"{NAME}.lora_down.weight": torch.ones(2, 4),
    f"{NAME}.lora_up.weight": torch.ones(4, 2),
    f"{NAME}.alpha": torch.tensor(2.0),
    "unet.mid_block.attentions.0.proj_in.lora_A.weight": torch.ones(2, 4),
    "unet.mid_block.attentions.0.proj_in.lora_B.weight": torch.ones(4, 2),
}
SAID = {"ss_network_dim": "2", "lora_adapter_metadata": json.dumps({"unet.lora_alpha": 4, "unet.alpha_pattern": {"a.b": 1}})}


def safetensors(header: str, data: bytes) -> bytes:
    text = header.encode("utf-8", "surrogatepass")
    return struct.pack("<Q", len(text)) + text + data


def damaged_safetensors():
    whole = save(LORA, SAID)
    length = struct.unpack("<Q", whole[:8])[0]
    header, data = json.loads(whole[8 : 8 + length]), whole[8 + length :]
    yield from mutations.of_bytes(whole, 1, COUNT)
    yield from (safetensors(text, data) for text in mutations.of_table(header, 2, COUNT))
    for odd in (
        "null",
        "[]",
        '"text"',
        mutations.DEEP,
        '{"a":' * 2000 + "1" + "}" * 2000,
        "9" * 5000,
        '"\\ud800"',
        '{"a": NaN}',
    ):
        yield safetensors(
            json.dumps({**header, "__metadata__": 0}).replace('"__metadata__": 0', f'"__metadata__": {odd}'), data
        )
        yield safetensors(odd, data)


def damaged_pickles():
    for legacy in (True, False):
        buffer = io.BytesIO()
        torch.save({"state_dict": LORA}, buffer, _use_new_zipfile_serialization=not legacy)
        yield from mutations.of_bytes(buffer.getvalue(), 3, COUNT)
    pickled = zipfile.ZipFile(buffer).read("archive/data.pkl")
    for changed in mutations.of_bytes(pickled, 4, COUNT):  # checksums fit again
        packed = io.BytesIO()
        with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(packed, "w") as target:
            for entry in source.infolist():
                target.writestr(entry.filename, changed if entry.filename.endswith("data.pkl") else source.read(entry))
        yield packed.getvalue()


def read_all_ways(path):
    """Every way in which a model file is read. Yields what each raises, or None."""
    ways = (files.check_lora, files.load, lorafile.read, files.webui_hash, files.file_hashes, _tensors_of, _edit_metadata)
    for way in ways:
        try:
            way(path)
            yield None
        except LoraTrainerError as error:
            assert path.name in str(error), (way, error)
            yield error


def _tensors_of(path):
    with open_weights(path) as weights:
        for name in weights.shapes:
            weights.tensor(name)


def _edit_metadata(path):
    if path.suffix == ".safetensors":
        metadata.rewrite(path, path.with_name(f"again_{path.name}"), {"a": "b"})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("suffix", "damaged"), [("safetensors", damaged_safetensors), ("ckpt", damaged_pickles), ("safetensors", damaged_pickles)]
)
def test_a_damaged_model_file_is_an_error_with_its_name(tmp_path, suffix, damaged):
    path, outcomes = tmp_path / f"m.{suffix}", []
    for number, content in enumerate(damaged()):
        path.write_bytes(content)
        began = time.perf_counter()
        outcomes += [*read_all_ways(path)]
        info = probe(path)
        assert info.problem and str(path) in info.problem, "no LoRA is a base model"
        row = model_files.loras_view(tmp_path)
        answer({"loras": row})
        assert time.perf_counter() - began < SLOW, f"number {number}"
    assert None in outcomes and sum(outcome is not None for outcome in outcomes) > COUNT, (
        "the damage is neither harmless nor all"
    )


def damaged_texts(text: str, seed: int):
    yield from mutations.of_bytes(text.encode(), seed, 2 * COUNT)
    yield from mutations.ODD_TEXTS
    yield b"a = " + b"[" * 100_000
    yield b"a = " + b"{a = " * 20_000
    yield b"[" * 100_000
    yield b'{"a":' * 100_000
    yield b"a" + b".a" * 50_000 + b" = 1"
    yield b'# "' + b'\\"' * 100_000
    yield b'a = "' + b"\\\\" * 100_000
    yield b"a = " + b"1" * 100_000


TEXTS = {
    "config.toml": 'pretrained = "a.safetensors"\nresolution = "512,512"\nlist = [1, 2]\n[optimizer]\nargs = ["a=1"]\n',
    "config.json": json.dumps({"resolution": 512, "list": [1, {"a": "b"}]}),
    "prompts.toml": '[prompt]\nscale = 7.5\n[[prompt.subset]]\nprompt = "a cat"\nseed = 1\n',
    "prompts.json": json.dumps(["a cat --w 512", {"prompt": "a dog", "width": 512, "scale": 7.5}]),
    "prompts.txt": "a cat --w 512 --h 768 --d 1 --l 7.5 --n bad\n# not this\na dog --s 28\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_damaged_text_is_an_error_with_its_name(tmp_path, name):
    path, failed = tmp_path / name, 0
    read = parse_prompt_file if name.startswith("prompts") else located.read
    for number, content in enumerate(damaged_texts(TEXTS[name], 5)):
        path.write_bytes(content)
        began = time.perf_counter()
        try:
            read(path)
        except (InputError, InputErrors) as error:
            failed += 1
            assert name in str(error), error
            assert len(str(error)) < 20_000, "a message is not the file"
        assert time.perf_counter() - began < SLOW, f"number {number}"
    assert failed > 10


def test_damaged_cards_leave_their_row(tmp_path):
    (tmp_path / "a.safetensors").write_bytes(save(LORA, SAID))
    card = {"activation text": "sls", "preferred weight": 0.8, "description": "x", "sd version": "SD1"}
    contents = [*mutations.of_bytes(json.dumps(card).encode(), 6, COUNT), *map(str.encode, mutations.of_table(card, 7, COUNT))]
    for content in [*contents, mutations.DEEP.encode(), b'{"preferred weight": 1e999, "activation text": "\\ud800"}']:
        (tmp_path / "a.json").write_bytes(content)
        (row,) = model_files.loras_view(tmp_path)
        assert row["name"] == "a" and not row["problem"]
        answer({"loras": [row]})


def test_damaged_files_of_a_run_are_read_as_far_as_they_can_be(tmp_path):
    started = {"type": "started", "time": 1.0, "total_steps": 5, "epochs": 1, "steps_per_epoch": 5, "device": "cpu"}
    step = {"type": "step", "time": 2.0, "step": 1, "epoch": 1, "loss": 0.5, "lr": {"unet": 1e-4}, "seconds_left": 3.0}
    rest = [
        {"type": "phase", "name": "x", "done": 1, "total": 2},
        {"type": "sample", "path": "a.png", "step": 1, "prompt": "x"},
    ]
    lines = [
        started,
        step,
        *rest,
        {"type": "saved", "path": "a.safetensors", "step": 1},
        {"type": "finished", "path": "a", "step": 1},
    ]

    def as_text(lines):
        return "".join(json.dumps(line) + "\n" for line in lines).encode()

    folder, text = RunFolder(tmp_path), as_text(lines)
    changed = [as_text(json.loads(one)) for one in mutations.of_table(lines, 9, COUNT)]
    for content in [*mutations.of_bytes(text, 8, COUNT), *changed, mutations.DEEP.encode() + b"\n" + text]:
        folder.events.write_bytes(content)
        progress, end = ProgressBook().look(folder.events)
        assert end <= len(content) and read_events(folder.events)[1] <= len(content)
        assert progress.seconds_left is None or progress.seconds_left >= 0
        answer({"samples": progress.samples, "files": list(progress.files.values()), "curve": progress.curve.as_dict()})
        for name in ("worker.json", "request.json", "control.json"):
            (tmp_path / name).write_bytes(content)
        assert folder.worker() is None and isinstance(folder.request(), dict) and not read_control(folder.control).stop


def test_keys_of_any_form_are_understood_or_stay(tmp_path):
    shapes = {name: tuple(tensor.shape) for name, tensor in LORA.items()}
    for text in mutations.of_bytes("\n".join(shapes).encode(), 10, COUNT):
        names = dict.fromkeys(text.decode("utf-8", "replace").split("\n"), (2, 4))
        assert key_names.kohya_keys(names).keys() == names.keys()
