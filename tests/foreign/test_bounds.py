"""What is opened, how much of it is read, and what is never run: each bound of the one door, by its worst case."""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zipfile
from random import Random
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from lora_trainer.api.answers import answer
from lora_trainer.data.plan.captions import process_caption
from lora_trainer.errors import InputError, LoraFileError, SaveError
from lora_trainer.foreign import module_patterns, pickles
from lora_trainer.foreign.json_text import parse_json, read_number, read_table
from lora_trainer.foreign.reading import UnreadableError, is_file, is_folder, is_there, read_bytes, read_text, shown
from lora_trainer.modelfile import probe, problem_as
from lora_trainer.networks import files
from lora_trainer.options import located
from lora_trainer.sampling.lora_tags import extract
from lora_trainer.sampling.prompts import parse_prompt_file, parse_prompt_line

NAME = "lora_unet_down_blocks_0_attentions_0_proj_in"
PAIR = {f"{NAME}.lora_down.weight": torch.ones(2, 4), f"{NAME}.lora_up.weight": torch.ones(4, 2)}
ODD_PATHS = ["x" * 5000, "x/" * 3000, "a\0b", "\ud800.safetensors", "", "."]


class TestOpening:
    """Only regular files are opened; whatever else is there, or not, is said."""

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
    @pytest.mark.parametrize("name", ["m.safetensors", "m.ckpt", "m.toml", "m.json", "m.txt"])
    def test_a_pipe_is_never_waited_for(self, tmp_path, name):
        path = tmp_path / name
        os.mkfifo(path)
        with pytest.raises(UnreadableError, match="a pipe"):
            read_bytes(path)
        assert "a pipe" in probe(path).problem
        with pytest.raises(LoraFileError, match="a pipe"):
            files.load(path)
        if path.suffix in (".toml", ".json"):
            with pytest.raises(InputError, match="a pipe"):
                located.read(path)
        if path.suffix != ".safetensors" and path.suffix != ".ckpt":
            with pytest.raises(InputError, match="a pipe"):
                parse_prompt_file(path)

    @pytest.mark.skipif(os.name != "posix", reason="devices have paths")
    def test_a_device_and_a_folder_are_no_files(self, tmp_path):
        with pytest.raises(UnreadableError, match="a device"):
            read_bytes("/dev/zero")
        with pytest.raises(UnreadableError, match="a folder"):
            read_bytes(tmp_path)

    def test_a_link_to_nothing_says_where_it_points(self, tmp_path):
        (tmp_path / "m.safetensors").symlink_to(tmp_path / "gone")
        assert f"is a link to {tmp_path / 'gone'}, which does not exist" in probe(tmp_path / "m.safetensors").problem

    @pytest.mark.parametrize("path", ODD_PATHS, ids=range(len(ODD_PATHS)))
    def test_no_path_is_too_odd_to_ask_about(self, path):
        assert not is_file(path) and is_there(path) == is_folder(path) == (path in ("", "."))
        assert probe(path).problem and problem_as("lora", path)[0] and problem_as("vae", path)[0]
        assert len(probe(path).problem) < 1000, "a message is shorter than the path"
        with pytest.raises(LoraFileError):
            files.load(path)
        assert read_table(path) == {}
        shown(path).encode()

    def test_a_file_larger_than_its_kind_is_not_read(self, tmp_path):
        with (tmp_path / "a.txt").open("wb") as file:
            file.truncate(5 << 30)
        with pytest.raises(UnreadableError, match="too large"):
            read_text(tmp_path / "a.txt")
        with pytest.raises(InputError, match="too large"):
            parse_prompt_file(tmp_path / "a.txt")


class TestPickles:
    """A .ckpt that unpacks to more than it is, or takes longer than it looks."""

    def packed(self, path, content: bytes, compression=zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(path, "w", compression) as archive:
            archive.writestr("archive/data.pkl", content)
        return path

    def test_a_bomb_is_not_unpacked(self, tmp_path):
        path = self.packed(tmp_path / "m.ckpt", bytes(200 << 20))
        assert path.stat().st_size < 1 << 20
        assert "whose contents are packed" in probe(path).problem
        with pytest.raises(LoraFileError, match="packed"):
            files.load(path)

    def test_operations_are_counted(self, tmp_path, monkeypatch):
        monkeypatch.setattr(pickles, "MAX_OPERATIONS", 1000)
        path = self.packed(tmp_path / "m.ckpt", b"\x80\x02" + b"N0" * 5000 + b"N.", zipfile.ZIP_STORED)
        assert "more than 1,000 operations" in probe(path).problem

    @pytest.mark.parametrize("content", [b"\x80\x02I" + b"9" * 5000 + b"\n.", b"\x80\x02L" + b"9" * 5000 + b"L\n."])
    def test_endless_numbers_are_not_computed(self, tmp_path, content):
        assert "a number of a thousand digits" in probe(self.packed(tmp_path / "m.ckpt", content, zipfile.ZIP_STORED)).problem

    def test_a_directory_of_a_million_files_is_not_listed(self, tmp_path):
        record = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, 1 << 30, 0, 0)
        (tmp_path / "m.ckpt").write_bytes(b"PK\x03\x04" + bytes(100) + record)
        assert "its zip directory has 1,073,741,824 bytes" in probe(tmp_path / "m.ckpt").problem

    @pytest.mark.parametrize("call", [b"cbuiltins\nbytearray\n", b"\x8c\x08builtins\x94\x8c\x09bytearray\x94\x93"])
    def test_what_only_takes_memory_is_no_tensor_either(self, tmp_path, call):
        content = b"\x80\x04" + call + b"\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R."
        assert "builtins.bytearray" in probe(self.packed(tmp_path / "m.ckpt", content, zipfile.ZIP_STORED)).problem

    def test_names_that_are_remembered_are_looked_at_too(self, tmp_path):
        content = b"\x80\x04\x8c\x02os\x94\x8c\x01x\x940h\x00\x8c\x06system\x93."
        assert "os.system" in probe(self.packed(tmp_path / "m.ckpt", content, zipfile.ZIP_STORED)).problem

    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        ("make", "word"),
        [
            (lambda: torch.ones(2, 4).to_sparse(), "sparse"),
            (lambda: torch.ones(2, 4, device="meta"), "without numbers"),
            (lambda: torch.ones(1).expand(2, 4), "repeated from fewer numbers"),
        ],
    )
    def test_a_lora_of_tensors_without_numbers_is_refused_by_name(self, tmp_path, make, word):
        torch.save(PAIR | {f"{NAME}.lora_down.weight": make()}, tmp_path / "m.pt")
        with pytest.raises(LoraFileError, match=rf"m\.pt holds {NAME}\.lora_down\.weight, a tensor {word}"):
            files.load(tmp_path / "m.pt")


class TestJson:
    """Bounds that hold before anything is made."""

    @pytest.mark.parametrize(
        ("text", "word"),
        [
            ("[" * 65 + "]" * 65, "nested more than 64"),
            ('{"a":' * 100_000, "nested more than 64"),
            ("[" + "[]," * 600_000 + "[]]", "more than 1,000,000 values"),
            ("9" * 1000, "a thousand digits"),
            ("[" + "9" * 5000 + "]", "a thousand digits"),
            ('{"a": }', "in line 1"),
            ("", "Expecting value"),
        ],
    )
    def test_what_is_beyond_them_is_said(self, text, word):
        with pytest.raises(UnreadableError, match=word):
            parse_json(text)

    def test_what_stands_in_texts_does_not_count(self):
        text = json.dumps({"a": "[" * 200 + "{" * 200 + '\\"' * 100 + "9" * 5000 + "," * 10, "b": "\\"})
        assert parse_json(text) == json.loads(text)

    def test_halves_of_characters_are_made_whole_or_refused(self):
        assert parse_json('{"a": "\\ud800x", "\\udfff": ["\\ud83d\\ude00"]}') == {"a": "?x", "?": ["\N{GRINNING FACE}"]}
        with pytest.raises(UnreadableError, match="half a character"):
            parse_json('{"\\ud800": 1}', strict=True)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), 10**400, True, "1", None, [1]])
    def test_numbers_are_numbers(self, value):
        assert read_number({"a": value}, "a") is None
        assert read_number({"a": 0.5}, "a") == 0.5

    def test_an_answer_holds_whatever_a_file_said(self):
        body = json.loads(answer({"a": float("nan"), "b": ["\udcff.safetensors", float("inf")], "c": (1, 2)}).body)
        assert body == {"a": None, "b": ["?.safetensors", None], "c": [1, 2]}


class TestAlphaPattern:
    """PEFT's patterns are matched as PEFT means them, and none of them is run."""

    @pytest.mark.parametrize(
        ("pattern", "path", "matches"),
        [
            ("conv1", "down_blocks.0.resnets.0.conv1", True),
            ("conv1", "down_blocks.0.resnets.0.xconv1", False),
            ("attn1.to_k", "mid.attn1.to_k", True),
            (r"attn1\.to_k", "mid.attn1.to_k", True),
            (r"^mid\.attn1\.to_k$", "mid.attn1.to_k", True),
            (r".*attn1.*", "mid.attn1.to_k", True),
            (r".*attn2.*", "mid.attn1.to_k", False),
            (r"down_blocks\.\d+\..*\.to_q", "unet.down_blocks.12.attentions.0.to_q", True),
            (r"down_blocks\.\d\..*\.to_q", "unet.down_blocks.12.attentions.0.to_q", False),
            (".*", "a", True),
            ("a.*.*b", "ab", True),
        ],
    )
    def test_as_peft_does(self, pattern, path, matches):
        import re

        assert bool(re.match(rf"(.*\.)?({pattern})$", path)) == matches, "the case itself"
        assert (module_patterns.find({pattern: 3}, path) == 3) == matches

    def test_the_first_pattern_counts(self):
        patterns = {"to_k": 1, "attn1.to_k": 2, r".*to_q": 3, "to_q": 4}
        assert [module_patterns.find(patterns, f"attn1.{name}") for name in ("to_k", "to_q", "to_v")] == [1, 3, None]

    @pytest.mark.parametrize("pattern", ["(a+)+$", "(.*a){30}", "a|b", "[ab]", "a*", "x" * 400])
    def test_more_of_the_language_is_refused_by_name(self, tmp_path, pattern):
        config = {"lora_alpha": 4, "alpha_pattern": {pattern: 2}}
        keys = {
            "unet.mid_block.attentions.0.proj_in.lora_A.weight": (2, 4),
            "unet.mid_block.attentions.0.proj_in.lora_B.weight": (4, 2),
        }
        save_file({key: torch.ones(shape) for key, shape in keys.items()}, tmp_path / "m.safetensors")
        (tmp_path / "adapter_config.json").write_text(json.dumps(config))
        with pytest.raises(
            LoraFileError, match=r"m\.safetensors has the alpha_pattern .*a regular expression that is not read"
        ):
            files.load(tmp_path / "m.safetensors")

    def test_hostile_wild_cards_cost_their_length(self):
        hostile = {".*a" * 90 + "b" + str(number): 1 for number in range(60)}
        for number in range(300):
            assert module_patterns.find(hostile, "a." * 30 + str(number)) is None


class TestHeaders:
    """What is written can be read by everybody."""

    def test_metadata_of_many_megabytes_are_cut_with_a_note(self, tmp_path):
        tags = {f"tag {number}": number for number in range(600_000)}
        given = {"ss_tag_frequency": json.dumps(tags), "ss_network_dim": "2", "ss_training_comment": "x" * 100}
        files.save(tmp_path / "m.safetensors", PAIR, given)
        with safe_open(tmp_path / "m.safetensors", "pt") as opened:
            found = opened.metadata()
        assert found["ss_network_dim"] == "2" and found["ss_training_comment"] == "x" * 100
        assert "ss_tag_frequency" not in found and "ss_tag_frequency (" in found[files.CUT_NOTE]
        assert files.read_metadata(tmp_path / "m.safetensors")["sshs_model_hash"] == found["sshs_model_hash"]
        assert files.fitting(found) == found, "cut once"

    def test_the_longest_go_first_and_only_as_many_as_must(self):
        given = {f"ss_{number}": "x" * ((1 << 20) + number) for number in range(10)} | {"ss_network_dim": "4"}
        assert sorted({*given} - {*files.fitting(given)}) == ["ss_7", "ss_8", "ss_9"]

    def test_ordinary_metadata_stay_as_they_are(self):
        given = {"a": "b", files.CUT_NOTE: "earlier"}
        assert files.fitting(given) == given

    def test_a_header_that_nobody_reads_is_not_written(self, monkeypatch):
        monkeypatch.setattr(files, "MAX_HEADER", 1000)
        with pytest.raises(SaveError, match="header of"):
            files.header({f"tensor {number}": {} for number in range(100)}, {})


class TestTexts:
    """Time grows with the length of a text, not with its square."""

    @pytest.mark.parametrize("text", ["{" * 200_000, "{a" * 100_000, "{}" * 100_000, "{a|b" * 50_000 + "}", "}" * 200_000])
    def test_wildcards_of_captions(self, text):
        options = SimpleNamespace(
            caption_prefix="", caption_suffix="", caption_dropout_every_n_epochs=0, caption_dropout_rate=0.0,
            enable_wildcard=True, shuffle_caption=False, token_warmup_step=0, caption_tag_dropout_rate=0.0,
            secondary_separator="",
        )  # fmt: skip
        process_caption(text, options, Random(0), epoch=1)

    def test_wildcards_are_chosen_as_before(self):
        import re

        from lora_trainer.data.plan.captions import _chosen

        for text in ("a {b|c} d", "{}", "{} {x}", "{a{b|c}", "a}b{c", "{{a}", "{|}", "x{a|b}y{c|d}z", "{", "}"):
            expected = re.sub(r"\{([^}]+)\}", lambda match: Random(3).choice(match[1].split("|")), text)
            assert _chosen(text, SimpleNamespace(choice=lambda words: Random(3).choice(words))) == expected

    @pytest.mark.parametrize("text", ["<lora:a" * 30_000, "<a:" * 60_000, "<" * 200_000])
    def test_tags_that_never_end(self, text):
        with contextlib.suppress(InputError):
            extract(text)

    @pytest.mark.parametrize("value", ["9" * 5000, "1" * 400 + ".5", "0" * 10**6])
    def test_endless_numbers_of_a_prompt_line(self, value):
        for option in ("w", "l", "d"):
            with pytest.raises(Exception, match="expected a") as caught:
                parse_prompt_line(f"a --{option} {value}", "here")
            assert len(str(caught.value)) < 500
