"""The tagger from the command line to the caption files, with a real ONNX graph: what it sees, writes, refuses and leaves."""

from __future__ import annotations

import json
import signal

import numpy as np
import pytest
from PIL import Image

from lora_trainer import commands
from lora_trainer.captioning import onnx_graph, running, wd14
from lora_trainer.data.plan import caption_backup
from lora_trainer.errors import BaseModelError, InputError, NotInstalledError
from lora_trainer.options.dataset import DatasetOptions
from lora_trainer.options.dataset_config import data_spec
from lora_trainer.options.tool_cli import parse
from lora_trainer.options.tools.tag_images_by_wd14_tagger import TagImagesByWd14Tagger
from lora_trainer.options.train import TrainOptions

from .small_tagger import TAGS, captions, write_graph, write_list, write_pictures, write_tagger

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def tagger(tmp_path_factory):
    return write_tagger(tmp_path_factory.mktemp("tagger"))


@pytest.fixture
def images(tmp_path):
    return write_pictures(tmp_path / "images", "red.png", "green.jpg", "blue.png")


def tag(images, tagger, *words) -> int:
    return commands.run(["tag_images_by_wd14_tagger.py", str(images), "--repo_id", str(tagger), *map(str, words)])


def test_tags_are_written_beside_the_pictures(images, tagger):
    assert tag(images, tagger, "--onnx") == 0
    assert captions(images) == {
        "blue.txt": "blue_sky\n",
        "green.txt": "green_grass, frog_(pond,_deep)\n",
        "red.txt": "red_hair, ^_^, rose_(coat)_(garden)\n",
    }


@pytest.mark.parametrize("how", [{"colours_last": False}, {"sigmoid": False}, {"batch": 2}, {"side": 64}, {"beside": True}])
def test_input_and_output_are_read_from_the_graph(images, tmp_path, how):
    other = write_tagger(tmp_path / "other", **how)
    assert tag(images, other, "--batch_size", 3) == 0
    found = captions(images)
    assert found["blue.txt"] == "blue_sky\n" and found["red.txt"].startswith("red_hair")


def test_a_picture_lies_on_a_white_square_and_transparent_parts_are_white(tmp_path, tagger):
    wide = np.zeros((10, 40, 3), np.uint8)
    square = wd14.squared(wide)
    assert square.shape == (40, 40, 3) and square[:15].min() == 255 and not square[15:25].any() and square[25:].min() == 255
    folder = tmp_path / "see-through"
    folder.mkdir()
    Image.new("RGBA", (40, 40), (0, 0, 255, 0)).save(folder / "a.png")
    assert tag(folder, tagger) == 0 and captions(folder) == {"a.txt": "^_^\n"}, "white is no blue sky"


def test_an_empty_result_writes_nothing_and_is_told(tmp_path, tagger, capsys):
    folder = write_pictures(tmp_path, "black.png")
    assert tag(folder, tagger) == 0
    assert not captions(folder) and "Nothing was found in: black.png" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "red"),
    [
        (["--thresh", "0.9"], "red_hair, rose_(coat)_(garden)"),
        (["--general_threshold", "1.1"], "rose_(coat)_(garden)"),
        (["--character_threshold", "1.1"], "red_hair, ^_^"),
        (["--thresh", "0.9", "--general_threshold", "0.5"], "red_hair, ^_^, rose_(coat)_(garden)"),
        (["--remove_underscore"], "red hair, ^_^, rose (coat) (garden)"),
        (["--undesired_tags", "red hair,nothing"], "^_^, rose_(coat)_(garden)"),
        (["--use_rating_tags"], "sensitive, red_hair, ^_^, rose_(coat)_(garden)"),
        (["--use_rating_tags_as_last_tag"], "red_hair, ^_^, rose_(coat)_(garden), sensitive"),
        (["--use_rating_tags", "--undesired_tags", "sensitive"], "red_hair, ^_^, rose_(coat)_(garden)"),
        (["--character_tags_first"], "rose_(coat)_(garden), red_hair, ^_^"),
        (["--always_first_tags", "^_^,red_hair,1girl"], "^_^, red_hair, rose_(coat)_(garden)"),
        (["--caption_separator", "; "], "red_hair; ^_^; rose_(coat)_(garden)"),
        (["--tag_replacement", "red_hair,fire\\, hot;^_^,smile"], "fire, hot, smile, rose_(coat)_(garden)"),
        (["--character_tag_expand"], "red_hair, ^_^, rose_(coat), garden"),
        (["--character_tag_expand", "--remove_underscore", "--undesired_tags", "garden"], "red hair, ^_^, rose (coat)"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_each_option_changes_the_words_as_it_says(tmp_path, tagger, words, red):
    folder = write_pictures(tmp_path / "images", "red.png")
    assert tag(folder, tagger, *words) == 0
    assert captions(folder) == {"red.txt": red + "\n"}


def test_folders_below_come_with_recursive_and_hidden_ones_never(tmp_path, tagger):
    folder = write_pictures(tmp_path, "red.png", "sub/blue.png", ".hidden/green.png")
    assert tag(folder, tagger) == 0 and set(captions(folder)) == {"red.txt"}
    assert tag(folder, tagger, "--recursive", "--caption_extention", ".tags") == 0
    assert set(captions(folder, ".tags")) == {"red.tags", "sub/blue.tags"}


@pytest.mark.parametrize(
    ("words", "after"),
    [
        ([], "blue_sky\n"),
        (["--existing_captions", "keep"], "a sky, blue_sky , bird\n"),
        (["--existing_captions", "after"], "a sky, blue_sky, bird\n"),
        (["--existing_captions", "before"], "a sky, blue_sky, bird\n"),
        (["--append_tags", "--use_rating_tags"], "a sky, blue_sky, bird, general\n"),
        (["--existing_captions", "before", "--use_rating_tags"], "general, a sky, blue_sky, bird\n"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_becomes_of_a_caption_that_is_there(tmp_path, tagger, words, after):
    folder = write_pictures(tmp_path, "blue.png")
    (folder / "blue.txt").write_text("a sky, blue_sky , bird\n")
    assert tag(folder, tagger, *words) == 0
    assert captions(folder) == {"blue.txt": after}


def test_the_backup_of_a_parent_folder_is_no_folder_of_images(tmp_path, tagger):
    folder = write_pictures(tmp_path, "3_red/red.png", "2_sky/blue.png")
    assert tag(folder, tagger, "--recursive") == 0 and (folder / caption_backup.FOLDER).is_dir()
    options = TrainOptions(dataset=DatasetOptions(train_data_dir=str(folder), resolution="64", caption_extension=".txt"))
    data = data_spec(options)
    assert [subset.image_dir.name for subset in data.datasets[0].subsets] == ["2_sky", "3_red"] and not data.skipped


def test_all_pictures_can_go_into_one_file(images, tagger, tmp_path):
    one, lines = tmp_path / "tags.json", tmp_path / "tags.jsonl"
    assert tag(images, tagger, "--output_path", one) == 0 and tag(images, tagger, "--output_path", lines) == 0
    assert json.loads(one.read_text())[str(images / "blue.png")] == {"tags": "blue_sky", "image_size": [40, 40]}
    first = json.loads(lines.read_text().splitlines()[0])
    assert first == {"image_path": str(images / "blue.png"), "caption": "blue_sky", "image_size": [40, 40]}
    assert not captions(images)
    assert tag(images, tagger, "--output_path", one) == 2, "what is there is not overwritten"


def test_damaged_pictures_are_passed_over_and_named_at_the_end(images, tagger, capsys):
    (images / "broken.png").write_bytes((images / "red.png").read_bytes()[:60])
    (images / "empty.jpg").write_bytes(b"")
    assert tag(images, tagger, "--batch_size", 2, "--max_data_loader_n_workers", 0) == 0
    assert set(captions(images)) == {"blue.txt", "green.txt", "red.txt"}
    told = capsys.readouterr().err
    assert "Passed over: broken.png (the file is damaged or cut short" in told and "empty.jpg (the file is empty" in told
    assert "3 of 5 pictures have new captions" in told


def test_frequencies_and_what_was_found_are_told_when_asked_for(images, tagger, capsys):
    assert tag(images, tagger, "--frequency_tags", "--debug") == 0
    told = capsys.readouterr().err
    assert "red_hair: 1" in told and "blue.png: blue_sky" in told


def test_a_run_that_is_stopped_keeps_what_it_wrote_and_the_next_goes_on(tmp_path, tagger, monkeypatch, capsys):
    folder = write_pictures(tmp_path, *(f"red-{number}.png" for number in range(6)))
    whole = wd14.Tagger.describe

    def interrupted(self, pictures, prepared):
        if pictures[0].name == "red-1.png":
            signal.raise_signal(signal.SIGTERM)
        return whole(self, pictures, prepared)

    monkeypatch.setattr(wd14.Tagger, "describe", interrupted)
    assert tag(folder, tagger) == running.EXIT_STOPPED
    assert set(captions(folder)) == {"red-0.txt", "red-1.txt"}
    assert "Stopped after red-1.png" in capsys.readouterr().err
    monkeypatch.setattr(wd14.Tagger, "describe", whole)
    assert tag(folder, tagger, "--existing_captions", "keep") == 0
    assert len(captions(folder)) == 6 and "captions were kept: 2" in capsys.readouterr().err
    assert len(caption_backup.backups(folder)) == 2


# ---- taggers ------------------------------------------------------------------------------------------------------------


def test_newer_lists_of_tags_are_read(images, tmp_path):
    """Other columns, kinds beside the three, and the mapping in JSON whose tags are written by how sure they are."""
    more = [*TAGS, ("some_series", 3, (0, 0, 8), -2.0), ("someone", 1, (0, 0, 8), -2.0)]
    folder = tmp_path / "newer"
    write_graph(folder / "model.onnx", more)
    write_list(folder / "selected_tags.csv", more, more="best_threshold")
    assert tag(images, folder, "--artist_threshold", "1.1") == 0
    assert captions(images)["red.txt"] == "red_hair, ^_^, rose_(coat)_(garden), some_series\n"
    kinds = {9: "Rating", 0: "General", 4: "Character", 3: "Copyright", 1: "Artist"}
    mapping = {str(number): {"tag": one[0], "category": kinds[one[1]]} for number, one in enumerate(more)}
    (folder / "selected_tags.csv").unlink()
    (folder / "tag_mapping.json").write_text(json.dumps(mapping))
    assert tag(images, folder, "--existing_captions", "replace", "--character_threshold", "1.1") == 0
    assert captions(images)["red.txt"] == "some_series, someone, red_hair, ^_^\n"


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (
            lambda folder: write_list(folder / "selected_tags.csv", TAGS[:7]),
            "says 10 numbers of a picture, but its list of tags",
        ),
        (lambda folder: (folder / "selected_tags.csv").write_text("id;name\n1;x\n"), "columns name and category"),
        (lambda folder: (folder / "selected_tags.csv").write_text(""), "is no list of tags"),
        (lambda folder: (folder / "selected_tags.csv").write_text("name,category\nx\n"), "line 2 lacks"),
        (lambda folder: (folder / "selected_tags.csv").unlink(), "lacks selected_tags.csv"),
        (lambda folder: (folder / "model.onnx").unlink(), "lacks model.onnx"),
        (lambda folder: (folder / "model.onnx").write_bytes(b"\x08\x07nothing"), "is no ONNX model"),
        (
            lambda folder: write_graph(folder / "model.onnx", side=32, colours_last=True, batch="N", tags=TAGS[:3]),
            "says 3 numbers",
        ),
    ],
)
def test_a_tagger_of_another_kind_is_refused_in_words(images, tmp_path, capsys, write, said):
    folder = write_tagger(tmp_path / "tagger")
    write(folder)
    assert tag(images, folder) == 1
    told = capsys.readouterr().err
    assert said in told and str(folder) in told and not captions(images)


def test_a_graph_that_takes_no_picture_is_refused(images, tmp_path, capsys):
    from onnx import TensorProto, helper, save

    value = helper.make_tensor_value_info("x", TensorProto.INT64, [1, 77])
    out = helper.make_tensor_value_info("y", TensorProto.INT64, [1, 77])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "text", [value], [out])
    folder = write_tagger(tmp_path / "tagger")
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(folder / "model.onnx"))
    assert tag(images, folder) == 1 and "it takes x [1, 77]" in capsys.readouterr().err


def test_a_tagger_that_is_not_here_says_so_offline_and_one_that_is_is_used(images, tagger, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    models = tmp_path / "models"
    words = ["--repo_id", "Some/wd-tagger", "--model_dir", str(models)]
    assert commands.run(["tag_images_by_wd14_tagger", str(images), *words]) == 1
    told = capsys.readouterr().err
    assert (
        "Some/wd-tagger is not on this computer" in told
        and str(models / "Some_wd-tagger") in told
        and "selected_tags.csv" in told
    )
    (tagger / "model.onnx").rename(tagger / "kept")
    try:
        place = models / "Some_wd-tagger"
        place.mkdir(parents=True, exist_ok=True)
        (place / "model.onnx").write_bytes((tagger / "kept").read_bytes())
        write_list(place / "selected_tags.csv")
    finally:
        (tagger / "kept").rename(tagger / "model.onnx")
    assert commands.run(["tag_images_by_wd14_tagger", str(images), *words]) == 0
    assert captions(images)["blue.txt"] == "blue_sky\n"
    assert commands.run(["tag_images_by_wd14_tagger", str(images), *words, "--force_download"]) == 1


@pytest.mark.parametrize("name", ["nothing", "../x/y", "/no/such/folder", "a"])
def test_a_name_that_is_no_taggers_is_refused_before_the_hub_is_asked(images, name):
    with pytest.raises(InputError, match="owner/name"):
        wd14.tagger_files(parse(TagImagesByWd14Tagger, "x", [str(images), "--repo_id", name]))


def test_files_of_the_hub_are_asked_for_by_their_names(images, tmp_path, monkeypatch):
    asked = []

    def download(repo, name, *, subfolder, local_dir, force_download):
        asked.append((repo, subfolder, name))
        place = local_dir / (subfolder or "")
        write_tagger(place) if name == "model.onnx" else None
        if subfolder:
            write_graph(place / "model_optimized.onnx")
            mapping = {str(n): {"tag": one[0], "category": "General"} for n, one in enumerate(TAGS)}
            (place / "tag_mapping.json").write_text(json.dumps(mapping))

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    models = ["--model_dir", str(tmp_path / "models")]
    for name in ("o/n", "o/n", "o/m/v1/x"):
        graph, tags = wd14.tagger_files(parse(TagImagesByWd14Tagger, "x", [str(images), "--repo_id", name, *models]))
        assert graph.is_file() and tags.is_file()
    assert asked == [
        ("o/n", None, "model.onnx"),
        ("o/n", None, "selected_tags.csv"),
        ("o/m", "v1/x", "model_optimized.onnx"),
        ("o/m", "v1/x", "tag_mapping.json"),
    ]


@pytest.mark.parametrize(
    ("folder", "words", "field"),
    [
        ("empty", [], "there are no pictures in it"),
        ("gone", [], "does not exist"),
        ("images", ["--tag_replacement", "a,b,c"], "is no replacement"),
        ("images", ["--append_tags", "--existing_captions", "keep"], "append_tags puts tags after"),
        ("images", ["--thresh", "lots"], "thresh"),
        ("images", ["--device", "cuda"], "computes on the processor alone"),
    ],
)
def test_wrong_input_is_told_before_anything_is_written(images, tagger, tmp_path, capsys, folder, words, field):
    (tmp_path / "empty" / "sub").mkdir(parents=True)
    assert tag(tmp_path / folder, tagger, *words) == 2
    told = capsys.readouterr().err
    assert field in told and (folder != "empty" or "--recursive" in told)
    assert not captions(images)


def test_the_card_is_used_where_onnxruntime_can():
    assert onnx_graph.providers(["CPUExecutionProvider"], "auto") == ["CPUExecutionProvider"]
    both = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert onnx_graph.providers(both, "auto") == both and onnx_graph.providers(both, "cuda") == both
    assert onnx_graph.providers(both, "cpu") == ["CPUExecutionProvider"]
    with pytest.raises(InputError, match="processor alone"):
        onnx_graph.providers(["AzureExecutionProvider", "CPUExecutionProvider"], "cuda")


def test_without_onnxruntime_the_ways_to_get_it_are_named(images, tagger, monkeypatch):
    def load(name, folder):
        raise ImportError("No module named 'onnxruntime'")

    monkeypatch.setattr("lora_trainer.optional_packages.load", load)
    with pytest.raises(
        NotInstalledError, match=r"needs the package onnxruntime.*beside the tool.*install_packages onnxruntime"
    ):
        wd14.run(parse(TagImagesByWd14Tagger, "x", [str(images), "--repo_id", str(tagger)]))


def test_a_tensorflow_model_is_told_apart(tmp_path, images):
    folder = tmp_path / "tf"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    write_list(folder / "selected_tags.csv")
    with pytest.raises(BaseModelError, match="TensorFlow"):
        wd14.tagger_files(parse(TagImagesByWd14Tagger, "x", [str(images), "--repo_id", str(folder)]))
