"""The tools read a model that is a folder of diffusers as they read the single file of the same model."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.checkpoints.model_files import ModelFiles
from lora_trainer.checkpoints.opening import open_checkpoint
from lora_trainer.errors import BaseModelError, InputErrors
from lora_trainer.models import load
from lora_trainer.models.ldm_yaml import read_overrides
from lora_trainer.models.prediction import told_by_file
from lora_trainer.tools import extract, merge

from ..checkpoints.test_model_files import trained


@pytest.fixture(scope="module")
def both(tiny_model, tmp_path_factory):
    """A model of SD2 for velocity as it was, and trained, as a file and as a folder."""
    base, made = tiny_model("sd2-v"), tmp_path_factory.mktemp("models")
    model, whole = trained(base, text=False)
    with torch.no_grad():  # besides the step that all numbers took: what a LoRA can hold
        model.unet.mid_block.attentions[0].transformer_blocks[0].attn1.to_q.weight.add_(0.5)
    for form, name in (("safetensors", "tuned.safetensors"), ("diffusers", "tuned")):
        ModelFiles(model, whole, form).save(made / name, {}, None, step=1, epoch=0)
    return base, made / "tuned.safetensors", made / "tuned"


def test_a_folder_has_the_tensors_of_the_file_and_says_what_it_predicts(both):
    _, file, folder = both
    with open_checkpoint(file) as one, open_checkpoint(folder) as other:
        assert one.shapes == other.shapes
        unused = [name for name in one.shapes if ".resblocks.2." in name]  # a layer of SD2's text encoder that nothing reads
        same = [torch.equal(one.tensor(name), other.tensor(name)) for name in one.shapes if name not in unused]
        assert unused and all(same)
        assert told_by_file(other, read_overrides(folder))[0] == "v_prediction"


def test_a_lora_comes_out_of_a_folder_and_a_checkpoint_out_of_it_again(both, tmp_path):
    base, file, folder = both
    found = []
    for tuned in (file, folder):
        made = tmp_path / f"{tuned.name}-lora.safetensors"
        words = ["--model_org", str(base), "--model_tuned", str(tuned), "--dim", "2", "--save_to", str(made)]
        assert extract.main(words) == 0
        found.append(load_file(made))
    assert found[0].keys() == found[1].keys() and all(torch.equal(found[0][name], found[1][name]) for name in found[0])
    back = tmp_path / "back.safetensors"
    merge.main(["--sd_model", str(folder), "--models", str(made), "--ratios", "0", "--save_to", str(back)])
    again, model = (load(path, dtype=torch.float32, device="cpu") for path in (back, folder))
    assert (again.family, again.prediction_type) == (model.family, model.prediction_type)
    assert all(torch.equal(*pair) for pair in zip(again.unet.parameters(), model.unet.parameters(), strict=True))


def test_a_folder_that_is_no_model_and_one_that_is_missing_are_told(both, tmp_path):
    words = ["--model_org", str(both[0]), "--save_to", str(tmp_path / "x.safetensors"), "--model_tuned"]
    with pytest.raises(InputErrors, match="there is no model at"):
        extract.main([*words, str(tmp_path / "nothing")])
    with pytest.raises(BaseModelError, match=r"not a diffusers model: it has no model_index\.json"):
        extract.main([*words, str(tmp_path)])
