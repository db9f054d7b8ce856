import sys
import unicodedata
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lora_trainer.errors import InputError, LoraFileError
from lora_trainer.networks import files, functional
from lora_trainer.sampling import loras
from lora_trainer.sampling.lora_folders import LoraFolders, LoraUse
from lora_trainer.sampling.lora_tags import LoraTag
from lora_trainer.sampling.loras import applied, first_ranks, short_hash


def find(folder, name):
    return LoraFolders([folder]).resolve([LoraTag(name)])[0].path


def test_a_name_is_a_file_stem_or_an_output_name_in_any_folder_below(tmp_path, make_lora):
    a = make_lora(tmp_path / "deep" / "er" / "My cat v1.2 고양이.safetensors")
    b = make_lora(tmp_path / "run-000001.safetensors", name="run")
    assert find(tmp_path, "My cat v1.2 고양이") == a
    assert find(tmp_path, "run") == b
    c = make_lora(tmp_path / "run.safetensors", name="other")  # a stem goes before another file's output name, at once
    assert find(tmp_path, "run") == c


def test_a_name_that_no_file_has_or_two_have_is_an_error(tmp_path, make_lora):
    make_lora(tmp_path / "frog.safetensors")
    with pytest.raises(InputError, match="Did you mean <lora:frog>"):
        find(tmp_path, "frgo")
    make_lora(tmp_path / "sub" / "frog.safetensors")
    with pytest.raises(InputError, match="2 files have this name"):
        find(tmp_path, "frog")


def test_files_that_were_saved_under_a_name_that_none_has_any_more_are_told_by_their_own(tmp_path, make_lora, caplog):
    """As two copies of a file that is gone."""
    small = make_lora(tmp_path / "frog small.safetensors", name="frog")
    assert find(tmp_path, "frog") == small
    assert "<lora:frog> is frog small.safetensors" in caplog.text
    make_lora(tmp_path / "frog_rank4.safetensors", name="frog")
    with pytest.raises(InputError, match="no file has this name, and 2 were saved under it: .*Name one of them: <lora:frog"):
        find(tmp_path, "frog")


def test_a_broken_neighbour_does_not_hide_a_lora(tmp_path, make_lora):
    (tmp_path / "broken.safetensors").write_bytes(b"\x00" * 4)
    path = make_lora(tmp_path / "x.safetensors", name="run")
    assert find(tmp_path, "run") == path
    with pytest.raises(LoraFileError):
        list(LoraFolders([tmp_path]).resolve([LoraTag("broken")])) and short_hash(tmp_path / "broken.safetensors")


def test_hidden_folders_are_left_out(tmp_path, make_lora):
    make_lora(tmp_path / ".trash" / "x.safetensors")
    assert LoraFolders([tmp_path]).files() == []


def test_a_lora_of_another_model_is_refused_and_the_model_stays_as_it_was(tmp_path, loaded, make_lora):
    good = LoraUse(make_lora(tmp_path / "good.safetensors"))
    tensors, _ = files.load(good.path)
    name = next(iter(tensors)).partition(".")[0]
    strange = {
        key.replace(name, "lora_unet_no_such_layer"): value for key, value in tensors.items() if key.startswith(name + ".")
    }
    files.save(tmp_path / "strange.safetensors", strange)
    forwards = [module.forward for module in loaded.unet.modules()]
    with pytest.raises(LoraFileError, match="strange"), applied(loaded, [good, LoraUse(tmp_path / "strange.safetensors")]):
        pass
    assert [module.forward for module in loaded.unet.modules()] == forwards


def test_first_ranks_cuts_the_factors_and_keeps_the_strength(tmp_path, make_lora):
    tensors, _ = files.load(make_lora(tmp_path / "x.safetensors", rank=4))
    cut = first_ranks(tensors, 2)
    key = next(name for name in tensors if name.endswith("to_q.lora_down.weight")).removesuffix(".lora_down.weight")
    down, up, alpha = (tensors[f"{key}.{part}"] for part in ("lora_down.weight", "lora_up.weight", "alpha"))
    expected = functional.delta(down[:2], up[:, :2], float(alpha) / 4)
    got = functional.delta(cut[f"{key}.lora_down.weight"], cut[f"{key}.lora_up.weight"], float(cut[f"{key}.alpha"]) / 2)
    assert torch.equal(got, expected)
    assert all(torch.equal(first_ranks(tensors, 9)[name], tensors[name]) for name in tensors)


def test_short_hash_is_what_the_file_says_or_that_of_its_tensors(tmp_path, make_lora):
    path = make_lora(tmp_path / "x.safetensors")
    stored = files.read_metadata(path)["sshs_model_hash"]
    assert short_hash(path) == stored[:12] == files.tensor_hash(path)[:12]


def test_a_use_is_a_key_that_compares_by_all_it_has():
    plain, again = LoraUse(Path("x.safetensors")), LoraUse(Path("x.safetensors"))
    other = LoraUse(Path("x.safetensors"), arguments={"algo": "loha"})
    assert len({plain, again, other}) == 2


def test_a_network_that_cannot_be_merged_is_refused(loaded, monkeypatch):
    monkeypatch.setattr(loras, "load_network", lambda model, use: object())
    with pytest.raises(InputError, match=r"loha\.safetensors is a network that cannot be added"):
        loras.Standing(loaded, [LoraUse(Path("loha.safetensors"))], merged=True)


def test_a_name_in_another_form_of_unicode_is_found(tmp_path, make_lora):
    composed, apart = (unicodedata.normalize(form, "Café 개구리") for form in ("NFC", "NFD"))
    for number, (stem, asked) in enumerate(((composed, apart), (apart, composed))):
        path = make_lora(tmp_path / str(number) / f"{stem}.safetensors")
        assert find(path.parent, asked) == path and find(path.parent, stem) == path
    named = make_lora(tmp_path / "c" / "x.safetensors", name=composed)
    assert find(named.parent, apart) == named
    make_lora(tmp_path / "0" / f"{apart}.safetensors")
    assert find(tmp_path / "0", apart).stem == apart  # the very name goes first


QUERY = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"


@pytest.fixture
def loha(tmp_path, loaded):
    """A LoHa as other trainers write it: without metadata."""
    side = dict(loaded.unet.named_modules())["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"].weight.shape[0]
    draws, shapes = (
        torch.Generator().manual_seed(0),
        {"w1_a": (side, 4), "w1_b": (4, side), "w2_a": (side, 4), "w2_b": (4, side)},
    )
    halves = {f"{QUERY}.hada_{name}": torch.randn(shape, generator=draws) for name, shape in shapes.items()}
    save_file(halves | {f"{QUERY}.alpha": torch.tensor(2.0)}, tmp_path / "loha.safetensors")
    return tmp_path / "loha.safetensors"


@pytest.mark.parametrize("module", ["", "lycoris.kohya"])
@pytest.mark.parametrize("merged", [False, True])
def test_a_loha_without_metadata_is_drawn_with_even_without_the_package(loha, loaded, make_lora, module, merged, monkeypatch):
    monkeypatch.setitem(sys.modules, "lycoris", None)
    monkeypatch.setitem(sys.modules, "lycoris.kohya", None)
    layer = dict(loaded.unet.named_modules())["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"]
    tensors, before = load_file(loha), layer.weight.clone()
    a, b, c, d = (tensors[f"{QUERY}.hada_{name}"] for name in ("w1_a", "w1_b", "w2_a", "w2_b"))
    expected = (a @ b) * (c @ d) * (2.0 / 4)
    plain = LoraUse(make_lora(loha.with_name("plain.safetensors")))
    standing = loras.Standing(loaded, [LoraUse(loha, module=module), plain, LoraUse(loha)], merged=merged)
    other = layer.weight - before - 2 * expected  # what the plain one adds when it is merged
    for first, second in ((0.5, 0.0), (0.0, 0.0), (-1.0, 1.0)):
        standing.set_multipliers([first, 1.0, second])
        assert torch.allclose(layer.weight - before - other, (first + second) * expected, atol=1e-5)
    standing.restore()
    assert torch.equal(layer.weight, before)


def test_counting_the_ranks_of_what_has_none_is_refused(loha, loaded):
    with pytest.raises(InputError, match="<lora:loha>: it has no ranks"), applied(loaded, [LoraUse(loha, dyn=2)]):
        pass
