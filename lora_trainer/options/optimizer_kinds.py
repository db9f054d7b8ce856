"""Every optimizer that has a name of its own, as data: which class it is, of which package, and what is special about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

TORCH = "torch.optim."  # its classes may be named by everybody


@dataclass(frozen=True, kw_only=True)
class OptimizerKind:
    """An optimizer by the name that users know (sd-scripts' spelling).

    `target` is module.Class; `package` the distribution of `installing.extras` that has it ("" where it is always there).
    `added` are arguments that count unless others are given, and are told in the metadata as the reference does; `fixed` ones
    always count. `finds_its_rate`: the learning rate is a factor (usually 1) on a rate that it finds by itself. `whole`: its
    step needs all gradients at once, so that it cannot change one tensor as soon as its gradient is known. `averages`: the
    weights that are changed are not those to be used, which are an average (schedule-free). `apart`: each number changes by
    itself, so that a weight may be in parts on several cards. `full`: it needs an NVIDIA card;
    the optimizer of this name computes the same in full precision, and stands in for it elsewhere.
    """

    name: str
    target: str
    package: str = ""
    added: Mapping[str, object] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    finds_its_rate: bool = False
    averages: bool = False
    whole: bool = False
    apart: bool = False
    full: str = ""

    @property
    def is_known(self) -> bool:
        """Whether it is one of the table, of which it is known what its step needs."""
        return self in OPTIMIZERS

    @property
    def module(self) -> str:
        """The module that is imported."""
        return self.target.rpartition(".")[0]


def _bitsandbytes(name: str, full: str, *, cls: str = "", added: Mapping[str, object] | None = None) -> OptimizerKind:
    target = f"bitsandbytes.optim.{cls or name}"
    return OptimizerKind(name=name, target=target, package="bitsandbytes", full=full, added=added or {})


def _dadaptation(name: str, *, cls: str = "") -> OptimizerKind:
    target = f"dadaptation.{cls or name}"
    return OptimizerKind(name=name, target=target, package="dadaptation", finds_its_rate=True, whole=True)


def _schedulefree(name: str) -> OptimizerKind:
    target = f"schedulefree.{name}"
    return OptimizerKind(name=name, target=target, package="schedulefree", averages=True, whole=True, apart=True)


_MOMENTUM = {"momentum": 0.9}
_NAMED = (
    OptimizerKind(name="AdamW", target=f"{TORCH}AdamW", apart=True),
    _bitsandbytes("AdamW8bit", "AdamW"),
    OptimizerKind(name="Lion", target="lion_pytorch.Lion", package="lion-pytorch", apart=True),
    _bitsandbytes("Lion8bit", "Lion"),
    OptimizerKind(name="SGDNesterov", target=f"{TORCH}SGD", added=_MOMENTUM, fixed={"nesterov": True}, apart=True),
    _bitsandbytes("SGDNesterov8bit", "SGDNesterov", cls="SGD8bit", added=_MOMENTUM),
    _dadaptation("DAdaptation", cls="experimental.DAdaptAdamPreprint"),
    _dadaptation("DAdaptAdamPreprint", cls="experimental.DAdaptAdamPreprint"),
    _dadaptation("DAdaptAdam"),
    _dadaptation("DAdaptAdaGrad"),
    _dadaptation("DAdaptAdan"),
    _dadaptation("DAdaptAdanIP", cls="experimental.DAdaptAdanIP"),
    _dadaptation("DAdaptLion"),
    _dadaptation("DAdaptSGD"),
    OptimizerKind(name="AdaFactor", target="transformers.optimization.Adafactor"),
    OptimizerKind(name="Prodigy", target="prodigyopt.Prodigy", package="prodigyopt", finds_its_rate=True, whole=True),
    _bitsandbytes("PagedAdamW", "AdamW"),
    _bitsandbytes("PagedAdamW8bit", "AdamW"),
    _bitsandbytes("PagedAdamW32bit", "AdamW"),
    _bitsandbytes("PagedLion8bit", "Lion"),
    _schedulefree("AdamWScheduleFree"),
    _schedulefree("RAdamScheduleFree"),
    _schedulefree("SGDScheduleFree"),
)
# The other classes of torch.optim, of every version that is supported (Muon came with 2.9). LBFGS needs to compute the loss
# again in each step, SparseAdam gradients that a LoRA does not have.
_OF_TORCH = ("ASGD", "Adadelta", "Adagrad", "Adam", "Adamax", "Muon", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD")
_TOGETHER = ("Muon", "Rprop")  # made of the whole of a matrix, or by operations that PyTorch cannot divide
NOT_POSSIBLE = {
    "LBFGS": "it computes the loss several times in each step",
    "SparseAdam": "it needs sparse gradients, which no network here has",
}
OPTIMIZERS: tuple[OptimizerKind, ...] = (
    *_NAMED,
    *(OptimizerKind(name=one, target=f"{TORCH}{one}", apart=one not in _TOGETHER) for one in _OF_TORCH),
)
_BY_NAME = {kind.name.lower(): kind for kind in OPTIMIZERS}
_BY_TARGET = {kind.target: kind for kind in reversed(OPTIMIZERS)}
ADAFACTOR = _BY_NAME["adafactor"]
OLD_NAMES = {"use_8bit_adam": "AdamW8bit", "use_lion_optimizer": "Lion"}  # option -> the optimizer that it stands for


def kind_of(optimizer_type: str) -> OptimizerKind:
    """The kind that the option's value means: a name of the table (case does not matter), or one made for `module.Class`."""
    known = _BY_NAME.get(optimizer_type.lower()) or _BY_TARGET.get(optimizer_type)
    return known or OptimizerKind(name=optimizer_type, target=optimizer_type)


def makes_its_rate(optimizer_type: str, optimizer_args: Iterable[str] | None) -> bool:
    """Whether Adafactor makes its rate by itself: unless relative_step=False is given, and whenever warmup_init=True is."""
    given = dict(text.replace(" ", "").partition("=")[::2] for text in optimizer_args or ())
    relative = given.get("relative_step") != "False" or given.get("warmup_init") == "True"
    return kind_of(optimizer_type) == ADAFACTOR and relative
