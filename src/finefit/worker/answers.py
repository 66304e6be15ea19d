"""What a model answers: conversations in, tokens out, one at a time or several side by side.

Knows: the chat template of the tokenizer that was trained with; the model's own generation config where nothing else is
asked; every token that ends an answer. Does not know: how a batch's padding rounds. In 32 bits the likeliest token is
the same beside neighbours; in 16 bits two near ones may change places.

Orders: model (as for training), adapter (folder or null), device, max_new_tokens, temperature (0: always the likeliest
token; null: as the model's own generation config says), top_p, top_k, repetition_penalty (null: the same), seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, StoppingCriteriaList

from finefit.errors import BadInput, Problem

from .saved import load

SAMPLED = ("temperature", "top_p", "top_k")
"""They mean nothing where the likeliest token is always taken."""

Prompt = list[int]


def tokenizer_of(orders: dict[str, Any]) -> Any:
    """The one that was trained with; it must know how a conversation is written."""
    tokenizer = AutoTokenizer.from_pretrained(orders["adapter"] or orders["model"]["folder"])
    if tokenizer.chat_template is None:
        raise BadInput(Problem("the tokenizer has no chat template", where=str(tokenizer.name_or_path)))
    return tokenizer


def model_of(orders: dict[str, Any]) -> Any:
    return load(orders["model"], Path(orders["adapter"]) if orders["adapter"] else None, orders["device"])


def prompt_of(tokenizer: Any, messages: list[dict[str, Any]]) -> Prompt:
    written: Prompt = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]
    return written


def refuse_long(prompts: Sequence[Prompt], where: Sequence[str], config: Any) -> None:
    """Prompts that leave no room for an answer, all of them."""
    limit = limit_of(config)
    long = [(len(prompt), place) for prompt, place in zip(prompts, where, strict=True) if len(prompt) >= limit]
    if long:
        why = f"the model has {limit:.0f} positions (max_position_embeddings)"
        raise BadInput(*(Problem(f"the prompt has {tokens} tokens", place, why) for tokens, place in long))


def limit_of(config: Any) -> float:
    return getattr(config.get_text_config(), "max_position_embeddings", None) or float("inf")


def answered(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Prompt],
    orders: dict[str, Any],
    streamer: Any = None,
    stop: Any = None,
) -> list[list[int]]:
    """The tokens of each answer with the one that ends it, padded on the left while they are written."""
    ends, pad = ends_of(model, tokenizer), _pad(tokenizer)
    longest = max(map(len, prompts))
    padding = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[pad] * left + prompt for left, prompt in zip(padding, prompts, strict=True)])
    mask = torch.tensor([[0] * left + [1] * (longest - left) for left in padding])
    with torch.no_grad():
        written = model.generate(
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            max_new_tokens=int(min(orders["max_new_tokens"], limit_of(model.config) - longest)),
            eos_token_id=ends,
            pad_token_id=pad,
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


def _pad(tokenizer: Any) -> int:
    """Any token will do where nothing looks at it."""
    found = (tokenizer.pad_token_id, tokenizer.eos_token_id)
    return next((token for token in found if token is not None), 0)


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
