"""Repeats, regularisation images, buckets, batches and steps are counted as the reference does (golden/steps.json)."""

import json
from pathlib import Path

import pytest
from PIL import Image

from lora_trainer.data.plan import count_steps, make_plan
from lora_trainer.errors import InputError
from lora_trainer.options.dataset_config import DatasetSpec, DataSpec, SubsetSpec, parse_folder_name

CASES = json.loads((Path(__file__).parents[1] / "golden" / "steps.json").read_text(encoding="utf-8"))["cases"]


def write_images(root, folders):
    for folder, files in (folders or {}).items():
        (root / folder).mkdir(parents=True)
        for name, width, height in files:
            if width:
                Image.new("RGB", (width, height), "gray").save(root / folder / name)
            else:
                (root / folder / name).write_text("no image")


def command_line_settings(words):
    options = dict(word.lstrip("-").partition("=")[::2] for word in words)
    side = int(options.pop("resolution"))
    settings = {"resolution": (side, side), "batch_size": int(options.pop("train_batch_size", 1))}
    return settings | dict.fromkeys(options, True)


def specification(case, root):
    settings = command_line_settings(case["command_line"])
    if case["config"]:
        datasets = []
        for table in case["config"]["datasets"]:
            own = settings | case["config"].get("general", {}) | {k: v for k, v in table.items() if k != "subsets"}
            own["resolution"] = (own["resolution"],) * 2 if isinstance(own["resolution"], int) else own["resolution"]
            subsets = [{**s, "image_dir": Path(s["image_dir"].replace("ROOT", str(root)))} for s in table["subsets"]]
            datasets.append(DatasetSpec(subsets=tuple(SubsetSpec(**subset) for subset in subsets), **own))
        return DataSpec(datasets=tuple(datasets))
    subsets = []
    for kind in ("train", "reg"):
        for folder in sorted(path for path in (root / kind).glob("*") if path.is_dir()):
            if parsed := parse_folder_name(folder.name):
                subsets.append(
                    SubsetSpec(image_dir=folder, num_repeats=parsed[0], class_tokens=parsed[1], is_reg=kind == "reg")
                )
    return DataSpec(datasets=(DatasetSpec(subsets=tuple(subsets), **settings),))


def repeats_of(plan, root, dataset, *, is_reg):
    shown = [i for i in plan.images if i.dataset == dataset and i.is_reg is is_reg and i.repeats]
    return {Path(i.path).relative_to(root).as_posix(): i.repeats for i in shown}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_counts_equal_the_references(case, tmp_path):
    write_images(tmp_path / "train", case["train"])
    write_images(tmp_path / "reg", case["reg"])
    plan = make_plan(specification(case, tmp_path), verify=False)
    for index, (dataset, golden) in enumerate(zip(plan.datasets, case["datasets"], strict=True)):
        assert dataset.train_images == golden["num_train_images_with_repeats"]
        assert dataset.reg_images == golden["num_reg_images_with_repeats"]
        assert dataset.samples == golden["samples_per_epoch"]
        assert repeats_of(plan, tmp_path, index, is_reg=False) == golden["train_image_repeats"]
        assert repeats_of(plan, tmp_path, index, is_reg=True) == golden["reg_image_repeats"]
        subsets = [s for s in plan.subsets if s.dataset == index]
        assert [
            [s.spec.image_dir.relative_to(tmp_path).as_posix(), s.spec.num_repeats, s.spec.is_reg, s.images] for s in subsets
        ] == golden["subsets"]
        if golden["buckets"] is not None:
            assert [[list(b), n, plan.batches_of(index, n)] for b, n in dataset.buckets.items()] == golden["buckets"]
            assert dataset.mean_aspect_error == pytest.approx(golden["mean_img_ar_error"], rel=1e-6)
    assert plan.batches_per_epoch == case["batches_per_epoch"] == len(plan.batches(0))
    assert sum(dataset.train_images for dataset in plan.datasets) == case["num_train_images"]
    assert sum(dataset.reg_images for dataset in plan.datasets) == case["num_reg_images"]
    check_steps(plan, case["steps"])


def check_steps(plan, golden):
    if isinstance(golden, str):
        with pytest.raises(InputError, match="no images to train"):
            count_steps(plan)
        return
    for row in golden:
        given = {key: row[key] for key in ("max_train_epochs", "gradient_accumulation_steps") if key in row}
        if "max_train_epochs" not in row:
            given["max_train_steps"] = row["max_train_steps"]
        counts = count_steps(plan, **given)
        assert counts.total_steps == row["max_train_steps"]
        assert counts.steps_per_epoch == row["updates_per_epoch"]
        assert counts.epochs == row["num_train_epochs"]


def test_two_processes_with_batch_1_take_as_many_steps_as_one_with_batch_2(tmp_path):
    case = CASES[0]
    write_images(tmp_path / "train", case["train"])
    alone = make_plan(specification(case, tmp_path), verify=False)
    half = dict(case, command_line=["--resolution=512", "--train_batch_size=1"])
    together = make_plan(specification(half, tmp_path), verify=False, world_size=2)
    assert together.batches_per_epoch == alone.batches_per_epoch
    assert together.batches(3) == alone.batches(3)


def test_accumulation_of_no_gradients_is_refused():
    with pytest.raises(InputError, match="gradient_accumulation_steps is 0"):
        count_steps(10, gradient_accumulation_steps=0)
