"""What is in a model file, without loading it: only the header is read. Standard library only.

    info = probe(path)
    if info.problem: show(info.problem, info.advice)      # not a base model that can be trained on, and what to do

The page asks before anything starts; the worker asks again before it loads. The kinds are told apart by the names and shapes
of the tensors, so that renamed and merged files are recognised too.
"""

from __future__ import annotations

import json
import pickletools
import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

SAFETENSORS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")
SUFFIXES = (SAFETENSORS, *PICKLES)

# What a kind is called in messages. Only SUPPORTED can be trained on.
TITLES = {
    "sd1": "a Stable Diffusion 1 model",
    "sd2": "a Stable Diffusion 2 model",
    "sdxl": "a Stable Diffusion XL model",
    "sdxl_refiner": "Stable Diffusion XL's refiner",
    "sd3": "a Stable Diffusion 3 model",
    "flux": "a Flux model",
    "lora": "a LoRA file",
    "vae": "a VAE alone",
    "unet": "a UNet alone, in diffusers' names",
    "text_encoder": "a text encoder alone",
    "embedding": "a textual inversion embedding",
    "controlnet": "a ControlNet",
    "unknown": "no model that is known here",
}
SUPPORTED = ("sd1", "sd2", "sdxl")
SIDES = {"sd1": 512, "sd2": 768, "sdxl": 1024}  # of the pictures that they were made for, in pixels

_MAX_HEADER = 100_000_000  # bytes; the limit of the safetensors format
_LEGACY_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # 0x1950a86a20f9469cfc6c, pickled
FULL_MODEL = "Choose the full checkpoint of a Stable Diffusion 1, 2 or XL model (.safetensors, about 2 to 7 GB)."
VAE_ADVICE = (
    "Choose a VAE of the model's family, for example vae-ft-mse-840000-ema-pruned.safetensors for Stable Diffusion 1 and 2 or "
    "sdxl_vae.safetensors for XL."
)
_SD2_WIDTH = 1024  # of the text states
_REFINER_WIDTH = 1280  # the same: the refiner reads the second text encoder alone
_DOWNLOAD_AGAIN = "Download or copy the file again."
# What the pickle of a checkpoint calls. Anything else could run code when it is loaded (torch's weights_only, which has the
# last word, refuses it too); Lightning's callback stands in Stability's own early files and is replaced by an empty class.
_SAFE_GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|torch \w+Storage|torch\.storage \w+|torch (Size|Tensor|device|u?int\d+|b?float\d+|bool)"
    r"|torch\._utils _rebuild_\w+|torch\._tensor _rebuild_from_type_v2|torch\.nn\.parameter Parameter"
    r"|torch\.serialization _get_layout|_codecs encode|(__builtin__|builtins) (set|bytearray)"
    r"|pytorch_lightning\.callbacks\.model_checkpoint ModelCheckpoint"
)


class _Role(NamedTuple):
    """Another use of a file than as base model: which kinds can be used so, and what to say of the others."""

    kinds: tuple[str, ...]
    expected: str
    advice: str


_ROLES = {
    "vae": _Role(("vae", *SUPPORTED), "which has no VAE for Stable Diffusion", VAE_ADVICE),
    "lora": _Role(("lora",), "not a LoRA file", "Choose a LoRA file (kohya's format)."),
}


@dataclass(frozen=True, kw_only=True)
class ModelFileInfo:
    """What `probe` found.

    `kind` is a key of TITLES. `problem` is empty when the file can be trained on; otherwise it is the whole message and
    `advice` says what to do. `shapes` holds the tensors' shapes by name; for a .ckpt the names only, with empty shapes.
    `in_channels` is 4, 9 (inpainting), 8 (instruct-pix2pix) or None when the shapes are not known.
    """

    path: Path
    kind: str = "unknown"
    size: int = 0
    in_channels: int | None = None
    problem: str = ""
    advice: str = ""
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)


class DamagedFileError(ValueError):
    """The file is cut short, broken, or holds code. `advice` says what to do."""

    def __init__(self, message: str, advice: str = _DOWNLOAD_AGAIN) -> None:
        self.advice = advice
        super().__init__(message)


def probe(path: Path | str) -> ModelFileInfo:
    """Read the header of the file, or the configurations of the diffusers folder, at `path`; never raises for its content."""
    path = Path(path)
    try:
        if path.is_dir():
            return _probe_folder(path)
        size = path.stat().st_size
        if path.suffix.lower() == SAFETENSORS:
            shapes, metadata = read_safetensors_header(path)
        elif path.suffix.lower() in PICKLES:
            shapes, metadata = dict.fromkeys(read_pickle_names(path), ()), {}
        else:
            problem = f"{path} is not a model file: it ends in {path.suffix or 'nothing'!r}, expected {', '.join(SUFFIXES)}."
            return ModelFileInfo(path=path, size=size, problem=problem, advice=FULL_MODEL)
    except FileNotFoundError:
        return ModelFileInfo(path=path, problem=f"{path} does not exist.", advice="Check the path.")
    except OSError as error:
        return ModelFileInfo(
            path=path, problem=f"{path} cannot be read: {error.strerror or error}.", advice="Check its permissions."
        )
    except DamagedFileError as error:
        return ModelFileInfo(path=path, problem=f"{path} {error}", advice=error.advice)
    kind, in_channels = classify(shapes)
    problem, advice = refusal(path, kind, in_channels)
    return ModelFileInfo(
        path=path,
        kind=kind,
        size=size,
        in_channels=in_channels,
        problem=problem,
        advice=advice,
        shapes=shapes,
        metadata=metadata,
    )


def problem_as(role: str, path: Path | str) -> tuple[str, str]:
    """Return (problem, advice) of using the file or folder at `path` as a "model" to train on, as its "vae" or as a "lora".

    Two empty texts when its header shows nothing against it.
    """
    path = Path(path)
    if role == "vae" and path.is_dir():
        if (path / "config.json").is_file() or (path / "vae" / "config.json").is_file():
            return "", ""
        return f"{path} is a folder, but not a VAE of diffusers: it has no config.json.", VAE_ADVICE
    info = probe(path)
    if role == "model" or info.kind in _ROLES[role].kinds:
        return (info.problem, info.advice) if role == "model" else ("", "")
    advice = _ROLES[role].advice
    if info.shapes:
        return f"{path} is {TITLES[info.kind]}, {_ROLES[role].expected}.", advice
    return info.problem, advice if info.advice == FULL_MODEL else info.advice


def refusal(path: Path | str, kind: str, in_channels: int | None = 4) -> tuple[str, str]:
    """Return (problem, advice) for a base model of this kind; two empty texts when it can be trained on."""
    if kind in SUPPORTED and in_channels in (4, None):
        return "", ""
    if kind in SUPPORTED:
        purpose = {9: "an inpainting model", 8: "an instruct-pix2pix model"}.get(in_channels or 0, "a special model")
        return (
            f"{path} is {purpose}: its UNet takes {in_channels} channels, expected 4. It cannot be trained on.",
            "Choose the ordinary model that it was made from; the LoRA works with both.",
        )
    if kind in ("sd3", "flux"):
        return f"{path} is {TITLES[kind]}, which is not supported.", "Choose a Stable Diffusion 1, 2 or XL model."
    if kind == "sdxl_refiner":
        advice = "Choose the base model, sd_xl_base_1.0 or one made from it."
        return f"{path} is {TITLES[kind]}, which cannot be trained on.", advice
    if kind == "lora":
        advice = "Choose the base model it was made for; to continue a LoRA, give it as network_weights instead."
        return f"{path} is {TITLES[kind]}, not a base model.", advice
    if kind == "vae":
        return f"{path} is {TITLES[kind]}, not a base model.", f"Give it as the VAE instead. {FULL_MODEL}"
    if kind == "unet":
        return f"{path} is {TITLES[kind]}, not a base model.", "Choose the folder that holds model_index.json and unet."
    if kind == "unknown":
        return f"{path} is {TITLES[kind]}: no tensors of Stable Diffusion were found in it.", FULL_MODEL
    return f"{path} is {TITLES[kind]}, not a base model.", FULL_MODEL


def classify(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str, int | None]:
    """Return (kind, UNet's input channels or None) of a file with these tensors; see TITLES for the kinds.

    Shapes may be empty tuples where only the names are known.
    """

    def some(pattern: str) -> bool:
        expression = re.compile(pattern)
        return any(expression.search(name) for name in shapes)

    if some(r"\.lora_(down|up|A|B)\.|\.lora\.(down|up)\.|_lora\.(down|up)\.|\.hada_w|\.lokr_w|\.(oft_|dora_)"):
        return "lora", None
    if some(r"^control_model\.|^controlnet_|^input_hint_block\."):
        return "controlnet", None
    if some(r"joint_blocks\.\d"):
        return "sd3", None
    if some(r"double_blocks\.\d"):
        return "flux", None
    if some(r"^model\.diffusion_model\.input_blocks\."):
        first = shapes.get("model.diffusion_model.input_blocks.0.0.weight", ())
        return _unet_kind(shapes, some), (first[1] if len(first) == 4 else None)
    if some(r"^(unet\.)?down_blocks\.\d"):
        return "unet", None
    if some(r"^(first_stage_model\.)?(encoder\.down|decoder\.up|encoder\.mid)(_block)?"):
        return "vae", None
    if some(r"^(cond_stage_model\.|text_model\.|transformer\.text_model\.)"):
        return "text_encoder", None
    if some(r"^(emb_params|string_to_param|string_to_token|clip_[gl])$"):
        return "embedding", None
    return "unknown", None


def _unet_kind(shapes: Mapping[str, tuple[int, ...]], some: Any) -> str:
    """Tell SD1, SD2, SDXL and its refiner apart: by the text encoder where there is one, else by the UNet."""
    if some(r"^conditioner\.embedders\.0\.model\.") and not some(r"^conditioner\.embedders\.1\."):
        return "sdxl_refiner"
    if some(r"^conditioner\.embedders\.|^model\.diffusion_model\.label_emb\."):
        return "sdxl"
    if some(r"^cond_stage_model\.model\."):
        return "sd2"
    context = shapes.get("model.diffusion_model.input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", ())
    return "sd2" if context[1:2] == (_SD2_WIDTH,) else "sd1"


def read_safetensors_header(path: Path | str) -> tuple[dict[str, tuple[int, ...]], dict[str, str]]:
    """Return ({tensor name: shape}, metadata) of a .safetensors file, reading its header only.

    Raises DamagedFileError when it is no such file, or holds fewer (or more) bytes than its header says; OSError as open does.
    """
    path = Path(path)
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if len(start) < 8:
            raise DamagedFileError(f"is {'empty' if not start else 'cut short'}: it has {size} bytes.")
        length = struct.unpack("<Q", start)[0]
        if start.startswith((b"version ", b"<!DOCTYP", b"<html")) or length > _MAX_HEADER:
            raise DamagedFileError("is not a .safetensors file: it does not begin with a header (a web page, perhaps?).")
        if 8 + length > size:
            raise DamagedFileError(f"is cut short: its header has {length} bytes, the whole file {size}.")
        text = file.read(length)
    try:
        header = json.loads(text)
        metadata = header.pop("__metadata__", {}) or {}
        shapes = {name: tuple(entry["shape"]) for name, entry in header.items()}
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise DamagedFileError(f"is damaged: its header is no list of tensors ({error}).") from error
    expected = 8 + length + end
    if size < expected:
        raise DamagedFileError(f"is cut short: its header promises {expected:,} bytes, the file has {size:,}.")
    if size > expected:
        raise DamagedFileError(f"is damaged: its header promises {expected:,} bytes, the file has {size:,}.")
    return shapes, metadata


def read_pickle_names(path: Path | str) -> list[str]:
    """Return all texts in the pickle of a .ckpt or .pt file (torch.save), among them the tensors' names. Nothing is executed.

    Raises DamagedFileError when the file is cut short or its pickle names anything that could run code.
    """
    path = Path(path)
    with path.open("rb") as file:
        magic = file.read(4)
        if not magic:
            raise DamagedFileError("is empty: it has 0 bytes.")
        if magic.startswith(b"PK"):
            pickled = _zipped_pickle(path)
        elif magic[:1] == b"\x80":  # before torch 1.6: several pickles, then the tensors' bytes
            file.seek(0)
            pickled = file.read(64_000_000)
        else:
            raise DamagedFileError("is not a checkpoint: it is neither a zip file nor a pickle (a web page, perhaps?).")
    return _texts(pickled)


def _zipped_pickle(path: Path) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            inner = [name for name in archive.namelist() if name.endswith("data.pkl")]
            if not inner:
                raise DamagedFileError("is a zip file, but not one that torch.save made: it holds no data.pkl.")
            return archive.read(inner[0])
    except (zipfile.BadZipFile, EOFError, struct.error) as error:
        # The directory of a zip file is at its end, so that a file cut short has none.
        raise DamagedFileError(f"is cut short or damaged: its zip directory cannot be read ({error}).") from error


def _texts(pickled: bytes) -> list[str]:
    """Walk through the operations of a pickle, collect its texts, and refuse names that are not those of tensors."""
    # torch.save before 1.6 wrote five pickles: magic number, version, system, the object, list of storages.
    pickles = 5 if pickled.startswith(_LEGACY_MAGIC) else 1
    texts: list[str] = []
    position = 0
    try:
        for _ in range(pickles):
            top: list[str] = []  # texts on top of the stack; STACK_GLOBAL takes its module and name from there
            end = 0
            for operation, argument, offset in pickletools.genops(pickled[position:]):
                name, end = operation.name, offset or 0
                if isinstance(argument, str) and name not in ("GLOBAL", "INST"):
                    texts.append(argument)
                    top.append(argument)
                elif name in ("GLOBAL", "INST"):
                    _check_global(str(argument))
                elif name == "STACK_GLOBAL" and len(top) >= 2:
                    _check_global(" ".join(top[-2:]))
                elif name not in ("MEMOIZE", "BINPUT", "LONG_BINPUT"):
                    top = []
            position += end + 1
    except DamagedFileError:
        raise
    except Exception as error:  # pickletools raises ValueError and others for broken input
        raise DamagedFileError(f"is cut short or damaged: its pickle cannot be read to the end ({error}).") from error
    return texts


def _check_global(name: str) -> None:
    if not _SAFE_GLOBALS.fullmatch(name):
        raise DamagedFileError(
            f"holds more than tensors: its pickle calls {name.replace(' ', '.')}, which can run code. It was not loaded.",
            "Use a .safetensors version of this model.",
        )


def _probe_folder(path: Path) -> ModelFileInfo:
    """Classify a diffusers folder by model_index.json and the config.json of UNet and text encoder."""
    index = path / "model_index.json"
    if not index.is_file():
        return ModelFileInfo(
            path=path,
            problem=f"{path} is a folder, but not a diffusers model: it has no model_index.json.",
            advice="Choose a checkpoint file in it, or the folder that holds model_index.json, unet, vae and text_encoder.",
        )
    try:
        pipeline = str(json.loads(index.read_text(encoding="utf-8")).get("_class_name", ""))
        files = [path / part / "config.json" for part in ("unet", "text_encoder")]
        unet, text = (json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {} for file in files)
    except (ValueError, AttributeError) as error:
        return ModelFileInfo(path=path, problem=f"{path} has a damaged configuration: {error}.", advice=_DOWNLOAD_AGAIN)
    kind, in_channels = classify_configs(pipeline, unet, text)
    problem, advice = refusal(path, kind, in_channels)
    return ModelFileInfo(path=path, kind=kind, in_channels=in_channels, problem=problem, advice=advice)


def classify_configs(pipeline: str, unet: Mapping[str, Any], text: Mapping[str, Any]) -> tuple[str, int | None]:
    """Return (kind, UNet's input channels) of a diffusers model from its pipeline's class name and two configurations.

    SD1's text encoder is CLIP's, with the quick GELU; SD2's is OpenCLIP's, with the plain one.
    """
    if pipeline.startswith("Flux"):
        return "flux", None
    if pipeline.startswith("StableDiffusion3"):
        return "sd3", None
    if not unet:
        return "unknown", None
    in_channels = unet.get("in_channels", 4)
    if unet.get("addition_embed_type") == "text_time" and unet.get("cross_attention_dim") == _REFINER_WIDTH:
        return "sdxl_refiner", in_channels
    if "XL" in pipeline or unet.get("addition_embed_type") == "text_time":
        return "sdxl", in_channels
    if pipeline.startswith("StableDiffusion") or not pipeline:
        sd2 = (
            text.get("hidden_act") == "gelu"
            or unet.get("use_linear_projection")
            or unet.get("cross_attention_dim") == _SD2_WIDTH
        )
        return ("sd2" if sd2 else "sd1"), in_channels
    return "unknown", in_channels
