"""A rehearsal: what a training will need, measured by a few of its real steps."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lora_trainer.errors import InputError
from lora_trainer.options import flat
from lora_trainer.runs import disk
from lora_trainer.training import command
from lora_trainer.training.failures import what_to_lower
from lora_trainer.training.rehearsal import card, measuring
from lora_trainer.training.rehearsal.card import Holder, Room
from lora_trainer.training.rehearsal.measuring import rehearse
from lora_trainer.training.rehearsal.meter import Meter
from lora_trainer.training.rehearsal.report import report
from lora_trainer.training.rehearsal.savings import Sizes, savings
from lora_trainer.training.rehearsal.shapes import line, rehearsed, seconds_of_all, steps_of
from lora_trainer.training.rehearsal.telling import duration, lines, size
from lora_trainer.training.train import train
from lora_trainer.training.trainee import Trainee

from .conftest import Recorder, short_training


def measured(options):
    return report(rehearse(options, reporter=Recorder()), 0.0)


@pytest.fixture(scope="module")
def about(tiny_sd1, pictures, tmp_path_factory):
    """(options, the report of their rehearsal): of a LoRA and its word, with sample pictures and a state."""
    folder = tmp_path_factory.mktemp("rehearsal")
    prompts = folder / "prompts.txt"
    prompts.write_text("a sls frog --s 5 --w 64 --h 64\n", encoding="utf-8")
    wanted = {"sample_prompts": str(prompts), "sample_every_n_steps": 2, "save_state": True, "cache_latents_to_disk": True}
    wanted |= {"trains": "pivotal", "token_string": "sls"}
    options = short_training(tiny_sd1, pictures, folder / "out", max_train_steps=2, train_batch_size=2, **wanted)
    before = sorted(pictures.rglob("*"))
    found = measured(options)
    assert sorted(pictures.rglob("*")) == before and not (folder / "out").exists(), "nothing is written"
    return options, found


def test_the_size_of_a_file_is_told_to_the_byte_and_that_of_a_state_nearly(about):
    options, found = about
    result = train(options, reporter=Recorder())
    state = result.path.with_name("x-state")
    assert found["files"]["one"] == result.path.stat().st_size
    assert found["files"]["state"] == pytest.approx(sum(path.stat().st_size for path in state.iterdir()), rel=0.25)
    assert (found["files"]["count"], found["files"]["states"]) == (1, 1)
    assert found["files"]["needed"] == found["files"]["one"] + found["files"]["state"]
    again = rehearse(options, reporter=Recorder())
    assert again.to_encode == 0, "its latents lie on the disk by now"


def test_of_a_whole_model_every_weight_counts_and_the_file_is_a_whole_checkpoint(options_for):
    options = options_for(network_module=None, trains="model", max_train_steps=2, save_precision="fp16", mixed_precision="bf16")
    found = measured(options)
    assert found["files"]["one"] == train(options, reporter=Recorder()).path.stat().st_size
    parts = found["memory"]["parts"]
    assert parts["trained"] > 0 == parts["model"] and parts["optimizer"] == pytest.approx(2 * parts["trained"], rel=0.01)


def test_of_a_whole_model_what_saves_memory_is_what_can_be_done(options_for):
    options = options_for(network_module=None, trains="model", mixed_precision="bf16", gradient_checkpointing=True)
    sizes = Sizes(model=0, texts=10, vae=0, trained=100, optimizer=200, working=150)
    found = [set(one.values) for one in savings(options, sizes, {"step": sizes.step}, on_card=True)]
    assert {"fused_backward_pass"} in found and {"optimizer_type"} in found and {"fp8_base"} not in found
    fused = options_for(network_module=None, trains="model", fused_backward_pass=True, optimizer_type="AdaFactor")
    assert not [one for one in savings(fused, sizes, {"step": sizes.step}, on_card=True) if "fused_backward_pass" in one.values]
    assert "train a LoRA instead" in what_to_lower(fused, torch.device("cpu"))


def test_the_parts_of_a_step_and_the_time_are_those_of_this_training(about, tiny_sd1):
    options, found = about
    memory, times = found["memory"], found["time"]
    parts = memory["parts"]
    assert parts["optimizer"] == pytest.approx(2 * parts["trained"], rel=0.01), "AdamW remembers two numbers of each"
    assert memory["needed"] == max(one["peak"] for one in memory["phases"]) > sum(parts.values()) - parts["other"]
    assert [one["name"] for one in memory["phases"]] == ["loading", "latents", "texts", "step", "samples"]
    assert times["total"] == pytest.approx(sum(times["parts"].values()))
    assert times["parts"]["steps"] == pytest.approx(2 * times["per_step"]) and times["parts"]["samples"] > 0
    assert memory["fits"] and not memory["savings"], "who has room need not save"


def test_larger_pictures_need_more_and_a_step_that_does_not_fit_is_told_by_smaller_ones(options_for, monkeypatch, about):
    options = options_for(resolution="128", train_batch_size=4)
    monkeypatch.setattr(measuring, "room", lambda device: Room(100 << 20, 200 << 20))
    whole = rehearse(options, reporter=Recorder()).found
    before = about[1]["memory"]["parts"]["working"]
    assert 5 * before < whole.working < 9 * before, "four times the pixels, twice the samples"
    assert not whole.overflowed and whole.checkpointed < whole.working, "with little room checkpointing is tried, too"

    real = Trainee.batch_loss

    def small(self, batch, **how):
        if batch["latents"].numel() > 2 * 4 * 16 * 16:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return real(self, batch, **how)

    monkeypatch.setattr(Trainee, "batch_loss", small)
    monkeypatch.setattr(measuring, "room", lambda device: Room(80 << 20, 200 << 20, (Holder(7, "python3", 90 << 20),)))
    monkeypatch.setattr(Meter, "_peak", lambda self: 50 << 20)  # on the CPU it is that of all tests until now
    monkeypatch.setattr(measuring, "held", lambda device: 50 << 20)
    found = measured(options)
    memory = found["memory"]
    assert memory["full_in"] == "step" and memory["estimated"] and not memory["fits"]
    assert memory["parts"]["working"] == pytest.approx(whole.working, rel=0.15)
    assert memory["needed"] == pytest.approx((50 << 20) + whole.working, rel=0.1)
    by = {next(iter(one["values"])): one for one in memory["savings"]}
    assert by["gradient_checkpointing"]["measured"]
    less = memory["needed"] - by["gradient_checkpointing"]["needed"]
    assert less == pytest.approx(whole.working - whole.checkpointed, rel=0.25)
    assert by["train_batch_size"]["values"] == {"train_batch_size": 2} and not by["train_batch_size"]["measured"]
    told = "\n".join(lines(found))
    assert "does not fit" in told and "python3 (process 7): 90.0 MB" in told and "--gradient_checkpointing=true" in told


@pytest.mark.effect("check")
def test_check_prints_what_is_needed_and_leaves_no_file(tiny_sd1, pictures, tmp_path, capsys, monkeypatch):
    given = {"pretrained_model_name_or_path": tiny_sd1, "train_data_dir": pictures, "output_dir": tmp_path / "out"}
    given |= {"output_name": "x", "network_module": "networks.lora", "resolution": 64, "max_train_steps": 40}
    line = [*(f"--{name}={value}" for name, value in given.items()), "--cache_latents", "--caption_extension=.txt", "--check"]
    assert command.main(line, "train_network") == 0
    told = capsys.readouterr().out
    assert "Memory: it fits." in told and "(40 steps, " in told and "Files: 1 of " in told and "4 pictures in 1 folder" in told
    assert not (tmp_path / "out").exists()
    monkeypatch.setattr(measuring, "room", lambda device: Room(1 << 20, 2 << 20))
    monkeypatch.setattr(measuring, "PARTS", {name: measuring.PARTS[name] for name in ("loading", "latents", "texts")})
    monkeypatch.setattr(measuring, "_try_checkpointing", lambda of: None)
    assert command.main(line, "train_network") == 3
    assert "it does not fit" in capsys.readouterr().out


def test_a_training_is_not_made_of_it(options_for):
    options = options_for()
    with pytest.raises(InputError, match="makes none"):
        train(replace(options, training=replace(options.training, check=True)), reporter=Recorder())


SIZES = Sizes(model=1000, texts=200, vae=100, trained=40, optimizer=80, working=4000)


def saved(options, peaks=None, sizes=SIZES, **how):
    found = savings(options, sizes, peaks or {"loading": 2000, "step": sizes.step}, **{"on_card": True, **how})
    return {next(iter(one.values)): one for one in found}


def test_what_would_need_less_is_what_is_not_in_force_and_lowers_the_highest_peak(options_for):
    plain = options_for(train_batch_size=4, cache_latents=False, resolution="512", network_dim=16, mixed_precision="bf16")
    found = saved(plain)
    assert list(found)[0] == "split_batch_when_full" and found["split_batch_when_full"].needed == 5420 - 3000
    assert found["train_batch_size"].needed == 5420 - 2000
    assert found["resolution"].values == {"resolution": "384"} and found["resolution"].needed == 5420 - 1750
    assert found["cache_latents"].needed == 5420 - 100 and found["fp8_base"].needed == 5420 - 600
    assert "mixed_precision" not in found and "gradient_checkpointing" not in found
    assert saved(plain, sizes=replace(SIZES, checkpointed=900))["gradient_checkpointing"].needed == 5420 - 3100
    assert "cache_latents" not in saved(options_for()) and "fp8_base" not in saved(options_for(mixed_precision="no"))
    assert saved(plain, {"loading": 6000, "step": 5420}) == {}, "a step that is not the highest peak need not shrink"
    other = saved(plain, datasets=rehearse_plan(options_for(train_batch_size=2, resolution="256")).datasets)
    assert "train_batch_size" not in other and "resolution" not in other, "what a data set has of its own is not set there"
    assert saved(plain, datasets=rehearse_plan(plain).datasets).keys() == found.keys()
    encoding = saved(options_for(vae_batch_size=8), {"latents": 9000, "step": 5420})
    assert list(encoding) == ["vae_batch_size"] and encoding["vae_batch_size"].needed == 5420


def test_the_time_of_all_steps_follows_from_the_largest_and_the_smallest():
    assert line([(100, 3.0), (50, 2.0)]) == (1.0, 0.02)
    assert line([(100, 3.0)]) == (0.0, 0.03) and line([(100, 1.0), (50, 0.9)])[0] == pytest.approx(0.8)
    assert line([(100, 3.0), (50, 0.5)]) == (0.0, 0.03), "no step takes less than nothing"


def test_the_rehearsed_steps_are_the_largest_and_the_least_of_an_epoch(options_for):
    of = rehearse_plan(options_for(train_batch_size=3, max_train_steps=20))
    steps = steps_of(of, 1)
    chosen = rehearsed(steps)
    assert [len(step.images) for step in chosen] == [3, 1] and steps[chosen[0].first] == chosen[0]
    counts = measuring.prepare.step_counts(options_for(max_train_steps=20).training, of)
    pixels = 64 * 64
    both = [(3 * pixels, 3.5), (pixels, 1.5)]
    assert seconds_of_all(steps, counts, both) == pytest.approx(10 * 3.5 + 10 * 1.5)


def rehearse_plan(options):
    from lora_trainer.data.plan import make_plan
    from lora_trainer.options.dataset_config import data_spec

    return make_plan(data_spec(options), seed=1)


def test_other_programs_on_the_card_are_read_from_the_drivers_list():
    said = "  811, 2048, C:\\Python\\python.exe\n12, [N/A], firefox\n\nnothing\n"
    assert card.holders(lambda words: said) == (Holder(811, "python.exe", 2 << 30), Holder(12, "firefox", None))

    def missing(words):
        raise FileNotFoundError("nvidia-smi")

    assert card.holders(missing) == ()


def test_a_finding_is_told_in_words_a_person_reads():
    assert [size(number) for number in (12, 520_016, 38_400_000, 7_912_000_000)] == ["12 bytes", "508 KB", "36.6 MB", "7.4 GB"]
    assert [duration(seconds) for seconds in (0.26, 42.4, 900, 7260)] == ["0.26 s", "42 s", "15 min", "2 h 1 min"]


def test_how_much_is_written_is_counted_once_for_guesses_and_for_what_was_measured(options_for):
    values = flat(options_for(save_every_n_steps=10, save_n_epoch_ratio=5, save_state=True, save_state_every_n_minutes=5))
    counted = disk.written(values, 45, 10)
    assert (counted.files, counted.states) == (2 + 4 + 5, 9 + 3 + 1)
    assert counted.bytes(10, 100) == 11 * 10 + 13 * 100
    assert disk.written(flat(options_for()), 45, 10, copies=0) == disk.Written(1, 0)
