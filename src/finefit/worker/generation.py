"""The rehearsal of writing: transformers' own `generate` on fake tensors, as far as all further tokens follow from.

The prompt is read and the first few tokens are written, at each point that is asked for: a later token is the first of
a longer prompt, so points are also places in an answer. What a model would say is unknown, so that nothing ends an
answer early. For a GPU, the rules in `rules/` say what it does otherwise.

Knows: the dynamic cache (in bfloat16 or fp8) and the static one, beams, adapters, quantised weights; one prompt length
for all rows, so that nothing is masked.
Does not know: compiled decoding, which transformers does with a static cache on a GPU unless it is told not to;
sampling, whose processors sort the logits; padded prompts, which keep a mask beside every step; what the kernels of
torch's flash attention take inside where one query is split over the multiprocessors.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from transformers import GenerationMixin

from finefit.errors import BadInput, Problem

from .bends.cpu_packing import keep_trainable_layout
from .bends.empty_dora import dora_of_empty_weights
from .bends.outliers import NoOutliers
from .bends.tracing import fake_tensors_are_not_tracing
from .build import add_adapter, cast_adapters, empty_model, read_config
from .fake import make_fake
from .fakes import Fakes
from .generation_stage import Enough, GenerationStage
from .layers import are_alike, keep_layers
from .reason import one_line
from .recorder import Recorder
from .rules import Card, of_a_gpu, workspaces
from .shadow import ControlFlow, with_shadow
from .side_by_side import side_by_side
from .stack import versions
from .written import recording_json

TOKEN = 0
"""Of the prompt: which one is of no matter."""
END, PADDING = 1, 0
"""Tokens that would end an answer, and fill what is after it; nobody knows of the fake ones that they are these."""


def main(orders_path: str, out_path: str) -> None:
    """Reads orders, writes {alike, recordings, stack, seconds}: of each take, which is some layers (none: all of them)
    and a point. Where layers are not alike that are said to be, no few of them are rehearsed.
    """
    started = time.perf_counter()
    orders = json.loads(Path(orders_path).read_text())
    fake_tensors_are_not_tracing()
    plain = orders["model"] | {"quantization": None}
    alike = are_alike(empty_model(plain, read_config(plain)), orders["generation"]["kinds"])
    takes = [(few, point) for few, point in orders["generation"]["takes"] if alike or few is None]
    result = {
        "alike": alike,
        "recordings": side_by_side([partial(rehearsed, orders, few, point) for few, point in takes]),
        "stack": versions(orders),
        "seconds": time.perf_counter() - started,
    }
    Path(out_path).write_text(json.dumps(result))


def rehearsed(orders: dict[str, Any], few: list[Any] | None, point: list[int]) -> dict[str, Any]:
    """One recording; `few`: the layers to keep, by their numbers, and nothing of them checkpointed."""
    config = read_config(orders["model"])
    if few is not None:
        keep_layers(config, few[0])
    card = _card(orders)
    mode = Fakes(on_gpu=card is not None)
    with dora_of_empty_weights():
        model: Any = make_fake(writer(empty_model(orders["model"], config), orders), mode)
    recorder = Recorder(workspaces(card) if card else ())
    stage = GenerationStage(recorder, model, orders["generation"]["steps"])
    prompt = {name: with_shadow(tensor, mode) for name, tensor in prompt_of(point).items()}
    with _refusals(orders["generation"]["task"]["cache"]), ExitStack() as rehearsal:
        rehearsal.enter_context(dora_of_empty_weights())
        rehearsal.enter_context(mode)
        rehearsal.enter_context(NoOutliers())
        rehearsal.enter_context(ControlFlow(mode))
        if card is not None:
            rehearsal.enter_context(of_a_gpu(card))
        rehearsal.enter_context(_endless_beams())
        stage.open(prompt.values())
        try:
            model.generate(**prompt, **words_of(orders["generation"]["task"], point))
        except Enough:
            stage.close()
        else:
            raise AssertionError("an answer that nothing ends has ended")
        return recording_json(recorder, model)


def writer(model: Any, orders: dict[str, Any]) -> Any:
    """The model as it writes: nothing of the base is trained, adapters beside it stay unmerged."""
    keep_trainable_layout(model.requires_grad_(False))
    model = add_adapter(model, orders["peft"])
    cast_adapters(model, orders["adapter_dtype"])
    return model.eval()


def prompt_of(point: list[int]) -> dict[str, torch.Tensor]:
    batch, length, _ = point
    ids = torch.full((batch, length), TOKEN)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def words_of(task: dict[str, Any], point: list[int]) -> dict[str, Any]:
    """What `generate` is told: the likeliest tokens, so many of them."""
    return {
        "max_new_tokens": point[2],
        "num_beams": task["num_beams"],
        "do_sample": False,
        "temperature": None,
        "top_p": None,
        "top_k": None,
        "eos_token_id": END,
        "pad_token_id": PADDING,
        **CACHES[task["cache"]],
    }


CACHES: dict[str, dict[str, Any]] = {
    "dynamic": {},
    "fp8": {"cache_implementation": "quantized", "cache_config": {"backend": "fp8"}},
    "static": {"cache_implementation": "static", "disable_compile": True},
}


@contextmanager
def _refusals(cache: str) -> Iterator[None]:
    """A cache that transformers makes for some models alone is refused by itself, in its own words."""
    try:
        yield
    except ValueError as refused:
        if cache == "dynamic":
            raise
        what = f"transformers has no {cache} cache for this model"
        raise BadInput(Problem(what, why=one_line(refused), hint="the dynamic one")) from refused


@contextmanager
def _endless_beams() -> Iterator[None]:
    """Beams go on as long as a better answer may come, which asks for scores that fake tensors do not have: it may."""
    ask = GenerationMixin._beam_search_has_unfinished_sequences

    def answered(*args: Any, **kwargs: Any) -> bool:
        ask(*args, **kwargs)
        return True

    with patch.object(GenerationMixin, ask.__name__, staticmethod(answered)):
        yield


def _card(orders: dict[str, Any]) -> Card | None:
    if orders["device"] == "cpu":
        return None
    asked = orders["generation"]
    return Card(tuple(asked["compute_capability"]), asked["attention_kernel"])
