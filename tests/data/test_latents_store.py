"""Latents on the disk: found again, and never of another picture, VAE, size or crop than is trained."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import pytest
import torch
from dataset_files import make_images, one_dataset, picture

from lora_trainer.data import cache as cache_module
from lora_trainer.data import entries
from lora_trainer.data.cache import LatentsCache
from lora_trainer.data.latents_store import LatentsStore
from lora_trainer.data.plan import cache_folders, digest, make_plan
from lora_trainer.data.plan.remembered import Remembered
from lora_trainer.errors import InputError, SaveError

BUCKETS = {"enable_bucket": True, "min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
SIZES = {"a.png": (64, 64), "b.png": (128, 40), "c.png": (70, 66), "d.png": (64, 64), "e.png": (128, 40)}
VAE = {"vae": "one", "precision": "float32"}


class Encoder:
    """A stand-in for the VAE, in two steps; `encoded` are the ids of what it was given."""

    def __init__(self, gain: float = 1.0, seed: int = 0) -> None:
        self.gain, self.encoded = gain, 0
        self.draw = Draw(seed)

    def posterior(self, images):
        self.encoded += len(images)
        mean = self.gain * torch.nn.functional.avg_pool2d(images, 8)
        mean = torch.cat([mean, mean[:, :1] ** 2], 1)
        return torch.cat([mean, (0.1 * mean.abs()).half().float()], 1)

    def __call__(self, images, ids):
        return self.draw(self.posterior(images), ids)


class Draw:
    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __call__(self, posterior, ids):
        mean, std = posterior.chunk(2, dim=1)
        noise = [torch.randn(mean.shape[1:], generator=torch.Generator().manual_seed(self.seed + i)) for i in ids]
        return mean + std * torch.stack(noise)


def plan_of(folder, **subset):
    settings = {**BUCKETS, **{name: subset.pop(name) for name in ("resolution", "min_bucket_reso") if name in subset}}
    return make_plan(one_dataset({"image_dir": folder, "class_tokens": "x", **subset}, **settings))


def build(plan, encoder=None, store=None, **more):
    """(cache, pictures that were encoded, the store)."""
    encoder, store = encoder or Encoder(), store or LatentsStore(VAE)
    before = encoder.encoded
    built = LatentsCache.build(plan, encoder, store=store, **more)
    return built, encoder.encoded - before, store


def all_of(cache, plan, flips=(False,)):
    return [cache.get(image, flipped=flipped) for image in plan.images for flipped in flips]


def same(plan, first, second, flips=(False,)):
    return all(map(torch.equal, all_of(first, plan, flips), all_of(second, plan, flips)))


@pytest.fixture(params=["held in memory", "read when asked for"])
def held(request, monkeypatch):
    if request.param != "held in memory":
        monkeypatch.setattr(cache_module, "MEMORY", 0)
    return request.param == "held in memory"


@pytest.fixture
def fresh(monkeypatch):
    """Forget which file has which digest, as a new process does."""
    forget = lambda: monkeypatch.setattr(digest.HASHES, "_known", Remembered())  # noqa: E731
    forget()
    return forget


def test_a_second_run_encodes_nothing_and_has_the_latents_of_one_that_keeps_nothing(tmp_path, held):
    plan = plan_of(make_images(tmp_path, SIZES), flip_aug=True)
    plain = LatentsCache.build(plan, Encoder(), batch_size=2)
    first, encoded, _ = build(plan, batch_size=2)
    second, again, _ = build(plan, batch_size=3)
    other_seed, third, _ = build(plan, Encoder(seed=9))
    assert (encoded, again, third) == (10, 0, 0)
    assert same(plan, plain, first, (False, True)) and same(plan, plain, second, (False, True))
    assert same(plan, other_seed, LatentsCache.build(plan, Encoder(seed=9)), (False, True))
    assert first.is_in_memory is held and second.is_in_memory is held and (second.nbytes == 0) is not held


def test_an_edited_picture_alone_is_encoded_anew_and_its_old_entry_is_gone(tmp_path, held, fresh):
    folder = make_images(tmp_path, SIZES)
    build(plan_of(folder))
    before = cache_folders.size([folder])
    old = (folder / "d.png").stat()
    picture(64, 64, seed=40).save(folder / "d.png")
    os.utime(folder / "d.png", ns=(old.st_atime_ns, old.st_mtime_ns))  # the editor, or a backup, sets the time back
    fresh()
    cache, encoded, _ = build(plan_of(folder))
    plan = plan_of(folder)
    assert encoded == 1 and same(plan, cache, LatentsCache.build(plan, Encoder()))
    assert cache_folders.size([folder]).files == before.files


def test_a_picture_replaced_by_one_of_equal_length_and_time_within_the_clock_s_grain_is_noticed(tmp_path, fresh):
    """A file changed just now may change again without its time telling: nothing is remembered of it."""
    folder = tmp_path / "bmp"
    folder.mkdir()
    picture(64, 64).save(folder / "a.bmp")
    build(plan_of(folder))
    old = (folder / "a.bmp").stat()
    data = bytearray((folder / "a.bmp").read_bytes())
    data[200:5000] = bytes(4800)
    (folder / "a.bmp").write_bytes(data)  # in its place: size and inode stay
    os.utime(folder / "a.bmp", ns=(old.st_atime_ns, old.st_mtime_ns))
    fresh()
    assert build(plan_of(folder))[1] == 1


def test_what_was_not_touched_is_not_read_again_and_a_copy_is_the_same_picture(tmp_path, fresh, monkeypatch):
    folder = make_images(tmp_path / "a", SIZES)
    for path in folder.glob("*.png"):
        os.utime(path, (time.time() - 100,) * 2)
    build(plan_of(folder))
    fresh()
    plan = plan_of(folder)
    real, read = digest.open_file, []
    monkeypatch.setattr(digest, "open_file", lambda path: read.append(path) or real(path))
    assert build(plan)[1] == 0 and read == []
    (tmp_path / "a").rename(tmp_path / "b")
    for path in (tmp_path / "b").glob("*.png"):
        path.touch()
    assert build(plan_of(tmp_path / "b"))[1] == 0 and len(read) == len(SIZES)
    assert digest.digests(plan_of(tmp_path / "b")) and len(read) == len(SIZES), "what was read is known to all"


@pytest.mark.parametrize(
    ("made_by", "changed"),
    [
        ({**VAE, "vae": "two"}, {}),
        ({**VAE, "precision": "float16"}, {}),
        (VAE, {"resolution": (96, 96)}),
        (VAE, {"min_bucket_reso": 64}),  # another crop of the wide ones
        (VAE, {"resize_interpolation": "nearest"}),
    ],
    ids=["another VAE", "another precision", "another resolution", "another crop", "another filter"],
)
def test_what_is_made_otherwise_is_encoded_anew_beside_the_old(tmp_path, made_by, changed):
    folder = make_images(tmp_path, SIZES)
    build(plan_of(folder))
    plan = plan_of(folder, **changed)
    cache, encoded, _ = build(plan, Encoder(gain=2.0), LatentsStore(made_by))
    moved = [image for image, old in zip(plan.images, plan_of(folder).images, strict=True) if image != replace(old)]
    assert encoded == (len(SIZES) if made_by != VAE or "resize_interpolation" in changed else len(moved)) > 0
    if encoded == len(SIZES):
        assert same(plan, cache, LatentsCache.build(plan, Encoder(gain=2.0)))
    assert build(plan_of(folder))[1] == 0, "the old ones are still there"


def test_mirrored_latents_are_added_when_they_are_asked_for_and_nothing_else(tmp_path):
    folder = make_images(tmp_path, SIZES)
    assert [build(plan_of(folder, flip_aug=flips))[1] for flips in (False, True, False, True)] == [5, 5, 0, 0]


def damage_cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def damage_bit(path):
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def damage_all(path):
    path.write_bytes(b"\0" * 500)


def damage_nan(path):
    entry = entries.read(path)
    numbers = {name: torch.full_like(tensor, float("nan")) for name, tensor in entry.tensors.items()}
    entries.write(path, entry.key, numbers, entry.remembered)


def damage_size(path):
    entry = entries.read(path)
    numbers = {name: tensor[:, :1].clone() for name, tensor in entry.tensors.items()}
    entries.write(path, entry.key, numbers, entry.remembered)


@pytest.mark.parametrize("damage", [damage_cut, damage_bit, damage_all, damage_nan, damage_size])
def test_a_damaged_entry_is_made_again_and_named(tmp_path, damage):
    plan = plan_of(make_images(tmp_path, SIZES))
    first, _, _ = build(plan)
    path = next(iter((tmp_path / cache_folders.FOLDER).glob("c.png-*")))
    damage(path)
    second, encoded, store = build(plan)
    assert encoded == 1 and same(plan, first, second)
    assert len(store.damaged) == 1 and store.damaged[0].startswith(f"{path.name} ")
    assert build(plan)[1] == 0


def test_an_entry_that_is_damaged_while_it_is_trained_from_is_named_and_made_again_next_time(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_module, "MEMORY", 0)
    plan = plan_of(make_images(tmp_path, SIZES))
    cache, _, _ = build(plan)
    path = next(iter((tmp_path / cache_folders.FOLDER).glob("c.png-*")))
    damage_bit(path)
    with pytest.raises(InputError, match=r"c\.png.*Start the training again"):
        cache.get(next(image for image in plan.images if image.path.endswith("c.png")))
    assert build(plan)[1] == 1


def test_what_was_encoded_before_a_stop_is_kept(tmp_path):
    plan = plan_of(make_images(tmp_path, SIZES))
    encoder = Encoder()
    before = threading.active_count()
    stopped, encoded, _ = build(plan, encoder, should_stop=lambda: encoder.encoded >= 2)
    assert stopped is None and encoded == 2 and threading.active_count() == before
    assert build(plan)[1] == 3


def test_a_full_disk_is_remembered_and_the_training_goes_on(tmp_path, monkeypatch, held):
    plan = plan_of(make_images(tmp_path, SIZES))
    real, tries = entries.write_atomic, []

    def full(path, write, **how):
        tries.append(path)
        if len(tries) > 2:
            raise SaveError(f"{path} could not be written: No space left on device.")
        real(path, write, **how)

    monkeypatch.setattr(entries, "write_atomic", full)
    cache, encoded, store = build(plan)
    assert encoded == 5 and "No space left" in str(store.shelves.full) and len(tries) <= 5
    assert same(plan, cache, LatentsCache.build(plan, Encoder()))
    monkeypatch.setattr(entries, "write_atomic", real)
    assert build(plan)[1] == 3


def test_beside_a_folder_that_cannot_be_written_to_the_user_s_own_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv(cache_folders.VARIABLE, str(tmp_path / "mine"))
    folder = make_images(tmp_path / "cd", SIZES)
    (folder / cache_folders.FOLDER).write_text("a file where the folder would be: it cannot be made, as on a read-only disk")
    plan = plan_of(folder)
    _, encoded, store = build(plan)
    assert encoded == 5 and store.shelves.moved == {folder: cache_folders.places(folder)[1]}
    assert build(plan)[1] == 0 and cache_folders.size([folder]).files == 5
    monkeypatch.setenv(cache_folders.VARIABLE, str(tmp_path / "cd" / "a.png"))
    _, encoded, store = build(plan)
    assert encoded == 5 and store.shelves.moved == {folder: folder}, "nowhere"


def test_trusting_takes_what_has_the_right_name_and_shape(tmp_path, fresh):
    folder = make_images(tmp_path, SIZES)
    build(plan_of(folder))
    picture(64, 64, seed=40).save(folder / "d.png")
    fresh()
    assert build(plan_of(folder), store=LatentsStore(VAE, trusting=True))[1] == 0
    assert build(plan_of(folder), store=LatentsStore({**VAE, "vae": "two"}, trusting=True))[1] == 5


def test_a_picture_that_changes_while_it_is_encoded_is_not_kept(tmp_path):
    plan = plan_of(make_images(tmp_path, {"a.png": (64, 64)}))
    encoder = Encoder()
    real = encoder.posterior
    encoder.posterior = lambda images: picture(64, 64, seed=9).save(tmp_path / "a.png") or real(images)
    build(plan, encoder)
    assert build(plan_of(tmp_path))[1] == 1


def test_names_of_any_kind_have_entries_of_their_own(tmp_path):
    names = ["x" * 240 + ".png", "x" * 240 + "y.png", "그림 %s {}.png", "a.png", "a.PNG", "a.webp"]
    folder = make_images(tmp_path, dict.fromkeys(names, (64, 64)))
    plan = plan_of(folder)
    first, encoded, _ = build(plan)
    second, again, _ = build(plan)
    assert (encoded, again) == (len(names), 0) and same(plan, first, second)


class Pair:
    """Two processes in threads: what they add up and where they wait for each other."""

    world_size = 2

    def __init__(self, rank, meeting, table):
        self.rank, self.meeting, self.table = rank, meeting, table

    def _swap(self, value):
        self.table[self.rank] = value
        self.meeting.wait(60)
        both = list(self.table)
        self.meeting.wait(60)
        return both

    def add_up(self, values):
        one, other = self._swap(list(values))
        return [a + b for a, b in zip(one, other, strict=True)]

    def add_up_tensor(self, tensor):
        one, other = self._swap(tensor.clone())
        return one + other

    def wait(self):
        self._swap(None)


def in_two(work):
    meeting, table, results = threading.Barrier(2), [None, None], [None, None]

    def one(rank):
        try:
            results[rank] = work(rank, Pair(rank, meeting, table))
        except BaseException:
            meeting.abort()
            raise

    threads = [threading.Thread(target=one, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


@pytest.mark.parametrize("kept", [True, False], ids=["on the disk", "in memory"])
def test_two_processes_encode_half_each_and_have_all(tmp_path, held, kept):
    plan = plan_of(make_images(tmp_path, SIZES), flip_aug=True)
    alone = LatentsCache.build(plan, Encoder())
    if kept:
        build(plan_of(tmp_path))  # all but the mirrored ones are there already
    encoders = [Encoder(), Encoder()]

    def work(rank, pair):
        store = LatentsStore(VAE) if kept else None
        return LatentsCache.build(plan, encoders[rank], store=store, together=pair)

    for cache in in_two(work):
        assert same(plan, cache, alone, (False, True))
    assert sorted(encoder.encoded for encoder in encoders) == ([2, 3] if kept else [5, 5])


def test_processes_that_do_not_share_a_disk_have_all_the_same(tmp_path, held):
    """Each has its own copy of the pictures; one of them has entries already."""
    folders = [make_images(tmp_path / name, SIZES) for name in ("a", "b")]
    plans = [plan_of(folder) for folder in folders]
    build(plans[1])
    encoders = [Encoder(), Encoder()]
    caches = in_two(lambda rank, pair: LatentsCache.build(plans[rank], encoders[rank], store=LatentsStore(VAE), together=pair))
    for plan, cache in zip(plans, caches, strict=True):
        assert same(plan, cache, LatentsCache.build(plan, Encoder()))
