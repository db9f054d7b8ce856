"""Bad data is found and named when the training is planned, and nothing else is lost (see golden/bad_inputs.json)."""

import json
import os
import struct
import zlib
from pathlib import Path

import pytest
from dataset_files import make_images, one_dataset, picture
from PIL import Image

from lora_trainer.data.plan import make_plan
from lora_trainer.errors import InputErrors


def findings(plan, level):
    return [finding for finding in plan.findings if finding.level == level]


def the_error(plan):
    (error,) = findings(plan, "error")
    with pytest.raises(InputErrors):
        plan.raise_errors()
    return error


@pytest.fixture
def folder(tmp_path):
    return make_images(tmp_path / "frogs", {"a.png": (64, 64), "b.jpg": (64, 64)}, captions="a frog")


def plan_of(folder, **settings):
    subset = {"image_dir": folder, "caption_extension": ".txt"}
    return make_plan(one_dataset(subset | settings.pop("subset", {}), **settings))


def test_good_images_give_no_finding(folder):
    plan = plan_of(folder)
    assert plan.findings == ()
    plan.raise_errors()
    assert [image.caption for image in plan.images] == ["a frog", "a frog"]


def test_a_missing_folder_is_named(tmp_path):
    error = the_error(plan_of(tmp_path / "nope"))
    assert "does not exist" in error.message
    assert error.where == str(tmp_path / "nope")


def test_a_file_given_as_folder_is_refused(folder):
    assert the_error(plan_of(folder / "a.png")).where.endswith("a.png")


def test_a_folder_that_may_not_be_read_is_named_with_the_reason(folder, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("lora_trainer.data.plan.folder.list_folder", refuse)
    monkeypatch.setattr("lora_trainer.data.plan.memory._stamp", lambda folder: None)
    error = the_error(plan_of(folder))
    assert "cannot be read (Permission denied)" in error.message and error.where == str(folder)


def test_a_folder_without_images_tells_of_its_sub_folders(folder):
    error = the_error(plan_of(folder.parent))
    assert "no images" in error.message
    assert "frogs" in error.message


def test_images_in_sub_folders_of_a_trained_folder_are_said_not_to_be_trained(folder):
    make_images(folder / "more", {"c.png": (64, 64)})
    make_images(folder / ".hidden", {"d.png": (64, 64)})
    make_images(folder / "masks", {"a.png": (64, 64)})
    (folder / "notes").mkdir()
    masked = {"conditioning_data_dir": folder / "masks"}
    (finding,) = [one for one in plan_of(folder, subset=masked).findings if "sub-folders" in one.message]
    assert finding.level == "warning" and finding.where == str(folder) and "not trained: more. " in finding.message


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_a_truncated_image_is_found_before_training(folder, suffix):
    path = folder / f"broken.{suffix}"
    picture(200, 200).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    error = the_error(plan_of(folder, subset={"class_tokens": "frog"}))
    assert error.where == str(path)
    assert "damaged or cut short" in error.message or "not an image" in error.message


def test_a_png_damaged_in_the_middle_is_found(folder):
    path = folder / "broken.png"
    picture(200, 200).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(data))
    assert the_error(plan_of(folder, subset={"class_tokens": "frog"})).where == str(path)


def test_a_png_whose_pixels_are_whole_is_good_even_without_its_last_chunk(folder):
    path = folder / "c.png"
    picture(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:-12])
    plan_of(folder, subset={"class_tokens": "frog"}).raise_errors()


def test_a_zero_byte_image_is_found(folder):
    (folder / "zero.png").write_bytes(b"")
    error = the_error(plan_of(folder, subset={"class_tokens": "frog"}))
    assert (Path(error.where).name, "0 bytes" in error.message) == ("zero.png", True)


def test_a_text_file_named_png_is_found(folder):
    (folder / "text.png").write_text("hello, I am a text")
    assert "not an image" in the_error(plan_of(folder, subset={"class_tokens": "frog"})).message


@pytest.mark.parametrize("size", [(30000, 30000), (30000, 8)])
def test_a_30000_pixel_image_is_refused_without_being_decoded(folder, size):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, 8, 2, 0, 0, 0))
    (folder / "huge.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)))
    error = the_error(plan_of(folder, subset={"class_tokens": "frog"}))
    assert "too large" in error.message
    assert error.where.endswith("huge.png")


def test_what_is_good_stays_in_the_plan_beside_what_is_broken(folder):
    (folder / "zero.png").write_bytes(b"")
    plan = plan_of(folder, subset={"class_tokens": "frog"})
    assert [Path(image.path).name for image in plan.images] == ["a.png", "b.jpg"]


def test_hidden_files_and_those_of_macos_are_skipped(folder):
    (folder / "._a.png").write_bytes(b"resource fork")
    (folder / ".hidden.png").write_bytes(b"")
    assert plan_of(folder).findings == ()


def test_images_of_other_kinds_and_mixed_case_are_reported(folder):
    picture(8, 8).save(folder / "c.gif")
    picture(8, 8).save(folder / "d.Png")
    (warning,) = findings(plan_of(folder), "warning")
    assert "c.gif, d.Png" in warning.message


def test_two_images_with_one_stem_are_reported(folder):
    picture(64, 64).save(folder / "a.jpg")
    (warning,) = findings(plan_of(folder), "warning")
    assert "a.jpg + a.png" in warning.message


def test_a_caption_in_a_wrong_encoding_names_file_and_byte(folder):
    (folder / "a.txt").write_bytes("개구리".encode("cp949"))
    error = the_error(plan_of(folder))
    assert error.where == str(folder / "a.txt")
    assert "byte 0xb0 at position 0" in error.message
    assert "UTF-8" in error.message


def test_an_empty_caption_file_is_an_error_and_a_blank_one_is_reported(folder):
    (folder / "a.txt").write_text("")
    assert the_error(plan_of(folder)).where == str(folder / "a.txt")
    (folder / "a.txt").write_text("\n")
    (warning,) = findings(plan_of(folder), "warning")
    assert "blank" in warning.message


def test_a_folder_with_neither_captions_nor_class_tokens_is_refused(folder):
    error = the_error(plan_of(folder, subset={"caption_extension": ".caption"}))
    assert error.field == "class_tokens"
    assert "2 of them have a .txt file" in error.message


def test_other_caption_files_are_pointed_out_when_class_tokens_would_hide_the_mistake(folder):
    (warning,) = findings(plan_of(folder, subset={"caption_extension": ".caption", "class_tokens": "frog"}), "warning")
    assert "set caption_extension to .txt" in warning.message


def test_words_alone_were_meant_when_the_page_says_so(folder):
    plan = plan_of(folder, subset={"class_tokens": "sls frog", "caption_extension": ".no-captions"})
    said, left = plan.findings
    assert (said.level, said.message) == ("info", "all images are trained as 'sls frog'.")
    assert (left.level, "a.txt, b.txt" in left.message) == ("info", True)


def test_a_folder_where_some_captions_lack_is_reported(folder):
    (folder / "b.txt").unlink()
    (warning,) = findings(plan_of(folder, subset={"class_tokens": "sls frog"}), "warning")
    assert "1 of 2 images have no caption (b.jpg)" in warning.message
    plan = plan_of(folder, subset={"class_tokens": "sls frog"})
    assert [image.caption for image in plan.images] == ["a frog", "sls frog"]
    assert plan.summary()["folders"][0]["captions_missing"] == 1


def test_an_empty_class_that_is_stated_is_trained_with_a_warning(folder):
    for name in ("a.txt", "b.txt"):
        (folder / name).unlink()
    plan = plan_of(folder, subset={"class_tokens": ""})
    plan.raise_errors()
    (warning,) = findings(plan, "warning")
    assert "empty caption" in warning.message
    assert [image.caption for image in plan.images] == ["", ""]
    assert the_error(plan_of(folder, subset={"class_tokens": None})).field == "class_tokens"


def test_captions_are_not_needed_with_class_tokens(folder):
    for name in ("a.txt", "b.txt"):
        (folder / name).unlink()
    plan = plan_of(folder, subset={"class_tokens": "frog"})
    plan.raise_errors()
    assert [finding.level for finding in plan.findings] == ["info"]


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"resolution": (500, 512)}, "resolution"),
        ({"resolution": (0, 64)}, "resolution"),
        ({"resolution": (30, 30), "enable_bucket": True, "min_bucket_reso": 16}, "resolution"),
        ({"batch_size": 0}, "train_batch_size"),
        ({"enable_bucket": True, "bucket_reso_steps": 60, "resolution": (512, 512)}, "bucket_reso_steps"),
        ({"enable_bucket": True, "min_bucket_reso": 512, "max_bucket_reso": 1024}, "min_bucket_reso"),
        ({"enable_bucket": True, "min_bucket_reso": 64, "resolution": (512, 512), "max_bucket_reso": 256}, "max_bucket_reso"),
    ],
)
def test_settings_that_cannot_work_are_refused(folder, settings, field):
    assert the_error(plan_of(folder, **settings)).field == field


def test_an_image_too_narrow_for_no_upscale_is_named(folder):
    picture(8, 500).save(folder / "thin.png")
    settings = {"enable_bucket": True, "bucket_no_upscale": True, "min_bucket_reso": 64, "resolution": (128, 128)}
    error = the_error(plan_of(folder, subset={"class_tokens": "frog"}, **settings))
    assert error.where.endswith("thin.png")
    assert error.field == "bucket_no_upscale"


def test_images_of_other_sizes_without_buckets_are_resized_and_reported(folder):
    picture(128, 64).save(folder / "wide.png")
    plan = plan_of(folder, subset={"class_tokens": "frog"})
    plan.raise_errors()
    assert [(image.resized, image.bucket) for image in plan.images][-1] == ((128, 64), (64, 64))
    assert any(finding.field == "enable_bucket" and "wide.png" in finding.message for finding in plan.findings)


def test_regularisation_images_alone_are_refused(folder):
    assert "nothing to train" in the_error(plan_of(folder, subset={"is_reg": True})).message


def test_thousands_of_broken_files_do_not_make_thousands_of_lines(tmp_path):
    for number in range(100):
        (tmp_path / f"{number}.png").write_bytes(b"")
    plan = plan_of(tmp_path, subset={"class_tokens": "frog"})
    assert len(plan.findings) < 40
    assert any("70 more" in finding.message for finding in plan.findings)


def test_exif_orientation_turns_the_size(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a.jpg", "b.png", "c.webp"):
        picture(128, 64).save(tmp_path / name, exif=exif)
    plan = plan_of(tmp_path, subset={"class_tokens": "x"})
    assert [image.size for image in plan.images] == [(64, 128)] * 3


def test_a_file_that_was_mended_is_looked_at_again(folder):
    (folder / "c.png").write_bytes(b"")
    assert the_error(plan_of(folder, subset={"class_tokens": "x"}))
    picture(64, 64).save(folder / "c.png")
    assert len(plan_of(folder, subset={"class_tokens": "x"}).images) == 3


@pytest.mark.skipif(os.name != "posix", reason="file names are text on Windows")
def test_file_names_in_another_encoding_do_not_break_the_report(tmp_path):
    folder = tmp_path / os.fsdecode("개구리".encode("cp949"))
    make_images(folder, {"a.png": (64, 64)})
    (folder / os.fsdecode("그림.png".encode("cp949"))).write_bytes(b"")
    plan = plan_of(folder, subset={"class_tokens": "x"})
    assert "????" in the_error(plan).where
    json.dumps(plan.summary(), ensure_ascii=False).encode()
    assert len(plan.images) == 1


def test_messages_of_the_options_are_passed_on(folder):
    spec = one_dataset({"image_dir": folder, "caption_extension": ".txt"})
    spec = type(spec)(datasets=spec.datasets, skipped=("the folder x is left out.",))
    assert [finding.message for finding in make_plan(spec).findings] == ["the folder x is left out."]


@pytest.mark.effect("exclude")
def test_images_that_are_left_out_are_not_trained_nor_looked_at_and_that_is_told(tmp_path):
    folder = make_images(tmp_path / "frogs", {f"{n}.png": (64, 64) for n in range(4)}, captions="frog")
    (folder / "3.png").write_bytes(b"no image")
    plan = make_plan(one_dataset({"image_dir": folder, "caption_extension": ".txt", "exclude": ("1.png", "3.png")}))
    assert [Path(image.path).name for image in plan.images] == ["0.png", "2.png"]
    assert findings(plan, "error") == []
    assert any("2 of 4 images left out (exclude): 1.png, 3.png." in one.message for one in findings(plan, "info"))
    odd = make_plan(one_dataset({"image_dir": folder, "exclude": ("3.png", "gone.png")}))
    assert any("gone.png, which the folder does not have" in one.message for one in findings(odd, "warning"))
    all_of_them = make_plan(one_dataset({"image_dir": folder, "exclude": tuple(f"{n}.png" for n in range(4))}))
    assert any("all 4 images of the folder are left out" in one.message for one in findings(all_of_them, "error"))
