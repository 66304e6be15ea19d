"""Answers of a model to many prompts.

Orders: those of `answers`; conversations (lists of messages), where (of each, what to call it), added (of each, tokens
that its images add; may be missing), batch, lines (a file, or null). Out: {"texts", "tokens", "seconds"}.

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

from .answers import answered, model_of, refuse_long, text_of
from .build import read_config
from .events import teller
from .prompts import Prompt, Reader


def main(orders_path: str, out_path: str) -> None:
    result = generate(json.loads(Path(orders_path).read_text()))
    Path(out_path).write_text(json.dumps(result))


def generate(orders: dict[str, Any]) -> dict[str, Any]:
    reader = Reader(orders)
    conversations, added = orders["conversations"], orders.get("added") or [0] * len(orders["conversations"])
    prompts = [reader.prompt(*each) for each in zip(conversations, orders["where"], added, strict=True)]
    refuse_long(prompts, read_config(orders["model"]))
    started = time.perf_counter()
    if orders["lines"] is None:
        done = list(_answers(orders, reader, prompts, 0))
    else:
        done = _appended(orders, reader, prompts, Path(orders["lines"]))
    return {
        "texts": [answer["text"] for answer in done],
        "tokens": sum(answer["tokens"] for answer in done),
        "seconds": time.perf_counter() - started,
    }


def _answers(orders: dict[str, Any], reader: Reader, prompts: list[Prompt], first: int) -> Iterator[dict[str, Any]]:
    """From the batch that prompt number `first` begins."""
    if first >= len(prompts):
        return
    model, say = model_of(orders), teller(orders)
    for start in range(first, len(prompts), orders["batch"]):
        set_seed(orders["seed"] + start)
        for tokens in answered(model, reader, prompts[start : start + orders["batch"]], orders):
            yield {"text": text_of(reader.tokenizer, tokens), "tokens": len(tokens)}
        say(f"{min(start + orders['batch'], len(prompts)):,} of {len(prompts):,} answered")


def _appended(orders: dict[str, Any], reader: Reader, prompts: list[Prompt], path: Path) -> list[dict[str, Any]]:
    with path.open("a+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise RunFailed(f"another process is writing {path}") from None
        done = _whole_batches(file, orders["batch"])
        for answer in _answers(orders, reader, prompts, len(done)):
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
