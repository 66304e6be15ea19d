"""The rehearsal of writing against `generate` itself: same code, real tensors, the same recorder."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from generations import answer, asked, curve, real, rehearsed, until
from recipes import LORA, merged

from finefit.errors import BadInput
from finefit.lower.layers import told
from finefit.tape.expand import expand, storages_and_events
from finefit.tape.generation import RECORDED
from finefit.tape.layers import few_of, kept_of
from finefit.tape.peaks import phase_peaks
from finefit.worker.rules import decoding

pytestmark = pytest.mark.wide(4)

NF4 = {
    "dtype": "bfloat16",
    "quantization": {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
        "bnb_4bit_compute_dtype": "bfloat16",
    },
}
INT8 = {"dtype": "bfloat16", "quantization": {"load_in_8bit": True}}
MOE = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64, "head_dim": 16}
GPT2 = {"n_embd": 64, "n_head": 4, "n_positions": 256, "vocab_size": 512}


def windows(size: int) -> dict[str, Any]:
    return {"config": {"sliding_window": size, "head_dim": 16}}


WRITERS: dict[str, dict[str, Any]] = {
    "grouped queries": asked(),
    "a head for every query": asked(model={"config": {"num_key_value_heads": 4}}),
    "tied head": asked(model={"config": {"tie_word_embeddings": True}}),
    "gpt2": asked("gpt2", model={"config": GPT2}),
    "adapters": asked(peft=LORA),
    "bfloat16, adapters": asked(peft=LORA, model={"dtype": "bfloat16"}),
    "four beams": asked(num_beams=4),
    "fp8 cache": asked(cache="fp8"),
    "fp8 cache, four beams": asked(cache="fp8", num_beams=4),
    "static cache": asked(cache="static"),
    "static cache, window": asked("mistral", cache="static", model=windows(24)),
    "4 bits": asked(model=NF4),
    "4 bits, adapters": asked(model=NF4, peft=LORA),
    "8 bits": asked(model=INT8),
    "8 bits, adapters, four beams": asked(model=INT8, peft=LORA, num_beams=4),
    "window exceeded by the prompt": asked("mistral", model=windows(12)),
    "window exceeded while writing": asked("mistral", model=windows(23)),
    "window, four beams": asked("mistral", num_beams=4, model=windows(23)),
    "two kinds of layer, eager": asked("gemma2", model=windows(23) | {"attn_implementation": "eager"}),
    "two kinds of layer": asked("gemma3_text", model=windows(23)),
    "experts": asked("qwen3_moe", model={"config": MOE}),
}


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", WRITERS)
def test_a_whole_answer_follows_to_the_byte(name: str) -> None:
    """From the prompt and a few tokens at three or four places of an answer follow the live bytes of `generate` after
    every event, on real tensors and to the last token."""
    order, (rows, prompt, new) = WRITERS[name], (2, 17, 30)
    window = order["model"]["config"].get("sliding_window")
    known = answer(order, (rows, prompt, new), (window - 1,) if window else ())
    last = prompt + new - 1
    assert known.unknown(last) is None
    whole, true = known.written(range(prompt + 1, last + 1)), real(order, (rows, prompt, new))
    last_birth = max(place for place, event in enumerate(whole.events) if event > 0)  # after it all is let go
    told, measured = curve(whole, last_birth + 1), curve(true, len(true.events))
    assert told == measured[: len(told)]
    assert max(told) == max(measured)


@pytest.mark.parametrize("name", ["grouped queries", "adapters", "two kinds of layer, eager"])
def test_few_steps_stand_for_all(name: str) -> None:
    """An answer of which only some steps are played has the peak of the whole, in every phase."""
    order, (rows, prompt, new) = WRITERS[name], (1, 12, 120)
    window = order["model"]["config"].get("sliding_window")
    known = answer(order, (rows, prompt, new), (window - 1,) if window else ())
    last = prompt + new - 1
    played = known.played(last)
    assert len(played) < new - 1
    assert phase_peaks(known.written(played)) == phase_peaks(known.written(range(prompt + 1, last + 1)))


def test_a_bound_that_nobody_knew_is_found() -> None:
    """Where a window fills up unannounced, steps in the middle are unknown until one is recorded there."""
    order, point = WRITERS["window exceeded while writing"], (1, 4, 60)
    known = answer(order, point)
    assert known.unknown(63) is not None
    assert answer(order, point, (22,)).unknown(63) is None


EXPANDED = {
    "grouped queries": (asked(device="cuda", model={"dtype": "bfloat16"}), "a" * 9),
    "4 bits, adapters": (asked(device="cuda", model=NF4, peft=LORA), "a" * 9),
    "8 bits, beams": (asked(device="cuda", model=INT8, num_beams=2), "a" * 9),
    "window, beams": (asked("mistral", device="cuda", num_beams=2, model=windows(23)), "a" * 9),
    "static cache": (asked(device="cuda", cache="static"), "a" * 9),
    "fp8 cache": (asked(device="cuda", cache="fp8"), "a" * 9),
    "experts": (asked("qwen3_moe", device="cuda", model={"dtype": "bfloat16", "config": MOE}), "a" * 9),
    "two kinds of layer, beams": (asked("gemma3_text", device="cuda", num_beams=3, model=windows(23)), "aab" * 7),
}


@pytest.mark.wide(2)
@pytest.mark.parametrize("name", EXPANDED)
def test_a_few_layers_stand_for_many(name: str) -> None:
    """A recording of a few layers, expanded, is the recording of all: every birth and death, in order, to the byte."""
    order, layers = EXPANDED[name]
    kinds = ["full_attention" if place % 3 == 2 else "sliding_attention" for place in range(len(layers))]
    config = {"num_hidden_layers": len(layers)} | ({"layer_types": kinds} if "b" in layers else {})
    order, point = merged(order, {"model": {"config": config}}), (2, 18, RECORDED + 1)
    few = few_of(layers)
    recordings = [rehearsed(order, point, each) for each in told(layers, few)]
    expanded, whole = expand(recordings, [kept_of(layers, kept) for kept in few], layers), rehearsed(order, point)
    assert expanded is not None
    assert storages_and_events(expanded) == storages_and_events(whole)
    assert expanded.parameters == whole.parameters


def test_experts_are_decoded_from_copies_of_their_weights_on_a_gpu() -> None:
    """As a GPU decodes them, a rehearsal of experts equals real writing to the byte, and takes more than a processor's
    way: the copies are there."""
    order, point = WRITERS["experts"], (2, 20, RECORDED + 5)
    usual = rehearsed(order, point)
    [(home, name, answer)] = decoding.answers()
    with patch.object(home, name, answer):
        fake, true = rehearsed(order, point), real(order, point)
    assert curve(fake, until(fake, "end")) == curve(true, until(true, f"{RECORDED + 1}/0/decode"))
    assert max(fake.nbytes[event - 1] for event in fake.events[until(fake, "1/0/decode") :] if event > 0) > max(
        usual.nbytes[event - 1] for event in usual.events[until(usual, "1/0/decode") :] if event > 0
    )


def test_a_cache_that_the_model_cannot_have_is_refused() -> None:
    """transformers quantises no cache of layers with a window: bad input, in its own words."""
    with pytest.raises(BadInput, match="only full attention layers"):
        rehearsed(asked("mistral", cache="fp8", model=windows(24)), (1, 20, RECORDED + 5))
