"""Every benchmark runs, in the smallest form that it has, and what it compares with does the same work."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmarks import compiling, creep, data, handover, kill, loop_overhead, merge, start

ROOT = Path(loop_overhead.__file__).parent
SMALL = ["--resolution", "64"]
LAYERS = {
    "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q": (640, 640),
    "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k": (1280, 768),
}


def test_every_benchmark_has_a_smoke_test():
    said = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    commands = [path.stem for path in ROOT.glob("*.py") if "__main__" in path.read_text(encoding="utf-8")]
    assert "kill" in commands and [name for name in commands if f" {name}" not in said] == []


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.long
def test_a_killed_training_has_the_hash_of_the_others(capsys):
    assert kill.main(["1", "--steps", "3"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].removeprefix("never killed: ") in said[1] and said[-1].endswith("1 equal hashes")


def test_the_loop_and_the_bare_step_take_turns(tmp_path, tiny_sd1):
    arguments = loop_overhead.parser().parse_args([*SMALL, "--size", "tiny", "--model", str(tiny_sd1), "--steps", "2"])
    found = loop_overhead.measure(arguments, tmp_path)
    for middle in (found["ratio"], found["cpu_ratio"]):
        assert 0 < middle[1] <= middle[0] <= middle[2]
    assert found["seconds_ours"] > 0 and found["seconds_bare"] > 0 and found["steps"] == "2"


def test_each_step_is_compared_with_the_bare_ones_around_it():
    duel = loop_overhead.Duel(None, None, steps=3, warm=0)
    duel.ours, duel.bare = [(4.0, 1.0), (6.0, 1.1), (5.0, 0.6)], [(1.0, 1.0), (3.0, 1.0), (3.0, 1.0), (2.0, 0.2)]
    assert duel.ratios(0) == [2.0, 2.0, 2.0] and duel.ratios(1) == pytest.approx([1.0, 1.0, 1.1])
    assert loop_overhead._middle([1.0, 1.0, 1.1, 1.2, 4.0]) == [1.1, 1.0, 1.2]


def test_the_bare_step_trains_a_lora_of_the_layers_that_ours_trains(tiny_sd1):
    from lora_trainer.models import load
    from lora_trainer.networks.lora import create_network

    bare = loop_overhead.BareStep(tiny_sd1, precision="no", batch=2, resolution=64, checkpointing=False)
    before = [parameter.clone() for parameter in bare.parameters]
    bare()
    assert any(not torch.equal(one, two) for one, two in zip(before, bare.parameters, strict=True))
    model = load(tiny_sd1, dtype=torch.float32, device="cpu")
    ours = create_network(1.0, loop_overhead.RANK, 1.0, None, None, model.unet)
    assert sorted(p.numel() for p in bare.parameters) == sorted(p.numel() for p in ours.parameters())


def test_the_start_is_timed_phase_by_phase_and_who_was_ready_trains_the_same_bytes(tmp_path, tiny_sd1):
    words = [*SMALL, "--model", str(tiny_sd1), "--images", "2", "--times", "1", "--warm", "0"]
    found = start.measure(start.parser().parse_args(words), tmp_path)
    assert found["seconds_less_weights"] > 0 and found["seconds_of_weights"] > 0
    assert sum(found["phases"].values()) == pytest.approx(found["all"], abs=0.01)
    assert found["ratios"]["all"] == pytest.approx(found["all"] / found["import torch"]["all"], abs=0.01) and found["all"] > 0
    assert set(found["ready"]) >= {"loading the program", "all"} and found["ready"]["bytes"] > 50 << 20
    plain, ready = (load_file(tmp_path / "out" / name / "benchmark.safetensors") for name in ("run", "ready"))
    assert plain.keys() == ready.keys() and all(torch.equal(plain[name], ready[name]) for name in plain)


def test_a_hand_over_is_timed_beside_the_plain_ways_and_all_that_a_training_holds_is_moved(tmp_path, tiny_sd1):
    words = ["--model", str(tiny_sd1), "--times", "1", "--resolution", "64"]
    found = handover.measure(handover.parser().parse_args(words), tmp_path)
    training, pictures = found["training"], found["first picture"]
    assert training["MiB"] <= training["MiB parked"] <= training["MiB"] * 1.1 + 1
    assert training["ratio"] > 0 and pictures["kept, s"] > 0
    assert pictures["ratio"] == pytest.approx(pictures["kept, s"] / pictures["read anew, s"], rel=0.01)


def test_large_data_sets_are_measured_and_both_loaders_read_the_same_pixels(tmp_path):
    folder = data.make_folder(tmp_path / "1_x", 70)
    assert len(list(folder.iterdir())) == 140
    found = {"images": 70, "first step": {"all": 1.0}}
    found["planning"], found["caching"] = {**data.planning(str(folder)), "MiB": 1}, {**data.caching(str(folder)), "MiB": 1}
    found["editing"] = {**data.editing(str(folder)), "MiB": 1}
    photos = data.make_photos(tmp_path / "photos", 2, (160, 120))
    found["loading"] = {64: data.loading(photos, 64, 0, least=4, rounds=1)}
    found["looking"] = {**data.looking(str(photos)), "MiB": 1}
    table = data.table(found)
    assert (
        "| the header alone, as a page is answered |" in table
        and "| plan |" in table
        and "| latents found again |" in table
        and "| to 64x64 |" in table
    )
    plan = data.make_plan(data.spec_of(photos, 64))
    plain, ours = data.Plain(plan, 1), data.TrainDataset(plan)[0, 0]
    (image,) = ours["image_ids"].tolist()
    assert torch.allclose(plain[image], ours["images"][0], atol=1e-6)


def test_what_a_training_holds_is_noted_after_each_save(tmp_path):
    found = creep.measure(4, 2, tmp_path)
    assert [found[when]["step"] for when in ("first", "middle", "last")] == [2, 4, 4]
    assert all(found[when]["process"] > 50 for when in ("first", "last"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads memory from /proc")
def test_the_tools_are_set_beside_the_straightforward_way(monkeypatch):
    monkeypatch.setattr(merge, "shapes", lambda file: LAYERS)
    for line in (merge.merge_case("lierla"), merge.resize_case(), merge.extract_case("extract-merged")):
        *_, apart, error, _ = (cell.strip() for cell in line.split("|"))
        assert abs(float(error)) < 1e-3 and float(apart) < 0.1
    assert merge.checkpoint_case().startswith("Merging a rank 32 C3Lier LoRA into an fp16 checkpoint")


def test_a_step_is_timed_beside_what_compiling_costs():
    """As it is; what is compiled has tests of its own (tests/models/test_compiling.py)."""
    found = compiling.measure_one(compiling.parser().parse_args(["--way", "plain", "--channels", "32", "--steps", "1"]))
    assert found["first"] >= 0 and found["later"] > 0 and found["graphs"] == 0
