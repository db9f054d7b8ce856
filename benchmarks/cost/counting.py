"""What a step asks of the machine, counted on torch's meta device, where tensors have sizes and no numbers.

`Meta` stands below autograd and sees each operation once, as a card would get it. It answers for the numbers that there are not
(zeros), and these questions are what a card makes the host wait for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from lora_trainer.training.precision import Precision

PHASES = ("forward", "backward", "update")  # the last one is everything else of a step
CASTS = "_to_copy"
_META = torch.device("meta")
_WITHOUT_WORK = {"detach", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "lift_fresh"}
_WITHOUT_WORK |= {"is_same_size", "_unsafe_view"}
# What a card must have finished to answer: the shape of its result, or a number for the host.
_ASKS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "unique", "_unique2", "is_nonzero"}


@dataclass
class Counts:
    """Of one step. `operations` and `casts` by phase; `kept` bytes by dtype: what forward leaves for backward."""

    operations: Counter[str] = field(default_factory=Counter)
    casts: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)  # by what was asked
    uploads: int = 0  # copies from main memory
    kept: Counter[str] = field(default_factory=Counter)
    names: Counter[tuple[str, str]] = field(default_factory=Counter)  # (phase, operation)

    @property
    def mebibytes_kept(self) -> float:
        return sum(self.kept.values()) / 2**20


class Meta(TorchDispatchMode):
    """Counts the operations on the meta device into `counts`, under the name `phase`."""

    def __init__(self) -> None:
        super().__init__()
        self.phase = PHASES[-1]
        self.counts = Counts()
        self._saved: dict[int, tuple[StorageWeakRef, int, str]] = {}

    def begin_step(self) -> None:
        """Forget what was counted."""
        self.counts, self._saved = Counts(), {}

    def end_step(self) -> Counts:
        """What was counted since; what is still there was not kept for the backward pass."""
        counts, saved = self.counts, self._saved
        for storage, size, dtype in saved.values():
            if storage.expired():
                counts.kept[dtype] += size
        self.begin_step()
        return counts

    def within(self, phase: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, whose operations are those of `phase`."""

        @wraps(call)
        def called(*args: Any, **kwargs: Any) -> Any:
            before, self.phase = self.phase, phase
            try:
                with saved_tensors_hooks(self._seen, lambda tensor: tensor):
                    return call(*args, **kwargs)
            finally:
                self.phase = before

        return called

    def _seen(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if tensor.device == _META and self.phase == "forward":
            name = str(tensor.dtype).removeprefix("torch.")
            self._saved.setdefault(storage._cdata, (StorageWeakRef(storage), storage.nbytes(), name))
        return tensor

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
        on_card = any(tensor.device == _META for tensor in tensors)
        to = kwargs.get("device")
        if on_card and name in _ASKS:
            self.counts.waits[name] += 1
            return _answer(name, tensors[0])
        if on_card and name == "_to_copy" and to is not None and torch.device(to).type == "cpu":
            self.counts.waits["to the host"] += not kwargs.get("non_blocking")
            return torch.zeros(tensors[0].shape, dtype=kwargs.get("dtype") or tensors[0].dtype)
        if on_card and name == "copy_" and args[0].device.type == "cpu":
            self.counts.waits["to the host"] += not (args[2] if len(args) > 2 else kwargs.get("non_blocking", False))
            return args[0].zero_()
        result = func(*args, **kwargs)
        if on_card or (isinstance(result, torch.Tensor) and result.device == _META):
            self._count(name, func, on_card=on_card)
        return result

    def _count(self, name: str, func: Any, *, on_card: bool) -> None:
        if not on_card and name == "_to_copy":
            self.counts.uploads += 1
        elif not (func.is_view or name in _WITHOUT_WORK):
            self.counts.operations[self.phase] += 1
            self.counts.names[self.phase, name] += 1
            self.counts.casts[self.phase] += name == CASTS


def _answer(name: str, tensor: torch.Tensor) -> Any:
    """What the numbers would be, were they all zero, and all that is asked for so."""
    if name == "_local_scalar_dense":
        return tensor.dtype == torch.bool or torch.zeros((), dtype=tensor.dtype).item()
    if name in {"equal", "is_nonzero"}:
        return name == "equal"
    if name == "nonzero":
        return torch.empty(0, tensor.ndim, dtype=torch.int64, device=_META)
    return torch.empty(0, dtype=tensor.dtype, device=_META)


class CardRules:
    """While it is entered torch's functions treat the meta device as a card.

    Attention is the fused kernel. In `autocast` products and attention have low precision and norms float32; the casts of
    weights that ask for gradients are made once (ATen/autocast_mode.h), and what is computed again in the backward pass is cast
    as it was.
    """

    _LOW = ((F, "linear"), (F, "conv2d"), (torch, "matmul"), (torch, "bmm"), (torch, "baddbmm"), (torch, "addmm"))
    _HIGH = ((F, "group_norm"), (F, "layer_norm"))

    def __init__(self) -> None:
        self._dtype: torch.dtype | None = None
        self._last: torch.dtype | None = None
        self._made: dict[int, torch.Tensor] = {}
        self._stack = ExitStack()

    def __enter__(self) -> CardRules:
        plain = F.scaled_dot_product_attention
        self._put(F, "scaled_dot_product_attention", lambda *args, **how: self._attention(plain, args, how))
        for low, functions in ((True, self._LOW), (False, self._HIGH)):
            for place, name in functions:
                self._put(place, name, self._cast(getattr(place, name), low=low))
        self._put(torch, "is_autocast_enabled", lambda *_: self._dtype is not None)
        self._put(Precision, "autocast", lambda precision: self.autocast(precision.dtype))
        return self

    def __exit__(self, *why: Any) -> None:
        self._stack.close()

    @contextmanager
    def autocast(self, dtype: torch.dtype | None) -> Iterator[None]:
        """torch.autocast of a card, which the meta device lacks."""
        before, self._dtype, self._made = self._dtype, dtype, {}
        self._last = dtype
        try:
            yield
        finally:
            self._dtype, self._made = before, {}

    def forward(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, a forward pass, whose use of autocast `backward` repeats."""

        @wraps(call)
        def called(*args: Any, **kwargs: Any) -> Any:
            self._last = None
            return call(*args, **kwargs)

        return called

    def backward(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, a backward pass, in which checkpointed blocks are computed again as the forward pass before computed them."""

        @wraps(call)
        def called(*args: Any, **kwargs: Any) -> Any:
            with self.autocast(self._last):
                return call(*args, **kwargs)

        return called

    def _put(self, place: Any, name: str, function: Callable[..., Any]) -> None:
        self._stack.enter_context(mock.patch.object(place, name, function))

    def _attention(self, plain: Callable[..., Any], args: Any, how: dict[str, Any]) -> Any:
        query, key, value = (self._low(one) for one in args[:3])
        if query.device != _META or how.get("attn_mask") is not None or len(args) > 3:
            return plain(*args, **how)
        causal, scale = how.get("is_causal", False), how.get("scale")
        if query.dtype in (torch.bfloat16, torch.float16):
            return torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, False, scale=scale)[0]
        return torch.ops.aten._scaled_dot_product_efficient_attention(query, key, value, None, True, 0.0, causal, scale=scale)[
            0
        ]

    def _cast(self, function: Callable[..., Any], *, low: bool) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            if self._dtype is None:
                return function(*args, **kwargs)
            cast = self._low if low else (lambda x: _to(x, torch.float32))
            return function(*(cast(x) for x in args), **{key: cast(x) for key, x in kwargs.items()})

        return called

    def _low(self, x: Any) -> Any:
        if self._dtype is None:
            return x
        if isinstance(x, torch.nn.Parameter) and x.requires_grad and x.dtype == torch.float32:
            if id(x) not in self._made:
                self._made[id(x)] = x.to(self._dtype)
            return self._made[id(x)]
        return _to(x, self._dtype)


def _to(x: Any, dtype: torch.dtype) -> Any:
    return x.to(dtype) if isinstance(x, torch.Tensor) and x.is_floating_point() and x.dtype != dtype else x


@contextmanager
def foreach_like_a_card() -> Iterator[None]:
    """While this holds, torch's optimizers and its clipping take the meta device for one of those that have foreach kernels."""

    def devices() -> list[str]:
        return ["cuda", "cpu", "meta"]

    with (
        mock.patch("torch.utils._foreach_utils._get_foreach_kernels_supported_devices", devices),
        mock.patch("torch.optim.optimizer._get_foreach_kernels_supported_devices", devices),
    ):
        yield
