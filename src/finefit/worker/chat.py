"""A model that stays loaded and answers as it is asked: one JSON object a line, in both directions.

In:   {"answer": 3, "messages": [...], "added": tokens that their images add, and what `answers` calls orders:
      max_new_tokens, temperature, ..., seed}
      {"stop": 3}     ends that answer; one that is over already is left alone
Out:  {"event": "ready"}
      {"event": "text", "text": "..."}                what the answer goes on with
      {"event": "answered", "text", "tokens", "seconds", "stopped"}   the whole of it
      {"event": "refused", "problems": [...]}         this one cannot be answered
      {"event": "failed", "reason": "..."}            the process ends, or goes on with the next question

The end of the input ends the process. The conversation is kept by who asks. Every answer reads its prompt anew: no
cache is kept between two, and pictures are read again.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, TextIO

import torch
from transformers import StoppingCriteria, TextStreamer, set_seed

from finefit.errors import BadInput

from .answers import answered, model_of, refuse_long, text_of
from .prompts import Reader
from .reason import one_line


class Out:
    """The pipe to who asks. Whatever else is printed goes to stderr."""

    def __init__(self) -> None:
        self._file: TextIO = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def say(self, event: str, **values: Any) -> None:
        self._file.write(json.dumps({"event": event, **values}) + "\n")
        self._file.flush()


class Asked:
    """What comes in, heard while an answer is being written."""

    def __init__(self) -> None:
        self.questions: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.stopped = 0.0
        # the answers up to this number are wanted no more
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in sys.stdin:
            said = json.loads(line)
            if "stop" in said:
                self.stopped = max(self.stopped, said["stop"])
            else:
                self.questions.put(said)
        self.stopped = float("inf")
        self.questions.put(None)


class Stop(StoppingCriteria):
    def __init__(self, asked: Asked, number: int) -> None:
        self._asked = asked
        self._number = number

    @property
    def is_wanted(self) -> bool:
        return self._asked.stopped >= self._number

    def __call__(self, input_ids: torch.Tensor, scores: Any, **_: Any) -> torch.Tensor:
        return torch.full((input_ids.shape[0],), self.is_wanted, device=input_ids.device)


class Streamer(TextStreamer):
    def __init__(self, tokenizer: Any, out: Out) -> None:
        super().__init__(tokenizer, skip_prompt=True, skip_special_tokens=True)
        self._out = out

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:
        if text:
            self._out.say("text", text=text)


def main(orders_path: str) -> int:
    out = Out()
    asked = Asked()
    orders = json.loads(Path(orders_path).read_text())
    try:
        reader = Reader(orders)
        model = model_of(orders)
    except Exception as error:
        _tell(error, out)
        return 1
    out.say("ready")
    while (question := asked.questions.get()) is not None:
        try:
            _answer(model, reader, orders | question, Stop(asked, question["answer"]), out)
        except Exception as error:
            _tell(error, out)
    return 0


def _answer(model: Any, reader: Reader, orders: dict[str, Any], stop: Stop, out: Out) -> None:
    started = time.perf_counter()
    prompt = reader.prompt(orders["messages"], "the conversation", orders.get("added", 0))
    refuse_long([prompt], model.config)
    set_seed(orders["seed"])
    [tokens] = answered(model, reader, [prompt], orders, Streamer(reader.tokenizer, out), stop)
    seconds = time.perf_counter() - started
    text = text_of(reader.tokenizer, tokens)
    out.say("answered", text=text, tokens=len(tokens), seconds=seconds, stopped=stop.is_wanted)


def _tell(error: Exception, out: Out) -> None:
    if isinstance(error, BadInput):
        out.say("refused", problems=[asdict(problem) for problem in error.problems])
        return
    traceback.print_exc()
    out.say("failed", reason=one_line(error))
