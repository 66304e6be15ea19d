"""What a model answers: conversations in, tokens out, one at a time or several side by side.

Knows: the model's own generation config where nothing else is asked; every token that ends an answer. Does not know:
how a batch's padding rounds. In 32 bits the likeliest token is the same beside neighbours; in 16 bits two near ones may
change places.

Orders: those of `prompts`; model (as for training), device, max_new_tokens, temperature (0: always the likeliest token;
null: as the model's own generation config says), top_p, top_k, repetition_penalty (null: the same), seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import StoppingCriteriaList

from finefit.errors import BadInput, Problem, RunFailed

from .prompts import Prompt, Reader
from .saved import load

SAMPLED = ("temperature", "top_p", "top_k")
"""They mean nothing where the likeliest token is always taken."""


def model_of(orders: dict[str, Any]) -> Any:
    return load(orders["model"], Path(orders["adapter"]) if orders["adapter"] else None, orders["device"])


def refuse_long(prompts: Sequence[Prompt], config: Any) -> None:
    """Prompts that leave no room for an answer, all of them."""
    limit = limit_of(config)
    long = [prompt for prompt in prompts if prompt.tokens >= limit]
    if long:
        why = f"the model has {limit:.0f} positions (max_position_embeddings)"
        raise BadInput(*(Problem(f"the prompt has {prompt.tokens} tokens", prompt.where, why) for prompt in long))


def limit_of(config: Any) -> float:
    return getattr(config.get_text_config(), "max_position_embeddings", None) or float("inf")


def answered(
    model: Any,
    reader: Reader,
    prompts: Sequence[Prompt],
    orders: dict[str, Any],
    streamer: Any = None,
    stop: Any = None,
) -> list[list[int]]:
    """The tokens of each answer with the one that ends it, padded on the left while they are written. Raises `BadInput`
    where an image cannot be read."""
    ends = ends_of(model, reader.tokenizer)
    inputs = {name: _to(tensor, model) for name, tensor in reader.inputs(prompts).items()}
    longest = inputs["input_ids"].shape[1]
    room = limit_of(model.config) - longest
    if room < 1:
        raise RunFailed(f"{prompts[0].where}: the model's processor makes {longest} tokens: no answer has room")
    with torch.no_grad():
        written = model.generate(
            **inputs,
            max_new_tokens=int(min(orders["max_new_tokens"], room)),
            eos_token_id=ends,
            pad_token_id=reader.pad,
            streamer=streamer,
            stopping_criteria=StoppingCriteriaList([stop] if stop else []),
            **_words(orders),
        )
    return [_until(row, set(ends)) for row in written[:, longest:].tolist()]


def text_of(tokenizer: Any, tokens: list[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()


def ends_of(model: Any, tokenizer: Any) -> list[int]:
    """Every token that either the model or the tokenizer says ends an answer."""
    said = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])}
    return sorted(token for token in ends if token is not None)


def _to(tensor: torch.Tensor, model: Any) -> torch.Tensor:
    """Where the model is; pixels in the dtype of its weights."""
    return tensor.to(model.device, model.dtype) if tensor.is_floating_point() else tensor.to(model.device)


def _words(orders: dict[str, Any]) -> dict[str, Any]:
    """For `generate`, in its own names; what is not among them is the model's own."""
    given = {name: orders.get(name) for name in (*SAMPLED, "repetition_penalty")}
    if given["temperature"] == 0:
        return _given({"repetition_penalty": given["repetition_penalty"]}) | {
            "do_sample": False,
            **dict.fromkeys(SAMPLED),
        }
    return _given(given) | ({"do_sample": True} if any(given[name] for name in SAMPLED) else {})


def _given(words: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in words.items() if value is not None}


def _until(tokens: list[int], ends: set[int]) -> list[int]:
    first = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
    return tokens[: first + 1]
