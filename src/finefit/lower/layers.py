"""What kind each layer of a model is, read from its configuration, before any library is.

Knows: lists with an entry a layer, and the numbers from which transformers makes such lists. A rehearsal holds it
against the layers that are built (`worker/layers.py`): what is not known here is found there, and rehearsed whole.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from finefit.nouns.knobs import Knobs
from finefit.nouns.model import Model
from finefit.tape.layers import Kept, Layers, kept_of

LISTS = ("layer_types", "mlp_layer_types", "no_rope_layers", "layers_block_type", "block_types")
"""An entry a layer."""
NUMBERS: Mapping[str, Callable[[Any, int], Hashable]] = {
    "sliding_window_pattern": lambda value, place: (place + 1) % value == 0,
    "no_rope_layer_interval": lambda value, place: (place + 1) % value == 0,
    "full_attention_interval": lambda value, place: (place + 1) % value == 0,
    "decoder_sparse_step": lambda value, place: (place + 1) % value == 0,
    "interleave_moe_layer_step": lambda value, place: (place + 1) % value == 0,
    "first_k_dense_replace": lambda value, place: place < value,
    "mlp_only_layers": lambda value, place: place in value,
}
"""How a layer's number tells (transformers 5.23, the models' configuration_*.py)."""
DEFAULTS: Mapping[str, Mapping[str, int]] = {
    "gemma2": {"sliding_window_pattern": 2},
    "gemma3_text": {"sliding_window_pattern": 6},
    "gemma3": {"sliding_window_pattern": 6},
    "smollm3": {"no_rope_layer_interval": 4},
    "cohere2": {"sliding_window_pattern": 4},
    "gpt_oss": {"sliding_window_pattern": 2},
    "olmo3": {"sliding_window_pattern": 4},
    "qwen3_next": {"full_attention_interval": 4},
    "llama4_text": {"no_rope_layer_interval": 4},
}
"""Where a configuration says nothing, by its model type (same source)."""

DEEPSTACK = ("qwen3_vl", "qwen3_vl_moe")
DEEPSTACK_DEFAULT = (8, 16, 24)
"""transformers 5.23, models/qwen3_vl/configuration_qwen3_vl.py."""


def layers_of(model: Model, knobs: Knobs) -> Layers:
    """One letter a layer, capital where it is checkpointed: the first ones are."""
    asked, kinds = knobs.gradient_checkpointing, layer_kinds(model)
    count = model.layers if asked == "all" else min(asked, model.layers)
    letters = {kind: chr(ord("a") + number) for number, kind in enumerate(dict.fromkeys(kinds))}
    return "".join(letters[kind].upper() if place < count else letters[kind] for place, kind in enumerate(kinds))


def told(layers: Layers, recorded: Sequence[Kept]) -> list[list[Any] | None]:
    """As the worker is told of each recording: the numbers of the layers, and how many of them are checkpointed; None
    for all layers, where no few stand for them."""
    return [[list(kept), sum(map(str.isupper, kept_of(layers, kept)))] for kept in recorded] or [None]


Kind = tuple[str, ...]


def layer_kinds(model: Model) -> list[Kind]:
    """Of each layer, what tells it from others."""
    text = model.config.get("text_config") or model.config
    facts = {**DEFAULTS.get(text.get("model_type", ""), {}), **text}
    lists = [facts[key] for key in LISTS if _is_list_of(facts.get(key), model.layers)]
    shown = _shown_again(model)
    numbers = [(rule, facts[key]) for key, rule in NUMBERS.items() if facts.get(key) not in (None, 0)]
    return [
        (
            *(str(entries[place]) for entries in lists),
            *(str(rule(value, place)) for rule, value in numbers),
            *((str(place < shown),) if shown else ()),
        )
        for place in range(model.layers)
    ]


def _shown_again(model: Model) -> int:
    """After so many of the first layers what the tower saw midway is added (Qwen3-VL's deepstack)."""
    if model.config.get("model_type") not in DEEPSTACK:
        return 0
    return len((model.config.get("vision_config") or {}).get("deepstack_visual_indexes", DEEPSTACK_DEFAULT))


def _is_list_of(value: Any, count: int) -> bool:
    return isinstance(value, list) and len(value) == count
