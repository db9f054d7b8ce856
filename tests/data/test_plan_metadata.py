"""The data's ss_* values equal those of real runs of the reference (golden/metadata.json)."""

import json
from pathlib import Path

import pytest
from dataset_files import make_images

from lora_trainer.data.plan import make_plan, metadata
from lora_trainer.options.dataset_config import DatasetSpec, DataSpec, SubsetSpec

RUNS = json.loads((Path(__file__).parents[1] / "golden" / "metadata.json").read_text(encoding="utf-8"))["runs"]
JSON_VALUES = {"ss_datasets", "ss_tag_frequency", "ss_dataset_dirs", "ss_reg_dataset_dirs", "ss_bucket_info"}


@pytest.fixture
def folders(tmp_path):
    frogs = make_images(tmp_path / "data" / "2_sls frog", {"a.png": (256, 256), "b.png": (320, 256)})
    (frogs / "a.txt").write_text("SLS frog, green, pond\n")
    (frogs / "b.txt").write_text("sls frog\n")
    reg = make_images(tmp_path / "reg" / "1_frog", {"a.png": (256, 256)})
    (reg / "a.txt").write_text("sls frog, green, pond\n")
    make_images(tmp_path / "one" / "1_cat", {"a.png": (128, 128), "b.png": (128, 128)})
    return tmp_path


def frogs(folders, **settings):
    return SubsetSpec(image_dir=folders / "data" / "2_sls frog", class_tokens="sls frog", caption_extension=".txt", **settings)


def reg(folders, **settings):
    return SubsetSpec(
        image_dir=folders / "reg" / "1_frog", class_tokens="frog", caption_extension=".txt", is_reg=True, **settings
    )


def compare(ours, run, left_out=()):
    golden = next(iter(RUNS[run]["metadata"].values()))
    assert set(ours) <= set(golden)
    for name, value in ours.items():
        if name in left_out:
            continue
        if name in JSON_VALUES:
            assert json.dumps(json.loads(value)) == json.dumps(json.loads(golden[name])), name
        else:
            assert value == golden[name], name
    wanted = {name for name in golden if "dataset" in name or "bucket" in name or name in ("ss_tag_frequency", "ss_resolution")}
    assert wanted <= set(ours)


def test_folders_from_the_command_line_as_in_run_a(folders):
    dataset = DatasetSpec(
        resolution=(256, 256),
        enable_bucket=True,
        min_bucket_reso=256,
        max_bucket_reso=512,
        subsets=(frogs(folders, num_repeats=2), reg(folders)),
    )
    ours = metadata(make_plan(DataSpec(datasets=(dataset,))), dataset_config=False)
    compare(ours, "A", left_out={"ss_bucket_info"})  # its images were others
    assert json.loads(ours["ss_bucket_info"])["buckets"] == {"0": {"resolution": [256, 256], "count": 8}}
    assert json.loads(ours["ss_bucket_info"])["mean_img_ar_error"] == pytest.approx(0.25 / 3)


def test_two_data_sets_that_share_a_folder_as_in_run_b(folders):
    common = {"shuffle_caption": True, "keep_tokens": 1}
    subsets = (frogs(folders, num_repeats=3, flip_aug=True, **common), reg(folders, **common))
    first = DatasetSpec(resolution=(256, 256), batch_size=2, enable_bucket=True, subsets=subsets)
    second = DatasetSpec(
        resolution=(256, 256), enable_bucket=True, min_bucket_reso=128, max_bucket_reso=512, subsets=(frogs(folders, **common),)
    )
    compare(metadata(make_plan(DataSpec(datasets=(first, second))), dataset_config=True), "B")


def test_one_folder_of_class_tokens_as_in_run_d(folders):
    subset = SubsetSpec(image_dir=folders / "one" / "1_cat", class_tokens="cat")
    dataset = DatasetSpec(resolution=(128, 128), enable_bucket=True, min_bucket_reso=64, max_bucket_reso=256, subsets=(subset,))
    compare(metadata(make_plan(DataSpec(datasets=(dataset,))), dataset_config=False), "D")


def test_without_buckets_there_is_no_bucket_info(folders):
    dataset = DatasetSpec(resolution=(256, 256), bucket_no_upscale=True, subsets=(frogs(folders),))
    ours = metadata(make_plan(DataSpec(datasets=(dataset,)), world_size=2), dataset_config=False)
    assert ours["ss_bucket_info"] == "null"
    assert ours["ss_min_bucket_reso"] == "None"
    assert ours["ss_bucket_no_upscale"] == "False"
    assert (ours["ss_batch_size_per_device"], ours["ss_total_batch_size"]) == ("1", "2")


def test_no_path_of_the_users_machine_is_told(folders):
    dataset = DatasetSpec(resolution=(256, 256), subsets=(frogs(folders), reg(folders)))
    for config in (False, True):
        values = metadata(make_plan(DataSpec(datasets=(dataset,))), dataset_config=config)
        assert not any(str(folders) in value or folders.name in value for value in values.values())
