"""What the page is told before a run starts: what will be trained, and everything that is wrong, at its field."""

from pathlib import Path

import pytest

from lora_trainer.api import checks, sizes

from .conftest import get, picture, post, problems_of
from .test_runs import posix


@pytest.fixture(autouse=True)
def roomy(monkeypatch) -> None:
    """A disk with room for everything, however full this machine's is."""
    monkeypatch.setattr(checks, "_free_bytes", lambda _folder: 10**13)


def test_check_tells_what_will_be_trained(client, values):
    answer = post(client, "check", {"values": values}).json()
    assert answer["ok"], answer["problems"]
    plan = answer["plan"]
    assert (plan["images"], plan["reg_images"], plan["total_steps"]) == (3, 0, 20)
    assert plan["steps_per_epoch"] == 30
    assert plan["subsets"][0]["captions"] == 3
    assert plan["subsets"][0]["repeats"] == 10
    assert sum(bucket["images"] for bucket in plan["buckets"]) == 3
    assert plan["examples"][0] == {"image": "0.png", "caption": "a sls frog, number 0"}
    assert answer["base_model"]["family"] == "sd1"
    assert answer["output"] == {"name": "frog", "exists": False, "saved_as": "frog"}
    assert answer["disk"]["free"] > answer["disk"]["needed"] > 0


def test_who_looks_at_a_form_with_pictures_gets_a_process_ready_for_its_training(client, service, values, monkeypatch):
    asked = []
    monkeypatch.setattr(service.standby, "wanted", lambda: asked.append(True))
    post(client, "check", {"values": values})
    assert asked == [], "a script, or a tab that nobody sees"
    post(client, "check", {"values": {**values, "image_dir": ""}, "is_seen": True})
    assert asked == [], "nothing to train yet"
    post(client, "check", {"values": values, "is_seen": True})
    assert asked == [True]


def test_a_disk_with_too_little_room_is_an_error_and_one_without_room_for_all_the_saves_a_warning(client, values, monkeypatch):
    needed = post(client, "check", {"values": values}).json()["disk"]["needed"]
    many = {**values, "save_every_n_steps": 1}

    def with_free(free: int, asked: dict) -> dict:
        monkeypatch.setattr(checks, "_free_bytes", lambda _folder: free)
        return post(client, "check", {"values": asked}).json()

    full, scarce, enough = with_free(1000, values), with_free(needed, many), with_free(needed, values)
    assert not full["ok"] and "only 1000 B are free" in str(full["problems"])
    assert scarce["ok"] and "are free" in str(scarce["problems"]) and "are free" not in str(enough["problems"])


def test_the_size_of_a_result_is_guessed_by_what_is_trained_and_by_how_large_the_base_model_is(client, values, monkeypatch):
    def needed(**more):
        return post(client, "check", {"values": {**values, "output_name": "zzq", **more}}).json()["disk"]["needed"]

    word = needed(trains="embedding", use_object_template=True)
    assert word < 200_000 < needed(), "an embedding is a few kilobytes: it is not refused for want of what a LoRA takes"
    assert needed(trains="embedding", use_object_template=True, num_vectors_per_token=3) == 3 * word
    on_a_tiny_model = needed()
    monkeypatch.setattr(sizes, "_narrowness", lambda *_: 1.0)
    assert on_a_tiny_model < needed() / 4


@pytest.mark.parametrize("trains", ["embedding", "pivotal"])
def test_sample_prompts_that_never_say_the_learned_word_are_warned_of(client, values, trains):
    word = {**values, "trains": trains, "token_string": "zzq", "init_word": "frog"}
    word |= {"use_object_template": True} if trains == "embedding" else {}

    def said(prompts: str) -> str:
        return str(post(client, "check", {"values": {**word, "prompts": prompts}}).json()["problems"])

    assert "no sample prompt holds the word 'zzq'" in said("a frog\na red frog, zzqs")
    assert "no sample prompt holds" not in said("a frog\na ZZQ frog") + said("") + said("#")


def test_states_count_among_what_will_be_written(client, values):
    without = {**values, "save_precision": None, "save_state_on_train_end": False, "save_state_every_n_minutes": None}

    def needed(**more):
        return post(client, "check", {"values": {**without, **more}}).json()["disk"]["needed"]

    one = needed() / 2  # the result and its copy
    assert needed(save_state_on_train_end=True) == 5 * one and needed(save_state_every_n_minutes=5) == 11 * one
    assert needed(save_state_on_train_end=True, save_precision="fp16") == 4 * one


def test_check_reports_everything_at_its_field_and_still_shows_the_plan(client, values, tmp_path):
    wrong = {**values, "network_dim": 0, "learning_rate": "much", "output_name": "../evil"}
    del wrong["pretrained_model_name_or_path"]
    answer = post(client, "check", {"values": wrong}).json()
    assert not answer["ok"]
    assert {"network_dim", "learning_rate", "output_name", "pretrained_model_name_or_path"} <= problems_of(answer).keys()
    assert answer["plan"]["images"] == 3


@pytest.mark.parametrize("name", ["pretrained_model_name_or_path", "output_name"])
def test_what_is_missing_alone_does_not_empty_the_plan(client, values, name):
    answer = post(client, "check", {"values": {key: value for key, value in values.items() if key != name}}).json()
    assert set(problems_of(answer)) == {name} and answer["plan"]["images"] == 3


@pytest.mark.parametrize(
    "written",
    ['"{}"', "'{}'", " {} ", "{}\n", "\u202a{}", "\u201c{}\u201d", '\t"{}" \n', "file://{}"],
)
def test_a_path_is_taken_as_it_was_meant(client, values, images, written):
    for name in ("image_dir", "pretrained_model_name_or_path"):
        answer = post(client, "check", {"values": {**values, name: written.format(values[name])}}).json()
        assert answer["ok"] and answer["plan"]["images"] == 3 and answer["base_model"]["family"] == "sd1", answer["problems"]
    assert len(get(client, "images", params={"folder": written.format(images)}).json()["images"]) == 3


def test_a_folder_that_is_a_file_is_called_one(client, values, images):
    answer = post(client, "check", {"values": {**values, "image_dir": str(images / "0.png")}}).json()
    assert "is a file, not a folder" in problems_of(answer)["image_dir"]
    shown = get(client, "images", params={"folder": str(images / "0.png")})
    assert shown.status_code == 400 and "is a file, not a folder" in shown.json()["error"]["message"]


@posix
@pytest.mark.parametrize("way", ["same", "dots", "link"])
def test_one_folder_for_training_and_regularisation_is_found_however_it_is_written(client, values, images, tmp_path, way):
    (tmp_path / "link").symlink_to(images)
    written = {"same": images, "dots": images / ".." / images.name, "link": tmp_path / "link"}[way]
    answer = post(client, "check", {"values": {**values, "reg_dir": str(written)}}).json()
    (said,) = [one for one in answer["problems"] if "training and for regularisation" in one["message"]]
    assert said["level"] == "warning" and said["where"] == str(written.absolute())
    assert answer["plan"]["reg_images"] == 0


@pytest.mark.parametrize(
    ("spoil", "field"),
    [
        ({"image_dir": "/nowhere"}, "image_dir"),
        ({"image_dir": None}, "image_dir"),
        ({"output_name": ""}, "output_name"),
        ({"output_name": "CON"}, "output_name"),
        ({"pretrained_model_name_or_path": "/nowhere.safetensors"}, "pretrained_model_name_or_path"),
        ({"network_weights": "/nowhere.safetensors"}, "network_weights"),
        ({"no_such_option": 1}, "no_such_option"),
        ({"reg_dir": "/nowhere"}, "reg_dir"),
        ({"prompts": "a frog --w abc"}, "prompts"),
        ({"prompts": "a frog\na frog --ss nonsense"}, "prompts"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_keeps_the_run_from_starting(client, values, spoil, field):
    body = {"values": {**values, **spoil}}
    assert field in problems_of(post(client, "check", body).json())
    refused = post(client, "runs", body)
    assert refused.status_code == 422
    assert field in {one["field"] for one in refused.json()["problems"]}
    assert get(client, "runs").json()["runs"] == []


@pytest.mark.parametrize(
    "spoil",
    [
        {"resolution": "63"},
        {"resolution": "many"},
        {"resolution": ""},
        {"max_train_steps": "x"},
        {"num_repeats": "often"},
        {"reg_dir": "/nowhere"},
        {"no_such_option": 1},
        {"output_name": "CON", "network_dim": -3, "caption_source": "tags", "learning_rate": "fast"},
        {"caption_source": "other"},
        {"color_aug": True, "cache_latents": True},
        {"min_timestep": 900, "max_timestep": 100},
        {"pretrained_model_name_or_path": "/nowhere.safetensors", "network_weights": "/nowhere.safetensors"},
    ],
)
def test_what_is_wrong_elsewhere_does_not_empty_the_plan(client, values, spoil):
    answer = post(client, "check", {"values": {**values, **spoil}}).json()
    assert not answer["ok"] and answer["plan"], answer["problems"]
    assert answer["plan"]["images"] == 3 and answer["plan"]["buckets"] and answer["plan"]["examples"]


def test_a_name_with_a_slash_is_told_as_it_was_typed_and_no_part_of_it_is_shown_as_the_file(client, values):
    answer = post(client, "check", {"values": {**values, "output_name": "my/badge\\x"}}).json()
    assert "the name “my/badge\\x” contains" in problems_of(answer)["output_name"] and not answer["output"]["saved_as"]


def test_a_word_that_is_not_typed_yet_does_not_empty_the_plan(client, values):
    answer = post(client, "check", {"values": {**values, "trains": "pivotal", "identifier": "", "token_string": ""}}).json()
    assert [one["field"] for one in answer["problems"] if one["level"] == "error"] == ["token_string"]
    assert answer["plan"]["total_steps"] > 0


def test_samples_without_words_are_asked_for_where_the_page_has_their_prompts(client, values):
    silent = {**values, "identifier": "", "class_name": "", "caption_source": "txt"}

    def told(**more):
        return post(client, "check", {"values": {**silent, **more}}).json()["problems"]

    assert "No samples will be drawn" in " ".join(one["message"] for one in told())
    (error,) = [one for one in told(sample_every_n_steps=6) if one["level"] == "error"]
    assert error["field"] == "prompts" and "“Sample prompts”" in error["advice"]


def test_a_base_model_that_is_not_chosen_yet_does_not_empty_the_plan(client, values):
    del values["pretrained_model_name_or_path"]
    answer = post(client, "check", {"values": values}).json()
    assert not answer["ok"] and answer["plan"]["images"] == 3


def test_images_that_are_not_there_leave_no_plan(client, values):
    assert post(client, "check", {"values": {**values, "image_dir": "/nowhere"}}).json()["plan"] is None


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"learning_rate": 0, "text_encoder_lr": 5e-5}, "learning_rate"),
        ({"learning_rate": 10}, "learning_rate"),
        ({"unet_lr": 1}, "unet_lr"),
        ({"text_encoder_lr": 1e-12}, "text_encoder_lr"),
        ({"max_train_epochs": 300, "num_repeats": 1}, "max_train_epochs"),
        ({"max_train_steps": 5000}, "max_train_steps"),
        ({"max_train_steps": 1, "train_batch_size": 1}, "max_train_steps"),
        ({"network_dim": 1024}, "network_dim"),
        ({"output_name": "frog.safetensors"}, "output_name"),
        ({"output_name": ".frog"}, "output_name"),
        ({"network_dim": 2, "network_alpha": 128}, "network_alpha"),
    ],
)
def test_settings_that_cannot_be_meant_get_a_warning_at_their_field(client, values, odd, field):
    usual = {**values, "max_train_steps": 100, "train_batch_size": 1, "resolution": "64"}
    assert problems_of(post(client, "check", {"values": usual}).json(), "warning") == {}
    answer = post(client, "check", {"values": {**usual, **odd}}).json()
    assert answer["ok"] and set(problems_of(answer, "warning")) == {field}, answer["problems"]


@pytest.mark.parametrize("meant", [{"unet_lr": 0.0}, {"learning_rate": 0, "unet_lr": 1e-4}, {"text_encoder_lr": 0}])
def test_a_rate_of_zero_that_switches_one_part_off_is_no_mistake(client, values, meant):
    usual = {**values, "max_train_steps": 300}
    answer = post(client, "check", {"values": {**usual, **meant}}).json()
    assert "learning_rate" not in problems_of(answer, "warning")


def test_a_base_model_that_is_cut_short_or_a_lora_is_refused(client, values, tmp_path):
    whole = Path(values["pretrained_model_name_or_path"])
    short = tmp_path / "models" / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:1000])
    answer = post(client, "check", {"values": {**values, "pretrained_model_name_or_path": str(short)}}).json()
    assert "pretrained_model_name_or_path" in problems_of(answer)
    answer = post(client, "check", {"values": {**values, "network_weights": str(whole)}}).json()
    assert "network_weights" in problems_of(answer)


def test_what_is_given_per_block_is_held_against_the_blocks_of_the_base_model(client, values):
    def found(*args: str) -> list:
        answer = post(client, "check", {"values": {**values, "network_args": list(args)}}).json()
        return [(one["level"], one["message"]) for one in answer["problems"] if one["field"] == "network_args"]

    dims = "block_dims=" + ",".join(["4"] * 25)
    assert found(dims, "mid_lr_weight=0.5") == []
    ((level, message),) = found("block_dims=" + ",".join(["4"] * 23))  # SDXL's count
    assert level == "error" and message.startswith("block_dims has 23 numbers; expected 25")
    assert [level for level, _ in found("up_lr_weight=1,1", dims)] == ["warning"]
    assert found("block_alphas=" + ",".join(["4"] * 25))[0][0] == "warning"


def test_bad_images_are_found_before_anything_starts(client, values, images):
    (images / "cut.png").write_bytes(picture()[:60])
    (images / "text.jpg").write_text("no image")
    (images / "zero.webp").write_bytes(b"")
    answer = post(client, "check", {"values": values}).json()
    told = " ".join(one["message"] + one["where"] for one in answer["problems"])
    assert all(name in told for name in ("cut.png", "text.jpg", "zero.webp"))


def test_missing_packages_of_the_host_keep_a_run_from_starting(client, host, values):
    from lora_trainer.hosts.base import HostProblem

    host.missing = [HostProblem(message="torch is missing.", advice="Install it.")]
    assert get(client, "state").json()["ready"] is False
    assert post(client, "runs", {"values": values}).status_code == 422


def test_check_tells_what_would_spoil_the_training_why_and_what_mends_it(client, values, images):
    (images / "1.txt").write_text("a frog, number 1")
    (images / "copy.png").write_bytes((images / "0.png").read_bytes())
    (images / "copy.txt").write_text("a sls frog, once more")
    answer = post(client, "check", {"values": {**values, "train_batch_size": 2, "max_train_steps": 3000}}).json()
    found = {one["code"]: one for one in answer["problems"] if one.get("code")}
    absent = found["identifier_absent"]
    assert (absent["field"], absent["files"], absent["count"]) == ("identifier", ["1.png"], 1)
    assert absent["fix"] == {"name": "add_words", "label": "Write 'sls' in front of these captions", "values": {"text": "sls"}}
    assert "cannot be called" in absent["why"]
    assert found["duplicate"]["fix"]["values"] == {}, "paths are told to nobody"
    assert answer["plan"]["waiting"] == 0
    korean = post(client, "check", {"values": values}, headers={"Accept-Language": "ko"}).json()["problems"]
    (said,) = [one for one in korean if one.get("code") == "identifier_absent"]
    assert said["fix"]["label"] == "이 캡션들 앞에 'sls' 적기" and said["why"].startswith("캡션에 없는 말")


def test_the_words_of_the_form_are_asked_for_and_repeats_are_balanced_by_its_fields(client, values, images, tmp_path):
    few = tmp_path / "few"
    few.mkdir()
    (few / "z.png").write_bytes(picture((300, 260), "blue"))
    (few / "z.txt").write_text("a toad of its own")
    concept = {"image_dir": str(few), "identifier": "ohwx", "class_name": "toad", "num_repeats": 1}
    problems = post(client, "check", {"values": {**values, "concepts": [concept]}}).json()["problems"]
    found = {one["code"]: one for one in problems if one.get("code")}
    assert (found["identifier_absent"]["field"], found["identifier_absent"]["files"]) == ("concepts.0.identifier", ["z.png"])
    assert found["unbalanced"]["fix"]["values"] == {"num_repeats": 10, "concepts.0.num_repeats": 30}
