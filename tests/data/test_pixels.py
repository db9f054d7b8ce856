"""Pictures are trained, and shown on the page, as a viewer shows them: colours, orientation, one picture of several."""

import io
import struct
import zlib

import numpy as np
import pytest
from dataset_files import one_dataset, picture
from PIL import Image, ImageCms

from lora_trainer.api.images import Thumbnails
from lora_trainer.data.images import load_pixels
from lora_trainer.data.plan import make_plan

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def fixed(value):
    return struct.pack(">i", round(value * 65536))


def profile(space=b"RGB ", gamma=2.2, swapped=False):
    """An ICC profile (ICC.1:2010): matrix and gamma, its red and blue exchanged on wish, or one curve for grey."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    columns = [(0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)]
    tags = [(b"desc", b"desc\0\0\0\0\0\0\0\5test\0" + b"\0" * 79), (b"wtpt", xyz(0.9642, 1, 0.8249))]
    if space == b"RGB ":
        names = (b"bXYZ", b"gXYZ", b"rXYZ") if swapped else (b"rXYZ", b"gXYZ", b"bXYZ")
        tags += [(name, xyz(*column)) for name, column in zip(names, columns, strict=True)]
        tags += [(name, curve) for name in (b"rTRC", b"gTRC", b"bTRC")]
    else:
        tags.append((b"kTRC", curve))
    table, body = b"", b""
    for sign, data in tags:
        data += b"\0" * (-len(data) % 4)
        table += struct.pack(">4sII", sign, 132 + 12 * len(tags) + len(body), len(data))
        body += data
    size = 132 + len(table) + len(body)
    head = struct.pack(">I4sI4s4s4s6H", size, b"lcms", 0x02400000, b"mntr", space, b"XYZ ", 2024, 1, 1, 0, 0, 0)
    head += b"acsp" + b"\0" * 28 + fixed(0.9642) + fixed(1) + fixed(0.8249) + b"lcms"
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + body


def xyz(*values):
    return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))


def plan_of(folder):
    return make_plan(one_dataset({"image_dir": folder, "class_tokens": "x"}))


def warnings(folder):
    return [finding.message for finding in plan_of(folder).findings if finding.level == "warning"]


def assert_shown(path, expected):
    """Training and thumbnail have this colour in the middle."""
    assert np.abs(load_pixels(str(path))[8, 8].astype(int) - expected).max() <= 2
    small = np.array(Image.open(Thumbnails(path.parent / ".cache").of(path)))
    assert np.abs(small[8, 8].astype(int) - expected).max() <= 6  # JPEG


@pytest.mark.parametrize(
    ("mode", "colour", "icc", "expected"),
    [
        ("RGB", (200, 40, 40), profile(swapped=True), (35, 35, 201)),
        ("RGBA", (200, 40, 40, 255), profile(swapped=True), (35, 35, 201)),
        ("L", 55, profile(b"GRAY", gamma=1.0), (128,) * 3),
        ("LA", (55, 255), profile(b"GRAY", gamma=1.0), (128,) * 3),
        ("L", 55, profile(gamma=1.0), (128,) * 3),
        ("I;16", 55 * 257, profile(b"GRAY", gamma=1.0), (128,) * 3),
        ("RGB", (200, 40, 40), SRGB, (200, 40, 40)),
    ],
)
def test_a_colour_profile_is_applied_in_training_and_on_the_page(tmp_path, mode, colour, icc, expected):
    path = tmp_path / "a.png"
    Image.new(mode, (64, 64), colour).save(path, icc_profile=icc)
    assert_shown(path, expected)
    assert warnings(tmp_path) == []


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_profiles_of_other_formats_are_applied(tmp_path, ending):
    Image.new("RGB", (64, 64), (200, 40, 40)).save(tmp_path / f"a.{ending}", icc_profile=profile(swapped=True), quality=100)
    assert np.abs(load_pixels(str(tmp_path / f"a.{ending}"))[8, 8].astype(int) - (35, 35, 201)).max() <= 4


def test_a_palette_and_transparent_parts_have_the_profiles_colours(tmp_path):
    image = Image.new("P", (64, 64))
    image.putpalette([200, 40, 40])
    image.save(tmp_path / "a.png", icc_profile=profile(swapped=True))
    assert_shown(tmp_path / "a.png", (35, 35, 201))
    Image.new("RGBA", (64, 64), (200, 40, 40, 0)).save(tmp_path / "b.png", icc_profile=profile(swapped=True))
    assert_shown(tmp_path / "b.png", (255, 255, 255))


def test_srgb_changes_no_pixel(tmp_path):
    picture(64, 64).save(tmp_path / "a.png", icc_profile=SRGB)
    assert np.array_equal(load_pixels(str(tmp_path / "a.png")), np.array(picture(64, 64)))


@pytest.mark.parametrize("icc", [b"nonsense", SRGB[:200], profile(b"GRAY"), b"\0" * 400], ids=["text", "cut", "grey", "zeros"])
def test_a_profile_that_cannot_be_applied_is_a_warning_with_the_file(tmp_path, icc):
    picture(64, 64).save(tmp_path / "a.png", icc_profile=icc)
    picture(64, 64).save(tmp_path / "good.png", icc_profile=SRGB)
    (message,) = warnings(tmp_path)
    assert "a.png" in message and "good.png" not in message and "colour profile" in message
    assert np.array_equal(load_pixels(str(tmp_path / "a.png")), np.array(picture(64, 64)))


@pytest.mark.parametrize(("name", "form"), [("anim.webp", "WEBP"), ("apng.png", "PNG"), ("gif_named.png", "GIF")])
def test_an_animation_is_a_warning_with_the_file(tmp_path, name, form):
    first, *rest = (Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue"))
    first.save(tmp_path / name, form, save_all=True, append_images=rest)
    (message,) = warnings(tmp_path)
    assert name in message and "only the first is trained" in message
    assert load_pixels(str(tmp_path / name))[0, 0].tolist()[0] >= 250


def test_a_phones_photo_of_two_pictures_is_no_animation(tmp_path):
    picture(64, 64).save(tmp_path / "mpo.jpg", "MPO", save_all=True, append_images=[picture(64, 64, seed=1)])
    assert warnings(tmp_path) == []


def chunk(kind, data):
    return struct.pack(">I4s", len(data), kind) + data + struct.pack(">I", zlib.crc32(kind + data))


def exif_chunk():
    exif = Image.Exif()
    exif[0x0112] = 6
    return chunk(b"eXIf", exif.tobytes().removeprefix(b"Exif\0\0"))


XMP = b"XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation='6'/></x:xmpmeta>"


@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("metadata", [exif_chunk(), chunk(b"iTXt", XMP.replace(b"'", b'"'))], ids=["exif", "xmp"])
def test_an_orientation_behind_the_pixels_counts_everywhere(tmp_path, behind, metadata):
    wide = Image.new("RGB", (96, 64), "lime")
    wide.paste("red", (0, 0, 96, 16))
    file = io.BytesIO()
    wide.save(file, "PNG")
    data = file.getvalue()
    at = data.rindex(b"IEND") - 4 if behind else 33
    path = tmp_path / "a.png"
    path.write_bytes(data[:at] + metadata + data[at:])
    assert [image.size for image in plan_of(tmp_path).images] == [(64, 96)]
    pixels = load_pixels(str(path))
    assert pixels.shape == (96, 64, 3)
    assert pixels[50, 60].tolist() == [255, 0, 0] and pixels[50, 10].tolist() == [0, 255, 0]
    small = Image.open(Thumbnails(tmp_path / ".cache").of(path))
    assert small.size == (64, 96)


@pytest.mark.parametrize("metadata", [b"nonsense", b"II*\0" + b"\xff" * 40, b"x" * (3 << 20)])
def test_broken_metadata_behind_the_pixels_do_no_harm(tmp_path, metadata):
    path = tmp_path / "a.png"
    picture(64, 32).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:-12] + chunk(b"eXIf", metadata) + data[-12:])
    assert [image.size for image in plan_of(tmp_path).images] == [(64, 32)]
    assert load_pixels(str(path)).shape == (32, 64, 3)
