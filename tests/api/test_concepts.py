"""Several concepts over the real routes: checked, started, refused where they may not look, read out of files."""

from __future__ import annotations

import json
import shutil

import pytest

from lora_trainer.api import checks
from lora_trainer.options.dataset_config import load
from lora_trainer.options.resolve import train_options

from .conftest import API, get, picture, post, problems_of


@pytest.fixture
def both(values, tmp_path):
    """The values of two concepts."""
    dogs = tmp_path / "dogs"
    dogs.mkdir()
    for number in range(2):
        (dogs / f"{number}.png").write_bytes(picture(color=(number, 9, 99)))
    dog = {"image_dir": str(dogs), "identifier": "abc", "class_name": "dog", "caption_source": "words", "num_repeats": 3}
    return {**values, "concepts": [dog]}


def test_the_plan_counts_both_and_a_finding_is_told_at_its_concept(client, both, tmp_path):
    answer = post(client, "check", {"values": both}).json()
    assert answer["ok"], answer["problems"]
    assert [(one["class_tokens"], one["images"], one["repeats"]) for one in answer["plan"]["subsets"]] == [
        ("sls frog", 3, 10), ("abc dog", 2, 3),
    ]  # fmt: skip
    (tmp_path / "dogs" / "2.png").write_bytes(b"no picture")
    found = post(client, "check", {"values": both}).json()["problems"]
    assert [one["field"] for one in found if one["level"] == "error"] == ["concepts.0.image_dir"]


def test_one_wrong_concept_does_not_hide_the_plan_of_the_others(client, both):
    answer = post(client, "check", {"values": {**both, "concepts": [{**both["concepts"][0], "image_dir": "/no/such"}]}}).json()
    assert set(problems_of(answer)) == {"concepts.0.image_dir"}
    assert [one["class_tokens"] for one in answer["plan"]["subsets"]] == ["sls frog"]
    answer = post(client, "check", {"values": {**both, "image_dir": None}}).json()
    assert set(problems_of(answer)) == {"image_dir"} and answer["plan"]["images"] == 2


def test_a_concept_that_is_off_stays_in_the_runs_recipe_and_is_not_in_its_file(client, service, both):
    off = {**both, "concepts": [{**both["concepts"][0], "is_off": True}]}
    run = post(client, "runs", {"values": off}).json()
    folder = service.supervisor.folder(run["id"])
    assert folder.request()["values"]["concepts"] == off["concepts"]
    assert "dogs" not in folder.dataset.read_text(encoding="utf-8")


def test_a_page_open_to_all_names_no_folder_of_a_concept_outside(client, host, both, tmp_path):
    host.folders = (tmp_path / "frogs", tmp_path / "models", tmp_path / "user")
    assert set(problems_of(post(client, "check", {"values": both}).json())) == {"concepts.0.image_dir"}
    hidden = {"concepts": [{"image_dir": str(tmp_path / "frogs"), "reg_dir": "/etc", "is_off": True}]}
    refused = problems_of(post(client, "check", {"values": {**both, **hidden}}).json())
    assert "no folder that this program may look into" in refused["concepts.0.reg_dir"]


def test_quotes_around_the_path_of_a_concept_are_taken_off(client, both):
    quoted = {**both, "concepts": [{**both["concepts"][0], "image_dir": f'"{both["concepts"][0]["image_dir"]}"'}]}
    assert post(client, "check", {"values": quoted}).json()["ok"]


def read(client, toml):
    answer = client.post(API + "recipes", files=[("files", ("data.toml", toml.encode()))], headers={"X-Lora-Trainer": "1"})
    assert answer.status_code == 200, answer.text
    return answer.json()


def subset(folder, **more):
    lines = [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    return "\n".join(["[[datasets.subsets]]", f"image_dir = '{folder}'", *lines, ""])


def test_a_data_set_file_becomes_the_list_of_concepts_and_the_list_the_same_file_again(client, both, tmp_path):
    own = {**both, "keep_tokens": 1, "concepts": [{**both["concepts"][0], "settings": {"flip_aug": True, "keep_tokens": 2}}]}
    text = post(client, "check", {"values": own}).json()["dataset"]
    recipe = read(client, text.replace("[[datasets]]", "[[datasets]]\nresolution = 256", 1))
    assert recipe["dropped"] == [] and recipe["missing"] == []
    again = post(client, "check", {"values": {**values_of(both), **recipe["values"], "keep_tokens": 1}}).json()
    assert again["dataset"] == text


def values_of(both):
    return {key: value for key, value in both.items() if key not in ("concepts", "image_dir", "identifier", "class_name")}


def test_regularisation_folders_of_a_file_go_to_the_concepts_of_their_class(client, both, tmp_path):
    for name in ("rf", "rd"):
        (tmp_path / name).mkdir()
    text = "[[datasets]]\nresolution = 256\n"
    text += subset(tmp_path / "frogs", class_tokens="sls frog", num_repeats=2)
    text += subset(tmp_path / "dogs", class_tokens="abc dog")
    text += subset(tmp_path / "rd", class_tokens="dog", is_reg=True, num_repeats=3)
    text += subset(tmp_path / "rf", class_tokens="frog", is_reg=True)
    values = read(client, text)["values"]
    assert values["reg_dir"].endswith("rf") and values["concepts"][0]["reg_dir"].endswith("rd")
    assert values["concepts"][0]["reg_repeats"] == 3


def test_what_the_list_cannot_hold_is_said(client, both, tmp_path):
    frogs, dogs = tmp_path / "frogs", tmp_path / "dogs"

    def table(*subsets, side=256):
        return f"[[datasets]]\nresolution = {side}\n" + "".join(subsets)

    recipe = read(client, table(subset(frogs)) + table(subset(dogs), side=512))
    assert "2 [[datasets]] (resolution)" in recipe["missing"][0]["message"] and recipe["values"]["concepts"] == []
    assert "dogs" in recipe["dataset"], "the file for the command line has both"
    assert len(read(client, table(subset(frogs)) + table(subset(dogs)))["values"]["concepts"]) == 1
    recipe = read(
        client, table(subset(frogs, class_tokens="sls frog", flip_aug=True), subset(dogs, is_reg=True, keep_tokens=3))
    )
    assert [one["key"] for one in recipe["dropped"]] == [f"{dogs}: keep_tokens"]
    assert recipe["values"]["settings"] == {"flip_aug": True}
    off = read(client, table(subset(frogs), subset(dogs, num_repeats=0)))
    assert off["values"]["concepts"][0]["is_off"] is True


def test_a_file_without_further_concepts_takes_those_of_the_form_away(client, both, tmp_path):
    values = read(client, f"[[datasets]]\nresolution = 256\n{subset(tmp_path / 'frogs')}")["values"]
    assert values["concepts"] == [] and values["settings"] is None and values["reg_dir"] is None


def kohya(root, *names):
    for name in names:
        folder = root / name
        folder.mkdir(parents=True)
        (folder / "1.png").write_bytes(picture())
        (folder / "1.caption").write_text("a caption")


def test_kohyas_parent_folder_is_taken_apart_with_its_regularisation_folder(client, tmp_path):
    kohya(tmp_path / "project" / "img", "10_sls green frog", "3_abc dog", "notes")
    kohya(tmp_path / "project" / "reg", "1_dog", "2_green frog")
    for query in ({"folder": "img", "reg": "reg"}, {"folder": "."}):
        query = {name: str(tmp_path / "project" / path) for name, path in query.items()}
        answer = get(client, "concepts", params=query).json()
        assert answer["read"] == ["10_sls green frog", "3_abc dog", "1_dog", "2_green frog"] and answer["left"] == ["notes"]
        first, (second,) = answer["values"], answer["values"]["concepts"]
        assert (first["identifier"], first["class_name"], first["num_repeats"]) == ("sls", "green frog", 10)
        assert first["reg_dir"].endswith("2_green frog") and first["reg_repeats"] == 2
        assert (second["identifier"], second["num_repeats"], second["caption_source"]) == ("abc", 3, "caption")
        assert second["image_dir"].endswith("3_abc dog") and second["reg_dir"].endswith("1_dog")
    kohya(tmp_path / "plain", "frogs")
    assert get(client, "concepts", params={"folder": str(tmp_path / "plain")}).json()["values"] == {}


def test_no_folder_outside_is_taken_apart(client, host, tmp_path):
    host.folders = (tmp_path / "user",)
    kohya(tmp_path / "img", "10_sls frog")
    for query in ({"folder": str(tmp_path / "img")}, {"folder": str(tmp_path / "user"), "reg": str(tmp_path / "img")}):
        answer = get(client, "concepts", params=query)
        assert answer.status_code == 400 and "sls" not in answer.text


def test_the_list_is_saved_as_a_file_that_says_everything_itself(client, both, tmp_path):
    asked = {**both, "keep_tokens": 2, "train_batch_size": 3, "output_name": "", "pretrained_model_name_or_path": ""}
    text = post(client, "concepts/file", {"values": asked}).json()["dataset"]
    (tmp_path / "dataset.toml").write_text(text, encoding="utf-8")
    given = {"pretrained_model_name_or_path": "user/x", "output_dir": str(tmp_path), "output_name": "x"}
    given |= {"network_module": "networks.lora", "dataset_config": str(tmp_path / "dataset.toml")}
    options = train_options(given)
    (dataset,) = load(tmp_path / "dataset.toml", options).datasets
    assert (dataset.resolution, dataset.batch_size, dataset.enable_bucket) == ((256, 256), 3, True)
    assert [(one.class_tokens, one.num_repeats, one.keep_tokens) for one in dataset.subsets] == [
        ("sls frog", 10, 2),
        ("abc dog", 3, 2),
    ]
    wrong = post(client, "concepts/file", {"values": {**both, "concepts": [{"image_dir": "/no/such"}]}})
    assert wrong.status_code == 422 and wrong.json()["problems"][0]["field"] == "concepts.0.image_dir"


def test_regularisation_pictures_are_made_of_a_concepts_class_in_its_buckets(client, service, both, tmp_path):
    asked = {"values": both, "prefix": "concepts.0."}
    planned = post(client, "regularisation/plan", asked).json()
    assert (planned["own"], planned["count"], planned["there"], planned["caption"]) == (6, 10, 0, "dog")
    assert sum(one["count"] for one in planned["sizes"]) == 10
    assert planned["folder"] == str(tmp_path / "user" / "regularisation" / "base" / "dog")
    started = post(client, "regularisation", {**asked, "count": 3})
    assert started.status_code == 201 and started.json()["total"] == 3
    service.reg_images.wait(200)
    told = get(client, "regularisation").json()
    assert (told["state"], told["done"]) == ("finished", 3), told
    used = {**both, "concepts": [{**both["concepts"][0], "reg_dir": told["folder"]}]}
    planned = post(client, "regularisation/plan", {**asked, "values": used, "count": 3}).json()
    assert planned["there"] == 3
    said = [one["message"] for one in post(client, "check", {"values": used}).json()["problems"]]
    (places,) = [text for text in said if "regularisation images fill" in text]
    assert f"fill {planned['needed']} places" in places and planned["needed"] > planned["own"], "the check counts the same"
    dataset = post(client, "datasets", {"folders": [both["image_dir"]]}).json()
    ids = post(client, f"datasets/{dataset['id']}/query", {"filter": ""}).json()["ids"]
    post(client, f"datasets/{dataset['id']}/edit", {"edit": {"kind": "leave_out"}, "ids": ids[:1]})
    fewer = post(client, "regularisation/plan", {**asked, "values": used}).json()["needed"]
    said = [one["message"] for one in post(client, "check", {"values": used}).json()["problems"]]
    assert fewer < planned["needed"] and any(f"fill {fewer} places" in text for text in said), "without what is left out"
    service.generation.release_card()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"concepts": [{"image_dir": "frogs", "class_name": ""}]}, "concepts.0.class_name"),
        ({"pretrained_model_name_or_path": ""}, "pretrained_model_name_or_path"),
    ],
)
def test_without_a_class_or_a_model_no_pictures_are_made(client, both, change, field):
    answer = post(client, "regularisation", {"values": {**both, **change}, "prefix": "concepts.0."})
    assert answer.status_code == 422 and answer.json()["problems"][0]["field"] == field
    assert post(client, "regularisation", {"values": both, "prefix": "concepts.7."}).status_code == 400
    assert post(client, "regularisation", {"values": both, "prefix": "", "count": 0}).json()["problems"][0]["field"] == "count"


def test_a_start_that_races_with_removing_the_pictures_is_refused_and_queues_nothing(
    client, service, values, images, monkeypatch
):
    real = checks.check

    def check_and_lose(*given, **named):
        checked = real(*given, **named)
        shutil.rmtree(images)
        return checked

    monkeypatch.setattr(checks, "check", check_and_lose)
    answer = post(client, "runs", {"values": values})
    assert answer.status_code == 422 and "removed meanwhile" in answer.json()["problems"][0]["message"]
    assert not service.store.runs()


def test_captions_of_a_metadata_file_are_checked_shown_and_read_out_of_a_file_again(client, host, both, tmp_path):
    file = tmp_path / "dogs" / "meta.json"
    file.write_text(json.dumps({"0": {"caption": "a dog", "tags": "grass"}, "gone.png": {"caption": "x"}}))
    named = {**both["concepts"][0], "caption_source": "metadata", "metadata_file": str(file)}
    answer = post(client, "check", {"values": {**both, "concepts": [named]}}).json()
    assert answer["ok"] and [one["images"] for one in answer["plan"]["subsets"]] == [3, 1], answer["problems"]
    told = [(one["field"], one["message"]) for one in answer["problems"]]
    assert any(field == "concepts.0.image_dir" and "gone.png" in message for field, message in told)
    assert any(field == "concepts.0.metadata_file" and "are not trained (1): 1.png" in message for field, message in told)
    query = {"folder": str(tmp_path / "dogs"), "caption_source": "metadata", "metadata_file": str(file)}
    shown = get(client, "images", params=query).json()["images"]
    assert [(one["name"], one["caption"]) for one in shown] == [("0.png", "a dog,grass"), ("1.png", None)]
    text = f"[[datasets]]\nresolution = 256\n{subset(tmp_path / 'dogs', metadata_file=str(file), num_repeats=2)}"
    recipe = read(client, text)
    assert recipe["values"]["metadata_file"] == str(file) and recipe["values"]["caption_source"] == "metadata"
    assert recipe["values"]["num_repeats"] == 2 and not recipe["missing"] and not recipe["dropped"]
    assert f"metadata_file = '{file}'" in recipe["dataset"]
    (missing,) = read(client, text.replace("meta.json", "other.json"))["missing"]
    assert missing["field"] == "metadata_file" and "other.json is not here" in missing["message"]
    host.folders = (tmp_path / "frogs", tmp_path / "models", tmp_path / "user")
    found = problems_of(post(client, "check", {"values": {**both, "concepts": [named]}}).json())
    assert set(found) == {"concepts.0.image_dir", "concepts.0.metadata_file"}
    host.folders = (tmp_path / "frogs",)
    (tmp_path / "frogs" / "in.json").write_text(json.dumps({"0.png": {"caption": "said"}}))
    query = {"folder": str(tmp_path / "frogs"), "caption_source": "metadata", "metadata_file": str(file)}
    assert get(client, "images", params=query).json()["images"][0]["caption"] is None, "no file outside is looked into"
    query["metadata_file"] = str(tmp_path / "frogs" / "in.json")
    assert get(client, "images", params=query).json()["images"][0]["caption"] == "said"
