"""Plain bars at the edges of a picture: above and below (letterbox), left and right (pillarbox), or all around."""

from __future__ import annotations

from PIL import Image

_SIDE = 64  # pixels of the copy that is looked at first
_PLAIN = 10  # of 255: a row whose values differ by no more is of one colour (a JPEG's noise is)
_STEP = 24  # of 255: what stands out from a bar
_SHARE_OF_STEP = 0.75  # of the pixels beside a bar: a figure on a plain ground touches its edge in fewer places
_THINNEST_BAR = 2  # rows of the copy: a thirtieth of the picture
_TOUCHED = 0.25  # of the pixels of a row that stand out: it is none of the bar any more
_SOFT = 256  # a part of so many is cut off besides: the edge of a bar is blurred by scaling and compression

Box = tuple[int, int, int, int]


def bars(grey: Image.Image) -> Box:
    """How thick the bars (left, above, right, below) of a picture in 64x64 greys are, in its pixels; 0 for none.

    They come in pairs with straight edges: a sky is plain and above, and no bar.
    """
    above, below = _pair(grey)
    left, right = _pair(grey.transpose(Image.Transpose.TRANSPOSE))
    return left, above, right, below


def content_box(image: Image.Image) -> Box | None:
    """What is left of a picture (left, top, right, bottom, in pixels) without its bars; None where it has none."""
    grey = image.convert("L")
    box = (0, 0, *grey.size)
    while (inside := _inside(grey.crop(box))) is not None:  # bars all around are found one pair after the other
        box = (box[0] + inside[0], box[1] + inside[1], box[0] + inside[2], box[1] + inside[3])
    return box if box != (0, 0, *grey.size) else None


def _inside(grey: Image.Image) -> Box | None:
    found = bars(grey.resize((_SIDE, _SIDE), Image.Resampling.BOX))
    if not any(found) or min(grey.size) < _SIDE:
        return None
    # Each side in turn is brought to the top.
    turns = (Image.Transpose.TRANSPOSE, None, Image.Transpose.TRANSVERSE, Image.Transpose.FLIP_TOP_BOTTOM)
    left, top, right, bottom = (
        _edge(grey.transpose(turn) if turn is not None else grey, thick) if thick else 0
        for thick, turn in zip(found, turns, strict=True)
    )
    right, bottom = grey.width - right, grey.height - bottom
    return (left, top, right, bottom) if left < right and top < bottom else None


def _edge(grey: Image.Image, thick: int) -> int:
    """How many of the first rows are to be cut off: those of a bar that is about `thick` 64ths of the picture."""
    strip = grey.crop((0, 0, grey.width, grey.height * (thick + 1) // _SIDE))
    colour = strip.crop((0, 0, strip.width, 1)).resize((1, 1), Image.Resampling.BOX).tobytes()[0]
    apart = strip.point([255 * (abs(value - colour) > _STEP) for value in range(256)])
    shares = apart.resize((1, strip.height), Image.Resampling.BOX).tobytes()
    edge = next((row for row, share in enumerate(shares) if share > 255 * _TOUCHED), strip.height)
    return edge + -(-grey.height // _SOFT)


def _pair(grey: Image.Image) -> tuple[int, int]:
    """How thick the bars above and below are; of one alone nothing is said."""
    data = grey.tobytes()
    rows = [data[_SIDE * row : _SIDE * (row + 1)] for row in range(_SIDE)]
    above, below = _thickness(rows), _thickness(rows[::-1])
    return (above, below) if above and below else (0, 0)


def _thickness(rows: list[bytes]) -> int:
    """How many of the first rows are a bar of one colour with something else behind its straight edge; 0 for none."""
    colour = sum(rows[0]) / len(rows[0])
    thick = 0
    for row in rows:
        if max(row) - min(row) > _PLAIN or abs(sum(row) / len(row) - colour) > _PLAIN:
            break
        thick += 1
    if not _THINNEST_BAR <= thick < len(rows) // 2:
        return 0
    behind = rows[thick + 1]  # the row between may have some of both
    is_bar = sum(abs(value - colour) > _STEP for value in behind) > _SHARE_OF_STEP * len(behind)
    return thick if is_bar else 0
