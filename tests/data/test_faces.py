"""face_crop_aug_range: where the face is comes from the file's name, and the picture is cut around it."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from dataset_files import make_images, one_dataset, picture

from lora_trainer.data.dataset import EpochStream, TrainDataset
from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.cuts import around_face
from lora_trainer.data.plan.faces import Face, face_of

BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 8}


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a_100_60_30_40.png", Face(100, 60, 40)),
        ("2024_01_frog_100_60_30_40.webp", Face(100, 60, 40)),
        ("a_100_60_30.png", None),
        ("100_60_30_40.png", None),  # as in the reference five parts are needed
        ("a_b_c_d_e.png", None),
        ("a_900_60_30_40.png", None),  # outside
        ("a_100_60_0_40.png", None),
    ],
)
def test_the_face_is_read_from_the_name(name, found):
    assert face_of(name, (400, 300)) == found


@pytest.mark.parametrize("is_random", [False, True])
def test_the_cut_holds_the_face_at_a_size_within_the_range(is_random):
    face = Face(300, 100, 50)
    cuts = [around_face((400, 300), (64, 96), face, (1.5, 3.0), Random(seed), is_random=is_random) for seed in range(200)]
    shares = []
    for cut in cuts:
        assert 0 <= cut.left <= cut.resized[0] - 64 and 0 <= cut.top <= cut.resized[1] - 96
        scale = cut.resized[0] / 400
        shares.append(64 / (face.side * scale))
        if not is_random:
            away = abs(face.x * scale - (cut.left + 32)), abs(face.y * scale - (cut.top + 48))
            assert max(away[0], away[1] if cut.top else 0) <= face.side * scale / 20 + 1.5
    assert 1.49 < min(shares) < 1.6 and 2.8 < max(shares) < 3.02
    assert len(set(cuts)) > 150


def test_a_picture_is_neither_enlarged_for_its_face_nor_smaller_than_its_bucket():
    assert around_face((400, 300), (64, 64), Face(200, 150, 10), (1.0, 1.0), Random(0)).resized == (400, 300)
    assert around_face((400, 300), (128, 256), Face(200, 150, 290), (4.0, 4.0), Random(0)).resized == (341, 256)
    assert around_face((40, 30), (64, 64), Face(20, 15, 5), (1.0, 2.0), Random(0)).resized == (85, 64)


@pytest.mark.effect("face_crop_aug_range")
@pytest.mark.parametrize("settings", [{}, BUCKETS])
def test_a_training_sees_faces_and_says_where_there_is_none(tmp_path, settings):
    make_images(tmp_path, {"a_250_100_40_40.png": (320, 320), "b.png": (320, 320)})
    subset = {"image_dir": tmp_path, "class_tokens": "x", "face_crop_aug_range": (1.6, 1.6)}
    plan = make_plan(one_dataset(subset, **settings))
    [said] = [one.message for one in plan.findings if one.field == "face_crop_aug_range"]
    assert said.startswith("1 image whose name tells of no face (NAME_x_y_width_height), cut as without") and "b.png" in said
    dataset = TrainDataset(plan)
    for key in EpochStream(plan, 1):
        [sample] = dataset.samples(key)
        if sample.image.path.endswith("b.png"):
            assert sample.cut.resized == (64, 64)
        else:
            assert np.array_equal(
                dataset.picture(sample), np.array(picture(320, 320))[100 - 32 : 100 + 32, 250 - 32 : 250 + 32]
            )
