"""The captioned world of the demo base model: one flat object on a flat background, drawn from signed distances.

    scene = random_scene(rng(seed, "train", index))
    picture, caption = draw(scene), scene.caption()          # uint8 [64,64,3], "a large red circle on a white background"

A caption has the fixed grammar `a [SIZE] [COLOUR] SHAPE [on a BACKGROUND background]`; `parse` reads it back. Words for the
object's colours and for backgrounds are different ones, so that no word can be taken for the other's. The heart and the
stripes are not of this world: they are what a LoRA is to teach (`subject`).
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..randomness import seed_of

SIDE = 64  # pixels
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (225, 30, 35),
    "green": (35, 165, 50),
    "blue": (35, 70, 230),
    "yellow": (250, 220, 30),
    "cyan": (40, 215, 225),
    "magenta": (220, 40, 205),
}
BACKGROUNDS: dict[str, tuple[int, int, int]] = {
    "white": (245, 245, 245),
    "black": (15, 15, 15),
    "gray": (130, 130, 130),
    "brown": (110, 65, 30),
    "pink": (250, 185, 195),
}
SIZES: dict[str, tuple[float, float]] = {"medium": (14.5, 16.5), "large": (23.0, 25.5)}  # radius in pixels, from and to
JITTER = 3.0  # pixels that the object's centre may lie away from the picture's centre, along each side
STRIPE = 12.0  # pixels from one stripe to the next, where something is striped
STRIPE_COLOUR = (250, 250, 250)
HELD_OUT = 0.1  # share of the (shape, colour, background) triplets that training never sees

Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _circle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) - 1


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) - 0.84


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """One corner up, all sides alike."""
    y = y - 0.29
    return np.maximum(y, 0.8660254 * abs(x) - 0.5 * y) - 0.58


def _cross(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    long, short = np.maximum(abs(x), abs(y)), np.minimum(abs(x), abs(y))
    return np.maximum(long - 1, short - 0.33)


def _ring(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return abs(np.hypot(x, y) - 0.74) - 0.26


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Five points, one up. A tenth of it is drawn, between two rays at pi/5, and mirrored."""
    angle = np.arctan2(x, -y)
    sector = 2 * np.pi / 5
    folded = abs((angle + sector / 2) % sector - sector / 2)
    radius = np.hypot(x, y)
    u, v = radius * np.cos(folded), radius * np.sin(folded)
    tip, inner = (1.1, 0.0), (0.48 * np.cos(np.pi / 5), 0.48 * np.sin(np.pi / 5))
    along = np.array([inner[0] - tip[0], inner[1] - tip[1]])
    normal = np.array([along[1], -along[0]]) / np.hypot(*along)
    return (u - tip[0]) * normal[0] + (v - tip[1]) * normal[1]


def _heart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A square on its corner, and a disc on each of its two upper sides."""
    x, y = abs(x), y - 0.08
    square = np.maximum(abs(x + y), abs(x - y)) * 0.7071068 - 0.58
    disc = np.hypot(x - 0.41, y + 0.41) - 0.58
    return np.minimum(square, disc)


SHAPES: dict[str, Distance] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "cross": _cross,
    "ring": _ring,
}
SUBJECTS: dict[str, Distance] = {"heart": _heart}  # never in the base world


@dataclass(frozen=True)
class Scene:
    """What a picture shows. `centre` and `radius` are in pixels, `centre` from the picture's own centre, x right, y down."""

    shape: str
    colour: str
    background: str
    size: str
    centre: tuple[float, float] = (0.0, 0.0)
    radius: float = 0.0  # 0: the middle of the size's range
    striped: bool = False

    @property
    def triplet(self) -> tuple[str, str, str]:
        return self.shape, self.colour, self.background

    def caption(self, *, size: bool = True, colour: bool = True, background: bool = True, name: str = "") -> str:
        """Return the caption; parts can be left out, and `name` can stand in place of the shape."""
        words = ["a", self.size if size else "", self.colour if colour else "", name or self.shape]
        end = f" on a {self.background} background" if background else ""
        return " ".join(word for word in words if word) + end


_GRAMMAR = re.compile(
    rf"a(?: (?P<size>{'|'.join(SIZES)}))?(?: (?P<colour>{'|'.join(COLOURS)}))? (?P<shape>[a-z ]+?)"
    rf"(?: on a (?P<background>{'|'.join(BACKGROUNDS)}) background)?"
)


def parse(caption: str) -> dict[str, str]:
    """Return the caption's parts by their name (size, colour, shape, background), without those it leaves open.

    Raises ValueError for what the grammar does not make.
    """
    match = _GRAMMAR.fullmatch(caption)
    if not match or match["shape"] not in SHAPES | SUBJECTS:
        raise ValueError(f"{caption!r} is no caption of this world")
    return {part: word for part, word in match.groupdict().items() if word}


def is_held_out(triplet: Sequence[str]) -> bool:
    """Say whether training must not see this (shape, colour, background). The same for every seed."""
    return seed_of(0, "held out " + " ".join(triplet)) / 2**64 < HELD_OUT


def triplets(held_out: bool) -> list[tuple[str, str, str]]:
    """Return all (shape, colour, background) that are held out, or all others, in a fixed order."""
    every = [(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS]
    return [triplet for triplet in every if is_held_out(triplet) == held_out]


_TRIPLETS = {held_out: triplets(held_out) for held_out in (False, True)}


def random_scene(draw: random.Random, *, held_out: bool = False) -> Scene:
    """Return a scene of the base world, every word alike likely; `held_out` takes it from the triplets kept for scoring."""
    return place(Scene(*draw.choice(_TRIPLETS[held_out]), draw.choice(list(SIZES))), draw)


def place(scene: Scene, draw: random.Random) -> Scene:
    """Return `scene` with a random centre, and a random radius within its size's range."""
    centre = draw.uniform(-JITTER, JITTER), draw.uniform(-JITTER, JITTER)
    return replace(scene, centre=centre, radius=draw.uniform(*SIZES[scene.size]))


def random_caption(scene: Scene, draw: random.Random) -> str:
    """Return a caption of `scene` for training: mostly whole, at times without size, colour or background."""
    if draw.random() < 0.6:
        return scene.caption()
    return scene.caption(size=draw.random() < 0.5, colour=draw.random() < 0.8, background=draw.random() < 0.6)


def subject(draw: random.Random, colour: str | None = None, background: str | None = None) -> Scene:
    """Return a scene with the new subject: a large striped heart in the given or any colour, on the given or any background."""
    scene = Scene(
        "heart", colour or draw.choice(list(COLOURS)), background or draw.choice(list(BACKGROUNDS)), "large", striped=True
    )
    return place(scene, draw)


def coverage(distance: Distance, scene: Scene, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """Return how much of each pixel the object covers: float32 [height, width], 0..1, its edge one pixel wide."""
    radius = (scene.radius or sum(SIZES[scene.size]) / 2) * min(width, height) / SIDE
    x, y = _pixels(scene, width, height)
    return np.clip(0.5 - distance(x / radius, y / radius) * radius, 0, 1).astype(np.float32)


def _pixels(scene: Scene, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
    """Return x [1, width] and y [height, 1] of the pixels' middles, from the object's centre."""
    x = np.arange(width, dtype=np.float32) + 0.5 - width / 2 - scene.centre[0]
    y = np.arange(height, dtype=np.float32) + 0.5 - height / 2 - scene.centre[1]
    return x[None, :], y[:, None]


def draw(scene: Scene, width: int = SIDE, height: int = SIDE) -> np.ndarray:
    """Return the picture, uint8 [height, width, 3]. The object is as large as the shorter side has it."""
    ink = np.asarray(COLOURS[scene.colour], np.float32)
    ground = np.asarray(BACKGROUNDS[scene.background], np.float32)
    paint = np.broadcast_to(ink, (height, width, 3))
    if scene.striped:
        paint = _stripes(paint, np.asarray(STRIPE_COLOUR, np.float32), *_pixels(scene, width, height))
    return compose(paint, ground, coverage((SHAPES | SUBJECTS)[scene.shape], scene, width, height))


def _stripes(paint: np.ndarray, second: np.ndarray, x: np.ndarray, y: np.ndarray, angle: float = np.pi / 4) -> np.ndarray:
    """Return `paint` [H,W,3] with every other slanting band in the colour `second`."""
    across = (x * np.cos(angle) + y * np.sin(angle)) / STRIPE % 1 * STRIPE
    band = np.clip(0.5 + STRIPE / 4 - abs(across - STRIPE / 2), 0, 1)[..., None]
    return paint * (1 - band) + second * band


def compose(paint: np.ndarray, ground: np.ndarray, cover: np.ndarray) -> np.ndarray:
    """Return `paint` [H,W,3] over the colour `ground` where `cover` [H,W] says so, uint8."""
    return np.rint(paint * cover[..., None] + ground * (1 - cover[..., None])).astype(np.uint8)


def free_picture(draw: random.Random) -> np.ndarray:
    """Return a picture [64,64,3] for the VAE alone: any colours, perhaps stripes, a rounded polygon.

    They keep the VAE from knowing nothing but the base world's colours and outlines. No hearts.
    """
    ink, second, ground = (np.asarray([draw.uniform(5, 250) for _ in range(3)], np.float32) for _ in range(3))
    scene = place(Scene("circle", "red", "white", draw.choice(list(SIZES))), draw)
    x, y = _pixels(scene, SIDE, SIDE)
    paint = np.broadcast_to(ink, (SIDE, SIDE, 3))
    if draw.random() < 0.6:
        light = np.asarray(STRIPE_COLOUR if draw.random() < 0.5 else second, np.float32)
        paint = _stripes(paint, light, x, y, draw.choice([0.0, 0.25, 0.5, 0.75]) * np.pi)
    sides = [(draw.uniform(0, 2 * np.pi), draw.uniform(0.5, 1.0)) for _ in range(draw.randint(3, 6))]

    def polygon(u: np.ndarray, v: np.ndarray) -> np.ndarray:
        cut = [u * np.cos(angle) + v * np.sin(angle) - offset for angle, offset in sides]
        return np.maximum.reduce([np.hypot(u, v) - 1, *cut])

    return compose(paint, ground, coverage(polygon, scene))
