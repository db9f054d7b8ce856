"""make_reg_images: pictures of the class in the buckets of a data set, with captions; a second call draws what lacks."""

import hashlib

import pytest
from PIL import Image

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.sampling import reg_images


def run(*argv):
    return reg_images.main([*map(str, argv), "--steps", "2", "--device", "cpu"])


def digests(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.png")}


def test_the_buckets_of_a_data_set_are_filled_and_a_second_call_draws_what_lacks(tmp_path, tiny_sd1):
    for name, sizes in (("frogs", [(64, 64)] * 3 + [(128, 64)]), ("dogs", [(64, 128)])):
        (tmp_path / name).mkdir()
        for number, size in enumerate(sizes):
            Image.new("RGB", size, (number * 40, 90, 20)).save(tmp_path / name / f"{number}.png")
    (tmp_path / "data.toml").write_text(
        "[[datasets]]\nresolution = 64\nenable_bucket = true\nmin_bucket_reso = 32\nbucket_reso_steps = 8\n"
        f"[[datasets.subsets]]\nimage_dir = '{tmp_path / 'frogs'}'\nclass_tokens = 'sls frog'\n"
        f"[[datasets.subsets]]\nimage_dir = '{tmp_path / 'dogs'}'\nclass_tokens = 'abc dog'\n",
        encoding="utf-8",
    )
    asked = [
        "--ckpt",
        tiny_sd1,
        "--class_name",
        "frog",
        "--dataset_config",
        tmp_path / "data.toml",
        "--outdir",
        tmp_path / "reg",
    ]
    assert run(*asked) == 0
    first = digests(tmp_path / "reg")
    sizes = sorted(Image.open(tmp_path / "reg" / name).size for name in first)
    assert len(sizes) == 4 and sizes.count((64, 64)) == 3 and max(width / height for width, height in sizes) > 1
    assert {path.read_text() for path in (tmp_path / "reg").glob("*.txt")} == {"frog\n"}
    told = Image.open(tmp_path / "reg" / "64x64-0001-seed2.png").text["parameters"]
    assert told.startswith("frog") and "Seed: 2" in told
    (tmp_path / "reg" / "64x64-0001-seed2.png").unlink()
    assert run(*asked) == 0
    assert digests(tmp_path / "reg") == first, "the picture that was gone is the same again"


@pytest.mark.parametrize(
    ("more", "field"),
    [
        (["--class_name", " "], "class_name"),
        (["--class_name", "dog", "--count", "0"], "count"),
        (["--class_name", "dog", "--resolution", "big"], "resolution"),
        (["--class_name", "dog", "--batch_size", "0"], "batch_size"),
        (["--class_name", "dog", "--sampler", "nothing"], "sampler"),
        (["--class_name", "dog", "--dataset_config", "/no/such.toml"], "dataset_config"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(tmp_path, tiny_sd1, more, field):
    with pytest.raises((InputError, InputErrors)) as raised:
        run("--ckpt", tiny_sd1, "--outdir", tmp_path / "reg", *more)
    errors = raised.value.errors if isinstance(raised.value, InputErrors) else [raised.value]
    assert [error.field for error in errors] == [field]
    assert not (tmp_path / "reg").exists()
