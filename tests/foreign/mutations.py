"""Damaged copies of a file, each a pure function of a seed: what disks, downloads, other programs and enemies do to it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random

DEEP = "[" * 3000
ODD_VALUES = [
    None, True, -1, 0, 1e308, 10**30, "", "text", [], {}, [None], [[]], {"a": {}}, "\x00", "é" * 50, [1, 2, 3, 4, 5, 6],
    [-1, 5], [2**63], "F32", "I8", "XYZ", [0, 10**18], ["a", "b"], 3.5,
]  # fmt: skip
ODD_TEXTS = [
    b"\x00",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    DEEP.encode(),
    b"9" * 5000,
    b'"' * 7,
    b"{" * 40,
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"'''",
    b"#",
]


def of_bytes(data: bytes, seed: int, count: int) -> Iterator[bytes]:
    """`count` copies of `data` with bytes changed, cut out, doubled, cut off or put in."""
    for number in range(count):
        draw = Random(seed * 1_000_003 + number)
        copy = bytearray(data)
        for _ in range(draw.randint(1, 3)):
            place = draw.randrange(len(copy) + 1)
            length = draw.choice((1, 2, 8, 60))
            match draw.randrange(6):
                case 0:
                    copy[place : place + length] = draw.randbytes(length)
                case 1:
                    del copy[place : place + length]
                case 2:
                    copy[place:place] = copy[place : place + length]
                case 3:
                    del copy[place:]
                case 4:
                    copy[place:place] = draw.choice(ODD_TEXTS)
                case 5 if copy:
                    copy[place % len(copy)] ^= 1 << draw.randrange(8)
        yield bytes(copy)


def of_table(table: object, seed: int, count: int) -> Iterator[str]:
    """`count` JSON texts of `table` with values replaced by others, keys renamed or taken out, anywhere in it."""
    for number in range(count):
        draw = Random(seed * 1_000_003 + number)
        changed = json.loads(json.dumps(table))
        for _ in range(draw.randint(1, 3)):
            _change(changed, draw)
        yield json.dumps(changed)


def _change(value: object, draw: Random) -> None:
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value))) if isinstance(value, list) else []
        if not keys:
            return
        key = draw.choice(keys)
        inner = value[key]
        if isinstance(inner, (dict, list)) and inner and draw.random() < 0.7:
            value = inner
            continue
        match draw.randrange(4):
            case 0 if isinstance(value, dict):
                del value[key]
            case 1 if isinstance(value, dict):
                value[draw.choice(("__metadata__", "x", key + ".y", "", key.upper()))] = value.pop(key)
            case _:
                value[key] = copy.deepcopy(draw.choice(ODD_VALUES))
        return
