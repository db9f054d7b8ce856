"""The rules of the options about memory and about how the model is computed; see rules."""

from __future__ import annotations

from .optimizer_kinds import OPTIMIZERS, kind_of
from .rule import Rule, Values, exclude, needs


def _drops(v: Values) -> bool:
    """Whether something of the network is left out at random."""
    return bool(v["network_dropout"]) or any("dropout" in text.partition("=")[0] for text in v["network_args"] or ())


def _records(v: Values) -> bool:
    """Whether CUDA graphs are recorded."""
    return bool(v["torch_compile"]) and v["dynamo_mode"] in ("reduce-overhead", "max-autotune")


# What does not go with a model in parts on several cards, and why not.
_NOT_SHARDED = {
    "fused_backward_pass": "shard_model does not go with fused_backward_pass: gradients are added up over the cards first.",
    "full_bf16": "shard_model does not go with full_bf16: the weights that are spread over the cards are float32.",
    "full_fp16": "shard_model does not go with full_fp16: the weights that are spread over the cards are float32.",
    "torch_compile": "shard_model does not go with torch_compile: a block's weights are there only while it computes.",
    "split_batch_when_full": "shard_model does not go with split_batch_when_full: all cards compute the same blocks together.",
    "check": "check measures what one card needs that holds the whole model; shard_model spreads it over several.",
    "ddp_gradient_as_bucket_view": "ddp_gradient_as_bucket_view has no effect with shard_model, which copies no gradients.",
    "ddp_static_graph": "ddp_static_graph has no effect with shard_model, where nobody asks which weights take part.",
}

RULES: tuple[Rule, ...] = (
    *(exclude("shard_model", option, why, f"Leave {option} or shard_model out.") for option, why in _NOT_SHARDED.items()),
    Rule(
        ("gradient_checkpointing_blocks", "shard_model"),
        lambda v: v["shard_model"] and v["gradient_checkpointing_blocks"] == "auto",
        "shard_model does not go with gradient_checkpointing_blocks auto: all cards compute the same blocks together.",
        "Leave gradient_checkpointing_blocks out: all of them are computed twice then.",
    ),
    Rule(
        ("optimizer_type", "shard_model"),
        lambda v: v["shard_model"] and not kind_of(v["optimizer_type"]).apart,
        "shard_model does not go with {optimizer_type}: its step is not made for each number by itself.",
        f"Choose one of {', '.join(kind.name for kind in OPTIMIZERS if kind.apart)}.",
    ),
    needs("cpu_offload_checkpointing", "gradient_checkpointing"),
    Rule(
        ("gradient_checkpointing_blocks", "gradient_checkpointing"),
        lambda v: v["gradient_checkpointing_blocks"] != "all" and not v["gradient_checkpointing"],
        "gradient_checkpointing_blocks has no effect without gradient_checkpointing.",
        "Give gradient_checkpointing too, or leave gradient_checkpointing_blocks out.",
    ),
    needs("blocks_to_swap", "gradient_checkpointing"),
    exclude(
        "torch_compile",
        "blocks_to_swap",
        "blocks_to_swap does not go with torch_compile: what is compiled has its weights in one place.",
        "Give one of them.",
    ),
    exclude(
        "lowram",
        "blocks_to_swap",
        "blocks_to_swap keeps weights in main memory, lowram keeps them out of it.",
        "Give one of them.",
    ),
    exclude(
        "lowram",
        "cpu_offload_checkpointing",
        "cpu_offload_checkpointing puts into main memory what lowram keeps out of it.",
        "Give one of them.",
    ),
    needs("torch_compile_when_faster", "torch_compile"),
    exclude(
        "torch_compile_when_faster",
        "fused_backward_pass",
        "torch_compile_when_faster makes gradients to measure, and with fused_backward_pass these change the weights.",
        "Leave fused_backward_pass out: for a LoRA it saves little.",
    ),
    Rule(
        ("dynamo_backend", "torch_compile"),
        lambda v: v["dynamo_backend"] != "inductor" and not v["torch_compile"],
        "dynamo_backend has no effect without torch_compile.",
        "Give torch_compile too, or leave dynamo_backend out.",
    ),
    Rule(
        ("dynamo_mode", "torch_compile"),
        lambda v: v["dynamo_mode"] != "default" and not v["torch_compile"],
        "dynamo_mode has no effect without torch_compile.",
        "Give torch_compile too, or leave dynamo_mode out.",
    ),
    Rule(
        ("dynamo_mode", "dynamo_backend"),
        lambda v: v["dynamo_mode"] != "default" and v["torch_compile"] and v["dynamo_backend"] != "inductor",
        "dynamo_mode {dynamo_mode} is one of inductor's; dynamo_backend {dynamo_backend} has no modes.",
        "Leave one of them out.",
    ),
    Rule(
        ("dynamo_mode", "gradient_checkpointing", "dynamo_use_regional_compilation"),
        lambda v: _records(v) and v["gradient_checkpointing"] and v["dynamo_use_regional_compilation"],
        "dynamo_mode {dynamo_mode} records CUDA graphs; a block that is compiled by itself cannot be computed twice with them.",
        "Leave gradient_checkpointing out, compile the whole (--no-dynamo_use_regional_compilation), or choose "
        "max-autotune-no-cudagraphs.",
    ),
    Rule(
        ("dynamo_mode", "cpu_offload_checkpointing"),
        lambda v: _records(v) and v["cpu_offload_checkpointing"],
        "dynamo_mode {dynamo_mode} records CUDA graphs, which keep what they compute on the card.",
        "Leave cpu_offload_checkpointing out, or choose max-autotune-no-cudagraphs.",
    ),
    Rule(
        ("dynamo_backend", "gradient_checkpointing", "network_dropout", "network_args"),
        lambda v: v["torch_compile"] and v["dynamo_backend"] == "eager" and v["gradient_checkpointing"] and _drops(v),
        "dynamo_backend eager draws other dropouts when it computes a block the second time, so that the gradients are wrong.",
        "Use dynamo_backend aot_eager or inductor, or leave gradient_checkpointing or the dropouts out.",
    ),
    exclude(
        "deterministic",
        "cuda_cudnn_benchmark",
        "cuda_cudnn_benchmark may choose another way to compute each time, so that nothing could be repeated exactly.",
        "Give one of deterministic and cuda_cudnn_benchmark.",
    ),
    exclude(
        "channels_last",
        "blocks_to_swap",
        "channels_last does not go with blocks_to_swap: the blocks in main memory stay in the order that they are copied in.",
        "Give one of them.",
    ),
    Rule(
        ("channels_last", "trains"),
        lambda v: v["channels_last"] and v["trains"] == "model",
        "channels_last is for what is trained on a model; with trains model its own weights are trained, in their usual order.",
        "Leave channels_last out.",
    ),
    Rule(
        ("fused_backward_pass", "gradient_checkpointing_blocks"),
        lambda v: v["fused_backward_pass"] and v["gradient_checkpointing_blocks"] == "auto",
        "gradient_checkpointing_blocks auto makes gradients to measure, and with fused_backward_pass these change the weights.",
        "Leave fused_backward_pass out: for a LoRA it saves little.",
    ),
)
