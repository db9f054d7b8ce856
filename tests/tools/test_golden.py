"""What the tools give for the recorded cases: merge, SVD merge, resize, extraction and splitting."""

from __future__ import annotations

import math

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.commands import run
from lora_trainer.networks.files import tensor_hash

from .conftest import ALGEBRA, CASES, checkpoint_name, close, deltas, metadata, rank_alpha, results, source, toy_checkpoint

NOT_COMPARED = ("sshs_", "modelspec.date", "modelspec.implementation_version", "modelspec.title")


def ids(tool: str, *, errors: bool = False) -> list[str]:
    return [case["id"] for case in ALGEBRA if case["tool"].startswith(tool) and ("error" in case) == errors]


def same_metadata(path, case) -> None:
    found, expected = metadata(path), case["metadata"]
    kept = {key: value for key, value in expected.items() if not key.startswith(NOT_COMPARED)}
    assert {key: value for key, value in found.items() if not key.startswith(NOT_COMPARED)} == kept
    assert ("modelspec.title" in expected) == (found.get("modelspec.title") == path.stem)


@pytest.mark.parametrize("case", ids("merge_lora into"))
def test_merge_into_a_checkpoint(case, tmp_path):
    given = CASES[case]
    half = given["precision"] == "float16"
    base = toy_checkpoint(tmp_path / "base.safetensors", "base", torch.float16 if half else torch.float32)
    target = tmp_path / "merged.safetensors"
    words = ["merge_lora", "--sd_model", str(base), "--save_to", str(target), "--precision", "fp16" if half else "float"]
    words += ["--models", *map(source, given["loras"]), "--ratios", *map(str, given["ratios"])]
    assert run(words) == 0
    merged, before = load_file(target), load_file(base)
    expected = {checkpoint_name(name): tensor for name, tensor in results(case).items()}
    close({name: merged[name] for name in expected}, expected, 2e-3 if half else 1e-6)
    assert sorted(merged) == sorted(before)
    for name in set(before) - set(expected):
        assert torch.equal(merged[name], before[name])
    assert metadata(target)["modelspec.merged_from"] == ", ".join(["base", *(f"lora_algebra_in_{x}" for x in given["loras"])])
    assert metadata(target)["modelspec.architecture"] == "stable-diffusion-v1"


def lora_with_lora(case, target, ratios) -> None:
    given = CASES[case]
    words = ["merge_lora", "--save_to", str(target), "--models", *map(source, given["loras"])]
    assert run([*words, "--ratios", *map(str, ratios), *given["extra_args"]]) == 0


@pytest.mark.parametrize("case", ids("merge_lora LoRA"))
def test_merge_lora_with_lora(case, tmp_path):
    """The reference multiplies both factors by the ratio, so that the effect gets its square: with squared ratios ours are
    the recorded factors, the sign of a negative one in lora_down."""
    given, target = CASES[case], tmp_path / f"out_{case}.safetensors"
    lora_with_lora(case, target, [math.copysign(ratio**2, ratio) for ratio in given["ratios"]])
    if "--concat" in given["extra_args"]:
        ranks = {name: rank for name, (rank, _) in given["rank_alpha"].items()}
        assert {name: rank for name, (rank, _) in rank_alpha(target).items()} == ranks
    else:
        close(load_file(target), results(case), 1e-3 if given["dtypes"] == ["torch.float16"] else 1e-6)
        assert {str(tensor.dtype) for tensor in load_file(target).values()} == set(given["dtypes"])
        assert metadata(target)["sshs_model_hash"] == tensor_hash(target)
        same_metadata(target, {**given, "metadata": {**given["metadata"], **_merged_from(given)}})
    assert rank_alpha(target).keys() == given["rank_alpha"].keys()


def _merged_from(given) -> dict[str, str]:
    if "modelspec.merged_from" not in given["metadata"]:
        return {}
    return {"modelspec.merged_from": ", ".join(f"lora_algebra_in_{name}" for name in given["loras"])}


@pytest.mark.parametrize("case", ["ll7", "ll8", "ll11", "ll13"])
def test_concat_is_the_exact_sum(case, tmp_path):
    given, target = CASES[case], tmp_path / "out.safetensors"
    lora_with_lora(case, target, given["ratios"])
    expected: dict[str, torch.Tensor] = {}
    for name, ratio in zip(given["loras"], given["ratios"], strict=True):
        for module, delta in deltas(source(name)).items():
            expected[module] = expected.get(module, torch.zeros_like(delta)) + ratio * delta
    close(deltas(target), expected, 1e-6)
    assert rank_alpha(target) == given["rank_alpha"]


@pytest.mark.parametrize("ratio", [0.5, -0.5, 1.0])
def test_a_lora_merged_alone_has_its_ratio_once(ratio, tmp_path):
    target = tmp_path / "out.safetensors"
    assert run(["merge_lora", "--save_to", str(target), "--models", source("a"), "--ratios", str(ratio)]) == 0
    close(deltas(target), {name: ratio * delta for name, delta in deltas(source("a")).items()}, 1e-6)


@pytest.mark.parametrize("case", ids("svd_merge"))
def test_svd_merge(case, tmp_path):
    given, target = CASES[case], tmp_path / f"out_{case}.safetensors"
    words = ["svd_merge_lora", "--save_to", str(target), "--models", *map(source, given["loras"])]
    assert run([*words, "--ratios", *map(str, given["ratios"]), *given["extra_args"]]) == 0
    if "relative_frobenius_distance_to_the_unclamped_case" not in given:
        close(deltas(target), results(case), 1e-5)
    else:
        assert _distance(deltas(target), results(case)) < 1.2 * given["relative_frobenius_distance_to_the_unclamped_case"][1]
    # No more than the largest rank that the sum has anywhere: what the reference puts above that is without effect.
    most = max(rank for rank, _ in rank_alpha(target).values())
    assert rank_alpha(target) == {name: [min(rank, most)] * 2 for name, (rank, _) in given["rank_alpha"].items()}
    assert most == min(max(rank for rank, _ in given["rank_alpha"].values()), 12 if "c" in given["loras"] else 16)
    recorded = {**given["metadata"], **_merged_from(given), **_lowered(given, most)}
    same_metadata(target, {**given, "metadata": recorded})


def _lowered(given, most) -> dict[str, str]:
    keys = ("ss_network_dim", "ss_network_alpha")
    return {key: str(most) for key in keys if float(given["metadata"][key]) > most}


def _distance(found, expected) -> float:
    """Relative Frobenius distance over all modules."""
    apart = sum(float((found[name].reshape(tensor.shape) - tensor).square().sum()) for name, tensor in expected.items())
    return math.sqrt(apart / sum(float(tensor.square().sum()) for tensor in expected.values()))


@pytest.mark.parametrize("case", ids("resize_lora"))
def test_resize(case, tmp_path):
    given, target = CASES[case], tmp_path / f"out_{case}.safetensors"
    assert run(["resize_lora", "--model", source(given["lora"]), "--save_to", str(target), *given["extra_args"]]) == 0
    assert rank_alpha(target) == given["rank_alpha"]
    close(deltas(target), results(case), 1e-5)
    same_metadata(target, given)


@pytest.mark.parametrize("case", ids("extract_lora_from_models"))
def test_extract(case, tmp_path):
    given, target = CASES[case], tmp_path / f"out_{case}.safetensors"
    models = [toy_checkpoint(tmp_path / f"{which}.safetensors", which) for which in ("base", given["tuned"])]
    words = [
        "extract_lora_from_models",
        "--model_org",
        str(models[0]),
        "--model_tuned",
        str(models[1]),
        "--save_to",
        str(target),
    ]
    for name, value in given["arguments"].items():
        if value != "disabled":
            words.append(f"--{name}={str(value).lower()}")
    assert run(words) == 0
    if "relative_frobenius_distance_to_the_unclamped_case" in given:
        reference, unclamped = results(case), results("ex0")
        assert _distance(deltas(target), unclamped) < 1.2 * _distance(reference, unclamped)
    else:
        close(deltas(target), results(case), 1e-5)
    assert rank_alpha(target) == given["rank_alpha"]
    same_metadata(target, given)


@pytest.mark.parametrize("case", ["dy0", "dy1", "dy2", "dy3"])
def test_split_a_dylora(case, tmp_path):
    """Ranks, names and metadata as recorded; alpha shrinks with the rank here, which the reference leaves as it was."""
    given = CASES[case]
    words = ["extract_lora_from_dylora", "--model", source(given["lora"]), "--unit", str(given["unit"])]
    assert run([*words, "--save_to", str(tmp_path / given["save_to"])]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(item["file"] for item in given["files"])
    whole = load_file(source(given["lora"]))
    for item in given["files"]:
        path = tmp_path / item["file"]
        assert sorted({rank for rank, _ in rank_alpha(path).values()}) == sorted(set(item["ranks"]))
        for name, (rank, alpha) in rank_alpha(path).items():
            full = whole[f"{name}.lora_down.weight"].shape[0]
            assert alpha / rank == pytest.approx(float(whole[f"{name}.alpha"]) / full)
        found = {key: value for key, value in metadata(path).items() if not key.startswith(NOT_COMPARED)}
        expected = {key: value for key, value in item["metadata"].items() if not key.startswith(NOT_COMPARED)}
        share = int(expected["ss_network_dim"]) / 8
        assert found == {**expected, "ss_network_alpha": str(float(expected["ss_network_alpha"]) * share)}
    if given["files"]:
        kept = {key.rpartition("/")[2]: tensor for key, tensor in results(case).items()}
        factors = {key: tensor for key, tensor in kept.items() if not key.endswith("alpha")}
        found = load_file(tmp_path / given["files"][0]["file"])
        close({key: found[key] for key in factors}, factors, 0.0)


def test_a_file_without_metadata_is_split_too(tmp_path):
    words = [
        "extract_lora_from_dylora",
        "--model",
        source("nometa"),
        "--unit",
        "2",
        "--save_to",
        str(tmp_path / "out.safetensors"),
    ]
    assert run(words) == 0
    assert metadata(tmp_path / "out-0002.safetensors")["ss_network_dim"] == "2"
