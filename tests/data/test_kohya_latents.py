"""The latents that sd-scripts kept beside the pictures are used where they fit, and no others."""

from __future__ import annotations

import io
import json
import os
import pickle
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_files import make_images, one_dataset, picture
from test_latents_store import VAE, Encoder, build

from lora_trainer.data import cache as cache_module
from lora_trainer.data import kohya_latents
from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.images import planned_pixels, to_tensor
from lora_trainer.data.latents_store import LatentsStore
from lora_trainer.data.plan import make_plan
from lora_trainer.data.plan.buckets import crop_box
from lora_trainer.foreign.npz import read_arrays
from lora_trainer.foreign.reading import UnreadableError

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "latents_cache.json").read_text(encoding="utf-8"))
BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
SIZES = {name: (128, 40) if name == "c.png" else (64, 64) for name in ("a.png", "b.png", "c.png", "d.png", "e.png")}


def planned(folder, **subset):
    return make_plan(one_dataset({"image_dir": folder, "class_tokens": "x", **subset}, **BUCKETS))


def theirs(plan, encoder, *, old=False, flips=False, **changed):
    """Write what sd-scripts would for every picture; `changed` replaces arrays."""
    for image in plan.images:
        pixels = planned_pixels(plan, image)
        arrays = {"original_size": np.array(image.size), "crop_ltrb": np.array(crop_box(image.size, image.bucket))}
        for name, seen in {"latents": pixels, **({"latents_flipped": pixels[:, ::-1]} if flips else {})}.items():
            arrays[name] = encoder.posterior(to_tensor(seen)[None])[0][:4].numpy()
        stem, (width, height) = Path(image.path).with_suffix(""), image.size
        np.savez(f"{stem}.npz" if old else f"{stem}_{width:04d}x{height:04d}_sd.npz", **{**arrays, **changed})


@pytest.fixture
def pictures(tmp_path):
    folder = make_images(tmp_path, SIZES)
    time.sleep(0.02)  # files made now are newer than these
    return folder


@pytest.mark.parametrize("case", GOLDEN["names"], ids=lambda case: case["npz"])
def test_the_name_is_that_of_the_reference(case, tmp_path, pictures):
    image = planned(pictures).images[0]
    renamed = type(image)(**{**{name: getattr(image, name) for name in image.__slots__}, "size": tuple(case["image_size"])})
    (pictures / Path(case["npz"]).name).write_bytes(b"")
    assert kohya_latents.find(renamed, case["family"]) == pictures / Path(case["npz"]).name


def test_the_crop_of_the_reference_is_ours():
    for case in GOLDEN["files"]:
        size, crop = (case["arrays"][name]["value"] for name in ("original_size", "crop_ltrb"))
        assert crop_box(tuple(size), (128, 128)) == pytest.approx(crop)


@pytest.mark.parametrize("old", [False, True], ids=["newer name", "older name"])
def test_those_of_this_vae_are_used_and_kept_as_ours(pictures, old):
    plan = planned(pictures, flip_aug=True)
    theirs(plan, Encoder(), old=old, flips=True)
    cache, encoded, store = build(plan)
    assert 0 < encoded <= 3 and not store.strange
    plain = LatentsCache.build(plan, Encoder())
    for image in plan.images:
        assert torch.allclose(cache.get(image, flipped=True), plain.get(image, flipped=True), atol=0.5)
    again, encoded, _ = build(plan)
    assert encoded == 0 and all(torch.equal(again.get(image), cache.get(image)) for image in plan.images)


def test_those_of_another_vae_are_not_used_but_when_they_are_trusted(pictures, monkeypatch):
    plan = planned(pictures)
    other = Encoder(gain=1.3)
    theirs(plan, other)
    cache, encoded, _ = build(plan, store=LatentsStore(VAE, trusting=True))
    assert encoded == 0
    for image in plan.images:
        mean = other.posterior(to_tensor(planned_pixels(plan, image))[None])[0][:4]
        assert torch.allclose(cache.get(image), mean)
    monkeypatch.setattr(cache_module, "MEMORY", 0)
    lazy, encoded, _ = build(plan, store=LatentsStore(VAE, trusting=True))
    assert encoded == 0 and all(torch.equal(lazy.get(image), cache.get(image)) for image in plan.images)
    cache, encoded, store = build(plan)
    assert encoded == 5 and store.strange == {pictures: 2}
    plain = LatentsCache.build(plan, Encoder())
    assert all(torch.equal(cache.get(image), plain.get(image)) for image in plan.images)


@pytest.mark.parametrize("set_back", [False, True], ids=["newer", "time set back"])
def test_one_that_is_older_than_its_picture_is_not_used(pictures, set_back):
    plan = planned(pictures)
    theirs(plan, Encoder())
    time.sleep(0.02)
    old = (pictures / "b.png").stat()
    picture(64, 64, seed=77).save(pictures / "b.png")
    if set_back:
        os.utime(pictures / "b.png", ns=(old.st_atime_ns, old.st_mtime_ns))
    plan = planned(pictures)
    cache, _, store = build(plan)
    edited = next(image for image in plan.images if image.path.endswith("b.png"))
    assert torch.equal(cache.get(edited), LatentsCache.build(plan, Encoder()).get(edited)) and store.strange == {pictures: 1}


@pytest.mark.parametrize(
    "changed",
    [
        {"latents": np.zeros((4, 8, 4), np.float32)},
        {"latents": np.full((4, 8, 8), np.nan, np.float32)},
        {"original_size": np.array([64, 63])},
        {"crop_ltrb": np.array([0.0, 8.0, 64.0, 56.0])},
        {"latents": np.array([{"a": 1}], dtype=object)},
    ],
    ids=["other size", "NaN", "other original size", "other crop", "pickled"],
)
def test_one_that_does_not_fit_is_not_used_even_when_trusted(pictures, changed):
    plan = planned(pictures)
    theirs(plan, Encoder(), **changed)
    assert build(plan, store=LatentsStore(VAE, trusting=True))[1] == 5


def test_a_picture_that_sd_scripts_sees_otherwise_is_encoded(tmp_path):
    for name in "abcde":
        image = picture(64, 64)
        image.putalpha(200)
        image.save(tmp_path / f"{name}.png")
    time.sleep(0.02)
    plan = planned(tmp_path)
    theirs(plan, Encoder())
    assert build(plan)[1] == 5


def hostile(path, name):
    class Bomb:
        def __reduce__(self):
            return os.system, ("touch /tmp/never",)

    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        if name == "bomb":
            archive.writestr("latents.npy", bytes(300 << 20))
        elif name == "promise":
            file = io.BytesIO()
            np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)})
            archive.writestr("latents.npy", file.getvalue())
        elif name == "pickle":
            archive.writestr("latents.npy", pickle.dumps(Bomb()))
        elif name == "deep":
            archive.writestr("latents.npy", b"\x93NUMPY\x01\x00\xe8\x03" + b"(" * 1000)
    if name == "cut":
        path.write_bytes(b"PK\x03\x04" + bytes(50))


@pytest.mark.parametrize("name", ["bomb", "promise", "pickle", "deep", "cut"])
def test_a_hostile_file_of_arrays_is_refused(tmp_path, name):
    hostile(tmp_path / "x.npz", name)
    with pytest.raises(UnreadableError):
        read_arrays(tmp_path / "x.npz", ["latents"])


def test_arrays_by_columns_and_rows_are_read_alike(tmp_path):
    rows = np.arange(12.0).reshape(3, 4)
    np.savez_compressed(tmp_path / "x.npz", rows=rows, columns=np.asfortranarray(rows), other=rows)
    found = read_arrays(tmp_path / "x.npz", ["rows", "columns", "none"])
    assert set(found) == {"rows", "columns"} and all(np.array_equal(array, rows) for array in found.values())
