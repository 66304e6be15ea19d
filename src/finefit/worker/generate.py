"""Answers of a model, with its adapter or without.

Orders: model (as for training), adapter (folder or null), device, conversations (lists of messages), max_new_tokens,
temperature (0: always the likeliest token), seed. Out: {"texts", "tokens", "seconds"}.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, set_seed

from finefit.errors import BadInput, Problem

from .saved import load


def main(orders_path: str, out_path: str) -> None:
    result = generate(json.loads(Path(orders_path).read_text()))
    Path(out_path).write_text(json.dumps(result))


def generate(orders: dict[str, Any]) -> dict[str, Any]:
    adapter = Path(orders["adapter"]) if orders["adapter"] else None
    tokenizer = AutoTokenizer.from_pretrained(adapter or orders["model"]["folder"])
    if tokenizer.chat_template is None:
        raise BadInput(Problem("the tokenizer has no chat template", where=str(tokenizer.name_or_path)))
    model = load(orders["model"], adapter, orders["device"])
    set_seed(orders["seed"])
    started = time.perf_counter()
    answers = [_answer(model, tokenizer, messages, orders) for messages in orders["conversations"]]
    return {
        "texts": [tokenizer.decode(answer, skip_special_tokens=True).strip() for answer in answers],
        "tokens": sum(len(answer) for answer in answers),
        "seconds": time.perf_counter() - started,
    }


def _answer(model: Any, tokenizer: Any, messages: list[dict[str, Any]], orders: dict[str, Any]) -> list[int]:
    """One conversation at a time: in a padded batch an answer could depend on its neighbours."""
    prompt = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    ).to(model.device)
    sampled = {"do_sample": True, "temperature": orders["temperature"]} if orders["temperature"] else {}
    with torch.no_grad():
        tokens = model.generate(
            input_ids=prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            max_new_tokens=orders["max_new_tokens"],
            eos_token_id=_ends(model, tokenizer),
            pad_token_id=tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id,
            **({"do_sample": False, "temperature": None, "top_p": None, "top_k": None} | sampled),
        )
    answer: list[int] = tokens[0, prompt["input_ids"].shape[1] :].tolist()
    return answer


def _ends(model: Any, tokenizer: Any) -> list[int]:
    """Every token that either the model or the tokenizer says ends an answer."""
    said = model.generation_config.eos_token_id
    ends = {tokenizer.eos_token_id, *(said if isinstance(said, list) else [said])}
    return sorted(token for token in ends if token is not None)
