"""From an opened image to the pixels that are trained and shown: upright, in sRGB, on white. The one way for both.

Pillow only. Where a viewer honours what a file says about its pixels (EXIF orientation, colour profile), so do we.
"""

from __future__ import annotations

import io
import struct
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageCms

EXIF_ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_PNG = b"\x89PNG\r\n\x1a\n"
_METADATA_CHUNKS = (b"eXIf", b"tEXt", b"zTXt", b"iTXt")
_MOST_METADATA = 1 << 20  # bytes of one chunk behind the pixels; EXIF has at most 64 KB
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # colour space of a profile -> mode of the pixels that it describes
_SAME = 2  # of 255: a profile that moves no colour further is sRGB, and the pixels stay as they are


def orientation(image: Image.Image) -> int:
    """EXIF orientation 1..8 of an opened image, read without decoding its pixels; 1 where there is none that makes sense."""
    found = _orientation_in(image)
    if found == 1 and image.format == "PNG" and getattr(image, "filename", ""):
        # Not image.getexif(): that would decode the whole file to come to the EXIF behind the pixels.
        behind = _metadata_behind_the_pixels(Path(str(image.filename)))  # type: ignore[attr-defined]
        if behind is not None:
            with behind:
                return _orientation_in(behind)
    return found


def _orientation_in(image: Image.Image) -> int:
    try:
        value = Image.Image.getexif(image).get(EXIF_ORIENTATION, 1)
    except Exception:  # Pillow parses this user data trustingly and raises all kinds of errors; a broken block must not stop us
        return 1
    return int(value) if value in range(1, 9) else 1


def _metadata_behind_the_pixels(path: Path) -> Image.Image | None:
    """A PNG without pixels whose metadata are those that `path` has behind its pixels; None where there are none."""
    chunks, pixels_seen, header = [], False, b""
    try:
        with path.open("rb") as file:
            if file.read(len(_PNG)) != _PNG:
                return None
            while len(head := file.read(8)) == 8:
                length, kind = struct.unpack(">I4s", head)
                pixels_seen = pixels_seen or kind == b"IDAT"
                if kind == b"IHDR" or (pixels_seen and kind in _METADATA_CHUNKS and length <= _MOST_METADATA):
                    chunk = head + file.read(length + 4)
                    header, chunks = (chunk, chunks) if kind == b"IHDR" else (header, [*chunks, chunk])
                else:
                    file.seek(length + 4, io.SEEK_CUR)
        if not chunks:
            return None
        pixels = struct.pack(">I4sI", 0, b"IDAT", 0x35AF061E)  # no pixels; the last number is the checksum of the name
        return Image.open(io.BytesIO(_PNG + header + b"".join(chunks) + pixels), formats=["PNG"])
    except Exception:  # as above
        return None


def has_transparency(image: Image.Image) -> bool:
    """Whether an opened image has an alpha channel or a transparent colour."""
    return image.mode in _ALPHA or "transparency" in image.info


def rgb(image: Image.Image, turn: int | None = None) -> Image.Image:
    """The pixels of an opened image as a viewer shows them: turned upright, in sRGB, 8 bits, transparent parts white.

    `turn` is the orientation where it is known already (a copy of an opened image does not know its file).
    """
    turn = orientation(image) if turn is None else turn
    profile = image.info.get("icc_profile")
    transparent = has_transparency(image)
    upright = image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image
    if upright.mode.startswith(("I", "F")):
        return _in_srgb(_eight_bits(upright), profile)
    if not transparent:
        return _in_srgb(upright, profile)
    over = upright.convert("RGBA")
    grey = upright.mode in ("L", "LA", "La", "1")
    colours = _in_srgb(over.convert("RGB").convert("L") if grey else over.convert("RGB"), profile)
    colours.putalpha(over.getchannel("A"))
    return Image.alpha_composite(Image.new("RGBA", over.size, "white"), colours).convert("RGB")


def mask(image: Image.Image) -> Image.Image:
    """What an opened mask says of each pixel, 8 bits of grey, upright: 255 is learned whole, 0 not at all.

    As in kohya-ss the red of a coloured mask counts. What is transparent is not learned.
    """
    upright = _upright(image)
    if upright.mode.startswith(("I", "F")):
        return _eight_bits(upright)
    if not has_transparency(image):
        return upright.convert("RGB").getchannel("R")
    over = upright.convert("RGBA")
    return ImageChops.multiply(over.getchannel("R"), over.getchannel("A"))


def alpha(image: Image.Image) -> Image.Image | None:
    """How opaque each pixel of an opened image is, 8 bits of grey, upright; None where it has no transparency at all."""
    return _upright(image).convert("RGBA").getchannel("A") if has_transparency(image) else None


def _upright(image: Image.Image) -> Image.Image:
    turn = orientation(image)
    return image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey as 8 bits: Pillow's own conversion would clip it to white."""
    return image.convert("I").point(lambda value: value * (1 / 257) + 0.5 / 257).convert("L")


def colour_problem(image: Image.Image) -> str:
    """Why the colour profile of an opened image cannot be applied (`has a ...`), or nothing. Needs no pixels."""
    if "icc_profile" not in image.info:
        return ""
    try:
        _transform(image.info["icc_profile"] or b"", _colours_of(image.mode))
    except Exception as error:  # also where Pillow was built without LittleCMS
        return str(error) or type(error).__name__
    return ""


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """`image` (a mode without alpha) as RGB, converted by its profile where that can be read and says something."""
    if profile:
        try:
            mode, transform = _transform(profile, _colours_of(image.mode))
            if transform is not None:
                converted = ImageCms.applyTransform(image.convert(mode), transform)
                assert converted is not None
                return converted
        except Exception:  # told as a warning when the file was looked at
            return image.convert("RGB")
    return image.convert("RGB")


def _colours_of(mode: str) -> str:
    """GRAY, CMYK or RGB: what the pixels of a mode are."""
    if mode.startswith(("I", "F")) or mode in ("1", "L", "LA", "La"):
        return "GRAY"
    return "CMYK" if mode == "CMYK" else "RGB"


@lru_cache(maxsize=64)
def _transform(profile: bytes, colours: str) -> tuple[str, Any]:
    """(mode that the pixels have to have, transform to sRGB, or None where it changes nothing). Raises ValueError and others.

    `colours` are those of the pixels; grey ones may have a profile for RGB.
    """
    if not profile:
        raise ValueError("it is damaged")
    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = opened.profile.xcolor_space.strip()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise ValueError("it is damaged") from error
    if space not in _SPACES or (space != colours and (space, colours) != ("RGB", "GRAY")):
        raise ValueError(f"it is for {space} pixels, but these are {colours}")
    mode = _SPACES[space]
    srgb = ImageCms.createProfile("sRGB")
    transform = ImageCms.buildTransform(opened, srgb, mode, "RGB", renderingIntent=_intent(opened))
    return mode, None if mode == "RGB" and _changes_nothing(transform) else transform


def _intent(profile: Any) -> int:
    """The profile's own rendering intent, where it is one."""
    intent = ImageCms.getDefaultIntent(profile)
    return intent if intent in range(4) else 0


def _changes_nothing(transform: Any) -> bool:
    """Whether a transform of RGB leaves a cube of 512 colours where they are."""
    levels = range(0, 256, 36)
    probe = Image.new("RGB", (512, 1))
    probe.putdata([(r, g, b) for r in levels for g in levels for b in levels])
    after = ImageCms.applyTransform(probe, transform)
    assert after is not None
    return all(abs(one - other) <= _SAME for one, other in zip(probe.tobytes(), after.tobytes(), strict=True))
