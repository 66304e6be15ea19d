"""The rehearsal of writing against `generate` itself: same code, real tensors, the same recorder."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

import pytest
from generations import STEPS, asked, curve, real, rehearsed, until
from recipes import LORA

from finefit.errors import BadInput
from finefit.worker.rules import decoding

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


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("name", WRITERS)
def test_rehearsal_equals_real_writing_to_the_byte(name: str, rows: int) -> None:
    """Reading a prompt and writing the first tokens on fake tensors has the live bytes of `generate` on real ones after
    every event, and the same marks."""
    point = (rows, 20, STEPS + 5)
    fake, true = rehearsed(WRITERS[name], point), real(WRITERS[name], point)
    stop = until(true, f"{STEPS + 1}/0/decode")
    assert [label for _, label in fake.marks[:-1]] == [label for at, label in true.marks if at < stop]
    assert curve(fake, until(fake, "end")) == curve(true, stop)


def test_experts_are_decoded_from_copies_of_their_weights_on_a_gpu() -> None:
    """As a GPU decodes them, a rehearsal of experts equals real writing to the byte, and takes more than a processor's
    way: the copies are there."""
    order, point = WRITERS["experts"], (2, 20, STEPS + 5)
    usual = rehearsed(order, point)
    [(home, name, answer)] = decoding.answers()
    with patch.object(home, name, answer):
        fake, true = rehearsed(order, point), real(order, point)
    assert curve(fake, until(fake, "end")) == curve(true, until(true, f"{STEPS + 1}/0/decode"))
    assert max(fake.nbytes[event - 1] for event in fake.events[until(fake, "1/0/decode") :] if event > 0) > max(
        usual.nbytes[event - 1] for event in usual.events[until(usual, "1/0/decode") :] if event > 0
    )


def test_a_cache_that_the_model_cannot_have_is_refused() -> None:
    """transformers quantises no cache of layers with a window: bad input, in its own words."""
    with pytest.raises(BadInput, match="only full attention layers"):
        rehearsed(asked("mistral", cache="fp8", model=windows(24)), (1, 20, STEPS + 5))
