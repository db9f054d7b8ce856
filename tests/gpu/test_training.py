"""Training on a card: each precision, repeatability, memory; the CPU's float32 training is what it is compared with."""

from __future__ import annotations

import gc
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lora_trainer.networks import files
from lora_trainer.training.distributed import Processes
from lora_trainer.training.train import train
from tests.training.conftest import Recorder

ROOT = Path(__file__).resolve().parents[2]
# A prediction in a half precision differs from float32's by some roundings of its dtype; TF32 products have 10 bits too.
TOLERANCE = {"no": 2e-3, "fp16": 1e-2, "bf16": 5e-2}


def losses(options, *, device: str = "cuda") -> list[float]:
    reporter = Recorder()
    train(options, reporter=reporter, processes=Processes(device))
    assert not reporter.of("warning"), reporter.of("warning")
    return reporter.losses


@pytest.fixture
def on_the_cpu(options_for, tmp_path):
    """The losses of the same training on the CPU in float32."""
    return losses(options_for(output_dir=str(tmp_path / "cpu")), device="cpu")


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("cached", [True, False], ids=["cached", "from pictures"])
def test_each_precision_trains_as_the_cpu_does(precision, cached, options_for, on_the_cpu):
    found = losses(options_for(mixed_precision=precision, cache_latents=cached, max_data_loader_n_workers=2))
    # The first loss is the model's alone; how far later ones part depends on Adam's first steps, whose size is the rate's.
    assert found[0] == pytest.approx(on_the_cpu[0], rel=TOLERANCE[precision])
    assert found == pytest.approx(on_the_cpu, rel=5 * TOLERANCE[precision])


def test_a_step_that_overflows_in_fp16_changes_no_weight(options_for, monkeypatch):
    """The scale begins so high that the first steps overflow; the scaler halves it until they do not."""
    from lora_trainer.training import precision

    made = []

    def scaler(self):
        made.append(torch.amp.GradScaler("cuda", init_scale=2.0**60, growth_interval=2000))
        return made[-1]

    monkeypatch.setattr(precision.Precision, "scaler", scaler)
    options = options_for(mixed_precision="fp16", max_train_steps=2)
    result = train(options, reporter=Recorder(), processes=Processes("cuda"))
    assert made[0].get_scale() == 2.0**58, "both steps overflowed"
    ups = [tensor for name, tensor in load_file(result.path).items() if name.endswith("lora_up.weight")]
    assert ups and not any(tensor.any() for tensor in ups), "an overflowed step changes nothing"


def test_8_bit_adam_keeps_its_state_in_8_bits(options_for, monkeypatch):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    states = []
    step = bitsandbytes.optim.AdamW8bit.step

    def watched(self, *args, **kwargs):
        result = step(self, *args, **kwargs)
        states.extend(state["state1"].dtype for state in self.state.values() if state["state1"].numel() >= 4096)
        return result

    monkeypatch.setattr(bitsandbytes.optim.AdamW8bit, "step", watched)
    options = options_for(optimizer_type="AdamW8bit", network_dim=64, max_train_steps=2)
    path = train(options, reporter=(reporter := Recorder()), processes=Processes("cuda")).path
    assert not reporter.of("warning")
    assert set(states) == {torch.uint8}
    assert "AdamW8bit" in files.read_metadata(path)["ss_optimizer"]


def test_xformers_gives_the_same_losses(options_for, on_the_cpu):
    pytest.importorskip("xformers")
    found = losses(options_for(mixed_precision="fp16", xformers=True))
    assert found == pytest.approx(on_the_cpu, rel=5 * TOLERANCE["fp16"])


def test_the_xl_topology_trains_in_bf16(options_for, tiny_model):
    options = options_for(
        pretrained_model_name_or_path=str(tiny_model("sdxl")),
        mixed_precision="bf16",
        cache_text_encoder_outputs=True,
        network_train_unet_only=True,
        gradient_checkpointing=True,
    )
    reporter = Recorder()
    train(options, reporter=reporter, processes=Processes("cuda"))
    assert len(reporter.losses) == 3 and all(0 < loss < 10 for loss in reporter.losses)


@pytest.mark.parametrize("precision", TOLERANCE)
def test_two_processes_with_the_same_seed_write_the_same_bytes(precision, tiny_sd1, pictures, tmp_path):
    digests = set()
    for name in ("a", "b"):
        words = [
            f"--pretrained_model_name_or_path={tiny_sd1}", f"--train_data_dir={pictures}", f"--output_dir={tmp_path / name}",
            "--output_name=x", "--network_module=networks.lora", "--caption_extension=.txt", "--resolution=64",
            "--learning_rate=1e-3", "--max_train_steps=8", "--cache_latents", "--seed=5", f"--mixed_precision={precision}",
        ]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
        subprocess.run([sys.executable, "-m", "lora_trainer", "train_network", *words], env=environment, cwd=ROOT, check=True)
        tensors = load_file(tmp_path / name / "x.safetensors")
        digests.add(hashlib.sha256(b"".join(tensors[key].numpy().tobytes() for key in sorted(tensors))).hexdigest())
    assert len(digests) == 1


def test_checkpointing_lowers_the_peak_and_a_finished_training_holds_nothing(options_for, tmp_path):
    from tests.tiny import make_checkpoint

    model = make_checkpoint(tmp_path / "wide.safetensors", model_channels=128)
    peaks = {}
    for checkpointing in (None, False, True):  # the first one leaves the workspaces that the libraries keep
        gc.collect()
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        options = options_for(
            pretrained_model_name_or_path=str(model),
            resolution="256",
            gradient_checkpointing=bool(checkpointing),
            train_batch_size=4,
        )
        train(options, reporter=Recorder(), processes=Processes("cuda"))
        peaks[checkpointing] = torch.cuda.max_memory_allocated() - before
        gc.collect()
        left = torch.cuda.memory_allocated() - before
        assert checkpointing is None or left < 1 << 20, "the training's tensors are gone"
    assert peaks[True] < 0.9 * peaks[False]


@pytest.mark.parametrize("no_half_vae", [False, True])
def test_fp16_computes_the_vae_in_fp16_unless_it_is_told_not_to(no_half_vae, options_for, monkeypatch):
    from diffusers import AutoencoderKL

    seen = []
    encode = AutoencoderKL.encode

    def watched(self, *args, **kwargs):
        seen.append(self.dtype)
        return encode(self, *args, **kwargs)

    monkeypatch.setattr(AutoencoderKL, "encode", watched)
    options = options_for(mixed_precision="fp16", no_half_vae=no_half_vae, max_train_steps=1)
    train(options, reporter=Recorder(), processes=Processes("cuda"))
    assert set(seen) == {torch.float32 if no_half_vae else torch.float16}
