"""The options of a recipe: what `estimate` and `plan` list, each with what it means. Their names are a job's keys."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any

import typer

from finefit.nouns.knobs import USUAL_LENGTH

DOES_NOT_FIT = 3
"""The exit code."""
SAID_OFF = ("expandable_segments", "vit_gradient_checkpointing")
Text = str | None


MODEL = "Hub id, local folder, config.json, or bundled name"


def about(metavar: str, text: str) -> typer.models.ArgumentInfo:
    """The words that are no options: what a command is about."""
    made: typer.models.ArgumentInfo = typer.Argument(metavar=metavar, help=text, show_default=False)
    return made


def option(metavar: str, text: str) -> typer.models.OptionInfo:
    made: typer.models.OptionInfo = typer.Option(metavar=metavar, help=text)
    return made


RECIPE: dict[str, tuple[Any, Any]] = {
    "task": (
        Annotated[Text, option("sft|dpo|generate", "What is trained for; or that answers are written. [sft]")],
        None,
    ),
    "method": (Annotated[Text, option("full|lora|qlora4|qlora8", "What is trained, beside what. [lora]")], None),
    "data": (
        Annotated[Text, option("FILE", "Rows to train on, or org/name:split: they say lengths, and what is shown.")],
        None,
    ),
    "on_bad_row": (
        Annotated[
            Text, option("stop|skip", "Rows of --data that cannot be trained on: stop, or leave them out. [stop]")
        ],
        None,
    ),
    "max_length": (
        Annotated[
            Text,
            option(
                "N",
                f"Tokens of the longest sequence (generate: prompt); no row of --data has more. [{USUAL_LENGTH}, or "
                "the model's positions]",
            ),
        ],
        None,
    ),
    "per_device_train_batch_size": (
        Annotated[
            Text, option("N", "Sequences of one micro-batch (dpo: pairs; generate: prompts answered at once). [1]")
        ],
        None,
    ),
    "gradient_accumulation_steps": (Annotated[Text, option("N", "Micro-batches of one optimizer step. [1]")], None),
    "global_batch_size": (Annotated[Text, option("N", "Sequences of one optimizer step: their product.")], None),
    "gradient_checkpointing": (
        Annotated[Text, option("all|none|N|auto", "Layers that are recomputed: the first N. [auto: all]")],
        None,
    ),
    "lora_r": (Annotated[Text, option("N", "Rank. [16]")], None),
    "lora_alpha": (Annotated[Text, option("N", "Scale. [32]")], None),
    "lora_dropout": (Annotated[Text, option("P", "Dropout. [0.0]")], None),
    "lora_target_modules": (Annotated[Text, option("a,b|all-linear", "Modules with an adapter. [all-linear]")], None),
    "use_dora": (
        Annotated[
            bool, typer.Option("--use-dora", help="DoRA: a weight's length is trained too; slower, and more memory.")
        ],
        False,
    ),
    "use_rslora": (
        Annotated[bool, typer.Option("--use-rslora", help="Scaled by alpha over the rank's root, not over the rank.")],
        False,
    ),
    "bnb_4bit_quant_type": (Annotated[Text, option("nf4|fp4", "How 4 bits are read. [nf4]")], None),
    "bnb_4bit_use_double_quant": (Annotated[Text, option("true|false", "Statistics in 8 bits. [true]")], None),
    "dtype": (Annotated[Text, option("bfloat16|float16|float32", "Of the weights. [by the GPU]")], None),
    "mixed_precision": (Annotated[Text, option("no|bf16|fp16", "Autocast. [by the GPU]")], None),
    "optim": (Annotated[Text, option("NAME", "transformers' name. [adamw_torch_fused]")], None),
    "attn_implementation": (Annotated[Text, option("eager|sdpa|flash_attention_2", "Attention. [sdpa]")], None),
    "loss": (Annotated[Text, option("full|fused|liger", "Whole logits, TRL's fused head, or Liger's. [fused]")], None),
    "use_liger_kernel": (
        Annotated[bool, typer.Option("--use-liger-kernel", help="Liger's kernels in every layer; needs liger-kernel.")],
        False,
    ),
    "packing": (
        Annotated[Text, option("[true|false|auto]", "Rows share sequences; auto: plan weighs it by --data. [false]")],
        None,
    ),
    "expandable_segments": (
        Annotated[
            bool | None,
            typer.Option(
                "--expandable-segments/--no-expandable-segments",
                help="CUDA's allocator grows one segment in the place of many; not on Windows. [off]",
                show_default=False,
            ),
        ],
        None,
    ),
    "zero_stage": (Annotated[Text, option("0|1|2|3", "DeepSpeed's ZeRO: what GPUs divide among them.")], None),
    "offload": (Annotated[Text, option("none|optimizer|all", "To the host's memory: with ZeRO or FSDP. [none]")], None),
    "fsdp": (Annotated[bool, typer.Option("--fsdp", help="torch's FSDP2, one unit a layer.")], False),
    "image_size": (Annotated[Text, option("WxH", "Pixels of each image, for a model that sees. [none]")], None),
    "images": (Annotated[Text, option("N", "Images of a sequence; max-length counts their tokens. [1]")], None),
    "freeze_vision_tower": (
        Annotated[
            bool, typer.Option("--freeze-vision-tower", help="The language model alone is trained, or has adapters.")
        ],
        False,
    ),
    "vit_gradient_checkpointing": (
        Annotated[
            bool | None,
            typer.Option(
                "--vit-gradient-checkpointing/--no-vit-gradient-checkpointing",
                help="The tower's layers are recomputed. [where any layer is]",
                show_default=False,
            ),
        ],
        None,
    ),
    "reference": (
        Annotated[
            Text,
            option("adapter_off|model|precomputed", "Dpo: who says what was likely before. [adapter_off; full: model]"),
        ],
        None,
    ),
    "reference_bits": (Annotated[Text, option("4|8", "Dpo: of a frozen copy. [as the weights are]")], None),
    "max_new_tokens": (Annotated[Text, option("N", "Generate: tokens written after each prompt. [128]")], None),
    "num_beams": (Annotated[Text, option("N", "Generate: answers that are followed side by side. [1]")], None),
    "cache_implementation": (
        Annotated[Text, option("dynamic|fp8|static", "Generate: how keys and values are kept. [dynamic]")],
        None,
    ),
    "base": (Annotated[bool, typer.Option("--base", help="Generate: without the method's adapters.")], False),
    "trust_remote_code": (
        Annotated[bool, typer.Option("--trust-remote-code", help="Run code of the model's folder.")],
        False,
    ),
}
"""By the name of the key: type and help, and what it is where it is not given."""


def with_recipe(command: Callable[..., None], without: Collection[str] = ()) -> Callable[..., None]:
    """A command that takes all of them but some, in the place of its `**recipe`."""
    taken = {name: told for name, told in RECIPE.items() if name not in without}
    signature = inspect.signature(command, eval_str=True)
    own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
    first = [one for one in own if one.kind is not inspect.Parameter.KEYWORD_ONLY]
    last = [one for one in own if one.kind is inspect.Parameter.KEYWORD_ONLY]
    made = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for name, (annotation, default) in taken.items()
    ]
    command.__signature__ = signature.replace(parameters=[*first, *made, *last])  # type: ignore[attr-defined]
    command.__annotations__ |= {name: annotation for name, (annotation, _) in taken.items()}
    command.__annotations__.pop("recipe", None)
    return command


def job_keys(ctx: typer.Context) -> set[str]:
    """A job's keys that a command lists."""
    from dataclasses import fields

    from finefit.nouns.job import Job

    return {field.name for field in fields(Job)} & ctx.params.keys()


def listed(ctx: typer.Context) -> dict[str, str]:
    """The options that Typer lists and the user gave, as words."""
    keys = job_keys(ctx)
    given = {key: value for key, value in ctx.params.items() if key in keys and _is_given(key, value)}
    return {key.replace("_", "-"): _word(value) for key, value in given.items()}


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_given(key: str, value: object) -> bool:
    """A switch that is not there is off; of some, it may be said."""
    return value is not None and (value is not False or key in SAID_OFF)
