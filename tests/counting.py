"""What a piece of work asks of torch, counted: operations (on a card each is a launch at least), and values read by Python."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

_VIEWS = {"view", "t", "transpose", "permute", "expand", "_unsafe_view", "slice", "split", "unbind", "unsqueeze", "detach"}
_VIEWS |= {"alias", "select", "squeeze", "as_strided", "chunk", "reshape", "_reshape_alias", "split_with_sizes"}
_READS = {"item", "tolist", "numpy", "cpu", "__bool__", "__int__", "__float__", "__index__", "__contains__"}


class Operations(TorchDispatchMode):
    """`with Operations() as count: ...`; `count.total` without those that only look at a tensor in another way."""

    def __init__(self) -> None:
        super().__init__()
        self.by_name: Counter[str] = Counter()

    @property
    def total(self) -> int:
        return sum(count for name, count in self.by_name.items() if name not in _VIEWS)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.by_name[str(func).split(".")[1]] += 1
        return func(*args, **(kwargs or {}))


class Reads(TorchFunctionMode):
    """`with Reads() as reads: ...`; `reads.places` are (module, function, method) of the code that took values out of tensors.

    On a card each of them waits until all that was launched before is done.
    """

    def __init__(self) -> None:
        super().__init__()
        self.places: list[tuple[str, str, str]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        if name in _READS:
            frame = sys._getframe(1)
            self.places.append((str(frame.f_globals.get("__name__", "")), frame.f_code.co_name, name))
        return func(*args, **(kwargs or {}))


class Bytes(TorchDispatchMode):
    """`with Bytes() as bytes: ...`; `bytes.most` is the most that the tensors made within took at once, `bytes.now` takes count
    of those that are still there."""

    def __init__(self) -> None:
        super().__init__()
        self.most = 0
        self._known: dict[int, tuple[StorageWeakRef, int]] = {}

    @property
    def now(self) -> int:
        self._known = {key: found for key, found in self._known.items() if not found[0].expired()}
        return sum(size for _, size in self._known.values())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_flatten(result)[0]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                known = self._known.get(storage._cdata)
                if known is None or known[0].expired():
                    self._known[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.most = max(self.most, self.now)
        return result
