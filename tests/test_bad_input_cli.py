"""What somebody at the command line sees for bad input: a message that names the place and what to do, the exit status,
no traceback, and nothing loaded or lost. Each case changes a small valid command that would train."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from PIL import Image

from lora_trainer import commands

SD_UNET, SD_TEXT = "model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.text_model.x"


class Place(NamedTuple):
    """A folder of one test, and the tiny checkpoint."""

    root: Path
    base: Path

    def images(self, number: int = 2, *, name: str = "data/1_cat", size: tuple[int, int] = (64, 64)) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(number):
            Image.effect_noise(size, 60).convert("RGB").save(folder / f"{index}.png")
        return folder

    def file(self, name: str, content: str | bytes) -> str:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return str(path)

    def header(self, name: str, *tensors: str, shape: tuple[int, ...] = (0,)) -> str:
        size = 2
        for side in shape:
            size *= side
        entries = {
            t: {"dtype": "F16", "shape": shape, "data_offsets": [i * size, (i + 1) * size]} for i, t in enumerate(tensors)
        }
        text = json.dumps(entries).encode()
        return self.file(name, len(text).to_bytes(8, "little") + text + bytes(size * len(tensors)))


class Trap:
    """Unpickled by anything that runs code, it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def image(content: Callable[[Path], object]) -> Callable[[Place], dict[str, Any]]:
    """A case with one more file in the image folder: `content` gets its path, `9.png`."""

    def prepare(place: Place) -> dict[str, Any]:
        content(place.images() / "9.png")
        return {}

    return prepare


def caption(content: bytes) -> Callable[[Place], dict[str, Any]]:
    def prepare(place: Place) -> dict[str, Any]:
        (place.images() / "1.txt").write_bytes(content)
        return {"caption_extension": ".txt"}

    return prepare


def data_file(text: str, name: str = "set.toml") -> Callable[[Place], dict[str, Any]]:
    def prepare(place: Place) -> dict[str, Any]:
        content = text.replace("FOLDER", place.images().as_posix())
        return {"train_data_dir": None, "dataset_config": place.file(name, content)}

    return prepare


def metadata(text: str) -> Callable[[Place], dict[str, Any]]:
    return lambda place: {"train_data_dir": str(place.images()), "in_json": place.file("m.json", text)}


def config(text: str) -> Callable[[Place], dict[str, Any]]:
    return lambda place: {"config_file": place.file("run.toml", text)}


def base(make: Callable[[Place], str]) -> Callable[[Place], dict[str, Any]]:
    return lambda place: {"pretrained_model_name_or_path": make(place)}


def prompts(text: str | bytes, name: str = "prompts.txt") -> Callable[[Place], dict[str, Any]]:
    return lambda place: {"sample_prompts": place.file(name, text), "sample_every_n_steps": "1"}


def cut_png(path: Path) -> None:
    Image.effect_noise((64, 64), 60).save(path)
    path.write_bytes(path.read_bytes()[:900])


def huge_png(path: Path) -> None:
    Image.new("1", (30_000, 16)).save(path)


def own_folder(name: str) -> Callable[[Place], dict[str, Any]]:
    def prepare(place: Place) -> dict[str, Any]:
        (place.root / name).mkdir(parents=True)
        return {"train_data_dir": str((place.root / name).parent)}

    return prepare


QUOTED = "'cat'"
SUBSET = "[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = 'FOLDER'\nclass_tokens = 'cat'\n"
CASES: dict[str, tuple[Callable[[Place], dict[str, Any]], list[str]]] = {
    # images and captions
    "missing folder": (lambda place: {"train_data_dir": str(place.root / "nope")}, ["--train_data_dir", "does not exist"]),
    "empty folder": (own_folder("empty/.x"), ["is empty", "10_sls frog"]),
    "no images": (own_folder("none/1_cat"), ["1_cat: the folder has no images", "png, jpg"]),
    "repeats without end": (
        lambda place: {"train_data_dir": str(place.images(name="many/1000000000_cat").parent)},
        ["2,000,000,000 images", "Lower the repeats"],
    ),
    "images without a folder": (
        lambda place: {"train_data_dir": str(place.images(name="flat"))},
        ["directly in", "Put the images into a folder"],
    ),
    "truncated image": (image(cut_png), ["9.png: the file is damaged or cut short", "Put a whole copy"]),
    "zero-byte image": (image(lambda path: path.write_bytes(b"")), ["9.png: the file is empty (0 bytes)"]),
    "text named .png": (image(lambda path: path.write_text("hello")), ["9.png: the file is not an image"]),
    "30,000 pixels": (image(huge_png), ["9.png: the file is too large: 30000x16 pixels", "Make it smaller"]),
    "dangling link": (image(lambda path: path.symlink_to(path.parent / "gone.png")), ["9.png", "cannot be read"]),
    "link to itself": (image(lambda path: path.symlink_to(path)), ["9.png", "cannot be read"]),
    "caption in CP949": (caption("고양이".encode("cp949")), ["1.txt: the caption is not UTF-8", "byte 0xb0", "UTF-8"]),
    "caption in UTF-16": (caption("a cat".encode("utf-16-le")), ["1.txt: the caption holds NUL", "UTF-16"]),
    "empty caption": (caption(b""), ["1.txt: the caption file is empty", "delete it"]),
    # the base model and other files of weights
    "no base model": (base(lambda place: ""), ["The base model is missing"]),
    "missing base model": (base(lambda place: "nowhere/x.ckpt"), ["--pretrained_model_name_or_path", "no model at"]),
    "one word": (base(lambda place: "gpt2"), ["no model at gpt2", "user/model"]),
    "cut checkpoint": (
        base(lambda place: place.file("cut.safetensors", place.base.read_bytes()[:1_000_000])),
        ["cut.safetensors is cut short", "has 1,000,000", "Download or copy the file again"],
    ),
    "cut .ckpt": (base(lambda place: place.file("cut.ckpt", b"PK\x03\x04" + bytes(100))), ["cut.ckpt is cut short"]),
    "web page": (base(lambda place: place.file("x.safetensors", "<!DOCTYPE html>")), ["x.safetensors", "web page"]),
    "pickle with code": (
        base(lambda place: place.file("evil.ckpt", pickle.dumps({"state_dict": Trap(place.root / "sprung")}))),
        ["evil.ckpt holds more than tensors", "which can run code", "It was not loaded", ".safetensors"],
    ),
    "LoRA as base": (
        base(lambda place: place.header("l.safetensors", "lora_unet_x.lora_down.weight")),
        ["is a LoRA file, not a base model", "network_weights"],
    ),
    "SDXL's refiner": (
        base(lambda place: place.header("x.safetensors", SD_UNET, "conditioner.embedders.0.model.x")),
        ["Stable Diffusion XL's refiner, which cannot be trained on", "Choose the base model"],
    ),
    "SD1 as SD2": (lambda place: {"v2": "true"}, ["v2 is given, but", "is a Stable Diffusion 1 model", "Leave v2 out"]),
    "cached text that changes": (
        lambda place: {"cache_text_encoder_outputs": "true", "network_train_unet_only": "false"},
        ["cache_text_encoder_outputs does not go with training the text encoders"],
    ),
    "Flux": (base(lambda place: place.header("x.safetensors", "double_blocks.0.img_attn.proj.weight")), ["a Flux model"]),
    "inpainting": (
        base(lambda place: place.header("x.safetensors", SD_UNET, SD_TEXT, shape=(1, 9, 1, 1))),
        ["inpainting model", "takes 9 channels, expected 4"],
    ),
    "folder as base": (base(lambda place: str(place.images())), ["it has no model_index.json"]),
    "LoRA as VAE": (
        lambda place: {"vae": place.header("l.safetensors", "lora_unet_x.lora_down.weight")},
        ["--vae", "is a LoRA file, which has no VAE", "Choose a VAE"],
    ),
    "model as network_weights": (
        lambda place: {"network_weights": str(place.base)},
        ["--network_weights", "is a Stable Diffusion 1 model, not a LoRA file"],
    ),
    "LoRA with code": (
        lambda place: {"network_weights": place.file("evil.pt", pickle.dumps(Trap(place.root / "sprung")))},
        ["--network_weights", "holds more than tensors"],
    ),
    # names and folders of the result
    **{
        f"name {name!r}": (lambda place, name=name: {"output_name": name}, ["--output_name", words])
        for name, words in {
            "../x": "contains a character",
            "CON": "reserved by Windows",
            "x.": "dot",
            "x" * 300: "longer",
        }.items()
    },
    "output is a file": (lambda place: {"output_dir": place.file("f", "")}, ["--output_dir", "is a file"]),
    "output cannot be made": (lambda place: {"output_dir": place.file("f", "") + "/below"}, ["--output_dir", "is a file"]),
    # options
    "rank 0": (lambda place: {"network_dim": "0"}, ["--network_dim: 0 is too small", "1"]),
    "no number": (lambda place: {"network_dim": "abc"}, ["--network_dim: 'abc' is not a whole number"]),
    "warm-up of constant": (lambda place: {"lr_warmup_steps": "10"}, ["--lr_warmup_steps", "constant_with_warmup"]),
    "nan": (lambda place: {"learning_rate": "nan"}, ["--learning_rate: nan is not a finite number"]),
    "very long number": (lambda place: {"network_dim": "9" * 5000}, ["--network_dim", "(5,002 characters)"]),
    "resolution": (lambda place: {"resolution": "100"}, ["--resolution: 100 cannot be divided by 8", "enable_bucket"]),
    "unknown option": (lambda place: {"network_dimm": "4"}, ["--network_dimm", "Did you mean network_dim?"]),
    "unknown network argument": (lambda place: {"network_args": "convdim=4"}, ["--network_args", "Did you mean conv_dim?"]),
    "network argument nan": (lambda place: {"network_args": "rank_dropout=nan"}, ["rank_dropout is 'nan'", "a number"]),
    "optimizer argument": (lambda place: {"optimizer_args": "eps=1e999"}, ["--optimizer_args", "not finite"]),
    "no Unicode": (lambda place: {"training_comment": "a\udcff"}, ["--training_comment", "no Unicode text"]),
    "several": (
        lambda place: {"network_dim": "0", "seed": "-1", "output_name": "a/b"},
        ["3 errors", "--seed", "--output_name"],
    ),
    # TOML
    "missing configuration": (lambda place: {"config_file": str(place.root / "no")}, ["--config_file", "does not exist"]),
    "unknown key": (config("[a]\nnetwork_dim = 4\nlerning_rate = 1.0\n"), ["run.toml, line 3", "Did you mean learning_rate?"]),
    "wrong type": (config("learning_rat = 1\nlr_warmup_steps = '3'\n"), ["run.toml, line 2", "Remove the quotes"]),
    "Windows path": (config('vae = "C:\\models\\x"\n'), ["run.toml, line 1", "single quotes"]),
    "section given twice": (config("[a]\nseed = 1\n[a]\nvae = 'x'\n"), ["run.toml, line 3", "a is given twice"]),
    "a word without quotes": (config("seed = 1\nflip_aug = yes  # please\n"), ["run.toml, line 2", "Write true or false"]),
    "key given twice": (config("seed = 1\nseed = 2\n"), ["run.toml, line 2", "is given twice", "Delete one"]),
    "data: unknown key": (data_file(f"{SUBSET}num_repeat = 2\n"), ["set.toml, line 6", "Did you mean num_repeats?"]),
    "data: missing folder": (
        data_file(SUBSET.replace("FOLDER", "nope")),
        ["set.toml, line 4, image_dir", "nope does not exist in /"],
    ),
    "data: no folder": (
        data_file(SUBSET.replace("image_dir = 'FOLDER'\n", "")),
        ["set.toml, line 3, image_dir", "is missing", "Name the folder"],
    ),
    "data: negative repeat": (data_file(f"{SUBSET}num_repeats = -1\n"), ["set.toml, line 6, num_repeats: -1 is too small"]),
    "data: wrong types": (
        data_file(SUBSET.replace(QUOTED, "['cat']") + "shuffle_caption = 'yes'\nkeep_tokens = 1.5\n"),
        ["3 errors", "line 5, class_tokens", "line 6, shuffle_caption", "line 7, keep_tokens"],
    ),
    "metadata: image gone": (metadata('{"gone.png": {"caption": "x"}}'), ["m.json: none of the images", "gone.png"]),
    "metadata: wrong type": (metadata('{"0.png": {"caption": ["x"]}}'), ["m.json: caption of '0.png' is a list"]),
    "metadata: two captions": (
        metadata('{"0.png": {"caption": "x"},\n"0.png": {"caption": "y"}}'),
        ["m.json: the key '0.png' is there twice", "Delete one"],
    ),
    "metadata: no JSON": (metadata("0.png: x"), ["m.json", "is not valid JSON", "in line 1"]),
    "metadata: missing": (lambda place: {"in_json": "no.json"}, ["--in_json: the file no.json does not exist in /"]),
    "data: one bad value": (data_file(SUBSET.replace("64", "nan")), ["Error:", "line 2, resolution: nan is not a resolution"]),
    "data: one bracket": (data_file("[datasets]\nresolution = 64\n"), ["line 1", "[[datasets]] with two brackets"]),
    "data: yaml": (data_file("a: 1", "set.yaml"), ["neither a .toml nor a .json"]),
    "data: JSON twice": (data_file('{"datasets": [],\n "datasets": []}', "set.json"), ["set.json, line 2", "given twice"]),
    # prompts
    "prompt option": (prompts("a cat --w abc\n"), ["prompts.txt:1", "--w is 'abc'", "whole number"]),
    "prompt NaN": (prompts("a cat\na cat --l nan\n"), ["prompts.txt:2", "--l is 'nan'"]),
    "no prompt": (prompts("# none\n"), ["no prompt in this file"]),
    "prompts in CP949": (prompts("고양이".encode("cp949")), ["prompts.txt", "UTF-8"]),
}


@pytest.fixture
def place(tmp_path: Path, tiny_sd1: Path) -> Place:
    return Place(tmp_path, tiny_sd1)


def command(place: Place, changed: dict[str, Any]) -> list[str]:
    options: dict[str, Any] = {
        "pretrained_model_name_or_path": place.base,
        "train_data_dir": place.root / "data",
        "output_dir": place.root / "out",
        "output_name": "x",
        "resolution": "64",
        "network_module": "networks.lora",
        "network_dim": "1",
        "max_train_steps": "1",
        "max_data_loader_n_workers": "0",
        "learning_rate": "1e-4",
        "network_train_unet_only": "true",
        **changed,
    }
    return ["train_network", *(f"--{name}={value}" for name, value in options.items() if value is not None)]


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_told_before_anything_is_loaded(place, case, capsys, monkeypatch):
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    from lora_trainer.training import prepare

    monkeypatch.setattr(prepare, "load", never)
    prepared, said = CASES[case]
    place.images()
    changed = prepared(place)
    earlier = place.root / "out" / "x.safetensors"
    earlier.parent.mkdir(exist_ok=True)
    earlier.write_bytes(b"an earlier result")
    assert commands.run(command(place, changed)) == commands.EXIT_INPUT
    shown = capsys.readouterr().err
    assert [words for words in said if words not in shown] == [], shown
    assert "Traceback" not in shown and len(shown) < 2000
    assert earlier.read_bytes() == b"an earlier result", "what was saved before is kept"
    assert not (place.root / "sprung").exists(), "the code in the pickle has run"


def test_the_command_that_the_cases_change_is_valid(place, capsys):
    """Twice the same stem is trained, with a warning; so are odd letters in names."""
    folder = place.images(name="data #1 100% '고양이'/1_cat")
    Image.new("RGB", (64, 64)).save(folder / "0.jpg")
    (folder / "link.png").symlink_to(folder / "0.png")
    changed = {"train_data_dir": folder.parent, "output_dir": place.root / "나의 #1", "output_name": "고양이 100%"}
    assert commands.run(command(place, changed)) == commands.EXIT_OK
    assert "0.jpg + 0.png" in capsys.readouterr().err
    assert (place.root / "나의 #1" / "고양이 100%.safetensors").stat().st_size > 10_000
