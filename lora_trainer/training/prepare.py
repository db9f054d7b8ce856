"""What stands before a training: its options are checked, its images looked at, its model and its network made."""

from __future__ import annotations

from typing import Any

import torch

from ..checkpoints import sharding
from ..checkpoints.serving import Shards
from ..checkpoints.whole_model import WholeModel
from ..data.plan import DataPlan, StepCounts, count_steps, make_plan
from ..embeddings import files as embedding_files
from ..embeddings.embedding import Embedding
from ..errors import InputError, InputErrors
from ..foreign.reading import is_there
from ..models import Model, load, tokenizer_cache, words
from ..networks import going_on, registry
from ..networks.arguments import parse_network_args
from ..networks.base import AdapterNetwork
from ..options import TrainOptions, flat
from ..options.dataset_config import data_spec
from ..options.doubts import doubts
from ..options.family_checks import hints
from ..options.model import ModelOptions
from ..options.network import NetworkOptions
from ..options.network_findings import block_findings
from ..options.optimizer_kinds import kind_of
from ..options.trained import BESIDE, EMBEDDING, MODEL, PIVOTAL, WITH_NETWORK, WITH_WORD, TrainedOptions
from ..options.trained_rules import block_rates
from ..options.training import TrainingOptions
from ..paths import user_path
from ..sampling.loras import words_in
from . import captions, memory, optimizers, schedulers, trackers, validation
from .checkpoint import SavePlan
from .distributed import Processes
from .objective import Objective
from .phases import Emit, phase
from .pivotal import NetworkAndWord, last_step_of
from .precision import Precision, choose
from .trained import Trained


def check(options: TrainOptions) -> None:
    """Raise InputError(s) for what is wrong in the options that only this room and the networks understand."""
    if options.dataset.debug_dataset:
        message = "debug_dataset shows the batches and trains nothing."
        raise InputError(message, field="debug_dataset", advice="Leave it out to train.")
    if options.training.check:
        raise InputError("check measures a training and makes none.", field="check", advice="Leave it out to train.")
    if options.trained.trains in WITH_NETWORK:
        registry.get(options.network.network_module)
        parse_network_args(options.network.network_args)
        if options.network.network_weights:
            going_on.check_words(
                user_path(options.network.network_weights), word_of(options.trained), init_word=options.trained.init_word
            )
            going_on.check_ranks(user_path(options.network.network_weights), options.network)
    if options.trained.trains in WITH_WORD:
        _known_vectors(options.trained, options.network.network_weights if options.trained.trains == PIVOTAL else None)
    if options.trained.trains == MODEL:
        _refuse_own_place(options)
    optimizers.check(options.optimizer)
    trackers.check(options.saving)
    memory.check(options.training)
    schedulers.check(options.optimizer, total_steps=max(1, options.training.max_train_steps))


def check_sharing(options: TrainingOptions, processes: Processes) -> None:
    """Raise InputError where the processes cannot share one model as they are to."""
    if not options.shard_model:
        return
    if processes.world_size == 1:
        message = "shard_model spreads a model over several processes, and this is one alone."
        raise InputError(message, field="shard_model", advice="Start it with accelerate launch --multi_gpu, or leave it out.")
    sharding.check()


def _refuse_own_place(options: TrainOptions) -> None:
    """Raise InputError where the result would be written over the base model."""
    base, result = user_path(str(options.model.pretrained_model_name_or_path)), SavePlan.of(options.saving, 1).last
    if is_there(base) and is_there(result) and base.samefile(result):
        message = f"the result would take the place of the base model {base}."
        raise InputError(message, field="output_name", advice="Give another output_name or output_dir.")


def data_plan(options: TrainOptions, seed: int, processes: Processes, emit: Emit) -> DataPlan:
    """Look at the images. Findings become warnings; raises InputErrors for those that keep the training from starting."""
    phase(emit, "reading the images")
    plan = make_plan(
        data_spec(options),
        seed=seed,
        prior_loss_weight=options.training.prior_loss_weight,
        world_size=processes.world_size,
    )
    for finding in plan.findings:
        if finding.level == "warning":
            emit({"type": "warning", "message": f"{finding.where}: {finding.message}" if finding.where else finding.message})
    plan.raise_errors()
    validation.check(options, plan)
    if options.dataset.cache_text_encoder_outputs and captions.constant(plan) is None:
        varying = ", ".join(captions.varied_by(plan))
        raise InputError(
            f"the captions change at each use because of {varying}, so that the text encoders' outputs cannot be cached.",
            field="cache_text_encoder_outputs",
            advice="Leave cache_text_encoder_outputs or these settings out.",
        )
    return plan


def step_counts(options: TrainingOptions, plan: DataPlan) -> StepCounts:
    """How many steps and epochs the training has."""
    return count_steps(
        plan,
        max_train_steps=options.max_train_steps,
        max_train_epochs=options.max_train_epochs,
        gradient_accumulation_steps=options.gradient_accumulation_steps,
    )


def say_doubts(options: TrainOptions, counts: StepCounts, emit: Emit) -> None:
    """Warn of what is allowed, but hardly meant, as the page does before it starts a run."""
    for _, message, advice in doubts(flat(options), images=0, shown=0, total_steps=counts.total_steps):
        emit({"type": "warning", "message": f"{message} {advice}".strip()})


def precision(options: TrainingOptions, device: torch.device, emit: Emit) -> Precision:
    """The precision that is computed in; says when it is another one than was asked for."""
    chosen = choose(options.mixed_precision, device)
    if chosen.warning:
        emit({"type": "warning", "message": chosen.warning})
    return chosen


def base_model(
    options: ModelOptions, plan: DataPlan, computed: Precision, emit: Emit, dtype: torch.dtype | None = None
) -> Model:
    """Load the base model, frozen, in the compute precision or in `dtype`; the VAE in float32 unless fp16 is computed in."""
    half_vae = computed.dtype == torch.float16 and not options.no_half_vae
    model = load(
        options.pretrained_model_name_or_path or "",
        dtype=dtype or computed.dtype,
        device=computed.device,
        vae=options.vae,
        vae_dtype=computed.dtype if half_vae else torch.float32,
        attention="xformers" if options.xformers else "torch",
        prediction_type="v_prediction" if options.v_parameterization else None,
        holding=memory.holding(options, computed.device),
        progress=phase(emit, "loading the model"),
    )
    tokenizer_cache.use(model, options.tokenizer_cache_dir)
    sizes = [dataset.resolution for dataset in plan.datasets]
    found = hints(model.family.name, clip_skip=options.clip_skip, v_parameterization=options.v_parameterization, sizes=sizes)
    for note in (*model.notes, *(message for _, message in found)):
        emit({"type": "warning", "message": note})
    return model


def check_family(options: NetworkOptions, family: str) -> None:
    """Raise InputError(s), before the images are encoded, for what does not go with a base model of this family."""
    if options.network_weights:
        going_on.check_family(user_path(options.network_weights), family)
    errors, _ = block_findings(options.network_module or "", options.network_args, family)
    if errors:
        raise InputErrors(errors)


def objective(options: TrainingOptions, model: Model, device: torch.device) -> Objective:
    """What is minimised; the model has the noise levels of it from now on, also when samples are drawn.

    Raises InputError for an option that means nothing for what the model predicts.
    """
    if model.prediction_type == "v_prediction":
        wrong, message = ("v_pred_like_loss",), "{} is for models that predict noise, but {} predicts velocity."
    else:
        wrong = ("zero_terminal_snr", "scale_v_pred_loss_like_noise_pred")
        message = "{} is for models that predict velocity, but {} predicts noise."
    for name in wrong:
        if getattr(options, name):
            advice = f"Leave {name} out, or choose another model."
            raise InputError(message.format(name, model.source), field=name, advice=advice)
    model.zero_terminal_snr |= options.zero_terminal_snr
    return Objective.of(options, model.prediction_type, device, zero_terminal_snr=model.zero_terminal_snr)


def held_dtype(options: TrainOptions, computed: Precision) -> torch.dtype:
    """The type in which the base model is loaded: that of the trained weights where they are its own (`WeightPrecision`)."""
    whole = options.trained.trains == MODEL and not (options.training.full_fp16 or options.training.full_bf16)
    return torch.float32 if whole else computed.dtype


def trained(
    options: TrainOptions, model: Model, plan: DataPlan, seed: int, computed: Precision, emit: Emit, *, steps: int
) -> Trained:
    """What is trained in a training of so many steps, on the model and on the device."""
    device = computed.device
    if options.trained.trains == MODEL:
        return whole_model(options, model, plan, computed)
    if options.trained.trains == EMBEDDING:
        _refuse_strengths(plan, "network_multiplier is for a network: an embedding has no strength.")
        return embedding(options.trained, model, seed, device, emit)
    made = network(options.network, model, seed, device)
    if options.trained.trains != PIVOTAL:
        return made
    return NetworkAndWord(
        made,
        embedding(options.trained, model, seed, device, emit, options.network.network_weights),
        word_lr=_word_lr(options),
        last_step=last_step_of(options.trained.stop_embedding_training, steps),
        is_beside=options.trained.save_embedding == BESIDE,
    )


def whole_model(options: TrainOptions, model: Model, plan: DataPlan, computed: Precision) -> WholeModel:
    """The model itself. Raises InputError for what only a network has."""
    _refuse_strengths(plan, "network_multiplier is for a network: a whole model has no strength.")
    chosen, rate = options.trained, options.optimizer.learning_rate
    general, steps = chosen.learning_rate_te, chosen.stop_text_encoder_training
    texts = [rate if general is None else general] * len(model.text_encoders)
    own = (chosen.learning_rate_te1, chosen.learning_rate_te2)
    if len(texts) == len(own):
        texts = [other if one is None else one for one, other in zip(own, texts, strict=True)]
    if not chosen.train_text_encoder or (steps is not None and steps <= 0):
        texts = [0.0] * len(texts)
    return WholeModel(
        model,
        unet_lr=rate,
        text_lrs=texts,
        dtype=computed.dtype,
        block_lrs=block_rates(chosen.block_lr),
        text_steps=steps,
        keeps_dtype=options.training.full_fp16 or options.training.full_bf16,
    )


def shards(options: TrainingOptions, trained: Trained, processes: Processes) -> Shards | None:
    """With shard_model each process keeps a part of what is trained, which is on the device, alone; None without it."""
    if not options.shard_model:
        return None
    assert isinstance(trained, WholeModel)
    return trained.shard(processes)


def _refuse_strengths(plan: DataPlan, message: str) -> None:
    if any(dataset.spec.network_multiplier != 1.0 for dataset in plan.datasets):
        raise InputError(message, field="network_multiplier", advice="Leave it out.")


def word_of(options: TrainedOptions) -> str | None:
    """The word that is trained with a network; None where there is none."""
    return (options.token_string or "").strip() if options.trains == PIVOTAL else None


def _word_lr(options: TrainOptions) -> float:
    """embedding_lr; left out, ten times the network's rate, at which vectors would hardly move."""
    chosen = options.optimizer
    if options.trained.embedding_lr is not None:
        return options.trained.embedding_lr
    return chosen.learning_rate * (1 if kind_of(chosen.optimizer_type).finds_its_rate else 10)


def embedding(
    options: TrainedOptions, model: Model, seed: int, device: torch.device, emit: Emit, lora: str | None = None
) -> Embedding:
    """The vectors of the new word, which the model knows from now on: those of `weights`, else of the file `lora` where it
    holds the word, else of init_word. Raises InputError for what does not fit the model."""
    word = (options.token_string or "").strip()
    starts = _known_vectors(options, lora)
    if not starts:
        starts, note = words.start_vectors(model, options.init_word, options.num_vectors_per_token, seed)
        if note:
            emit({"type": "warning", "message": note})
    if options.vectors_per_layer:
        count = words.layers_of(model)
        starts = [one if one.dim() == 3 else one.expand(count, *one.shape) for one in starts]
    made = Embedding(word, starts).to(device)
    words.teach(model, word, list(made.vectors))
    return made


def _known_vectors(options: TrainedOptions, lora: str | None) -> list[torch.Tensor]:
    """The vectors that a training of a word goes on from, for each text encoder; none where it begins anew.

    Raises InputError for others than are to be trained, EmbeddingFileError for a file that cannot be read.
    """
    found, file = None, options.weights
    if file:
        found = embedding_files.load(user_path(file))
    elif lora:
        found, file = words_in(user_path(lora)).get((options.token_string or "").strip()), lora
    if not found:
        return []
    there, wanted = found[0].shape[-2], options.num_vectors_per_token
    if there != wanted:
        message = f"{file} has {there} vectors, but num_vectors_per_token is {wanted}."
        raise InputError(message, field="num_vectors_per_token", advice=f"Give num_vectors_per_token {there}.")
    if found[0].dim() == 3 and not options.vectors_per_layer:
        message = f"{file} has vectors for each layer of the UNet (XTI)."
        raise InputError(message, field="weights", advice="Give vectors_per_layer, or another file.")
    return list(found)


def network(options: NetworkOptions, model: Model, seed: int, device: torch.device) -> AdapterNetwork[Any]:
    """Build the network, put it on the model, and load `network_weights` into it."""
    builder = registry.get(options.network_module)
    arguments: dict[str, Any] = {"neuron_dropout": options.network_dropout, **parse_network_args(options.network_args)}
    arguments["seed"] = seed
    if options.dim_from_weights and options.network_weights:
        built, _ = builder.create_network_from_weights(
            1.0, options.network_weights, model.vae, model.text_encoders, model.unet, **arguments
        )
    else:
        built = builder.create_network(
            1.0, options.network_dim, options.network_alpha, model.vae, model.text_encoders, model.unet, **arguments
        )
    built.apply_to(
        model.text_encoders,
        model.unet,
        apply_text_encoder=not options.network_train_unet_only,
        apply_unet=not options.network_train_text_encoder_only,
    )
    if options.network_weights:
        built.load_weights(options.network_weights)
    built.computed = model.dtype
    return built.to(device).train()
