"""The command line, configuration files, and what repeats a run: out and in again gives the same options."""

from __future__ import annotations

import json
import random
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import toml

from lora_trainer.errors import InputError, InputErrors
from lora_trainer.options import OPTIONS, flat
from lora_trainer.options import config_file as files
from lora_trainer.options.cli import given_options, parse, parser
from lora_trainer.options.located import parse as parse_text
from lora_trainer.options.resolve import train_options

from .valid import make_valid


def words(given):
    return [f"--{name}={value}" for name, value in given.items()]


def test_only_what_is_typed_is_given():
    assert given_options([]) == {}
    assert given_options(["--network_dim", "8", "--xformers"]) == {"network_dim": "8", "xformers": "true"}


@pytest.mark.parametrize(
    ("typed", "given"),
    [
        (["--cache_latents"], {"cache_latents": "true"}),
        (["--no-cache_latents"], {"cache_latents": "false"}),
        (["--no-cache-latents"], {"cache_latents": "false"}),
        (["--cache_latents=false"], {"cache_latents": "false"}),
        (["--no_metadata"], {"no_metadata": "true"}),
        (["--no-metadata"], {"no_metadata": "true"}),
        (["--no-no_metadata"], {"no_metadata": "false"}),
        (["--no_metadata=false"], {"no_metadata": "false"}),
        (["--no_half_vae", "--no-xformers"], {"no_half_vae": "true", "xformers": "false"}),
        (["--network-dim=8"], {"network_dim": "8"}),
        (["--caption_extention=.txt"], {"caption_extension": ".txt"}),
        (["--adaptive_noise_scale", "-1e-3"], {"adaptive_noise_scale": "-1e-3"}),
        (
            ["--network_args", "conv_dim=4", "conv_alpha=1", "--sdpa"],
            {"network_args": ["conv_dim=4", "conv_alpha=1"], "sdpa": "true"},
        ),
        (["--text_encoder_lr", "1e-5", "5e-6"], {"text_encoder_lr": ["1e-5", "5e-6"]}),
        (["--network_dim=4", "--network_dim=8"], {"network_dim": "8"}),
        (["--networkdims", "4"], {"networkdims": "4"}),
        (["--nonsense=1", "--xformers"], {"nonsense": "1", "xformers": "true"}),
    ],
)
def test_ways_to_write_an_option(typed, given):
    assert given_options(typed) == given


@pytest.mark.parametrize(
    ("typed", "said"), [(["images"], "belongs to no option"), (["--network_dim"], "--network_dim: the value is")]
)
def test_stray_words_and_missing_values_are_refused(typed, said):
    with pytest.raises(InputError, match=said):
        given_options(typed)


def test_an_abbreviation_is_not_guessed_but_its_full_name_is_told(tmp_path):
    with pytest.raises(InputErrors, match="Did you mean learning_rate"):
        parse([*words(make_valid(tmp_path)), "--learning_rat=1"])


def test_the_documented_command_line_is_understood(tmp_path):
    given = make_valid(tmp_path)
    image = tmp_path / "images" / "2_sls frog"
    (tmp_path / "set.toml").write_text(f"[[datasets]]\nresolution = 512\n[[datasets.subsets]]\nimage_dir = '{image}'\n")
    line = f"""--pretrained_model_name_or_path='{given["pretrained_model_name_or_path"]}' --dataset_config='{tmp_path}/set.toml'
        --output_dir='{tmp_path}/out' --output_name=frog --save_model_as=safetensors --prior_loss_weight=1.0
        --max_train_steps=400 --learning_rate=1e-4 --optimizer_type="AdamW8bit" --xformers --mixed_precision="fp16"
        --cache_latents --gradient_checkpointing --save_every_n_epochs=1 --network_module=networks.lora"""
    options = parse(shlex.split(line))
    assert options is not None
    assert (options.training.max_train_steps, options.optimizer.optimizer_type) == (400, "AdamW8bit")
    assert options.model.xformers and options.dataset.cache_latents and options.training.gradient_checkpointing
    assert options.saving.save_every_n_epochs == 1 and options.training.mixed_precision == "fp16"


def test_help_names_every_option():
    text = parser().format_help()
    assert [option.name for option in OPTIONS if not re.search(rf"--{option.name}[ ,\n]", text)] == []
    assert "no effect yet" in text and "OUTPUT" not in text


def test_sections_of_a_configuration_file_are_flattened_and_its_ending_may_be_left_out(tmp_path):
    (tmp_path / "run.toml").write_text('a = 1\n[x]\nb = 2\n\n[y]\n--network_args = ["c=1", "d=2"]\n', encoding="utf-8")
    for name in ("run", "run.toml"):
        read = files.read(tmp_path / name)
        assert dict(read.values) == {"a": 1, "b": 2, "--network_args": ["c=1", "d=2"]}
        assert read.where("b") == "run.toml, line 3, b"
    assert train_options(make_valid(tmp_path / "v"), {"--network_args": ["conv_dim=1"]}).network.network_args == ("conv_dim=1",)


def test_a_configuration_that_the_reference_wrote_with_all_its_defaults_is_accepted(tmp_path):
    golden = json.loads((Path(__file__).parents[1] / "golden" / "options.json").read_text(encoding="utf-8"))
    defaults = {o["dest"]: o["default"] for o in golden["scripts"]["train_network.py"] if o["default"] is not None}
    given = make_valid(tmp_path)
    lines = [f"{name} = {files.toml_value(value)}" for name, value in {**defaults, **given}.items()]
    text = "\n".join(lines).replace("learning_rate = '1e-4'", "learning_rate = 1e-4")
    (tmp_path / "theirs.toml").write_text(text, encoding="utf-8")
    options = parse([f"--config_file={tmp_path / 'theirs'}"])
    assert options is not None
    ours = parse(words(given))
    assert ours is not None and replace(options.saving, config_file=None) == ours.saving
    assert replace(options, saving=ours.saving) == ours


def test_a_key_given_in_two_sections_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("[x]\nseed = 2\n[y]\nseed = 3\n", encoding="utf-8")
    with pytest.raises(InputErrors, match="run.toml, line 4: seed is given twice, here and at run.toml, line 2"):
        files.read(tmp_path / "run")


CHANGED = {
    "network_dim": "8",
    "network_args": ["rank_dropout=0.1", "module_dropout=0.2"],
    "optimizer_args": ["betas=.9,.999", "weight_decay=0.01"],
    "text_encoder_lr": ["5e-5"],
    "lr_scheduler": "cosine",
    "lr_warmup_steps": "0.1",
    "learning_rate": "0.0003",
    "caption_prefix": 'it\'s a "quoted" 100% \\ $HOME `x` & | > 한글 ',
    "training_comment": "C:\\new\\x64\\",
    "cache_latents": "true",
    "seed": "7",
    "max_token_length": "225",
}


def test_the_written_configuration_repeats_the_run(tmp_path):
    options = train_options({**make_valid(tmp_path), **CHANGED})
    (tmp_path / "again.toml").write_text(files.to_toml(options), encoding="utf-8")
    assert train_options({}, files.read(tmp_path / "again")) == options
    assert "zero_stage" not in files.to_toml(options)


def test_the_written_command_line_repeats_the_run(tmp_path):
    options = train_options({**make_valid(tmp_path), **CHANGED})
    arguments = files.to_arguments(options)
    assert parse(arguments) == options
    posix = shlex.split(files.command_line(arguments))
    assert posix == [*files.COMMAND, *arguments]
    assert split_windows(files.command_line(arguments, windows=True)) == [*files.COMMAND, *arguments]


def split_windows(line):
    """The words of a command line as the Windows C runtime sees them (the documented rules for backslashes and quotes)."""
    found, word, quoted, started, at = [], "", False, False, 0
    while at < len(line):
        slashes = len(re.match(r"\\*", line[at:])[0])
        mark = line[at + slashes : at + slashes + 1]
        at += slashes
        if mark == '"':
            word += "\\" * (slashes // 2)
            started, at = True, at + 1
            if slashes % 2:
                word += '"'
            else:
                quoted = not quoted
            continue
        word += "\\" * slashes
        started = started or slashes > 0
        if mark == " " and not quoted:
            found += [word] if started else []
            word, started = "", False
        elif mark:
            word, started = word + mark, True
        at += 1
    return found + ([word] if started else [])


def test_any_text_survives_quoting_and_toml():
    draw = random.Random(1)
    alphabet = "ab \\\"'%$&|<>^`#[]{},=\t\n\x01é한"
    for _ in range(3000):
        text = "".join(draw.choice(alphabet) for _ in range(draw.randint(0, 8)))
        assert shlex.split(files.command_line([text], command=["x"])) == ["x", text]
        assert split_windows(files.command_line([text], windows=True, command=["x"])) == ["x", text]


def test_any_text_and_any_list_of_texts_survives_toml():
    draw = random.Random(2)
    alphabet = "ab \\\"'%[](){},=:#é한\t\n\x01"
    for _ in range(3000):
        texts = ["".join(draw.choice(alphabet) for _ in range(draw.randint(0, 7))).lstrip('"') for _ in range(3)]
        assert toml.loads(f"a = {files.toml_value(texts[0])}\nb = 1") == {"a": texts[0], "b": 1}
        assert toml.loads(f"a = {files.toml_value(tuple(texts))}\nb = 1") == {"a": texts, "b": 1}
    assert files.toml_value("C:\\images\\x") == "'C:\\images\\x'"


def test_nested_tables_survive_toml():
    tables = {
        "general": {"resolution": 512, "caption_prefix": "a, 'b' \\ \"c\"", "custom_attributes": {"x": {"y z": [1, 2]}}},
        "datasets": [
            {"batch_size": 2, "subsets": [{"image_dir": "C:\\x\\new", "flip_aug": True}, {"image_dir": "b"}]},
            {"resolution": [512, 768], "subsets": [{"image_dir": "c", "caption_dropout_rate": 0.5}]},
        ],
    }
    text = files.tables_to_toml(tables)
    assert toml.loads(text) == tables
    assert "[[datasets.subsets]]\nimage_dir = 'C:\\x\\new'\n" in text


@pytest.mark.effect("output_config", "config_file")
def test_output_config_writes_and_never_overwrites(tmp_path, capsys):
    line = [*words(make_valid(tmp_path)), f"--config_file={tmp_path / 'new'}", "--output_config"]
    assert parse(line) is None
    assert "new.toml" in capsys.readouterr().out
    again = parse([f"--config_file={tmp_path / 'new'}"])
    assert again is not None and again.saving.output_name == "frog"
    before = (tmp_path / "new.toml").read_text(encoding="utf-8")
    with pytest.raises(InputError, match="exists already"):
        parse(line)
    assert (tmp_path / "new.toml").read_text(encoding="utf-8") == before
    with pytest.raises(InputError, match="needs config_file"):
        parse([*words(make_valid(tmp_path / "b")), "--output_config"])


def test_lines_are_found_through_comments_multiline_values_and_repeated_tables():
    text = """# a = 1
top = '''
b = 2
'''
list = [ # [x]
  "c = 3",
]
[one]
d = 4
[[two]]
d = 5
  [[two.three]]
  d = 6
[[two]]
  [[two.three]]
  "d" = 7
  [[two.three]]
  e.f = 8
"""
    file = parse_text(Path("x.toml"), text)
    expected = {
        ("top",): 2,
        ("list",): 5,
        ("one", "d"): 9,
        ("two", 0, "d"): 11,
        ("two", 0, "three", 0, "d"): 13,
        ("two", 1, "three", 0, "d"): 16,
        ("two", 1, "three", 1, "e", "f"): 18,
        ("two", 1): 14,
    }
    assert {keys: file.line(*keys) for keys in expected} == expected


def test_the_options_import_nothing_heavy():
    code = (
        "import sys, lora_trainer.options.cli, lora_trainer.options.simple; "
        "print(sorted({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.stdout.strip() == "[]", done.stderr


def test_flat_has_every_option(tmp_path):
    assert list(flat(train_options(make_valid(tmp_path)))) == [option.name for option in OPTIONS]
