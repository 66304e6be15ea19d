"""From the recording of an answer to its ledger.

Knows: the prompt, the cache that grows with every token, and what reading and writing take beside it; what the
allocator reserves for one answer that nothing came before.
Does not know: how runs that write lay around our figures, since nobody has published any: the spread of those that
train stands for them. Nor what other prompts did before: their blocks may not fit.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from finefit.nouns.knobs import Knobs
from finefit.nouns.ledger import Ledger
from finefit.nouns.machine import Gpu, Machine
from finefit.nouns.model import Model
from finefit.nouns.packed import packed_in
from finefit.nouns.range import Reason, around
from finefit.nouns.recording import Recording
from finefit.nouns.task import Generate
from finefit.tape.allocator import Settings, replay
from finefit.tape.peaks import alive_at, moments

from .ledger import ledger_of
from .load import WIDTH, Loading, loaded
from .reserved import Served, beside_tensors, served_as, with_smallest
from .trust import method_reason
from .why import CACHE, Shapes

REWORDED = {"batch": "token ids and mask of the prompt"}
FP8_WIDTH = 1


def ledger_of_answer(recording: Recording, model: Model, knobs: Knobs, machine: Machine, task: Generate) -> Ledger:
    text = model.config.get("text_config") or model.config
    rows = knobs.per_device_train_batch_size * task.num_beams
    shapes = Shapes(
        parameters=recording.parameters,
        trainable_parameters=recording.trainable_parameters,
        micro_batch=rows,
        length=1,  # the head reads the last token of each row alone
        hidden=model.hidden_size,
        vocabulary=text.get("vocab_size", model.config.get("vocab_size")),
        weight_dtype=knobs.dtype,
        optim="",
        has_tower="vision_config" in model.config,
    )
    served = None if machine.gpu is None else _served(recording, knobs, machine.gpu, packed_in(model) is not None)
    ledger = ledger_of(recording, shapes, served)
    width = FP8_WIDTH if task.cache == "fp8" else WIDTH[knobs.dtype]
    words = REWORDED | {CACHE: cache_words(_cached_at_the_peak(recording, served), text, rows, width)}
    lines = tuple(replace(line, why=words.get(line.what) or line.why) for line in ledger.lines)
    return replace(ledger, lines=lines, moments={})


# What the allocator reserves


STEPS_LEFT_OUT = 0.005
"""Of what is reserved: so much more at most did all steps reserve than those that are played (`tape/generation.py`)."""
BEFORE = 1.0
"""Of what is reserved beside the weights."""


def _served(recording: Recording, knobs: Knobs, gpu: Gpu, is_packed: bool) -> Served:
    settings = Settings(expandable_segments=knobs.expandable_segments)
    history = loaded(recording, knobs.dtype, Loading(is_packed=is_packed))
    alone = replay(history.events, history.nbytes, settings)
    typical = alone.peak_reserved_bytes
    method = method_reason(typical, alone.peak_allocated_bytes, knobs)
    method = replace(method, basis="guessed", why=f"{method.why}; they trained, and none wrote")
    reserved = around(typical, (_before(typical, recording), _left_out(typical), method))
    served = served_as(reserved, beside_tensors(gpu, None), alone, len(recording.nbytes))
    return with_smallest(served, alone, history, settings, gpu)


def _before(typical: int, recording: Recording) -> Reason:
    """`typical`: of one answer alone."""
    held = sum(
        nbytes
        for nbytes, kind in zip(recording.nbytes, recording.kinds, strict=True)
        if recording.kind_names[kind][1] == "load"
    )
    why = (
        "an answer to a shorter prompt before it leaves blocks that are too small; at most as much again as is "
        "reserved beside the weights"
    )
    return Reason("other prompts before it", 0, int(BEFORE * max(0, typical - held)), "guessed", why)


def _left_out(typical: int) -> Reason:
    why = "some steps stand for all: all of them reserved 0.1 % less to 0.5 % more in eight other answers"
    return Reason("steps between", 0, int(STEPS_LEFT_OUT * typical), "derived", why)


# What the cache is


def _cached_at_the_peak(recording: Recording, served: Served | None) -> Counter[int]:
    """How many storages of the cache have so many bytes."""
    granted = recording if served is None else replace(recording, nbytes=served.granted_bytes)
    _, highest = max(moments(granted), key=lambda pair: pair[1].nbytes)
    alive = alive_at(recording, highest.position)
    kinds = {kind for kind, name in enumerate(recording.kind_names) if name[0] == "cache"}
    return Counter(recording.nbytes[number - 1] for number in alive if recording.kinds[number - 1] in kinds)


def cache_words(cached: Mapping[int, int], config: Mapping[str, Any], rows: int, width: int) -> str:
    """The arithmetic of keys and values; nothing where a token of a layer has other bytes than heads say."""
    heads = config.get("num_key_value_heads") or config.get("num_attention_heads") or config.get("n_head")
    hidden = config.get("hidden_size") or config.get("n_embd")
    queries = config.get("num_attention_heads") or config.get("n_head")
    if not (cached and heads and hidden and queries):
        return ""
    head = config.get("head_dim") or hidden // queries
    token = rows * heads * head * width
    if any(nbytes % token for nbytes in cached):
        return ""
    tokens = Counter({nbytes // token: count for nbytes, count in cached.items()})
    longest = max(tokens)
    windows = {length: count for length, count in tokens.items() if length < longest - 1}
    layers = config.get("num_hidden_layers") or config.get("n_layer") or 0
    kept = "".join(f"; of {count // 2} layers {length:,} tokens" for length, count in sorted(windows.items()))
    again = "; one layer's before it grew is still there" if tokens.total() > 2 * layers else ""
    of_rows = f" × {rows} rows" if rows > 1 else ""
    return f"2 × {layers} layers × {longest:,} tokens × {heads} heads × {head}{of_rows} × {width} bytes{kept}{again}"
