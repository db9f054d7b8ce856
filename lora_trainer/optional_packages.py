"""No package that happens to be installed decides whether a training starts.

diffusers, transformers and accelerate look for more than a hundred optional packages when they are imported, ask their
versions and import many of them: a peft that is too old, an xformers or torchvision built for another torch, a
scikit-learn for another numpy, all of them brought by the Web UI or by another extension, end the worker before its
first step. This program needs none of them there, so its processes do not see them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

_NAMES = """
    IPython Levenshtein aim aiohttp apex apollo_torch aqlm auto_gptq auto_round av awq azureml better_profanity bitsandbytes
    blobfile boto3 bs4 causal_conv1d clearml codecarbon coloredlogs comet_ml compel compressed_tensors consisid_eva_clip
    cosmos_guardrail cv2 dagshub datasets decord deepspeed detectron2 dvclive eetq essentia facexlib faiss
    fast_hadamard_transform fastai fastapi fastcore fbgemm_gpu flash_attn flash_attn_3 flax flute flytekit flytekitplugins
    g2p_en galore_torch gguf gptqmodel gradio graphviz grokadamw habana_frameworks hf_transfer hf_xet hqq imageio
    import_timer imwatermark inflect insightface intel_extension_for_pytorch intel_transformer_engine jax jieba k_diffusion
    kenlm keras keras_nlp kernels kornia librosa liger_kernel lomo_optim mamba_ssm mambapy matplotlib megatron mlflow mlx
    msamp natten neptune nltk note_seq num2words oneccl_bindings_for_pytorch onnx onnxruntime openai opentelemetry optimum
    optuna pandas peft phonemizer pretty_midi py3nvml pyctcdecode pydantic pydot pygments pynvml pytesseract
    pytorch_quantization
    pytorch_retinaface quark ray rhoknp rich rjieba sacremoses sageattention sagemaker schedulefree scipy sentencepiece
    seqio sigopt sklearn smdistributed soundfile spacy spqr_quant sudachipy swanlab tensorboard tensorboardX tensorflow
    tensorflow_probability tensorflow_text tf2onnx tiktoken timm torch_ccl torch_mlu torch_musa torch_neuronx torch_npu
    torch_sdaa torch_tensorrt torch_xla torchao torchaudio torchcodec torchdata torchdistx torchsde torchvision
    transformer_engine unidecode uroman vptq wandb xformers yt_dlp
"""
HIDDEN = frozenset(_NAMES.split())


def hide() -> None:
    """Make the optional packages absent for this process, as far as they are not imported yet.

    For processes of ours alone (`python -m lora_trainer ...`): inside the Web UI it would break the Web UI.
    """
    for name in HIDDEN:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # Python's own mark for a module that is not to be had


def load(name: str, folder: Path | None = None) -> ModuleType:
    """Import a package that the user asked for, which may use what is hidden else. Raises ImportError as usual.

    `folder` is one that holds this package alone: it comes first on the path.
    """
    if folder is not None and str(folder) not in sys.path:
        sys.path.insert(0, str(folder))
    with visible():
        return importlib.import_module(name)


@contextmanager
def visible() -> Iterator[None]:
    """Show what is hidden for a while, to a package that the user asked for and that imports more while it works."""
    hidden = {one for one in HIDDEN if sys.modules.get(one, sys) is None}
    for one in hidden:
        del sys.modules[one]
    try:
        yield
    finally:
        for one in hidden:
            sys.modules.setdefault(one, None)  # type: ignore[arg-type]
