"""How long the processor takes to start a kernel: torch alone, and in a training step as libraries write it.

A small model of transformers with PEFT's adapters, under autocast, goes forward and backward. Its tensors are so small
that a GPU is done with each before the next one comes, so the processor's clock tells what Python and torch take. What
is counted is what a recording counts: storages that are born, forward and backward.
Does not know: other recipes. On one processor a kernel of full training took half as long as one of LoRA under autocast
(9 and 21 µs forward), since a module of PEFT does more in Python.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from finefit.nouns.calibration import Figure

from ..recorder import Recorder
from .clock import Clock, figure

SIZES = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
}
TOKENS = 16
WARM, RUNS = 5, 30
OF = f"LoRA under autocast, {SIZES['num_hidden_layers']} layers of Llama, {TOKENS} tokens"


def starting(clock: Clock) -> list[Figure]:
    model, forward, backward = _step(clock.device)
    recorder = Recorder()
    with recorder:
        recorder.phase = "forward"
        loss = forward()
        recorder.phase = "backward"
        backward(loss)
    counts = [sum(birth.phase == phase for birth in recorder.births) for phase in ("forward", "backward")]
    _optimizer_step(model)
    runs = [_run(model, forward, backward, clock.device) for _ in range(WARM + RUNS)][WARM:]
    times = zip(*runs, strict=True)
    first, second = ([seconds / count for seconds in each] for each, count in zip(times, counts, strict=True))
    return [
        _tiny(clock),
        figure("forward kernel", f"{OF}: {counts[0]} kernels", "s", first),
        figure("backward kernel", f"{OF}: {counts[1]} kernels", "s", second),
    ]


def _tiny(clock: Clock) -> Figure:
    """One after another, each on one number."""
    number = torch.ones(1, device=clock.device)
    return figure("tiny kernel", "an addition in place", "s", clock.runs_of(lambda: number.add_(1)))


def _step(device: str) -> tuple[Any, Callable[[], Any], Callable[[Any], None]]:
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    base = LlamaForCausalLM(LlamaConfig(**SIZES)).to(device, torch.bfloat16)
    model: Any = get_peft_model(base, LoraConfig(target_modules="all-linear", lora_dropout=0.05)).train()
    ids = torch.randint(0, SIZES["vocab_size"], (1, TOKENS), device=device)
    half = torch.bfloat16 if device != "cuda" or torch.cuda.is_bf16_supported() else torch.float16

    def forward() -> Any:
        with torch.autocast(device, half):
            return model(input_ids=ids, labels=ids).loss

    return model, forward, lambda loss: loss.backward()


def _run(model: Any, forward: Callable[[], Any], backward: Callable[[Any], None], device: str) -> tuple[float, float]:
    _wait(device)
    started = time.perf_counter()
    loss = forward()
    between = time.perf_counter() - started
    _wait(device)
    started = time.perf_counter()
    backward(loss)
    ended = time.perf_counter() - started
    model.zero_grad()
    return between, ended


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _optimizer_step(model: Any) -> None:
    """Its kernels belong to the context of a run."""
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.nn.utils.clip_grad_norm_(trained, 1.0)
    torch.optim.AdamW(trained).step()
    model.zero_grad()
