"""Several processes, on one machine or more. The only importer of accelerate, with `trackers`.

`accelerate launch` (or torchrun) starts the processes; accelerate finds the device and joins them. There is no wrapper
around the model: the trained weights of a LoRA are few, so their gradients are added up over all processes, in one
piece before each optimizer step. A process may then have no sample at all in a batch, accumulation needs no special case, and
each process holds exactly the weights that one process with the whole batch would have.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from datetime import timedelta

import torch

from ..errors import InputError
from ..options.distributed import DistributedOptions
from .meeting import Meeting

_WORLD_SIZE = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


class Processes:
    """The processes that train together; `rank` is this one's number and `device` its device. Alone: 0 of 1.

    `in_place`: gradients are added up one by one where they are, without a copy of them all. `same_each_step`: the weights that
    have gradients are those of the first step; nobody asks again.
    """

    def __init__(
        self,
        device: torch.device | str | None = None,
        *,
        timeout_minutes: int | None = None,
        in_place: bool = False,
        same_each_step: bool = False,
    ) -> None:
        """Join the processes that the launcher started. `device` overrides the choice (for tests).

        `timeout_minutes` is how long one of them waits for another; None leaves that to PyTorch (gloo 30, NCCL 10 minutes), but
        for the main one, which draws and saves for all of them: for that one they wait as long as it takes (`meeting`).
        """
        self.in_place, self.same_each_step = in_place, same_each_step
        self._patience = None if timeout_minutes is None else 60.0 * timeout_minutes
        self._meeting: Meeting | None = None
        self._has: list[float] | None = None  # which gradients there are, of the first step
        self.rank, self.world_size, self.local_rank = 0, 1, 0
        chosen = _own_device()
        if any(int(os.environ.get(name) or 1) > 1 for name in _WORLD_SIZE):
            from accelerate import PartialState

            state = PartialState(**({"timeout": timedelta(minutes=timeout_minutes)} if timeout_minutes else {}))
            self.rank, self.world_size, self.local_rank = state.process_index, state.num_processes, state.local_process_index
            chosen = state.device
        self.device = torch.device(device) if device is not None else chosen

    @classmethod
    def of(cls, options: DistributedOptions) -> Processes:
        """Join them as the options say."""
        return cls(
            timeout_minutes=options.ddp_timeout,
            in_place=options.ddp_gradient_as_bucket_view,
            same_each_step=options.ddp_static_graph,
        )

    @property
    def is_main(self) -> bool:
        """Whether this is the one process that writes."""
        return self.rank == 0

    def _meet(self) -> None:
        """Before each exchange: wait for the main process where that waits for nobody."""
        if self._meeting is None and torch.distributed.is_initialized():
            store = torch.distributed.distributed_c10d._get_default_store()
            self._meeting = Meeting(store, self.is_main, self._patience)
        if self._meeting is not None:
            self._meeting.come()

    def add_up(self, values: Sequence[float]) -> list[float]:
        """Return the sums of `values` over all processes."""
        if self.world_size == 1:
            return list(values)
        self._meet()
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(total)
        return total.tolist()

    def add_up_tensor(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the sum of a tensor on the CPU over all processes."""
        if self.world_size == 1:
            return tensor
        self._meet()
        total = tensor.to(self.device)
        torch.distributed.all_reduce(total)
        return total.to("cpu")

    def any(self, here: bool) -> bool:
        """Whether it is so in one of the processes at least."""
        return self.add_up([float(here)])[0] > 0

    def agree(self, number: int) -> int:
        """Return the main process's number, 0 <= number < 2**53."""
        return int(self.add_up([number if self.is_main else 0])[0])

    def add_up_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Replace each gradient by the sum over all processes; a gradient that one of them lacks counts as zero.

        A parameter that no process has a gradient for gets none, as in one process: an optimizer leaves it alone.
        """
        if self.world_size == 1:
            return
        self._meet()
        parameters = list(parameters)
        parameters = [parameter for parameter, count in zip(parameters, self._which(parameters), strict=True) if count]
        if not parameters:
            return
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        if self.in_place:
            for parameter in parameters:
                torch.distributed.all_reduce(parameter.grad)
            return
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters])
        torch.distributed.all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad.copy_(part.view_as(parameter))

    def _which(self, parameters: Sequence[torch.nn.Parameter]) -> list[float]:
        """In how many processes each of the parameters has a gradient. With `same_each_step` the first answer stays.

        Raises InputError where a gradient comes up that no process had in the first step.
        """
        here = [float(parameter.grad is not None) for parameter in parameters]
        if self._has is not None and len(self._has) == len(here):
            if any(mine and not known for mine, known in zip(here, self._has, strict=True)):
                raise InputError(
                    "with ddp_static_graph the weights that take part in a step must be those of the first one, but others do.",
                    field="ddp_static_graph",
                    advice="Leave ddp_static_graph out.",
                )
            return self._has
        counts = torch.tensor(here, device=self.device)
        torch.distributed.all_reduce(counts)
        found: list[float] = counts.tolist()
        if self.same_each_step and any(found):
            self._has = found
        return found

    def same_start(self, tensors: Iterable[torch.Tensor]) -> None:
        """Give every process the main process's values, in place."""
        if self.world_size > 1:
            self._meet()
            for tensor in tensors:
                torch.distributed.broadcast(tensor.detach(), src=0)

    def wait(self) -> None:
        """Wait until every process has come here."""
        if self.world_size > 1:
            self._meet()
            torch.distributed.barrier()

    def leave(self) -> None:
        """Part from the others, so that none of them waits for this process at its end."""
        if self.world_size > 1 and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()


def _own_device() -> torch.device:
    if os.environ.get("ACCELERATE_USE_CPU", "").lower() in {"1", "true", "yes", "on"}:  # accelerate launch --cpu
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda", 0)
    if torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")
