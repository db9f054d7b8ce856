"""The data set file: keys, levels, inheritance and defaults as recorded from the reference; errors with file and line."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.errors import InputErrors
from lora_trainer.options import TrainOptions
from lora_trainer.options.cli import given_options
from lora_trainer.options.data_spec import DatasetSpec, SubsetSpec
from lora_trainer.options.dataset_config import data_spec, from_file, load, parse_folder_name
from lora_trainer.options.dataset_keys import KEYS
from lora_trainer.options.located import parse
from lora_trainer.options.resolve import train_options
from tests.given import given

from .valid import make_valid

GOLDEN_DIR = Path(__file__).parents[1] / "golden"
GOLDEN = json.loads((GOLDEN_DIR / "dataset_toml.json").read_text(encoding="utf-8"))
FOLDERS = json.loads((GOLDEN_DIR / "folders.json").read_text(encoding="utf-8"))["cases"]
FAMILY = "train_network / sdxl_train (db + ft, dropout)"
WITH_MASKS = "same with --masked_loss (db + ft + controlnet, dropout)"
RECORDED = {key["key"]: key for key in GOLDEN["keys"]}
PLAIN_OPTIONS = TrainOptions()


def described(config, options=PLAIN_OPTIONS):
    """The data set that a configuration describes, by way of a JSON file."""
    return from_file(parse(Path("set.json"), json.dumps(config)), options, check_paths=False)


def toml_problems(text, options=PLAIN_OPTIONS, **more):
    with pytest.raises(InputErrors) as raised:
        from_file(parse(Path("set.toml"), text), options, **more)
    return [str(error) for error in raised.value.errors]


def options_for(words):
    """Options from a command line that lacks everything but what the data set needs."""
    given = given_options(words)
    needed = {"pretrained_model_name_or_path": "x/y", "network_module": "networks.lora", "output_dir": "o", "output_name": "n"}
    return train_options({**needed, "dataset_config": "set.toml", **given}, check_paths=False)


def test_every_accepted_key_is_declared_at_the_recorded_levels():
    accepted = {
        name
        for name, key in RECORDED.items()
        if any(key["levels"][family].get(kind) for family in (FAMILY, WITH_MASKS) for kind in key["levels"][family])
    }
    ours = {"exclude"}  # sd-scripts has none of its kind
    assert set(KEYS) == accepted | ours
    for name, key in ((name, key) for name, key in KEYS.items() if name not in ours):
        levels = RECORDED[name]["levels"]
        if name == "conditioning_data_dir":
            assert list(key.levels) == levels[WITH_MASKS]["controlnet"]
        elif name != "metadata_file":
            assert list(key.levels) == levels[FAMILY]["dreambooth"], name
        if name != "conditioning_data_dir":
            assert list(key.metadata_levels) == levels[FAMILY]["fine_tuning"], name
        assert (key.command_line or None) == RECORDED[name]["command_line_option"], name


TRAINABLE = [
    case
    for case in GOLDEN["resolution_of_values"]
    if case["blueprint"] and all(d["subsets"] and d["dataset"]["resolution"] for d in case["blueprint"])
]


@pytest.mark.parametrize("case", TRAINABLE, ids=lambda case: case["name"])
def test_values_are_inherited_as_in_the_reference(case):
    spec = described(case["config"], options_for(case["command_line"]))
    assert len(spec.datasets) == len(case["blueprint"])
    for dataset, recorded in zip(spec.datasets, case["blueprint"], strict=True):
        assert (recorded["kind"] == "fine_tuning") is any(subset.metadata_file for subset in dataset.subsets)
        for field in dataclasses.fields(DatasetSpec):
            if field.name != "subsets":
                expected = recorded["dataset"][field.name]
                assert getattr(dataset, field.name) == (tuple(expected) if isinstance(expected, list) else expected), field.name
        for subset, values in zip(dataset.subsets, recorded["subsets"], strict=True):
            for field in dataclasses.fields(SubsetSpec):
                if field.name in values:
                    expected = values[field.name]
                    expected = tuple(expected) if isinstance(expected, list) else expected
                    if field.name.endswith(("_dir", "_file")) and expected is not None:
                        expected = Path(expected)
                    assert getattr(subset, field.name) == expected, field.name


@pytest.mark.parametrize(
    "name", ["library defaults, no resolution", "datasets without subsets", "no datasets at all", "empty file"]
)
def test_a_file_that_trains_nothing_is_refused(name):
    case = next(case for case in GOLDEN["resolution_of_values"] if case["name"] == name)
    with pytest.raises(InputErrors):
        described(case["config"])


# Where the reference accepts and ours refuses. (What the reference refuses, ours does too, but for the ints in NUMBERS.)
STRICTER = {
    '{"batch_size": 0, "subsets": [{"image_dir": "a"}]}': "0 would divide by zero",
    '{"batch_size": true, "subsets": [{"image_dir": "a"}]}': "yes is no number",
    '{"subsets": [{"image_dir": "a", "num_repeats": -1}]}': "less than never",
    '{"subsets": [{"image_dir": "a", "caption_dropout_rate": 2}]}': "a share is at most 1",
    '{"subsets": []}': "there would be no images",
}
NUMBERS = ("validation_split", "network_multiplier", "face_crop_aug_range")  # 0 and 1 are as good as 0.0 and 1.0


@pytest.mark.parametrize("case", GOLDEN["validation"], ids=lambda case: json.dumps(case["config"])[:80])
def test_what_is_accepted_and_refused(case):
    config = {**case["config"], "general": {"resolution": 512, **case["config"].get("general", {})}}
    datasets = config.get("datasets")
    accepted = case["train_network"] == "accepted"
    if isinstance(datasets, list) and datasets and json.dumps(datasets[0]) in STRICTER:
        assert accepted
        accepted = False
    if isinstance(datasets, list) and any(f'"{name}"' in json.dumps(dataset) for dataset in datasets for name in NUMBERS):
        accepted = True
    if accepted:
        assert described(config).datasets
    else:
        with pytest.raises(InputErrors):
            described(config)


TEXT = """# my data
[general]
shuffle_caption = true
kep_tokens = 1

[[datasets]]
resolution = 512
batch_size = 2
max_token_length = 150

  [[datasets.subsets]]
  image_dir = 'a'
  num_repeats = "2"

  [[datasets.subsets]]
  image_dir = 'b'
  is_regg = true
  resolution = 640

[[datasets]]
batch_size = 0
  [[datasets.subsets]]
  num_repeats = 3
"""


def test_every_problem_names_file_line_and_nearest_key():
    assert toml_problems(TEXT, check_paths=False) == [
        "set.toml, line 4, kep_tokens: the key kep_tokens is not known under [general]. Did you mean keep_tokens?",
        "set.toml, line 9, max_token_length: the key max_token_length is not known under [[datasets]]. "
        "It is an option of the command line or of the configuration file.",
        "set.toml, line 13, num_repeats: '2' is a text, but a whole number is expected. Remove the quotes.",
        "set.toml, line 17, is_regg: the key is_regg is not known under [[datasets.subsets]]. Did you mean is_reg?",
        "set.toml, line 18, resolution: the key resolution is not known under [[datasets.subsets]]. "
        "It belongs under [general] or [[datasets]].",
        "set.toml, line 21, batch_size: 0 is too small: the smallest allowed value is 1.",
        "set.toml, line 20, resolution: the resolution is missing. Add resolution = 512.",
        "set.toml, line 22, image_dir: image_dir is missing. Name the folder that holds the images.",
    ]


def test_inline_tables_and_json_have_lines_too():
    text = "[general]\nresolution = 512\ndatasets = []\n"
    assert "line 3" in toml_problems(text)[0]
    text = 'datasets = [\n  {resolution = 512, subsets = [\n {image_dir = "a", colour_aug = true}]}]\n'
    assert "set.toml, line 3, colour_aug" in toml_problems(text, check_paths=False)[0]
    with pytest.raises(InputErrors, match="set.json, line 2, nonsense"):
        from_file(parse(Path("set.json"), '{"datasets": [{"resolution": 512,\n "nonsense": 1, "subsets": []}]}'), PLAIN_OPTIONS)


def test_windows_paths_in_double_quotes_are_explained():
    for path in (r"C:\images\x", r"C:\Users\me"):
        with pytest.raises(Exception, match="single quotes") as raised:
            parse(Path("set.toml"), f'[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "{path}"\n')
        assert "set.toml, line 4" in str(raised.value)
    (found,) = toml_problems('[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = "C:\\train"\n')
    assert "line 4" in found and "single quotes" in found


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("set.toml", b"\xff\xfe", "UTF-8"),
        ("set.toml", b"[[datasets]]\nresolution = 512 768\n", "line 2"),
        ("set.toml", b"[general]\na = \n", "line 2"),
        ("set.toml", b"[general]\n\nface_crop_aug_range = [1, 2.5]\n", "line 3.*alike"),
        ("set.json", b'{"datasets": [}', "line 1"),
        ("set.json", b"[]", "one JSON object"),
        ("set.yaml", b"a: 1", "neither a .toml nor a .json"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_place(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputErrors, match=said):
        load(tmp_path / name, PLAIN_OPTIONS)
    with pytest.raises(InputErrors, match="does not exist"):
        load(tmp_path / "none.toml", PLAIN_OPTIONS)


def test_a_byte_order_mark_is_no_harm(tmp_path):
    (tmp_path / "a").mkdir()
    text = f"[general]\nresolution = 512\n[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{tmp_path / 'a'}'\n"
    (tmp_path / "set.toml").write_text(text, encoding="utf-8-sig")
    assert load(tmp_path / "set.toml", PLAIN_OPTIONS).datasets[0].subsets[0].image_dir == tmp_path / "a"


@pytest.mark.parametrize("key", ["class_tokens = 'x'", "is_reg = true", "caption_extension = '.txt'", "cache_info = true"])
def test_what_means_nothing_beside_a_metadata_file_is_refused_with_its_line(key):
    text = f"[general]\nresolution = 512\nclass_tokens = 'x'\n[[datasets]]\n[[datasets.subsets]]\nmetadata_file = 'm'\n{key}\n"
    name = key.partition(" ")[0]
    assert toml_problems(text, check_paths=False) == [
        f"set.toml, line 7, {name}: {name} means nothing for images that a metadata file names. Leave it out."
    ]


def test_a_data_set_is_of_folders_or_of_metadata_files_and_missing_ones_are_told_with_their_lines():
    subsets = "[[datasets.subsets]]\nimage_dir = 'i'\n[[datasets.subsets]]\nmetadata_file = 'no.json'\nimage_dir = 'no'\n"
    (mixed,) = toml_problems(f"[[datasets]]\nresolution = 512\n{subsets}", check_paths=False)
    assert "subsets with metadata_file and subsets without it cannot stand in one data set" in mixed
    found = toml_problems("[[datasets]]\nresolution = 512\n" + subsets.partition("'i'\n")[2])
    assert [text.split(" does")[0] for text in found] == [
        "set.toml, line 5, image_dir: the folder no",
        "set.toml, line 4, metadata_file: the file no.json",
    ]


@pytest.mark.effect("in_json")
def test_in_json_is_a_data_set_of_one_metadata_file_with_the_options_of_the_command_line(tmp_path):
    given = make_valid(tmp_path)
    (tmp_path / "m.json").write_text("{}", encoding="utf-8")
    more = {"in_json": str(tmp_path / "m.json"), "dataset_repeats": "4", "shuffle_caption": "true", "train_batch_size": "3"}
    spec = data_spec(train_options({**given, **more, "reg_data_dir": str(tmp_path)}))
    (dataset,) = spec.datasets
    (subset,) = dataset.subsets
    assert (subset.metadata_file, subset.image_dir) == (tmp_path / "m.json", tmp_path / "images")
    assert (subset.num_repeats, subset.shuffle_caption, dataset.batch_size, dataset.resolution) == (4, True, 3, (512, 512))
    assert spec.source == tmp_path / "m.json" and "reg_data_dir is not used" in spec.skipped[0]
    masks = {"masked_loss": "true", "conditioning_data_dir": str(tmp_path)}
    masked = data_spec(train_options({**given, **more, **masks}))
    assert masked.masked_loss and masked.datasets[0].subsets[0].conditioning_data_dir == tmp_path
    alone = {name: value for name, value in given.items() if name != "train_data_dir"}
    assert data_spec(train_options({**alone, **more})).datasets[0].subsets[0].image_dir is None
    (tmp_path / "set.toml").write_text(
        f"[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = '{tmp_path}'\n", encoding="utf-8"
    )
    beside = data_spec(train_options({**alone, **more, "dataset_config": str(tmp_path / "set.toml")}))
    assert "in_json is not used" in beside.skipped[0] and not beside.datasets[0].subsets[0].metadata_file


def test_a_missing_image_folder_is_told_with_its_line():
    (found,) = toml_problems("[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = 'no/such'\n")
    assert "set.toml, line 4, image_dir: the folder no/such does not exist in " in found.replace("\\", "/")


def test_changing_images_and_cached_latents_exclude_each_other_in_the_file_too():
    options = options_for(["--cache_latents"])
    text = "[[datasets]]\nresolution = 512\nrandom_crop = true\n[[datasets.subsets]]\nimage_dir = 'a'\n"
    (found,) = toml_problems(text, options, check_paths=False)
    assert "set.toml, line 3, random_crop" in found and "cannot be cached" in found


def test_a_training_folder_beside_a_data_set_file_is_said_to_be_unused(tmp_path):
    given = make_valid(tmp_path)
    text = f"[[datasets]]\n[[datasets.subsets]]\nimage_dir = '{tmp_path / 'images' / '2_sls frog'}'\n"
    (tmp_path / "set.toml").write_text(text, encoding="utf-8")
    spec = data_spec(train_options({**given, "dataset_config": str(tmp_path / "set.toml")}))
    assert spec.source == tmp_path / "set.toml" and "train_data_dir is not used" in spec.skipped[0]


@pytest.mark.parametrize("case", FOLDERS, ids=lambda case: case["folder"])
def test_folder_names_are_taken_apart_as_in_the_reference(case):
    expected = (case["num_repeats"], case["class_tokens"]) if case["used"] else None
    assert parse_folder_name(case["folder"]) == expected


def test_the_folder_form_takes_the_options_and_tells_what_it_leaves_out(tmp_path):
    given = make_valid(tmp_path)
    for name in ("images/10_cpc rabbit", "images/notes", "images/0_none", "reg/1_frog"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "images" / "loose.PNG").write_bytes(b"")
    more = {"reg_data_dir": str(tmp_path / "reg"), "flip_aug": "true", "train_batch_size": "3", "resolution": "512,768"}
    spec = data_spec(train_options({**given, **more, "caption_extention": ".txt"}))
    (dataset,) = spec.datasets
    assert (dataset.resolution, dataset.batch_size) == ((512, 768), 3)
    found = [(s.image_dir.name, s.num_repeats, s.class_tokens, s.is_reg) for s in dataset.subsets]
    assert found == [
        ("10_cpc rabbit", 10, "cpc rabbit", False),
        ("2_sls frog", 2, "sls frog", False),
        ("1_frog", 1, "frog", True),
    ]
    assert all(subset.flip_aug and subset.caption_extension == ".txt" for subset in dataset.subsets)
    assert [word for word in ("0_none", "notes", "1 image") if not any(word in message for message in spec.skipped)] == []


@pytest.mark.parametrize(
    ("folders", "files", "train", "said"),
    [
        ([], [], "", "is empty"),
        (["abc"], [], "", "named <repeats>_<words>; found 'abc'"),
        ([], ["a.png"], "", "lie directly in"),
        (["10_sls frog"], ["10_sls frog/a.jpg"], "10_sls frog", "its parent is expected"),
    ],
)
def test_a_training_folder_of_the_wrong_shape_is_explained(tmp_path, folders, files, train, said):
    given = make_valid(tmp_path)
    root = tmp_path / "data"
    root.mkdir()
    for folder in folders:
        (root / folder).mkdir()
    for file in files:
        (root / file).write_bytes(b"")
    with pytest.raises(InputErrors, match=said) as raised:
        data_spec(train_options({**given, "train_data_dir": str(root / train)}))
    assert raised.value.errors[0].field == "train_data_dir"


def test_a_folder_of_masks_counts_with_masked_loss_alone_and_is_looked_for(tmp_path):
    masks = tmp_path / "masks"
    config = {
        "general": {"resolution": 64},
        "datasets": [{"subsets": [{"image_dir": ".", "conditioning_data_dir": str(masks)}]}],
    }
    with pytest.raises(InputErrors, match="no effect without masked_loss"):
        described(config)
    file, options = parse(Path("set.json"), json.dumps(config)), options_for(["--masked_loss"])
    with pytest.raises(InputErrors, match="masks does not exist"):
        from_file(file, options)
    masks.mkdir()
    spec = from_file(file, options)
    assert spec.masked_loss and spec.datasets[0].subsets[0].conditioning_data_dir == masks
    with pytest.raises(InputErrors, match="conditioning_data_dir has no effect without masked_loss"):
        options_for([f"--conditioning_data_dir={masks}"])


def test_each_image_folder_may_have_a_folder_of_masks_of_its_name(tmp_path):
    train, masks = tmp_path / "train", tmp_path / "masks"
    for folder in (train / "2_sls frog", train / "1_toad", masks / "2_sls frog"):
        folder.mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(folder / "a.png")
    words = {"train_data_dir": str(train), "resolution": "64", "masked_loss": True, "conditioning_data_dir": str(masks)}
    spec = data_spec(given(**words))
    assert spec.masked_loss
    assert [one.conditioning_data_dir for one in spec.datasets[0].subsets] == [masks, masks / "2_sls frog"]


def test_a_training_folder_that_may_not_be_read_is_said_to_be(tmp_path, monkeypatch):
    options = train_options(make_valid(tmp_path))

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(InputErrors, match="images cannot be read: Permission denied") as raised:
        data_spec(options)
    assert raised.value.errors[0].field == "train_data_dir" and raised.value.errors[0].advice
