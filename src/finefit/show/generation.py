"""A model that writes, in words and for JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, assert_never

from finefit.nouns.estimate import Estimate
from finefit.nouns.method import Full, LoRA, Method, QLoRA
from finefit.nouns.task import Cache, Generate

from .words import adapter_name, adapter_words, base_words, count_words


def heading(method: Method, task: Generate) -> str:
    match method:
        case Full():
            return "generation"
        case LoRA():
            return f"generation with {adapter_name(method)} {adapter_words(method)}"
        case QLoRA() if task.base:
            return f"generation, weights in {base_words(method)}"
        case QLoRA():
            name = adapter_name(method).removeprefix("Q")
            return f"generation with {name} {adapter_words(method)}, base in {base_words(method)}"
        case _:
            assert_never(method)


def facts(estimate: Estimate, task: Generate) -> dict[str, str]:
    knobs, ledger = estimate.knobs, estimate.ledger
    beams = f", {task.num_beams} beams" if task.num_beams > 1 else ""
    segments = ", expandable segments" if knobs.expandable_segments else ""
    return {
        "parameters": count_words(ledger.parameters),
        "prompts": f"{knobs.per_device_train_batch_size} × {knobs.max_length} tokens",
        "written": f"{task.max_new_tokens} tokens after each{beams}",
        "cache": cache_words(task.cache),
        "precision": f"{knobs.dtype} weights",
        "kernels": f"{knobs.attn_implementation} attention{segments}",
    }


def cache_words(cache: Cache) -> str:
    match cache:
        case "dynamic":
            return "dynamic: it grows with every token"
        case "fp8":
            return "quantised: 8 bits of floating point, grows with every token"
        case "static":
            return "static: as long as prompt and answer from the beginning, not compiled"
        case _:
            assert_never(cache)


def recipe(estimate: Estimate, task: Generate) -> dict[str, Any]:
    knobs = estimate.knobs
    names = ("max_length", "per_device_train_batch_size", "dtype", "attn_implementation", "expandable_segments")
    words = {("cache_implementation" if name == "cache" else name): value for name, value in asdict(task).items()}
    return {**{name: getattr(knobs, name) for name in names}, **words}
