"""Answers of a model to many prompts.

Orders: those of `answers`; conversations (lists of messages), where (of each, what to call it), batch, lines (a file,
or null). Out: {"texts", "tokens", "seconds"}.

With `lines`, answers are appended to that file, one JSON object a line, and those that are in it already are not
written again: what was killed goes on where it was. Each batch is drawn from a seed of its own, so that it is the same.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from transformers import set_seed

from finefit.errors import RunFailed

from .answers import answered, model_of, prompt_of, refuse_long, text_of, tokenizer_of
from .build import read_config
from .events import teller


def main(orders_path: str, out_path: str) -> None:
    result = generate(json.loads(Path(orders_path).read_text()))
    Path(out_path).write_text(json.dumps(result))


def generate(orders: dict[str, Any]) -> dict[str, Any]:
    tokenizer = tokenizer_of(orders)
    prompts = [prompt_of(tokenizer, messages) for messages in orders["conversations"]]
    refuse_long(prompts, orders["where"], read_config(orders["model"]))
    started = time.perf_counter()
    if orders["lines"] is None:
        done = list(_answers(orders, tokenizer, prompts, 0))
    else:
        done = _appended(orders, tokenizer, prompts, Path(orders["lines"]))
    return {
        "texts": [answer["text"] for answer in done],
        "tokens": sum(answer["tokens"] for answer in done),
        "seconds": time.perf_counter() - started,
    }


def _answers(orders: dict[str, Any], tokenizer: Any, prompts: list[list[int]], first: int) -> Iterator[dict[str, Any]]:
    """From the batch that prompt number `first` begins."""
    if first >= len(prompts):
        return
    model, say = model_of(orders), teller(orders)
    for start in range(first, len(prompts), orders["batch"]):
        set_seed(orders["seed"] + start)
        for tokens in answered(model, tokenizer, prompts[start : start + orders["batch"]], orders):
            yield {"text": text_of(tokenizer, tokens), "tokens": len(tokens)}
        say(f"{min(start + orders['batch'], len(prompts)):,} of {len(prompts):,} answered")


def _appended(orders: dict[str, Any], tokenizer: Any, prompts: list[list[int]], path: Path) -> list[dict[str, Any]]:
    with path.open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFailed(f"another process is writing {path}") from None
        done = _whole_batches(file, orders["batch"])
        for answer in _answers(orders, tokenizer, prompts, len(done)):
            file.write(json.dumps(answer).encode() + b"\n")
            file.flush()
            done.append(answer)
    return done


def _whole_batches(file: BinaryIO, batch: int) -> list[dict[str, Any]]:
    """What is there already; the rest of a torn batch is cut off."""
    file.seek(0)
    lines = [line for line in file.read().splitlines(keepends=True) if line.endswith(b"\n")]
    kept = lines[: len(lines) // batch * batch]
    file.truncate(sum(map(len, kept)))
    return [json.loads(line) for line in kept]
