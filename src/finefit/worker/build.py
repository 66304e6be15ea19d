"""From orders to a trainer: the one way in which models are built, in a rehearsal and in a run.

Orders are plain dicts, written by `finefit.lower`:
    model:   config (dict), folder (str or None), dtype, attn_implementation, trust_remote_code,
             quantization (BitsAndBytesConfig's arguments, or None), prepare (PEFT's casts for it)
    peft:    LoraConfig's arguments, or None for full fine-tuning
    adapter_dtype: of what is trained beside frozen weights
    trainer: SFTConfig's arguments
    gradient_checkpointing: "all", or how many of the first blocks
    tower:   frozen, checkpointed (None: where a block is): of a model that sees
    loss:    "fused" or "full"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText, PretrainedConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from .bends.config_dict import config_from_dict
from .bends.cpu_packing import keep_trainable_layout
from .quantized import bnb_config, prepared, quantize_empty, take_packing
from .stage import blocks_of
from .tower import checkpoint_tower, freeze, without_tower

Tower = Mapping[str, bool | None]
AS_THE_REST: Tower = {"frozen": False, "checkpointed": None}


def model_class(config: PretrainedConfig) -> Any:
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    return AutoModelForCausalLM if known else AutoModelForImageTextToText


def read_config(orders: dict[str, Any]) -> PretrainedConfig:
    """Without what a checkpoint says of its own quantisation: the orders say it."""
    return _found_config(orders)[0]


def _found_config(orders: dict[str, Any]) -> tuple[PretrainedConfig, bool]:
    """And whether the checkpoint is quantised already."""
    if orders["folder"]:
        config = AutoConfig.from_pretrained(orders["folder"], trust_remote_code=orders["trust_remote_code"])
    else:
        config = config_from_dict(orders["config"])
    return config, take_packing(config)


def load_model(orders: dict[str, Any]) -> Any:
    """Real weights, from a folder. Those that are quantised already stay so: the orders' words replace their own."""
    config, is_packed = _found_config(orders)
    words = bnb_config(orders["quantization"]) if orders["quantization"] else None
    if is_packed and words:
        config.quantization_config = words.to_dict()
    model = model_class(config).from_pretrained(
        orders["folder"],
        config=config,
        quantization_config=None if is_packed else words,
        dtype=getattr(torch, orders["dtype"]),
        attn_implementation=orders["attn_implementation"],
        trust_remote_code=orders["trust_remote_code"],
        use_safetensors=True,
    )
    return keep_trainable_layout(prepared(model)) if words else model


def new_model(orders: dict[str, Any]) -> Any:
    """With weights as the model's own initialisation draws them."""
    return _made_of(read_config(orders), orders)


def _made_of(config: PretrainedConfig, orders: dict[str, Any]) -> Any:
    return model_class(config).from_config(
        config,
        dtype=getattr(torch, orders["dtype"]),
        attn_implementation=orders["attn_implementation"],
        trust_remote_code=orders["trust_remote_code"],
    )


def empty_model(orders: dict[str, Any], config: PretrainedConfig) -> nn.Module:
    """No weights at all: tensors on the meta device."""
    with torch.device("meta"):
        model = _made_of(config, orders)
    if orders["quantization"] is None:
        return model
    model = quantize_empty(model, orders["quantization"])
    return prepared(model) if orders["prepare"] else model


def tower_of(orders: dict[str, Any]) -> Tower:
    return orders.get("tower", AS_THE_REST)


def add_adapter(model: nn.Module, peft: dict[str, Any] | None, tower: Tower = AS_THE_REST) -> nn.Module:
    if tower["frozen"]:
        freeze(model)
    if peft is None:
        return model
    if tower["frozen"]:
        peft = without_tower(model, peft)
    return get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **peft))


def cast_adapters(model: nn.Module, dtype: str | None) -> None:
    """Casts what is trained; None leaves it as the trainer made it.

    TRL makes adapters beside quantised weights bfloat16, also their moments; a resumed run would have them in float32.
    """
    if dtype is not None:
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.to(getattr(torch, dtype))


def checkpoint_blocks(model: Any, count: int | str, has_adapter: bool, tower: Tower = AS_THE_REST) -> int:
    """Checkpoints the first `count` blocks ("all": every one); returns how many that is.

    The first ones, because a late block that is kept is freed before an early one is recomputed.
    """
    blocks = blocks_of(model)
    number = len(blocks) if count == "all" else min(int(count), len(blocks))
    if number == 0 and not tower["checkpointed"]:
        return 0
    base = model.get_base_model() if has_adapter else model
    enable = getattr(base, "activation_checkpointing_enable", None) or base.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    if has_adapter:
        model.enable_input_require_grads()
    for index, block in enumerate(blocks):
        block.gradient_checkpointing = index < number
    if tower["checkpointed"] is not None:
        checkpoint_tower(model, tower["checkpointed"])
    return number
