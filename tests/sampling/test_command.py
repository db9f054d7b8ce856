import numpy as np
import pytest
from PIL import Image

from lora_trainer.errors import BaseModelError, InputError, InputErrors, TrainingError
from lora_trainer.sampling import command

SMALL = ["--W", "64", "--H", "64", "--steps", "2", "--seed", "3", "--device", "cpu"]


def run(tmp_path, *argv):
    out = tmp_path / f"out{len([*tmp_path.glob('out*')])}"  # names of one second in one folder would get numbers
    assert command.main([*SMALL, *map(str, argv), "--outdir", str(out)]) == 0
    return sorted(out.glob("*.png"))


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_draws_with_tags_or_with_network_weights_alike(tmp_path, tiny_sd1, make_lora):
    lora = make_lora(tmp_path / "loras" / "sls.safetensors")
    ckpt = ["--ckpt", tiny_sd1]
    plain = run(tmp_path, *ckpt, "--prompt", "a cat")[0]
    tag = run(tmp_path, *ckpt, "--prompt", "a cat<lora:sls:0.8>", "--lora_dir", tmp_path / "loras", "--batch_count", "2")
    weights = ["--network_module", "networks.lora", "--network_weights", lora, "--network_mul", "0.8"]
    given = run(tmp_path, *ckpt, "--prompt", "a cat", *weights)[0]
    assert [path.name.rsplit("_", 2)[1:] for path in tag] == [["000", "3.png"], ["001", "4.png"]]
    assert np.array_equal(read(tag[0]), read(given))
    assert np.abs(read(plain) - read(given)).mean() > 0


def test_a_prompt_file_goes_before_the_options(tmp_path, tiny_sd1):
    prompts = tmp_path / "p.txt"
    prompts.write_text("# two\na cat --w 72 --d 11 --ss ddim\na dog --n cat --s 3\n", encoding="utf-8")
    paths = run(tmp_path, "--pretrained_model_name_or_path", tiny_sd1, "--from_file", prompts)
    texts = [Image.open(path).text["parameters"] for path in paths]
    assert "Sampler: DDIM" in texts[0] and "Seed: 11, Size: 72x64" in texts[0]
    assert "Negative prompt: cat\nSteps: 3" in texts[1] and "Seed: 3, Size: 64x64" in texts[1]


@pytest.mark.parametrize(
    ("argv", "error", "message"),
    [
        ([], InputError, "nothing is asked for"),
        (["--prompt", "a", "--from_file", "x.txt"], InputError, "exclude each other"),
        (["--prompt", "a <lora:x:1>"], InputError, "<lora:x>: there is no such LoRA"),
        (["--prompt", "a", "--network_mul", "1"], InputError, "1 multipliers for 0 network files"),
        (["--prompt", "a", "--network_weights", "x.safetensors", "--network_mul", "nan"], InputError, "nan is not a number"),
        (["--prompt", "a", "--network_weights", "x.safetensors", "--network_mul", "1e300"], InputError, "1e+300 is larger"),
        (["--prompt", "a <lora:x:1"], InputError, "never closed"),
        (["--prompt", "a", "--lora_dir", "no-such-folder"], InputErrors, "no-such-folder does not exist"),
        (["--prompt", "a", "--width", "65"], InputErrors, "width is 65"),
        (["--prompt", "a", "--sampler", "plsm"], InputError, "not known"),
        (["--prompt", "a", "--network_module", "networks.nonsense"], InputError, "networks.nonsense"),
        (["--prompt", "a", "--fp16"], InputError, "fp16 cannot be computed on the CPU"),
        (["--prompt", "a", "--device", "toaster"], InputError, "'toaster' cannot be used"),
        (["--prompt", "a"], BaseModelError, "no-such-model"),
    ],
)
def test_what_is_wrong_is_said_before_the_model_is_loaded(argv, error, message, tmp_path):
    with pytest.raises(error) as caught:
        command.main([*SMALL, *argv, "--ckpt", str(tmp_path / "no-such-model.safetensors"), "--outdir", str(tmp_path)])
    assert message in str(caught.value)


def test_a_size_that_nobody_gives_is_the_models_own(tiny_model):
    for family, side in (("sdxl", 1024), ("sd1", 512)):
        given = ["--ckpt", str(tiny_model(family)), "--prompt", "a", "--H", "64"]
        (request,) = command._requests(command.parser().parse_args(given))
        assert (request.width, request.height) == (side, 64)


def test_a_prompt_file_value_that_does_not_fit_names_its_line(tmp_path):
    prompts = tmp_path / "p.txt"
    prompts.write_text("fine\na --w 65 --ss euler\nb --ss plsm\n", encoding="utf-8")
    with pytest.raises(InputErrors) as caught:
        command.main([*SMALL, "--from_file", str(prompts), "--ckpt", "x"])
    assert "p.txt:2: width is 65" in str(caught.value) and "p.txt:3: the sampler 'plsm'" in str(caught.value)


@pytest.mark.parametrize("how", ["tag", "network_weights"])
def test_a_multiplier_that_leaves_no_picture_is_named_with_its_lora(how, tmp_path, tiny_sd1, make_lora):
    lora = make_lora(tmp_path / "loras" / "sls.safetensors")
    words = ["--prompt", "a cat<lora:sls:1e10>", "--lora_dir", lora.parent]
    if how == "network_weights":
        words = ["--prompt", "a cat", "--network_weights", lora, "--network_mul", "1e10"]
    with pytest.raises(TrainingError, match=r"with the LoRA sls at 1e\+10"):
        run(tmp_path, "--ckpt", tiny_sd1, *words)
