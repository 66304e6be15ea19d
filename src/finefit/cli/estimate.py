"""`finefit estimate`: one pinned recipe, its memory by phase and line."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated

import typer

from .words import split

if TYPE_CHECKING:
    from finefit.nouns.job import Job
    from finefit.nouns.knobs import Knobs

MAX_LENGTH = 2048
DOES_NOT_FIT = 3
SAID_OFF = ("expandable_segments", "vit_gradient_checkpointing")

Text = str | None


def _option(metavar: str, text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text)
    return option


def command(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(metavar="MODEL", help="Hub id, local folder, config.json, or bundled name.", show_default=False),
    ],
    *,
    task: Annotated[
        Text, _option("sft|dpo|generate", "What is trained for; or that answers are written. [sft]")
    ] = None,
    method: Annotated[Text, _option("full|lora|qlora4|qlora8", "What is trained, beside what. [lora]")] = None,
    data: Annotated[
        Text, _option("FILE", "Rows to train on: they decide how long sequences are, and what they show.")
    ] = None,
    max_length: Annotated[
        Text,
        _option("N", f"Tokens of the longest sequence (generate: prompt); no row of --data has more. [{MAX_LENGTH}]"),
    ] = None,
    per_device_train_batch_size: Annotated[
        Text, _option("N", "Sequences of one micro-batch (dpo: pairs; generate: prompts answered at once). [1]")
    ] = None,
    gradient_accumulation_steps: Annotated[Text, _option("N", "Micro-batches of one optimizer step. [1]")] = None,
    global_batch_size: Annotated[Text, _option("N", "Sequences of one optimizer step: their product.")] = None,
    gradient_checkpointing: Annotated[
        Text, _option("all|none|N|auto", "Layers that are recomputed: the first N. [auto: all]")
    ] = None,
    lora_r: Annotated[Text, _option("N", "Rank. [16]")] = None,
    lora_alpha: Annotated[Text, _option("N", "Scale. [32]")] = None,
    lora_dropout: Annotated[Text, _option("P", "Dropout. [0.0]")] = None,
    lora_target_modules: Annotated[Text, _option("a,b|all-linear", "Modules with an adapter. [all-linear]")] = None,
    bnb_4bit_quant_type: Annotated[Text, _option("nf4|fp4", "How 4 bits are read. [nf4]")] = None,
    bnb_4bit_use_double_quant: Annotated[Text, _option("true|false", "Statistics in 8 bits. [true]")] = None,
    dtype: Annotated[Text, _option("bfloat16|float16|float32", "Of the weights. [by the GPU]")] = None,
    mixed_precision: Annotated[Text, _option("no|bf16|fp16", "Autocast. [by the GPU]")] = None,
    optim: Annotated[Text, _option("NAME", "transformers' name. [adamw_torch_fused]")] = None,
    attn_implementation: Annotated[Text, _option("eager|sdpa|flash_attention_2", "Attention. [sdpa]")] = None,
    loss: Annotated[Text, _option("full|fused|liger", "Whole logits, TRL's fused head, or Liger's. [fused]")] = None,
    use_liger_kernel: Annotated[
        bool, typer.Option("--use-liger-kernel", help="Liger's kernels in every layer; needs liger-kernel.")
    ] = False,
    expandable_segments: Annotated[
        bool | None,
        typer.Option(
            "--expandable-segments/--no-expandable-segments",
            help="CUDA's allocator grows one segment in the place of many; not on Windows. [off]",
            show_default=False,
        ),
    ] = None,
    zero_stage: Annotated[Text, _option("0|1|2|3", "DeepSpeed's ZeRO: what GPUs divide among them.")] = None,
    offload: Annotated[Text, _option("none|optimizer|all", "To the host's memory: with ZeRO or FSDP. [none]")] = None,
    fsdp: Annotated[bool, typer.Option("--fsdp", help="torch's FSDP2, one unit a layer.")] = False,
    image_size: Annotated[Text, _option("WxH", "Pixels of each image, for a model that sees. [none]")] = None,
    images: Annotated[Text, _option("N", "Images of a sequence; max-length counts their tokens. [1]")] = None,
    freeze_vision_tower: Annotated[
        bool, typer.Option("--freeze-vision-tower", help="The language model alone is trained, or has adapters.")
    ] = False,
    vit_gradient_checkpointing: Annotated[
        bool | None,
        typer.Option(
            "--vit-gradient-checkpointing/--no-vit-gradient-checkpointing",
            help="The tower's layers are recomputed. [where any layer is]",
            show_default=False,
        ),
    ] = None,
    reference: Annotated[
        Text,
        _option("adapter_off|model|precomputed", "Dpo: who says what was likely before. [adapter_off; full: model]"),
    ] = None,
    reference_bits: Annotated[Text, _option("4|8", "Dpo: of a frozen copy. [as the weights are]")] = None,
    max_new_tokens: Annotated[Text, _option("N", "Generate: tokens written after each prompt. [128]")] = None,
    num_beams: Annotated[Text, _option("N", "Generate: answers that are followed side by side. [1]")] = None,
    cache_implementation: Annotated[
        Text, _option("dynamic|fp8|static", "Generate: how keys and values are kept. [dynamic]")
    ] = None,
    base: Annotated[bool, typer.Option("--base", help="Generate: without the method's adapters.")] = False,
    gpu: Annotated[Text, _option("NAME", "Like RTX4090 or 8xH100-80GB; cpu; auto: this machine. [auto]")] = None,
    trust_remote_code: Annotated[
        bool, typer.Option("--trust-remote-code", help="Run code of the model's folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """The memory of one recipe, by phase and line."""
    from finefit import api
    from finefit.nouns.job import Job
    from finefit.search.preferences import task_of
    from finefit.show import json, live, terminal
    from finefit.world.jobs import job_of_options

    given = split(words, "MODEL")
    keys = {field.name for field in fields(Job)} & ctx.params.keys()
    options = given.options | _listed(ctx, keys)
    gpu_name = options.get("gpu", "auto")
    job, notes = job_of_options(options | {"gpu": _known_gpu(gpu_name, api.REFERENCE_GPU)}, keys)
    with live.working() as say:
        if job.task == "generate":
            estimate = api.estimate_answer(
                given.about,
                method=api.method_of(job),
                task=api.answer_of(job),
                knobs=_knobs_to_write(job),
                gpu=gpu_name,
                trust_remote_code=job.trust_remote_code,
                progress=say,
            )
        elif job.data:
            wished = replace(job, model=given.about)
            estimate = api.estimate_rows(wished, knobs=_knobs(job), gpu=gpu_name, progress=say)
        else:
            estimate = api.estimate(
                given.about,
                method=api.method_of(job),
                knobs=_knobs(job),
                gpu=gpu_name,
                trust_remote_code=job.trust_remote_code,
                images=api.images_of(job),
                task=task_of(job),
                progress=say,
            )
    estimate = replace(estimate, notes=(*notes, *estimate.notes))
    if as_json:
        json.write(json.of_estimate(estimate))
    else:
        terminal.show_estimate(estimate)
    if estimate.verdict == "no":
        raise typer.Exit(DOES_NOT_FIT)


def _listed(ctx: typer.Context, keys: set[str]) -> dict[str, str]:
    """The options that Typer lists and the user gave, as words."""
    given = {key: value for key, value in ctx.params.items() if key in keys and _is_given(key, value)}
    return {key.replace("_", "-"): _word(value) for key, value in given.items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_given(key: str, value: object) -> bool:
    """A switch that is not there is off; of some, it may be said."""
    return value is not None and (value is not False or key in SAID_OFF)


def _known_gpu(name: str, reference: str) -> str:
    """The GPU that an estimate is made for: where none is named and none is here, the reference."""
    from finefit.world.gpus import gpu_here

    return reference if name == "auto" and gpu_here() is None else name


def _knobs(job: Job) -> Knobs:
    """The answers of a run on the same GPU, but every layer checkpointed where none is said."""
    from finefit.search.choice import choose
    from finefit.world.gpus import machine_named

    layers = "all" if job.gradient_checkpointing == "auto" else job.gradient_checkpointing
    wished = replace(job, max_length=job.max_length or MAX_LENGTH, gradient_checkpointing=layers)
    return choose(wished, machine_named(job.gpu))


def _knobs_to_write(job: Job) -> Knobs:
    from finefit.search.generation import knobs_to_write
    from finefit.world.gpus import machine_named

    return knobs_to_write(job, job.max_length or MAX_LENGTH, machine_named(job.gpu))
