"""What the LoRA tools make still draws what was taught: merged, extracted and resized."""

from __future__ import annotations

import pytest

from lora_trainer.commands import run
from lora_trainer.demo import world
from tests.outcome.board import reads
from tests.outcome.lab import FEW, STYLE, WORDS, Lab, distance
from tests.outcome.test_subject import dusky, evenings

pytestmark = [pytest.mark.outcome, pytest.mark.timeout(1800)]
HEART = reads("shape", "heart")


def tool(*words) -> None:
    """Run a tool as the command line does."""
    assert run([str(word) for word in words]) == 0


@pytest.mark.long
def test_svd_merge(lab, board, tmp_path):
    """Two LoRAs in one file keep both.

    A subject and a style ("at dusk", a violet sky), merged by svd_merge_lora at the rank that each of them has. The pictures
    are nearly those of the two files put on together. With a ratio of 0 for one of the two ("subject", "style"), only the other
    is left.
    """
    captions = [f"a large {colour} {WORDS} {STYLE}" for colour in world.COLOURS] * 2
    sources = [lab.subject(), lab.train(evenings(24), max_train_steps=45, network_train_unet_only=True)]
    rows = {"two files": lab.draw(captions, *sources)}
    for name, ratios in {"merged": (1, 1), "subject": (1, 0), "style": (0, 1)}.items():
        path = tmp_path / f"{name}.safetensors"
        tool("svd_merge_lora", "--models", *sources, "--ratios", *ratios, "--new_rank", 32, "--save_to", path)
        rows[name] = lab.draw(captions, path)
    scores = board(rows, heart=HEART, dusk=dusky)
    loss = {name: distance(seen, rows["two files"]) for name, seen in rows.items()}
    assert loss["merged"] <= min(loss["subject"], loss["style"]) / 5
    for measure in ("heart", "dusk"):
        assert scores["merged"][measure] >= max(0.15, scores["two files"][measure] - 0.1)
    assert scores["subject"]["heart"] >= 0.3 and scores["subject"]["dusk"] <= 0.05
    assert scores["style"]["dusk"] >= 0.6 and scores["style"]["heart"] <= 0.05


@pytest.mark.long
def test_extract(lab, board, tmp_path):
    """Extraction from a merged model gives the subject back.

    merge_lora puts the subject into the checkpoint, which then draws it by itself. extract_lora_from_models takes it out
    again, from the two checkpoints alone; at rank 1 much of it is lost.
    """
    merged = tmp_path / "merged.safetensors"
    original = ["--sd_model", lab.model_file, "--models", lab.subject(), "--ratios", 1]
    tool("merge_lora", *original, "--precision", "float", "--save_to", merged)
    extracted = {rank: tmp_path / f"rank{rank}.safetensors" for rank in (32, 1)}
    for rank, path in extracted.items():
        models = ["--model_org", lab.model_file, "--model_tuned", merged]
        tool("extract_lora_from_models", *models, "--dim", rank, "--save_to", path)
    rows = {
        "before": lab.draw(FEW),
        "the LoRA": lab.draw(FEW, lab.subject()),
        "merged model": Lab(merged, lab.judge_file, lab.folder, lab.seed).draw(FEW),
        "extracted": lab.draw(FEW, extracted[32]),
        "extracted, rank 1": lab.draw(FEW, extracted[1]),
    }
    scores = board(rows, heart=HEART, colour=reads("colour"))
    assert scores["before"]["heart"] <= 0.1
    for name in ("merged model", "extracted"):
        assert scores[name]["heart"] == pytest.approx(scores["the LoRA"]["heart"], abs=0.1) and scores[name]["heart"] >= 0.6
        assert distance(rows[name], rows["the LoRA"]) <= 0.002
    assert scores["extracted, rank 1"]["heart"] <= scores["the LoRA"]["heart"] - 0.3


def test_resize(lab, board, tmp_path):
    """Resizing by kept energy loses little.

    resize_lora with sv_fro 0.95 gives each layer the rank that keeps 95 % of its norm: a quarter of the file, and the same
    hearts. Rank 1 for all layers loses much of the subject.
    """
    options = {"kept": [32, "--dynamic_method", "sv_fro", "--dynamic_param", 0.95], "rank 1": [1]}
    paths = {"whole": lab.subject()} | {name: tmp_path / f"{name}.safetensors" for name in options}
    for name, words in options.items():
        tool("resize_lora", "--model", lab.subject(), "--new_rank", *words, "--save_to", paths[name])
    rows = {"before": lab.draw(FEW), **{name: lab.draw(FEW, path) for name, path in paths.items()}}
    scores = board(rows, heart=HEART, colour=reads("colour"))
    sizes = {name: path.stat().st_size for name, path in paths.items()}
    assert sizes["kept"] <= 0.5 * sizes["whole"]
    assert scores["kept"]["heart"] >= scores["whole"]["heart"] - 0.2 and scores["kept"]["heart"] >= 0.6
    assert scores["rank 1"]["heart"] <= scores["whole"]["heart"] - 0.3
    assert distance(rows["kept"], rows["whole"]) <= distance(rows["rank 1"], rows["whole"]) / 2
