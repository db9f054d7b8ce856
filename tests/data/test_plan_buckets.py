"""Buckets are those of the reference (golden/buckets.json), and what it lets crash is explained."""

import json
from pathlib import Path

import pytest

from lora_trainer.data.plan.buckets import (
    bucket_limits,
    bucket_resolutions,
    centre_crop,
    cover,
    crop_box,
    fit_to_buckets,
    fit_without_upscaling,
)
from lora_trainer.errors import InputError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "buckets.json").read_text(encoding="utf-8"))
BUCKETED = [setting for setting in GOLDEN["settings"] if setting.get("enable_bucket", True)]
UNBUCKETED = [setting for setting in GOLDEN["settings"] if not setting.get("enable_bucket", True)]


def name_of(setting):
    return "-".join(str(value) for key, value in setting.items() if key not in ("images", "buckets"))


@pytest.mark.parametrize("case", GOLDEN["adjustment"], ids=str)
def test_limits_are_rounded_and_checked_against_the_resolution(case):
    arguments = tuple(case["resolution"]), case["min_bucket_reso"], case["max_bucket_reso"], case["bucket_reso_steps"]
    if "adjusted" in case:
        assert list(bucket_limits(*arguments)) == case["adjusted"]
    else:
        with pytest.raises(InputError) as caught:
            bucket_limits(*arguments)
        assert caught.value.field in case["message"]


def test_a_limit_below_one_step_becomes_one_step():
    assert bucket_limits((512, 512), 0, 1024, 64) == (64, 1024)
    assert (64, 1024) in bucket_resolutions((512, 512), 64, 1024, 64)


def test_a_resolution_below_one_step_is_refused():
    with pytest.raises(InputError, match="bucket_reso_steps"):
        bucket_limits((32, 512), 32, 1024, 64)


@pytest.mark.parametrize("setting", [s for s in BUCKETED if not s["bucket_no_upscale"]], ids=name_of)
def test_the_list_of_buckets_is_the_references(setting):
    sizes = bucket_resolutions(tuple(setting["resolution"]), *setting["adjusted_min_max"], setting["bucket_reso_steps"])
    assert [list(size) for size in sizes] == setting["buckets"]


@pytest.mark.parametrize("setting", BUCKETED, ids=name_of)
def test_every_image_gets_the_references_bucket_size_crop_and_error(setting):
    buckets = [tuple(size) for size in setting.get("buckets", [])]
    for row in setting["images"]:
        image = (row[0], row[1])
        if setting["bucket_no_upscale"]:
            if isinstance(row[2], str) or 0 in row[2:4]:
                with pytest.raises(InputError, match="no side may be shorter"):
                    fit_without_upscaling(image, tuple(setting["resolution"]), setting["bucket_reso_steps"])
                continue
            fit = fit_without_upscaling(image, tuple(setting["resolution"]), setting["bucket_reso_steps"])
        else:
            fit = fit_to_buckets(image, buckets)
        assert [*image, *fit.bucket, *fit.resized, *centre_crop(fit.resized, fit.bucket)] == row[:8]
        assert fit.aspect_error == pytest.approx(row[8], rel=1e-6, abs=1e-12)
        assert crop_box(image, fit.bucket) == pytest.approx(row[9], rel=1e-6)


@pytest.mark.parametrize("setting", UNBUCKETED, ids=name_of)
def test_without_buckets_an_image_covers_the_resolution(setting):
    for row in setting["images"]:
        assert list(cover((row[0], row[1]), tuple(setting["resolution"]))) == row[4:6]
