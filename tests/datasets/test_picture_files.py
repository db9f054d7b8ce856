"""Changes of picture files: deleted, turned, cropped, masked, and back to the byte."""

import base64
import io
import os

import pytest
from PIL import Image

from lora_trainer.errors import InputError

from .changes import do


def test_a_deleted_picture_goes_with_its_captions_and_comes_back(library, frogs, folder):
    (folder / "0.caption").write_text("another ending")
    names = {path.name for path in folder.iterdir()}
    number = frogs.in_order()[0].id
    assert do(library, frogs, {"kind": "delete"}, ["0.png", "5.png"]).changed == 2
    assert {path.name for path in folder.iterdir()} == names - {"0.png", "0.txt", "0.caption", "5.png"} | {
        ".lora-trainer-trash"
    }
    assert number not in frogs.pictures
    library.undo(frogs)
    assert {path.name for path in folder.iterdir()} - {".lora-trainer-trash"} == names
    assert frogs.pictures[number].caption.text == "frog, number 0"
    library.redo(frogs)
    (folder / "0.png").write_bytes(b"somebody else's")
    assert [one.name for one in library.undo(frogs).conflicts] == ["0.png"]
    assert (folder / "0.png").read_bytes() == b"somebody else's"


def test_a_caption_that_a_picture_that_stays_has_too_is_not_deleted(library, folder):
    Image.new("RGB", (8, 8)).save(folder / "0.jpg")
    dataset = library.open([folder])
    do(library, dataset, {"kind": "delete"}, ["0.jpg"])
    assert (folder / "0.txt").exists()
    assert not (folder / "0.jpg").exists()


def test_a_turned_and_cropped_picture_comes_back_to_the_byte(library, folder, tmp_path):
    photo = Image.new("RGB", (40, 20), "red")
    photo.paste("blue", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a viewer
    photo.save(folder / "photo.jpg", exif=exif, quality=95)
    os.link(folder / "photo.jpg", tmp_path / "of a run.jpg")
    original = (folder / "photo.jpg").read_bytes()
    dataset = library.open([folder])
    one = next(one for one in dataset.in_order() if one.name == "photo.jpg")
    assert one.size == (20, 40)
    do(library, dataset, {"kind": "rotate", "degrees": 90}, ["photo.jpg"])
    assert one.size == (40, 20)
    with Image.open(folder / "photo.jpg") as turned:
        assert (turned.size, turned.getexif().get(0x0112)) == ((40, 20), None)
        red, _, blue = turned.getpixel((5, 10))
        assert (red > 200, blue < 60) == (True, True)  # what was on top, blue, is at the right now
    turned_bytes = (folder / "photo.jpg").read_bytes()
    do(library, dataset, {"kind": "crop", "x": 20, "y": 0, "width": 20, "height": 10}, ["photo.jpg"])
    assert one.size == (20, 10)
    library.undo(dataset)
    assert (folder / "photo.jpg").read_bytes() == turned_bytes
    library.undo(dataset)
    assert (folder / "photo.jpg").read_bytes() == original == (tmp_path / "of a run.jpg").read_bytes()
    library.redo(dataset)
    assert (folder / "photo.jpg").read_bytes() == turned_bytes
    assert one.size == (40, 20)


def test_a_mask_goes_with_its_picture(library, folder):
    mask = Image.new("L", (16, 8))  # of the picture of 32x8
    mask.paste(255, (0, 0, 8, 8))
    mask.save(folder / "2-masklabel.png")
    before = (folder / "2-masklabel.png").read_bytes()
    dataset = library.open([folder])
    do(library, dataset, {"kind": "crop", "x": 8, "y": 0, "width": 16, "height": 8}, ["2.png"])
    with Image.open(folder / "2-masklabel.png") as cut:
        assert (cut.size, cut.getpixel((3, 0)), cut.getpixel((4, 0))) == ((8, 8), 255, 0)
    do(library, dataset, {"kind": "delete"}, ["2.png"])
    assert not (folder / "2-masklabel.png").exists()
    library.undo(dataset)
    library.undo(dataset)
    assert (folder / "2-masklabel.png").read_bytes() == before


def test_a_painted_mask_is_saved_beside_its_picture_and_an_earlier_one_comes_back(library, folder):
    def painted(size=(32, 8), kind="PNG") -> str:
        made = io.BytesIO()
        mask = Image.new("RGBA", size, "black")
        mask.paste("white", (0, 0, size[0] // 2, size[1]))
        mask.convert("RGB").save(made, kind)
        return base64.b64encode(made.getvalue()).decode()

    Image.new("L", (32, 8), 255).save(folder / "2-masklabel.jpg")
    before = (folder / "2-masklabel.jpg").read_bytes()
    dataset = library.open([folder])
    do(library, dataset, {"kind": "mask", "png": painted()}, ["2.png"])
    assert not (folder / "2-masklabel.jpg").exists()
    with Image.open(folder / "2-masklabel.png") as mask:
        assert (mask.mode, mask.size, mask.getpixel((0, 0)), mask.getpixel((31, 7))) == ("L", (32, 8), 255, 0)
    do(library, dataset, {"kind": "mask", "png": painted((64, 16))}, ["2.png"])
    with Image.open(folder / "2-masklabel.png") as mask:
        assert mask.size == (64, 16)
    for wrong, words in ((painted((16, 16)), "another shape"), (painted(kind="JPEG"), "as a PNG"), ("%", "base64")):
        with pytest.raises(InputError, match=words):
            do(library, dataset, {"kind": "mask", "png": wrong}, ["2.png"])
    do(library, dataset, {"kind": "mask", "png": None}, ["2.png"])
    assert not (folder / "2-masklabel.png").exists()
    steps = library.history.steps([one.id for one in dataset.folders], ["done"], 10)
    assert [step.edit for step in steps] == [{"kind": "mask", "png": None}, {"kind": "mask"}, {"kind": "mask"}]
    for _ in range(3):
        library.undo(dataset)
    assert (folder / "2-masklabel.jpg").read_bytes() == before and not (folder / "2-masklabel.png").exists()
    library.redo(dataset)
    with Image.open(folder / "2-masklabel.png") as mask:
        assert mask.size == (32, 8)


def test_a_crop_that_leaves_the_picture_or_a_broken_one_is_refused(library, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    dataset = library.open([folder])
    with pytest.raises(InputError, match="16x8"):
        do(library, dataset, {"kind": "crop", "x": 10, "y": 0, "width": 10, "height": 8}, ["0.png"])
    with pytest.raises(InputError, match=r"broken\.png"):
        do(library, dataset, {"kind": "rotate", "degrees": 90}, ["broken.png"])
    assert library.history.to_undo([one.id for one in dataset.folders]) is None


def test_bars_are_cut_off_all_pictures_that_have_some_with_their_masks_and_come_back(library, folder):
    for number in (1, 2):
        framed = Image.new("RGB", (160, 120), "black")
        framed.paste(Image.effect_noise((160, 80), 60).convert("RGB"), (0, 20))
        framed.save(folder / f"{number}.png")
    mask = Image.new("L", (160, 120), 255)
    mask.paste(0, (0, 0, 80, 120))
    mask.save(folder / "1-masklabel.png")
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    dataset = library.open([folder])
    done = do(library, dataset, {"kind": "trim"}, [f"{number}.png" for number in range(6)])
    assert done.changed == 2
    for name in ("1.png", "2.png", "1-masklabel.png"):
        with Image.open(folder / name) as image:
            assert image.width == 160 and 76 <= image.height <= 80
    with Image.open(folder / "1-masklabel.png") as image:
        assert (image.getpixel((10, 10)), image.getpixel((150, 70))) == (0, 255)
    library.undo(dataset)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_an_edit_of_many_captions_passes_over_pictures_that_cannot_be_read(library, folder):
    (folder / "broken.png").write_bytes(b"no picture")
    dataset = library.open([folder])
    names = [picture.name for picture in dataset.pictures.values()]
    assert "broken.png" in names and len(names) > 1
    do(library, dataset, {"kind": "add", "tags": ["pond"]}, names)
    assert not (folder / "broken.txt").exists()
    assert all("pond" in (folder / name).with_suffix(".txt").read_text() for name in names if name != "broken.png")
