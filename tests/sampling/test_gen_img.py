"""gen_img_diffusers on the tiny model: what is drawn, how the files are called, what is written into them."""

from __future__ import annotations

import io
import re
import sys

import numpy as np
import pytest
from PIL import Image

from lora_trainer import commands
from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options.gen_img import GenImg
from lora_trainer.sampling import command as generate_command
from lora_trainer.sampling.gen_img import command
from lora_trainer.sampling.gen_img.checks import check_family
from lora_trainer.sampling.gen_img.networks import chosen
from lora_trainer.sampling.gen_img.plan import plan

SMALL = ["--W", "64", "--H", "64", "--steps", "2", "--sampler", "euler", "--device", "cpu"]


@pytest.fixture(scope="module")
def loras(tmp_path_factory, make_lora):
    folder = tmp_path_factory.mktemp("loras")
    return [make_lora(folder / f"{name}.safetensors", seed=seed) for seed, name in enumerate("ab", 1)]


@pytest.fixture
def run(tmp_path, tiny_sd1, loaded, monkeypatch):
    """run(*words): the command on the tiny model that is loaded already; returns the new pictures in order."""
    monkeypatch.setattr(command, "_load", lambda options: loaded)

    def run(*words):
        out = tmp_path / "out"
        before = set(out.glob("*"))
        words = [*SMALL, "--ckpt", tiny_sd1, "--outdir", out, *words]
        assert command.main([*map(str, words)]) == 0
        return sorted(set(out.glob("*.png")) - before)

    return run


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def text(path):
    return Image.open(path).text


def test_networks_with_multipliers_of_their_own_equal_the_same_two_by_tags(run, loras):
    base = read(run("--prompt", "a cat --d 3")[0])
    both = ["--network_weights", *loras, "--network_module", "networks.lora", "networks.lora"]
    given = read(run("--prompt", "a cat --d 3", *both, "--network_mul", "0.7", "-0.4")[0])
    tags = read(run("--prompt", "a cat<lora:a:0.7><lora:b:-0.4> --d 3", "--lora_dir", loras[0].parent)[0])
    assert np.array_equal(given, tags) and np.abs(given - base).max() > 10
    none = run("--prompt", "a cat --d 3", *both, "--network_mul", "0", "0")[0]
    assert np.array_equal(base, read(none))
    assert "Lora hashes" in text(none)["parameters"]


def test_am_goes_before_the_command_line_for_its_line_only_and_its_last_number_is_repeated(run, loras, tmp_path):
    lines = tmp_path / "p.txt"
    lines.write_text("a cat --d 3\na cat --d 3 --am 0.5\na cat --d 3 --am 0.5,0\na cat --d 3\n", encoding="utf-8")
    default, half, one, again = map(read, run("--from_file", lines, "--network_weights", *loras, "--sequential_file_name"))
    assert np.array_equal(default, again) and np.abs(default - half).mean() > 0
    for expected, multipliers in ((half, ("0.5", "0.5")), (one, ("0.5", "0"))):
        got = run("--prompt", "a cat --d 3", "--network_weights", *loras, "--network_mul", *multipliers)[0]
        assert np.array_equal(expected, read(got))


@pytest.mark.parametrize("how", [["--network_merge"], ["--network_merge_n_models", "1"], ["--network_pre_calc"]])
def test_merged_networks_give_the_same_picture_to_rounding(run, loras, how):
    words = ["--prompt", "a cat --d 3", "--network_weights", *loras, "--network_mul", "0.5", "0.4"]
    expected = read(run(*words)[0])
    assert np.abs(expected - read(run(*words, *how)[0])).max() <= 1
    assert np.array_equal(expected, read(run(*words)[0]))  # and come off again


def test_with_pre_calc_the_multipliers_of_a_line_count(run, loras, tmp_path):
    lines = tmp_path / "p.txt"
    lines.write_text("a cat --d 3 --am 0.2\na cat --d 3 --am 0.9,0.1\n", encoding="utf-8")
    words = ["--from_file", lines, "--network_weights", *loras, "--sequential_file_name"]
    for plain, merged in zip(run(*words), run(*words, "--network_pre_calc"), strict=True):
        assert np.abs(read(plain) - read(merged)).max() <= 1


def test_other_modules_read_the_same_file(run, loras):
    words = ["--prompt", "a cat --d 3", "--network_weights", *loras]
    expected = read(run(*words, "--network_module", "networks.lora")[0])
    modules = ["--network_module", "networks.lora", "networks.dylora", "--network_args", "", "unit=2"]
    assert np.abs(expected - read(run(*words, *modules)[0])).max() <= 1


def test_seeds_by_line_by_option_and_by_chance(run, tmp_path):
    first = run("--prompt", "a cat --d 5,6", "--images_per_prompt", "3", "--batch_size", "2", "--seed", "9")
    again = run("--prompt", "a cat --d 6", "--seed", "9")
    seeds = [int(text(path)["seed"]) for path in first]
    assert seeds[:2] == [5, 6] and seeds[2] not in (5, 6)
    assert np.abs(read(first[1]) - read(again[0])).max() <= 1
    assert text(run("--prompt", "a cat", "--seed", "9")[0])["seed"] == "9"  # one picture has the seed itself
    assert "Seed: 5," in text(first[0])["parameters"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ([], r"im_\d{14}_000_3\.png im_\d{14}_001_4\.png"),
        (["--sequential_file_name"], r"im_000001\.png im_000002\.png"),
    ],
)
def test_files_are_called_as_the_reference_does(run, words, names):
    paths = run("--prompt", "a cat --d 3,4", "--images_per_prompt", "2", *words)
    assert re.fullmatch(names, " ".join(path.name for path in paths))


def test_a_file_that_is_there_is_never_replaced(run, tmp_path):
    assert [path.name for path in run("--prompt", "a", "--sequential_file_name")] == ["im_000001.png"]
    assert [path.name for path in run("--prompt", "a", "--sequential_file_name")] == ["im_000002.png"]
    assert [path.name for path in run("--prompt", "a --f cat")] == ["cat.png"]
    assert [path.name for path in run("--prompt", "a --f cat.png")] == ["cat_001.png"]


def test_the_reference_keys_and_the_web_uis_text_stand_in_the_picture(run):
    line = "a {cat} --n dog --nl 2.5 --l 6 --s 3 --d 8 --w 72"
    texts = text(run("--prompt", line, "--negative_scale", "9")[0])
    parameters = texts.pop("parameters")
    assert texts == {
        "prompt": "a cat", "seed": "8", "sampler": "euler", "steps": "3", "scale": "6.0", "negative-prompt": "dog",
        "negative-scale": "2.5", "raw-prompt": line,
    }  # fmt: skip
    assert parameters.startswith("a cat\nNegative prompt: dog\nSteps: 3, Sampler: Euler")
    assert "Size: 72x64" in parameters


def test_the_negative_scale_is_a_guidance_of_its_own(run):
    plain = read(run("--prompt", "a cat --n dog --d 3")[0])
    same = read(run("--prompt", "a cat --n dog --d 3 --nl none", "--negative_scale", "2")[0])
    zero = read(run("--prompt", "a cat --n dog --d 3 --nl 0")[0])
    strong = read(run("--prompt", "a cat --n dog --d 3 --nl 4")[0])
    assert np.array_equal(plain, same)
    assert np.abs(zero - read(run("--prompt", "a cat --d 3")[0])).max() <= 1  # pushes from the empty prompt alone
    assert np.abs(strong - zero).mean() > 0 and np.abs(strong - plain).mean() > 0


def test_a_start_image_is_drawn_over_more_with_more_strength(run, tmp_path):
    folder = tmp_path / "start"
    folder.mkdir()
    for name, colour in (("x", (200, 40, 40)), ("y", (30, 40, 210))):
        Image.new("RGB", (80, 90), colour).save(folder / f"{name}.jpg")
    words = ["--image_path", folder, "--steps", "10"]
    pictures = {
        strength: read(run("--prompt", "a cat --d 3", *words, "--strength", strength, "--use_original_file_name")[0])
        for strength in ("0", "0.2", "0.9")
    }
    kept = pictures["0"]
    assert 0 < np.abs(pictures["0.2"] - kept).mean() < np.abs(pictures["0.9"] - kept).mean()
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"x.png", "y.png", "x_001.png"}
    whole = tmp_path / "whole.png"
    Image.new("RGB", (75, 90), "red").save(whole)
    path = run("--prompt", "a --t 0.5", "--image_path", whole)[0]
    assert Image.open(path).size == (64, 64) and "Denoising strength: 0.5" in text(path)["parameters"]


def test_prompts_typed_one_after_another(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.StringIO("a cat --d 1\na --w x\na dog --d 2\n\nnever"))
    shown = []
    monkeypatch.setattr(Image.Image, "show", lambda self, title: shown.append(title))
    paths = run("--interactive")
    assert [text(path)["prompt"] for path in paths] == ["a cat", "a dog"] and len(shown) == 2
    assert "prompt 2: --w is 'x'" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO("a cat"))
    assert len(run("--interactive", "--no_preview")) == 1 and len(shown) == 2


def test_the_metadata_of_the_networks_are_shown(run, make_lora, tmp_path, capsys):
    run("--prompt", "a", "--network_weights", make_lora(tmp_path / "n.safetensors", name="sls"), "--network_show_meta")
    assert '"ss_output_name": "sls"' in capsys.readouterr().out


def test_the_whole_command_draws_what_generate_draws(tmp_path, tiny_sd1):
    """From the command table, with the model loaded by its own options."""
    words = [*SMALL, "--ckpt", str(tiny_sd1), "--clip_skip", "2", "--scale", "6"]
    mine = ["--prompt", "a cat --n dog --d 3", "--outdir", str(tmp_path / "mine"), "--max_embeddings_multiples", "3"]
    mine += ["--opt_channels_last", "--no_half_vae", "--sdpa", "--v1"]
    assert commands.run(["gen_img_diffusers.py", *words, *mine]) == 0
    theirs = ["--prompt", "a cat", "--negative_prompt", "dog", "--seed", "3", "--outdir", str(tmp_path / "theirs")]
    assert generate_command.main([*words, *theirs]) == 0
    one, other = (read(next((tmp_path / name).iterdir())) for name in ("mine", "theirs"))
    assert np.abs(one - other).max() <= 1


def test_sdxl_draws_with_the_sizes_of_a_line(tiny_model, tmp_path):
    lines = tmp_path / "p.txt"
    lines.write_text("a cat --d 3\na cat --d 3 --ow 2000 --ct 300\na cat --d 3\n", encoding="utf-8")
    words = [
        *SMALL,
        "--ckpt",
        tiny_model("sdxl"),
        "--sdxl",
        "--from_file",
        lines,
        "--outdir",
        tmp_path,
        "--sequential_file_name",
    ]
    assert command.main([*map(str, words)]) == 0
    plain, sized, again = sorted(tmp_path.glob("*.png"))
    assert np.array_equal(read(plain), read(again)) and np.abs(read(plain) - read(sized)).max() > 0
    assert text(sized)["original-width"] == "2000" and text(sized)["crop-top"] == "300"
    assert "original-width" not in text(plain)


def test_what_sdxl_does_not_use_is_refused():
    with pytest.raises(InputErrors, match="--clip_skip: has no effect on Stable Diffusion XL"):
        check_family(GenImg(clip_skip=2), "sdxl", "xl.safetensors")
    check_family(GenImg(clip_skip=2, v2=True), "sd2", "v2.safetensors")


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["--prompt", "a", "--interactive"], ["--prompt and --interactive exclude each other"]),
        ([], ["nothing is asked for"]),
        (["--prompt", "a", "--fp16", "--bf16", "--W", "65"], ["--fp16 and --bf16", "--W: 65 is no multiple of 8. Choose 64."]),
        (["--prompt", "a", "--network_mul", "1"], ["--network_mul: has no effect without --network_weights"]),
        (["--prompt", "a", "--strength", "0.5"], ["--strength: has no effect without --image_path"]),
        (["--prompt", "a", "--strength", "1.5"], ["--strength: 1.5 is too large"]),
        (["--prompt", "a", "--image_path", "nowhere.png"], ["--image_path: nowhere.png does not exist"]),
        (["--prompt", "a", "--lora_dir", "nowhere"], ["--lora_dir: the folder nowhere does not exist"]),
        (["--prompt", "a", "--sampler", "eulr"], ["--sampler: 'eulr' is not one of", "Did you mean euler?"]),
        (["--prompt", "a", "--network_weights", "no.pt"], ["--network_weights: the file no.pt does not exist"]),
        (["--prompt", "a", "--sdxl"], ["--sdxl: ", "is a model of Stable Diffusion 1, not of Stable Diffusion XL"]),
        (["--prompt", "a", "--crop_top", "3"], ["--crop_top: has an effect on Stable Diffusion XL only"]),
        (["--prompt", "a --ow 99"], ["--prompt: --ow, --oh"]),
        (["--prompt", "a --w 65 --s x"], ["--prompt: --s is 'x'"]),
        (["--prompt", "a --t 0.5"], ["--t has no effect without a start image"]),
        (["--prompt", "a <lora:none:1>"], ["--prompt: <lora:none>: there is no such LoRA in (no folder is set)"]),
        (["--prompt", "a --n <lora:a:1>"], ["--prompt: a <lora:...> stands in the negative prompt"]),
        (["--prompt", "a --am 1"], ["--am has 1 multipliers for 0 networks"]),
        (["--prompt", "a", "--control_net_models", "x"], ["--control_net_models: not available: ControlNet. Leave it out."]),
        (["--prompt", "a", "--highres_fix_scale", "0.5"], ["--highres_fix_scale: not available: Highres fix"]),
        (["--prompt", "a", "--imges_per_prompt", "2"], ["Did you mean images_per_prompt?"]),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_before_the_model_is_loaded(words, messages, tiny_sd1, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_load", lambda options: pytest.fail("loaded"))
    with pytest.raises((InputError, InputErrors)) as caught:
        command.main(["--ckpt", str(tiny_sd1), "--outdir", str(tmp_path / "out"), *words])
    for message in messages:
        assert message in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network_mul", "1"], "--network_mul: 1 multipliers for 2 network files"),
        (["--network_mul", "1", "1", "1"], "--network_mul: 3 multipliers for 2 network files"),
        (["--network_module", *["networks.lora"] * 3], "--network_module: 3 modules for 2 network files"),
        (["--network_module", "networks.nonsense"], "there is no network module 'networks.nonsense'"),
        (["--network_args", "unit=4"], "--network_args: 1 texts for 2 network files"),
        (["--network_args", "unit", ""], "'unit' is not of the form name=value"),
        (["--network_merge_n_models", "3"], "--network_merge_n_models: 3 of 2 networks"),
        (["--network_merge", "--network_pre_calc"], "--network_merge and --network_pre_calc exclude each other"),
        (["--prompt", "a --am 1,1,1"], "--am has 3 multipliers for 2 networks"),
        (["--network_merge", "--prompt", "a --am 1"], "--am has 1 multipliers for 0 networks (merged ones do not count)"),
    ],
)
def test_wrong_networks_are_refused(words, message, loras, tiny_sd1, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "_load", lambda options: pytest.fail("loaded"))
    shared = ["--ckpt", str(tiny_sd1), "--outdir", str(tmp_path), "--network_weights", *map(str, loras), "--prompt", "a"]
    with pytest.raises((InputError, InputErrors)) as caught:
        command.main([*shared, *words])
    assert message in str(caught.value)


def test_everything_wrong_in_a_file_is_said_with_its_lines(tiny_sd1, tmp_path):
    lines = tmp_path / "p.txt"
    lines.write_text("fine\n# a --w x\n\na --w 65\na {x --huh 3|x --huh 3}\na --am 0.5\n", encoding="utf-8")
    with pytest.raises(InputErrors) as caught:
        command.main(["--ckpt", str(tiny_sd1), "--from_file", str(lines), "--n_iter", "3", "--outdir", str(tmp_path)])
    found = [str(error).split(": ")[0].rpartition(":")[2] for error in caught.value.errors]
    assert found == ["4", "5", "6"]


def test_files_of_one_name_keep_names_of_their_own():
    uses = chosen(GenImg(network_weights=("x/a.safetensors", "b.safetensors", "y/a.safetensors")))
    assert [use.name for use in uses] == ["a-1", "b", "a-3"]


def planned(lines, starts=(), **options):
    return plan(GenImg(**options), [("", line) for line in lines], starts=starts)


def drawn(jobs):
    return [(job.prompt.prompt, seed) for job in jobs for seed in job.seeds]


def test_the_pictures_of_a_prompt_are_drawn_together_and_each_choice_is_its_own():
    jobs = planned(["a", "{x|y}"], images_per_prompt=30, seed=1)
    assert len(jobs[0].seeds) == 30 and 5 < len(jobs) < 31
    assert {job.prompt.prompt for job in jobs[1:]} == {"x", "y"} and len(drawn(jobs)) == 60
    assert len({seed for _, seed in drawn(jobs)}) == 60
    assert drawn(jobs) == drawn(planned(["a", "{x|y}"], images_per_prompt=30, seed=1))
    assert drawn(jobs) != drawn(planned(["a", "{x|y}"], images_per_prompt=30, seed=2))


def test_rounds_seeds_and_order():
    assert drawn(planned(["{e$$a|b} --d 1,2,3,4"], images_per_prompt=2)) == [("a", 1), ("a", 2), ("b", 3), ("b", 4)]
    rounds = drawn(planned(["a", "b"], n_iter=3, seed=1))
    assert [prompt for prompt, _ in rounds] == ["a", "b"] * 3 and len({seed for _, seed in rounds}) == 6
    same = [seed for _, seed in drawn(planned(["a", "b"], n_iter=3, seed=1, iter_same_seed=True))]
    assert same[0::2] == same[1::2] and len(set(same)) == 3
    assert [seed for _, seed in drawn(planned(["a", "b"], seed=7, iter_same_seed=True))] == [7, 7]
    letters = [*"abcdefgh"]
    shuffled = [prompt for prompt, _ in drawn(planned(letters, seed=1, n_iter=2, shuffle_prompts=True))]
    assert sorted(shuffled[:8]) == letters and letters != shuffled[:8] != shuffled[8:]


def test_lines_and_start_images_go_together_and_the_fewer_begin_again(tmp_path):
    starts = [tmp_path / "1.png", tmp_path / "2.png"]
    jobs = planned(["a", "b", "c"], starts, image_path="x")
    assert [(job.prompt.prompt, job.start.stem) for job in jobs] == [("a", "1"), ("b", "2"), ("c", "1")]
    assert len(planned(["a"], starts, image_path="x")) == 2


def test_sizes_of_a_line_go_before_the_options():
    (job,) = plan(GenImg(original_width=900, crop_top=4), [("", "a --ow 700 --nh 5")], sdxl=True)
    assert job.sizes == {"original_width": 700, "original_height_negative": 5, "crop_top": 4}
