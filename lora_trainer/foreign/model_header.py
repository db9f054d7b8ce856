"""What a model file holds, by its content and not by its name: many a .ckpt is a .safetensors file, and the other way round."""

from __future__ import annotations

from pathlib import Path

from .pickles import is_pickled, read_pickle_names
from .reading import open_file
from .safetensors_header import Header, read_safetensors_header

SAFETENSORS = ".safetensors"
PICKLES = (".ckpt", ".pt", ".pth", ".bin")


def read_model_header(path: Path | str, *, header_alone: bool = False) -> Header:
    """Return the header of a .safetensors or torch.save file. What is neither is complained of in the words of its ending.

    `header_alone`: of a .safetensors file the tensors may be missing. Of a torch.save file the "shapes" are all texts in its
    pickle, the tensors' names among them. Raises UnreadableError.
    """
    path = Path(path)
    with open_file(path) as file:
        start = file.read(9)
    is_safetensors = path.suffix.lower() == SAFETENSORS or start[8:9] == b"{" or start.startswith(b"GGUF")
    if is_pickled(start) or not is_safetensors:
        return Header(shapes=dict.fromkeys(read_pickle_names(path), ()))
    return read_safetensors_header(path, alone=header_alone)
