"""A small tagger of the WD14 family: an ONNX graph that tells colours, with a list of tags of the family's form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "white": (255, 255, 255), "black": (0, 0, 0)}
# name, category, logit = (mean blue, green, red of 0..1) . these + the last number
TAGS = [
    ("general", 9, (0, 0, 0), 1.0),
    ("sensitive", 9, (0, 0, 4), 0.0),
    ("questionable", 9, (0, 0, 0), -4.0),
    ("explicit", 9, (0, 0, 0), -5.0),
    ("blue_sky", 0, (8, -8, -8), -4.0),
    ("green_grass", 0, (-8, 8, -8), -4.0),
    ("red_hair", 0, (-8, -8, 8), -4.0),
    ("^_^", 0, (0, 0, 2), -1.5),  # a little likely where there is red
    ("frog_(pond,_deep)", 4, (-8, 8, -8), -3.0),
    ("rose_(coat)_(garden)", 4, (-8, -8, 8), -3.0),
]


def write_list(path: Path, tags=TAGS, more: str = "") -> Path:
    """selected_tags.csv as the family's repositories hold it; `more` is another column behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["tag_id,name,category,count" + (f",{more}" if more else "")]
    for number, (name, category, *_) in enumerate(tags):
        quoted = f'"{name}"' if "," in name else name
        lines.append(f"{1000 + number},{quoted},{category},{10_000 - number}" + (",0.5" if more else ""))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def write_graph(
    path: Path, tags=TAGS, *, side=32, colours_last=True, batch="N", sigmoid=True, scale=255.0, beside=False
) -> Path:
    """The graph: means over the picture, a linear layer, and where `sigmoid` says so a sigmoid.

    `scale` is what a full colour comes in as; with `beside` there is another output before the one that counts.
    """
    from onnx import TensorProto, helper, numpy_helper, save

    path.parent.mkdir(parents=True, exist_ok=True)
    shape = [batch, side, side, 3] if colours_last else [batch, 3, side, side]
    weights = np.array([one[2] for one in tags], np.float32).T / scale
    bias = np.array([one[3] for one in tags], np.float32)
    if not colours_last:  # -1..1 -> 0..1
        weights, bias = weights * scale / 2, bias + weights.sum(0) * scale / 2
    constants = {
        "w": weights.astype(np.float32),
        "b": bias.astype(np.float32),
        "axes": np.array([1, 2] if colours_last else [2, 3]),
    }
    nodes = [
        helper.make_node("ReduceMean", ["input_1", "axes"], ["mean"], keepdims=0),
        helper.make_node("MatMul", ["mean", "w"], ["product"]),
        helper.make_node("Add", ["product", "b"], ["logits"]),
    ]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["logits"], ["predictions_sigmoid"]))
    name = "predictions_sigmoid" if sigmoid else "logits"
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, len(tags)])]
    if beside:
        outputs = [helper.make_tensor_value_info("mean", TensorProto.FLOAT, [batch, 3]), *outputs]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("input_1", TensorProto.FLOAT, shape)],
        outputs,
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), str(path))
    return path


def write_tagger(folder: Path, **how) -> Path:
    """Both in a folder."""
    write_graph(folder / "model.onnx", **how)
    write_list(folder / "selected_tags.csv", how.get("tags", TAGS))
    return folder


def write_pictures(folder: Path, *names: str) -> Path:
    """A picture of one colour for each name, which says the colour: red.png, sub/blue.jpg."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = COLOURS[path.stem.split("-")[0]]
        Image.new("RGB", (40, 40), colour).save(path, **({"quality": 100} if path.suffix == ".jpg" else {}))
    return folder


def captions(folder: Path, ending: str = ".txt") -> dict[str, str]:
    """What stands in the caption files below a folder, by their names."""
    files = sorted(path for path in folder.rglob(f"*{ending}") if ".caption-backups" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_text("utf-8") for path in files}
