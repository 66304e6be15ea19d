"""All that a recording depends on. What a tape answers by itself (micro-batch, length, rank, accumulation, number of
layers) is not part of its key, nor what costs no memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from finefit.lower.layers import LISTS, layer_kinds, layers_of
from finefit.lower.orders import base_orders, rehearsal_orders
from finefit.lower.preferences import task_orders
from finefit.nouns.images import Images
from finefit.nouns.knobs import Knobs
from finefit.nouns.loop import Loop
from finefit.nouns.machine import Machine
from finefit.nouns.method import Full, Method
from finefit.nouns.model import Model
from finefit.nouns.recording import Recording
from finefit.nouns.task import DPO, ROWS, SHORTEST_PAIR, Training, sequences_of
from finefit.tape.layers import Kept, Layers, few_of, kept_of
from finefit.tape.micro_batches import RECORDED
from finefit.tape.sizes import DOCUMENTS, Point
from finefit.tape.tape import Bounds, Take

OURS = Loop()
AS_THE_REST = {"frozen": False, "checkpointed": None}
"""A tower that is trained and checkpointed as the language model is."""
FREE_CONFIG = {
    "_name_or_path", "transformers_version", "torch_dtype", "dtype", "use_cache", "initializer_range", "bos_token_id",
    "eos_token_id", "pad_token_id", "architectures", "rope_theta", "tokenizer_class", "pretraining_tp",
    "quantization_config",
}  # fmt: skip
"""Keys of a configuration that change no tensor of a training step, or that the orders say in their own words."""
FREE_TRAINER = {
    "per_device_train_batch_size", "gradient_accumulation_steps", "use_cpu", "max_length", "gradient_checkpointing",
    "report_to", "disable_tqdm", "bf16", "fp16",
}  # fmt: skip
HALF = {"float16": "bfloat16"}
"""What has the same width has the same tape."""
SMALL_PRODUCT_TOKENS = 512
"""Up to so many rows a 4-bit product may run without a dequantised copy (`worker/rules/bitsandbytes.py`)."""

SORTED_TOKENS = 3072
"""From more tokens on an embedding's gradient is sorted (`worker/rules/kernels.py`); it has at most a row a word."""


@dataclass(frozen=True)
class Recipe:
    model: Model
    method: Method
    knobs: Knobs
    machine: Machine
    loop: Loop = OURS
    trust_remote_code: bool = False
    images: Images | None = None
    # of every row
    task: Training = ROWS

    @property
    def point(self) -> Point:
        rank = 0 if isinstance(self.method, Full) else self.method.r
        documents = DOCUMENTS if self.knobs.packing else 1
        sequences = sequences_of(self.task)
        return Point(self.knobs.sequences, self.knobs.length, rank, sequences=sequences, documents=documents)

    @property
    def least_length(self) -> int:
        """Of a row, so that its images have room, or its two answers."""
        if isinstance(self.task, DPO):
            return SHORTEST_PAIR
        images = self.orders["rehearsal"]["images"]
        return 1 if images is None else sum(images["runs"]) + len(images["runs"])

    @cached_property
    def layers(self) -> Layers:
        return layers_of(self.model, self.knobs)

    @cached_property
    def recorded(self) -> tuple[Kept, ...]:
        """The layers of each recording, where a few stand for all."""
        return few_of(self.layers)

    @property
    def accumulates_freely(self) -> bool:
        """A foreign loop that holds a micro-batch's outputs does not drop them as ours does."""
        return self.loop.hold_outputs == "no"

    @cached_property
    def orders(self) -> dict[str, Any]:
        """For a rehearsal at `point`, with two micro-batches where any number follows from them."""
        knobs = self.knobs.seen
        base = base_orders(self.model, self.method, knobs, self.machine, self.trust_remote_code)
        orders = rehearsal_orders(base, self.model, knobs, self.machine, self.loop, images=self.images)
        orders |= task_orders(self.task, self.model, self.method, self.knobs)
        if not self.accumulates_freely:
            return orders
        return orders | {"rehearsal": orders["rehearsal"] | {"accumulation": RECORDED}}

    @property
    def rank_is_free(self) -> bool:
        """bitsandbytes keeps small states unquantised, or unpaged, so sizes are no straight lines in the rank."""
        return "8bit" not in self.knobs.optim and "paged" not in self.knobs.optim

    @property
    def shape(self) -> str:
        """Which layers are checkpointed, as far as a tape is not free of it."""
        if not self.recorded:
            return f"whole-{self.knobs.gradient_checkpointing}"
        few = kept_of(self.layers, self.recorded[0])
        return "all" if few.isupper() else "none" if few.islower() else "first"

    @property
    def bounds(self) -> Bounds:
        config = self.model.config
        texts = [config, config.get("text_config") or {}]
        lengths = {bound for text in texts for bound in _length_bounds(text)} | set(self._image_bounds())
        packed = [self.orders["model"]["quantization"], self.orders.get("task", {}).get("quantization")]
        quantized = {SMALL_PRODUCT_TOKENS} if any(packed) else set()
        embedding = {SORTED_TOKENS, *(text["vocab_size"] for text in texts if "vocab_size" in text)}
        tokens = quantized | (embedding if isinstance(self.method, Full) else set())
        widest = max(map(_widest, texts)) if self.point.rank else 0
        return Bounds(tuple(sorted(lengths)), tuple(sorted(tokens)), (widest,) if widest else ())

    @property
    def has_few_tokens(self) -> bool:
        """Of a micro-batch, beside packed weights: these are unpacked for each anew, so it is faster only where it
        recomputes less."""
        return SMALL_PRODUCT_TOKENS in self.bounds.tokens and self.point.tokens <= SMALL_PRODUCT_TOKENS

    def _image_bounds(self) -> Iterator[int]:
        """Where a mask of the row is larger than the gradient of the images in it, of elements of two bytes and of four
        (`worker/rules/kernels.py`, masked_scatter backward)."""
        images = self.orders["rehearsal"]["images"]
        if images is not None:
            yield from (sum(images["runs"]) * width for width in (2, 4))

    @cached_property
    def key(self) -> str:
        """The same for recipes with the same tape."""
        orders, rehearsal = self.orders, self.orders["rehearsal"]
        trainer = {name: value for name, value in orders["trainer"].items() if name not in FREE_TRAINER}
        parts = {
            "layers": self._layers_key(),
            "model": _model_key(orders["model"], free_of_layers=bool(self.recorded)),
            "peft": self._peft_key(),
            "adapter_dtype": orders["adapter_dtype"],
            "trainer": trainer,
            "autocast": orders["trainer"]["bf16"] or orders["trainer"]["fp16"],
            "loss": orders["loss"],
            "device": orders["device"],
            "flash": tuple(rehearsal["compute_capability"]) >= (8, 0),
            "kernel": rehearsal["attention_kernel"],
            "hold_outputs": rehearsal["hold_outputs"],
        }
        if not self.accumulates_freely:
            parts["accumulation"] = rehearsal["accumulation"]
        if orders["tower"] != AS_THE_REST and "vision_config" in self.model.config:
            parts["tower"] = orders["tower"]
        if self.images is not None:  # the tower goes through the images one by one: each number is another history
            parts["images"] = [rehearsal["images"], self.point.batch]
        if "task" in orders:
            parts["task"] = orders["task"] | {"quantization": _at_half(orders["task"]["quantization"])}
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def _layers_key(self) -> list[Any]:
        """The recorded ones, and what tells their kinds apart."""
        if not self.recorded:
            return [self.layers]
        kinds = list(dict.fromkeys(layer_kinds(self.model)))
        return [kept_of(self.layers, self.recorded[0]), *(kinds if len(kinds) > 1 else ())]

    def _peft_key(self) -> dict[str, Any] | None:
        peft: dict[str, Any] | None = self.orders["peft"]
        if peft is None:
            return None
        rank = None if self.rank_is_free else peft["r"]
        tensors = {key: value for key, value in peft.items() if key != "use_rslora"}  # which is a scale, as alpha is
        return tensors | {"r": rank, "lora_alpha": None, "lora_dropout": peft["lora_dropout"] > 0}


def take_of(recipe: Recipe, point: Point, recordings: Sequence[Recording]) -> Take:
    """What was recorded of a recipe at a point: all of `recorded`, or the first of it alone, or every layer."""
    layers = tuple(kept_of(recipe.layers, kept) for kept in recipe.recorded) or (recipe.layers,)
    few, *more = recordings
    return Take(point, layers, few, tuple(more), is_whole=not recipe.recorded)


def _model_key(model: Mapping[str, Any], free_of_layers: bool) -> dict[str, Any]:
    free = FREE_CONFIG | ({"num_hidden_layers", "max_window_layers", *LISTS} if free_of_layers else set())
    flash_package = model["attn_implementation"] == "flash_attention_2"
    return {
        "config": _without(model["config"], free),
        "dtype": HALF.get(model["dtype"], model["dtype"]),
        "attention": "sdpa" if flash_package else model["attn_implementation"],
        "quantization": _at_half(model["quantization"]),
        "prepare": model["prepare"],
    }


def _at_half(quantization: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """What has the same width is the same."""
    if not quantization or "bnb_4bit_compute_dtype" not in quantization:
        return quantization
    compute = quantization["bnb_4bit_compute_dtype"]
    return {**quantization, "bnb_4bit_compute_dtype": HALF.get(compute, compute)}


def _without(config: Mapping[str, Any], free: set[str]) -> dict[str, Any]:
    """A configuration's keys that matter. How positions are scaled does not, where no length changes it."""
    if not _scales_by_length(config) and "n_positions" not in config:
        free = free | {"max_position_embeddings", "rope_scaling", "rope_parameters"}
    return {
        name: _without(value, FREE_CONFIG if name == "vision_config" else free) if isinstance(value, Mapping) else value
        for name, value in config.items()
        if name not in free and value is not None
    }


def _rope(config: Mapping[str, Any]) -> Mapping[str, Any]:
    return config.get("rope_scaling") or config.get("rope_parameters") or {}


def _scales_by_length(config: Mapping[str, Any]) -> bool:
    rope = _rope(config)
    return rope.get("rope_type", rope.get("type")) in ("longrope", "dynamic")


def _length_bounds(config: Mapping[str, Any]) -> list[int]:
    """Lengths beyond which the model runs otherwise; a window is exceeded at its own length (masking_utils)."""
    window = config.get("sliding_window") if config.get("use_sliding_window", True) else None
    original = "original_max_position_embeddings"
    scaled_from = config.get(original) or _rope(config).get(original)
    found = [
        window and window - 1,
        config.get("attention_chunk_size"),
        scaled_from if _scales_by_length(config) else None,
    ]
    return [bound for bound in found if isinstance(bound, int)]


FUSED_GATES = {"phi3", "phimoe", "glm", "glm4"}
"""Model types whose feed-forward network has one matrix for two, `gate_up_proj` (transformers 5.23)."""


def _widest(config: Mapping[str, Any]) -> int:
    """Of the matrices inside a layer."""
    heads, head = config.get("num_attention_heads") or 1, config.get("head_dim") or 0
    inner = config.get("intermediate_size") or config.get("n_inner") or 4 * (config.get("n_embd") or 0)
    fused = 2 if config.get("model_type") in FUSED_GATES else 1
    return max(0, heads * head, fused * inner, config.get("hidden_size") or 0)
